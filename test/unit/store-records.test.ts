import { openDB } from 'idb'
import { describe, expect, test, vi } from 'vitest'
import type { Writes } from '../../core/ports.ts'
import { newSlots, SCHEMA_VERSION } from '../../core/state.ts'
import { databaseOf, STEPS } from '../../sw/store-schema.ts'
import { entryOf, heldOf, put, rowOf, see, slotsOf } from '../contract/store.ts'
import { bench } from './store-fixtures.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1)

describe('records that cannot be understood', () => {
  test('[ST10] a broken entry is put aside and counted once; the others keep their order and are counted again', async () => {
    const on = bench()
    const store = await on.open()
    const entries = range(5).map((seq) => entryOf(seq))
    await put(store, { slots: slotsOf(entries), putEntries: entries })
    const broken = { seq: 2, key: 'key-2', live: 'c1', lane: 'c1', text: 42 }
    await on.raw((database) => database.put('outbox', broken))

    const view = await see(store, { runEntries: 3, keys: ['key-2', 'key-4'] })
    expect(view).toMatchObject({ corrupt: 1, orphans: [] })
    expect(view.runs.get('c1')).toEqual([entryOf(1), entryOf(3), entryOf(4)])
    expect([...view.entries.keys()]).toEqual(['key-4'])
    expect(view.slots?.outbox).toMatchObject({ nextSeq: 6, lanes: { c1: { size: 4 } } })
    expect(await on.raw((database) => database.getAll('quarantine'))).toEqual([{ store: 'outbox', value: broken }])

    const after = await see(store, { runEntries: 9 })
    expect(after).toMatchObject({ corrupt: 0, slots: { outbox: { lanes: { c1: { size: 4 } } } } })
    expect(after.runs.get('c1')).toEqual([1, 3, 4, 5].map((seq) => entryOf(seq)))
  })

  test('[ST10] an entry that is in no lane although it waits is found by the count', async () => {
    const on = bench()
    const store = await on.open()
    await put(store, { slots: slotsOf([entryOf(1), entryOf(2)]), putEntries: [entryOf(1), entryOf(2)] })
    const { live: _, ...lost } = entryOf(1)
    await on.raw((database) => database.put('outbox', lost))
    const view = await see(store, { runEntries: 4 })
    expect(view.corrupt).toBe(1)
    expect(view.slots?.outbox.lanes['c1']?.size).toBe(1)
    expect(view.runs.get('c1')).toEqual([entryOf(2)])
  })

  test('[ST10] what runs or waits in a lane is kept when its entries are counted again', async () => {
    const on = bench()
    const store = await on.open()
    const slots = slotsOf([entryOf(1), entryOf(2), heldOf(3)])
    const attempt = { status: 'waiting' as const, key: 'k', count: 3, retryAt: 9, floorAt: 0 }
    const outbox = { ...slots.outbox, nextSeq: 50, lanes: { c1: { size: 2, attempt, upTo: 2 } } }
    await put(store, { slots: { ...slots, outbox }, putEntries: [entryOf(1), heldOf(3)] })
    const view = await see(store, { runEntries: 4 })
    const expected = { nextSeq: 50, bytes: 400, dead: 1, stale: 0, lanes: { c1: { size: 1, attempt, upTo: 2 } } }
    expect(view.slots?.outbox).toEqual(expected)
  })

  test.each(['turn', 'snapshot'])('[ST10] a broken row is put aside by the %s that meets it', async (who) => {
    const on = bench()
    const store = await on.open()
    const slots = slotsOf([], 2)
    const transcript = { ...slots.transcript, cursor: { seq: 2, id: 'm2' } }
    await put(store, { slots: { ...slots, transcript }, putRows: [rowOf(1), rowOf(2)] })
    const broken = { conversationId: 'c1', seq: 2, key: 'k', id: null }
    await on.raw((database) => database.put('transcript', broken))
    if (who === 'snapshot') {
      expect(await store.tail(9, 9)).toEqual({ slots: undefined, rows: [rowOf(1)], entries: [] })
      expect(on.problems.map(({ code }) => code)).toEqual(['STORE_CORRUPT'])
    }
    const view = await see(store, { keys: ['k'] })
    expect(view).toMatchObject({ corrupt: who === 'turn' ? 1 : 0, rows: new Map() })
    // What was in it is with the platform: the whole log is asked for.
    expect(view.slots?.transcript.cursor).toEqual({ seq: 0, id: '' })
    expect((await store.tail(9, 9)).rows).toEqual([rowOf(1)])
    expect(await on.raw((database) => database.getAll('quarantine'))).toEqual([{ store: 'transcript', value: broken }])
  })

  test.each([
    { name: 'broken', record: { schema: SCHEMA_VERSION, rev: 1, outbox: 'gone' } },
    { name: 'of another schema', record: { ...newSlots('e1', []), schema: SCHEMA_VERSION + 1 } },
  ])('[ST11] slots that are $name are put aside, and every entry is an orphan', async ({ record }) => {
    const on = bench()
    const store = await on.open()
    const entries = [entryOf(1), heldOf(2), entryOf(3, 'c2')]
    await put(store, { slots: slotsOf(entries), putEntries: entries })
    await on.raw((database) => database.put('slots', record, 'state'))
    const next = await on.open()
    expect((await next.tail(9, 9)).slots).toBeUndefined()
    const view = await put(next, { slots: { ...newSlots('e1', entries), rev: 42 } }, { runEntries: 9 })
    expect(view).toMatchObject({ slots: undefined, corrupt: 1, orphans: entries })
    expect(await on.raw((database) => database.getAll('quarantine'))).toEqual([{ store: 'slots', value: record }])
    expect((await see(next)).slots?.rev).toBe(42)
  })

  test('[ST2] what was put aside stays where it was when the turn fails', async () => {
    const on = bench()
    const store = await on.open()
    await put(store, { putRows: [rowOf(1)] })
    await on.raw((database) => database.put('transcript', { conversationId: 'c1', seq: 2, key: 'k' }))
    const failing = store.turn({ runEntries: 0, keys: ['k'], isDurable: false }, () => {
      throw new Error('stop')
    })
    await expect(failing).rejects.toThrow('stop')
    expect(await on.raw((database) => database.count('quarantine'))).toBe(0)
    expect(await on.raw((database) => database.count('transcript'))).toBe(2)
  })

  test('[ST8] a wipe empties the quarantine too', async () => {
    const on = bench()
    const store = await on.open()
    await on.raw((database) => database.add('quarantine', { store: 'outbox', value: 'text' }))
    await put(store, { wipe: true })
    expect(await on.raw((database) => database.count('quarantine'))).toBe(0)
  })
})

describe('cost', () => {
  /** Every record that a request handed out. */
  function counted(): { records: number; requests: number } {
    const seen = { records: 0, requests: 0 }
    for (const source of [IDBObjectStore.prototype, IDBIndex.prototype]) {
      for (const name of ['get', 'getAll', 'openCursor'] as const) {
        const original = source[name] as (...args: unknown[]) => IDBRequest
        vi.spyOn(source, name).mockImplementation(function (this: unknown, ...args: unknown[]) {
          const request = original.apply(this, args)
          seen.requests += 1
          request.addEventListener('success', () => {
            seen.records += Array.isArray(request.result) ? request.result.length : request.result ? 1 : 0
          })
          return request as never
        })
      }
    }
    return seen
  }

  test('[ST4] with 10 000 entries queued, a turn and a snapshot read what they need and no more', async () => {
    const on = bench()
    const store = await on.open()
    const entries = range(10_000).map((seq) => entryOf(seq, `c${seq % 2}`))
    await put(store, { slots: slotsOf(entries, 50), putEntries: entries, putRows: range(50).map((seq) => rowOf(seq)) })
    const seen = counted()
    const cost = async (work: () => Promise<unknown>): Promise<{ records: number; requests: number }> => {
      const before = { ...seen }
      await work()
      return { records: seen.records - before.records, requests: seen.requests - before.requests }
    }
    expect(await cost(() => see(store))).toEqual({ records: 1, requests: 1 })
    expect(await cost(() => see(store, { runEntries: 16 }))).toEqual({ records: 33, requests: 3 })
    expect(await cost(() => see(store, { keys: ['key-1', 'new'] }))).toEqual({ records: 2, requests: 5 })
    const keys = range(256).map((n) => `new-${n}`)
    expect(await cost(() => see(store, { keys }))).toEqual({ records: 1, requests: 3 })
    expect(await cost(() => store.tail(20, 30))).toEqual({ records: 51, requests: 3 })
  })

  test('[ST4] a range that holds mostly other keys is given up for single ones', async () => {
    const on = bench()
    const store = await on.open()
    const entries = range(2_000).map((seq) => entryOf(seq))
    await put(store, { slots: slotsOf(entries), putEntries: entries })
    const keys = ['key-0', 'key-9999', ...range(8).map((seq) => `key-${seq}`)]
    expect((await store.find(keys)).entries.size).toBe(8)
  })

  test('[ST19] unchanged slots are not written again', async () => {
    const store = await bench().open()
    await put(store, { slots: slotsOf([]) })
    const writes = vi.spyOn(IDBObjectStore.prototype, 'put')
    await see(store)
    expect(writes).not.toHaveBeenCalled()
    const { slots } = await see(store)
    await put(store, { slots: { ...slots!, rev: 2 } })
    expect(writes).toHaveBeenCalledTimes(1)
  })

  test('[ST19] only a turn that keeps a promise asks for strict durability', async () => {
    const store = await bench().open()
    const transactions = vi.spyOn(IDBDatabase.prototype, 'transaction')
    await see(store, { isDurable: true })
    await see(store)
    expect(transactions.mock.calls.map(([, mode, options]) => [mode, options?.durability])).toEqual([
      ['readwrite', 'strict'],
      ['readwrite', 'relaxed'],
    ])
  })
})

describe('schema', () => {
  test('[ST18] there is one step for each version', () => {
    expect(STEPS).toHaveLength(SCHEMA_VERSION)
  })

  test('[ST18] a database of the same version is opened with everything in it', async () => {
    const on = bench()
    const before = await on.open()
    await put(before, { slots: slotsOf([entryOf(1)], 1), putEntries: [entryOf(1)], putRows: [rowOf(1)] })
    before.close()
    const after = await on.open()
    expect(await after.tail(9, 9)).toEqual({ slots: slotsOf([entryOf(1)], 1), rows: [rowOf(1)], entries: [entryOf(1)] })
    expect(await on.raw(async (database) => [database.name, database.version])).toEqual([
      databaseOf(on.deployment),
      SCHEMA_VERSION,
    ])
  })

  /** As 0.1.0 wrote it. */
  const RECORD_1 = {
    ...{ schema: 1, rev: 7, typingUntil: 0, recent: ['r'] },
    session: {
      ...{ epoch: 'e1', id: 's1', isAuthenticated: false, expiresAt: 9e15, laneNumber: 1, routing: {}, asked: null },
      conversation: { id: 'c1', participantId: 'p1', state: 'active' },
      ...{ isNewWanted: false, opening: { status: 'idle' }, making: { status: 'idle' }, refusal: null, activeAt: 5 },
      stream: { attempt: { status: 'idle' }, isOpen: false, isMerged: false },
      ...{ isValidated: true, isActiveElsewhere: false, tabs: 1, isOnline: true, isSignedOut: false, farewell: null },
    },
    lease: { status: 'none', generation: 3 },
    context: newSlots('e1', []).context,
    outbox: {
      nextSeq: 2,
      bytes: 200,
      dead: 0,
      stale: 0,
      lanes: { c1: { size: 1, attempt: { status: 'idle' }, upTo: 0 } },
    },
    transcript: {
      ...{ conversationId: 'c1', cursor: { seq: 1, id: 'id-1' }, above: [], headSeq: 1, gapSince: 0, unread: 0 },
      ...{ fetch: { status: 'idle' }, askedSeq: 0, stuckSeq: 0, countedSeq: 1 },
    },
  }

  /** A database as the released version left it. */
  async function releasedDatabase(name: string, version: number) {
    const database = await openDB(name, version, {
      upgrade: (made, _, __, transaction) => {
        for (const step of STEPS.slice(0, version)) step(made as never, transaction as never)
      },
    })
    await database.put('slots', RECORD_1, 'state')
    await database.put('outbox', entryOf(1))
    await database.put('transcript', rowOf(1))
    return database
  }

  test.each([{ version: 1 }])(
    '[ST40] a database of version $version is brought up to date with all in it',
    async ({ version }) => {
      const on = bench()
      const older = await releasedDatabase(databaseOf(on.deployment), version)
      older.close()
      const store = await on.open()
      const { slots, rows, entries } = await store.tail(9, 9)
      expect(slots).toMatchObject({ ...RECORD_1, schema: SCHEMA_VERSION })
      expect([rows, entries]).toEqual([[rowOf(1)], [entryOf(1)]])
      expect((await see(store, { runEntries: 4 })).runs.get('c1')).toEqual([entryOf(1)])
      expect(store.kind).toBe('durable')
      expect(on.problems).toEqual([])
    },
  )

  test('[ST40] an older worker that has the database open lets go of it, and loses nothing', async () => {
    const on = bench()
    const older = await releasedDatabase(databaseOf(on.deployment), 1)
    older.addEventListener('versionchange', () => older.close())
    const store = await on.open()
    expect([store.kind, await store.entries(9)]).toEqual(['durable', [entryOf(1)]])
  })

  test('[ST41] one that does not let go holds nobody up: the session is in memory, and what is stored stays', async () => {
    const on = bench()
    const older = await releasedDatabase(databaseOf(on.deployment), 1)
    const store = await on.outlast(on.open())
    expect([store.kind, on.problems.map(({ code }) => code)]).toEqual(['memory', ['STORE_FAILED']])
    await put(store, { slots: slotsOf([entryOf(2)]), putEntries: [entryOf(2)] })
    expect(await older.getAll('outbox')).toEqual([entryOf(1)])
    older.close()
    expect(await (await on.open()).entries(9)).toEqual([entryOf(1)])
  })
})

test('[ST47] only a turn that needs more than three stores is made again over all, and leaves nothing of the first time', async () => {
  const on = bench()
  const store = await on.open()
  const locked = vi.spyOn(IDBDatabase.prototype, 'transaction')
  const decided: Partial<Writes>[] = []
  const keep = (seq: number, more: Partial<Writes>) =>
    store.turn({ runEntries: 0, keys: [], isDurable: true }, ({ slots = slotsOf([]) }) => {
      decided.push(more)
      const entry = entryOf(seq + 10 * decided.length)
      return { writes: { slots, putEntries: [entry], dropEntries: [], putRows: [], ...more } }
    })
  await keep(1, {})
  expect(decided).toHaveLength(1)
  expect(locked.mock.calls.map(([names]) => names)).toEqual([['slots', 'outbox', 'transcript']])
  await keep(2, { putFiles: [{ key: 'k', contents: [new Blob(['file'])] }] })
  expect(decided).toHaveLength(3)
  expect((await store.entries(9)).map(({ seq }) => seq)).toEqual([11, 32])
  expect(await on.raw((database) => database.getAllKeys('files'))).toEqual([['k', 0]])
})
