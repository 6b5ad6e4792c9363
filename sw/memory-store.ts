// The store in memory: for a browser that lets nothing be stored, and for tests. It forgets when the worker stops.
// It owes what the store on disk owes (test/contract/store.ts); records go in and out as copies.

import type { Entry } from '../core/outbox.ts'
import type { Store } from '../core/ports.ts'
import type { Slots } from '../core/state.ts'
import type { Row } from '../core/transcript.ts'
import type { KeyStore } from './vault.ts'

/** A store with its keys, as openStore gives it. */
export interface OpenStore extends Store {
  readonly keys: KeyStore
  close(): void
}

const copy = structuredClone

const newest = <T>(records: readonly T[], max: number): T[] => (max > 0 ? copy(records.slice(-max)) : [])

const keyed = <T extends { readonly key?: string }>(records: readonly T[], keys: readonly string[]): Map<string, T> => {
  const wanted = new Set<unknown>(keys)
  const found = records.filter(({ key }) => wanted.has(key))
  return new Map(found.map((record) => [record.key as string, copy(record)]))
}

/** @param seed the slots to go on from, when the database was lost in mid-session */
export function memoryStore(seed?: Slots): OpenStore {
  let slots = copy(seed)
  let kept: CryptoKey | undefined
  /** In the order of `seq`: a new entry has the highest, and one that is put again keeps its place. */
  const entries = new Map<number, Entry>()
  const rows = new Map<string, Row>()

  const all = (): Entry[] => [...entries.values()]
  const find = (keys: readonly string[]) => ({ entries: keyed(all(), keys), rows: keyed([...rows.values()], keys) })
  const rowsOf = (conversationId: string, before: number, max: number): Row[] => {
    const mine = [...rows.values()].filter((row) => row.conversationId === conversationId && row.seq < before)
    mine.sort((a, b) => a.seq - b.seq)
    return newest(mine, max)
  }

  return {
    kind: 'memory',
    async turn({ runEntries, keys }, decide) {
      // Nothing is awaited from here to the end: that is what makes it one transaction.
      const runs = new Map<string, Entry[]>()
      for (const [lane, { size }] of Object.entries(slots?.outbox.lanes ?? {})) {
        const run = all().filter(({ live }) => live === lane)
        if (runEntries > 0 && size > 0) runs.set(lane, copy(run.slice(0, runEntries)))
      }
      const result = decide({ slots: copy(slots), orphans: slots ? [] : copy(all()), runs, ...find(keys), corrupt: 0 })
      // Copied whole before anything changes: what cannot be stored changes nothing, as on a disk.
      const writes = copy(result.writes)
      if (writes.wipe) {
        entries.clear()
        rows.clear()
      }
      slots = writes.slots
      for (const entry of writes.putEntries) entries.set(entry.seq, entry)
      for (const { seq } of writes.dropEntries) entries.delete(seq)
      for (const row of writes.putRows) rows.set(`${row.seq} ${row.conversationId}`, row)
      return result
    },
    tail: async (rowsMax, entriesMax) => ({
      slots: copy(slots),
      rows: rowsOf(slots?.transcript.conversationId ?? '', Infinity, rowsMax),
      entries: newest(all(), entriesMax),
    }),
    find: async (keys) => find(keys),
    rows: async (conversationId, before, limit) => rowsOf(conversationId, before, limit),
    entries: async (limit) => copy(all().slice(0, limit)),
    keys: {
      get: async () => kept,
      putIfAbsent: async (key) => (kept ??= key),
      async clear() {
        kept = undefined
      },
    },
    close() {},
  }
}
