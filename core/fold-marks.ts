// What was heard, seen and told of marks, folded onto those of the conversation that it is about.

import type { Draft } from './draft.ts'
import { reject } from './fold-lease.ts'
import { heard as reached } from './fold-parts.ts'
import type { Input } from './inputs.ts'
import { heard, type Marks, marksOf, plan, seen, told, withMarks } from './marks.ts'
import type { BothMarks } from './ports-stream.ts'
import { reduce as reduceTranscript } from './transcript.ts'
import type { EpochMs } from './wire.ts'

function change({ slots }: Draft, id: string, by: (marks: Marks) => Marks): Marks {
  const next = by(marksOf(slots.marks, id))
  const marks = withMarks(slots.marks, id, next)
  if (marks !== undefined) slots.marks = marks
  return next
}

/** The visitor has everything before their eyes. What was read already is not told again. */
export function read(draft: Draft): void {
  const { slots, env } = draft
  const { conversationId, cursor, unread } = slots.transcript
  if (unread === 0) return
  change(draft, conversationId, (marks) => seen(marks, cursor.seq))
  slots.transcript = reduceTranscript(slots.transcript, { type: 'marked-read' }, env).state
}

export function marked(draft: Draft, id: string, { others, own }: BothMarks): void {
  const { slots, env } = draft
  const { cursor, headSeq } = slots.transcript
  const marks = change(draft, id, (before) => heard(before, others, own, Math.max(headSeq, cursor.seq)))
  slots.transcript = reduceTranscript(slots.transcript, { type: 'marked-read', seq: marks.told }, env).state
}

export function answered(draft: Draft, input: Input & { type: 'marked' }): void {
  const { conversationId, claim, seq, outcome, generation } = input
  if (outcome.ok) reached(draft)
  else if (outcome.verdict === 'refresh' || outcome.verdict === 'auth-required')
    reject(draft, { generation, ...outcome })
  const isLater = !outcome.ok && (outcome.isUnreachable || /^re(try-at|fresh)|^auth/.test(outcome.verdict))
  const { retryAfterMs = 0 } = outcome.ok ? {} : outcome
  change(draft, conversationId, (marks) => told(marks, { claim, seq, isDone: !isLater, retryAfterMs }, draft.env))
}

/** Told while somebody is there; what is left is told when somebody comes. */
export function planMarks(draft: Draft, isOpen: boolean): EpochMs | undefined {
  const { slots, env } = draft
  const { conversationId } = slots.transcript
  const present = slots.marks?.[conversationId]
  if (!isOpen || present === undefined || slots.session.tabs === 0) return undefined
  const { state, action, wakeAt } = plan(present, conversationId, env)
  change(draft, conversationId, () => state)
  if (action !== undefined) draft.actions.push(action)
  return wakeAt
}
