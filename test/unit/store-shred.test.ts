// The end of a wipe on a real schema: whatever is killed, and when, the next start finds nothing of who is gone.

import { deleteDB, openDB } from 'idb'
import { describe, expect, test, vi } from 'vitest'
import type { Attempt } from '../../core/attempt.ts'
import { type Slots, newSlots } from '../../core/state.ts'
import type { OpenStore } from '../../sw/memory-store.ts'
import { openStore } from '../../sw/store.ts'
import { graveOf } from '../../sw/store-shred.ts'
import { databaseOf } from '../../sw/store-schema.ts'
import { entryOf } from '../contract/store.ts'
import { row } from '../core/fixtures.ts'
import { type Bench, bench } from './store-fixtures.ts'

const WANTED = { runEntries: 0, keys: [], isDurable: true }
const FAREWELL: Attempt = { status: 'waiting', key: 'part', count: 1, retryAt: 5, floorAt: 0 }

/** A visitor who has said something, then the tombstone: what a logout has committed. */
async function loggedOut(one: Bench, store?: OpenStore): Promise<OpenStore> {
  const open = store ?? (await one.open())
  const of = (slots: Slots, more = {}) => ({ writes: { slots, putEntries: [], dropEntries: [], putRows: [], ...more } })
  await open.turn(WANTED, () =>
    of(newSlots('former', []), {
      putEntries: [entryOf(1, '1', { epoch: 'former' })],
      putRows: [{ ...row(1), epoch: 'former' }],
    }),
  )
  await open.turn(WANTED, () => {
    const next = newSlots('next', [])
    const session = { ...next.session, isSignedOut: true, farewell: FAREWELL, wipe: 'due' as const }
    return of({ ...next, session }, { wipe: true })
  })
  return open
}

const stored = (one: Bench): Promise<Record<string, unknown[]>> =>
  one.raw(async (database) =>
    Object.fromEntries(
      await Promise.all(
        [...database.objectStoreNames].map(async (name) => [name, await database.getAll(name)] as const),
      ),
    ),
  )
const databases = async (one: Bench): Promise<(string | undefined)[]> =>
  (await indexedDB.databases()).map(({ name }) => name).filter((name) => name?.startsWith(databaseOf(one.deployment)))

async function expectClean(one: Bench): Promise<void> {
  const { slots, ...others } = await stored(one)
  expect(Object.values(others).flat()).toEqual([])
  expect(slots).toMatchObject([{ session: { epoch: 'next', isSignedOut: true, wipe: null, farewell: FAREWELL } }])
  expect(await databases(one)).toEqual([databaseOf(one.deployment)])
}

test('[WI1] what a logout commits leaves nothing in any store but the tombstone, the keys of the vault included', async () => {
  const one = bench()
  const store = await one.open()
  await store.keys.putIfAbsent(await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt']))
  await one.raw((database) => database.put('quarantine', { store: 'outbox', value: 'somebody' }))
  await loggedOut(one, store)
  const { slots, ...others } = await stored(one)
  expect(Object.values(others).flat()).toEqual([])
  expect(slots).toHaveLength(1)
})

describe('the end of a wipe', () => {
  test('[WI15] it ends so too where the browser lists no database, and nothing is made to look for one', async () => {
    const list = vi.spyOn(indexedDB, 'databases').mockResolvedValue([])
    const one = bench()
    const store = await loggedOut(one)
    expect(await store.shred()).toBe(0)
    list.mockRestore()
    await expectClean(one)
  })

  test('[WI4] the database is deleted and made anew, with the tombstone and what is owed to the service', async () => {
    const one = bench()
    const store = await loggedOut(one)
    expect(await store.shred()).toBe(0)
    await expectClean(one)
    expect((await store.tail(9, 9)).slots?.session.wipe).toBeNull()
  })

  test('[WI5] what is still there of another identity is counted, in every store', async () => {
    const one = bench()
    const store = await loggedOut(one)
    await one.raw(async (database) => {
      await database.put('outbox', entryOf(2, '1', { epoch: 'former' }))
      await database.put('transcript', { ...row(2), epoch: 'former' })
      await database.put('quarantine', { store: 'outbox', value: 'somebody' })
      await database.put('vault', 'a key', 'key')
      await database.put('slots', 'somebody', 'other')
    })
    expect(await store.shred()).toBe(5)
  })

  test('[WI5] a tombstone with something in it is not called empty', async () => {
    const one = bench()
    const store = await loggedOut(one)
    await store.shred()
    const { slots } = await store.tail(1, 1)
    if (slots === undefined) throw new Error('There are no slots.')
    const context = { ...slots.context, values: { cart: 'full' } }
    await store.turn(WANTED, () => ({
      writes: { slots: { ...slots, context }, putEntries: [], dropEntries: [], putRows: [] },
    }))
    expect(await store.shred()).toBe(1)
  })

  test('[WI6] killed before anything was deleted, it is done at the next start', async () => {
    const one = bench()
    ;(await loggedOut(one)).close()
    await one.open()
    await expectClean(one)
  })

  test('[WI6] killed when the tombstone is put aside, it is done at the next start', async () => {
    const one = bench()
    ;(await loggedOut(one)).close()
    await putAside(one)
    await one.open()
    await expectClean(one)
  })

  test('[WI6] killed when the database is deleted and not yet made anew, the tombstone is found', async () => {
    const one = bench()
    ;(await loggedOut(one)).close()
    await putAside(one)
    await deleteDB(databaseOf(one.deployment))
    const store = await one.open()
    expect((await store.tail(1, 1)).slots?.session).toMatchObject({ epoch: 'next', isSignedOut: true, wipe: null })
    await expectClean(one)
  })

  test('[WI6] killed when the database is made anew and nothing is in it yet, the tombstone is found', async () => {
    const one = bench()
    ;(await loggedOut(one)).close()
    await putAside(one)
    await one.raw((database) => database.clear('slots'))
    const store = await one.open()
    expect((await store.tail(1, 1)).slots?.session).toMatchObject({ epoch: 'next', isSignedOut: true, wipe: null })
    await expectClean(one)
  })

  test('[WI6] two incarnations that do it at the same time delete nothing of the next visitor', async () => {
    const one = bench()
    const first = await loggedOut(one)
    const second = await one.open()
    expect(await Promise.all([first.shred(), second.shred()])).toEqual([0, 0])
    await expectClean(one)
  })

  test('[WI7] where it cannot be deleted now it is empty all the same, a problem says so, and it goes when it can', async () => {
    const one = bench()
    const store = await loggedOut(one)
    // A page that sleeps: it holds the database and hears nothing.
    const sleeper = await openDB(databaseOf(one.deployment))
    expect(await one.outlast(store.shred())).toBe(0)
    expect(one.problems).toHaveLength(1)
    expect(store.kind).toBe('memory')
    const { slots } = await store.tail(9, 9)
    expect(slots?.session).toMatchObject({ epoch: 'next', wipe: null })
    sleeper.close()
    await one.open()
    await expectClean(one)
  })

  test('[WI8] a browser that refuses is an error with a code, and the wipe stays due', async () => {
    const one = bench()
    const store = await loggedOut(one)
    const real = indexedDB.deleteDatabase.bind(indexedDB)
    indexedDB.deleteDatabase = () => {
      throw new DOMException('no', 'NotAllowedError')
    }
    await expect(store.shred()).rejects.toMatchObject({ code: 'STORE_FAILED' })
    indexedDB.deleteDatabase = real
    expect(await store.shred()).toBe(0)
    await expectClean(one)
  })
})

/** What a wipe has done when it is killed before the deletion. */
async function putAside(one: Bench): Promise<void> {
  const [slots] = (await stored(one))['slots'] as [Slots]
  const grave = await openDB(graveOf(databaseOf(one.deployment)), 1, {
    upgrade: (database) => void database.createObjectStore('slots'),
  })
  await grave.put('slots', slots, 'state')
  grave.close()
}

test('[ST49] what is asked of a store that finds a wipe begun is answered when that has ended', async () => {
  const one = bench()
  const former = await loggedOut(one)
  former.close()
  const store = openStore(one.deployment, { clock: one.clock, onProblem: () => {} })
  const seen = await Promise.all([
    store.tail(9, 9),
    store.entries(9),
    store.turn(WANTED, ({ slots }) => ({
      writes: { slots: slots as Slots, putEntries: [], dropEntries: [], putRows: [] },
      wipe: slots?.session.wipe,
    })),
  ])
  const [{ slots, rows, entries }, waiting, turn] = seen
  expect([slots?.session.wipe, rows, entries, waiting, turn.wipe]).toEqual([null, [], [], [], null])
  await expectClean(one)
  store.close()
})
