// The store in memory: for a browser that lets nothing be stored, and for tests. It forgets when the worker stops.
// It owes what the store on disk owes (test/contract/store.ts); records go in and out as copies.

import type { Entry } from '../core/outbox.ts'
import type { Store } from '../core/ports.ts'
import { afterWipe, type Slots } from '../core/state.ts'
import { copy, newest, Records } from './memory-records.ts'
import type { Kept, KeyStore } from './vault.ts'

/** A store with its keys, as openStore gives it. */
export interface OpenStore extends Store {
  readonly keys: KeyStore
  close(): void
}

/**
 * @param seed the slots to go on from, when the database was lost in mid-session
 * @param kept the entries that could still be read from it
 */
export function memoryStore(seed?: Slots, kept: readonly Entry[] = []): OpenStore {
  let slots = copy(seed)
  const secrets = new Map<string, Kept>()
  const records = new Records(kept)

  return {
    kind: 'memory',
    async turn({ runEntries, keys }, decide) {
      // Nothing is awaited from here to the end: that is what makes it one transaction.
      const runs = new Map<string, Entry[]>()
      for (const [lane, { size }] of Object.entries(slots?.outbox.lanes ?? {})) {
        if (runEntries > 0 && size > 0) runs.set(lane, copy(records.runOf(lane, runEntries)))
      }
      const orphans = slots ? [] : copy(records.entries.all())
      const result = decide({ slots: copy(slots), orphans, runs, ...records.find(keys), corrupt: 0 })
      // Copied whole before anything changes: what cannot be stored changes nothing, as on a disk.
      const writes = copy(result.writes)
      if (writes.wipe) secrets.clear()
      slots = writes.slots
      records.write(writes)
      return result
    },
    tail: async (rowsMax, entriesMax) => ({
      slots: copy(slots),
      rows: records.rowsOf(slots?.transcript.conversationId ?? '', Infinity, rowsMax),
      entries: newest(records.entries.all(), entriesMax),
    }),
    find: async (keys) => records.find(keys),
    rows: async (conversationId, before, limit) => records.rowsOf(conversationId, before, limit),
    file: async (key, index) => copy(records.files.get(key)?.[index]),
    entries: async (limit) => copy(records.entries.first(limit)),
    async shred() {
      slots = slots && (afterWipe(slots) ?? slots)
      const epoch = slots?.session.epoch
      return records.strangers(epoch)
    },
    keys: {
      get: async <K extends Kept>(name = 'key') => secrets.get(name) as K | undefined,
      async putIfAbsent(key, name = 'key') {
        if (!secrets.has(name)) secrets.set(name, key)
        return secrets.get(name) as typeof key
      },
      async clear() {
        secrets.clear()
      },
    },
    close() {},
  }
}
