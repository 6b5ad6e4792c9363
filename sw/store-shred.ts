// The end of a wipe: the database is deleted and made anew. What is only cleared stays readable on the disk for a long time:
// a log of Chromium's keeps each record, and the clearing behind it. A deletion moves the log into a table, records and all,
// and only a second round makes a new table without them; in one of five profiles the old one was let go at the third:
// found by looking at real profiles.
// What is emptied, and when, is decided in core/commands.ts. Every step may be the last one of this incarnation.

import { deleteDB, openDB } from 'idb'
import type { Clock } from '../core/ports.ts'
import { afterWipe, isBlank, isSlots, type Slots } from '../core/state.ts'
import { type Connection, ignore } from './store-connection.ts'
import { type Database, STORES, type Transaction } from './store-schema.ts'

/** A tab that is frozen does not let go of its database. Its records are gone all the same; the file goes when it wakes. */
export const DELETE_TIMEOUT_MS = 2_000

/** Where the slots are while there is no database: nobody's, with nothing in them but that a farewell is to be said. */
export const graveOf = (name: string): string => `${name}:wiped`

interface Grave {
  slots: { key: string; value: unknown }
}

const openGrave = (name: string) =>
  openDB<Grave>(graveOf(name), 1, {
    upgrade: (database) => void database.createObjectStore('slots'),
    blocking: (_, __, event) => (event.target as IDBDatabase).close(),
  })

/** Nothing where there is none; none is made. */
const findGrave = (name: string) =>
  openDB<Grave>(graveOf(name), 1, {
    upgrade(_, __, ___, tx) {
      tx.done.catch(ignore)
      tx.abort()
    },
  }).catch((error: Error) => {
    if (error.name !== 'AbortError') throw error
  })

/** What was left for a database that is made anew, put into it: also where the wipe was killed in between. */
export async function exhume(name: string, database: Database): Promise<void> {
  const names = (await indexedDB.databases?.())?.map((one) => one.name)
  // In a frame of another origin WebKit lists no database, not even the one that we have open.
  if (names?.includes(name) && !names.includes(graveOf(name))) return
  const grave = await findGrave(name)
  if (grave === undefined) return
  const slots = await grave.get('slots', 'state')
  grave.close()
  const tx = database.transaction('slots', 'readwrite', { durability: 'strict' })
  // Another incarnation may have been first.
  if (isSlots(slots) && (await tx.store.count()) === 0) await tx.store.put(slots, 'state')
  await tx.done
}

async function bury(name: string, slots: Slots): Promise<void> {
  const grave = await openGrave(name)
  const tx = grave.transaction('slots', 'readwrite', { durability: 'strict' })
  await Promise.all([tx.store.put(slots, 'state'), tx.done])
  grave.close()
}

/** The slots as they are found when a store is opened. */
export async function foundAt(name: string, connection: Connection): Promise<Slots | undefined> {
  const look = () => connection.transact('readonly', 'relaxed', (tx) => tx.objectStore('slots').get('state'))
  let stored: unknown = await look()
  if (stored === undefined) {
    // Whoever made the database may have been killed before it was seeded.
    await exhume(name, await connection.open())
    stored = await look()
  }
  return isSlots(stored) ? stored : undefined
}

/** What came of it: the slots as they are now, and how many records of a former identity are left. */
export interface Shredded {
  readonly slots: Slots | undefined
  readonly left: number
}

/** @throws {DOMException} of the database: then a wipe is still due */
export async function shred(name: string, connection: Connection, clock: Clock): Promise<Shredded> {
  const locks = globalThis.navigator?.locks as LockManager | undefined
  const work = () => shredAlone(name, connection, clock)
  // Two incarnations at once would each delete what the other has made anew.
  return locks === undefined ? work() : locks.request(`${name}:wipe`, work)
}

const ROUNDS = 3

async function shredAlone(name: string, connection: Connection, clock: Clock): Promise<Shredded> {
  const found = await connection.transact('readonly', 'relaxed', look)
  if (found.slots === undefined || afterWipe(found.slots) === undefined || found.left > 0) return found
  let done: Shredded = found
  for (let round = 1; round <= ROUNDS; round++) {
    await bury(name, found.slots)
    connection.close()
    await deleted(name, clock)
    done = await connection.transact('readwrite', 'strict', (tx) => settle(tx, round === ROUNDS))
    await deleteDB(graveOf(name), { blocked: ignore })
  }
  return done
}

/** Reads what is there; at the very end the wipe is no longer due. */
async function settle(tx: Transaction<'readwrite'>, isOver: boolean): Promise<Shredded> {
  const found = await look(tx)
  const slots = isOver && found.slots !== undefined ? afterWipe(found.slots) : undefined
  if (slots !== undefined) await tx.objectStore('slots').put(slots, 'state')
  await tx.done
  return { slots: slots ?? found.slots, left: found.left }
}

function deleted(name: string, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const why = new DOMException('A tab that sleeps holds the database.', 'TimeoutError')
    const cancel = clock.alarm(clock.now() + DELETE_TIMEOUT_MS, () => reject(why))
    deleteDB(name, { blocked: ignore }).finally(cancel).then(resolve, reject)
  })
}

/** Looks at every record of every store. A visitor who has begun since has an identity of their own. */
async function look(tx: Transaction<'readonly' | 'readwrite'>): Promise<Shredded> {
  const stores = await Promise.all(STORES.map((name) => tx.objectStore(name).getAll()))
  const slots = stores[STORES.indexOf('slots')]?.find(isSlots)
  if (slots === undefined || !isBlank(slots)) return { slots, left: 1 }
  const { epoch, isSignedOut } = slots.session
  const records = stores.flatMap((all, index): readonly unknown[] => (isSignedOut || isMarked(index) ? all : []))
  const isForeign = (record: unknown): boolean =>
    record !== slots && (Object(record) as { epoch?: unknown }).epoch !== epoch
  return { slots, left: records.filter(isForeign).length }
}

/** Records of these say whose they are. */
const isMarked = (index: number): boolean => STORES[index] === 'outbox' || STORES[index] === 'transcript'
