// Machine: messages on their way out. Owns order, claims, retries, limits and what becomes of a refused entry.
// Leaves to others: what is sent now (sends.ts), and where the entries rest. Cost does not grow with the queue: a turn
// sees counters, one record per lane, and the first entries of each lane.

import { type Attempt, type Claim, type Env, fail, hurry, IDLE, isRunning } from './attempt.ts'
import type { Attachment } from './attach.ts'
import type { ErrorCode } from './errors.ts'
import type { EpochMs, Metadata, OutboundMessage, Snapshot } from './wire.ts'

/** One message in the outbox, as stored. It never holds a credential. */
export interface Entry {
  /** Order of commit over all tabs and lanes. */
  readonly seq: number
  readonly key: string
  readonly lane: string
  readonly text: string
  readonly metadata?: Metadata
  readonly attachments?: readonly Attachment[]
  readonly at: EpochMs
  readonly epoch: string
  readonly bytes: number
  /** The lane again while it waits to be sent; absent once it is set aside, which takes it out of the lane's index. */
  readonly live?: string
  /** On the wire since then, outcome unknown: where no key protects it, it is looked for before it is sent again. */
  readonly sentAt?: EpochMs
  readonly held?: { readonly status: 'dead' | 'stale'; readonly code: string; readonly reason: string }
}

/** The entries of one conversation. One attempt covers a run of entries, sent one after the other, oldest first. */
export interface Lane {
  readonly size: number
  readonly attempt: Attempt
  /** The last entry that the running attempt may send. */
  readonly upTo: number
}

export interface Outbox {
  readonly nextSeq: number
  readonly bytes: number
  readonly dead: number
  readonly stale: number
  readonly lanes: { readonly [lane: string]: Lane }
}

export type OutboxInput =
  | { readonly type: 'enqueued'; readonly message: OutboundMessage; readonly lane: string; readonly epoch: string }
  /** By acknowledgement or by echo, whichever comes first. */
  | { readonly type: 'settled'; readonly entry: Entry }
  | { readonly type: 'refused'; readonly entry: Entry; readonly code: string; readonly reason: string }
  | { readonly type: 'send-failed'; readonly lane: string; readonly claim: Claim; readonly retryAfterMs?: number }
  | { readonly type: 'run-ended'; readonly lane: string; readonly claim: Claim }
  /** `lane` is where it may be sent now: its own, or the present conversation's when its own is parked. */
  | { readonly type: 'retried'; readonly entry: Entry; readonly lane: string }
  | { readonly type: 'cancelled'; readonly entry: Entry }
  /** What stood in the way is gone: try at once, as far as the platform lets us. */
  | { readonly type: 'lane-hurried'; readonly lane: string }
  | { readonly type: 'woken' }

export interface Change {
  readonly state: Outbox
  readonly put?: Entry
  readonly drop?: Entry
  readonly refusal?: { readonly code: ErrorCode; readonly message: string }
}

export const OUTBOX_ENTRIES_MAX = 20_000
export const OUTBOX_BYTES_MAX = 32 * 1024 * 1024
/** What an entry costs on disk beside its text: keys, index records, the record itself. */
const ENTRY_OVERHEAD_BYTES = 200

export const EMPTY_OUTBOX: Outbox = { nextSeq: 1, bytes: 0, dead: 0, stale: 0, lanes: {} }
export const EMPTY_LANE: Lane = { size: 0, attempt: IDLE, upTo: 0 }

export const laneOf = (outbox: Outbox, lane: string): Lane => outbox.lanes[lane] ?? EMPTY_LANE

export const withLane = (outbox: Outbox, name: string, change: Partial<Lane>): Outbox => ({
  ...outbox,
  lanes: { ...outbox.lanes, [name]: { ...laneOf(outbox, name), ...change } },
})

/**
 * How many entries are waiting, parked or set aside, all lanes together.
 *
 * @param isOpen whether the lane's conversation takes messages: what waits in another one is parked
 */
export function countsOf(outbox: Outbox, isOpen = (_lane: string): boolean => true): Snapshot['outbox'] {
  let [queued, inflight, parked] = [0, 0, 0]
  for (const [name, { attempt, size }] of Object.entries(outbox.lanes)) {
    const sending = attempt.status === 'running' && size > 0 ? 1 : 0
    if (isOpen(name)) {
      inflight += sending
      queued += size - sending
    } else parked += size
  }
  return { queued, inflight, ...(parked > 0 && { parked }), dead: outbox.dead, stale: outbox.stale }
}

/** Could the wire hold this entry right now? Then nobody may cancel or change it. */
export function isClaimed(outbox: Outbox, entry: Entry): boolean {
  const { attempt, upTo } = laneOf(outbox, entry.lane)
  return entry.live !== undefined && attempt.status === 'running' && entry.seq <= upTo
}

export function reduce(outbox: Outbox, input: OutboxInput, env: Env): Change {
  switch (input.type) {
    case 'enqueued':
      return append(outbox, input, env)
    case 'settled':
      return { state: progress(remove(outbox, input.entry), input.entry.lane, env), drop: input.entry }
    case 'cancelled':
      if (isClaimed(outbox, input.entry)) return { state: outbox, refusal: INFLIGHT }
      return { state: remove(outbox, input.entry), drop: input.entry }
    case 'refused': {
      const { state, put } = setAside(outbox, input.entry, 'dead', input.code, input.reason)
      return put === undefined ? { state } : { state: progress(state, input.entry.lane, env), put }
    }
    case 'retried':
      return retry(outbox, input.entry, input.lane, env)
    case 'send-failed': {
      const state = onLane(outbox, input.lane, (lane) => ({
        attempt: fail(lane.attempt, input.claim, env, input.retryAfterMs),
      }))
      // The echoes came first: all that it carried has arrived, and what comes next need not wait for it.
      return { state: laneOf(state, input.lane).size > 0 ? state : progress(state, input.lane, env) }
    }
    case 'run-ended':
      return {
        state: onLane(outbox, input.lane, (lane) => (isRunning(lane.attempt, input.claim) ? { attempt: IDLE } : {})),
      }
    case 'lane-hurried':
      return { state: onLane(outbox, input.lane, (lane) => ({ attempt: hurry(lane.attempt, env.now) })) }
    case 'woken':
      return { state: wake(outbox, env) }
  }
}

const INFLIGHT = {
  code: 'OUTBOX_INFLIGHT' as const,
  message: 'The message is being sent right now: wait for its outcome before you cancel or edit it.',
}

const onLane = (outbox: Outbox, name: string, change: (lane: Lane) => Partial<Lane>): Outbox =>
  outbox.lanes[name] === undefined ? outbox : withLane(outbox, name, change(laneOf(outbox, name)))

function append(outbox: Outbox, input: OutboxInput & { type: 'enqueued' }, env: Env): Change {
  const { message, lane, epoch } = input
  const live = Object.values(outbox.lanes).reduce((sum, one) => sum + one.size, 0)
  const { key, text, metadata, attachments } = message
  const files = attachments?.map(({ name, type, size }) => ({ name, type, size }))
  const fileBytes = files?.reduce((sum, { size }) => sum + size, 0) ?? 0
  const bytes = ENTRY_OVERHEAD_BYTES + fileBytes + 2 * (text + (metadata ? JSON.stringify(metadata) : '')).length
  if (live + outbox.dead + outbox.stale >= OUTBOX_ENTRIES_MAX || outbox.bytes + bytes > OUTBOX_BYTES_MAX) {
    const message = `The outbox holds ${OUTBOX_ENTRIES_MAX} messages or ${OUTBOX_BYTES_MAX} bytes: this one was not accepted. Try again when some have been sent.`
    return { state: outbox, refusal: { code: 'OUTBOX_FULL', message } }
  }
  const entry: Entry = {
    seq: outbox.nextSeq,
    key,
    text,
    ...(metadata && { metadata }),
    ...(files && { attachments: files }),
    lane,
    at: env.now,
    epoch,
    bytes,
    live: lane,
  }
  const counted = { ...outbox, nextSeq: outbox.nextSeq + 1, bytes: outbox.bytes + bytes }
  return { state: withLane(counted, lane, { size: laneOf(outbox, lane).size + 1 }), put: entry }
}

function remove(outbox: Outbox, entry: Entry): Outbox {
  const counted = { ...outbox, bytes: outbox.bytes - entry.bytes }
  if (entry.held !== undefined) return { ...counted, [entry.held.status]: outbox[entry.held.status] - 1 }
  return withLane(counted, entry.lane, { size: laneOf(outbox, entry.lane).size - 1 })
}

/** The platform answered: the lane may go on as soon as it lets us, and its next failure backs off from the start. */
function progress(outbox: Outbox, lane: string, env: Env): Outbox {
  const { attempt } = laneOf(outbox, lane)
  if (attempt.status !== 'waiting') return outbox
  return withLane(outbox, lane, { attempt: hurry({ ...attempt, count: 0 }, env.now) })
}

export function setAside(outbox: Outbox, entry: Entry, status: 'dead' | 'stale', code: string, reason: string): Change {
  if (entry.live === undefined) return { state: outbox }
  const { live: _, ...rest } = entry
  const state = withLane(outbox, entry.lane, { size: laneOf(outbox, entry.lane).size - 1 })
  return { state: { ...state, [status]: state[status] + 1 }, put: { ...rest, held: { status, code, reason } } }
}

/** What was reserved is of the former conversation, or the platform may have forgotten it: the steps begin again. */
export const anew = <T extends Pick<Entry, 'attachments'>>(entry: T): T =>
  entry.attachments
    ? { ...entry, attachments: entry.attachments.map(({ name, type, size }) => ({ name, type, size })) }
    : entry

/**
 * The site's word: a held entry goes back to its place, with its key and a new age; one of a parked lane moves to the
 * end of the present conversation; a waiting lane tries at once.
 */
function retry(outbox: Outbox, entry: Entry, target: string, env: Env): Change {
  if (target !== entry.lane) {
    if (isClaimed(outbox, entry)) return { state: outbox, refusal: INFLIGHT }
    const { held: _, ...rest } = anew(entry)
    const moved = { ...rest, seq: outbox.nextSeq, lane: target, live: target, at: env.now }
    const state = { ...remove(outbox, entry), nextSeq: outbox.nextSeq + 1, bytes: outbox.bytes }
    return { state: withLane(state, target, { size: laneOf(state, target).size + 1 }), put: moved, drop: entry }
  }
  const lane = laneOf(outbox, entry.lane)
  if (entry.held === undefined) {
    return { state: withLane(outbox, entry.lane, { attempt: hurry(lane.attempt, env.now) }) }
  }
  const { held, ...rest } = entry
  const state = withLane(outbox, entry.lane, { size: lane.size + 1 })
  return {
    state: { ...state, [held.status]: state[held.status] - 1 },
    put: { ...anew(rest), at: env.now, live: entry.lane },
  }
}

const wake = (outbox: Outbox, env: Env): Outbox => ({
  ...outbox,
  lanes: Object.fromEntries(
    Object.entries(outbox.lanes).map(([name, lane]) => [name, { ...lane, attempt: hurry(lane.attempt, env.now) }]),
  ),
})

/** Makes the counters from the entries themselves, when the record that held them is lost. */
export function restore(entries: readonly Entry[]): Outbox {
  let outbox = EMPTY_OUTBOX
  for (const entry of entries) {
    outbox = { ...outbox, nextSeq: Math.max(outbox.nextSeq, entry.seq + 1), bytes: outbox.bytes + entry.bytes }
    if (entry.held !== undefined) outbox = { ...outbox, [entry.held.status]: outbox[entry.held.status] + 1 }
    else outbox = withLane(outbox, entry.lane, { size: laneOf(outbox, entry.lane).size + 1 })
  }
  return outbox
}

/** Was this written by us? What is not is put aside unread. */
export function isEntry(value: unknown): value is Entry {
  const { seq, key, lane, text, at, epoch, bytes } = Object(value) as Record<string, unknown>
  const areNumbers = [seq, at, bytes].every((number) => typeof number === 'number' && Number.isFinite(number))
  return areNumbers && [key, lane, text, epoch].every((string) => typeof string === 'string')
}
