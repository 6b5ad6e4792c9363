// What every Store owes, whatever it rests on. Run over memory and over IndexedDB, in Node and in a real browser.
// What is particular to IndexedDB (corruption, lost connections, quota) is in test/unit/store-*.test.ts.

import { afterEach, describe, expect, test } from 'vitest'
import type { Entry } from '../../core/outbox.ts'
import type { Store, View, Wanted, Writes } from '../../core/ports.ts'
import { newSlots, type Slots } from '../../core/state.ts'
import type { Row } from '../../core/transcript.ts'

export const entryOf = (seq: number, lane = 'c1', more: Partial<Entry> = {}): Entry => ({
  ...{ seq, key: `key-${seq}`, lane, text: `text ${seq}`, at: 1_000, epoch: 'e1', bytes: 200, live: lane },
  ...more,
})

export function heldOf(seq: number, lane = 'c1'): Entry {
  const { live: _, ...entry } = entryOf(seq, lane)
  return { ...entry, held: { status: 'dead', code: 'OUTBOX_REFUSED', reason: 'no' } }
}

export const rowOf = (seq: number, conversationId = 'c1', more: Partial<Row> = {}): Row => ({
  ...{ conversationId, seq, id: `id-${seq}`, role: 'customer' as const, text: `row ${seq}`, at: 1_000 },
  ...more,
})

/** Slots whose counters agree with these entries, in a conversation whose log goes up to `headSeq`. */
export function slotsOf(entries: readonly Entry[], headSeq = 0): Slots {
  const slots = newSlots('e1', entries)
  const cursor = { seq: headSeq, id: `id-${headSeq}` }
  return { ...slots, transcript: { ...slots.transcript, conversationId: 'c1', headSeq, cursor } }
}

export const WANT: Wanted = { runEntries: 0, keys: [], isDurable: false }
const NO_WRITES = { putEntries: [], dropEntries: [], putRows: [] }

/** Writes in one turn, and answers what the turn saw. */
export async function put(store: Store, writes: Partial<Writes>, wanted: Partial<Wanted> = {}): Promise<View> {
  const { view } = await store.turn({ ...WANT, ...wanted }, (seen) => ({
    view: seen,
    writes: { slots: seen.slots ?? slotsOf([]), ...NO_WRITES, ...writes },
  }))
  return view
}

export const see = (store: Store, wanted: Partial<Wanted> = {}): Promise<View> => put(store, {}, wanted)

const seqs = (records: readonly { readonly seq: number }[] | undefined): number[] =>
  (records ?? []).map(({ seq }) => seq)
const upTo = (count: number, from = 1): number[] => Array.from({ length: count }, (_, at) => at + from)

/** @param open a store that nobody has used yet, and how to be done with it */
export function storeContract(name: string, open: () => Promise<Store & { close(): void }>): void {
  const opened: { close(): void }[] = []
  const fresh = async (): Promise<Store> => {
    const store = await open()
    opened.push(store)
    return store
  }
  afterEach(() => {
    for (const store of opened.splice(0)) store.close()
  })

  describe(`Store: ${name}`, () => {
    turnContract(fresh)
    readContract(fresh)
  })
}

function turnContract(open: () => Promise<Store>): void {
  test('[ST1] turns that begin at once see the writes of those before them', async () => {
    const store = await open()
    const seen = await Promise.all(
      upTo(20).map((seq) =>
        store.turn(WANT, ({ slots = slotsOf([]) }) => ({
          before: slots.rev,
          writes: { ...NO_WRITES, slots: { ...slots, rev: slots.rev + 1 }, putEntries: [entryOf(seq)] },
        })),
      ),
    )
    expect(seen.map(({ before }) => before)).toEqual(upTo(20))
    expect(seqs(await store.entries(100))).toEqual(upTo(20))
  })

  test('[ST1] of two turns at once that bring the same key, the second finds it', async () => {
    const store = await open()
    const bring = (seq: number) =>
      store.turn({ ...WANT, keys: ['same'] }, ({ slots = slotsOf([]), entries }) => ({
        isNew: !entries.has('same'),
        writes: { ...NO_WRITES, slots, putEntries: entries.has('same') ? [] : [entryOf(seq, 'c1', { key: 'same' })] },
      }))
    const both = await Promise.all([bring(1), bring(2)])
    expect(both.map(({ isNew }) => isNew)).toEqual([true, false])
    expect(seqs(await store.entries(9))).toEqual([1])
  })

  test('[ST2] a throw inside a turn leaves nothing behind and comes out unchanged', async () => {
    const store = await open()
    await put(store, { slots: slotsOf([entryOf(1)]), putEntries: [entryOf(1)] })
    const stop = new Error('stop')
    let runs = 0
    const failing = store.turn(WANT, () => {
      runs += 1
      throw stop
    })
    await expect(failing).rejects.toBe(stop)
    expect(runs).toBe(1)
    const { slots, entries } = await see(store, { keys: ['key-1'] })
    expect(slots).toEqual(slotsOf([entryOf(1)]))
    expect([...entries.values()]).toEqual([entryOf(1)])
  })

  test('[ST1] a turn answers what its decision answered', async () => {
    const store = await open()
    const writes = { ...NO_WRITES, slots: slotsOf([]) }
    expect(await store.turn(WANT, () => ({ writes, actions: ['send'] }))).toEqual({ writes, actions: ['send'] })
  })

  test('[ST3] a run is the oldest live entries of each lane, in the order of commit', async () => {
    const store = await open()
    const entries = [entryOf(1), heldOf(2), entryOf(3, 'c2'), entryOf(4), entryOf(5), entryOf(6, 'c2')]
    await put(store, { slots: slotsOf(entries), putEntries: entries })
    const { runs } = await see(store, { runEntries: 2 })
    expect(seqs(runs.get('c1'))).toEqual([1, 4])
    expect(seqs(runs.get('c2'))).toEqual([3, 6])
  })

  test('[ST42] rows above the end of a log are gone, those below and of other conversations stay', async () => {
    const store = await open()
    const rows = [...upTo(5).map((seq) => rowOf(seq)), rowOf(9, 'c2')]
    await put(store, { slots: slotsOf([], 5), putRows: rows })
    await put(store, { putRows: [rowOf(4, 'c1', { text: 'new' })], rowsEnd: [{ conversationId: 'c1', seq: 2 }] })
    expect(seqs(await store.rows('c1', 99, 9))).toEqual([1, 2, 4])
    expect(seqs(await store.rows('c2', 99, 9))).toEqual([9])
  })

  test('[ST3] what was not read is in no run, so that no lane seems empty that is not', async () => {
    const store = await open()
    await put(store, { slots: slotsOf([entryOf(1)]), putEntries: [entryOf(1)] })
    expect((await see(store)).runs.size).toBe(0)
  })

  test('[ST3] an entry that is put again keeps its place, and leaves the run while it is set aside', async () => {
    const store = await open()
    const entries = [entryOf(1), entryOf(2), entryOf(3)]
    await put(store, { slots: slotsOf(entries), putEntries: entries })
    await put(store, { slots: slotsOf([heldOf(1), entryOf(2), entryOf(3)]), putEntries: [heldOf(1)] })
    expect(seqs((await see(store, { runEntries: 9 })).runs.get('c1'))).toEqual([2, 3])
    await put(store, { slots: slotsOf(entries), putEntries: [entryOf(1)] })
    expect(seqs((await see(store, { runEntries: 9 })).runs.get('c1'))).toEqual([1, 2, 3])
  })

  test.each([
    { name: 'a few keys', keys: ['key-3', 'unknown', 'key-7'] },
    { name: 'many keys that lie together', keys: upTo(40).map((seq) => `key-${seq}`) },
    { name: 'many keys, most of them unknown', keys: ['key-3', ...upTo(40).map((n) => `other-${n}`), 'key-7'] },
  ])('[ST3] a turn sees entries and rows with the keys it wants: $name', async ({ keys }) => {
    const store = await open()
    const entries = upTo(5).map((seq) => entryOf(seq))
    const putRows = [rowOf(1), rowOf(2, 'c1', { key: 'key-7' }), rowOf(3, 'c1', { key: 'not-wanted' })]
    await put(store, { slots: slotsOf(entries, 3), putEntries: entries, putRows })
    const view = await see(store, { keys })
    const found = { entries: [...view.entries.keys()], rows: [...view.rows.keys()] }
    expect(found).toEqual({
      entries: entries.map(({ key }) => key).filter((key) => keys.includes(key)),
      rows: ['key-7'],
    })
    expect(await store.find(keys)).toEqual({ entries: view.entries, rows: view.rows })
  })

  test('[ST11] an empty store has no slots and no orphans, until a turn has written', async () => {
    const store = await open()
    expect(await see(store)).toMatchObject({ slots: undefined, orphans: [], corrupt: 0 })
    expect(await see(store)).toMatchObject({ slots: slotsOf([]), orphans: [], corrupt: 0 })
  })

  test('[ST7] what is handed out and handed in are copies', async () => {
    const store = await open()
    const entry = { ...entryOf(1), metadata: { page: 'cart' } }
    await put(store, { slots: slotsOf([entry]), putEntries: [entry] })
    entry.metadata.page = 'changed by the caller'
    const failing = store.turn(WANT, ({ slots }) => {
      ;(slots as { rev: number }).rev = 99
      throw new Error('stop')
    })
    await expect(failing).rejects.toThrow()
    expect((await see(store)).slots?.rev).toBe(1)
    const [seen] = (await store.entries(1)) as unknown as [typeof entry]
    expect(seen.metadata.page).toBe('cart')
    seen.metadata.page = 'changed by the reader'
    expect(await store.entries(1)).toEqual([{ ...entryOf(1), metadata: { page: 'cart' } }])
  })

  test('[ST8] a wipe empties everything but the slots, and keeps what its own turn writes', async () => {
    const store = await open()
    await put(store, { slots: slotsOf([entryOf(1)], 1), putEntries: [entryOf(1)], putRows: [rowOf(1)] })
    const slots = { ...slotsOf([entryOf(2)]), rev: 9 }
    await put(store, { slots, putEntries: [entryOf(2)], wipe: true })
    expect(await store.tail(9, 9)).toEqual({ slots, rows: [], entries: [entryOf(2)] })
    expect((await store.find(['key-1'])).entries.size).toBe(0)
  })

  test('[ST9] an entry that is put and dropped in one turn is gone', async () => {
    const store = await open()
    await put(store, { putEntries: [entryOf(1), entryOf(2)], dropEntries: [entryOf(1)] })
    await put(store, { putEntries: [entryOf(3, 'c2', { key: 'key-2' })], dropEntries: [entryOf(2)] })
    expect(seqs(await store.entries(9))).toEqual([3])
    expect((await store.find(['key-2'])).entries.get('key-2')?.seq).toBe(3)
  })
}

function readContract(open: () => Promise<Store>): void {
  test('[ST5] a snapshot is the newest rows of the present conversation and the newest entries, oldest first', async () => {
    const store = await open()
    const entries = upTo(30).map((seq) => entryOf(seq))
    const putRows = [...upTo(30).map((seq) => rowOf(seq)), ...upTo(5, 40).map((seq) => rowOf(seq, 'c0'))]
    await put(store, { slots: slotsOf(entries, 30), putEntries: entries, putRows })
    const { slots, rows, entries: newest } = await store.tail(4, 3)
    expect(slots).toEqual(slotsOf(entries, 30))
    expect(seqs(rows)).toEqual([27, 28, 29, 30])
    expect(seqs(newest)).toEqual([28, 29, 30])
    expect(await store.tail(0, 0)).toEqual({ slots, rows: [], entries: [] })
  })

  test('[ST5] a snapshot finds the newest also where many numbers are missing', async () => {
    const store = await open()
    const entries = [1, 2, 3, 500, 501].map((seq) => entryOf(seq))
    const putRows = [1, 2, 3, 900].map((seq) => rowOf(seq))
    const slots = { ...slotsOf(entries, 900) }
    await put(store, { slots, putEntries: entries, putRows })
    const { rows, entries: newest } = await store.tail(3, 4)
    expect(seqs(rows)).toEqual([2, 3, 900])
    expect(seqs(newest)).toEqual([2, 3, 500, 501])
    expect(seqs((await store.tail(50, 50)).rows)).toEqual([1, 2, 3, 900])
    expect(seqs((await store.tail(50, 50)).entries)).toEqual([1, 2, 3, 500, 501])
  })

  test('[ST5] a snapshot of an empty store is empty', async () => {
    const store = await open()
    expect(await store.tail(9, 9)).toEqual({ slots: undefined, rows: [], entries: [] })
  })

  test.each([
    { before: 8, limit: 3, expected: [5, 6, 7] },
    { before: 3, limit: 9, expected: [1, 2] },
    { before: 31, limit: 3, expected: [10, 29, 30] },
    { before: Number.POSITIVE_INFINITY, limit: 2, expected: [29, 30] },
    { before: 1, limit: 9, expected: [] },
    { before: 8, limit: 0, expected: [] },
  ])(
    '[ST6] at most $limit rows below $before are read, the newest, oldest first',
    async ({ before, limit, expected }) => {
      const store = await open()
      const putRows = [...upTo(10), 29, 30].map((seq) => rowOf(seq))
      await put(store, { putRows: [...putRows, rowOf(7, 'c0')] })
      expect(seqs(await store.rows('c1', before, limit))).toEqual(expected)
    },
  )

  test('[ST6] a row that comes again replaces the one before', async () => {
    const store = await open()
    await put(store, { putRows: [rowOf(2, 'c1', { key: 'k' }), rowOf(1)] })
    await put(store, { putRows: [rowOf(2, 'c1', { text: 'edited', key: 'k' })] })
    expect(await store.rows('c1', 9, 9)).toEqual([rowOf(1), rowOf(2, 'c1', { text: 'edited', key: 'k' })])
    expect((await store.find(['k'])).rows.get('k')?.text).toBe('edited')
  })

  test('[ST6] the outbox is listed from the oldest entry, up to a limit', async () => {
    const store = await open()
    await put(store, { putEntries: [entryOf(1), heldOf(2), entryOf(3, 'c2'), entryOf(4)] })
    expect(await store.entries(3)).toEqual([entryOf(1), heldOf(2), entryOf(3, 'c2')])
  })
}
