import { forceCloseDatabase } from 'fake-indexeddb'
import { deleteDB, type IDBPDatabase, openDB } from 'idb'
import { describe, expect, test, vi } from 'vitest'
import { SCHEMA_VERSION } from '../../core/state.ts'
import { OPEN_TIMEOUT_MS, OPERATION_TIMEOUT_MS } from '../../sw/store-connection.ts'
import { OWN_ROOM_BYTES } from '../../sw/store-room.ts'
import { entryOf, put, rowOf, see, slotsOf, WANT } from '../contract/store.ts'
import { bench } from './store-fixtures.ts'

/** Requests of the store fail in the browser's own way: later, as an event. */
function failingPuts(name: string): void {
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore) {
    const transaction = this.transaction as unknown as { _execRequestAsync(job: object): IDBRequest<IDBValidKey> }
    const operation = (): never => {
      throw new DOMException('no', name)
    }
    return transaction._execRequestAsync({ source: this, operation })
  })
}

/** A busy machine may be slow; what never comes is ended by this. */
const PATIENCE = { timeout: 20_000 }
const hungRequest = (): never => new IDBRequest() as never

test('[ST12] a connection that was closed under us is opened again, and the turn is done', async () => {
  const on = bench()
  const store = await on.open()
  await put(store, { slots: slotsOf([entryOf(1)]), putEntries: [entryOf(1)] })
  const original = IDBDatabase.prototype.transaction
  let closed = 0
  vi.spyOn(IDBDatabase.prototype, 'transaction').mockImplementation(function (this: IDBDatabase, ...args) {
    if (closed++ === 0) this.close()
    return original.apply(this, args)
  })
  expect((await see(store, { keys: ['key-1'] })).entries.size).toBe(1)
  expect(closed).toBe(2)
  expect(store.kind).toBe('durable')
  expect(on.problems).toEqual([])
})

test('[ST12] after the browser has closed the connection, the next operation opens a new one', async () => {
  const on = bench()
  const opened = vi.spyOn(indexedDB, 'open')
  const store = await on.open()
  await put(store, { slots: slotsOf([entryOf(1)]), putEntries: [entryOf(1)] })
  const [{ value: request }] = opened.mock.results as unknown as [{ value: IDBOpenDBRequest }]
  forceCloseDatabase(request.result as never)
  expect(await store.entries(9)).toEqual([entryOf(1)])
  expect(opened).toHaveBeenCalledTimes(2)
})

test('[ST12] a transaction that fails once is tried once more, from its first line', async () => {
  const on = bench()
  const store = await on.open()
  const original = IDBObjectStore.prototype.put
  failingPuts('UnknownError')
  let decisions = 0
  const turn = store.turn(WANT, () => {
    decisions += 1
    if (decisions === 2) vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(original)
    return { writes: { slots: slotsOf([]), putEntries: [entryOf(1)], dropEntries: [], putRows: [] } }
  })
  await turn
  expect(decisions).toBe(2)
  expect(store.kind).toBe('durable')
  vi.restoreAllMocks()
  expect(await store.entries(9)).toEqual([entryOf(1)])
})

test('[ST13] an operation that hangs is given up at its deadline, and the second one succeeds', async () => {
  const on = bench()
  const store = await on.open()
  await put(store, { putEntries: [entryOf(1)] })
  vi.spyOn(IDBObjectStore.prototype, 'getAll').mockImplementationOnce(hungRequest)
  const listed = store.entries(9)
  await on.clock.armed()
  on.clock.advance(OPERATION_TIMEOUT_MS)
  expect(await listed).toEqual([entryOf(1)])
  expect(store.kind).toBe('durable')
})

test('[ST13] a database that hangs twice is given up: the session goes on from memory, and one problem says so', async () => {
  const on = bench()
  const store = await on.open()
  const slots = { ...slotsOf([entryOf(1)], 7), rev: 4 }
  await put(store, { slots, putEntries: [entryOf(1)], putRows: [rowOf(7)] })
  vi.spyOn(IDBObjectStore.prototype, 'get').mockImplementation(hungRequest)
  const turns = [see(store, { runEntries: 4 }), see(store, { runEntries: 4 })]
  const [view] = await on.outlast(Promise.all(turns))
  expect(store.kind).toBe('memory')
  expect(on.problems).toEqual([{ code: 'STORE_FAILED', message: expect.stringContaining('goes on in memory') }])
  // Entries stay on the disk for the next worker; rows are fetched again, because none is here.
  expect(view?.slots).toMatchObject({ rev: 4, session: slots.session, outbox: { nextSeq: 2, lanes: {} } })
  expect(view?.slots?.transcript).toMatchObject({ conversationId: 'c1', headSeq: 7, cursor: { seq: 0 } })
  vi.restoreAllMocks()
  await put(store, { slots: slotsOf([entryOf(2)]), putEntries: [entryOf(2)] })
  expect((await see(store, { runEntries: 4 })).runs.get('c1')).toEqual([entryOf(2)])
  expect(await on.raw((database) => database.getAll('outbox'))).toEqual([entryOf(1)])
  expect(on.problems).toHaveLength(1)
})

test('[ST13] an attempt that was given up is aborted: the next does not wait for it, and it decides nothing later', async () => {
  const on = bench()
  const store = await on.open()
  await put(store, { slots: slotsOf([]) })
  const original = IDBObjectStore.prototype.get
  vi.spyOn(IDBObjectStore.prototype, 'get').mockImplementationOnce(function (this: IDBObjectStore, key) {
    // Never answered, while further requests keep the transaction open.
    const holdOn = (): void => original.call(this, key).addEventListener('success', holdOn)
    holdOn()
    return hungRequest()
  })
  let decisions = 0
  const turn = store.turn(WANT, ({ slots = slotsOf([]) }) => {
    decisions += 1
    const next = { ...slots, rev: slots.rev + 1 }
    return { writes: { slots: next, putEntries: [], dropEntries: [], putRows: [] } }
  })
  await on.clock.armed()
  on.clock.advance(OPERATION_TIMEOUT_MS)
  await turn
  expect(decisions).toBe(1)
  expect((await see(store)).slots?.rev).toBe(2)
})

test('[ST14] a database that does not open within the deadline is replaced by memory', async () => {
  const on = bench()
  vi.spyOn(indexedDB, 'open').mockImplementation(() => new IDBOpenDBRequest())
  const opening = on.open()
  await on.clock.armed()
  on.clock.advance(OPEN_TIMEOUT_MS)
  const store = await opening
  expect(store.kind).toBe('memory')
  await put(store, { slots: slotsOf([entryOf(1)]), putEntries: [entryOf(1)] })
  expect(await store.entries(9)).toEqual([entryOf(1)])
  expect(on.problems).toEqual([{ code: 'STORE_FAILED', message: expect.stringContaining('nothing be stored') }])
})

test.each([
  {
    name: 'forbidden',
    open: () => {
      throw new DOMException('no', 'SecurityError')
    },
  },
  {
    name: 'absent',
    open: undefined as never,
  },
])('[ST14] where storage is $name the store is in memory, and one problem says so', async ({ open }) => {
  const on = bench()
  vi.spyOn(indexedDB, 'open').mockImplementation(open)
  vi.stubGlobal('indexedDB', open === undefined ? undefined : indexedDB)
  const store = await on.open()
  vi.unstubAllGlobals()
  expect(store.kind).toBe('memory')
  expect(on.problems).toHaveLength(1)
})

test('[ST15] when the database is deleted in mid-session the session goes on, with the counters of what is there', async () => {
  const on = bench()
  const store = await on.open()
  const slots = { ...slotsOf([entryOf(1), entryOf(2)], 3), rev: 8 }
  await put(store, { slots, putEntries: [entryOf(1), entryOf(2)], putRows: [rowOf(3)] })
  await deleteDB(`holdfast:${on.deployment}`)
  expect((await store.tail(9, 9)).slots?.rev).toBe(8)
  const view = await see(store, { runEntries: 4 })
  expect(view.slots).toMatchObject({ rev: 8, session: slots.session, outbox: { nextSeq: 3, bytes: 0, lanes: {} } })
  expect(view.slots?.transcript).toMatchObject({ headSeq: 3, cursor: { seq: 0 } })
  expect(store.kind).toBe('durable')
  expect(on.problems).toEqual([{ code: 'STORE_FAILED', message: expect.stringContaining('deleted') }])
  expect((await see(await on.open())).slots?.rev).toBe(8)
})

test('[ST43] a disk that stays full holds no message up: the session goes on in memory, and the disk stays as it was', async () => {
  const on = bench()
  const store = await on.open()
  const before = slotsOf([entryOf(1)])
  await put(store, { slots: before, putEntries: [entryOf(1)] })
  failingPuts('QuotaExceededError')
  const entries = [entryOf(1), entryOf(2), entryOf(3)]
  await put(store, { slots: slotsOf(entries), putEntries: entries.slice(1) })
  expect([store.kind, on.problems.map(({ code }) => code)]).toEqual(['memory', ['STORE_FULL']])
  // What waited on the disk goes on waiting here, in its place.
  expect((await see(store, { runEntries: 9 })).runs.get('c1')).toEqual(entries)
  vi.restoreAllMocks()
  expect(await on.raw((database) => database.getAll('outbox'))).toEqual([entryOf(1)])
  expect((await see(await on.open())).slots).toEqual(before)
})

test('[ST43] where the transcript can make way, it does, and the disk goes on being used', async () => {
  const on = bench()
  const store = await on.open()
  const rows = Array.from({ length: 700 }, (_, at) => rowOf(at + 1, 'c1', { at: 1_000 + at }))
  await put(store, { slots: slotsOf([entryOf(1)], 700), putEntries: [entryOf(1)], putRows: rows })
  const original = IDBObjectStore.prototype.put
  failingPuts('QuotaExceededError')
  const removed = vi.spyOn(IDBObjectStore.prototype, 'delete').mockImplementation(function (this: IDBObjectStore, key) {
    vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(original)
    removed.mockRestore()
    return this.delete(key as IDBValidKey)
  })
  await put(store, { slots: slotsOf([entryOf(1), entryOf(2)], 700), putEntries: [entryOf(2)] })
  expect([store.kind, on.problems]).toEqual(['durable', []])
  expect(await store.entries(9)).toEqual([entryOf(1), entryOf(2)])
  const left = await store.rows('c1', 9_999, 999)
  expect([left.length, left[0]?.seq, left.at(-1)?.seq]).toEqual([200, 501, 700])
})

describe('the high-water mark', () => {
  const stored = (database: IDBPDatabase, name: string) => database.count(name)
  async function filled(room: { usage: number; quota: number } | undefined) {
    const on = bench()
    const store = await on.open(room && { estimate: async () => room })
    const old = Array.from({ length: 300 }, (_, at) => rowOf(at + 1, 'c0', { at: at + 1 }))
    const present = Array.from({ length: 300 }, (_, at) => rowOf(at + 1, 'c1', { at: 5_000 + at }))
    await put(store, { slots: slotsOf([entryOf(1)], 300), putEntries: [entryOf(1)] })
    await put(store, { putRows: [...old, ...present] })
    return { on, store }
  }

  test('[ST44] past 80 % the oldest rows of all conversations go first; messages and the newest rows never', async () => {
    const { on, store } = await filled({ usage: 81, quota: 100 })
    await vi.waitFor(async () => expect(await on.raw((database) => stored(database, 'transcript'))).toBe(200), PATIENCE)
    const rows = await store.rows('c1', 9_999, 999)
    expect([await store.rows('c0', 9_999, 999), rows.length, rows[0]?.seq]).toEqual([[], 200, 101])
    expect(await store.entries(9)).toEqual([entryOf(1)])
    expect((await see(store)).slots).toEqual(slotsOf([entryOf(1)], 300))
  })

  test('[ST44] the newest rows of all stay, also when the conversation has changed: a repeated send is known', async () => {
    const on = bench()
    const store = await on.open({ estimate: async () => ({ usage: 81, quota: 100 }) })
    const rows = Array.from({ length: 300 }, (_, at) => rowOf(at + 1, 'c0', { at: at + 1, key: `key-${at + 1}` }))
    await put(store, { slots: slotsOf([]), putRows: rows })
    await vi.waitFor(async () => expect(await on.raw((database) => stored(database, 'transcript'))).toBe(200), PATIENCE)
    const { rows: known } = await see(store, { keys: ['key-100', 'key-101', 'key-300'] })
    expect([...known.keys()]).toEqual(['key-101', 'key-300'])
    await put(store, { putRows: [rowOf(1, 'c1', { at: 400 })] })
    expect(await on.raw((database) => stored(database, 'transcript'))).toBe(201)
  })

  test('[ST44] below it nothing goes', async () => {
    const { on, store } = await filled({ usage: 79, quota: 100 })
    await put(store, { putRows: [rowOf(301)] })
    expect(await on.raw((database) => stored(database, 'transcript'))).toBe(601)
  })

  test('[ST45] where the browser says nothing of its room, our own rows are counted', async () => {
    const on = bench()
    const store = await on.open({})
    const text = 'x'.repeat(OWN_ROOM_BYTES / 800)
    const rows = Array.from({ length: 460 }, (_, at) => rowOf(at + 1, 'c1', { at, text }))
    await put(store, { slots: slotsOf([], 460), putRows: rows })
    await vi.waitFor(async () => expect(await on.raw((database) => stored(database, 'transcript'))).toBe(200), PATIENCE)
  })
})

test('[ST16] a record that cannot be stored fails its turn only', async () => {
  const on = bench()
  const store = await on.open()
  await put(store, { putEntries: [entryOf(1)] })
  const bad = { ...entryOf(3), metadata: { run: () => {} } as never }
  const failing = put(store, { putEntries: [entryOf(2), bad] })
  await expect(failing).rejects.toMatchObject({ code: 'STORE_FAILED' })
  expect(store.kind).toBe('durable')
  expect(await store.entries(9)).toEqual([entryOf(1)])
})

test('[ST17] a newer version opens without waiting for us, and we do not go on beside it', async () => {
  const on = bench()
  const store = await on.open()
  await put(store, { putEntries: [entryOf(1)] })
  const newer = await openDB(`holdfast:${on.deployment}`, SCHEMA_VERSION + 1)
  await expect(put(store, { putEntries: [entryOf(2)] })).rejects.toMatchObject({ code: 'STORE_FAILED' })
  expect(store.kind).toBe('durable')
  expect(await newer.getAll('outbox')).toEqual([entryOf(1)])
  newer.close()
})

test('[ST17] a turn under way ends well when a newer version wants to open', async () => {
  const on = bench()
  const store = await on.open()
  const turn = put(store, { putEntries: [entryOf(1)] })
  const newer = await openDB(`holdfast:${on.deployment}`, SCHEMA_VERSION + 1)
  await turn
  expect(await newer.getAll('outbox')).toEqual([entryOf(1)])
  newer.close()
})
