// A step of an attachment, folded onto the entry that it belongs to.

import { type AttachedInput, withStep } from './attach.ts'
import { type Draft, entryOf } from './draft.ts'

/** Progress is a word of the platform, too: the connection is worth something. */
export function attached(draft: Draft, input: AttachedInput): void {
  const entry = entryOf(draft, input.key)
  if (entry === undefined || entry.held !== undefined) return
  const next = withStep(entry, input)
  if (next !== entry) draft.puts.set(next.seq, next)
  const { session: state } = draft.slots
  if (state.stream.owedSince > 0) draft.slots.session = { ...state, stream: { ...state.stream, owedSince: 0 } }
}
