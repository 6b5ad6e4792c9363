// The records of the store in memory: entries by lane, rows by conversation, both by key.
// What a turn reads of them does not grow with how many there are.

import type { Entry } from '../core/outbox.ts'
import type { View, Writes } from '../core/ports.ts'
import type { Row } from '../core/transcript.ts'

export const copy = structuredClone

export const newest = <T>(records: readonly T[], max: number): T[] => (max > 0 ? copy(records.slice(-max)) : [])

/** Records in the order of `seq`, found by key as well: what a turn costs does not grow with how many there are. */
class Shelf<T extends { readonly seq: number; readonly key?: string }> {
  readonly bySeq = new Map<number, T>()
  readonly #byKey = new Map<string, T>()
  #isSorted = true
  #last = 0

  put(record: T): void {
    const former = this.bySeq.get(record.seq)
    if (former?.key !== undefined) this.#byKey.delete(former.key)
    // One that is put again keeps its place; only one that comes late is out of order.
    if (former === undefined && record.seq < this.#last) this.#isSorted = false
    this.#last = Math.max(this.#last, record.seq)
    this.bySeq.set(record.seq, record)
    if (record.key !== undefined) this.#byKey.set(record.key, record)
  }

  drop(seq: number): void {
    const former = this.bySeq.get(seq)
    this.bySeq.delete(seq)
    if (former?.key !== undefined && this.#byKey.get(former.key) === former) this.#byKey.delete(former.key)
  }

  of(key: string): T | undefined {
    return this.#byKey.get(key)
  }

  first(max: number): T[] {
    const found: T[] = []
    for (const record of this.#sorted()) {
      if (found.length >= max) break
      found.push(record)
    }
    return found
  }

  all(): T[] {
    return [...this.#sorted()]
  }

  #sorted(): Iterable<T> {
    if (!this.#isSorted) {
      const records = [...this.bySeq.values()].sort((a, b) => a.seq - b.seq)
      this.bySeq.clear()
      for (const record of records) this.bySeq.set(record.seq, record)
      this.#isSorted = true
    }
    return this.bySeq.values()
  }
}

const found = <T>(keys: readonly string[], of: (key: string) => T | undefined): Map<string, T> =>
  new Map(
    keys.flatMap((key) => {
      const record = of(key)
      return record === undefined ? [] : [[key, copy(record)]]
    }),
  )

function shelfIn<T extends { readonly seq: number; readonly key?: string }>(
  shelves: Map<string, Shelf<T>>,
  name: string,
): Shelf<T> {
  const shelf = shelves.get(name) ?? new Shelf<T>()
  shelves.set(name, shelf)
  return shelf
}

export class Records {
  readonly entries = new Shelf<Entry>()
  readonly files = new Map<string, readonly unknown[]>()
  readonly #lanes = new Map<string, Shelf<Entry>>()
  readonly #transcripts = new Map<string, Shelf<Row>>()

  constructor(entries: readonly Entry[]) {
    for (const entry of entries) this.#put(copy(entry))
  }

  runOf(lane: string, max: number): Entry[] {
    return this.#lanes.get(lane)?.first(max) ?? []
  }

  find(keys: readonly string[]): Pick<View, 'entries' | 'rows'> {
    return { entries: found(keys, (key) => this.entries.of(key)), rows: found(keys, (key) => this.#rowWith(key)) }
  }

  rowsOf(conversationId: string, before: number, max: number): Row[] {
    const rows = this.#transcripts.get(conversationId)?.all() ?? []
    return newest(
      rows.filter(({ seq }) => seq < before),
      max,
    )
  }

  /** How many are of another identity. */
  strangers(epoch: string | undefined): number {
    const rows = [...this.#transcripts.values()].flatMap((shelf) => shelf.all())
    return [...this.entries.all(), ...rows].filter((record) => record.epoch !== epoch).length
  }

  write({ putEntries, dropEntries, putRows, putFiles = [], dropFiles = [], rowsEnd = [], wipe }: Writes): void {
    if (wipe) {
      this.files.clear()
      for (const { seq } of this.entries.all()) this.#drop(seq)
      this.#transcripts.clear()
    }
    for (const key of dropFiles) this.files.delete(key)
    for (const { key, contents } of putFiles) this.files.set(key, contents)
    for (const entry of putEntries) this.#put(entry)
    for (const { seq } of dropEntries) this.#drop(seq)
    for (const { conversationId, seq: end } of rowsEnd) {
      const ended = this.#transcripts.get(conversationId)
      for (const { seq } of ended?.all() ?? []) if (seq > end) ended?.drop(seq)
    }
    for (const row of putRows) shelfIn(this.#transcripts, row.conversationId).put(row)
  }

  #put(entry: Entry): void {
    this.#drop(entry.seq)
    this.entries.put(entry)
    if (entry.live !== undefined) shelfIn(this.#lanes, entry.live).put(entry)
  }

  #drop(seq: number): void {
    const live = this.entries.bySeq.get(seq)?.live
    if (live !== undefined) this.#lanes.get(live)?.drop(seq)
    this.entries.drop(seq)
  }

  #rowWith(key: string): Row | undefined {
    for (const rows of this.#transcripts.values()) {
      const row = rows.of(key)
      if (row !== undefined) return row
    }
    return undefined
  }
}
