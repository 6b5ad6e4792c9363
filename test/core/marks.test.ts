// What was delivered and read: by the machine, and through whole turns.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { heard, type Marks, NO_MARKS, plan, seen, statusOf, told, withMarks } from '../../core/marks.ts'
import { messagesOf } from '../../core/snapshot.ts'
import { env, failure, NOW, Play, row, SECOND, SETUP, UNREACHABLE } from './fixtures.ts'

const NONE = { delivered: 0, read: 0 }
const marked = (play: Play, others = NONE, own = NONE) => play.heard({ type: 'marks', others, own })
const mine = (...seqs: number[]) => seqs.map((seq) => row(seq, { role: 'customer', key: `k${seq}` }))
const theirs = (...seqs: number[]) => seqs.map((seq) => row(seq, { role: 'agent' }))

async function live(): Promise<Play> {
  const play = new Play()
  play.setup = { ...SETUP, capabilities: { ...SETUP.capabilities, marks: true } }
  return play.live()
}
async function statuses(play: Play): Promise<string[]> {
  const { rows, entries } = await play.store.tail(50, 50)
  return messagesOf(play.slots, rows, entries).map(({ status }) => status)
}
const answer = (play: Play, outcome: typeof UNREACHABLE | { ok: true; value: null }) => {
  const { claim, conversationId, seq } = play.the('mark')
  return { type: 'marked', claim, conversationId, seq, outcome, generation: 1 } as const
}
const TAKEN = { ok: true, value: null } as const

describe('what the other side has', () => {
  test.each([
    { says: [{ delivered: 2, read: 1 }], shows: ['read', 'delivered', 'acked'] },
    { says: [{ delivered: 0, read: 2 }], shows: ['read', 'read', 'acked'] },
    { says: [{ delivered: 3, read: 3 }, NONE], shows: ['read', 'read', 'read'] },
    {
      says: [
        { delivered: 3, read: 2 },
        { delivered: 2, read: 1 },
      ],
      shows: ['read', 'read', 'delivered'],
    },
    { says: [{ delivered: 99, read: 99 }], shows: ['read', 'read', 'read'] },
    { says: [{ delivered: -1, read: -5 }], shows: ['acked', 'acked', 'acked'] },
  ])('[MK5] after $says the messages show as $shows', async ({ says, shows }) => {
    const play = await live()
    await play.heard({ type: 'rows', rows: mine(1, 2, 3) })
    for (const others of says) await marked(play, others)
    expect(await statuses(play)).toEqual(shows)
  })

  test('[MK5] a mark beyond what is known says nothing of what comes later', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: mine(1) })
    await marked(play, { delivered: 99, read: 99 })
    await play.heard({ type: 'rows', rows: mine(2) })
    expect(await statuses(play)).toEqual(['read', 'acked'])
  })

  test("[MK5] an agent's own message is none of ours", () => {
    expect(statusOf({ role: 'agent', seq: 1 }, { delivered: 1, read: 1 })).toBe('acked')
  })

  test('[MK5] whatever is said in whatever order, marks only grow and reading is having', () => {
    const said = fc.record({ delivered: fc.integer({ min: -2, max: 30 }), read: fc.integer({ min: -2, max: 30 }) })
    fc.assert(
      fc.property(fc.array(fc.tuple(said, said, fc.nat(25))), (words) => {
        let marks: Marks = NO_MARKS
        for (const [others, own, head] of words) {
          const next = heard(marks, others, own, head)
          expect(next.delivered >= marks.delivered && next.read >= marks.read && next.told >= marks.told).toBe(true)
          expect(next.read).toBeLessThanOrEqual(next.delivered)
          marks = next
        }
      }),
    )
  })

  test('[MK5] a service that came back from an older copy: what is said anew is not read by what was read before', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: mine(1, 2, 3, 4) })
    await marked(play, { delivered: 4, read: 4 }, { delivered: 4, read: 4 })
    // It has gone on from there: another message stands where our newest does.
    await play.heard({ type: 'rows', rows: [row(4, { id: 'another', role: 'customer' })] })
    expect(play.slots.marks).toMatchObject({ c1: { delivered: 0, read: 0, told: 0 } })
    await marked(play, { delivered: 2, read: 1 })
    const rows = [...mine(1, 2), row(3, { id: 'new', role: 'customer' }), row(4, { id: 'another', role: 'customer' })]
    await play.heard({ type: 'rows', rows })
    expect(await statuses(play)).toEqual(['read', 'delivered', 'acked', 'acked'])
  })

  test('[MK5] a cursor that means nothing any more takes the marks along, and the pages bring what there is', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: mine(1, 2, 3, 4) })
    await marked(play, { delivered: 4, read: 4 })
    await play.heard({ type: 'rows', rows: mine(6) })
    await play.after(SECOND)
    const ask = () => ({ ...play.the('backfill'), type: 'backfilled', generation: 1 }) as const
    await play.turn({ ...ask(), outcome: { ok: true, value: { resync: true } } })
    expect(play.slots.marks).toMatchObject({ c1: { delivered: 0, read: 0 } })
    await play.again()
    const marks = { others: { delivered: 2, read: 1 }, own: NONE }
    const value = { resync: false, rows: mine(1, 2, 3), headSeq: 3, marks } as const
    await play.turn({ ...ask(), outcome: { ok: true, value } })
    expect((await statuses(play)).slice(0, 3)).toEqual(['read', 'delivered', 'acked'])
  })

  test('[MK5] those of the conversations before are kept for the history, of the newest eight', () => {
    let all = withMarks(undefined, 'c0', { ...NO_MARKS, read: 1 })
    for (let at = 1; at <= 9; at++) all = withMarks(all, `c${at}`, { ...NO_MARKS, read: at })
    expect(Object.keys(all ?? {})).toEqual(['c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8', 'c9'])
    expect(withMarks(all, 'c9', all?.['c9'] ?? NO_MARKS)).toBe(all)
  })
})

describe('what the visitor has read', () => {
  test('[MK6] is told once, as far as it goes, and not again', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: theirs(1, 2) })
    await play.command({ type: 'mark-read' })
    expect(play.the('mark')).toMatchObject({ conversationId: 'c1', seq: 2 })
    await play.turn(answer(play, TAKEN))
    await play.command({ type: 'mark-read' })
    await play.after(10 * SECOND)
    expect(play.types()).toEqual([])
  })

  test('[MK6] what is read within a second of the last word waits, and goes together', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: theirs(1) })
    await play.command({ type: 'mark-read' })
    await play.turn(answer(play, TAKEN))
    for (const seq of [2, 3, 4]) {
      await play.after(100)
      await play.heard({ type: 'rows', rows: theirs(seq) })
      await play.command({ type: 'mark-read' })
      expect(play.types()).toEqual([])
    }
    expect(play.seen.wakeAt).toBe(NOW + SECOND)
    await play.after(700)
    expect(play.the('mark').seq).toBe(4)
  })

  test.each([
    { outcome: UNREACHABLE, isAgain: true },
    { outcome: failure('retry-at', { retryAfterMs: 20 * SECOND }), isAgain: true },
    { outcome: failure('retry', { code: 'SERVICE_BAD_RESPONSE' }), isAgain: false },
    { outcome: failure('read-only', { code: 'CONVERSATION_OVER' }), isAgain: false },
  ])('[MK6] after $outcome.verdict, $outcome.code it is told again: $isAgain', async ({ outcome, isAgain }) => {
    const play = await live()
    await play.heard({ type: 'rows', rows: theirs(1) })
    await play.command({ type: 'mark-read' })
    await play.turn(answer(play, outcome))
    expect(play.types()).not.toContain('mark')
    await play.after(30 * SECOND)
    expect(play.types().includes('mark')).toBe(isAgain)
    // What it means for the conversation is not this call's to say.
    expect(play.slots.session.conversation?.state).toBe('active')
  })

  test('[MK6] killed before the answer, the next worker tells it', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: theirs(1) })
    await play.command({ type: 'mark-read' })
    await play.restart('w2')
    expect(play.the('mark').seq).toBe(1)
  })

  test('[MK6] with no tab nobody is told, and with the next one they are', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: theirs(1) })
    await play.turn({ type: 'tabs', count: 0, isArrival: false })
    await play.command({ type: 'mark-read' })
    expect(play.types()).not.toContain('mark')
    await play.turn({ type: 'tabs', count: 1, isArrival: true })
    expect(play.the('mark').seq).toBe(1)
  })

  test('[MK6] an answer to another try says nothing', () => {
    const { state, action } = plan(seen(NO_MARKS, 3), 'c1', env())
    const claim = action?.claim ?? { key: '', count: 0 }
    expect(told(state, { claim: { key: 'other', count: 1 }, seq: 3, isDone: true }, env())).toBe(state)
    expect(told(state, { claim, seq: 3, isDone: true }, env())).toMatchObject({ told: 3 })
  })

  test('[MK7] on another device is not unread here, nor when it comes only then', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: theirs(1, 2) })
    expect(play.slots.transcript.unread).toBe(2)
    await marked(play, NONE, { delivered: 1, read: 1 })
    expect(play.slots.transcript.unread).toBe(2)
    await marked(play, NONE, { delivered: 2, read: 2 })
    expect(play.slots.transcript.unread).toBe(0)
    await play.command({ type: 'mark-read' })
    expect(play.types()).toEqual([])
    await play.heard({ type: 'rows', rows: theirs(5) })
    await marked(play, NONE, { delivered: 4, read: 4 })
    await play.heard({ type: 'rows', rows: theirs(3, 4) })
    expect(play.slots.transcript).toMatchObject({ cursor: { seq: 5 }, unread: 1 })
  })

  test('[MK8] where the platform has no marks nothing is told', async () => {
    const play = await new Play().live()
    await play.heard({ type: 'rows', rows: theirs(1) })
    await play.command({ type: 'mark-read' })
    await play.after(60 * SECOND)
    expect([play.types(), play.slots.transcript.unread]).toEqual([[], 0])
  })

  test('[MK9] a logout leaves no mark', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: mine(1) })
    await marked(play, { delivered: 1, read: 1 })
    await play.command({ type: 'logout', unsent: 'discard' })
    expect(JSON.stringify(play.slots)).not.toContain('c1')
    expect(play.slots.marks).toBeUndefined()
  })
})
