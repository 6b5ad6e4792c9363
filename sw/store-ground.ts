// What a store stands on: the disk, with room made where it is full, or memory where it fails for good.
// What is read and written there is said by the caller (store.ts).

import { type ErrorCode, HoldfastError, isHoldfastError } from '../core/errors.ts'
import { type Entry, OUTBOX_ENTRIES_MAX } from '../core/outbox.ts'
import type { Clock } from '../core/ports.ts'
import type { Slots } from '../core/state.ts'
import type { Around } from './encryption.ts'
import { memoryStore, type OpenStore } from './memory-store.ts'
import { type Connection, ignore, isLost } from './store-connection.ts'
import { oldest, survive } from './store-records.ts'
import { EVICT_ROWS, type Estimates, evict, isTight, LOOK_ROWS, ownBytes } from './store-room.ts'
import type { StoreName, Transaction } from './store-schema.ts'
import { foundAt, shred, type Shredded } from './store-shred.ts'

export interface StoreDeps {
  readonly clock: Clock
  /** Told once for each way in which the visitor's state came to be less safe. */
  onProblem(problem: { readonly code: ErrorCode; readonly message: string }): void
  /** What the browser says of its room. Default: `navigator.storage`, where there is one. */
  readonly room?: Estimates | undefined
  /** Seals what is written and opens what is read. Default: nothing does. */
  readonly around?: Around | undefined
}

/** Runs work on the disk, or `instead` on the store in memory once that has taken its place. */
export type Use = <Mode extends IDBTransactionMode, T>(
  mode: Mode,
  isDurable: boolean,
  work: (tx: Transaction<Mode>) => Promise<T>,
  instead: (memory: OpenStore) => Promise<T>,
  stores?: readonly StoreName[],
) => Promise<T>

export interface Ground {
  /**
   * It never fails: where there is no disk, everything is in memory from the start.
   *
   * @param first what is done with the slots that are found, if any; whatever else is asked for waits till then
   */
  open(first: (found: Slots | undefined) => Promise<void>): Promise<unknown>
  readonly use: Use
  /** The same for work that needs room: what a full disk holds up goes on in memory. */
  readonly useWithRoom: Use
  /** So many rows were written: now and then somebody looks how full the disk is. Nobody needs to wait for it. */
  watchRoom(rows: number): Promise<void>
  isMemory(): boolean
  /** Deletes what a wipe has emptied; whatever else is asked for waits meanwhile. */
  shred(): Promise<Shredded>
  close(): void
}

const isFull = (error: unknown): boolean => (Object(error) as Error).name === 'QuotaExceededError'

/** Errors of the browser become ours here, and nowhere else. */
function translate(cause: unknown): HoldfastError {
  if (isHoldfastError(cause)) return cause
  const { name } = Object(cause) as Error
  return isFull(cause)
    ? new HoldfastError('STORE_FULL', 'The browser gives no more room: nothing was written.', { cause })
    : new HoldfastError('STORE_FAILED', `The database failed (${name}): nothing was written.`, { cause })
}

const makeRoom = (use: Use, rows: number): Promise<number> =>
  use(
    'readwrite',
    false,
    (tx) => evict(tx, rows),
    async () => 0,
  )

const waiting = (use: Use): Promise<readonly Entry[]> =>
  use(
    'readonly',
    false,
    (tx) => oldest(tx, OUTBOX_ENTRIES_MAX),
    (store) => store.entries(OUTBOX_ENTRIES_MAX) as Promise<Entry[]>,
  )

function roomWatch(use: Use, room: Estimates | undefined): Ground['watchRoom'] {
  /** At the first rows of a worker somebody looks at once. */
  let unlookedRows = LOOK_ROWS
  const own = () => use('readonly', false, ownBytes, async () => 0)
  return async (rows) => {
    unlookedRows += rows
    if (rows === 0 || unlookedRows < LOOK_ROWS) return
    unlookedRows = 0
    if (await isTight(room, own)) await makeRoom(use, EVICT_ROWS)
  }
}

async function withRoom<T>(
  attempt: () => Promise<T>,
  make: (rows: number) => Promise<number>,
  instead: () => Promise<T>,
): Promise<T> {
  for (let rows = EVICT_ROWS; ; rows *= 8) {
    try {
      return await attempt()
    } catch (error) {
      if (!isFull(error)) throw translate(error)
      if ((await make(rows).catch(() => 0)) === 0) return instead()
    }
  }
}

/** Nobody comes to the database while it is opened, or made anew. */
function gateOf() {
  let busy: Promise<unknown> | undefined
  return {
    get busy() {
      return busy
    },
    shut(work: () => Promise<unknown>): Promise<unknown> {
      const mine = work()
        .catch(ignore)
        .finally(() => {
          if (busy === mine) busy = undefined
        })
      busy = mine
      return mine
    },
  }
}

/** Emptied it is in any case: that was committed before. */
const inMemory = async (store: OpenStore): Promise<Shredded> => ({ slots: undefined, left: await store.shred() })

/** @param last the slots as last committed, for a session that must go on without its disk */
export function groundOf(name: string, connection: Connection, deps: StoreDeps, last: () => Slots | undefined): Ground {
  const { clock, onProblem, room = globalThis.navigator?.storage } = deps
  const gate = gateOf()
  let memory: OpenStore | undefined

  const toMemory = (code: ErrorCode, why: string, entries: readonly Entry[] = []): OpenStore => {
    if (memory === undefined) {
      connection.close()
      const slots = last()
      memory = memoryStore(slots && survive(slots, entries), entries)
      onProblem({ code, message: `${why}: the session goes on in memory, and ends with the worker.` })
    }
    return memory
  }

  const attempt: Use = async (mode, isDurable, work, instead, stores) => {
    while (gate.busy !== undefined) await gate.busy
    if (memory !== undefined) return instead(memory)
    try {
      return await connection.transact(mode, isDurable ? 'strict' : 'relaxed', work, stores)
    } catch (error) {
      if (!isLost(error)) throw error
      return instead(toMemory('STORE_FAILED', 'The database failed twice'))
    }
  }
  const use: Use = (...of) =>
    attempt(...of).catch((error) => {
      throw translate(error)
    })

  return {
    open: (first) =>
      gate.shut(async () => {
        await connection.open().catch(() => toMemory('STORE_FAILED', 'The browser lets nothing be stored here'))
        await first(memory ? undefined : await foundAt(name, connection).catch(() => undefined))
      }),
    use,
    useWithRoom: (...of) =>
      withRoom(
        () => attempt(...of),
        (rows) => makeRoom(use, rows),
        // Where nothing is left to make way, or not even a row can be removed, memory has room for the messages.
        async () => of[3](toMemory('STORE_FULL', 'The disk is full', await waiting(use))),
      ),
    watchRoom: roomWatch(use, room),
    isMemory: () => memory !== undefined,
    shred() {
      if (memory !== undefined) return inMemory(memory)
      const why = 'The emptied database cannot be deleted before whoever holds it lets go'
      const work = shred(name, connection, clock).catch((error) => {
        if (isLost(error)) return inMemory(toMemory('STORE_FAILED', why))
        throw translate(error)
      })
      gate.shut(() => work)
      return work
    },
    close: () => connection.close(),
  }
}
