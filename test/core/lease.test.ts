// The lease, input by input and instant by instant.

import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE, TRY_MS } from '../../core/attempt.ts'
import { isUsable, type Lease, NO_LEASE, plan, reduce, refreshAtOf, REJECTIONS_MAX } from '../../core/lease.ts'
import { asJson, env, grant, HOUR, MINUTE, NOW, SECOND } from './fixtures.ts'

type Held = Lease & { status: 'held' }

const held = (change: Partial<Held> = {}): Held => ({
  status: 'held',
  generation: 3,
  grant: grant(),
  refreshAt: NOW + 15 * MINUTE,
  receivedAt: NOW,
  rejections: 0,
  isSpent: false,
  refresh: IDLE,
  ...change,
})
const lost: Lease = { status: 'lost', generation: 3, code: 'LEASE_REVOKED' }
const running: Attempt = { status: 'running', key: 'r', count: 1, owner: 'w1', retryAt: NOW + 15 * SECOND }
const claim = { key: 'r', count: 1 }

test('[LE23] a try that left with the cookie of the one before it is still awaited, under its key', () => {
  const again: Attempt = { ...running, count: 2 }
  const { refresh: _, ...byCookie } = grant()
  const lease = asJson(reduce(held({ refresh: again }), { type: 'refreshed', claim, grant: byCookie }, env()))
  expect(lease).toMatchObject({ status: 'held', generation: 4, refresh: again })
  // It died with its worker: the next one asks again, and under no other key.
  expect(plan(lease, env({ owner: 'w2' })).action?.claim).toMatchObject({ key: 'r', count: 3 })
})

describe('when', () => {
  test.each([
    { lifetimeMs: HOUR, draw: 0.5, beforeMs: 5 * MINUTE },
    { lifetimeMs: HOUR, draw: 0, beforeMs: 4.5 * MINUTE },
    { lifetimeMs: HOUR, draw: 0.999_999, beforeMs: 5.5 * MINUTE },
    { lifetimeMs: 20 * MINUTE, draw: 0.5, beforeMs: 5 * MINUTE },
    { lifetimeMs: 8 * MINUTE, draw: 0.5, beforeMs: 2 * MINUTE },
    { lifetimeMs: 8 * MINUTE, draw: 0, beforeMs: 1.8 * MINUTE },
    { lifetimeMs: 4 * SECOND, draw: 0.5, beforeMs: SECOND },
  ])('[LE1] a lease of $lifetimeMs ms is refreshed $beforeMs ms before its end, at a draw of $draw', (row) => {
    expect(NOW + row.lifetimeMs - refreshAtOf(grant(NOW, row.lifetimeMs), row.draw)).toBeCloseTo(row.beforeMs, -1)
  })

  test('[LE1] it is due at that instant and not before', () => {
    const lease = reduce(NO_LEASE, { type: 'granted', grant: grant() }, env())
    expect(plan(lease, env())).toEqual({ state: lease, wakeAt: NOW + 15 * MINUTE })
    expect(plan(lease, env({ now: NOW + 15 * MINUTE - 1 })).action).toBeUndefined()
    expect(plan(asJson(lease), env({ now: NOW + 15 * MINUTE })).action).toMatchObject({
      type: 'refresh',
      claim: { key: 'k1', count: 1 },
      refresh: grant().refresh,
    })
  })

  test.each([0, 1, -5])('[LE2] a grant that lives %d ms is not followed by another within the second', (lifetimeMs) => {
    const lease = reduce(NO_LEASE, { type: 'granted', grant: grant(NOW, lifetimeMs) }, env())
    expect(plan(lease, env()).wakeAt).toBe(NOW + SECOND)
    expect(plan(lease, env({ now: NOW + SECOND })).action).toBeDefined()
  })

  test.each([
    { jump: 'an hour back', now: NOW - HOUR, due: true },
    { jump: 'four minutes back', now: NOW - 4 * MINUTE, due: false },
    { jump: 'an hour forward', now: NOW + HOUR, due: true },
    { jump: 'ten years back', now: NOW - 87_600 * HOUR, due: true },
    { jump: 'ten years forward', now: NOW + 87_600 * HOUR, due: true },
  ])('[LE3] a clock that jumps $jump makes at most one refresh due', ({ now, due }) => {
    const first = plan(held(), env({ now }))
    expect(first.action !== undefined).toBe(due)
    if (!first.action) return
    expect(plan(first.state, env({ now })).action).toBeUndefined()
    const refreshed = { type: 'refreshed' as const, claim: first.action.claim, grant: grant(now) }
    const next = reduce(first.state, refreshed, env({ now }))
    expect(plan(next, env({ now: now + SECOND })).action).toBeUndefined()
  })

  test('[LE3] the clock of the server plays no part: expiry is our clock and the lifetime', () => {
    const lease = reduce(NO_LEASE, { type: 'granted', grant: grant(NOW) }, env())
    expect([NOW + 20 * MINUTE - 1, NOW + 20 * MINUTE].map((at) => isUsable(lease, at))).toEqual([true, false])
  })

  test('[LE4] without the pump nothing is refreshed', () => {
    const overdue = env({ now: NOW + HOUR, pump: false })
    expect(plan(held(), overdue)).toEqual({ state: held() })
    expect(plan(held({ refresh: running }), overdue).action).toBeUndefined()
  })
})

describe('one refresher', () => {
  const due = plan(held(), env({ now: NOW + 15 * MINUTE }))

  test('[LE5] the attempt and its key are in the state before the request is made', () => {
    expect(due.state).toMatchObject({ refresh: { status: 'running', key: 'k1', count: 1, owner: 'w1' } })
    expect(due.wakeAt).toBe(NOW + 15 * MINUTE + TRY_MS)
  })

  test('[LE6] while it runs nobody starts another', () => {
    for (const after of [0, 1, 14_999]) {
      expect(plan(due.state, env({ now: NOW + 15 * MINUTE + after })).action).toBeUndefined()
    }
  })

  test.each([
    { how: 'the answer is lost', at: NOW + 15 * MINUTE + TRY_MS, owner: 'w1' },
    { how: 'the worker is killed', at: NOW + 15 * MINUTE + 1, owner: 'w2' },
    { how: 'the laptop sleeps for an hour', at: NOW + 2 * HOUR, owner: 'w1' },
  ])('[LE7] when $how the retry has the same token and the same key', ({ at, owner }) => {
    const again = plan(asJson(due.state), env({ now: at, owner, key: () => 'another' }))
    expect(again.action).toMatchObject({ ...due.action, claim: { key: 'k1', count: 2 } })
  })
})

describe('what an answer changes', () => {
  const waiting: Attempt = { status: 'waiting', key: 'r', count: 1, retryAt: NOW + MINUTE, floorAt: 0 }
  const next = { type: 'refreshed' as const, grant: grant(NOW + MINUTE) }

  test.each([
    { of: 'the refresh that runs', lease: held({ refresh: running }), claim, generation: 4 },
    {
      of: 'an earlier try of the same refresh',
      lease: held({ refresh: { ...running, count: 2 } }),
      claim,
      generation: 4,
    },
    { of: 'a refresh that was put off', lease: held({ refresh: waiting }), claim, generation: 4 },
  ])('[LE8] the success of $of makes the next generation', (row) => {
    const lease = reduce(row.lease, { ...next, claim: row.claim }, env({ now: NOW + MINUTE }))
    expect(lease).toEqual(
      held({ generation: 4, grant: next.grant, receivedAt: NOW + MINUTE, refreshAt: NOW + 16 * MINUTE }),
    )
  })

  test.each([
    { of: 'a refresh that was answered', lease: held() },
    { of: 'another key', lease: held({ refresh: { ...running, key: 'other' } }) },
    { of: 'a lost lease', lease: lost },
    { of: 'an identity that has signed out', lease: NO_LEASE },
  ])('[LE9] a late answer of $of changes nothing', ({ lease }) => {
    expect(reduce(lease, { ...next, claim }, env())).toBe(lease)
    expect(reduce(lease, { type: 'refresh-failed', claim, retryAfterMs: HOUR }, env())).toEqual(lease)
    expect(reduce(lease, { type: 'refresh-refused', claim, code: 'LEASE_REVOKED' }, env())).toBe(lease)
  })

  test.each([
    { failure: 'a timeout', retryAfterMs: undefined, retryAt: NOW + 500, hurried: NOW },
    {
      failure: 'a 429 with Retry-After',
      retryAfterMs: 90 * SECOND,
      retryAt: NOW + 90 * SECOND + 500,
      hurried: NOW + 90 * SECOND,
    },
  ])('[LE10] $failure keeps the lease, and its token is used while it lives', ({ retryAfterMs, retryAt, hurried }) => {
    const input = { type: 'refresh-failed' as const, claim, ...(retryAfterMs && { retryAfterMs }) }
    const lease = asJson(reduce(held({ refresh: running }), input, env()))
    expect(isUsable(lease, NOW)).toBe(true)
    expect(plan(lease, env())).toEqual({ state: lease, wakeAt: retryAt })
    const woken = asJson(reduce(lease, { type: 'woken' }, env()))
    expect(plan(woken, env({ now: hurried - 1 })).action).toBeUndefined()
    expect(plan(woken, env({ now: hurried, owner: 'w2' })).action?.claim).toMatchObject({ key: 'r', count: 2 })
  })

  test('[LE11] only a definite refusal ends the lease, and then nothing is due any more', () => {
    const input = { type: 'refresh-refused' as const, claim, code: 'LEASE_REVOKED' as const }
    expect(reduce(held({ refresh: running }), input, env())).toEqual(lost)
    expect(plan(lost, env({ now: NOW + HOUR }))).toEqual({ state: lost })
    expect(isUsable(lost, NOW)).toBe(false)
  })

  test('[LE11] a session that cannot be opened with what we hold ends it, too', () => {
    for (const lease of [NO_LEASE, held()]) {
      const { generation } = lease
      const denied = reduce(lease, { type: 'denied', code: 'LEASE_REVOKED' }, env())
      expect(denied).toEqual({ status: 'lost', generation, code: 'LEASE_REVOKED' })
    }
  })
})

describe('a grant without a refresh token', () => {
  const { refresh: kept, ...fresh } = grant(NOW + MINUTE)
  const before = held({ refresh: running })

  test('[LE21] leaves the one in force, by refresh and by opening', () => {
    for (const input of [{ type: 'granted' as const }, { type: 'refreshed' as const, claim }]) {
      const after = reduce(before, { ...input, grant: fresh }, env())
      expect(after).toMatchObject({ generation: 4, grant: { access: fresh.access, refresh: before.grant.refresh } })
    }
    expect(kept).not.toEqual(before.grant.refresh)
  })

  test('[LE21] by opening, what is on the wire for the one in force is still awaited, under its key', () => {
    const after = reduce(before, { type: 'granted', grant: fresh }, env())
    expect(after).toMatchObject({ refresh: running })
    const rotated = reduce(before, { type: 'granted', grant: grant(NOW + MINUTE) }, env())
    expect(rotated).toMatchObject({ refresh: IDLE, grant: { refresh: kept } })
  })
})

test('[ID12] one that goes over to another user has what was on the wire for it, under its key', () => {
  const lost: Attempt = { status: 'waiting', key: 'r', count: 1, retryAt: NOW, floorAt: 0 }
  const lease = asJson(reduce(NO_LEASE, { type: 'granted', grant: grant(), refresh: lost }, env()))
  expect(plan(lease, env()).action?.claim).toMatchObject({ key: 'r', count: 2 })
})

describe('rejected calls', () => {
  const rejected = { type: 'rejected' as const, generation: 3 }

  test('[LE12] a 401 makes one refresh due at once, however many calls were answered so', () => {
    const once = reduce(held(), rejected, env())
    const burst = reduce(reduce(once, rejected, env()), rejected, env())
    expect(burst).toBe(once)
    expect(isUsable(once, NOW)).toBe(false)
    const first = plan(once, env())
    expect(first.action?.type).toBe('refresh')
    expect(plan(reduce(first.state, rejected, env()), env()).action).toBeUndefined()
  })

  test.each([
    { of: 'an older generation', lease: held(), generation: 2 },
    { of: 'a generation to come', lease: held(), generation: 4 },
    { of: 'a lost lease', lease: lost, generation: 3 },
    { of: 'no lease', lease: NO_LEASE, generation: 0 },
  ])('[LE9] the 401 of $of changes nothing', ({ lease, generation }) => {
    expect(reduce(lease, { type: 'rejected', generation }, env())).toBe(lease)
  })

  test('[LE12] a 401 while the refresh runs starts no second one', () => {
    const spent = reduce(held({ refresh: running }), rejected, env())
    expect(plan(spent, env()).action).toBeUndefined()
  })

  test('[LE13] so many generations in a row that never worked end the lease', () => {
    let lease: Lease = held()
    for (let turn = 1; turn < REJECTIONS_MAX; turn++) {
      lease = reduce(lease, { type: 'rejected', generation: lease.generation }, env())
      const { state, action } = plan(lease, env())
      if (!action) throw new Error('No refresh was due.')
      lease = reduce(state, { type: 'refreshed', claim: action.claim, grant: grant() }, env())
      expect(lease.status).toBe('held')
    }
    const last = { type: 'rejected' as const, generation: lease.generation }
    expect(reduce(lease, last, env())).toMatchObject({ status: 'lost', code: 'LEASE_EXPIRED' })
    const accepted = reduce(lease, { type: 'accepted', generation: lease.generation }, env())
    expect(reduce(accepted, last, env()).status).toBe('held')
    const late = reduce(lease, { type: 'accepted', generation: 1 }, env())
    expect(late).toBe(lease)
  })
})
