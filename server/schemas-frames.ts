// What is said on a stream and in a long poll, for the OpenAPI document, and the small answers of other calls.
import * as v from 'valibot'
import { ConversationWire, id as name, MessageWire } from './schemas.ts'
import { MarkFrame, MarksWire, seq } from './schemas-marks.ts'

const id = v.optional(v.nullable(v.union([v.string(), v.number()])))
/** What a client says on a stream. */
export const ClientFrame = v.variant('type', [
  v.object({ type: v.literal('auth'), token: v.string(), conversationId: v.nullish(name), afterSeq: v.nullish(seq) }),
  v.object({ type: v.literal('reauth'), token: v.string() }),
  v.object({ type: v.literal('ping'), id }),
  v.object({ type: v.literal('pong'), id }),
  v.object({ type: v.literal('typing'), on: v.boolean(), conversationId: v.nullish(name) }),
  MarkFrame,
])
export type ClientFrame = v.InferOutput<typeof ClientFrame>

const FrameWire = v.variant('type', [
  v.object({ type: v.literal('ready'), conversationId: v.nullable(v.string()), lastSeq: v.number() }),
  v.object({ type: v.literal('message'), message: MessageWire }),
  v.object({ type: v.literal('state'), conversation: ConversationWire }),
  v.object({ type: v.literal('marks'), conversationId: v.string(), ...MarksWire.entries }),
  v.object({
    type: v.literal('event'),
    event: v.object({ type: v.string(), conversationId: v.string(), at: v.number() }),
  }),
  v.object({
    type: v.literal('typing'),
    conversationId: v.string(),
    participantId: v.string(),
    role: v.string(),
    on: v.boolean(),
  }),
  v.object({ type: v.literal('ping'), id }),
  v.object({ type: v.literal('pong'), id }),
  v.object({ type: v.literal('reauthed'), expiresAt: v.number() }),
  v.object({ type: v.literal('reconnect'), afterMs: v.number() }),
  v.object({ type: v.literal('error'), code: v.string() }),
])
export const PollWire = v.object({
  frames: v.array(FrameWire),
  lastSeq: v.number(),
  version: v.number(),
  marks: v.number(),
})

export const PersistedWire = v.object({ stored: v.boolean() })
export const DiscardedWire = v.object({ id: v.string() })
export const StatusWire = v.object({ status: v.string() })
export const RevokedWire = v.object({})
export const KeysWire = v.object({ keys: v.array(v.object({ kid: v.string(), kty: v.string(), alg: v.string() })) })
