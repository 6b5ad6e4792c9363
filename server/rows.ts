// What the tables hold, as the rest of the service sees it, and the reading of rows into it. Column names
// end here; SQL text is in the store files.
import type { Row } from './drivers/driver.ts'
import type {
  Attributes,
  ConversationState,
  EpochMs,
  Family,
  PreviousState,
  RevokeReason,
  SessionState,
} from './session.ts'
import type { Marks } from './session-marks.ts'

export type Session = {
  id: string
  deploymentId: string
  userId: string | null
  /** Whose the session was that this one succeeds: what it holds is that user's, whoever signs in. */
  formerUserId: string | null
  state: SessionState
  expiresAt: EpochMs
}

export type Role = 'customer' | 'agent' | 'bot' | 'system'

export type Participant = {
  id: string
  role: Role
  sessionId: string | null
  agentId: string | null
  name: string | null
  joinedAt: EpochMs
  leftAt: EpochMs | null
}

export type Conversation = {
  id: string
  sessionId: string
  deploymentId: string
  channelId: string
  state: ConversationState
  previousId: string | null
  /** The previous one, where that had expired or was in the archive. */
  resumedFrom: string | null
  /** What had become of the previous one when this one began. */
  previousState: PreviousState | null
  lastSeq: number
  version: number
  marks: Marks
  attributes: Attributes
  routing: Attributes
  createdAt: EpochMs
  updatedAt: EpochMs
}

export type MessageBody = {
  text: string
  contentType: string
  metadata?: Record<string, unknown> | undefined
  attachments?: readonly { id: string; name: string; type: string; size: number }[] | undefined
}

export type Message = {
  seq: number
  id: string
  conversationId: string
  participantId: string
  role: Role
  agentId: string | null
  key: string | null
  body: MessageBody
  at: EpochMs
}

export const SESSION_COLUMNS = 'id, deployment_id, user_id, former_user_id, state, expires_at'
export const FAMILY_COLUMNS =
  'id, session_id, generation, key_hash, confirmed_at, replays, replays_since, expires_at, revoked_at, revoke_reason'
export const CONVERSATION_COLUMNS =
  'id, session_id, deployment_id, channel_id, state, previous_id, resumed_from, previous_state, last_seq, version, agent_delivered, agent_read, customer_delivered, customer_read, attributes, routing, created_at, updated_at'
export const PARTICIPANT_COLUMNS = 'id, role, session_id, agent_id, name, joined_at, left_at'
export const MESSAGE_COLUMNS = 'seq, id, conversation_id, sender, role, agent_id, idem_key, body, created_at'

const text = (row: Row, column: string): string => row[column] as string
const textOrNull = (row: Row, column: string): string | null => (row[column] as string | null) ?? null
const integer = (row: Row, column: string): number => row[column] as number
const integerOrNull = (row: Row, column: string): number | null => (row[column] as number | null) ?? null

export function toSession(row: Row): Session {
  return {
    id: text(row, 'id'),
    deploymentId: text(row, 'deployment_id'),
    userId: textOrNull(row, 'user_id'),
    formerUserId: textOrNull(row, 'former_user_id'),
    state: text(row, 'state') as SessionState,
    expiresAt: integer(row, 'expires_at'),
  }
}

export function toFamily(row: Row): Family {
  return {
    id: text(row, 'id'),
    sessionId: text(row, 'session_id'),
    generation: integer(row, 'generation'),
    keyHash: textOrNull(row, 'key_hash'),
    confirmedAt: integerOrNull(row, 'confirmed_at'),
    replays: integer(row, 'replays'),
    replaysSince: integer(row, 'replays_since'),
    expiresAt: integer(row, 'expires_at'),
    revokedAt: integerOrNull(row, 'revoked_at'),
    revokeReason: textOrNull(row, 'revoke_reason') as RevokeReason | null,
  }
}

export function toConversation(row: Row): Conversation {
  return {
    id: text(row, 'id'),
    sessionId: text(row, 'session_id'),
    deploymentId: text(row, 'deployment_id'),
    channelId: text(row, 'channel_id'),
    state: text(row, 'state') as ConversationState,
    previousId: textOrNull(row, 'previous_id'),
    resumedFrom: textOrNull(row, 'resumed_from'),
    previousState: textOrNull(row, 'previous_state') as PreviousState | null,
    lastSeq: integer(row, 'last_seq'),
    version: integer(row, 'version'),
    marks: {
      agent: { delivered: integer(row, 'agent_delivered'), read: integer(row, 'agent_read') },
      customer: { delivered: integer(row, 'customer_delivered'), read: integer(row, 'customer_read') },
    },
    attributes: JSON.parse(text(row, 'attributes')) as Attributes,
    routing: JSON.parse(text(row, 'routing')) as Attributes,
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  }
}

export function toParticipant(row: Row): Participant {
  return {
    id: text(row, 'id'),
    role: text(row, 'role') as Role,
    sessionId: textOrNull(row, 'session_id'),
    agentId: textOrNull(row, 'agent_id'),
    name: textOrNull(row, 'name'),
    joinedAt: integer(row, 'joined_at'),
    leftAt: integerOrNull(row, 'left_at'),
  }
}

export function toMessage(row: Row): Message {
  return {
    seq: integer(row, 'seq'),
    id: text(row, 'id'),
    conversationId: text(row, 'conversation_id'),
    participantId: text(row, 'sender'),
    role: text(row, 'role') as Role,
    agentId: textOrNull(row, 'agent_id'),
    key: textOrNull(row, 'idem_key'),
    body: JSON.parse(text(row, 'body')) as MessageBody,
    at: integer(row, 'created_at'),
  }
}

/** Thrown to roll a transaction back while still giving its caller an answer. */
export class Undo<T> {
  readonly answer: T
  constructor(answer: T) {
    this.answer = answer
  }
}

export function answerOf<T>(error: unknown): T {
  if (error instanceof Undo) return error.answer as T
  throw error
}
