// The Store of a deployment: IndexedDB, or memory when that cannot be had or is lost for good.
// Connections, transactions and the schema have files of their own (store-*.ts); what is stored is decided in core/.

import { corruption } from '../core/advice.ts'
import { afterWipe, type Slots } from '../core/state.ts'
import type { OpenStore } from './memory-store.ts'
import { connectTo, ignore } from './store-connection.ts'
import { groundOf, type StoreDeps, type Use } from './store-ground.ts'
import { fileOf, find, oldest, repair, rowsOf, tail, turn } from './store-records.ts'
import { databaseOf, MAIN, type StoreName, STORES, type Transaction } from './store-schema.ts'
import { exhume } from './store-shred.ts'
import type { Kept, KeyStore } from './vault.ts'

export type { StoreDeps } from './store-ground.ts'

/** It never fails: without a database it is one in memory, and `onProblem` says so. What is asked of it waits until it is open. */
export function openStore(deployment: string, deps: StoreDeps): OpenStore & { readonly opened: Promise<unknown> } {
  const { clock, onProblem, around } = deps
  const name = databaseOf(deployment)
  let last: Slots | undefined
  const connection = connectTo(name, clock, (database) => exhume(name, database), around)
  const ground = groundOf(name, connection, deps, () => last)
  const { use, useWithRoom, watchRoom } = ground
  const finishWipe = async (): Promise<number> => {
    const { slots, left } = await ground.shred()
    last = slots ?? (last && (afterWipe(last) ?? last))
    return left
  }
  const opened = ground.open(async (found) => {
    last = found
    // A logout that was killed between its commit and its end is finished before anybody is shown anything.
    if (last && afterWipe(last)) await finishWipe()
  })
  const reads = readsOf(use, () => last)
  return {
    ...reads,
    opened,
    tail: mendedTail(use, reads, onProblem),
    get kind() {
      return ground.isMemory() ? 'memory' : 'durable'
    },
    async turn(wanted, decide) {
      const over = (stores: readonly StoreName[]) =>
        useWithRoom(
          'readwrite',
          wanted.isDurable,
          (tx) => turn(tx, wanted, decide, last),
          async (store) => ({ result: await store.turn(wanted, decide), isRevived: false }),
          stores,
        )
      const answer = ((await over(MAIN)) ?? (await over(STORES))) as NonNullable<Awaited<ReturnType<typeof over>>>
      if ('thrown' in answer) throw answer.thrown
      if (answer.isRevived) onProblem(DELETED)
      const { slots, putRows } = answer.result.writes
      last = slots
      watchRoom(putRows.length).catch(ignore)
      return answer.result
    },
    shred: finishWipe,
    close: () => ground.close(),
  }
}

const DELETED = {
  code: 'STORE_FAILED' as const,
  message: 'The database was deleted: what was unsent in it is lost, the session goes on.',
}

/** A tail in which something is broken has it put aside. */
const mendedTail =
  (use: Use, reads: ReturnType<typeof readsOf>, onProblem: StoreDeps['onProblem']): OpenStore['tail'] =>
  async (rowsMax, entriesMax) => {
    const { isBroken, ...seen } = await reads.tail(rowsMax, entriesMax)
    if (!isBroken) return seen
    const count = await use('readwrite', false, repair, async () => 0)
    if (count > 0) onProblem(corruption(count))
    // As if for the first time: the turn that this asks for has the rows fetched again.
    return { ...seen, slots: undefined }
  }

/** What is no key is replaced: what it sealed, if anything, nobody can open. */
const keyIn = async <K extends Kept>(tx: Transaction, name = 'key'): Promise<K | undefined> => {
  const kept = await tx.objectStore('vault').get(name)
  const { type, privateKey } = Object(kept) as Partial<CryptoKey & CryptoKeyPair>
  return type === 'secret' || privateKey?.type === 'private' ? (kept as K) : undefined
}

function readsOf(
  use: Use,
  last: () => Slots | undefined,
): Omit<OpenStore, 'kind' | 'turn' | 'close' | 'tail' | 'shred'> & {
  tail(rows: number, entries: number): ReturnType<typeof tail>
} {
  const look =
    <A extends unknown[], T>(
      work: (tx: Transaction, ...args: A) => Promise<T>,
      instead: (memory: OpenStore) => (...args: A) => Promise<T>,
      stores: readonly StoreName[] = MAIN,
    ) =>
    (...args: A): Promise<T> =>
      use(
        'readonly',
        false,
        (tx) => work(tx, ...args),
        (memory) => instead(memory)(...args),
        stores,
      )
  return {
    tail: look(
      (tx, rows: number, entries: number) => tail(tx, rows, entries, last()),
      (memory) => memory.tail as (rows: number, entries: number) => ReturnType<typeof tail>,
    ),
    find: look(find, (memory) => memory.find),
    rows: look(rowsOf, (memory) => memory.rows),
    entries: look(oldest, (memory) => memory.entries),
    file: look(fileOf, (memory) => memory.file, STORES),
    keys: {
      get: look(keyIn, ({ keys }) => keys.get, STORES) as KeyStore['get'],
      putIfAbsent: (key, name = 'key') =>
        use(
          'readwrite',
          true,
          async (tx) => {
            const kept = await keyIn<typeof key>(tx, name)
            await Promise.all([kept ?? tx.objectStore('vault').put(key, name), tx.done])
            return kept ?? key
          },
          ({ keys }) => keys.putIfAbsent(key, name),
        ),
      clear: () =>
        use(
          'readwrite',
          true,
          (tx) => Promise.all([tx.objectStore('vault').clear(), tx.done]).then(ignore),
          ({ keys }) => keys.clear(),
        ),
    },
  }
}
