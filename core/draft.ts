// The state of a turn while it is being decided: what was read, what has changed so far, what will be written.
// A mutable desk for pure machines: it lives for one synchronous decision and is thrown away.

import { corruption } from './advice.ts'
import { type Env, isHeld } from './attempt.ts'
import { reduce as reduceContext } from './context.ts'
import type { Action, Problem } from './inputs.ts'
import { type Change, type Entry, type OutboxInput, reduce as reduceOutbox } from './outbox.ts'
import type { View, Writes } from './ports.ts'
import { newSlots, type Slots } from './state.ts'
import { cut } from './marks.ts'
import type { told } from './fold-told.ts'
import type { planLease } from './leases.ts'
import type { Unkeyed } from './unkeyed.ts'
import { emptyTranscript, type Row, reduce as reduceTranscript, type TranscriptInput } from './transcript.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export interface Draft {
  readonly env: Env
  readonly view: View
  readonly slots: Mutable<Slots>
  readonly puts: Map<number, Entry>
  readonly drops: Map<number, Entry>
  readonly rows: Row[]
  /** What new entries bring along. */
  readonly files: Map<string, readonly unknown[]>
  /** The log ends here: what is stored above was taken back by the platform. */
  endSeq: number | undefined
  /** Conversations of which nothing stays: the service keeps them no more. */
  readonly gone: string[]
  readonly actions: Action[]
  readonly problems: Problem[]
  readonly unkeyed: Unkeyed | undefined
  readonly told: typeof told | undefined
  /** Leases of which somebody needs a token now. */
  readonly needed: Set<string>
  /** Leases that a tab has offered to supply, while nobody had asked. */
  readonly offered: Set<string>
  isWiped: boolean
}

/** What a deployment can do without: its worker need not carry it then. */
export interface Spare {
  /** Where the platform may say more on the stream than what happens in a conversation. */
  readonly told?: typeof told | undefined
  /** Where there may be leases beside that of the session. */
  readonly planLease?: typeof planLease | undefined
}

export function newDraft(
  view: View,
  env: Env,
  { unkeyed, told }: Spare & { readonly unkeyed?: Unkeyed | undefined },
): Draft {
  // There are never more turns than milliseconds, so the clock is above every revision there was.
  const slots = { ...(view.slots ?? newSlots(env.key(), view.orphans, env.now)) }
  const problems = view.corrupt > 0 ? [corruption(view.corrupt)] : []
  const changes = {
    puts: new Map(),
    drops: new Map(),
    rows: [],
    files: new Map<string, readonly unknown[]>(),
    endSeq: undefined,
    gone: [],
    actions: [],
    problems,
    needed: new Set<string>(),
    offered: new Set<string>(),
  }
  return { env, view, slots, ...changes, unkeyed, told, isWiped: false }
}

/** The entry with this key as it is at this point of the turn. */
export function entryOf(draft: Draft, key: string): Entry | undefined {
  for (const entry of draft.puts.values()) if (entry.key === key) return entry
  const stored = draft.isWiped ? undefined : draft.view.entries.get(key)
  return stored === undefined || draft.drops.has(stored.seq) ? undefined : stored
}

/** The confirmed message with this key. */
export const rowOf = (draft: Draft, key: string): Row | undefined =>
  (draft.isWiped ? undefined : draft.view.rows.get(key)) ?? draft.rows.find((row) => row.key === key)

/** Empties the desk, too: nothing that was read or changed before may be written behind the wipe. */
export function wipe(draft: Draft): void {
  draft.puts.clear()
  draft.drops.clear()
  draft.rows.length = 0
  draft.files.clear()
  draft.isWiped = true
}

export function outbox(draft: Draft, input: OutboxInput): Change {
  const change = reduceOutbox(draft.slots.outbox, input, draft.env)
  draft.slots.outbox = change.state
  // The platform spoke of a message: the connection is worth something.
  const { session } = draft.slots
  if ((input.type === 'settled' || input.type === 'refused') && session.stream.owedSince > 0)
    draft.slots.session = { ...session, stream: { ...session.stream, owedSince: 0 } }
  if (change.drop !== undefined) {
    draft.puts.delete(change.drop.seq)
    draft.drops.set(change.drop.seq, change.drop)
  }
  if (change.put !== undefined) draft.puts.set(change.put.seq, change.put)
  return change
}

export function transcript(draft: Draft, input: TranscriptInput): void {
  const numbered = draft.unkeyed?.numbered(draft, input) ?? input
  const { state, rows, endSeq, isOther } = reduceTranscript(draft.slots.transcript, numbered, draft.env)
  draft.slots.transcript = state
  const { conversationId: id } = state
  const marks = draft.slots.marks?.[id]
  const end = isOther ? 0 : endSeq
  if (marks && end !== undefined) draft.slots.marks = { ...draft.slots.marks, [id]: cut(marks, end) }
  if (endSeq !== undefined) draft.endSeq = endSeq
  for (const row of rows) draft.rows.push({ ...row, epoch: draft.slots.session.epoch })
}

/** Messages that the platform holds. One of ours settles its entry: echo or acknowledgement, whichever is first. */
export function receive(draft: Draft, rows: readonly Row[]): void {
  for (const row of rows) {
    const entry = row.key === undefined ? undefined : entryOf(draft, row.key)
    if (entry !== undefined) outbox(draft, { type: 'settled', entry })
  }
  transcript(draft, { type: 'received', rows })
}

/** Keeps the transcript on the present conversation, and tells that one every attribute. Rows of others stay. */
export function followConversation({ slots, env }: Draft): void {
  const id = slots.session.conversation?.id ?? ''
  if (slots.transcript.conversationId === id) return
  // A wish of the platform is about all of it.
  const { fetch } = slots.transcript
  slots.transcript = { ...emptyTranscript(id), ...(isHeld(fetch, env.now) && { fetch }) }
  slots.context = reduceContext(slots.context, { type: 'conversation-made', version: 0, values: null }, env)
}

/**
 * The first live entries of each lane as they are now. What was put in this turn joins a lane only where the whole lane
 * was read: behind a page that was cut off, it is not the next one. A lane of which nothing is known is not in the map.
 */
export function runsOf(draft: Draft, runEntries: number): Map<string, Entry[]> {
  const runs = new Map<string, Entry[]>()
  if (runEntries === 0) return runs
  for (const lane of Object.keys(draft.slots.outbox.lanes)) {
    const read = draft.view.runs.get(lane) ?? []
    const isWhole = read.length < runEntries
    const last = read.at(-1)?.seq ?? 0
    const entries = read.filter((entry) => !draft.drops.has(entry.seq) && !draft.puts.has(entry.seq))
    for (const entry of draft.puts.values()) {
      if (entry.live === lane && (isWhole || entry.seq < last)) entries.push(entry)
    }
    entries.sort((a, b) => a.seq - b.seq)
    if (isWhole || entries.length > 0) runs.set(lane, entries)
  }
  return runs
}

/** What an entry brings along goes with it. One that moves to another lane keeps its key, and with it its files. */
function filesOf({ files, puts, drops }: Draft): Pick<Writes, 'putFiles' | 'dropFiles'> {
  const kept = new Set([...puts.values()].map(({ key }) => key))
  const gone = [...drops.values()].filter(({ key, attachments }) => attachments && !kept.has(key))
  const brought = [...files].filter(([key]) => kept.has(key))
  return {
    ...(brought.length > 0 && { putFiles: brought.map(([key, contents]) => ({ key, contents })) }),
    ...(gone.length > 0 && { dropFiles: gone.map(({ key }) => key) }),
  }
}

function endsOf({ slots, endSeq, gone }: Draft): Pick<Writes, 'rowsEnd'> {
  const ends = gone.map((conversationId) => ({ conversationId, seq: 0 }))
  if (endSeq !== undefined) ends.push({ conversationId: slots.transcript.conversationId, seq: endSeq })
  return ends.length > 0 ? { rowsEnd: ends } : {}
}

export function writesOf(draft: Draft): Writes {
  const before = draft.view.slots
  const parts = Object.keys(draft.slots) as (keyof Slots)[]
  const isSame = before !== undefined && parts.every((part) => draft.slots[part] === before[part])
  const hasChanged = !isSame || draft.puts.size + draft.drops.size + draft.rows.length > 0 || draft.isWiped
  return {
    slots: hasChanged ? { ...draft.slots, rev: draft.slots.rev + 1 } : (before as Slots),
    putEntries: [...draft.puts.values()],
    dropEntries: [...draft.drops.values()].filter((entry) => !draft.puts.has(entry.seq)),
    putRows: draft.rows.filter(({ conversationId }) => !draft.gone.includes(conversationId)),
    ...filesOf(draft),
    ...endsOf(draft),
    wipe: draft.isWiped,
  }
}
