// The outbox: what each input does to the counters, the lanes and the entries.

import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE } from '../../core/attempt.ts'
import {
  countsOf,
  EMPTY_OUTBOX,
  type Entry,
  isClaimed,
  isEntry,
  laneOf,
  type Outbox,
  OUTBOX_BYTES_MAX,
  OUTBOX_ENTRIES_MAX,
  type OutboxInput,
  reduce,
  restore,
} from '../../core/outbox.ts'
import { env, HOUR, MINUTE, NOW, SECOND } from './fixtures.ts'

const claim = { key: 'a', count: 1 }
const running: Attempt = { status: 'running', ...claim, owner: 'w1', retryAt: NOW + MINUTE }
const waiting: Attempt = { status: 'waiting', ...claim, count: 4, retryAt: NOW + 20 * SECOND, floorAt: 0 }
const wished: Attempt = { ...waiting, floorAt: NOW + 10 * SECOND }

const entry = (seq: number, change: Partial<Entry> = {}): Entry => ({
  seq,
  key: `k${seq}`,
  lane: '1',
  text: 'hello',
  at: NOW - HOUR,
  epoch: 'e',
  bytes: 210,
  live: '1',
  ...change,
})
const heldBack = (seq: number, status: 'dead' | 'stale' = 'dead'): Entry => {
  const { live: _, ...rest } = entry(seq, { held: { status, code: 'C', reason: 'why' } })
  return rest
}

/** An outbox that holds these entries. */
const holding = (entries: readonly Entry[], attempt: Attempt = IDLE, upTo = 0): Outbox => {
  const outbox = restore(entries)
  const lanes = Object.fromEntries(
    Object.entries(outbox.lanes).map(([name, { size }]) => [name, { size, attempt, upTo }]),
  )
  return { ...outbox, lanes }
}

const enqueued = (key: string, text = 'hello', lane = '1'): OutboxInput => ({
  type: 'enqueued',
  message: { key, text },
  lane,
  epoch: 'e',
})

describe('accepting', () => {
  test('[OB1] an entry is numbered in the order of commit, over all lanes', () => {
    const first = reduce(EMPTY_OUTBOX, enqueued('a'), env())
    const second = reduce(first.state, enqueued('b', 'hello', '2'), env())
    expect(first.put).toEqual({ ...entry(1, { key: 'a' }), at: NOW })
    expect(second.put).toMatchObject({ seq: 2, lane: '2', live: '2' })
    expect(countsOf(second.state)).toEqual({ queued: 2, inflight: 0, dead: 0, stale: 0 })
  })

  test('[OB2] an entry has the key, the words and the lane of its message, and nothing else', () => {
    const message = { key: 'a', text: 'hello', metadata: { page: 'cart', token: 'x' }, token: 'secret' }
    const { put } = reduce(EMPTY_OUTBOX, { type: 'enqueued', message, lane: '1', epoch: 'e' }, env())
    expect(JSON.stringify(put)).not.toContain('secret')
    expect(put?.metadata).toEqual({ page: 'cart', token: 'x' })
  })

  test.each([
    {
      limit: 'entries',
      outbox: { ...EMPTY_OUTBOX, lanes: { 7: { size: OUTBOX_ENTRIES_MAX, attempt: IDLE, upTo: 0 } } },
    },
    { limit: 'entries set aside', outbox: { ...EMPTY_OUTBOX, dead: OUTBOX_ENTRIES_MAX - 1, stale: 1 } },
    { limit: 'bytes', outbox: { ...EMPTY_OUTBOX, bytes: OUTBOX_BYTES_MAX - 209 } },
  ])('[OB3] beyond the limit of $limit nothing is accepted and nothing is lost', ({ outbox }) => {
    const change = reduce(outbox, enqueued('a'), env())
    expect(change).toEqual({
      state: outbox,
      refusal: { code: 'OUTBOX_FULL', message: expect.stringContaining('20000') },
    })
  })

  test('[OB3] up to the limit it is', () => {
    expect(reduce({ ...EMPTY_OUTBOX, bytes: OUTBOX_BYTES_MAX - 210 }, enqueued('a'), env()).put).toBeDefined()
    expect(reduce({ ...EMPTY_OUTBOX, dead: OUTBOX_ENTRIES_MAX - 1 }, enqueued('a'), env()).put).toBeDefined()
  })
})

describe('settling', () => {
  test.each([
    { of: 'a queued entry', entry: entry(1), attempt: IDLE },
    { of: 'the entry on the wire', entry: entry(1), attempt: running },
    { of: 'an entry of a run that has failed', entry: entry(1), attempt: waiting },
    { of: 'a dead entry that was accepted after all', entry: heldBack(1), attempt: IDLE },
    { of: 'a stale entry that was accepted after all', entry: heldBack(1, 'stale'), attempt: IDLE },
  ])('[OB4] the word of the platform removes $of', ({ entry: settled, attempt }) => {
    const outbox = holding([settled, entry(2)], attempt, 2)
    const { state, drop, put } = reduce(outbox, { type: 'settled', entry: settled }, env())
    expect([drop, put]).toEqual([settled, undefined])
    expect(state).toMatchObject({ bytes: 210, dead: 0, stale: 0, lanes: { 1: { size: 1 } } })
  })

  test('[OB5] the run goes on when its entries settle in another order', () => {
    let outbox = holding([entry(1), entry(2), entry(3)], running, 3)
    for (const seq of [3, 1]) outbox = reduce(outbox, { type: 'settled', entry: entry(seq) }, env()).state
    expect(laneOf(outbox, '1')).toEqual({ size: 1, attempt: running, upTo: 3 })
    expect(isClaimed(outbox, entry(2))).toBe(true)
  })

  test.each([
    { what: 'a wait of our own ends', attempt: waiting, retryAt: NOW },
    { what: 'a wish of the server stays', attempt: wished, retryAt: NOW + 10 * SECOND },
  ])('[OB6] after a sign of progress $what, and the backoff starts anew', ({ attempt, retryAt }) => {
    const outbox = holding([entry(1), entry(2)], attempt, 2)
    const settled = reduce(outbox, { type: 'settled', entry: entry(1) }, env())
    const refused = reduce(outbox, { type: 'refused', entry: entry(1), code: 'C', reason: 'why' }, env())
    for (const { state } of [settled, refused]) {
      expect(laneOf(state, '1').attempt).toEqual({ ...attempt, retryAt, count: 0 })
    }
  })

  test.each([
    { retryAfterMs: 0, retryAt: NOW },
    { retryAfterMs: MINUTE, retryAt: NOW + MINUTE },
  ])(
    '[OB6] a try that fails behind the echoes of all that it carried is one: $retryAfterMs',
    ({ retryAfterMs, retryAt }) => {
      const echoed = reduce(
        holding([entry(1)], { ...running, count: 7 }, 1),
        { type: 'settled', entry: entry(1) },
        env(),
      )
      const failed = { type: 'send-failed', lane: '1', claim: { key: running.key, count: 7 }, retryAfterMs } as const
      expect(laneOf(reduce(echoed.state, failed, env()).state, '1').attempt).toMatchObject({ count: 0, retryAt })
      const left = holding([entry(1)], { ...running, count: 7 }, 1)
      expect(laneOf(reduce(left, failed, env()).state, '1').attempt).toMatchObject({ count: 7 })
    },
  )

  test('[OB6] a cancel is no progress: the lane waits as before', () => {
    const { state, drop } = reduce(
      holding([entry(1), entry(2)], wished, 2),
      { type: 'cancelled', entry: entry(2) },
      env(),
    )
    expect(drop).toEqual(entry(2))
    expect(laneOf(state, '1')).toEqual({ size: 1, attempt: wished, upTo: 2 })
  })
})

describe('setting aside', () => {
  const refused = { type: 'refused' as const, code: 'SERVICE_REFUSED', reason: 'why' }

  test('[OB7] a refused entry leaves its lane and keeps its text, its code and the reason', () => {
    const { state, put, drop } = reduce(
      holding([entry(1), entry(2)], running, 2),
      { ...refused, entry: entry(1) },
      env(),
    )
    expect(put).toEqual({ ...heldBack(1), held: { status: 'dead', code: 'SERVICE_REFUSED', reason: 'why' } })
    expect(drop).toBeUndefined()
    expect(state).toMatchObject({ bytes: 420, dead: 1, lanes: { 1: { size: 1, attempt: running } } })
  })

  test('[OB7] what is set aside is not set aside again', () => {
    const outbox = holding([heldBack(1)])
    expect(reduce(outbox, { ...refused, entry: heldBack(1) }, env())).toEqual({ state: outbox })
  })

  test.each(['dead', 'stale'] as const)(
    '[OB8] a retry puts a %s entry back in its place, with its key and a new age',
    (status) => {
      const { state, put, drop } = reduce(
        holding([heldBack(1, status), entry(2)]),
        { type: 'retried', entry: heldBack(1, status), lane: '1' },
        env(),
      )
      expect(put).toEqual({ ...entry(1), at: NOW })
      expect(drop).toBeUndefined()
      expect(state).toMatchObject({ dead: 0, stale: 0, bytes: 420, lanes: { 1: { size: 2 } } })
    },
  )

  test.each([
    { is: 'held', from: heldBack(1), dead: 0, left: undefined },
    { is: 'parked', from: entry(1), dead: 0, left: 0 },
  ])(
    '[OB9] a retry moves a $is entry of another lane to the end of the present one, with its key',
    ({ from, dead, left }) => {
      const outbox = holding([from, entry(5, { lane: '2', live: '2' })])
      const { state, put, drop } = reduce(outbox, { type: 'retried', entry: from, lane: '2' }, env())
      expect(drop).toEqual(from)
      expect(put).toEqual({ ...entry(6, { key: 'k1', lane: '2', live: '2' }), at: NOW })
      expect(state).toMatchObject({ nextSeq: 7, bytes: 420, dead, lanes: { 2: { size: 2 } } })
      expect(state.lanes[1]?.size).toBe(left)
    },
  )

  test('[OB10] an entry that may be on the wire is neither moved nor cancelled', () => {
    const outbox = holding([entry(1), entry(2), entry(3)], running, 2)
    const moved = reduce(outbox, { type: 'retried', entry: entry(1), lane: '2' }, env())
    const cancelled = reduce(outbox, { type: 'cancelled', entry: entry(2) }, env())
    expect([moved.refusal?.code, cancelled.refusal?.code]).toEqual(['OUTBOX_INFLIGHT', 'OUTBOX_INFLIGHT'])
    expect([moved.state, cancelled.state]).toEqual([outbox, outbox])
    expect(reduce(outbox, { type: 'cancelled', entry: entry(3) }, env()).drop).toEqual(entry(3))
  })

  test.each([
    { is: 'waiting', attempt: waiting, retryAt: NOW },
    { is: 'waiting as the server wished', attempt: wished, retryAt: NOW + 10 * SECOND },
    { is: 'being sent', attempt: running, retryAt: running.retryAt },
  ])('[OB11] the site can force a try of a lane that is $is', ({ attempt, retryAt }) => {
    const { state } = reduce(holding([entry(1)], attempt, 1), { type: 'retried', entry: entry(1), lane: '1' }, env())
    expect(laneOf(state, '1')).toMatchObject({ size: 1, attempt: { status: attempt.status, retryAt } })
  })

  test.each([
    { status: 'dead' as const, counts: { queued: 0, inflight: 0, dead: 0, stale: 1 } },
    { status: 'stale' as const, counts: { queued: 0, inflight: 0, dead: 1, stale: 0 } },
  ])('[OB12] a cancelled $status entry is gone', ({ status, counts }) => {
    const other = heldBack(2, status === 'dead' ? 'stale' : 'dead')
    const { state, drop } = reduce(
      holding([heldBack(1, status), other]),
      { type: 'cancelled', entry: heldBack(1, status) },
      env(),
    )
    expect(drop).toEqual(heldBack(1, status))
    expect([countsOf(state), state.bytes]).toEqual([counts, 210])
  })
})

describe('a run', () => {
  const outbox = holding([entry(1), entry(2)], running, 1)

  test.each([
    { input: { type: 'run-ended', lane: '1', claim }, attempt: IDLE },
    { input: { type: 'run-ended', lane: '1', claim: { key: 'a', count: 2 } }, attempt: running },
    { input: { type: 'run-ended', lane: '1', claim: { key: 'b', count: 1 } }, attempt: running },
    { input: { type: 'send-failed', lane: '1', claim }, attempt: { ...waiting, count: 1, retryAt: NOW + 500 } },
    {
      input: { type: 'send-failed', lane: '1', claim, retryAfterMs: MINUTE },
      attempt: { ...waiting, count: 1, retryAt: NOW + MINUTE + 500, floorAt: NOW + MINUTE, wishedAt: NOW },
    },
    { input: { type: 'send-failed', lane: '1', claim: { key: 'a', count: 9 } }, attempt: running },
  ] as const)(
    '[OB13] $input.type of $input.claim.key/$input.claim.count ends only its own run',
    ({ input, attempt }) => {
      expect(laneOf(reduce(outbox, input, env()).state, '1')).toEqual({ size: 2, attempt, upTo: 1 })
    },
  )

  test.each([
    { type: 'run-ended', lane: '9', claim },
    { type: 'send-failed', lane: '9', claim },
    { type: 'lane-hurried', lane: '9' },
  ] as const)('[OB13] $type of an unknown lane changes nothing', (input) => {
    expect(reduce(outbox, input, env()).state).toBe(outbox)
  })

  test.each([{ type: 'woken' }, { type: 'lane-hurried', lane: '1' }] as const)(
    '[OB14] $type ends a wait of our own, and no wish of the server',
    (input) => {
      const at = (attempt: Attempt) => laneOf(reduce(holding([entry(1)], attempt), input, env()).state, '1').attempt
      expect(at(waiting)).toMatchObject({ retryAt: NOW })
      expect(at(wished)).toMatchObject({ retryAt: NOW + 10 * SECOND })
      expect(at(running)).toEqual(running)
    },
  )

  test('[OB15] the counters say what waits, what is on the wire and what is set aside', () => {
    const box = holding(
      [entry(1), entry(2), entry(3, { lane: '2', live: '2' }), heldBack(4), heldBack(5, 'stale')],
      running,
      1,
    )
    expect(countsOf(box)).toEqual({ queued: 1, inflight: 2, dead: 1, stale: 1 })
    expect(countsOf(holding([heldBack(1)], running))).toEqual({ queued: 0, inflight: 0, dead: 1, stale: 0 })
  })
})

describe('the disk', () => {
  test('[OB16] lost counters are made anew from the entries', () => {
    const entries = [entry(3), heldBack(4), entry(7, { lane: '2', live: '2' }), heldBack(9, 'stale')]
    expect(restore(entries)).toEqual({
      nextSeq: 10,
      bytes: 840,
      dead: 1,
      stale: 1,
      lanes: { 1: { size: 1, attempt: IDLE, upTo: 0 }, 2: { size: 1, attempt: IDLE, upTo: 0 } },
    })
    expect(restore([])).toEqual(EMPTY_OUTBOX)
  })

  test.each([
    { value: entry(1), is: true },
    { value: heldBack(1), is: true },
    { value: null, is: false },
    { value: 'entry', is: false },
    { value: { ...entry(1), seq: Number.NaN }, is: false },
    { value: { ...entry(1), text: undefined }, is: false },
    { value: { ...entry(1), lane: 1 }, is: false },
  ])('[OB16] what was not written by us is not read: $value', ({ value, is }) => {
    expect(isEntry(value)).toBe(is)
  })
})
