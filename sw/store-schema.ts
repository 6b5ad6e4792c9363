// The database of a deployment: its stores and indexes, and the steps that lead there from every older version.
// What is in the records is the business of core/; how they are read and written, of store-records.ts.

import type { DBSchema, IDBPDatabase, IDBPTransaction } from 'idb'

/** Values are unknown until a guard of core/ has seen them: a disk may give back anything. */
export interface Schema extends DBSchema {
  slots: { key: string; value: unknown }
  outbox: { key: IDBValidKey; value: unknown; indexes: { key: string; live: string } }
  transcript: { key: IDBValidKey; value: unknown; indexes: { key: string } }
  /** What could not be understood, and where it was. */
  quarantine: { key: number; value: { readonly store: string; readonly value: unknown } }
  vault: { key: string; value: CryptoKey }
}

export const STORES = ['slots', 'outbox', 'transcript', 'quarantine', 'vault'] as const
export type StoreName = (typeof STORES)[number]
export type Database = IDBPDatabase<Schema>
export type Transaction<Mode extends IDBTransactionMode = IDBTransactionMode> = IDBPTransaction<
  Schema,
  typeof STORES,
  Mode
>
type Step = (database: Database, transaction: Transaction<'versionchange'>) => void

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
]

export function upgrade(database: Database, from: number, transaction: Transaction<'versionchange'>): void {
  for (const step of STEPS.slice(from)) step(database, transaction)
}
