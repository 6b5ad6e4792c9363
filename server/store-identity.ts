// What a sign-in does to the tables: the family goes to the user's session, what was said before comes along,
// and two open conversations that meet become one open and one linked. Decided in session-identity.ts.
import type { Driver, Query, Row } from './drivers/driver.ts'
import { answerOf, SESSION_COLUMNS, type Session, toSession, Undo } from './rows.ts'
import { advance, advanceSession, type EpochMs, type Family, isLive } from './session.ts'
import { type IdentifyVerdict, identify } from './session-identity.ts'
import { lockFamily, seen } from './store-families.ts'
import type { LifecycleEvent, PushStore } from './store-pushes.ts'

const IDENTIFY_TRIES_MAX = 5

export type IdentifyRequest = {
  familyId: string
  /** Of the token that asks. */
  generation: number
  userId: string
  /** Id to use if the user begins a session. */
  freshSessionId: string
}
export type IdentifyAnswer =
  | {
      type: 'same' | 'adopted' | 'moved' | 'begun'
      session: Session
      family: Family
      /** Conversations that are closed, linked or elsewhere now. */
      changedIds: readonly string[]
    }
  /** `late`: asked with a token of before the last rotation. */
  | { type: 'late' }
  | { type: 'gone' }

export class IdentityStore {
  readonly #driver: Driver
  readonly #lifetimeMs: number
  readonly #pushes: PushStore

  constructor(driver: Driver, lifetimeMs: number, pushes: PushStore) {
    this.#driver = driver
    this.#lifetimeMs = lifetimeMs
    this.#pushes = pushes
  }

  /** Joins a family's session to a user. */
  async identify(request: IdentifyRequest, now: EpochMs): Promise<IdentifyAnswer> {
    for (let attempt = 1; attempt <= IDENTIFY_TRIES_MAX; attempt++) {
      const answer = await this.#driver
        .tx((q) => this.#tryIdentify(q, request, now))
        .catch(answerOf<IdentifyAnswer | 'again'>)
      if (answer !== 'again') return answer
    }
    throw new Error('The same user kept signing in elsewhere.')
  }

  async #tryIdentify(q: Query, request: IdentifyRequest, now: EpochMs) {
    const { familyId, generation, userId, freshSessionId } = request
    const family = await lockFamily(q, familyId)
    if (family === null || !isLive(family, now)) return { type: 'gone' } as const
    // Held up until the browser had come back and asked whose its session is: that answer must stay true.
    if (generation < family.generation) return { type: 'late' } as const
    const own = toSession(
      (await q(`select ${SESSION_COLUMNS} from session where id = $1`, [family.sessionId]))[0] as Row,
    )
    const users = await usersSession(q, own.deploymentId, userId, now)
    const verdict = identify(own, users, userId)
    if (verdict.type === 'same') return this.#answer(q, 'same', family, [], now)

    const target = { adopt: own.id, begin: freshSessionId, move: users?.id ?? '' }[verdict.type]
    if (verdict.type === 'begin') await this.#begin(q, own.deploymentId, freshSessionId, now)
    if (verdict.type !== 'move') {
      await q('update session set user_id = $2 where id = $1', [target, userId])
      await claim(q, own.deploymentId, userId, target, users?.id)
    }
    await q('update refresh_family set session_id = $2, epoch = epoch + 1 where id = $1', [familyId, target])
    const changed = await this.#collect(q, verdict, { own: own.id, target, users }, now)
    const type = ({ adopt: 'adopted', begin: 'begun', move: 'moved' } as const)[verdict.type]
    return this.#answer(q, type, { ...family, sessionId: target }, changed, now)
  }

  /** What comes along to the target. Of two open conversations the one that the user had before stays open. */
  async #collect(
    q: Query,
    verdict: Exclude<IdentifyVerdict, { type: 'same' }>,
    { own, target, users }: { own: string; target: string; users: UsersSession | null },
    now: EpochMs,
  ): Promise<string[]> {
    if (verdict.type === 'move') return verdict.brings ? bring(q, own, target, 'target', now, this.#pushes) : []
    if (verdict.archiveFrom === null) return []
    return users?.isExpired
      ? takeOver(q, verdict.archiveFrom, target, now, this.#pushes)
      : bring(q, verdict.archiveFrom, target, 'source', now, this.#pushes)
  }

  async #begin(q: Query, deploymentId: string, id: string, now: EpochMs): Promise<void> {
    await q(
      `insert into session (id, deployment_id, state, created_at, seen_at, expires_at)
       values ($1, $2, 'active', $3, $3, $4)`,
      [id, deploymentId, now, now + this.#lifetimeMs],
    )
  }

  async #answer(
    q: Query,
    type: Exclude<IdentifyAnswer['type'], 'gone'>,
    family: Family,
    changedIds: readonly string[],
    now: EpochMs,
  ): Promise<IdentifyAnswer> {
    const session = await seen(q, family, now, this.#lifetimeMs)
    return session === null ? { type: 'gone' } : { type, session, family, changedIds }
  }
}

type UsersSession = { id: string; isLive: boolean; isExpired: boolean }

/** The session that was last this user's, under the lock of their row. */
async function usersSession(
  q: Query,
  deploymentId: string,
  userId: string,
  now: EpochMs,
): Promise<UsersSession | null> {
  const rows = await q(
    `update user_session set session_id = session_id where deployment_id = $1 and user_id = $2 returning session_id`,
    [deploymentId, userId],
  )
  if (rows[0] === undefined) return null
  const id = rows[0]['session_id'] as string
  const sessions = await q(`select ${SESSION_COLUMNS} from session where id = $1`, [id])
  const session = sessions[0] && toSession(sessions[0])
  const isExpired = session === undefined || session.expiresAt <= now
  return { id, isExpired, isLive: session?.state === 'active' && !isExpired }
}

async function claim(q: Query, deploymentId: string, userId: string, sessionId: string, former?: string) {
  const rows = await q(
    `insert into user_session (deployment_id, user_id, session_id) values ($1, $2, $3)
     on conflict (deployment_id, user_id) do update set session_id = excluded.session_id
       where user_session.session_id = $4 returning session_id`,
    [deploymentId, userId, sessionId, former ?? ''],
  )
  // Another device of this user was faster; the next try finds its session.
  if (rows.length === 0) throw new Undo('again')
}

/** Takes everything of a session along. Where both have an open conversation, one is closed and both are linked. */
async function bring(
  q: Query,
  fromId: string,
  toId: string,
  stays: 'source' | 'target',
  now: EpochMs,
  pushes: PushStore,
): Promise<string[]> {
  const open = `select ${OPEN_COLUMNS} from conversation where session_id = $1 and state in ('pending','active')`
  const [source] = await q(open, [fromId])
  const [target] = await q(open, [toId])
  const changed = (await q('select id from conversation where session_id = $1', [fromId])).map((row) =>
    String(row['id']),
  )
  if (source !== undefined && target !== undefined) {
    const [closing, staying] = stays === 'target' ? [source, target] : [target, source]
    await merge(q, closing, String(staying['id']), now)
    await pushes.note(q, noted(closing, toId, 'closed'), Number(closing['version']) + 1, now)
    changed.push(String(target['id']))
  }
  await q('update conversation set session_id = $2, version = version + 1 where session_id = $1', [fromId, toId])
  await q('update participant set session_id = $2 where session_id = $1', [fromId, toId])
  await q(
    `update context set scope = $2 where scope = $1 and name not in (select name from context where scope = $2)`,
    [`session:${fromId}`, `session:${toId}`],
  )
  const others = await q('select id from refresh_family where session_id = $1 limit 1', [fromId])
  const ended = advanceSession('active', 'signed-out')
  if (others.length === 0) await q('update session set state = $2 where id = $1', [fromId, ended])
  return changed
}

async function merge(q: Query, closing: Row, stayingId: string, now: EpochMs): Promise<void> {
  const closingId = String(closing['id'])
  const state = advance(closing['state'] as 'pending' | 'active', 'close')
  const change = 'update conversation set version = version + 1, updated_at = $2'
  await q(`${change}, state = $3, ended_at = $2 where id = $1`, [closingId, now, state])
  await q(`${change} where id = $1`, [stayingId, now])
  await link(q, closingId, stayingId, 'merged-into', now)
  await link(q, stayingId, closingId, 'merged-from', now)
}

async function link(q: Query, id: string, otherId: string, kind: string, now: EpochMs): Promise<void> {
  await q(
    `insert into conversation_link (conversation_id, other_id, kind, created_at) values ($1, $2, $3, $4)
     on conflict (conversation_id, other_id) do nothing`,
    [id, otherId, kind, now],
  )
}

const OPEN_COLUMNS = 'id, deployment_id, state, version'

function noted(row: Row, sessionId: string, event: LifecycleEvent) {
  return { deploymentId: String(row['deployment_id']), sessionId, conversationId: String(row['id']), event }
}

/** Ends what is still open in an expired session and hands its archive to the session that follows it. */
export async function takeOver(
  q: Query,
  fromId: string,
  toId: string,
  now: EpochMs,
  pushes: PushStore,
): Promise<string[]> {
  const lapsed = advanceSession('active', 'lapsed')
  await q(`update session set state = $2 where id = $1 and state = 'active'`, [fromId, lapsed])
  const open = `select ${OPEN_COLUMNS} from conversation where session_id = $1 and state in ('pending','active')`
  const rows = await q(open, [fromId])
  for (const row of rows) {
    const state = advance(row['state'] as 'pending' | 'active', 'idle')
    await q('update conversation set state = $2, version = version + 1, ended_at = $3 where id = $1', [
      row['id'] ?? null,
      state,
      now,
    ])
    await pushes.note(q, noted(row, toId, 'idle'), Number(row['version']) + 1, now)
  }
  await q('update conversation set session_id = $2 where session_id = $1', [fromId, toId])
  await q('update participant set session_id = $2 where session_id = $1', [fromId, toId])
  return rows.map((row) => row['id'] as string)
}
