// The Store of a deployment: IndexedDB, or memory when that cannot be had or is lost for good.
// Connections, transactions and the schema have files of their own (store-*.ts); what is stored is decided in core/.

import { corruption } from '../core/advice.ts'
import { type ErrorCode, HoldfastError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Slots } from '../core/state.ts'
import { memoryStore, type OpenStore } from './memory-store.ts'
import { connectTo, ignore, isLost } from './store-connection.ts'
import { find, oldest, repair, rowsOf, survive, tail, turn } from './store-records.ts'
import { databaseOf, type Transaction } from './store-schema.ts'

export interface StoreDeps {
  readonly clock: Clock
  /** Told once for each way in which the visitor's state came to be less safe. */
  onProblem(problem: { readonly code: ErrorCode; readonly message: string }): void
}

/** Errors of the browser become ours here, and nowhere else. */
function translate(cause: unknown): HoldfastError {
  const { name } = Object(cause) as Error
  return name === 'QuotaExceededError'
    ? new HoldfastError('STORE_FULL', 'The browser gives no more room: nothing was written.', { cause })
    : new HoldfastError('STORE_FAILED', `The database failed (${name}): nothing was written.`, { cause })
}

/** Runs work on the disk, or `instead` on the store in memory once that has taken its place. */
type Use = <Mode extends IDBTransactionMode, T>(
  mode: Mode,
  isDurable: boolean,
  work: (tx: Transaction<Mode>) => Promise<T>,
  instead: (memory: OpenStore) => Promise<T>,
) => Promise<T>

/** Opens the store of a deployment. It never fails: without a database it is one in memory, and `onProblem` says so. */
export async function openStore(deployment: string, { clock, onProblem }: StoreDeps): Promise<OpenStore> {
  const connection = connectTo(databaseOf(deployment), clock)
  const warn = (message: string): void => onProblem({ code: 'STORE_FAILED', message })
  let last: Slots | undefined
  let memory: OpenStore | undefined

  const toMemory = (why: string): OpenStore => {
    if (memory === undefined) {
      connection.close()
      memory = memoryStore(last && survive(last, []))
      warn(`${why}: the session goes on in memory, and ends with the worker.`)
    }
    return memory
  }

  const use: Use = async (mode, isDurable, work, instead) => {
    if (memory !== undefined) return instead(memory)
    try {
      return await connection.transact(mode, isDurable ? 'strict' : 'relaxed', work)
    } catch (error) {
      if (!isLost(error)) throw translate(error)
      return instead(toMemory('The database failed twice'))
    }
  }

  await connection.open().catch(() => toMemory('The browser lets nothing be stored here'))
  const reads = readsOf(use, () => last)
  return {
    ...reads,
    async tail(rowsMax, entriesMax) {
      const { isBroken, ...seen } = await reads.tail(rowsMax, entriesMax)
      if (!isBroken) return seen
      const count = await use('readwrite', false, repair, async () => 0)
      if (count > 0) onProblem(corruption(count))
      // As if for the first time: the turn that this asks for has the rows fetched again.
      return { ...seen, slots: undefined }
    },
    get kind() {
      return memory ? 'memory' : 'durable'
    },
    async turn(wanted, decide) {
      const answer = await use(
        'readwrite',
        wanted.isDurable,
        (tx) => turn(tx, wanted, decide, last),
        async (store) => ({ result: await store.turn(wanted, decide), isRevived: false }),
      )
      if ('thrown' in answer) throw answer.thrown
      if (answer.isRevived) warn('The database was deleted: what was unsent in it is lost, the session goes on.')
      last = answer.result.writes.slots
      return answer.result
    },
    close: () => connection.close(),
  }
}

/** What is no key is replaced: what it sealed, if anything, nobody can open. */
const keyIn = async (tx: Transaction): Promise<CryptoKey | undefined> => {
  const kept = await tx.objectStore('vault').get('key')
  return kept?.type === 'secret' ? kept : undefined
}

function readsOf(
  use: Use,
  last: () => Slots | undefined,
): Omit<OpenStore, 'kind' | 'turn' | 'close' | 'tail'> & {
  tail(rows: number, entries: number): ReturnType<typeof tail>
} {
  const look =
    <A extends unknown[], T>(
      work: (tx: Transaction, ...args: A) => Promise<T>,
      instead: (memory: OpenStore) => (...args: A) => Promise<T>,
    ) =>
    (...args: A): Promise<T> =>
      use(
        'readonly',
        false,
        (tx) => work(tx, ...args),
        (memory) => instead(memory)(...args),
      )
  return {
    tail: look(
      (tx, rows: number, entries: number) => tail(tx, rows, entries, last()),
      (memory) => memory.tail as (rows: number, entries: number) => ReturnType<typeof tail>,
    ),
    find: look(find, (memory) => memory.find),
    rows: look(rowsOf, (memory) => memory.rows),
    entries: look(oldest, (memory) => memory.entries),
    keys: {
      get: look(keyIn, ({ keys }) => keys.get),
      putIfAbsent: (key) =>
        use(
          'readwrite',
          true,
          async (tx) => {
            const kept = await keyIn(tx)
            await Promise.all([kept ?? tx.objectStore('vault').put(key, 'key'), tx.done])
            return kept ?? key
          },
          ({ keys }) => keys.putIfAbsent(key),
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
