// Attachments of the session service: reserved under a key, sent in parts, confirmed. Each call may be repeated.

import type { AttachmentLimits } from '../../core/attach.ts'
import type { Attachments } from '../../core/ports.ts'
import type { CallOf } from './session-service.ts'
import { like } from './session-wire.ts'

/** What one request carries: the progress that a visitor sees moves by this, and a cut costs no more. */
export const PART_BYTES = 256 * 1024

/** What the service takes unless its operator says otherwise. */
export const ATTACHMENTS: AttachmentLimits = {
  bytesMax: 10 * 1024 * 1024,
  countMax: 5,
  types: ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'application/pdf', 'text/plain'],
}

const receivedOf = (body: unknown) => like(body, { id: '', received: 0 })

export function attachments(call: CallOf, lineOf: (method: string, id: string, rest: string) => string): Attachments {
  const line = (method: string, conversationId: string, id: string, rest = '') =>
    lineOf(method, conversationId, `/attachments/${encodeURIComponent(id)}${rest}`)
  return {
    reserve: ({ key, token, conversationId, file }) =>
      call(lineOf('POST', conversationId, '/attachments'), { token, key, body: file }, (body) => {
        const made = receivedOf(body)
        return made && { id: made.id, sent: made.received }
      }),
    // What the service already has, it says: a part that is repeated, or comes too early, changes nothing there.
    upload: ({ token, conversationId, id, content, sent }) =>
      call(
        line('PUT', conversationId, id, `/content?offset=${sent}`),
        { token, part: (content as Blob).slice(sent, sent + PART_BYTES) },
        (body) => {
          const made = receivedOf(body)
          return made && { sent: made.received }
        },
      ),
    confirm: ({ token, conversationId, id }) =>
      call(line('POST', conversationId, id, '/confirm'), { token }, (body) => (receivedOf(body) ? null : undefined)),
    discard: ({ token, conversationId, id }) =>
      call(line('DELETE', conversationId, id), { token }, (body) => (body ? null : undefined)),
  }
}
