import { expect, test, vi } from 'vitest'
import { entryOf, put, rowOf, slotsOf } from '../contract/store.ts'
import { openStore } from '../../sw/store.ts'
import { bench } from './store-fixtures.ts'

const texts = ({ rows, entries }: { rows: readonly { seq: number }[]; entries: readonly { seq: number }[] }) => ({
  rows: rows.map(({ seq }) => seq),
  entries: entries.map(({ seq }) => seq),
})

/** How many requests had been made when the first was answered. */
function askedAhead(): () => number {
  let asked = 0
  let ahead = 0
  for (const name of ['get', 'getAll'] as const) {
    const original = IDBObjectStore.prototype[name] as (...args: unknown[]) => IDBRequest
    vi.spyOn(IDBObjectStore.prototype, name).mockImplementation(function (this: unknown, ...args: unknown[]) {
      const request = original.apply(this, args)
      asked += 1
      request.addEventListener('success', () => {
        ahead ||= asked
      })
      return request as never
    })
  }
  return () => ahead
}

test('[ST48] the first snapshot of a store that was just opened is one way to the disk', async () => {
  const on = bench()
  await put(await on.open(), {
    slots: slotsOf([entryOf(1)], 2),
    putEntries: [entryOf(1)],
    putRows: [rowOf(1), rowOf(2)],
  })
  const next = await on.open()
  const ahead = askedAhead()
  expect(texts(await next.tail(9, 9))).toEqual({ rows: [1, 2], entries: [1] })
  expect(ahead()).toBe(3)
})

test('[ST48] what another incarnation has added or sent is in the next snapshot', async () => {
  const on = bench()
  const [store, other] = [await on.open(), await on.open()]
  const entries = [entryOf(1), entryOf(2)]
  await put(store, { slots: slotsOf(entries, 1), putEntries: entries, putRows: [rowOf(1)] })
  expect(texts(await store.tail(1, 9))).toEqual({ rows: [1], entries: [1, 2] })
  await put(other, { slots: slotsOf([...entries, entryOf(3)], 2), putEntries: [entryOf(3)], putRows: [rowOf(2)] })
  expect(texts(await store.tail(1, 9))).toEqual({ rows: [2], entries: [1, 2, 3] })
  const { transcript, ...left } = slotsOf([], 1)
  const moved = { ...left, transcript: { ...transcript, conversationId: 'c9' } }
  await put(other, {
    slots: moved,
    dropEntries: [...entries, entryOf(3)],
    putRows: [{ ...rowOf(1), conversationId: 'c9' }],
  })
  expect(await store.tail(9, 9)).toMatchObject({ slots: moved, rows: [{ conversationId: 'c9' }], entries: [] })
})

test('[ST49] what is asked of a store that is still being opened waits for that', async () => {
  const on = bench()
  const entries = [entryOf(1)]
  const first = openStore(on.deployment, { clock: on.clock, onProblem: () => {} })
  await put(first, { slots: slotsOf(entries), putEntries: entries })
  const second = openStore(on.deployment, { clock: on.clock, onProblem: () => {} })
  expect(texts(await second.tail(9, 9))).toEqual({ rows: [], entries: [1] })
  first.close()
  second.close()
})
