// Attachments over HTTP: reserve under a key, send the parts in order, confirm; then a message may name them.
import { Hono } from 'hono'
import { ATTACHMENTS_MAX, PART_BYTES, partName, partNames } from '../attachments.ts'
import { timeOrderedId } from '../ids.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { type ProblemCode, problem } from '../problem.ts'
import { AttachmentQuery, AttachmentWire, ReserveRequest } from '../schemas-attachments.ts'
import { DiscardedWire } from '../schemas-frames.ts'
import { mayEnter } from '../session.ts'
import type { Attachment } from '../store-attachments.ts'
import { entrance, idempotencyKey, operation, valid } from './common.ts'

const PATH = '/api/v2/messaging/conversations/:id/attachments'
/** What a visitor sent is shown by nobody's browser as a page of ours. */
const SAFE = {
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'private, no-cache',
}

const refusals = ['unknown-conversation', 'unknown-attachment'] as const
const one = { 200: AttachmentWire }

export function attachmentRoutes(parts: Parts) {
  const app = new Hono<Env>()
  const enter = entrance(parts)

  app.post(
    PATH,
    operation(
      'reserveAttachment',
      'Announce a file. The same key gets the same attachment.',
      { 200: AttachmentWire, 201: AttachmentWire },
      {
        refusals: [
          'idempotency-key-required',
          'unknown-conversation',
          'conversation-closed',
          'attachment-too-large',
          'attachment-type',
          'attachment-quota',
        ],
        headers: ['Idempotency-Key'],
      },
    ),
    enter,
    valid('json', ReserveRequest),
    (c) => reserve(parts, c, c.req.param('id'), c.req.valid('json')),
  )

  app.put(
    `${PATH}/:attachment/content`,
    operation(
      'uploadPart',
      'Send the part at an offset. Any other part changes nothing; the answer says where to go on.',
      one,
      {
        refusals: [...refusals, 'attachment-part'],
      },
    ),
    enter,
    valid('query', AttachmentQuery),
    (c) => on(parts, c, (attachment) => upload(parts, c, attachment, c.req.valid('query').offset)),
  )

  settle(parts, app)
  return app
}

/** The steps that take no body. */
function settle(parts: Parts, app: Hono<Env>): void {
  const enter = entrance(parts)
  app.post(
    `${PATH}/:attachment/confirm`,
    operation('confirmAttachment', 'Say that all of it was sent.', one, {
      refusals: [...refusals, 'attachment-incomplete'],
    }),
    enter,
    (c) => on(parts, c, (attachment) => confirm(parts, c, attachment)),
  )

  app.delete(
    `${PATH}/:attachment`,
    operation('discardAttachment', 'Take back what no message has.', { 200: DiscardedWire }, { refusals }),
    enter,
    (c) => on(parts, c, (attachment) => discard(parts, c, attachment)),
  )

  app.get(
    `${PATH}/:attachment/content`,
    operation('readAttachment', 'Read a file, for whoever may read the conversation.', { 200: '*/*' }, { refusals }),
    enter,
    (c) => on(parts, c, (attachment) => read(parts, c, attachment)),
  )
}

/** The attachment that the address names, if the caller may enter its conversation. */
async function on(parts: Parts, c: Call, use: (attachment: Attachment) => Promise<Response>): Promise<Response> {
  const { id = '', attachment: name = '' } = c.req.param() as { id?: string; attachment?: string }
  if ((await conversationOf(parts, c, id)) === undefined) return problem(c, 'unknown-conversation')
  const attachment = await parts.store.attachments.get(id, name)
  return attachment === undefined ? problem(c, 'unknown-attachment') : use(attachment)
}

async function conversationOf(parts: Parts, c: Call, id: string) {
  const row = await parts.store.conversations.row(id)
  return row !== undefined && mayEnter(c.get('caller'), row) ? row : undefined
}

const wireOf = ({ id, name, type, size, received, isConfirmed }: Attachment): AttachmentWire => ({
  id,
  name,
  type,
  size,
  received,
  confirmed: isConfirmed,
})

async function reserve(
  parts: Parts,
  c: Call,
  conversationId: string,
  file: { name: string; type: string; size: number },
): Promise<Response> {
  const key = idempotencyKey(c)
  if (key === undefined || key === null) return problem(c, 'idempotency-key-required')
  const row = await conversationOf(parts, c, conversationId)
  if (row === undefined) return problem(c, 'unknown-conversation')
  if (row.state !== 'pending' && row.state !== 'active') return problem(c, 'conversation-closed')
  const { bytesMax, types, ...quota } = parts.settings.attachments
  if (file.size > bytesMax) return problem(c, 'attachment-too-large')
  if (!types.includes(file.type)) return problem(c, 'attachment-type')
  const now = parts.now()
  const id = timeOrderedId(now)
  // An agent is the site's own, and is not held to what a visitor may fill.
  const limit = c.get('caller').role === 'customer' ? quota : undefined
  const made = await parts.store.attachments.reserve({ ...file, id, conversationId, key }, now, limit)
  if (made === undefined) return problem(c, 'attachment-quota')
  return c.json(wireOf(made), made.id === id ? 201 : 200)
}

/** A part is written before the row counts it: what the row counts is there, whoever dies in between. */
async function upload(parts: Parts, c: Call, attachment: Attachment, offset: number): Promise<Response> {
  const { id, size, received, conversationId } = attachment
  if (offset !== received || received === size) return c.json(wireOf(attachment))
  const bytes = new Uint8Array(await c.req.arrayBuffer())
  if (bytes.length !== Math.min(PART_BYTES, size - offset)) return problem(c, 'attachment-part')
  await parts.objects.put(partName(id, offset), bytes)
  await parts.store.attachments.received(id, offset, offset + bytes.length)
  const after = await parts.store.attachments.get(conversationId, id)
  if (after !== undefined) return c.json(wireOf(after))
  // Taken back or forgotten meanwhile: nobody else would know of this part.
  await parts.objects.remove(partName(id, offset))
  return problem(c, 'unknown-attachment')
}

async function confirm(parts: Parts, c: Call, attachment: Attachment): Promise<Response> {
  if (attachment.received < attachment.size) return problem(c, 'attachment-incomplete')
  await parts.store.attachments.confirm(attachment.id, parts.now())
  return c.json(wireOf({ ...attachment, isConfirmed: true }))
}

async function discard(parts: Parts, c: Call, { id, size, conversationId }: Attachment): Promise<Response> {
  if (!(await parts.store.attachments.discard(conversationId, id))) return problem(c, 'unknown-attachment')
  for (const name of partNames(id, size)) await parts.objects.remove(name)
  return c.json({ id })
}

async function read(parts: Parts, c: Call, { id, name, type, size, isConfirmed }: Attachment): Promise<Response> {
  if (!isConfirmed) return problem(c, 'unknown-attachment')
  const bytes = await Promise.all(partNames(id, size).map((part) => parts.objects.get(part)))
  if (bytes.includes(undefined)) return problem(c, 'unknown-attachment')
  const disposition = `attachment; filename*=UTF-8''${encodeURIComponent(name)}`
  const body = Buffer.concat(bytes as Uint8Array[])
  return c.body(new Uint8Array(body), 200, { 'Content-Type': type, 'Content-Disposition': disposition, ...SAFE })
}

/** What a message is to name: each confirmed and of this conversation. A code says which rule one breaks. */
export async function attachedTo(
  parts: Parts,
  c: Call,
  conversationId: string,
  ids: readonly string[],
): Promise<{ readonly code: ProblemCode } | readonly { id: string; name: string; type: string; size: number }[]> {
  if (ids.length > ATTACHMENTS_MAX) return { code: 'invalid-request' }
  if ((await conversationOf(parts, c, conversationId)) === undefined) return { code: 'unknown-conversation' }
  const found = []
  for (const id of ids) {
    const one = await parts.store.attachments.get(conversationId, id)
    if (one === undefined) return { code: 'unknown-attachment' }
    if (!one.isConfirmed) return { code: 'attachment-incomplete' }
    found.push({ id, name: one.name, type: one.type, size: one.size })
  }
  return found
}
