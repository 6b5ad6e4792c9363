// Sessions and token families in the tables. Each write reads its row under a lock, asks session.ts, and
// stores the verdict; what a grant looks like is decided elsewhere.
import { type Driver, type Query, type Row, StoreFullError } from './drivers/driver.ts'
import { answerOf, FAMILY_COLUMNS, SESSION_COLUMNS, type Session, toFamily, toSession, Undo } from './rows.ts'
import {
  advanceSession,
  confirm,
  type EpochMs,
  type Family,
  isLive,
  newFamily,
  type OpenSessionVerdict,
  openSession,
  type RotateVerdict,
  revoke,
  rotate,
} from './session.ts'
import { lockFamily, markUsed, saveFamily, seen } from './store-families.ts'
import { takeOver } from './store-identity.ts'
import type { LifecycleEvent, PushStore } from './store-pushes.ts'

export type OpenRequest = {
  deploymentId: string
  keyHash: string
  /** A genuine refresh token that came along, by cookie. */
  presented?: { familyId: string; generation: number } | undefined
  /** Ids to use if this opens a new session. */
  fresh: { sessionId: string; familyId: string }
}

export type OpenAnswer = {
  type: Exclude<OpenSessionVerdict['type'], 'wait'>
  session: Session
  family: Family
  /** A family that this call revoked because its spent token came back. */
  reusedFamilyId?: string
  /** The expired session whose archive this one has taken over. */
  succeeds?: string
  /** Conversations that expired with the session that this one succeeds. */
  expiredConversationIds: readonly string[]
}

export type RefreshAnswer =
  | { type: 'rotated' | 'replayed'; session: Session; family: Family }
  | Exclude<RotateVerdict, { family: Family }>
  | { type: 'reuse'; family: Family }
  | { type: 'invalid'; reason: 'unknown' }

const OPEN_TRIES_MAX = 5
/** How exactly it is known when a family was last used: each note of it is a write. */
const USED_STEP_MS = 60_000
/** A session is active elsewhere if another family of it was used within this time. */
const ACTIVE_ELSEWHERE_MS = 5 * 60_000

export class SessionStore {
  readonly #driver: Driver
  readonly #lifetimeMs: number
  readonly #pushes: PushStore

  constructor(driver: Driver, lifetimeMs: number, pushes: PushStore) {
    this.#driver = driver
    this.#lifetimeMs = lifetimeMs
    this.#pushes = pushes
  }

  async open(request: OpenRequest, now: EpochMs): Promise<OpenAnswer | { type: 'wait'; retryAfterMs: number }> {
    for (let attempt = 1; attempt <= OPEN_TRIES_MAX; attempt++) {
      const answer = await this.#driver
        .tx((q) => this.#tryOpen(q, request, now))
        .catch(answerOf<Awaited<ReturnType<SessionStore['open']>> | 'again'>)
      if (answer !== 'again') return answer
    }
    throw new Error('The same key kept opening a session elsewhere.')
  }

  async #tryOpen(
    q: Query,
    request: OpenRequest,
    now: EpochMs,
  ): Promise<OpenAnswer | { type: 'wait'; retryAfterMs: number }> {
    const presented = request.presented && (await this.#presentedIn(q, request.presented, request.deploymentId))
    // Under its row lock, as lockFamily does: another node may answer to the same key at this moment.
    const openedRow = await q(
      `update refresh_family set replays = replays where open_key = $1 returning ${FAMILY_COLUMNS}`,
      [openKey(request)],
    )
    const opened = openedRow[0] && toFamily(openedRow[0])
    const verdict = openSession(
      { keyHash: request.keyHash, ...(presented && { presented }), ...(opened && { opened }) },
      now,
      this.#lifetimeMs,
    )
    if (verdict.type === 'wait') return verdict
    if (verdict.type !== 'created') {
      await saveFamily(q, verdict.family)
      if (verdict.type === 'rotated') await this.#noteOpening(q, request, opened, verdict.family)
      const session = await seen(q, verdict.family, now, this.#lifetimeMs)
      if (session !== null) return { type: verdict.type, session, family: verdict.family, expiredConversationIds: [] }
    }
    if (verdict.type === 'created' && verdict.revoked !== undefined) await saveFamily(q, verdict.revoked)
    const created = await this.#create(q, request, opened, now)
    const succeeds = verdict.type === 'created' ? verdict.succeeds : undefined
    if (succeeds !== undefined) await inherit(q, succeeds.sessionId, created.session.id)
    const expired =
      succeeds === undefined ? [] : await takeOver(q, succeeds.sessionId, created.session.id, now, this.#pushes)
    const isReuse = verdict.type === 'created' && verdict.revoked?.revokeReason === 'reuse'
    return {
      type: 'created',
      ...created,
      expiredConversationIds: expired,
      ...(succeeds !== undefined && { succeeds: succeeds.sessionId }),
      ...(isReuse && verdict.revoked !== undefined && { reusedFamilyId: verdict.revoked.id }),
    }
  }

  /** A copy of this request that is held up is known by its key. */
  async #noteOpening(q: Query, request: OpenRequest, former: Family | undefined, family: Family): Promise<void> {
    if (former?.id === family.id) return
    if (former !== undefined) await q('update refresh_family set open_key = null where id = $1', [former.id])
    await q('update refresh_family set open_key = $2 where id = $1', [family.id, openKey(request)])
  }

  /** The presented family, if it is of this deployment: a cookie of another one does not count here. */
  async #presentedIn(q: Query, presented: { familyId: string; generation: number }, deploymentId: string) {
    const family = await lockFamily(q, presented.familyId)
    if (family === null) return undefined
    const rows = await q('select deployment_id from session where id = $1', [family.sessionId])
    return rows[0]?.['deployment_id'] === deploymentId ? { family, generation: presented.generation } : undefined
  }

  async #create(q: Query, request: OpenRequest, moved: Family | undefined, now: EpochMs) {
    const { sessionId, familyId } = request.fresh
    const sessions = await q(
      `insert into session (id, deployment_id, state, created_at, seen_at, expires_at)
       values ($1, $2, 'active', $3, $3, $4) returning ${SESSION_COLUMNS}`,
      [sessionId, request.deploymentId, now, now + this.#lifetimeMs],
    )
    if (moved !== undefined) await q('update refresh_family set open_key = null where id = $1', [moved.id])
    const family = newFamily(familyId, sessionId, now, this.#lifetimeMs)
    const inserted = await q(
      `insert into refresh_family (id, session_id, open_key, generation, replays, replays_since, expires_at, used_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (open_key) do nothing returning id`,
      [
        family.id,
        sessionId,
        openKey(request),
        family.generation,
        family.replays,
        family.replaysSince,
        family.expiresAt,
        now,
      ],
    )
    // Another node opened with this key between our look and our write; its row decides the next try.
    if (inserted.length === 0) throw new Undo('again')
    return { session: toSession(sessions[0] as Row), family }
  }

  async refresh(
    presented: { familyId: string; generation: number; keyHash: string | null },
    now: EpochMs,
  ): Promise<RefreshAnswer> {
    return this.#driver.tx(async (q): Promise<RefreshAnswer> => {
      const family = await lockFamily(q, presented.familyId)
      if (family === null) return { type: 'invalid', reason: 'unknown' }
      const verdict = rotate(family, presented, now, this.#lifetimeMs)
      if (verdict.type === 'invalid' || verdict.type === 'wait') return verdict
      await saveFamily(q, verdict.family)
      if (verdict.type === 'reuse') return verdict
      const session = await seen(q, family, now, this.#lifetimeMs)
      return session === null
        ? { type: 'invalid', reason: 'expired' }
        : { type: verdict.type, session, family: verdict.family }
    })
  }

  /**
   * Whether the family lives and is of this session; notes on the way that this generation has reached its holder.
   * `moved`: the family lives in another session by now, and this token speaks for the old one.
   */
  async confirm(
    { familyId, generation, sessionId }: { familyId: string; generation: number; sessionId: string },
    now: EpochMs,
  ): Promise<'live' | 'moved' | 'gone'> {
    const rows = await this.#driver.q(`select ${FAMILY_COLUMNS}, used_at from refresh_family where id = $1`, [familyId])
    const present = rows[0] && toFamily(rows[0])
    if (present === undefined || !isLive(present, now)) return 'gone'
    if (present.sessionId !== sessionId) return 'moved'
    const isFresh = now - (rows[0]?.['used_at'] as EpochMs) < USED_STEP_MS
    const hasArrived = confirm(present, generation, now) === present
    if (isFresh && hasArrived) return 'live'
    const noted = this.#driver.tx(async (q) => {
      const family = await lockFamily(q, familyId)
      if (family === null || !isLive(family, now)) return 'gone'
      if (family.sessionId !== sessionId) return 'moved'
      const confirmed = confirm(family, generation, now)
      if (confirmed !== family) await saveFamily(q, confirmed)
      await markUsed(q, familyId, now)
      return 'live'
    })
    return noted.catch((error: unknown) => {
      // A full disk can still be read: only a proof of arrival has to be kept before anybody is let in.
      if (hasArrived && error instanceof StoreFullError) return 'live'
      throw error
    })
  }

  /** What a family is told about its session: how often its identity changed, and whether others are there too. */
  async standing(
    { sessionId, familyId }: { sessionId: string; familyId: string },
    now: EpochMs,
  ): Promise<{ epoch: number; isActiveElsewhere: boolean }> {
    const rows = await this.#driver.q(
      'select id, epoch, used_at from refresh_family where session_id = $1 and revoked_at is null and expires_at > $2',
      [sessionId, now],
    )
    const own = rows.find((row) => row['id'] === familyId)
    const others = rows.filter((row) => row !== own && now - (row['used_at'] as EpochMs) < ACTIVE_ELSEWHERE_MS)
    return { epoch: Number(own?.['epoch'] ?? 1), isActiveElsewhere: others.length > 0 }
  }

  async session(id: string): Promise<Session | undefined> {
    const rows = await this.#driver.q(`select ${SESSION_COLUMNS} from session where id = $1`, [id])
    return rows[0] && toSession(rows[0])
  }

  /** Signs out: ends the family, and the session when this was its last one. Null: there is no such family. */
  async revoke(familyId: string, now: EpochMs): Promise<Family | null> {
    return this.#driver.tx(async (q) => {
      const family = await lockFamily(q, familyId)
      if (family === null) return null
      await saveFamily(q, revoke(family, 'signed-out', now))
      const others = await q(
        'select id from refresh_family where session_id = $1 and revoked_at is null and expires_at > $2 limit 1',
        [family.sessionId, now],
      )
      if (others.length === 0) {
        const rows = await q(`select ${SESSION_COLUMNS} from session where id = $1`, [family.sessionId])
        const state = rows[0] && advanceSession(toSession(rows[0]).state, 'signed-out')
        if (state) await q('update session set state = $2 where id = $1', [family.sessionId, state])
      }
      return family
    })
  }

  /** Keeps the newest snapshot of a session, by the client's own instant. */
  async keepSnapshot(
    session: { deploymentId: string; sessionId: string },
    kept: { at: EpochMs; conversationId: string | null; snapshot: unknown; event?: LifecycleEvent | undefined },
    now: EpochMs,
  ): Promise<boolean> {
    const { at, conversationId, snapshot, event } = kept
    return this.#driver.tx(async (q) => {
      const rows = await q(
        `update session set snapshot = $2, snapshot_at = $3
         where id = $1 and (snapshot_at is null or snapshot_at <= $3) returning id`,
        // A clock that runs ahead would shut out all that comes later.
        [session.sessionId, JSON.stringify(snapshot), Math.min(at, now)],
      )
      if (event !== undefined) await this.#pushes.note(q, { ...session, conversationId, event }, at, now)
      return rows.length > 0
    })
  }

  async snapshot(sessionId: string): Promise<unknown> {
    const rows = await this.#driver.q('select snapshot from session where id = $1', [sessionId])
    const snapshot = rows[0]?.['snapshot']
    return typeof snapshot === 'string' ? (JSON.parse(snapshot) as unknown) : undefined
  }

  /** Marks the sessions whose sliding life has passed. */
  async lapse(now: EpochMs): Promise<void> {
    const lapsed = advanceSession('active', 'lapsed')
    await this.#driver.tx((q) =>
      q(`update session set state = $2 where state = 'active' and expires_at <= $1`, [now, lapsed]),
    )
  }
}

/** What a session of a user hands over is theirs: nobody else who signs in may take it. */
async function inherit(q: Query, from: string, to: string): Promise<void> {
  const owner = '(select coalesce(user_id, former_user_id) from session where id = $1)'
  await q(`update session set former_user_id = ${owner} where id = $2`, [from, to])
}

/** One visitor's key means nothing in another deployment. */
function openKey(request: OpenRequest): string {
  return `${request.deploymentId}:${request.keyHash}`
}
