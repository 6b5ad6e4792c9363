// One thing to get done, with its key, its waits and its wishes.

import { describe, expect, test } from 'vitest'
import { answers, type Attempt, begin, claimOf, fail, hurry, IDLE, isDue, letGo, nextAt } from '../../core/attempt.ts'
import { BACKOFF_CAP_MS, backoffMs, RETRY_AFTER_MAX_MS } from '../../core/backoff.ts'
import { asJson, env, HOUR, NOW, SECOND } from './fixtures.ts'

const running: Attempt & { status: 'running' } = {
  status: 'running',
  key: 'k',
  count: 2,
  owner: 'w1',
  retryAt: NOW + 15 * SECOND,
}
const waiting: Attempt = { status: 'waiting', key: 'k', count: 2, retryAt: NOW + 10 * SECOND, floorAt: 0 }
const wished: Attempt = { ...waiting, floorAt: NOW + 8 * SECOND }

describe('backoff', () => {
  test.each([
    { count: 1, random: 0, retryAfterMs: 0, ms: 0 },
    { count: 1, random: 0.999, retryAfterMs: 0, ms: 999 },
    { count: 2, random: 0.5, retryAfterMs: 0, ms: 1_000 },
    { count: 5, random: 0.5, retryAfterMs: 0, ms: 8_000 },
    { count: 6, random: 0.5, retryAfterMs: 0, ms: 15_000 },
    { count: 1_000, random: 0.999, retryAfterMs: 0, ms: 29_970 },
    { count: 1, random: 0.5, retryAfterMs: 7_000, ms: 7_500 },
    { count: 6, random: 0.9, retryAfterMs: 7_000, ms: 27_000 },
    { count: 1, random: 0.5, retryAfterMs: Number.POSITIVE_INFINITY, ms: RETRY_AFTER_MAX_MS + 500 },
    { count: 1, random: 0.5, retryAfterMs: Number.NaN, ms: 500 },
    { count: 1, random: 0.5, retryAfterMs: -60_000, ms: 500 },
  ])('[SN1] failure $count with the draw $random and the hint $retryAfterMs waits $ms ms', ({ ms, ...row }) => {
    expect(backoffMs(row.count, row.random, row.retryAfterMs)).toBe(ms)
  })
})

describe('may it start', () => {
  test.each([
    { is: 'idle', attempt: IDLE, at: NOW, due: true },
    { is: 'running here', attempt: running, at: NOW, due: false },
    { is: 'running here beyond its time', attempt: running, at: NOW + 15 * SECOND, due: true },
    { is: 'running in another incarnation', attempt: { ...running, owner: 'w0' }, at: NOW, due: true },
    { is: 'waiting', attempt: waiting, at: NOW, due: false },
    { is: 'waiting long enough', attempt: waiting, at: NOW + 10 * SECOND, due: true },
    { is: 'waiting from before the clock was set back', attempt: waiting, at: NOW - HOUR, due: true },
    { is: 'waiting as the server wished, the clock set back', attempt: wished, at: NOW - HOUR, due: false },
  ])('[SN2] what is $is: $due', ({ attempt, at, due }) => {
    expect(isDue(attempt, env({ now: at }))).toBe(due)
    expect(isDue(attempt, env({ now: at, pump: false }))).toBe(false)
  })

  test('[SN2] nothing is waited for while it is idle', () => {
    expect([nextAt(IDLE), nextAt(waiting)]).toEqual([undefined, NOW + 10 * SECOND])
  })
})

describe('starting and failing', () => {
  test('[SN3] a retry carries the key of the first try and counts on', () => {
    const first = begin(IDLE, env(), 15 * SECOND)
    expect(first).toEqual({ status: 'running', key: 'k1', count: 1, owner: 'w1', retryAt: NOW + 15 * SECOND })
    const failed = fail(first, claimOf(first), env({ random: () => 0.5 }))
    expect(failed).toEqual({ status: 'waiting', key: 'k1', count: 1, retryAt: NOW + 500, floorAt: 0 })
    const second = begin(asJson(failed), env({ owner: 'w2', key: () => 'other' }), SECOND)
    expect(second).toEqual({ status: 'running', key: 'k1', count: 2, owner: 'w2', retryAt: NOW + SECOND })
  })

  test.each([
    { of: 'an idle attempt', attempt: IDLE, claim: { key: 'k', count: 2 } },
    { of: 'an older try', attempt: running, claim: { key: 'k', count: 1 } },
    { of: 'another key', attempt: running, claim: { key: 'j', count: 2 } },
    { of: 'a try that has failed', attempt: waiting, claim: { key: 'k', count: 2 } },
  ])('[SN4] the failure of $of changes nothing', ({ attempt, claim }) => {
    expect(fail(attempt, claim, env(), HOUR)).toBe(attempt)
  })

  test.each([
    { of: 'an idle attempt', attempt: IDLE, isAnswer: false },
    { of: 'the running attempt', attempt: running, isAnswer: true },
    { of: 'an attempt that was put off', attempt: waiting, isAnswer: true },
    { of: 'an attempt with another key', attempt: { ...running, key: 'j' }, isAnswer: false },
  ])('[SN4] a late success of $of counts: $isAnswer', ({ attempt, isAnswer }) => {
    expect(answers(attempt, { key: 'k', count: 1 })).toBe(isAnswer)
  })

  test.each([
    { hint: 90 * SECOND, retryAt: NOW + 90 * SECOND + 500, floorAt: NOW + 90 * SECOND },
    { hint: 100, retryAt: NOW + 1_000, floorAt: NOW + 100 },
    { hint: 90 * 24 * HOUR, retryAt: NOW + RETRY_AFTER_MAX_MS + 500, floorAt: NOW + RETRY_AFTER_MAX_MS },
    { hint: Number.NaN, retryAt: NOW + 1_000, floorAt: 0 },
  ])('[SN5] a wish of $hint ms is kept as an instant', ({ hint, retryAt, floorAt }) => {
    expect(fail(running, claimOf(running), env(), hint)).toMatchObject({ retryAt, floorAt })
  })

  test.each([
    { by: HOUR, isDueThen: true },
    { by: SECOND, isDueThen: false },
  ])('[SN5] a clock that was set back by $by ms ends the wish: $isDueThen', ({ by, isDueThen }) => {
    const failed = fail(running, claimOf(running), env(), 20 * SECOND)
    expect(isDue(failed, { ...env(), now: NOW - by })).toBe(isDueThen)
  })
})

describe('hurrying and letting go', () => {
  test.each([
    { is: 'idle', attempt: IDLE, at: NOW, retryAt: undefined },
    { is: 'running', attempt: running, at: NOW, retryAt: running.retryAt },
    { is: 'waiting', attempt: waiting, at: NOW, retryAt: NOW },
    { is: 'waiting from before the clock was set back', attempt: waiting, at: NOW - HOUR, retryAt: NOW - HOUR },
    { is: 'waiting as the server wished', attempt: asJson(wished), at: NOW, retryAt: NOW + 8 * SECOND },
    { is: 'overdue', attempt: waiting, at: NOW + HOUR, retryAt: waiting.retryAt },
  ])('[SN6] a wake-up makes what is $is due at $retryAt', ({ attempt, at, retryAt }) => {
    expect(nextAt(hurry(attempt, at))).toBe(retryAt)
  })

  test('[SN6] a wake-up never lengthens a wait, whatever the server wished', () => {
    const failed = fail(running, claimOf(running), env(), 90 * 24 * HOUR)
    expect(nextAt(hurry(failed, NOW))).toBe(NOW + RETRY_AFTER_MAX_MS)
  })

  test.each([
    { attempt: IDLE, left: IDLE },
    { attempt: running, left: IDLE },
    { attempt: wished, left: wished },
  ])('[SN5] letting go of what is $attempt.status keeps a wish', ({ attempt, left }) => {
    expect(letGo(attempt)).toEqual(left)
  })

  test('[SN1] no wait of our own is longer than the cap', () => {
    const failed = fail({ ...running, count: 99 }, { key: 'k', count: 99 }, env({ random: () => 0.999_999 }))
    expect((nextAt(failed) ?? 0) - NOW).toBeLessThan(BACKOFF_CAP_MS)
  })
})
