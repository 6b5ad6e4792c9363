// The history across conversations: what is here, what the platform has besides, and when it is asked.
import { expect, test, vi } from 'vitest'
import type { Outcome, Store } from '../../core/ports.ts'
import { newSlots, type Slots } from '../../core/state.ts'
import type { Row } from '../../core/transcript.ts'
import { FORMER_STRIDE } from '../../core/behind.ts'
import type { Performer } from '../../sw/engine-perform.ts'
import type { Ports } from '../../sw/engine-ports.ts'
import { RECALL_MS_MAX, recall } from '../../sw/engine-recall.ts'
import { memoryStore } from '../../sw/memory-store.ts'
import { conversation, failure, row, UNREACHABLE } from '../core/fixtures.ts'
import { ManualClock } from './engine-fixtures.ts'

type Ask = Performer['recall']

const rowsOf = (conversationId: string, from: number, to: number): Row[] =>
  Array.from({ length: to - from + 1 }, (_, at) =>
    row(from + at, { conversationId, id: `${conversationId}/${from + at}`, text: `${conversationId} ${from + at}` }),
  )
const page = (rows: readonly Row[], headSeq = rows.at(-1)?.seq ?? 0) =>
  ({ ok: true, value: { resync: false, rows, headSeq } }) as const satisfies Outcome<unknown>

/** The third conversation, with so many messages here of each. */
async function rig(here: readonly Row[], ask: Ask = async () => undefined, seq = 0) {
  const fresh = newSlots('e', [])
  const present = conversation('c3', { behind: ['c2', 'c1'] })
  const transcript = { ...fresh.transcript, conversationId: 'c3', cursor: { seq, id: `c3/${seq}` }, headSeq: seq }
  const slots: Slots = { ...fresh, session: { ...fresh.session, conversation: present }, transcript }
  const store: Store = memoryStore(slots)
  const putRows = here.map((one) => ({ epoch: 'e', ...one }))
  await store.turn({ runEntries: 0, keys: [], isDurable: false }, () => ({
    writes: { slots, putEntries: [], dropEntries: [], putRows },
  }))
  const clock = new ManualClock()
  const asked = vi.fn(ask)
  const history = recall({ clock, store } as Partial<Ports> as Ports, asked)
  return { store, slots, clock, asked, history: (before?: number, limit = 50) => history(slots, before, limit) }
}

const texts = (messages: readonly { readonly text: string }[]) => messages.map(({ text }) => text)

test('[SN72] a site that pages back reads every conversation, each message once and in order', async () => {
  const all = [...rowsOf('c1', 1, 7), ...rowsOf('c2', 1, 5), ...rowsOf('c3', 1, 4)]
  const { history } = await rig(all)
  const pages = []
  for (let before: number | undefined; ; before = pages[0]?.[0]?.seq) {
    const one = await history(before, 3)
    if (one.length === 0) break
    pages.unshift(one)
  }
  expect(pages.map(({ length }) => length)).toEqual([1, 3, 3, 3, 3, 3])
  expect(texts(pages.flat())).toEqual(all.map(({ text }) => text))
  expect(pages.flat().map(({ conversationId }) => conversationId)).toEqual(all.map((one) => one.conversationId))
  const seqs = pages.flat().map(({ seq = Number.NaN }) => seq)
  expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
  expect(seqs.slice(-5)).toEqual([5 - FORMER_STRIDE, 1, 2, 3, 4])
})

test('[SN72] the platform is not asked before the present conversation has been read', async () => {
  const { history, asked } = await rig(rowsOf('c3', 1, 4))
  expect(texts(await history(undefined, 4))).toEqual(['c3 1', 'c3 2', 'c3 3', 'c3 4'])
  expect(await history(undefined, 0)).toEqual([])
  expect(asked).not.toHaveBeenCalled()
})

test('[SN73] what the cache lacks of a former conversation is asked for once, from the first gap on, and kept', async () => {
  const missing = rowsOf('c2', 3, 6)
  const ask: Ask = async (_, id, afterId) => (id === 'c2' && afterId === 'c2/2' ? page(missing) : page([]))
  const { history, asked, store } = await rig([...rowsOf('c2', 1, 2), ...rowsOf('c2', 5, 5)], ask)
  expect(texts(await history())).toEqual([1, 2, 3, 4, 5, 6].map((seq) => `c2 ${seq}`))
  expect(texts(await history())).toHaveLength(6)
  expect(asked.mock.calls.map(([, id, afterId]) => [id, afterId])).toEqual([
    ['c2', 'c2/2'],
    ['c1', ''],
  ])
  expect(await store.rows('c2', 9, 9)).toHaveLength(6)
})

test('[SN73] a disk that fails once is an error once, and the next page is read', async () => {
  const { history, store } = await rig(rowsOf('c2', 1, 2), async () => page([]))
  const rows = store.rows.bind(store)
  const broken = vi.spyOn(store, 'rows').mockImplementation(async (id, before, limit) => {
    if (id === 'c2') throw new Error('The disk.')
    return rows(id, before, limit)
  })
  await expect(history()).rejects.toThrow('The disk.')
  broken.mockRestore()
  expect(texts(await history())).toEqual(['c2 1', 'c2 2'])
})

test('[SN73] long ones are read page by page', async () => {
  const ask: Ask = async (_, id, afterId) => {
    const from = Number(afterId.split('/')[1] ?? 0) + 1
    return id === 'c1' ? page([]) : page(rowsOf(id, from, from + 9), 30)
  }
  const { history, asked } = await rig([], ask)
  expect(texts(await history(undefined, 100))).toEqual(rowsOf('c2', 1, 30).map(({ text }) => text))
  expect(asked).toHaveBeenCalledTimes(4)
})

test('[SN73] a cursor that the platform does not know makes it read everything', async () => {
  const ask: Ask = async (_, id, afterId) =>
    afterId ? { ok: true, value: { resync: true } } : page(id === 'c2' ? rowsOf('c2', 1, 3) : [])
  const { history } = await rig(rowsOf('c2', 1, 2), ask)
  expect(texts(await history())).toEqual(['c2 1', 'c2 2', 'c2 3'])
})

test.each([
  { says: 'nobody is there', outcome: UNREACHABLE, calls: 4 },
  { says: 'there is no token', outcome: undefined, calls: 4 },
  { says: 'the platform no longer has it', outcome: failure('read-only'), calls: 2 },
] as const)('[SN73] if $says, the cache is all there is', async ({ outcome, calls }) => {
  const { history, asked } = await rig(rowsOf('c2', 1, 2), async () => outcome)
  for (let time = 0; time < 2; time++) expect(texts(await history())).toEqual(['c2 1', 'c2 2'])
  expect(asked).toHaveBeenCalledTimes(calls)
})

test('[SN73] a platform that does not answer is not waited for longer than 5 s', async () => {
  const { history, clock } = await rig([...rowsOf('c1', 1, 1), ...rowsOf('c2', 1, 1)], () => new Promise(() => {}))
  const done = vi.fn()
  const reading = history(undefined, 1).then(done)
  await clock.advance(RECALL_MS_MAX - 1)
  expect(done).not.toHaveBeenCalled()
  await clock.advance(1)
  await reading
  expect(done).toHaveBeenCalledWith([expect.objectContaining({ text: 'c2 1' })])
})

test('[SN73] what comes after the identity has changed is neither kept nor shown', async () => {
  const { history, store, slots } = await rig([], async (_, id) => {
    const other = { ...slots, session: { ...slots.session, epoch: 'other' } }
    const writes = { slots: other, putEntries: [], dropEntries: [], putRows: [] }
    await store.turn({ runEntries: 0, keys: [], isDurable: false }, () => ({ writes }))
    return page(rowsOf(id, 1, 3))
  })
  expect(await history()).toEqual([])
  expect(await store.rows('c2', 9, 9)).toEqual([])
})

test('[TR31] what made way of the present conversation is fetched again, as far as the page needs it', async () => {
  const ask: Ask = async (_, id, afterId) => {
    const from = Number(afterId.split('/')[1] ?? 0) + 1
    return page(id === 'c3' ? rowsOf(id, from, Math.min(from + 9, 40)) : [], 40)
  }
  const { history, asked, store } = await rig([...rowsOf('c3', 6, 7), ...rowsOf('c3', 25, 40)], ask, 40)
  expect(texts(await history(undefined, 10))).toEqual(rowsOf('c3', 31, 40).map(({ text }) => text))
  expect(asked).not.toHaveBeenCalled()
  const older = await history(31, 10)
  expect(texts(older)).toEqual(rowsOf('c3', 21, 30).map(({ text }) => text))
  expect(older.every(({ afterGap }) => afterGap === undefined)).toBe(true)
  expect(asked.mock.calls.map(([, , afterId]) => afterId)).toEqual(['c3/7', 'c3/17', 'c3/27'])
  expect(texts(await history(8, 7))).toEqual(rowsOf('c3', 1, 7).map(({ text }) => text))
  expect(await store.rows('c3', 99, 99)).toHaveLength(40)
})

test('[TR31] what cannot be had leaves a gap that looks like one', async () => {
  const { history } = await rig([...rowsOf('c3', 4, 5), ...rowsOf('c3', 8, 9)], async () => UNREACHABLE, 9)
  const gaps = async (before?: number, limit?: number) =>
    (await history(before, limit)).map(({ seq, afterGap = false }) => [seq, afterGap])
  const all = [
    [4, true],
    [5, false],
    [8, true],
    [9, false],
  ]
  expect(await gaps()).toEqual(all)
  // The page is full, and what is missing lies before it.
  expect(await gaps(undefined, 2)).toEqual(all.slice(2))
  expect(await gaps(8, 1)).toEqual([[5, false]])
})
