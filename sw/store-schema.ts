// The database of a deployment: its stores and indexes, and the steps that lead there from every older version.
// What is in the records is the business of core/; how they are read and written, of store-records.ts.

import type { DBSchema, IDBPDatabase, IDBPTransaction } from 'idb'
import { migrated } from '../core/state.ts'
import type { Kept } from './vault.ts'

/** Values are unknown until a guard of core/ has seen them: a disk may give back anything. */
export interface Schema extends DBSchema {
  slots: { key: string; value: unknown }
  outbox: { key: IDBValidKey; value: unknown; indexes: { key: string; live: string } }
  transcript: { key: IDBValidKey; value: unknown; indexes: { key: string; at: number } }
  /** What could not be understood, and where it was. */
  quarantine: { key: number; value: { readonly store: string; readonly value: unknown } }
  vault: { key: string; value: Kept }
  /** What an entry is to bring along, by its key and its place in it. */
  files: { key: [string, number]; value: unknown }
}

export const STORES = ['slots', 'outbox', 'transcript', 'quarantine', 'vault', 'files'] as const
/** All that most turns touch. Each further store costs a transaction a lock, and time. */
export const MAIN = ['slots', 'outbox', 'transcript'] as const
export type StoreName = (typeof STORES)[number]
export type Database = IDBPDatabase<Schema>
export type Transaction<Mode extends IDBTransactionMode = IDBTransactionMode> = IDBPTransaction<
  Schema,
  typeof STORES,
  Mode
>
type Step = (database: Database, transaction: Transaction<'versionchange'>) => unknown

export const databaseOf = (deployment: string): string => `holdfast:${deployment}`

/** Step n leads from version n to n + 1. A released step is never changed; a new version appends one. */
export const STEPS: readonly Step[] = [
  (database) => {
    database.createObjectStore('slots')
    const outbox = database.createObjectStore('outbox', { keyPath: 'seq' })
    outbox.createIndex('key', 'key')
    // Sparse: an entry that is set aside has no `live`, so a lane is read without stepping over it.
    outbox.createIndex('live', 'live')
    database.createObjectStore('transcript', { keyPath: ['conversationId', 'seq'] }).createIndex('key', 'key')
    database.createObjectStore('quarantine', { autoIncrement: true })
    database.createObjectStore('vault')
  },
  async (database, transaction) => {
    database.createObjectStore('files')
    // Over all conversations: what is oldest goes first when room is needed.
    transaction.objectStore('transcript').createIndex('at', 'at')
    const slots = transaction.objectStore('slots')
    const former = await slots.get('state')
    if (former !== undefined) await slots.put(migrated(former), 'state')
  },
]

/** A step that fails takes all of them back: the database stays as the older version left it. */
export async function upgrade(database: Database, from: number, transaction: Transaction<'versionchange'>) {
  try {
    for (const step of STEPS.slice(from)) {
      const done = step(database, transaction)
      if (done !== undefined) await done
    }
  } catch {
    transaction.abort()
  }
}
