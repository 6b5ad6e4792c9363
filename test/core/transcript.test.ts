// The transcript: cursor, gaps, the reorder window, unread messages.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE, isHeld, TRY_MS } from '../../core/attempt.ts'
import {
  ABOVE_MAX,
  emptyTranscript,
  isComplete,
  isRow,
  plan,
  type Row,
  reduce,
  type Transcript,
  type TranscriptInput,
} from '../../core/transcript.ts'
import { asJson, env, HOUR, MINUTE, NOW, row, SECOND } from './fixtures.ts'

const claim = { key: 'f', count: 1 }
const running: Attempt = { status: 'running', ...claim, owner: 'w1', retryAt: NOW + 15 * SECOND }
const EMPTY = emptyTranscript('c1')
const rows = (...seqs: number[]): Row[] => seqs.map((seq) => row(seq))

const fold = (state: Transcript, ...inputs: TranscriptInput[]): Transcript =>
  inputs.reduce((one, input) => asJson(reduce(one, input, env()).state), state)
const received = (...seqs: number[]): TranscriptInput => ({ type: 'received', rows: rows(...seqs) })
const head = (seq: number): TranscriptInput => ({ type: 'head', seq })
const page = (headSeq: number, ...seqs: number[]): TranscriptInput => ({
  type: 'backfilled',
  claim,
  rows: rows(...seqs),
  headSeq,
})
/** As it is while it asks for what follows its cursor. */
const asking = (state: Transcript, fetch: Attempt = running): Transcript => ({
  ...state,
  fetch,
  askedSeq: state.cursor.seq,
})

describe('what comes', () => {
  test.each([
    { comes: [1, 2, 3], cursor: 3, above: [], head: 3 },
    { comes: [2, 1], cursor: 2, above: [], head: 2 },
    { comes: [2, 3], cursor: 0, above: [2, 3], head: 3 },
    { comes: [1, 4, 3], cursor: 1, above: [3, 4], head: 4 },
    { comes: [1, 1, 2, 2], cursor: 2, above: [], head: 2 },
    { comes: [0, -1, 1.5], cursor: 0, above: [], head: 0 },
  ])('[TR1] after $comes nothing is missing up to $cursor', ({ comes, ...expected }) => {
    const { state, rows: fresh } = reduce(EMPTY, received(...comes), env())
    expect(state.cursor).toEqual({ seq: expected.cursor, id: expected.cursor > 0 ? `m${expected.cursor}` : '' })
    expect([state.above.map(({ seq }) => seq), state.headSeq]).toEqual([expected.above, expected.head])
    expect(fresh.map(({ seq }) => seq)).toEqual([...new Set(comes.filter((seq) => Number.isInteger(seq) && seq > 0))])
  })

  test('[TR2] what is known is not written again, and another conversation is not ours', () => {
    const state = fold(EMPTY, received(1, 2, 4))
    const again = reduce(state, received(1, 2, 4), env())
    expect(again.rows).toEqual([])
    expect(again.state).toEqual(state)
    const foreign = reduce(state, { type: 'received', rows: [row(3, { conversationId: 'c2' })] }, env())
    expect([foreign.rows, foreign.state]).toEqual([[], state])
  })

  test('[TR2] two messages with one time are two', () => {
    const { rows: fresh } = reduce(EMPTY, received(1, 2), env())
    expect(fresh.map(({ at, id }) => [at, id])).toEqual([
      [NOW, 'm1'],
      [NOW, 'm2'],
    ])
  })

  test('[TR3] any order, repetition and grouping of a log ends at its end, each message written once', () => {
    const log = fc.integer({ min: 1, max: 60 }).chain((size) => {
      const seqs = Array.from({ length: size }, (_, index) => index + 1)
      const shuffled = fc.shuffledSubarray(seqs, { minLength: size })
      return fc.record({
        size: fc.constant(size),
        order: shuffled,
        doubles: fc.array(fc.constantFrom(...seqs)),
        cut: fc.nat(9),
      })
    })
    fc.assert(
      fc.property(log, ({ size, order, doubles, cut }) => {
        const stream = [...doubles, ...order, ...doubles]
        const written: number[] = []
        let state = EMPTY
        while (stream.length > 0) {
          const change = reduce(state, received(...stream.splice(0, cut + 1)), env())
          written.push(...change.rows.map(({ seq }) => seq))
          state = asJson(change.state)
        }
        expect(state).toMatchObject({ cursor: { seq: size, id: `m${size}` }, above: [], headSeq: size, unread: size })
        expect(written.sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, index) => index + 1))
        expect(isComplete(state)).toBe(true)
      }),
    )
  })

  test('[TR4] far ahead of a gap only so much is kept, and the end is not forgotten', () => {
    const far = Array.from({ length: ABOVE_MAX + 10 }, (_, index) => index + 3)
    const state = fold(EMPTY, received(...far))
    expect([state.above.length, state.headSeq]).toEqual([ABOVE_MAX, ABOVE_MAX + 12])
    const closer = fold(state, received(1, 2))
    expect([closer.cursor.seq, isComplete(closer)]).toEqual([ABOVE_MAX + 2, false])
    const all = reduce(EMPTY, received(...Array.from({ length: 3 * ABOVE_MAX }, (_, index) => index + 1)), env())
    expect([all.state.cursor.seq, all.rows.length]).toEqual([3 * ABOVE_MAX, 3 * ABOVE_MAX])
  })
})

describe('a gap', () => {
  test('[TR5] is fetched from the cursor when the reorder window is over', () => {
    const state = fold(EMPTY, received(1, 3))
    expect(plan(state, true, env({ now: NOW + 499 }))).toEqual({ state, wakeAt: NOW + 500 })
    const { action, state: next, wakeAt } = plan(state, true, env({ now: NOW + 500 }))
    expect(action).toMatchObject({
      type: 'backfill',
      claim: { key: 'k1', count: 1 },
      conversationId: 'c1',
      afterId: 'm1',
    })
    expect([next.askedSeq, wakeAt]).toEqual([1, NOW + 500 + TRY_MS])
    expect(plan(next, true, env({ now: NOW + 600 })).action).toBeUndefined()
  })

  test('[TR5] that closes by itself is not fetched', () => {
    const state = fold(EMPTY, received(1, 3), received(2))
    expect(plan(state, true, env({ now: NOW + SECOND }))).toEqual({ state })
  })

  test.each([
    { why: 'nobody listens', isOpen: false, now: NOW + HOUR },
    { why: 'the pump is elsewhere', isOpen: true, now: NOW + HOUR, pump: false },
  ])('[TR5] is not fetched while $why', ({ isOpen, ...at }) => {
    expect(plan(fold(EMPTY, received(2)), isOpen, env(at)).action).toBeUndefined()
  })

  test('[TR5] does not wait for an hour when the clock was set back', () => {
    const state = fold(EMPTY, received(2))
    expect(plan(state, true, env({ now: NOW - HOUR })).action).toBeDefined()
  })

  test.each([
    { comes: 'the rest', input: page(3, 2, 3), cursor: 3, due: false },
    { comes: 'a page of it', input: page(9, 2, 3), cursor: 4, due: true },
    { comes: 'what the stream has brought meanwhile', input: page(4, 2), cursor: 2, due: true },
  ])('[TR6] when $comes, the cursor is at $cursor and more is due: $due', ({ input, cursor, due }) => {
    const before = asking(fold(EMPTY, received(1, cursor === 4 ? 4 : cursor === 2 ? 4 : 3)))
    const { state } = reduce(before, input, env())
    expect([state.cursor.seq, state.fetch]).toEqual([cursor, IDLE])
    expect(plan(state, true, env({ now: NOW + SECOND })).action !== undefined).toBe(due)
  })

  test('[TR6] the platform may say that its log ends earlier than we were told', () => {
    const before = asking(fold(EMPTY, head(9)))
    expect(isComplete(fold(before, page(3, 1, 2, 3)))).toBe(true)
  })

  test.each([
    { of: 'an answered fetch', state: fold(EMPTY, received(2)) },
    { of: 'another fetch', state: asking(fold(EMPTY, received(2)), { ...running, key: 'g' }) },
  ])('[TR7] a late page of $of changes nothing', ({ state }) => {
    expect(reduce(state, page(9, 1), env())).toEqual({ state, rows: [] })
    expect(reduce(state, { type: 'resync', claim }, env())).toEqual({ state, rows: [] })
    expect(reduce(state, { type: 'backfill-failed', claim }, env()).state).toEqual(state)
  })

  test('[TR7] a late page of an earlier try counts', () => {
    const state = asking(fold(EMPTY, received(2)), { ...running, count: 3 })
    expect(reduce(state, page(2, 1), env()).state).toMatchObject({ cursor: { seq: 2 }, fetch: IDLE })
  })

  test('[TR8] a Retry-After holds the fetch, also through a restart and a wake-up', () => {
    const failed = reduce(
      asking(fold(EMPTY, received(2))),
      { type: 'backfill-failed', claim, retryAfterMs: MINUTE },
      env(),
    )
    const woken = asJson(reduce(failed.state, { type: 'woken' }, env({ now: NOW + SECOND })).state)
    expect(plan(woken, true, env({ now: NOW + MINUTE - 1, owner: 'w2' }))).toEqual({
      state: woken,
      wakeAt: NOW + MINUTE,
    })
    expect(plan(woken, true, env({ now: NOW + MINUTE, owner: 'w2' })).action?.claim).toMatchObject({
      key: 'f',
      count: 2,
    })
  })
})

test('[TR8] so does one that came when a site looked for older messages, in the next conversation, too', () => {
  const held = reduce(fold(EMPTY, received(2)), { type: 'held', retryAfterMs: MINUTE }, env()).state
  expect(plan(held, true, env({ now: NOW + MINUTE - 1 })).wakeAt).toBe(NOW + MINUTE + 500)
  expect([isHeld(held.fetch, NOW), isHeld(held.fetch, NOW + MINUTE), isHeld(IDLE, NOW)]).toEqual([true, false, false])
})

test('[TR32] another message where the cursor stands makes everything be read again, and it ends as the log does', () => {
  const before = { ...fold(EMPTY, received(1, 2, 3)), unread: 0 }
  expect(fold(before, received(3, 4))).toMatchObject({ cursor: { seq: 4 }, unread: 1 })
  const other = (seq: number) => row(seq, { id: `other ${seq}` })
  const told = fold(before, { type: 'received', rows: [other(3), other(4)] })
  const { state, action } = plan(told, true, env())
  expect([told.cursor.seq, action?.afterId]).toEqual([0, ''])
  const read = reduce(
    state,
    { type: 'backfilled', claim: action?.claim ?? claim, rows: [row(1), other(2), other(3), other(4)], headSeq: 4 },
    env(),
  )
  expect(read.rows.map(({ id }) => id)).toEqual(['m1', 'other 2', 'other 3', 'other 4'])
  expect(read.state).toMatchObject({ cursor: { seq: 4, id: 'other 4' }, headSeq: 4, fetch: IDLE })
})

test('[TR35] what stood at the cursor and above is gone at once, and what the platform put there is kept', () => {
  const before = fold(EMPTY, received(1, 2, 3, 5))
  const other = (seq: number) => row(seq, { id: `other ${seq}` })
  const foreign = row(3, { conversationId: 'c2' })
  const told = reduce(before, { type: 'received', rows: [other(3), foreign, other(4)] }, env())
  expect([told.endSeq, told.rows.map(({ id }) => id)]).toEqual([2, ['other 3', 'other 4']])
  const asked = asking(before)
  const unknown = reduce(asked, { type: 'resync', claim }, env())
  expect([unknown.endSeq, unknown.rows]).toEqual([2, []])
})

test('[TR32] a message of another conversation, or without a number, says nothing of the log', () => {
  const before = fold(EMPTY, received(1, 2))
  for (const change of [
    { conversationId: 'c2', id: 'x' },
    { seq: 0, id: 'x' },
  ])
    expect(reduce(before, { type: 'received', rows: [row(2, change)] }, env()).state).toEqual(before)
})

describe('a gap that stays', () => {
  test('[TR9] first makes the whole log read again', () => {
    const before = asking(fold(EMPTY, received(1, 2, 5)))
    const { state } = reduce(before, page(5), env())
    expect(state).toMatchObject({ cursor: { seq: 0, id: '' }, headSeq: 5, above: [], stuckSeq: 2 })
    expect(plan(state, true, env({ now: NOW + SECOND })).action?.afterId).toBe('')
  })

  test('[TR9] is no such gap when the cursor has moved while we asked', () => {
    const before = fold(asking(fold(EMPTY, received(1, 3))), received(2, 5))
    expect(fold(before, page(3, 2, 3))).toMatchObject({ cursor: { seq: 3 }, fetch: IDLE, stuckSeq: 0 })
  })

  test('[TR10] is asked for less and less often after that, with what is known on screen', () => {
    let state = fold(EMPTY, received(1, 2, 5))
    let now = NOW
    const asked: { at: number; after: string }[] = []
    while (asked.length < 12) {
      const planned = plan(state, true, env({ now, key: () => `f${now}` }))
      if (planned.action) {
        const { claim, afterId } = planned.action
        asked.push({ at: now, after: afterId })
        const known = afterId === '' ? rows(1, 2) : rows(5)
        const input = { type: 'backfilled' as const, claim, rows: known, headSeq: 5 }
        state = asJson(reduce(planned.state, input, env({ now })).state)
      } else {
        now = Math.max(now + 1, planned.wakeAt ?? now)
        state = planned.state
      }
    }
    expect(asked.filter(({ after }) => after === '')).toHaveLength(1)
    const [before, last] = asked.slice(-2).map(({ at }) => at) as [number, number]
    expect(last - before).toBe(15 * SECOND)
    expect(state).toMatchObject({ cursor: { seq: 2 }, above: [{ seq: 5 }] })
  })

  test('[TR11] a cursor that the platform does not know makes everything be read again', () => {
    const before = asking(fold(EMPTY, received(1, 2, 3), head(9)))
    const state = fold(before, { type: 'resync', claim })
    expect(state).toMatchObject({ cursor: { seq: 0, id: '' }, headSeq: 9, fetch: IDLE, countedSeq: 3 })
    const shorter = fold(asking(state), page(2, 1, 2))
    expect([isComplete(shorter), shorter.countedSeq]).toEqual([true, 2])
  })

  test('[TR11] a platform that does not know the beginning either is asked less and less often', () => {
    const state = fold(asking(fold(EMPTY, head(3))), { type: 'resync', claim })
    expect(state.fetch).toEqual({ status: 'waiting', ...claim, retryAt: NOW + 500, floorAt: 0 })
  })

  test('[TR12] a head below the cursor is asked about, and believed only if the platform does not know the cursor', () => {
    const before = fold(EMPTY, received(1, 2, 3))
    const told = fold(before, head(2))
    const { action, state } = plan(told, true, env({ now: NOW + 500 }))
    expect([action?.afterId, told.cursor]).toEqual(['m3', before.cursor])
    const oldNews = { type: 'backfilled' as const, claim: { key: 'k1', count: 1 }, rows: [], headSeq: 3 }
    expect(reduce(state, oldNews, env()).state).toMatchObject({ cursor: before.cursor, headSeq: 3, fetch: IDLE })
  })
})

describe('unread', () => {
  const own = row(3, { role: 'customer' })

  test('[TR13] messages of others that are new here are unread, our own are not', () => {
    const state = fold(EMPTY, received(1, 2), { type: 'received', rows: [own] }, received(4))
    expect([state.unread, fold(state, { type: 'marked-read' }).unread]).toEqual([3, 0])
  })

  test('[TR13] what was said before this browser heard of the conversation is not unread', () => {
    const state = fold(EMPTY, head(2), received(1, 2, 3))
    expect(state.unread).toBe(1)
  })

  test('[TR13] a second reading counts nothing twice', () => {
    const read = fold(EMPTY, received(1, 2), { type: 'marked-read' })
    const again = fold(asking(read), { type: 'resync', claim }, received(1, 2, 3))
    expect(again).toMatchObject({ cursor: { seq: 3 }, unread: 1 })
  })

  test('[TR13] marking nothing changes nothing', () => {
    expect(reduce(EMPTY, { type: 'marked-read' }, env()).state).toBe(EMPTY)
  })
})

test.each([
  { value: row(1), is: true },
  { value: { ...row(1), seq: '1' }, is: false },
  { value: { ...row(1), text: 7 }, is: false },
  { value: undefined, is: false },
])('[TR14] what was not written by us is not read: $value', ({ value, is }) => {
  expect(isRow(value)).toBe(is)
})
