// Platforms without keys and numbers: what is sent cannot be repeated blindly, and nobody says what is missing. What is
// known here by id is numbered as it comes; what was sent without a word since is looked for in the history, and sent
// again only if it is not there. Brought by such a platform (`Platform.unkeyed`): a worker without one does not carry it.

import { begin, type Claim, claimOf, IDLE, isDue, isRunning, letGo, nextAt, TRY_MS } from './attempt.ts'
import { type Draft, outbox } from './draft.ts'
import { merge } from './context.ts'
import type { Input, Problem } from './inputs.ts'
import { anew, type Entry, laneOf, withLane } from './outbox.ts'
import type { Limits } from './ports.ts'
import { openAt, type Rates, type Step, spend } from './rates.ts'
import { dataBytesOf, textsOf } from './texts.ts'
import { earliest, plan as planOutbox } from './sends.ts'
import { laneNameOf, reduce as reduceSession } from './session.ts'
import type { Row, Transcript, TranscriptInput } from './transcript.ts'
import type { AttributeDelta, Attributes, EpochMs } from './wire.ts'

/** What the turn has found out, before it says what is sent. */
export interface Traffic {
  /** Every further lease that requests need has a token. */
  readonly canFetch: boolean
  /** The conversation is open, and there is a token. */
  readonly isOpen: boolean
  /** The same, and the platform could take a message now. */
  readonly maySend: boolean
  readonly runs: ReadonlyMap<string, readonly Entry[]>
  /** What the turn commits outlives a power cut. */
  readonly isDurable: boolean
}

type Backfilled = Extract<Input, { type: 'backfilled' }>['outcome'] & { ok: true }

export interface Unkeyed {
  readonly rates: Rates
  /** Nothing when the step may begin now, and then it is counted; else when to look again. */
  admit(draft: Draft, step: Step): EpochMs | undefined
  /** Numbers what is new, drops what is known by its id. */
  numbered(draft: Draft, input: TranscriptInput): TranscriptInput
  /** The history was read: settles what is in it, and lets go again what is not. */
  matched(draft: Draft, claim: Claim, value: Backfilled['value']): readonly Row[]
  /** A run is over. */
  ended(draft: Draft, input: Extract<Input, { type: 'sent' }>): void
  plan(draft: Draft, traffic: Traffic): EpochMs | undefined
  /** What is wrong with a change of attributes, as such platforms count them. */
  refusal(values: Attributes, delta: AttributeDelta, limits: Limits): Problem | undefined
}

/** Ids that are remembered: more than two pages of a history. */
const KNOWN_MAX = 256
const SETTLE_MS = 1_500
/** Histories that no look takes. */
const SPARED = 2
/** An acknowledgement is overdue. */
const LOOK_MS = 1_000

/** @param rates how often the platform lets each step begin */
export const unkeyed = (rates: Rates): Unkeyed => ({ rates, admit, numbered, matched, ended, plan, refusal })

function admit(draft: Draft, step: Step): EpochMs | undefined {
  const { now } = draft.env
  const steps: readonly Step[] = step === 'connect' ? [step] : [step, 'call']
  const at = Math.max(...steps.map((one) => opensAt(draft, one)))
  if (at > now) return at
  for (const one of steps) take(draft, one)
  return undefined
}

/** When so many more than one of them could begin. */
function opensAt({ slots, env, unkeyed: self }: Draft, step: Step, more = 0): EpochMs {
  const rate = self?.rates[step]
  return rate === undefined ? env.now : openAt(rate, slots.spent?.[step] ?? 0, env.now) + more * rate.everyMs
}

function take({ slots, env, unkeyed: self }: Draft, step: Step): void {
  const rate = self?.rates[step]
  if (rate !== undefined) slots.spent = { ...slots.spent, [step]: spend(rate, slots.spent?.[step] ?? 0, env.now) }
}

function numbered(draft: Draft, input: TranscriptInput): TranscriptInput {
  const { transcript } = draft.slots
  if (input.type === 'head') {
    doubt(draft)
    return { type: 'woken' }
  }
  if (input.type !== 'received' && input.type !== 'backfilled') return input
  if (input.type === 'backfilled' && !isRunning(transcript.fetch, input.claim)) return { type: 'woken' }
  const ids = new Set(transcript.known)
  let { seq } = transcript.cursor
  const rows: Row[] = []
  for (const row of input.rows) {
    if (ids.has(row.id) || row.conversationId !== transcript.conversationId) continue
    ids.add(row.id)
    seq += 1
    rows.push({ ...row, seq })
  }
  draft.slots.transcript = { ...transcript, known: [...ids].slice(-KNOWN_MAX) }
  if (input.type === 'received') return { ...input, rows }
  const isFirst = transcript.headSeq === 0
  draft.slots.transcript = {
    ...draft.slots.transcript,
    isDoubtful: false,
    // What was said before this browser first heard of the conversation is history, not unread.
    ...(isFirst && { countedSeq: seq }),
  }
  return { ...input, rows, headSeq: seq }
}

/** A connection says nothing of what was before it, nor of what it holds of our attributes: they go along once more. */
function doubt({ slots }: Draft): void {
  const { values, sending, dirty } = slots.context
  // What is read for the connection before says nothing of what came since.
  slots.transcript = { ...slots.transcript, isDoubtful: true, fetch: letGo(slots.transcript.fetch) }
  // It takes a whole bucket of its own.
  slots.spent = { ...slots.spent, call: 0 }
  slots.context = { ...slots.context, sending: null, dirty: { ...values, ...sending, ...dirty } }
}

/** The first live entries of every lane, as they are at this point of the turn. */
function heads(draft: Draft): Entry[] {
  const read = [...draft.view.runs.values()].flatMap((run) => run.slice(0, 1))
  return read.map((entry) => draft.puts.get(entry.seq) ?? entry).filter(({ seq }) => !draft.drops.has(seq))
}

const certain = ({ sentAt: _, ...entry }: Entry): Entry => entry

function matched(draft: Draft, claim: Claim, value: Backfilled['value']): readonly Row[] {
  if (value.resync) return []
  // One was counted before it was known how many pages there are.
  for (let call = 1; call < (value.calls ?? 1); call++) take(draft, 'fetch')
  // An earlier try may have read the history before the message was sent that is looked for.
  if (!isRunning(draft.slots.transcript.fetch, claim)) return []
  const { slots, env } = draft
  const known = new Set(slots.transcript.known)
  const fresh = value.rows.filter(({ id }) => !known.has(id))
  // The whole history, and nothing of what was known when it was asked for: the platform has forgotten, and began another
  // conversation.
  if (slots.transcript.askedSeq > 0 && fresh.length === value.rows.length && value.rows.length >= value.headSeq) {
    const { conversationId: id } = slots.transcript
    slots.session = reduceSession(slots.session, { type: 'conversation-changed', id, state: 'expired' }, env)
    return []
  }
  const taken = new Map<string, string>()
  const present = laneNameOf(slots.session)
  const { isLook = false } = slots.transcript
  for (const entry of heads(draft)) {
    if (entry.sentAt === undefined || entry.lane !== present) continue
    const own = fresh.find((row) => isOf(row, entry) && !taken.has(row.id))
    if (own !== undefined) {
      taken.set(own.id, entry.key)
      outbox(draft, { type: 'settled', entry })
      // Its acknowledgement was lost: nobody waits for that any longer.
      if (isLook) {
        slots.outbox = withLane(slots.outbox, present, { attempt: IDLE })
        slots.context = { ...slots.context, sending: null }
      }
      // While it was on its way, that it was not there yet says nothing.
    } else if (!isLook) draft.puts.set(entry.seq, certain(entry))
  }
  return value.rows.map((row) => {
    const key = taken.get(row.id)
    return key === undefined ? row : { ...row, key }
  })
}

/** By its key where the history has kept it, else by the very same words of the customer that are nobody else's yet. */
const isOf = (row: Row, entry: Entry): boolean =>
  row.key === undefined ? row.role === 'customer' && row.text === wordsOf(entry) : row.key === entry.key

/** Without a text of its own, a message is shown by the names of what it brings. */
const wordsOf = ({ text, attachments }: Entry): string =>
  text === '' ? (attachments ?? []).map(({ name }) => name).join(' · ') : text

function ended(draft: Draft, { lane, outcome }: Extract<Input, { type: 'sent' }>): void {
  const { slots } = draft
  const { sending, dirty } = slots.context
  const isDropped = !outcome.ok && outcome.verdict === 'drop-attributes'
  if (outcome.ok || isDropped) slots.context = { ...slots.context, sending: null }
  else slots.context = { ...slots.context, sending: null, dirty: { ...sending, ...dirty } }
  if (isDropped) {
    draft.problems.push({ code: outcome.code, message: outcome.reason })
    slots.outbox = withLane(slots.outbox, lane, { attempt: IDLE })
  }
  // It is not known what became of it: the history will tell.
  if (!outcome.ok && outcome.verdict === 'reconcile') return
  const isGone = !outcome.ok && outcome.verdict === 'upload-again'
  for (const entry of heads(draft)) {
    if (entry.lane !== lane || entry.sentAt === undefined) continue
    draft.puts.set(entry.seq, certain(isGone ? anew(entry) : entry))
  }
}

function plan(draft: Draft, traffic: Traffic): EpochMs | undefined {
  const { slots } = draft
  const present = laneNameOf(slots.session)
  const [head] = traffic.runs.get(present) ?? []
  const isUncertain = head?.sentAt !== undefined
  const settledAt = head?.sentAt === undefined ? undefined : head.sentAt + SETTLE_MS
  const readAt = planRead(draft, traffic.maySend && (isUncertain || slots.transcript.isDoubtful === true), settledAt)
  const isReading = slots.transcript.fetch.status === 'running'
  const maySend = traffic.maySend && !isUncertain && !isReading
  return earliest(readAt, planSend(draft, traffic, maySend))
}

function isSending({ slots, env }: Draft, lane: string): boolean {
  const { attempt } = laneOf(slots.outbox, lane)
  return attempt.status === 'running' && !isDue(attempt, env)
}

/**
 * A history that is read while a message is on its way says nothing of what is not in it: one waits for the other, but for
 * a look when the acknowledgement is overdue.
 */
function planRead(draft: Draft, isWanted: boolean, settledAt: EpochMs | undefined): EpochMs | undefined {
  const { slots, env } = draft
  const isAwaited = isSending(draft, laneNameOf(slots.session))
  if (!isAwaited && !isWanted) return undefined
  const { transcript } = slots
  // What was on its way when a connection was lost may arrive a little later than the next connection.
  const isEarly = settledAt !== undefined && env.now < settledAt && settledAt <= env.now + SETTLE_MS
  const readAt = isAwaited ? transcript.lookAt : isEarly && !transcript.isDoubtful ? settledAt : env.now
  if (readAt === undefined || env.now < readAt) return readAt
  const isLook = isAwaited || isEarly
  if (!isDue(transcript.fetch, env)) return nextAt(transcript.fetch)
  // A look can be done without: the last of the bucket is for what must be known.
  const spareAt = isLook ? opensAt(draft, 'fetch', SPARED) : 0
  if (spareAt > env.now) return isAwaited ? spareAt : settledAt
  const heldUntil = admit(draft, 'fetch')
  if (heldUntil !== undefined) return heldUntil
  const fetch = begin(transcript.fetch, env, TRY_MS)
  const { conversationId, cursor } = transcript
  slots.transcript = {
    ...transcript,
    fetch,
    askedSeq: cursor.seq,
    lookAt: undefined,
    isLook,
  } satisfies Transcript
  const claim = claimOf(fetch)
  draft.actions.push({ type: 'backfill', claim, conversationId, afterId: cursor.id })
  return fetch.retryAt
}

/** One at a time: whose outcome is unknown is then beyond doubt. */
function planSend(draft: Draft, { runs, isDurable }: Traffic, maySend: boolean): EpochMs | undefined {
  const { slots, env } = draft
  const present = laneNameOf(slots.session)
  const single = new Map([...runs].map(([lane, run]) => [lane, run.slice(0, 1)]))
  const sends = planOutbox(slots.outbox, single, (lane) => maySend && lane === present, env)
  if (sends.actions.length > 0) {
    // What a power cut could take back would be sent again.
    if (!isDurable) return env.now
    const heldUntil = admit(draft, 'send')
    if (heldUntil !== undefined) return heldUntil
  }
  slots.outbox = sends.state
  let lookAt: EpochMs | undefined
  for (const put of sends.puts) draft.puts.set(put.seq, put)
  for (const action of sends.actions) {
    if (action.type === 'attach') {
      draft.actions.push(action)
      continue
    }
    for (const entry of action.entries) draft.puts.set(entry.seq, { ...entry, sentAt: env.now })
    draft.actions.push({ ...action, ...carried(draft) })
    lookAt = env.now + LOOK_MS
    slots.transcript = { ...slots.transcript, lookAt }
  }
  return earliest(sends.wakeAt, lookAt)
}

/** Attributes go along with a message, the changed ones only, as text. What is removed is emptied. */
function carried({ slots }: Draft): { attributes?: { readonly [name: string]: string } } {
  const { sending, dirty, values } = slots.context
  const delta: AttributeDelta = { ...sending, ...dirty }
  const max = slots.limits?.dataBytesMax ?? Number.POSITIVE_INFINITY
  if (Object.keys(delta).length === 0 || dataBytesOf(values) > max) return {}
  slots.context = { ...slots.context, sending: delta, dirty: {} }
  return { attributes: textsOf(delta) }
}

/** Names the greatest of what is to be changed: that is the one to keep elsewhere. */
function refusal(values: Attributes, delta: AttributeDelta, { dataBytesMax }: Limits): Problem | undefined {
  const bytes = dataBytesOf(merge(values, delta))
  if (dataBytesMax === undefined || bytes <= dataBytesMax) return undefined
  const sizes = Object.entries(delta).map(([name, value]) => ({ name, size: dataBytesOf({ [name]: value }) }))
  const [greatest] = sizes.sort((a, b) => b.size - a.size)
  const message = `The attributes would take ${bytes} bytes together, the platform takes ${dataBytesMax}: store the value of "${greatest?.name}" (${greatest?.size} bytes) elsewhere and keep a reference here.`
  return { code: 'CONTEXT_TOO_LARGE', message }
}
