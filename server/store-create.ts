// How a conversation begins in the tables: one open conversation per session, whatever races, and the same
// answer to the same key. The choice between joining and creating is made in session.ts.
import type { Driver, Query } from './drivers/driver.ts'
import { answerOf, Undo } from './rows.ts'
import {
  type Attributes,
  type Caller,
  type ConversationState,
  type EpochMs,
  type OpenVerdict,
  openConversation,
} from './session.ts'
import { full } from './store-conversations.ts'
import type { PreviousWire } from './schemas-record.ts'
import { previousWire } from './wire.ts'

const CREATE_TRIES_MAX = 5
/** How long the answer to a keyed creation is repeated. */
const ANSWER_LIFETIME_MS = 24 * 60 * 60 * 1000

export type CreateRequest = {
  caller: Extract<Caller, { role: 'customer' }>
  channelId: string
  attributes: Attributes
  routing: Attributes
  previousId?: string | undefined
  key?: string | undefined
  requestHash: string
  fresh: { conversationId: string; participantId: string }
}

export type Created = {
  id: string
  participantId: string
  state: ConversationState
  version: number
  joined?: true
} & PreviousWire

export type CreateAnswer =
  | { type: 'created' | 'joined' | 'replayed'; status: 200 | 201; answer: Created }
  | { type: 'refused'; code: 'idempotency-key-reused' }

export class ConversationStarter {
  readonly #driver: Driver
  constructor(driver: Driver) {
    this.#driver = driver
  }

  async create(request: CreateRequest, now: EpochMs): Promise<CreateAnswer> {
    for (let attempt = 1; attempt <= CREATE_TRIES_MAX; attempt++) {
      const answer = await this.#driver
        .tx((q) => this.#tryCreate(q, request, now))
        .catch(answerOf<CreateAnswer | 'again'>)
      if (answer !== 'again') return answer
    }
    throw new Error('Another conversation of this session kept opening and closing.')
  }

  async #tryCreate(q: Query, request: CreateRequest, now: EpochMs): Promise<CreateAnswer> {
    const { sessionId } = request.caller
    const scope = `${sessionId}:conversations`
    if (request.key !== undefined) {
      const rows = await q(
        'select request_hash, status, response from idempotency where scope = $1 and key = $2 and expires_at > $3',
        [scope, request.key, now],
      )
      if (rows[0] !== undefined) {
        if (rows[0]['request_hash'] !== request.requestHash) return { type: 'refused', code: 'idempotency-key-reused' }
        const answer = JSON.parse(rows[0]['response'] as string) as Created
        return { type: 'replayed', status: rows[0]['status'] as 200 | 201, answer }
      }
    }
    const own = await q(
      'select id, state from conversation where session_id = $1 order by created_at desc, id desc limit 50',
      [sessionId],
    )
    const verdict = openConversation(own as { id: string; state: ConversationState }[], request.previousId)
    const answer =
      verdict.type === 'join'
        ? await this.#joined(q, verdict.conversationId)
        : await this.#insert(q, request, verdict, now)
    const status = verdict.type === 'join' ? 200 : 201
    if (request.key !== undefined) {
      await q(
        `insert into idempotency (scope, key, request_hash, status, response, expires_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (scope, key) do update set request_hash = excluded.request_hash, status = excluded.status,
           response = excluded.response, expires_at = excluded.expires_at`,
        [scope, request.key, request.requestHash, status, JSON.stringify(answer), now + ANSWER_LIFETIME_MS],
      )
    }
    return { type: verdict.type === 'join' ? 'joined' : 'created', status, answer }
  }

  async #joined(q: Query, id: string): Promise<Created> {
    const conversation = await full(q, id)
    const customer = conversation?.participants.find((participant) => participant.role === 'customer')
    if (!conversation || !customer) throw new Error('A conversation has lost its customer.')
    return {
      id,
      participantId: customer.id,
      state: conversation.state,
      version: conversation.version,
      ...previousWire(conversation),
      joined: true,
    }
  }

  async #insert(
    q: Query,
    request: CreateRequest,
    previous: Extract<OpenVerdict, { type: 'create' }>,
    now: EpochMs,
  ): Promise<Created> {
    const { conversationId: id, participantId } = request.fresh
    const rows = await q(
      `insert into conversation (id, session_id, deployment_id, channel_id, state, previous_id, resumed_from,
         attributes, routing, created_at, updated_at, previous_state)
       values ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $9, $10)
       on conflict (session_id) where state in ('pending','active') do nothing returning state, version`,
      [
        id,
        request.caller.sessionId,
        request.caller.deploymentId,
        request.channelId,
        previous.previousId,
        previous.resumedFrom,
        JSON.stringify(request.attributes),
        JSON.stringify(request.routing),
        now,
        previous.previousState,
      ],
    )
    // Another node opened one between our look and our write: the next try joins it.
    if (rows[0] === undefined) throw new Undo('again')
    await q(
      `insert into participant (conversation_id, id, role, session_id, joined_at) values ($1, $2, 'customer', $3, $4)`,
      [id, participantId, request.caller.sessionId, now],
    )
    const { state, version } = rows[0] as { state: ConversationState; version: number }
    return {
      id,
      participantId,
      state,
      version,
      ...previousWire(previous),
    }
  }
}
