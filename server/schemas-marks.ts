// How far each side has come, as it crosses the wire.
import * as v from 'valibot'

export const seq = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const id = v.pipe(v.string(), v.regex(/^[\w.:~-]{1,100}$/))

export const MarkRequest = v.object({ delivered: v.optional(seq, 0), read: v.optional(seq, 0) })
export const MarkFrame = v.object({ type: v.literal('mark'), conversationId: v.nullish(id), ...MarkRequest.entries })
export type MarkFrame = v.InferOutput<typeof MarkFrame>

const MarkWire = v.object({ delivered: v.number(), read: v.number() })
export const MarksWire = v.object({ agent: MarkWire, customer: MarkWire })
export type MarksWire = v.InferOutput<typeof MarksWire>
