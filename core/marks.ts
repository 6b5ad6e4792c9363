// Machine: what was delivered and read. Owns how far the other side has come with this visitor's messages, as the platform
// says, and what the platform is to be told of the visitor: one number each, whatever the number of messages.

import { answers, type Attempt, type Claim, due, type Env, fail, IDLE, type Plan, TRY_MS } from './attempt.ts'
import type { Row } from './transcript.ts'

/** Up to which message everything has arrived at a side, and up to which it has been read. */
export interface Mark {
  readonly delivered: number
  readonly read: number
}

export interface Marks extends Mark {
  /** Up to here the visitor has read, and so far the platform knows of it. */
  readonly seen: number
  readonly told: number
  readonly telling: Attempt
}

/** By conversation: of the present one, and of some before it, which are still shown. */
export type AllMarks = { readonly [conversationId: string]: Marks }

export interface MarkAction {
  readonly type: 'mark'
  readonly claim: Claim
  readonly conversationId: string
  readonly seq: number
}

export const NO_MARKS: Marks = { delivered: 0, read: 0, seen: 0, told: 0, telling: IDLE }
/** Marks of one conversation follow each other no faster. */
export const MARK_INTERVAL_MS = 1_000
const CONVERSATIONS_MAX = 8

export const marksOf = (all: AllMarks | undefined, id: string): Marks => all?.[id] ?? NO_MARKS

export function withMarks(all: AllMarks | undefined, id: string, marks: Marks): AllMarks | undefined {
  if (marks === marksOf(all, id)) return all
  const others = Object.entries(all ?? {}).filter(([name]) => name !== id)
  return Object.fromEntries([...others.slice(1 - CONVERSATIONS_MAX), [id, marks]])
}

/** Marks only grow: what comes late or again changes nothing. Nobody has what is not known to have been said. */
export function heard(marks: Marks, others: Mark, own: Mark, headSeq: number): Marks {
  const read = Math.max(marks.read, Math.min(others.read, headSeq))
  const delivered = Math.max(marks.delivered, read, Math.min(others.delivered, headSeq))
  const told = Math.max(marks.told, Math.min(own.read, headSeq))
  const isSame = read === marks.read && delivered === marks.delivered && told === marks.told
  return isSame ? marks : { ...marks, read, delivered, told }
}

/** The log that they were of ends here: of what is said above from now on nobody has anything yet. */
export const cut = (marks: Marks, seq: number): Marks => ({
  ...marks,
  delivered: Math.min(marks.delivered, seq),
  read: Math.min(marks.read, seq),
  seen: Math.min(marks.seen, seq),
  told: Math.min(marks.told, seq),
})

export const seen = (marks: Marks, seq: number): Marks => (seq > marks.seen ? { ...marks, seen: seq } : marks)

/** The answer to what was told. What the platform does not know how to take is not told again. */
export function told(
  marks: Marks,
  { claim, seq, isDone, retryAfterMs }: { claim: Claim; seq: number; isDone: boolean; retryAfterMs?: number },
  env: Env,
): Marks {
  if (!answers(marks.telling, claim)) return marks
  if (!isDone) return { ...marks, telling: fail(marks.telling, claim, env, retryAfterMs) }
  const telling: Attempt = {
    ...{ status: 'waiting', key: claim.key, count: 0, floorAt: 0 },
    retryAt: env.now + MARK_INTERVAL_MS,
  }
  return { ...marks, told: Math.max(marks.told, seq), telling }
}

/** Says whether the platform is to be told now. */
export function plan(marks: Marks, conversationId: string, env: Env): Plan<Marks, MarkAction> {
  if (marks.seen <= marks.told) return { state: marks }
  return due(marks, marks.telling, env, TRY_MS, (telling, claim) => ({
    state: { ...marks, telling },
    action: { type: 'mark', claim, conversationId, seq: marks.seen },
  }))
}

/** How far a confirmed message has come. */
export function statusOf({ role, seq }: Pick<Row, 'role' | 'seq'>, marks: Mark = NO_MARKS) {
  if (role !== 'customer' || seq > marks.delivered) return 'acked'
  return seq > marks.read ? 'delivered' : 'read'
}
