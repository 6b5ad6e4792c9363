// What a tab sees, made from what is stored: phases, messages in their order, outcomes, findings.

import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE } from '../../core/attempt.ts'
import { reportOf } from '../../core/diagnose.ts'
import { type Lease, NO_LEASE } from '../../core/lease.ts'
import { type Entry, restore } from '../../core/outbox.ts'
import { CLOSED, type Session } from '../../core/session.ts'
import { headsOf, itemOf, messagesOf, outcomeOf, phaseOf, snapshotOf } from '../../core/snapshot.ts'
import { newSlots, type Slots } from '../../core/state.ts'
import { conversation, grant, MINUTE, NOW, row as rowOf } from './fixtures.ts'

const row = (seq: number, change: Parameters<typeof rowOf>[1] = {}) => rowOf(seq, { epoch: 'e', ...change })
const running: Attempt = { status: 'running', key: 'a', count: 1, owner: 'w1', retryAt: NOW + MINUTE }
const waiting: Attempt = { status: 'waiting', key: 'a', count: 1, retryAt: NOW + MINUTE, floorAt: 0 }
const held = (refresh: Attempt = IDLE, expiresAt = NOW + MINUTE): Lease => ({
  status: 'held',
  generation: 1,
  grant: { ...grant(), expiresAt },
  refreshAt: expiresAt,
  receivedAt: NOW,
  rejections: 0,
  isSpent: false,
  refresh,
})
const LOST: Lease = { status: 'lost', generation: 1, code: 'LEASE_REVOKED' }
const OPEN = { isOpen: true, isMerged: true, owedSince: 0, attempt: running }

const fresh = newSlots('e', [])
const slots = (session: Partial<Session> = {}, change: Partial<Slots> = {}): Slots => ({
  ...fresh,
  lease: held(),
  session: {
    ...fresh.session,
    id: 's1',
    conversation: conversation(),
    activeAt: NOW,
    isValidated: true,
    tabs: 1,
    ...session,
  },
  ...change,
})
const entry = (seq: number, change: Partial<Entry> = {}): Entry => {
  const lane = change.lane ?? '1'
  return { seq, key: `k${seq}`, lane, text: `t${seq}`, at: NOW, epoch: 'e', bytes: 210, live: lane, ...change }
}
const setAside = (seq: number, status: 'dead' | 'stale'): Entry => {
  const { live: _, ...rest } = entry(seq, { held: { status, code: 'C', reason: 'why' } })
  return rest
}
/** As it is while the lane's run up to `upTo` is on the wire. */
const sending = (entries: readonly Entry[], upTo: number): Slots['outbox'] => {
  const outbox = restore(entries)
  const lanes = Object.entries(outbox.lanes).map(([name, { size }]) => [name, { size, attempt: running, upTo }])
  return { ...outbox, lanes: Object.fromEntries(lanes) }
}

test.each([
  { is: 'new, without a tab', state: { ...fresh }, phase: 'starting' },
  { is: 'known, without a tab', state: slots({ tabs: 0 }), phase: 'dormant' },
  { is: 'not opened', state: slots({ id: null, isValidated: false }, { lease: NO_LEASE }), phase: 'discovering' },
  { is: 'being opened', state: slots({ id: null, opening: running }), phase: 'validating' },
  { is: 'to be opened later', state: slots({ id: null, opening: waiting }), phase: 'reconnecting' },
  { is: 'being made', state: slots({ conversation: null, making: running }), phase: 'merging' },
  { is: 'being connected', state: slots({ stream: { ...CLOSED, attempt: running } }), phase: 'merging' },
  { is: 'to be connected later', state: slots({ stream: { ...CLOSED, attempt: waiting } }), phase: 'reconnecting' },
  { is: 'open and being read', state: slots({ stream: { ...OPEN, isMerged: false } }), phase: 'merging' },
  { is: 'open and read', state: slots({ stream: OPEN }), phase: 'live' },
  { is: 'without a usable token', state: slots({}, { lease: held(waiting, NOW) }), phase: 'reconnecting' },
  { is: 'open, its token being fetched', state: slots({ stream: OPEN }, { lease: held(waiting) }), phase: 'live' },
  { is: 'closed', state: slots({ conversation: conversation('c1', { state: 'closed' }) }), phase: 'ended' },
  {
    is: 'to begin anew',
    state: slots({ conversation: conversation('c1', { state: 'closed' }), isNewWanted: true }),
    phase: 'merging',
  },
  { is: 'refused', state: slots({ refusal: 'DEPLOYMENT_UNKNOWN' }), phase: 'ended' },
  { is: 'lost', state: slots({ stream: OPEN }, { lease: LOST }), phase: 'auth-required' },
  { is: 'signed out', state: slots({ isSignedOut: true }, { lease: LOST }), phase: 'signed-out' },
])('[SN23] a session that is $is shows as $phase', ({ state, phase }) => {
  expect(phaseOf(state, NOW)).toBe(phase)
})

describe('messages', () => {
  test('[OB45] confirmed ones come in server order, then this visitor’s own in order of commit', () => {
    const rows = [row(1), row(2, { role: 'customer', key: 'k1' })]
    const entries = [entry(1), entry(2), setAside(3, 'dead'), setAside(4, 'stale'), entry(5)]
    const state = slots({}, { outbox: sending(entries, 2) })
    expect(messagesOf(state, rows, entries.slice(1)).map(({ key, seq, status }) => [key ?? seq, status])).toEqual([
      [1, 'acked'],
      ['k1', 'acked'],
      ['k2', 'queued'],
      ['k3', 'dead'],
      ['k4', 'stale'],
      ['k5', 'queued'],
    ])
  })

  test('[OB26] a message whose echo is here is shown once', () => {
    const rows = [row(1, { role: 'customer', key: 'k1' })]
    expect(messagesOf(slots(), rows, [entry(1)])).toMatchObject([{ key: 'k1', seq: 1, status: 'acked' }])
  })

  test.each([
    { what: 'the oldest of a run', entries: [entry(1), entry(2)], upTo: 2, statuses: ['inflight', 'queued'] },
    { what: 'one behind the run', entries: [entry(3)], upTo: 2, statuses: ['queued'] },
    {
      what: 'one of a lane that is not the present one',
      entries: [entry(1, { lane: '9' })],
      upTo: 1,
      statuses: ['parked'],
    },
  ])('[OB45] $what shows as $statuses', ({ entries, upTo, statuses }) => {
    const state = slots({}, { outbox: sending(entries, upTo) })
    const heads = headsOf(state, entries)
    expect(entries.map((one) => itemOf(state, one, heads).status)).toEqual(statuses)
  })

  test('[OB38] what waits for a conversation that is over shows as parked, and why', () => {
    const state = slots({ conversation: conversation('c1', { state: 'expired' }) })
    expect(itemOf(state, entry(1), new Set())).toMatchObject({ status: 'parked', code: 'CONVERSATION_OVER' })
  })

  test('[TR15] a gap looks like one', () => {
    const rows = [row(4), row(5), row(8), row(9)]
    expect(messagesOf(slots(), rows, []).map(({ seq, afterGap }) => [seq, afterGap])).toEqual([
      [4, undefined],
      [5, undefined],
      [8, true],
      [9, undefined],
    ])
  })

  test('[SN40] what belongs to another identity or conversation is not shown', () => {
    const rows = [row(1, { epoch: 'e' }), row(2, { epoch: 'other' }), row(3, { conversationId: 'c9' })]
    const entries = [entry(1), entry(2, { epoch: 'other' })]
    const shown = messagesOf(slots(), rows, entries)
    expect(shown.map(({ key, seq }) => key ?? seq)).toEqual([1, 'k1'])
  })
})

test.each([
  { of: 'an entry that waits', entry: entry(1), row: undefined, outcome: undefined },
  { of: 'a dead entry', entry: setAside(1, 'dead'), row: undefined, outcome: { status: 'dead', code: 'C' } },
  { of: 'a stale entry', entry: setAside(1, 'stale'), row: undefined, outcome: { status: 'stale', code: 'C' } },
  { of: 'a message in the transcript', entry: undefined, row: row(1), outcome: { status: 'acked', messageId: 'm1' } },
  { of: 'a message here and there', entry: entry(1), row: row(1), outcome: { status: 'acked', messageId: 'm1' } },
  { of: 'what nobody knows', entry: undefined, row: undefined, outcome: { status: 'cancelled' } },
])('[EN17] the outcome of $of is $outcome.status', ({ entry: one, row: confirmed, outcome }) => {
  expect(outcomeOf(one, confirmed)).toEqual(outcome)
})

test('[EN10] a snapshot holds no token', () => {
  const state = slots({ stream: OPEN }, { outbox: sending([entry(1)], 1) })
  const snapshot = snapshotOf({ slots: state, rows: [row(1)], entries: [entry(1)] }, 'durable', NOW)
  expect(JSON.stringify(snapshot)).not.toMatch(/access|refresh |sealed/)
  expect(snapshot).toMatchObject({
    epoch: 'e',
    session: { id: 's1', authenticated: false },
    lease: { status: 'held', expiresAt: NOW + MINUTE },
    outbox: { queued: 0, inflight: 1 },
  })
})

test.each([
  { is: 'well', state: slots({ stream: OPEN }), at: {}, codes: ['HEALTHY'] },
  { is: 'in memory', state: slots({ stream: OPEN }), at: { storage: 'memory' as const }, codes: ['STORAGE_MEMORY'] },
  { is: 'without the pump', state: slots({ stream: OPEN }), at: { hasPump: false }, codes: ['PUMP_ELSEWHERE'] },
  { is: 'without a lease', state: slots({ stream: OPEN }, { lease: LOST }), at: {}, codes: ['LEASE_LOST'] },
  {
    is: 'refused',
    state: slots({ stream: OPEN, refusal: 'DEPLOYMENT_UNKNOWN' }),
    at: {},
    codes: ['DEPLOYMENT_UNKNOWN'],
  },
  { is: 'not connected', state: slots(), at: {}, codes: ['STREAM_DOWN'] },
  {
    is: 'with messages set aside',
    state: slots({ stream: OPEN }, { outbox: restore([setAside(1, 'dead'), setAside(2, 'stale')]) }),
    at: {},
    codes: ['OUTBOX_DEAD', 'OUTBOX_STALE'],
  },
  {
    is: 'with a gap',
    state: slots({ stream: OPEN }, { transcript: { ...fresh.transcript, headSeq: 3 } }),
    at: {},
    codes: ['TRANSCRIPT_GAP'],
  },
])('[EN19] a state that is $is is diagnosed as $codes', ({ state, at, codes }) => {
  const report = reportOf(state, { now: NOW, incarnation: 'w1', storage: 'durable', hasPump: true, ...at })
  expect(report.findings.map(({ code }) => code)).toEqual(codes)
  expect(JSON.stringify(report)).not.toMatch(/access|sealed/)
})
