// The shapes of attachments on the wire.
import * as v from 'valibot'
import { ATTACHMENTS_MAX } from './attachments.ts'

export const ReserveRequest = v.object({
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(200), v.regex(/^[^\p{Cc}\p{Cs}/\\]+$/u)),
  type: v.pipe(v.string(), v.regex(/^[\w.+-]{1,60}\/[\w.+-]{1,60}$/)),
  size: v.pipe(v.number(), v.integer(), v.minValue(1)),
})
export const AttachmentQuery = v.object({
  offset: v.pipe(v.string(), v.regex(/^\d{1,12}$/), v.transform(Number)),
})

export const attached = v.object({ id: v.string(), name: v.string(), type: v.string(), size: v.number() })
export const AttachmentWire = v.object({ ...attached.entries, received: v.number(), confirmed: v.boolean() })
export type AttachmentWire = v.InferOutput<typeof AttachmentWire>

/** What a message names. */
export const idsOf = v.pipe(v.array(v.pipe(v.string(), v.regex(/^[\w-]{1,100}$/))), v.maxLength(ATTACHMENTS_MAX))
