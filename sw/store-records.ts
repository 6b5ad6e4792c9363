// What happens inside one transaction: the reads of a turn, its writes, and what a snapshot is made from.
// Knows records and requests; connections and deadlines are the business of store-connection.ts.

import { countsOf, EMPTY_OUTBOX, type Entry, isEntry, type Outbox, restore } from '../core/outbox.ts'
import type { Tail, View, Wanted, Writes } from '../core/ports.ts'
import { isSlots, type Slots } from '../core/state.ts'
import { emptyTranscript, isRow, type Row } from '../core/transcript.ts'
import { ignore } from './store-connection.ts'
import { type StoreName, STORES, type Transaction } from './store-schema.ts'

/** So many keys are looked up one by one; more are read as a range, because keys made together lie together. */
const KEYS_ONE_BY_ONE_MAX = 8
/** A range with more records than this holds mostly others. */
const RANGE_RECORDS_MAX = 1_000
/** No log is longer: where a search backwards starts when nothing better is known. */
const SEQ_MAX = 2 ** 31

/** Written by us, and in the lane's index exactly while it waits to be sent. */
const isSound = (value: unknown): value is Entry =>
  isEntry(value) && value.live === (value.held === undefined ? value.lane : undefined)

/** The counters as the entries have them. What is running or waiting stays so. */
function recount(outbox: Outbox, entries: readonly Entry[]): Outbox {
  const { lanes, nextSeq, ...counts } = restore(entries)
  const kept = Object.entries(lanes).map(([name, lane]) => [name, { ...lane, ...outbox.lanes[name], size: lane.size }])
  return { ...counts, nextSeq: Math.max(nextSeq, outbox.nextSeq), lanes: Object.fromEntries(kept) }
}

/** The platform has every row: those that miss here are fetched again with all others. */
const reread = (slots: Slots): Slots => ({
  ...slots,
  transcript: { ...slots.transcript, cursor: { seq: 0, id: '' }, above: [] },
})

/** What was remembered, made to agree with a disk that has only these entries and no transcript. */
export const survive = (slots: Slots, entries: readonly Entry[]): Slots => ({
  ...reread(slots),
  outbox: recount(slots.outbox, entries),
})

interface Source {
  get(key: string): Promise<unknown>
  getAll(range: IDBKeyRange, max: number): Promise<unknown[]>
}

async function byKeys(index: Source, keys: readonly string[]): Promise<unknown[]> {
  if (keys.length > KEYS_ONE_BY_ONE_MAX) {
    const sorted = [...keys].sort()
    const range = IDBKeyRange.bound(sorted[0], sorted.at(-1))
    const near = await index.getAll(range, RANGE_RECORDS_MAX + 1)
    const wanted = new Set<unknown>(keys)
    if (near.length <= RANGE_RECORDS_MAX) return near.filter((record) => wanted.has((record as { key: unknown }).key))
  }
  const found = await Promise.all(keys.map((key) => index.get(key)))
  return found.filter((record) => record !== undefined)
}

const lookUp = (tx: Transaction, keys: readonly string[]): Promise<[unknown[], unknown[]]> =>
  Promise.all([
    byKeys(tx.objectStore('outbox').index('key'), keys),
    byKeys(tx.objectStore('transcript').index('key'), keys),
  ])

const mapOf = <T extends { readonly key?: string }>(
  values: unknown[],
  is: (value: unknown) => value is T,
): Map<string, T> => new Map(values.filter(is).map((value) => [value.key as string, value]))

const mapsOf = ([entries, rows]: readonly [unknown[], unknown[]]): Pick<View, 'entries' | 'rows'> => ({
  entries: mapOf(entries, isSound),
  rows: mapOf(rows, isRow),
})

export async function find(tx: Transaction, keys: readonly string[]): Promise<Pick<View, 'entries' | 'rows'>> {
  return mapsOf(await lookUp(tx, keys))
}

/** The first entries of each lane that has some, or nothing when they do not agree with the counters. */
async function runsOf(tx: Transaction, { lanes }: Outbox, max: number): Promise<Map<string, Entry[]> | undefined> {
  const runs = new Map<string, Entry[]>()
  const isRight = await Promise.all(
    Object.entries(lanes).map(async ([name, { size }]) => {
      const enough = Math.min(size, max)
      // What was not read is not in the map: an empty run would mean that the lane is known to be empty.
      if (enough <= 0) return true
      const run = await tx.objectStore('outbox').index('live').getAll(name, max)
      runs.set(name, run as Entry[])
      return run.length >= enough && run.every(isSound)
    }),
  )
  return isRight.every(Boolean) ? runs : undefined
}

/**
 * One turn in one transaction. A throw of `decide` is handed back in the answer, because it is no failure of the
 * database: it must neither be tried again nor be translated.
 *
 * Nothing comes back, and nothing is done, where more stores are needed than the transaction has.
 *
 * @param last the slots as last committed here: they stand in when those on the disk are gone, or nobody's
 */
export async function turn<T extends { writes: Writes }>(
  tx: Transaction<'readwrite'>,
  wanted: Wanted,
  decide: (view: View) => T,
  last: Slots | undefined,
): Promise<{ result: T; isRevived: boolean } | { thrown: unknown } | undefined> {
  const hasAll = tx.objectStoreNames.contains('files')
  const pending: Promise<unknown>[] = []
  // All are issued at once and awaited at the end. If the transaction ends before, that they failed is not news.
  const issue = (write: Promise<unknown>): void => {
    write.catch(ignore)
    pending.push(write)
  }
  let corrupt = 0
  const putAside = (store: StoreName, key: IDBValidKey, value: unknown): void => {
    corrupt += 1
    if (!hasAll) return
    issue(tx.objectStore('quarantine').add({ store, value }))
    issue(tx.objectStore(store).delete(key))
  }
  const [stored, [entries, rows]] = await Promise.all([tx.objectStore('slots').get('state'), lookUp(tx, wanted.keys)])
  const broken = rows.filter((row) => !isRow(row)) as Row[]
  for (const row of broken) putAside('transcript', [row.conversationId, row.seq], row)
  let slots = isSlots(stored) ? stored : undefined
  // Sealed while the option was on: kept along, it would come back in the place of what is set since.
  delete (slots as { box?: unknown } | undefined)?.box
  if (slots && broken.length > 0) slots = reread(slots)
  let runs = slots && entries.every(isSound) && (await runsOf(tx, slots.outbox, wanted.runEntries))
  const orphans: Entry[] = []
  if (!runs) {
    // The long way, for what is missing or broken: every entry is looked at and the counters are made anew.
    for (const entry of await tx.objectStore('outbox').getAll()) {
      if (isSound(entry)) orphans.push(entry)
      else putAside('outbox', (entry as Entry).seq, entry)
    }
    if (slots) slots = { ...slots, outbox: recount(slots.outbox, orphans) }
    else {
      if (stored !== undefined) putAside('slots', 'state', stored)
      slots = last && survive(last, orphans)
    }
    if (slots) orphans.length = 0
    runs = slots && (await runsOf(tx, slots.outbox, wanted.runEntries))
  }
  const view = { slots, runs: runs ?? new Map(), orphans, ...mapsOf([entries, rows]), corrupt }
  if (corrupt > 0 && !hasAll) return void tx.abort()
  let result: T
  try {
    result = decide(view)
  } catch (thrown) {
    tx.abort()
    return { thrown }
  }
  if (!hasAll && isWide(result.writes)) return void tx.abort()
  write(tx, result.writes, stored, issue)
  // Nothing else comes: the browser need not wait to see it.
  tx.commit()
  await Promise.all([...pending, tx.done])
  return { result, isRevived: stored === undefined && last !== undefined }
}

const isWide = ({ wipe, putFiles, dropFiles }: Writes): boolean =>
  wipe === true || Boolean(putFiles?.length || dropFiles?.length)

/** What is dropped together mostly lies together: one request for each span without a hole. */
function spansOf(entries: readonly Entry[]): [number, number][] {
  const spans: [number, number][] = []
  for (const seq of entries.map((entry) => entry.seq).sort((a, b) => a - b)) {
    const last = spans.at(-1)
    if (last?.[1] === seq - 1) last[1] = seq
    else spans.push([seq, seq])
  }
  return spans
}

function write(
  tx: Transaction<'readwrite'>,
  { slots, putEntries, dropEntries, putRows, putFiles = [], dropFiles = [], rowsEnd = [], wipe }: Writes,
  stored: unknown,
  issue: (write: Promise<unknown>) => void,
): void {
  const [outbox, transcript] = [tx.objectStore('outbox'), tx.objectStore('transcript')]
  if (wipe) for (const name of STORES) if (name !== 'slots') issue(tx.objectStore(name).clear())
  for (const key of dropFiles) issue(tx.objectStore('files').delete(IDBKeyRange.bound([key], [key, []])))
  for (const { key, contents } of putFiles)
    for (const [index, content] of contents.entries()) issue(tx.objectStore('files').put(content, [key, index]))
  for (const entry of putEntries) issue(outbox.put(entry))
  for (const [low, high] of spansOf(dropEntries)) issue(outbox.delete(IDBKeyRange.bound(low, high)))
  for (const { conversationId: id, seq } of rowsEnd)
    issue(transcript.delete(IDBKeyRange.bound([id, seq], [id, SEQ_MAX], true)))
  for (const row of putRows) issue(transcript.put(row))
  if (slots !== stored) issue(tx.objectStore('slots').put(slots, 'state'))
}

export const fileOf = (tx: Transaction, key: string, index: number): Promise<unknown> =>
  tx.objectStore('files').get([key, index])

/** The newest rows below `before`, oldest first. */
export const rowsOf = async (...of: Parameters<typeof recordsOf>): Promise<Row[]> =>
  (await recordsOf(...of)).filter(isRow)

async function recordsOf(tx: Transaction, conversationId: string, before: number, max: number): Promise<unknown[]> {
  const end = Math.min(before, SEQ_MAX)
  const range = (low: number): IDBKeyRange => IDBKeyRange.bound([conversationId, low], [conversationId, end - 1])
  return newest((low) => tx.objectStore('transcript').getAll(range(low)), end, max, max, max)
}

/**
 * No request reads backwards: so a span is read that would do if it were dense, and a wider one as long as that gives
 * less than `enough`. What is read too much is bounded by the factor.
 */
async function newest(
  readFrom: (low: number) => Promise<unknown[]>,
  end: number,
  span: number,
  enough: number,
  max: number,
): Promise<unknown[]> {
  const found = max > 0 ? await readFrom(end - span) : []
  if (found.length < enough && span < end) return newest(readFrom, end, span * 8, enough, max)
  return found.slice(-max)
}

/** Puts aside every row that cannot be understood. A search through all of them: it is made when one was met. */
export async function repair(tx: Transaction<'readwrite'>): Promise<number> {
  const broken = (await tx.objectStore('transcript').getAll()).filter((row) => !isRow(row)) as Row[]
  const slots = await tx.objectStore('slots').get('state')
  const writes: Promise<unknown>[] = broken.flatMap((row) => [
    tx.objectStore('quarantine').add({ store: 'transcript', value: row }),
    tx.objectStore('transcript').delete([row.conversationId, row.seq]),
  ])
  if (isSlots(slots)) writes.push(tx.objectStore('slots').put({ ...reread(slots), rev: slots.rev + 1 }, 'state'))
  await Promise.all([...writes, tx.done])
  return broken.length
}

/** What the end of the log and of the queue are found by. */
function endsOf(slots: Slots | undefined) {
  const outbox = slots?.outbox ?? EMPTY_OUTBOX
  const size = Object.values(countsOf(outbox)).reduce((sum, count) => sum + count)
  const { conversationId, headSeq } = slots?.transcript ?? emptyTranscript('')
  return { conversationId, headSeq, nextSeq: outbox.nextSeq, size }
}

/**
 * The ends are asked for together with the slots, as they were when last seen: mostly nothing has changed since, and
 * a way to the disk is spared.
 *
 * @param last as for a turn
 */
export async function tail(
  tx: Transaction,
  rowsMax: number,
  entriesMax: number,
  last: Slots | undefined,
): Promise<Tail & { readonly isBroken?: boolean }> {
  const from = (low: number): Promise<unknown[]> => tx.objectStore('outbox').getAll(IDBKeyRange.lowerBound(low))
  const read = ({ conversationId, headSeq, nextSeq, size }: ReturnType<typeof endsOf>) =>
    Promise.all([
      recordsOf(tx, conversationId, headSeq + 1, rowsMax),
      newest(from, nextSeq, size > entriesMax ? entriesMax : nextSeq, Math.min(size, entriesMax), entriesMax),
    ])
  const seen = endsOf(last)
  const ahead = last && read(seen)
  ahead?.catch(ignore)
  const stored = (await tx.objectStore('slots').get('state')) ?? last
  const slots = isSlots(stored) ? stored : undefined
  const ends = endsOf(slots)
  const isAsSeen = Object.values(ends).join() === Object.values(seen).join()
  const [rows, entries] = await (isAsSeen && ahead ? ahead : read(ends))
  return { slots, rows: rows.filter(isRow), entries: entries.filter(isSound), isBroken: !rows.every(isRow) }
}

export const oldest = async (tx: Transaction, max: number): Promise<Entry[]> =>
  (await tx.objectStore('outbox').getAll(undefined, max)).filter(isSound)
