// One connection to the database, with a deadline on everything and a second try on a fresh connection.
// What a transaction does is said by the caller; what a failure means for the session, by store.ts.

import { openDB } from 'idb'
import type { Clock } from '../core/ports.ts'
import { SCHEMA_VERSION } from '../core/state.ts'
import type { Around } from './encryption.ts'
import { type Database, type Schema, type StoreName, STORES, type Transaction, upgrade } from './store-schema.ts'

export const OPEN_TIMEOUT_MS = 3_000
export const OPERATION_TIMEOUT_MS = 5_000

/** The connection went away, hangs or may not be had: what a fresh one may cure. */
export const isLost = (error: unknown): boolean =>
  /^(InvalidState|Unknown|Abort|Timeout|Security)Error$/.test((Object(error) as Error).name)

export const ignore = (): void => {}

export interface Connection {
  open(): Promise<Database>
  /**
   * One transaction. After a lost connection or a missed deadline it is tried once more, from its first line. An
   * attempt that is given up is aborted, but its commit may have been under way: so `work` may take effect twice, and
   * must carry keys by which the second time finds the first.
   *
   * @param stores what it may touch. Default: all
   *
   * Fails with the browser's own error.
   */
  transact<Mode extends IDBTransactionMode, T>(
    mode: Mode,
    durability: IDBTransactionDurability,
    work: (transaction: Transaction<Mode>) => Promise<T>,
    stores?: readonly StoreName[],
  ): Promise<T>
  close(): void
}

async function openWith(name: string, seed: Seed, blocking: () => void): Promise<Database> {
  let isNew = false
  const database = await openDB<Schema>(name, SCHEMA_VERSION, {
    upgrade(opened, from, _, transaction) {
      isNew = from === 0
      return upgrade(opened, from, transaction as Transaction<'versionchange'>)
    },
    blocking,
  })
  if (isNew) await seed(database)
  return database
}

type Seed = (database: Database) => Promise<void>

/**
 * @param seed fills a database that has just been made
 * @param around what every transaction is wrapped in
 */
export function connectTo(name: string, clock: Clock, seed: Seed = async () => {}, around?: Around): Connection {
  let current: Promise<Database> | undefined

  const within = <T>(ms: number, work: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const miss = (): void => reject(new DOMException(`No answer within ${ms} ms.`, 'TimeoutError'))
      work.finally(clock.alarm(clock.now() + ms, miss)).then(resolve, reject)
    })

  const letGo = (opening = current): void => {
    if (opening === current) current = undefined
    opening?.then((database) => database.close(), ignore)
  }

  const connect = async (): Promise<Database> => {
    // A newer worker must not wait for us; what is under way here still ends well.
    const opening = openWith(name, seed, () => letGo())
    return within(OPEN_TIMEOUT_MS, opening).catch((error) => {
      letGo(opening)
      throw error
    })
  }

  const open = (): Promise<Database> => {
    current ??= connect()
    return current
  }

  return {
    open,
    close: letGo,
    async transact(mode, durability, work, stores = STORES) {
      // What it is wrapped in has a key to read.
      const scope = (around ? STORES : stores) as typeof STORES
      for (let isSecond = false; ; isSecond = true) {
        const opening = open()
        let abort = ignore
        try {
          const transaction = (await opening).transaction(scope, mode, { durability })
          abort = () => transaction.abort()
          transaction.done.catch(ignore)
          return await within(OPERATION_TIMEOUT_MS, work(around?.(transaction) ?? transaction))
        } catch (error) {
          try {
            abort()
          } catch {
            // It is over already: that is what was wanted.
          }
          letGo(opening)
          if (isSecond || !isLost(error)) throw error
        }
      }
    },
  }
}
