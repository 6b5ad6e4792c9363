// Machine: what was said, as far as it is known here. Owns the cursor, the gap, the reorder window and the unread count.
// Leaves to others: the rows themselves (the store keeps them by conversation and seq) and how a gap is fetched.

import {
  type Attempt,
  begin,
  type Claim,
  due,
  claimOf,
  type Env,
  fail,
  hurry,
  IDLE,
  letGo,
  type Plan,
  TRY_MS,
} from './attempt.ts'
import type { AttachmentView, EpochMs, Metadata, Role } from './wire.ts'

/** One confirmed message, as stored. */
export interface Row {
  readonly conversationId: string
  readonly seq: number
  readonly id: string
  readonly role: Role
  readonly text: string
  readonly at: EpochMs
  readonly key?: string
  readonly metadata?: Metadata
  readonly attachments?: readonly AttachmentView[]
  readonly epoch?: string
}

/** What the cursor needs to know of a row when it passes it. */
export interface Mark {
  readonly seq: number
  readonly id: string
  readonly isOthers: boolean
}

export interface Transcript {
  readonly conversationId: string
  /** The highest seq up to which nothing is missing, and its id. */
  readonly cursor: { readonly seq: number; readonly id: string }
  /** What is known above the cursor, ascending. */
  readonly above: readonly Mark[]
  /** The highest seq the platform spoke of. */
  readonly headSeq: number
  readonly gapSince: EpochMs
  readonly fetch: Attempt
  /** The cursor when the fetch began. */
  readonly askedSeq: number
  /** The cursor at which the whole log was asked for, because the platform would not say what follows. */
  readonly stuckSeq: number
  readonly unread: number
  /** Up to here everything has been counted as read or unread: a second reading counts nothing twice. */
  readonly countedSeq: number
  /** Where the platform gives no numbers: ids of the newest messages, oldest first. */
  readonly known?: readonly string[]
  /** Likewise: whether something is missing is not known before the history has been read. */
  readonly isDoubtful?: boolean
  /** Likewise: when a message that was sent is looked for, if nothing was heard of it by then. */
  readonly lookAt?: EpochMs | undefined
  /** The history is read while that message is on its way: what it has not is not missing. */
  readonly isLook?: boolean
}

export type TranscriptInput =
  | { readonly type: 'received'; readonly rows: readonly Row[] }
  /** The platform's word on how far its log goes. */
  | { readonly type: 'head'; readonly seq: number }
  | { readonly type: 'backfilled'; readonly claim: Claim; readonly rows: readonly Row[]; readonly headSeq: number }
  | { readonly type: 'backfill-failed'; readonly claim: Claim; readonly retryAfterMs?: number }
  /** The platform wished to be left alone, when a site looked for older messages. */
  | { readonly type: 'held'; readonly retryAfterMs: number }
  /** The cursor means nothing to the platform: read everything again. */
  | { readonly type: 'resync'; readonly claim: Claim }
  /** Everything, or, as another device has said, as far as `seq`. */
  | { readonly type: 'marked-read'; readonly seq?: number }
  | { readonly type: 'woken' }

export interface BackfillAction {
  readonly type: 'backfill'
  readonly claim: Claim
  readonly conversationId: string
  readonly afterId: string
}

/** A message that overtook another on the way arrives within this; what is missing longer is fetched. */
export const REORDER_WINDOW_MS = 500
/** Beyond this many known seqs above the cursor, the rest is left to the backfill. */
export const ABOVE_MAX = 512

export const emptyTranscript = (conversationId: string): Transcript => ({
  conversationId,
  cursor: { seq: 0, id: '' },
  above: [],
  headSeq: 0,
  gapSince: 0,
  fetch: IDLE,
  askedSeq: 0,
  stuckSeq: 0,
  unread: 0,
  countedSeq: 0,
})

/** Is everything that the platform spoke of here? */
export const isComplete = (transcript: Transcript): boolean =>
  transcript.cursor.seq >= transcript.headSeq && transcript.above.length === 0 && !transcript.isDoubtful

export interface TranscriptChange {
  readonly state: Transcript
  readonly rows: readonly Row[]
  /** The platform's log ends here, below what we knew: what is stored above is no longer so. */
  readonly endSeq?: number
  /** It is another log than the one that we knew. */
  readonly isOther?: true
}

export function reduce(transcript: Transcript, input: TranscriptInput, env: Env): TranscriptChange {
  switch (input.type) {
    case 'received':
      return receive(transcript, input.rows, env)
    case 'head':
      // A head below our cursor is old news, or a log that was restored from an older copy: asked for what follows the
      // cursor, the platform says which.
      return { state: mark(withHead(transcript, input.seq), transcript, env), rows: [] }
    case 'backfilled':
      return isMine(transcript, input.claim) ? backfilled(transcript, input, env) : { state: transcript, rows: [] }
    case 'backfill-failed':
      return { state: { ...transcript, fetch: fail(transcript.fetch, input.claim, env, input.retryAfterMs) }, rows: [] }
    case 'held': {
      const fetch = begin(transcript.fetch, env, 0)
      return { state: { ...transcript, fetch: fail(fetch, claimOf(fetch), env, input.retryAfterMs) }, rows: [] }
    }
    case 'resync':
      if (!isMine(transcript, input.claim)) return { state: transcript, rows: [] }
      return { state: restart(transcript, input.claim, env), rows: [], ...other(transcript) }
    case 'marked-read':
      return { state: readUpTo(transcript, input.seq), rows: [] }
    case 'woken':
      return { state: { ...transcript, fetch: hurry(transcript.fetch, env.now) }, rows: [] }
  }
}

/** What comes later and was read already is not counted. */
function readUpTo(transcript: Transcript, seq = transcript.cursor.seq): Transcript {
  const unread = seq < transcript.cursor.seq ? transcript.unread : 0
  const countedSeq = Math.max(transcript.countedSeq, seq)
  const isSame = unread === transcript.unread && countedSeq === transcript.countedSeq
  return isSame ? transcript : { ...transcript, unread, countedSeq }
}

const isMine = ({ fetch }: Transcript, claim: Claim): boolean => fetch.status !== 'idle' && fetch.key === claim.key

/** What stands at the cursor is not in this log, and so is shown no longer. */
const other = ({ cursor }: Transcript) => ({ endSeq: cursor.seq - 1, isOther: true }) as const
const BEGINNING = { cursor: { seq: 0, id: '' }, above: [] } as const

/** A platform that does not even know the beginning is asked less and less often. */
const restart = (transcript: Transcript, claim: Claim, env: Env): Transcript => ({
  ...transcript,
  ...BEGINNING,
  headSeq: Math.max(transcript.headSeq, 1),
  fetch: transcript.cursor.seq === 0 ? fail(transcript.fetch, claim, env) : IDLE,
})

/** Takes a page. When it brings nothing that was missing, everything is asked for once, and then ever less often. */
function backfilled(before: Transcript, input: TranscriptInput & { type: 'backfilled' }, env: Env): TranscriptChange {
  const { state, rows } = receive(before, input.rows, env)
  const headSeq = Math.max(state.cursor.seq, state.above.at(-1)?.seq ?? 0, input.headSeq)
  const read = { ...state, headSeq, countedSeq: Math.min(state.countedSeq, headSeq), fetch: IDLE }
  const { seq } = read.cursor
  const end = headSeq < before.headSeq ? { endSeq: headSeq } : {}
  if (isComplete(read) || seq > before.askedSeq) return { state: read, rows, ...end }
  if (seq > 0 && seq !== before.stuckSeq) return { state: { ...restart(read, input.claim, env), stuckSeq: seq }, rows }
  return { state: { ...read, fetch: fail(before.fetch, input.claim, env) }, rows }
}

/** What was said before this browser first heard of the conversation is history, not unread. */
const withHead = (transcript: Transcript, seq: number): Transcript => ({
  ...transcript,
  headSeq: Math.max(transcript.headSeq, seq < transcript.cursor.seq ? transcript.cursor.seq + 1 : seq),
  countedSeq: transcript.headSeq === 0 ? seq : transcript.countedSeq,
})

function receive(transcript: Transcript, rows: readonly Row[], env: Env): TranscriptChange {
  const { conversationId: own, cursor: known } = transcript
  const isOwn = ({ conversationId, seq }: Row) => conversationId === own && Number.isInteger(seq) && seq > 0
  // Another message stands where our cursor does: the platform came back from an older copy, and has gone on from there.
  if (rows.some((row) => isOwn(row) && row.seq === known.seq && row.id !== known.id)) {
    const state = { ...transcript, ...BEGINNING, fetch: letGo(transcript.fetch) }
    return { state, rows: rows.filter(isOwn), ...other(transcript) }
  }
  const fresh: Row[] = []
  let { cursor, headSeq, unread, countedSeq } = transcript
  const above = new Map(transcript.above.map((mark) => [mark.seq, mark]))
  for (const row of rows) {
    if (!isOwn(row) || row.seq <= cursor.seq || above.has(row.seq)) continue
    headSeq = Math.max(headSeq, row.seq)
    if (above.size >= ABOVE_MAX && row.seq > cursor.seq + above.size + 1) continue
    above.set(row.seq, { seq: row.seq, id: row.id, isOthers: row.role !== 'customer' })
    fresh.push(row)
  }
  for (let next = above.get(cursor.seq + 1); next !== undefined; next = above.get(cursor.seq + 1)) {
    above.delete(next.seq)
    cursor = { seq: next.seq, id: next.id }
    if (next.seq > countedSeq && next.isOthers) unread += 1
    countedSeq = Math.max(countedSeq, next.seq)
  }
  const marks = [...above.values()].sort((a, b) => a.seq - b.seq)
  return {
    state: mark({ ...transcript, cursor, above: marks, headSeq, unread, countedSeq }, transcript, env),
    rows: fresh,
  }
}

/** Notes when a gap opened, so that the reorder window runs from there. */
const mark = (state: Transcript, before: Transcript, env: Env): Transcript =>
  isComplete(state) ? state : { ...state, gapSince: isComplete(before) ? env.now : state.gapSince }

/** Says whether what is missing must be fetched now. */
export function plan(transcript: Transcript, isOpen: boolean, env: Env): Plan<Transcript, BackfillAction> {
  if (!isOpen || isComplete(transcript)) return { state: transcript }
  const openAt = transcript.gapSince + REORDER_WINDOW_MS
  const isWaiting = transcript.fetch.status === 'idle' && env.now < openAt && env.now >= transcript.gapSince
  if (isWaiting) return { state: transcript, wakeAt: openAt }
  const { conversationId, cursor } = transcript
  return due(transcript, transcript.fetch, env, TRY_MS, (fetch, claim) => ({
    state: { ...transcript, fetch, askedSeq: cursor.seq },
    action: { type: 'backfill', claim, conversationId, afterId: cursor.id },
  }))
}

/** Was this written by us? What is not is put aside unread, and fetched again. */
export function isRow(value: unknown): value is Row {
  const { conversationId, seq, id, role, text, at } = Object(value) as Record<string, unknown>
  return (
    [conversationId, id, role, text].every((string) => typeof string === 'string') && [seq, at].every(Number.isFinite)
  )
}
