// Messages over HTTP: the keyed append, the strict cursor, and the long poll.
import { Hono } from 'hono'
import { timeOrderedId } from '../ids.ts'
import { type Position, positionOf } from '../feed.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { problem } from '../problem.ts'
import { MessagesQuery, MessagesWire, PollQuery, PostedWire, PostMessageRequest } from '../schemas.ts'
import { PollWire } from '../schemas-frames.ts'
import { mayEnter } from '../session.ts'
import { POLL_WAIT_MAX_MS, poll, STREAM_PATH, SUBPROTOCOL } from '../stream.ts'
import { placeOf } from '../session-marks.ts'
import { isKnown, messageWire } from '../wire.ts'
import { attachedTo } from './attachments.ts'
import { entrance, idempotencyKey, operation, requestHash, valid } from './common.ts'
import { limited } from './guards.ts'

const PATH = '/api/v2/messaging/conversations/:id/messages'
/** When to come back to a session whose streams are all taken. */
const STREAM_RETRY_MS = 5000
const CACHE = { 'Cache-Control': 'private, no-cache', Vary: 'Authorization' }

const POST_REFUSALS = [
  'idempotency-key-required',
  'message-empty',
  'message-too-long',
  'metadata-too-large',
  'unknown-attachment',
  'attachment-incomplete',
  'not-your-participant',
  'unknown-conversation',
  'conversation-closed',
  'idempotency-key-reused',
] as const

export function messageRoutes(parts: Parts) {
  const app = new Hono<Env>()
  const enter = entrance(parts)

  app.post(
    PATH,
    operation(
      'postMessage',
      'Append a message. The same key is answered as at first, for the life of the message.',
      { 200: PostedWire, 201: PostedWire },
      {
        refusals: POST_REFUSALS,
        headers: ['Idempotency-Key'],
      },
    ),
    enter,
    valid('json', PostMessageRequest),
    (c) => post(parts, c, c.req.param('id'), c.req.valid('json')),
  )

  app.get(
    PATH,
    operation(
      'listMessages',
      'Read above a cursor, oldest first.',
      { 200: MessagesWire, 304: null },
      { refusals: ['unknown-conversation', 'resync'] },
    ),
    enter,
    valid('query', MessagesQuery),
    (c) => list(parts, c, c.req.param('id'), c.req.valid('query')),
  )

  app.get(
    `${STREAM_PATH}/poll`,
    operation(
      'pollStream',
      'The frames of the stream by long poll.',
      { 200: PollWire },
      { refusals: ['unknown-conversation'] },
    ),
    enter,
    valid('query', PollQuery),
    (c) => hold(parts, c, c.req.valid('query')),
  )

  const onlySockets = operation(
    'openStream',
    'WebSocket, subprotocol `holdfast.v2`: frames as in the long poll, after a first frame `auth`.',
    { 101: null },
    { refusals: ['upgrade-required', 'invalid-request', 'malformed-request', 'draining'], isOpen: true },
  )
  app.get(STREAM_PATH, onlySockets, (c) =>
    problem(c, 'upgrade-required', { headers: { Upgrade: 'websocket', 'Sec-WebSocket-Protocol': SUBPROTOCOL } }),
  )
  return app
}

type PostBody = {
  participantId?: string | undefined
  text: string
  contentType: string
  metadata?: Record<string, unknown> | undefined
  attachments?: string[] | undefined
}

async function post(parts: Parts, c: Call, conversationId: string, call: PostBody): Promise<Response> {
  const key = idempotencyKey(c)
  if (key === undefined || key === null) return problem(c, 'idempotency-key-required')
  const { participantId, attachments: ids, ...words } = call
  const attachments = ids && (await attachedTo(parts, c, conversationId, ids))
  if (attachments && 'code' in attachments) return problem(c, attachments.code)
  const body = attachments === undefined ? words : { ...words, attachments }
  // Before the message: one that names what is taken back would be worse than one that is never used.
  if (ids !== undefined) await parts.store.attachments.use(ids, key)
  const now = parts.now()
  const answer = await parts.store.messages.post(
    {
      conversationId,
      caller: c.get('caller'),
      participantId,
      key,
      requestHash: requestHash(body),
      body,
      freshId: timeOrderedId(now),
    },
    now,
  )
  switch (answer.type) {
    case 'refused':
      return problem(c, answer.code)
    case 'replayed':
      parts.metrics.count('message_replays')
      return c.json(answer.message, 200, { 'Idempotent-Replayed': 'true' })
    case 'appended': {
      parts.metrics.count('messages')
      const { deploymentId, version, message } = answer
      parts.hub.publish({ conversationId, deploymentId, seq: message.seq, version })
      return c.json(message, 201)
    }
  }
}

async function list(
  parts: Parts,
  c: Call,
  conversationId: string,
  query: { afterId?: string | undefined; limit: number },
): Promise<Response> {
  const caller = c.get('caller')
  const conversation = await parts.store.conversations.row(conversationId)
  if (conversation === undefined || !mayEnter(caller, conversation)) return problem(c, 'unknown-conversation')
  // A client that has nothing yet may name that as its cursor: `?afterId=&limit=50`.
  const afterId = query.afterId || undefined
  if (afterId !== undefined && !/^[\w.:~-]{1,100}$/.test(afterId)) return problem(c, 'resync')
  const afterSeq = afterId === undefined ? 0 : await parts.store.messages.seqOf(conversationId, afterId)
  if (afterSeq === undefined) return problem(c, 'resync')
  // Computed from the conversation's row, so that an unchanged page costs no look at the messages.
  const etag = `W/"${conversationId}.${conversation.lastSeq}.${placeOf(conversation.marks)}.${afterSeq}.${query.limit}"`
  if (isKnown(c.req.header('If-None-Match'), etag)) return c.body(null, 304, { ...CACHE, ETag: etag })
  const page = await parts.store.messages.after(conversationId, afterSeq, query.limit)
  // The page may be newer than the row by now; the answer never promises less than it brings.
  const lastSeq = Math.max(conversation.lastSeq, page.at(-1)?.seq ?? 0)
  return c.json(
    {
      messages: page.map((message) => messageWire(message, caller)),
      nextAfterId: page.at(-1)?.id ?? afterId ?? null,
      lastSeq,
      marks: conversation.marks,
    },
    200,
    { ...CACHE, ETag: etag },
  )
}

const NOWHERE: Position = { seq: 0, version: 0, marks: 0 }

type PollCall = {
  conversationId?: string | undefined
  afterSeq: number
  afterVersion?: number | undefined
  afterMarks?: number | undefined
  waitMs: number
}

async function hold(parts: Parts, c: Call, query: PollCall): Promise<Response> {
  const { conversationId, afterSeq: seq, waitMs } = query
  const caller = c.get('caller')
  const row = conversationId === undefined ? undefined : await parts.store.conversations.row(conversationId)
  const isWhole = conversationId === undefined && caller.role === 'agent'
  if (!isWhole && (row === undefined || !mayEnter(caller, row))) return problem(c, 'unknown-conversation')
  const release = caller.role === 'customer' ? parts.streams.hold(caller.sessionId) : () => {}
  if (release === null) return limited(parts, c, STREAM_RETRY_MS)
  const frames = await poll(parts, {
    caller,
    conversationId: conversationId ?? null,
    after: { ...(row ? positionOf(row) : NOWHERE), seq, ...named(query) },
    ...(row && { present: () => standing(parts, row.id) }),
    waitMs: Math.min(waitMs, POLL_WAIT_MAX_MS),
    signal: c.req.raw.signal,
  }).finally(release)
  parts.metrics.count('polls')
  const now = row && (await standing(parts, row.id))
  const { seq: lastSeq, version, marks } = now ?? NOWHERE
  return c.json({ frames, lastSeq, version, marks }, 200, {
    'Cache-Control': 'no-store',
  })
}

/** Who does not say what state and marks it has seen is told of changes only. */
const named = ({ afterVersion: version, afterMarks: marks }: PollCall): Partial<Position> => ({
  ...(version !== undefined && { version }),
  ...(marks !== undefined && { marks }),
})

async function standing(parts: Parts, conversationId: string): Promise<Position> {
  const row = await parts.store.conversations.row(conversationId)
  return row ? positionOf(row) : NOWHERE
}
