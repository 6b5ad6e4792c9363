// Conversations and their participants in the tables: reading, attributes, hand-over, close, and what time
// does to them. The rules are those of session.ts; creation and messages have files of their own.
import type { Driver, Query, Row } from './drivers/driver.ts'
import {
  answerOf,
  CONVERSATION_COLUMNS,
  type Conversation,
  PARTICIPANT_COLUMNS,
  type Participant,
  type Role,
  toConversation,
  toParticipant,
  Undo,
} from './rows.ts'
import { ATTRIBUTES_MAX } from './schemas.ts'
import {
  type Attributes,
  advance,
  type Caller,
  type ConversationEvent,
  type ConversationState,
  type EpochMs,
  mayEnter,
  mergeAttributes,
} from './session.ts'
import { fenceHolds } from './store-leases.ts'
import type { LifecycleEvent, PushStore } from './store-pushes.ts'

export const ROUTING_BYTES_MAX = 16_384
/** Rows that one sweep changes at most, so that it never holds the store for long. */
const SWEEP_ROWS_MAX = 500

export type Refusal = {
  type: 'refused'
  code:
    | 'unknown-conversation'
    | 'conversation-closed'
    | 'unknown-participant'
    | 'participant-exists'
    | 'routing-data-too-large'
    | 'too-many-attributes'
    | 'stale-fence'
}
export type Link = { conversationId: string; kind: 'merged-into' | 'merged-from'; at: EpochMs }
export type Full = Conversation & { participants: Participant[]; links: readonly Link[] }
/** `changed` is false where the call asked for what was there already. */
export type ChangeAnswer =
  | { type: 'done'; conversation: Full; changed: boolean }
  | { type: 'conflict'; present: Full }
  | Refusal

export type JoinRequest = {
  participantId: string
  isNamed: boolean
  role: Role
  name: string
  agentId: string
  routing: Attributes
}
type Change = { state?: ConversationState; attributes?: Attributes; routing?: Attributes; participants?: true }

/** Changes of state that a site's own store hears of. */
const EVENTS: Record<string, LifecycleEvent | undefined> = { closed: 'closed', expired: 'idle' }

export class ConversationStore {
  readonly #driver: Driver
  readonly #pushes: PushStore
  constructor(driver: Driver, pushes: PushStore) {
    this.#driver = driver
    this.#pushes = pushes
  }

  /** The bare conversation, without those who take part. */
  async row(id: string): Promise<Conversation | undefined> {
    const rows = await this.#driver.q(`select ${CONVERSATION_COLUMNS} from conversation where id = $1`, [id])
    return rows[0] && toConversation(rows[0])
  }

  full(id: string): Promise<Full | undefined> {
    return full(this.#driver.q, id)
  }

  /** The conversation that a returning visitor meets: the open one, else the last that ended. */
  async latest(sessionId: string): Promise<Conversation | undefined> {
    const rows = await this.#driver.q(
      `select ${CONVERSATION_COLUMNS} from conversation where session_id = $1
       order by case when state in ('pending','active') then 0 else 1 end, created_at desc, id desc limit 1`,
      [sessionId],
    )
    return rows[0] && toConversation(rows[0])
  }

  /** What a caller may enter in one of these states, latest activity first. */
  async list(caller: Caller, states: readonly ConversationState[], limit: number): Promise<Full[]> {
    const owner = caller.role === 'agent' ? caller.deploymentId : caller.sessionId
    const column = caller.role === 'agent' ? 'deployment_id' : 'session_id'
    const slots = states.map((_, index) => `$${index + 3}`).join(', ')
    const rows = await this.#driver.q(
      `select ${CONVERSATION_COLUMNS} from conversation where ${column} = $1 and state in (${slots})
       order by updated_at desc, id desc limit $2`,
      [owner, limit, ...states],
    )
    return Promise.all(rows.map(async (row) => withParticipants(this.#driver.q, toConversation(row))))
  }

  /** Merges attributes and routing data, if nobody else was faster. */
  patch(
    id: string,
    caller: Caller,
    delta: {
      attributes: Attributes
      routing: Attributes
      ifVersion?: number | undefined
      fence?: number | undefined
    },
    now: EpochMs,
  ): Promise<ChangeAnswer> {
    return this.#change(id, caller, 'change', now, async (q, present) => {
      if (!(await fenceHolds(q, `conversation:${id}`, 'attributes', delta.fence))) throw refused('stale-fence')
      if (delta.ifVersion !== undefined && delta.ifVersion !== present.version) {
        throw new Undo<ChangeAnswer>({ type: 'conflict', present })
      }
      const attributes = mergeAttributes(present.attributes, delta.attributes)
      const routing = mergeAttributes(present.routing, delta.routing)
      const isSame = attributes === present.attributes && routing === present.routing
      // What was said on this version, and comes behind, is an older word: it must find another version.
      if (isSame) return delta.ifVersion === undefined ? {} : { attributes }
      if (Object.keys(attributes).length > ATTRIBUTES_MAX) throw refused('too-many-attributes')
      requireRoutingFits(routing)
      return { attributes, routing }
    })
  }

  /** An agent, or a bot on its behalf, takes part; also again, after having left. */
  join(
    id: string,
    caller: Caller,
    request: JoinRequest,
    now: EpochMs,
  ): Promise<ChangeAnswer & { participantId?: string }> {
    let participantId = request.participantId
    const answer = this.#change(id, caller, 'change', now, async (q, present) => {
      const named = request.isNamed ? present.participants.find((one) => one.id === request.participantId) : undefined
      if (named !== undefined && named.agentId !== request.agentId) throw refused('participant-exists')
      const same = named ?? (request.isNamed ? undefined : present.participants.find((one) => isSame(one, request)))
      participantId = same?.id ?? request.participantId
      const routing = mergeAttributes(present.routing, request.routing)
      requireRoutingFits(routing)
      if (same !== undefined && same.leftAt === null) return routing === present.routing ? {} : { routing }
      await q(
        `insert into participant (conversation_id, id, role, agent_id, name, joined_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (conversation_id, id) do update set left_at = null, name = excluded.name`,
        [id, participantId, request.role, request.agentId, request.name, now],
      )
      return { routing, participants: true }
    })
    return answer.then((settled) => ({ ...settled, participantId }))
  }

  /** Takes a participant out; attributes, routing data and transcript stay for whoever comes next. */
  leave(id: string, caller: Caller, participantId: string, now: EpochMs): Promise<ChangeAnswer> {
    return this.#change(id, caller, 'change', now, async (q, present) => {
      const participant = present.participants.find((one) => one.id === participantId)
      if (participant === undefined || participant.role === 'customer') throw refused('unknown-participant')
      if (participant.leftAt !== null) return {}
      await q('update participant set left_at = $3 where conversation_id = $1 and id = $2', [id, participantId, now])
      return { participants: true }
    })
  }

  close(id: string, caller: Caller, now: EpochMs): Promise<ChangeAnswer> {
    return this.#change(id, caller, 'close', now, async (_q, present) => {
      const state = advance(present.state, 'close')
      return state === null || state === present.state ? {} : { state }
    })
  }

  /** One change under the row's lock: may the caller, does the state allow it, what is new; then one version more. */
  async #change(
    id: string,
    caller: Caller,
    event: ConversationEvent,
    now: EpochMs,
    decide: (q: Query, present: Full) => Promise<Change>,
  ): Promise<ChangeAnswer> {
    const work = async (q: Query): Promise<ChangeAnswer> => {
      const rows = await q(
        `update conversation set version = version where id = $1 returning ${CONVERSATION_COLUMNS}`,
        [id],
      )
      const row = rows[0] && toConversation(rows[0])
      if (row === undefined || !mayEnter(caller, row)) throw refused('unknown-conversation')
      const present = await withParticipants(q, row)
      if (advance(present.state, event) === null) throw refused('conversation-closed')
      const change = await decide(q, present)
      if (Object.keys(change).length === 0) return { type: 'done', conversation: present, changed: false }
      return { type: 'done', conversation: await this.#save(q, present, change, now), changed: true }
    }
    return this.#driver.tx(work).catch(answerOf<ChangeAnswer>)
  }

  async #save(q: Query, present: Full, change: Change, now: EpochMs): Promise<Full> {
    const saved = await save(q, present, change, now)
    const event = change.participants ? 'handed-over' : EVENTS[change.state ?? '']
    const { id: conversationId, deploymentId, sessionId, version } = saved
    if (event) await this.#pushes.note(q, { deploymentId, sessionId, conversationId, event }, version, now)
    return saved
  }

  /** What time does: idle conversations expire, ended ones are archived. Returns the ids that changed. */
  async sweep(now: EpochMs, limits: { idleMs: number; archiveMs: number }): Promise<string[]> {
    const pass = async (q: Query, event: 'idle' | 'retire', states: string, column: string, before: EpochMs) => {
      const rows = await q(
        `select id from conversation where state in (${states}) and ${column} < $1 order by id limit $2`,
        [before, SWEEP_ROWS_MAX],
      )
      const changed: string[] = []
      for (const { id = null } of rows) {
        // Looked at again under its lock: another node may have heard a word in it, or swept it already.
        const present = await q(
          `update conversation set version = version where id = $1 and state in (${states}) and ${column} < $2
           returning ${CONVERSATION_COLUMNS}`,
          [id, before],
        )
        const row = present[0] && toConversation(present[0])
        const state = row && advance(row.state, event)
        if (!row || !state) continue
        await this.#save(q, { ...row, participants: [], links: [] }, { state }, now)
        changed.push(row.id)
      }
      return changed
    }
    return this.#driver.tx(async (q) => {
      await q('delete from idempotency where expires_at <= $1', [now])
      const expired = await pass(q, 'idle', `'pending','active'`, 'updated_at', now - limits.idleMs)
      const archived = await pass(q, 'retire', `'closed','expired'`, 'ended_at', now - limits.archiveMs)
      return [...expired, ...archived]
    })
  }
}

function isSame(participant: Participant, request: JoinRequest): boolean {
  return participant.agentId === request.agentId && participant.role === request.role
}

function refused(code: Refusal['code']): Undo<Refusal> {
  return new Undo<Refusal>({ type: 'refused', code })
}

function requireRoutingFits(routing: Attributes): void {
  if (Buffer.byteLength(JSON.stringify(routing)) > ROUTING_BYTES_MAX) throw refused('routing-data-too-large')
}

async function save(q: Query, present: Full, change: Change, now: EpochMs): Promise<Full> {
  const next = { ...present, ...change, version: present.version + 1, updatedAt: now }
  await q(
    `update conversation set state = $2, attributes = $3, routing = $4, version = $5, updated_at = $6,
       ended_at = case when $7 = 1 then coalesce(ended_at, $6) else ended_at end where id = $1`,
    [
      next.id,
      next.state,
      JSON.stringify(next.attributes),
      JSON.stringify(next.routing),
      next.version,
      now,
      change.state === undefined ? 0 : 1,
    ],
  )
  return change.participants ? withParticipants(q, next) : { ...next, participants: present.participants }
}

export async function full(q: Query, id: string): Promise<Full | undefined> {
  const rows = await q(`select ${CONVERSATION_COLUMNS} from conversation where id = $1`, [id])
  return rows[0] && withParticipants(q, toConversation(rows[0]))
}

async function withParticipants(q: Query, conversation: Conversation): Promise<Full> {
  const rows = await q(
    `select ${PARTICIPANT_COLUMNS} from participant where conversation_id = $1 order by joined_at, id`,
    [conversation.id],
  )
  const links = await q(
    'select other_id, kind, created_at from conversation_link where conversation_id = $1 order by created_at, other_id',
    [conversation.id],
  )
  return { ...conversation, participants: rows.map(toParticipant), links: links.map(toLink) }
}

function toLink(row: Row): Link {
  return {
    conversationId: row['other_id'] as string,
    kind: row['kind'] as Link['kind'],
    at: row['created_at'] as EpochMs,
  }
}
