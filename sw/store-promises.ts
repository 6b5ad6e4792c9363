// Promises over IndexedDB: a request is one, what it belongs to hands out such requests, and a transaction has `done`.
// It has the names and types of the package idb, and of its ways those that we go (decision 9).

import type { DBSchema, IDBPDatabase, IDBPTransaction, StoreNames } from 'idb'

/** A database whose requests are promises. */
export type Promised<Schema extends DBSchema> = Pick<
  IDBPDatabase<Schema>,
  'transaction' | 'close' | 'createObjectStore'
>

const resultOf = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

/** The failure of a transaction is heard by whoever awaits `done`, and by nobody else. */
function endOf(tx: IDBTransaction): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    tx.oncomplete = () => resolve()
    tx.onabort = () => reject(tx.error ?? new DOMException('The transaction was aborted.', 'AbortError'))
  })
  done.catch(() => {})
  return done
}

const promised = (value: unknown): unknown =>
  value instanceof IDBRequest
    ? resultOf(value)
    : value instanceof IDBTransaction
      ? over(value, endOf(value))
      : value instanceof IDBObjectStore || value instanceof IDBIndex
        ? over(value)
        : value

/** The target, with promises for whatever its methods give. */
const over = (target: object, done?: Promise<void>): object =>
  new Proxy(target, {
    get(_, name) {
      if (name === 'done') return done
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (...args: unknown[]) => promised(value.apply(target, args)) : value
    },
  })

/**
 * @param upgrade what a version that is not there yet asks for
 * @param blocking a newer version, or a deletion, waits for this connection
 */
export async function openDB<Schema extends DBSchema>(
  name: string,
  version: number,
  upgrade: (
    database: Promised<Schema>,
    from: number,
    transaction: IDBPTransaction<Schema, StoreNames<Schema>[], 'versionchange'>,
  ) => unknown,
  blocking: (database: Promised<Schema>) => void = () => {},
): Promise<Promised<Schema>> {
  const request = indexedDB.open(name, version)
  const wrapped = () => over(request.result) as Promised<Schema>
  request.onupgradeneeded = ({ oldVersion }) => upgrade(wrapped(), oldVersion, promised(request.transaction) as never)
  const opened = await resultOf(request)
  const database = wrapped()
  opened.onversionchange = () => blocking(database)
  return database
}

export const deleteDB = (name: string): Promise<void> => resultOf(indexedDB.deleteDatabase(name) as IDBRequest)
