// The shapes that cross the wire of the session service, as valibot schemas: they check requests, describe
// the OpenAPI document and give the types. A limit's message is the problem code that it answers with.
import { attached, idsOf } from './schemas-attachments.ts'
import { MarksWire } from './schemas-marks.ts'
import * as v from 'valibot'
import { PreviousWire, withEveryName } from './schemas-record.ts'

export const TEXT_LENGTH_MAX = 4096
export const ATTRIBUTE_LENGTH_MAX = 2000
export const ATTRIBUTES_MAX = 100
export const METADATA_LENGTH_MAX = 8192
export const SNAPSHOT_LENGTH_MAX = 32_768
export const CONTEXT_LENGTH_MAX = 16_384
export const PAGE_MAX = 200
export const PAGE_DEFAULT = 50

/** For people to read: no control characters, and no halves of characters, which not every database can keep. */
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(200), v.regex(/^[^\p{Cc}\p{Cs}]+$/u))
export const id = v.pipe(v.string(), v.regex(/^[\w.:~-]{1,100}$/))
const key = v.pipe(v.string(), v.minLength(8), v.maxLength(200))
/** Deeper JSON is taken for an attack on whoever walks it: so deep, serialising it overflows the stack. */
const JSON_DEPTH_MAX = 32
const isShallow = (value: unknown, depthMax = JSON_DEPTH_MAX): boolean =>
  typeof value !== 'object' ||
  value === null ||
  (depthMax > 0 && Object.values(value).every((member) => isShallow(member, depthMax - 1)))
const jsonWithin = <T>(lengthMax: number, code: string) =>
  v.check((value: T) => isShallow(value) && JSON.stringify(value).length <= lengthMax, code)

const shortName = v.pipe(v.string(), v.minLength(1), v.maxLength(100))
/** A list would pass as a record with nothing in it; here it is a mistake of the caller. */
const noList = v.custom<Record<string, unknown>>((value) => !Array.isArray(value), 'a list where members are expected')
const attributes = v.pipe(
  noList,
  withEveryName(
    v.record(
      shortName,
      v.nullable(
        v.union([v.pipe(v.string(), v.maxLength(ATTRIBUTE_LENGTH_MAX, 'attribute-too-long')), v.number(), v.boolean()]),
      ),
    ),
  ),
  v.check((value) => Object.keys(value).length <= ATTRIBUTES_MAX, 'too-many-attributes'),
)
const routing = v.pipe(
  noList,
  v.check((value) => isShallow(value), 'routing-data-too-large'),
  withEveryName(v.record(shortName, v.nullable(v.union([v.string(), v.boolean()], 'routing-data-not-flat')))),
)

export const OpenSessionRequest = v.object({
  deploymentId: name,
  refreshKey: key,
  tokenDelivery: v.optional(v.picklist(['cookie', 'body']), 'cookie'),
})
export const AuthenticateRequest = v.object({ token: v.pipe(v.string(), v.minLength(1)) })
const field = v.optional(v.string())
/** `client_id` (RFC 6749, 3.2.1) is the deployment: it tells the cookies of several apart. */
export const RefreshRequest = v.object({ grant_type: v.string(), refresh_token: field, client_id: field })
export const RevokeRequest = v.object({ token: field, token_type_hint: field, client_id: field })
export const PersistRequest = v.object({
  persistentSessionId: id,
  conversationId: v.nullish(id),
  timestamp: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Also pushes the state to the site's own store. */
  event: v.optional(v.literal('form-submitted')),
  stateSnapshot: v.pipe(
    v.unknown(),
    v.check((value) => value !== undefined),
    jsonWithin(SNAPSHOT_LENGTH_MAX, 'snapshot-too-large'),
  ),
})
export const CreateConversationRequest = v.object({
  channelId: v.optional(name, 'web'),
  routingData: v.optional(routing, {}),
  customAttributes: v.optional(attributes, {}),
  previousConversationId: v.nullish(id),
})
export const PatchConversationRequest = v.object({
  customAttributes: v.optional(attributes, {}),
  routingData: v.optional(routing, {}),
})
export const JoinRequest = v.object({
  participantId: v.optional(id),
  role: v.picklist(['agent', 'bot', 'system']),
  name: v.optional(name),
  routingData: v.optional(routing, {}),
})
export const PostMessageRequest = v.object({
  participantId: v.optional(id),
  text: v.pipe(v.string(), v.minLength(1, 'message-empty'), v.maxLength(TEXT_LENGTH_MAX, 'message-too-long')),
  contentType: v.optional(
    v.pipe(v.string(), v.regex(/^[\w.+-]{1,60}\/[\w.+-]{1,60}(; ?charset=[\w-]{1,20})?$/)),
    'text/plain',
  ),
  metadata: v.optional(
    v.pipe(
      noList,
      withEveryName(v.record(v.string(), v.unknown())),
      jsonWithin(METADATA_LENGTH_MAX, 'metadata-too-large'),
    ),
  ),
  attachments: v.optional(idsOf),
})
export const PutContextRequest = v.object({
  value: v.pipe(
    v.unknown(),
    v.check((value) => value !== undefined),
    jsonWithin(CONTEXT_LENGTH_MAX, 'context-too-large'),
  ),
})
/** The longest that a writer can be away and still be the writer. */
export const LEASE_MS_MAX = 60_000
export const LeaseRequest = v.object({
  scope: id,
  name: v.pipe(v.string(), v.regex(/^[\w.-]{1,100}$/)),
  holder: id,
  ttlMs: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(LEASE_MS_MAX)),
})
export const KeyHeader = v.optional(key)

const wholeNumber = (least: number, most: number) =>
  v.pipe(v.string(), v.regex(/^\d{1,15}$/), v.transform(Number), v.minValue(least), v.maxValue(most))
export const ListQuery = v.object({
  state: v.optional(v.picklist(['open', 'ended', 'all']), 'open'),
  limit: v.optional(wholeNumber(1, PAGE_MAX), '50'),
})
export const MessagesQuery = v.object({
  afterId: v.optional(v.string()),
  limit: v.optional(wholeNumber(1, PAGE_MAX), String(PAGE_DEFAULT)),
})
export const PollQuery = v.object({
  conversationId: v.optional(id),
  afterSeq: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER), '0'),
  afterVersion: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  afterMarks: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  waitMs: v.optional(wholeNumber(0, 600_000), '25000'),
})
export const ContextParam = v.object({ scope: id, name: v.pipe(v.string(), v.regex(/^[\w.-]{1,100}$/)) })

const conversationState = v.picklist(['pending', 'active', 'closed', 'expired', 'archived'])
const role = v.picklist(['customer', 'agent', 'bot', 'system'])
const instant = v.number()

export const ParticipantWire = v.object({
  id: v.string(),
  role,
  name: v.optional(v.string()),
  joinedAt: instant,
  leftAt: v.optional(instant),
})
/** Two conversations of one visitor that met when they said who they are. */
export const LinkWire = v.object({
  conversationId: v.string(),
  kind: v.picklist(['merged-into', 'merged-from']),
  at: instant,
})
export const ConversationWire = v.object({
  id: v.string(),
  state: conversationState,
  type: v.literal('messaging'),
  channelId: v.string(),
  participants: v.array(ParticipantWire),
  customAttributes: v.record(v.string(), v.unknown()),
  routingData: v.record(v.string(), v.unknown()),
  version: v.number(),
  lastSeq: v.number(),
  marks: MarksWire,
  ...PreviousWire.entries,
  links: v.optional(v.array(LinkWire)),
  createdAt: instant,
  updatedAt: instant,
})
export type ConversationWire = v.InferOutput<typeof ConversationWire>

export const MessageWire = v.object({
  id: v.string(),
  seq: v.number(),
  conversationId: v.string(),
  participantId: v.string(),
  role,
  text: v.string(),
  contentType: v.string(),
  metadata: v.optional(v.record(v.string(), v.unknown())),
  attachments: v.optional(v.array(attached)),
  key: v.optional(v.string()),
  at: instant,
})
export type MessageWire = v.InferOutput<typeof MessageWire>

export const GrantWire = v.object({
  access_token: v.string(),
  token_type: v.literal('Bearer'),
  expires_in: v.number(),
  refresh_token: v.optional(v.string()),
  scope: v.string(),
})
export type GrantWire = v.InferOutput<typeof GrantWire>

export const SessionWire = v.object({
  persistentSessionId: v.string(),
  epoch: v.number(),
  authenticated: v.boolean(),
  expiresAt: instant,
  conversation: v.nullable(
    v.object({
      id: v.string(),
      state: conversationState,
      ...PreviousWire.entries,
    }),
  ),
  succeeds: v.optional(v.string()),
  stateSnapshot: v.optional(v.unknown()),
  activeElsewhere: v.boolean(),
  grant: GrantWire,
})
export type SessionWire = v.InferOutput<typeof SessionWire>
export const CreatedWire = v.object({
  id: v.string(),
  participantId: v.string(),
  state: conversationState,
  version: v.number(),
  ...PreviousWire.entries,
  joined: v.optional(v.literal(true)),
})
export const PostedWire = v.object({ id: v.string(), seq: v.number(), at: instant })
export const MessagesWire = v.object({
  messages: v.array(MessageWire),
  nextAfterId: v.nullable(v.string()),
  lastSeq: v.number(),
  marks: MarksWire,
})
export const ConversationsWire = v.object({ conversations: v.array(ConversationWire) })
export const ContextWire = v.object({
  scope: v.string(),
  name: v.string(),
  version: v.number(),
  value: v.unknown(),
  updatedAt: instant,
})
export const DeadLettersWire = v.object({
  deadLetters: v.array(
    v.object({
      id: v.string(),
      event: v.string(),
      persistentSessionId: v.string(),
      conversationId: v.nullable(v.string()),
      createdAt: instant,
      attempts: v.number(),
      reason: v.nullable(v.string()),
    }),
  ),
})
const text = v.string()
export const LeaseWire = v.object({ scope: text, name: text, holder: text, fence: v.number(), expiresAt: instant })
export const ProblemWire = v.object({
  type: v.string(),
  title: v.string(),
  status: v.number(),
  code: v.string(),
  detail: v.optional(v.string()),
  present: v.optional(v.unknown()),
})
export const OAuthErrorWire = v.object({ error: v.string(), error_description: v.optional(v.string()) })

/** What the service says on a stream; a long poll answers with the same frames. */
export type ServerFrame =
  | { type: 'ready'; conversationId: string | null; lastSeq: number }
  | { type: 'message'; message: MessageWire }
  | { type: 'state'; conversation: ConversationWire }
  | ({ type: 'marks'; conversationId: string } & MarksWire)
  | LossyFrame
  | { type: 'ping' | 'pong'; id?: string | number | null | undefined }
  | { type: 'reauthed'; expiresAt: number }
  | { type: 'reconnect'; afterMs: number }
  | { type: 'error'; code: string }

/** Frames that are news only while they are new: they are not kept, and may be lost. */
export type LossyFrame =
  | { type: 'typing'; conversationId: string; participantId: string; role: v.InferOutput<typeof role>; on: boolean }
  | {
      type: 'event'
      event: {
        type: 'joined' | 'left' | 'closed'
        conversationId: string
        at: number
        participantId?: string
        role?: v.InferOutput<typeof role>
        name?: string
      }
    }
