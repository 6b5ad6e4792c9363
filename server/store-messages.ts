// Messages in the tables: the idempotent, gap-free append and the reading by cursor. The counter lives in
// the conversation's row, which is updated first: its lock orders the writers, and a rollback gives the
// number back, so a reader that has seen `seq` has seen everything before it.
import type { Driver, Query } from './drivers/driver.ts'
import {
  answerOf,
  MESSAGE_COLUMNS,
  type Message,
  type MessageBody,
  PARTICIPANT_COLUMNS,
  type Participant,
  toMessage,
  toParticipant,
  Undo,
} from './rows.ts'
import { admit, type Caller, type ConversationState, type EpochMs, mayEnter } from './session.ts'

export type PostRequest = {
  conversationId: string
  caller: Caller
  participantId?: string | undefined
  key: string
  requestHash: string
  body: MessageBody
  /** Id to use if this message is new. */
  freshId: string
}

export type Posted = { id: string; seq: number; at: EpochMs }
export type PostAnswer =
  | { type: 'appended'; message: Posted; deploymentId: string; version: number }
  | { type: 'replayed'; message: Posted }
  | {
      type: 'refused'
      code: 'unknown-conversation' | 'not-your-participant' | 'idempotency-key-reused' | 'conversation-closed'
    }

export class MessageStore {
  readonly #driver: Driver
  constructor(driver: Driver) {
    this.#driver = driver
  }

  post(request: PostRequest, now: EpochMs): Promise<PostAnswer> {
    return this.#driver.tx((q) => append(q, request, now)).catch(answerOf<PostAnswer>)
  }

  /** Messages above a cursor, oldest first. */
  async after(conversationId: string, seq: number, limit: number): Promise<Message[]> {
    const rows = await this.#driver.q(
      `select ${MESSAGE_COLUMNS} from message where conversation_id = $1 and seq > $2 order by seq limit $3`,
      [conversationId, seq, limit],
    )
    return rows.map(toMessage)
  }

  /** The place of a message in its conversation; undefined for one that is not in it. */
  async seqOf(conversationId: string, messageId: string): Promise<number | undefined> {
    const rows = await this.#driver.q('select seq from message where id = $1 and conversation_id = $2', [
      messageId,
      conversationId,
    ])
    return rows[0]?.['seq'] as number | undefined
  }

  /** The last place in a conversation that was taken before an instant, 0 where there is none. */
  async seqBefore(conversationId: string, at: EpochMs): Promise<number> {
    const rows = await this.#driver.q(
      'select seq from message where conversation_id = $1 and created_at < $2 order by seq desc limit 1',
      [conversationId, at],
    )
    return (rows[0]?.['seq'] as number | undefined) ?? 0
  }
}

async function append(q: Query, request: PostRequest, now: EpochMs): Promise<PostAnswer> {
  const { conversationId, caller } = request
  const rows = await q(
    `update conversation set last_seq = last_seq + 1, updated_at = $2 where id = $1
     returning session_id, deployment_id, state, last_seq, version`,
    [conversationId, now],
  )
  if (rows[0] === undefined) return { type: 'refused', code: 'unknown-conversation' }
  const row = rows[0] as {
    session_id: string
    deployment_id: string
    state: ConversationState
    last_seq: number
    version: number
  }
  if (!mayEnter(caller, { sessionId: row.session_id, deploymentId: row.deployment_id })) {
    throw new Undo<PostAnswer>({ type: 'refused', code: 'unknown-conversation' })
  }
  const sender = await senderOf(q, request)
  if (sender === undefined) throw new Undo<PostAnswer>({ type: 'refused', code: 'not-your-participant' })

  const earlier = await q(
    'select id, seq, created_at, request_hash from message where conversation_id = $1 and sender = $2 and idem_key = $3',
    [conversationId, sender.id, request.key],
  )
  const first = earlier[0] as { id: string; seq: number; created_at: number; request_hash: string } | undefined
  const verdict = admit(row.state, caller.role, request.requestHash, first?.request_hash)
  if (verdict.type === 'refuse') throw new Undo<PostAnswer>({ type: 'refused', code: verdict.code })
  if (first !== undefined) {
    throw new Undo<PostAnswer>({ type: 'replayed', message: { id: first.id, seq: first.seq, at: first.created_at } })
  }
  // Who has left may still learn what became of an earlier message, but says nothing new.
  if (sender.leftAt !== null) throw new Undo<PostAnswer>({ type: 'refused', code: 'not-your-participant' })

  await insert(q, request, sender, row.last_seq, now)
  const hasChanged = verdict.type === 'append' && verdict.state !== row.state
  if (hasChanged) {
    await q('update conversation set state = $2, version = version + 1 where id = $1', [conversationId, verdict.state])
  }
  return {
    type: 'appended',
    message: { id: request.freshId, seq: row.last_seq, at: now },
    deploymentId: row.deployment_id,
    version: row.version + (hasChanged ? 1 : 0),
  }
}

async function insert(q: Query, request: PostRequest, sender: Participant, seq: number, now: EpochMs): Promise<void> {
  await q(
    `insert into message (conversation_id, seq, id, sender, role, agent_id, idem_key, request_hash, body, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      request.conversationId,
      seq,
      request.freshId,
      sender.id,
      sender.role,
      sender.agentId,
      request.key,
      request.requestHash,
      JSON.stringify(request.body),
      now,
    ],
  )
}

/** The participant that speaks: the one named, or the only one the caller has here. */
async function senderOf(q: Query, request: PostRequest): Promise<Participant | undefined> {
  const { caller, participantId } = request
  const rows = await q(
    `select ${PARTICIPANT_COLUMNS} from participant where conversation_id = $1 order by joined_at, id`,
    [request.conversationId],
  )
  return rows
    .map(toParticipant)
    .find(
      (one) =>
        (participantId === undefined || one.id === participantId) &&
        (caller.role === 'agent' ? one.agentId === caller.agentId : one.sessionId === caller.sessionId),
    )
}
