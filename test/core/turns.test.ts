// Whole turns: from nothing to live, tokens, clocks, conversations that end, context, who may do what.

import { describe, expect, test } from 'vitest'
import { IDLE, TRY_MS } from '../../core/attempt.ts'
import { isComplete } from '../../core/transcript.ts'
import { phaseOf, snapshotOf } from '../../core/snapshot.ts'
import { isSlots, newSlots, RECENT_KEYS_MAX } from '../../core/state.ts'
import type { Input } from '../../core/inputs.ts'
import type { Outcome } from '../../core/ports.ts'
import type { Attributes } from '../../core/wire.ts'
import {
  asJson,
  conversation,
  failure,
  grant,
  HOUR,
  MINUTE,
  NOW,
  Play,
  row,
  SECOND,
  SETUP,
  UNREACHABLE,
} from './fixtures.ts'

const live = () => new Play().live()
const phase = (play: Play) => phaseOf(play.slots, play.now)
const arrive: Input = { type: 'tabs', count: 1, isArrival: true }

const refreshed = (play: Play, lifetimeMs = 20 * MINUTE): Input => ({
  type: 'refreshed',
  claim: play.claimOf('refresh'),
  outcome: { ok: true, value: grant(play.now, lifetimeMs) },
})
const parted = (play: Play, outcome: Outcome<null> = { ok: true, value: null }): Input => ({
  type: 'parted',
  claim: play.claimOf('part'),
  outcome,
})
const refreshFailed = (play: Play, outcome: Outcome<never>): Input => ({
  type: 'refreshed',
  claim: play.claimOf('refresh'),
  outcome,
})
const ended = (play: Play, change: object = {}) =>
  play.heard({ type: 'ended', claim: play.claimOf('connect'), verdict: 'retry', reason: 'gone', ...change })

describe('from nothing to live', () => {
  test('[SN23] the phases follow each other, each after the answer to the one before', async () => {
    const play = new Play()
    const seen: string[] = []
    const look = () => seen.push(`${phase(play)}: ${play.types().join(' ')}`)
    await play.turn({ type: 'started' })
    look()
    await play.turn(arrive)
    look()
    await play.opened()
    look()
    await play.made()
    look()
    await play.connected(2)
    look()
    await play.after(500)
    look()
    const page = { resync: false as const, rows: [row(1), row(2)], headSeq: 2 }
    const { claim } = play.the('backfill')
    await play.turn({
      type: 'backfilled',
      claim,
      outcome: { ok: true, value: page },
      generation: 1,
      conversationId: 'c1',
    })
    look()
    expect(seen).toEqual([
      'starting: ',
      'validating: open',
      'merging: make',
      'merging: connect',
      'merging: ',
      'merging: backfill',
      'live: ',
    ])
  })

  test('[SN23] a second start within the quarter of an hour goes straight to the stream', async () => {
    const play = await live()
    play.now += 14 * MINUTE
    await play.restart('w2')
    expect(play.types()).toEqual(['connect'])
    await play.connected()
    expect(phase(play)).toBe('live')
  })

  test('[SN24] after a longer pause the platform is asked first, and nothing is sent before it has answered', async () => {
    const play = await live()
    play.now += 16 * MINUTE
    await play.restart('w2')
    await play.enqueue('a')
    expect([phase(play), play.find('send')]).toEqual(['validating', undefined])
    await play.opened({ conversation: conversation() })
    expect(play.types()).toEqual(['connect', 'send'])
  })

  test('[SN25] the cached transcript is on screen before the network answers', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: [row(1), row(2)] })
    play.now += 3 * HOUR
    await play.restart('w2')
    const { rows } = await play.store.tail(50, 100)
    expect(rows.map(({ seq }) => seq)).toEqual([1, 2])
  })

  test('[SN26] with no tab and nothing to send, nothing is opened and the stream is let go', async () => {
    const play = new Play()
    await play.turn({ type: 'started' })
    expect([play.types(), play.seen.wakeAt]).toEqual([[], undefined])
    await play.live()
    await play.turn({ type: 'tabs', count: 0, isArrival: false })
    expect([phase(play), play.slots.session.stream.isOpen, play.types()]).toEqual(['dormant', false, []])
    await play.after(HOUR)
    expect(play.types()).toEqual([])
  })

  test('[SN27] while it is live and quiet, a turn decides nothing, changes nothing and waits for the lease', async () => {
    const play = await live()
    const { rev } = play.slots
    await play.after(MINUTE)
    expect(play.seen).toMatchObject({ actions: [], wakeAt: NOW + 15 * MINUTE, slots: { rev } })
  })

  test('[SN27] no turn asks to be repeated at once without an end', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, arrive)
    await play.enqueue('a')
    for (const step of [() => play.opened(), () => play.made(), () => play.connected(3), () => ended(play)]) {
      await step()
      for (let turns = 0; turns < 3 && (play.seen.wakeAt ?? Infinity) <= play.now; turns++) await play.tick()
      expect(play.seen.wakeAt ?? Infinity).toBeGreaterThan(play.now)
    }
  })
})

describe('a platform that does not open', () => {
  test.each([
    { outcome: UNREACHABLE, phase: 'reconnecting', again: 500 },
    { outcome: failure('retry-at', { retryAfterMs: HOUR }), phase: 'reconnecting', again: HOUR + 500 },
    { outcome: failure('refuse', { code: 'DEPLOYMENT_UNKNOWN' }), phase: 'ended', again: undefined },
    { outcome: failure('auth-required', { code: 'LEASE_REVOKED' }), phase: 'auth-required', again: undefined },
  ])('[SN28] $outcome.verdict shows as $phase, is told once, and is asked again in $again ms', async (row) => {
    const play = new Play()
    await play.turn({ type: 'started' }, arrive)
    await play.openFailed(row.outcome)
    expect([phase(play), play.seen.wakeAt]).toEqual([row.phase, row.again && NOW + row.again])
    expect(play.seen.problems.map(({ code }) => code)).toEqual([row.outcome.code])
    await play.after(row.again ?? 24 * HOUR)
    expect(play.types()).toEqual(row.again ? ['open'] : [])
    if (!row.again) return
    await play.openFailed(row.outcome)
    expect(play.seen.problems).toEqual([])
  })

  test('[SN28] a late refusal of another attempt ends nothing', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, arrive)
    const late = { key: 'other', count: 1 }
    await play.turn({ type: 'opened', claim: late, outcome: failure('auth-required'), generation: 0 })
    expect([phase(play), play.slots.lease.status, play.seen.problems]).toEqual(['validating', 'none', []])
  })

  test('[SN29] a conversation that the platform refuses to make is told, and asked for less and less often', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, arrive)
    await play.opened()
    const { claim } = play.the('make')
    await play.turn({ type: 'made', claim, outcome: failure('refuse', { code: 'SERVICE_REFUSED' }), generation: 1 })
    expect([play.seen.problems[0]?.code, play.seen.wakeAt, phase(play)]).toEqual([
      'SERVICE_REFUSED',
      NOW + 500,
      'reconnecting',
    ])
  })
})

describe('the stream', () => {
  test('[SN30] a wish of the server holds the next connection, through wake-ups, reloads, restarts and JSON', async () => {
    const play = await live()
    await ended(play, { retryAfterMs: MINUTE })
    await play.turn({ type: 'woken', isOnline: true })
    await play.turn({ type: 'tabs', count: 0, isArrival: false })
    await play.turn({ type: 'tabs', count: 1, isArrival: true })
    await play.restart('w2')
    await play.after(MINUTE - 1)
    expect([play.types(), phase(play)]).toEqual([[], 'reconnecting'])
    await play.after(1)
    expect(play.types()).toEqual(['connect'])
  })

  test('[SN31] a service that says again and again that the session is lost is asked less and less often', async () => {
    const play = await live()
    const waits: number[] = []
    for (let times = 1; times <= 6; times++) {
      await ended(play, { verdict: 'session-lost' })
      expect(play.types()).toEqual(['open'])
      await play.opened({ conversation: conversation() })
      waits.push((play.seen.wakeAt ?? 0) - play.now)
      play.now = play.seen.wakeAt ?? 0
      await play.tick()
      await play.connected()
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000])
  })

  test.each([
    { of: 'an older attempt', claim: { key: 'other', count: 1 }, conversationId: 'c1' },
    { of: 'another conversation', claim: undefined, conversationId: 'c9' },
  ])('[SN32] a late word of $of changes nothing', async ({ claim, conversationId }) => {
    const play = await live()
    const before = play.slots.session
    const report = {
      type: 'ended' as const,
      claim: claim ?? play.claimOf('connect'),
      verdict: 'retry' as const,
      reason: '',
    }
    await play.heard(report, conversationId)
    expect(play.slots.session).toEqual(before)
    await play.heard({ type: 'rows', rows: [row(1, { conversationId: 'c9' })] }, conversationId)
    expect([play.slots.transcript.cursor.seq, (await play.store.tail(9, 9)).rows]).toEqual([0, []])
  })

  test('[SN33] a wake-up asks an open stream for a sign of life, and being told "offline" only shows', async () => {
    const play = await live()
    await play.turn({ type: 'woken', isOnline: true })
    expect(play.types()).toEqual(['probe'])
    await play.turn({ type: 'woken', isOnline: false })
    expect([play.types(), play.slots.session.isOnline, phase(play)]).toEqual([[], false, 'live'])
    await play.enqueue('a')
    expect(play.types()).toEqual(['send'])
    await play.turn(play.ack('a', 1))
    expect(play.slots.session.isOnline).toBe(true)
  })

  test('[SN33] so does a send that met nobody', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
    expect([play.types(), play.slots.session.isOnline]).toEqual([['probe'], false])
  })

  test.each([
    { after: 7_999, typing: true },
    { after: 8_000, typing: false },
    { after: -HOUR, typing: false },
  ])('[SN34] $after ms after its last word the agent types: $typing', async ({ after, typing }) => {
    const play = await live()
    await play.heard({ type: 'typing', on: true })
    await play.after(after)
    expect(play.slots.typingUntil > 0).toBe(typing)
  })

  test('[SN34] a message, or the word that it stopped, ends the typing', async () => {
    const play = await live()
    for (const report of [
      { type: 'typing' as const, on: false },
      { type: 'rows' as const, rows: [row(1)] },
    ]) {
      await play.heard({ type: 'typing', on: true })
      await play.heard(report)
      expect(play.slots.typingUntil).toBe(0)
    }
  })
})

describe('tokens', () => {
  const rejected = (play: Play, generation = play.generation()) =>
    play.sent('1', play.claimOf('send'), failure('refresh', { code: 'LEASE_EXPIRED' }), generation)

  test('[LE14] a burst of 401s makes one refresh, then the same call with the same key', async () => {
    const play = await live()
    await play.enqueue('a')
    const { entries } = play.the('send')
    await play.turn(rejected(play), { type: 'rejected', generation: 1 }, { type: 'rejected', generation: 1 })
    await play.again()
    expect(play.types()).toEqual(['refresh'])
    await play.turn({ type: 'rejected', generation: 1 })
    expect(play.types()).toEqual([])
    await play.turn(refreshed(play))
    expect([play.types(), play.the('send').entries, play.generation()]).toEqual([['send'], entries, 2])
  })

  test('[LE14] the 401 of a token that was replaced meanwhile costs no refresh', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.after(15 * MINUTE)
    await play.turn(refreshed(play))
    await play.turn(rejected(play, 1))
    expect(play.types()).toEqual(['send'])
  })

  test('[LE15] a service that takes no token ends in auth-required, with the outbox kept', async () => {
    const play = await live()
    await play.enqueue('a')
    for (let turn = 0; turn < 2; turn++) {
      await play.turn(rejected(play))
      await play.again()
      await play.turn(refreshed(play))
      expect(play.types()).toEqual(['send'])
    }
    await play.turn(rejected(play))
    expect([phase(play), play.slots.lease.status, await play.keys()]).toEqual(['auth-required', 'lost', ['a']])
    await play.after(HOUR)
    expect(play.types()).toEqual([])
  })

  test('[LE15] tokens that worked for a while are no such row', async () => {
    const play = await live()
    const keys = Array.from({ length: 8 }, (_, index) => `k${index}`)
    await play.enqueue(...keys)
    for (const [index, key] of keys.entries()) {
      await play.turn(play.ack(key, index + 1), rejected(play))
      await play.again()
      await play.turn(refreshed(play))
    }
    expect([play.slots.lease.status, await play.keys()]).toEqual(['held', []])
  })

  test.each([
    { when: 'its time has come', at: 15 * MINUTE, restarts: false, turns: 1 },
    { when: 'the worker begins', at: 14 * MINUTE + 59 * SECOND, restarts: true, turns: 2 },
  ])(
    '[LE22] when $when, a refresh begins only in a turn that no power cut takes back',
    async ({ at, restarts, turns }) => {
      const play = await live()
      play.now += at
      play.setup = { ...SETUP, isBroker: false }
      if (restarts) play.now += SECOND
      if (restarts) await play.restart('w2')
      else await play.tick()
      expect([play.isDurable, play.types().includes('refresh')]).toEqual([turns === 1, turns === 1])
      if (turns === 2) await play.again()
      expect([play.isDurable, play.find('refresh')?.claim.count]).toEqual([true, 1])
      await play.after(TRY_MS)
      expect([play.isDurable, play.find('refresh')?.claim.count]).toEqual([true, 2])
    },
  )

  test('[LE16] an open stream goes on over a refresh, and the old token serves while its successor is fetched', async () => {
    const play = await live()
    await play.after(15 * MINUTE)
    expect(play.types()).toEqual(['refresh'])
    await play.enqueue('a')
    expect(play.types()).toEqual(['send'])
    await play.turn(refreshed(play))
    expect([play.slots.session.stream.isOpen, phase(play), play.types()]).toEqual([true, 'live', []])
  })

  test('[LE47] a token that is called back under an open stream is refreshed, and the stream stays', async () => {
    const play = await live()
    for (let round = 1; round <= 5; round++) {
      await play.heard({ type: 'expired' })
      // The next turn writes it down durably before it asks.
      await play.again()
      expect([play.types(), phase(play)]).toEqual([['refresh'], 'live'])
      await play.turn(refreshed(play))
      expect([play.slots.session.stream.isOpen, phase(play), play.types()]).toEqual([true, 'live', []])
      // What was said of the token before is late.
      const generation = play.slots.lease.generation - 1
      await play.turn({ type: 'stream', report: { type: 'expired' }, generation, conversationId: 'c1' })
      expect(play.types()).toEqual([])
      await play.heard({ type: 'reauthed' })
    }
  })

  test('[LE47] tokens that are brought and never taken end the lease', async () => {
    const play = await live()
    for (let round = 1; play.slots.lease.status !== 'lost'; round++) {
      expect(round).toBeLessThan(6)
      await play.heard({ type: 'expired' })
      await play.again()
      if (play.types().includes('refresh')) await play.turn(refreshed(play))
    }
    expect(phase(play)).toBe('auth-required')
  })

  test.each([
    { outcome: UNREACHABLE, status: 'held' },
    { outcome: failure('retry-at', { retryAfterMs: MINUTE }), status: 'held' },
    { outcome: failure('refuse'), status: 'held' },
    { outcome: failure('auth-required', { code: 'LEASE_REVOKED' }), status: 'lost' },
  ])('[LE17] a refresh answered $outcome.verdict leaves the lease $status', async ({ outcome, status }) => {
    const play = await live()
    await play.after(15 * MINUTE)
    await play.turn(refreshFailed(play, outcome))
    expect(play.slots.lease.status).toBe(status)
    expect(play.find('refresh')).toBeUndefined()
  })

  test('[LE18] where a cookie opens, an opening in progress is not joined by a refresh', async () => {
    const play = await live()
    await play.after(15 * MINUTE)
    await play.turn(refreshFailed(play, UNREACHABLE))
    play.now += HOUR
    await play.restart('w2')
    expect(play.types()).toEqual(['open'])
    await play.after(SECOND)
    expect(play.types()).toEqual([])
  })

  test('[LE18] nor where the clock is set back meanwhile, and the token is refused', async () => {
    const play = await live()
    play.now += HOUR
    await play.restart('w2')
    expect(play.types()).toEqual(['open'])
    play.now -= HOUR
    await play.turn({ type: 'rejected', generation: play.slots.lease.generation })
    await play.again()
    expect(play.types()).not.toContain('refresh')
  })

  test('[LE18] where a token opens, it is refreshed first', async () => {
    const play = new Play()
    play.setup = { ...SETUP, isBroker: false }
    await play.live()
    play.now += HOUR
    await play.restart('w2')
    await play.again()
    expect(play.types()).toEqual(['refresh'])
    await play.turn(refreshed(play))
    expect(play.types()).toEqual(['open'])
  })

  test.each([{ jump: HOUR }, { jump: -HOUR }, { jump: -87_600 * HOUR }])(
    '[LE19] a clock that jumps by $jump ms makes one refresh chain, and the work goes on',
    async ({ jump }) => {
      const play = await live()
      await play.after(jump)
      expect(play.types()).toEqual(['refresh'])
      await play.turn({ type: 'woken', isOnline: true })
      expect(play.types()).toEqual(['probe'])
      await play.turn(refreshed(play))
      await play.after(MINUTE)
      expect([play.types(), phase(play)]).toEqual([[], 'live'])
      await play.enqueue('a')
      expect(play.types()).toEqual(['send'])
    },
  )

  test('[LE19] a clock that jumps ten years ahead makes one opening, for the session may have ended', async () => {
    const play = await live()
    await play.after(87_600 * HOUR)
    expect(play.types()).toEqual(['open'])
    await play.opened({ expiresAt: play.now + 24 * HOUR })
    const asked = play.types()
    await play.after(MINUTE)
    expect([asked, play.types()]).toEqual([['make'], ['make']])
  })

  test('[LE19] nothing that waits for its turn waits longer because the clock was set back', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
    await ended(play)
    await play.after(-10 * MINUTE)
    expect(play.types().sort()).toEqual(['connect', 'refresh', 'send'])
  })

  test('[LE20] the clock of the server plays no part', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, arrive)
    await play.opened({ expiresAt: NOW - 10 * MINUTE })
    await play.made()
    await play.connected()
    await play.heard({ type: 'rows', rows: [row(1, { at: NOW - HOUR }), row(2, { at: NOW + HOUR })] })
    await play.enqueue('a')
    expect([phase(play), play.types(), play.slots.transcript.unread]).toEqual(['live', ['send'], 2])
  })
})

describe('conversations that end', () => {
  const close = (play: Play, state: 'closed' | 'expired' = 'closed') =>
    play.heard({ type: 'conversation', state, attributes: {}, version: 2 })

  test('[SN35] one that is closed in front of the visitor stays on screen until a new one is asked for', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: [row(1)] })
    await close(play)
    expect([phase(play), play.types()]).toEqual(['ended', []])
    play.now += HOUR
    await play.restart('w2')
    await play.opened({ conversation: null, formerState: 'closed' })
    expect([phase(play), play.types(), play.slots.transcript.cursor.seq]).toEqual(['ended', [], 1])
    await play.command({ type: 'start-new', key: 'n', routing: { queue: 'sales', a: true } })
    expect(play.the('make')).toMatchObject({ previousId: 'c1', routing: { a: true, queue: 'sales' } })
    await play.made('c2')
    expect(play.slots.session.conversation).toMatchObject({ id: 'c2', resumedFrom: 'c1' })
    expect([play.types(), play.slots.transcript]).toMatchObject([
      ['connect'],
      { conversationId: 'c2', cursor: { seq: 0 } },
    ])
    expect((await play.store.rows('c1', 99, 9)).map(({ seq }) => seq)).toEqual([1])
  })

  test.each(['expired', 'archived'] as const)(
    '[SN36] one that is found %s is replaced by itself, with a reference',
    async (state) => {
      const play = await live()
      play.now += HOUR
      await play.restart('w2')
      await play.opened({ conversation: null, formerState: state })
      expect(play.the('make').previousId).toBe('c1')
      await play.made('c2')
      expect(play.slots.session.conversation).toMatchObject({ id: 'c2', previousId: 'c1', resumedFrom: 'c1' })
    },
  )

  test('[SN94] of a conversation that is kept no more nothing stays, nor of those before it', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: [row(1), row(2)] })
    await close(play)
    await play.command({ type: 'start-new', key: 'n' })
    await play.made('c2')
    await play.connected(0, 'c2')
    await play.heard({ type: 'rows', rows: [row(1, { conversationId: 'c2' })] }, 'c2')
    play.now += HOUR
    await play.restart('w2')
    await play.opened({ conversation: null, formerState: 'gone' })
    const kept = async () => [(await play.store.rows('c1', 99, 9)).length, (await play.store.rows('c2', 99, 9)).length]
    expect([play.types(), await kept()]).toEqual([['make'], [2, 1]])
    await play.made('c3', {}, { previousState: 'gone' })
    expect(await kept()).toEqual([0, 0])
    expect(snapshotOf({ slots: play.slots, rows: [], entries: [] }, 'durable', play.now).conversation).toEqual({
      id: 'c3',
      state: 'active',
      previousState: 'gone',
    })
  })

  test('[SN37] asking twice for a new one makes one, and while one is open none', async () => {
    const play = await live()
    await play.command({ type: 'start-new', key: 'n0' })
    expect([play.types(), play.slots.session.isNewWanted]).toEqual([[], false])
    await close(play)
    await play.command({ type: 'start-new', key: 'n1' })
    const { claim } = play.the('make')
    await play.command({ type: 'start-new', key: 'n1' })
    await play.command({ type: 'start-new', key: 'n2' })
    expect([play.types(), play.slots.session.making]).toMatchObject([[], { key: claim.key }])
    expect(play.slots.session.laneNumber).toBe(2)
  })

  test.each([
    { routing: { a: 'x'.repeat(2_001) } },
    { routing: Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`k${index}`, 'x'.repeat(1_900)])) },
  ])('[SN37] routing data beyond the limits is refused before anything is stored', async ({ routing }) => {
    const play = await live()
    await close(play)
    const command = { type: 'start-new' as const, key: 'n', routing }
    expect(await play.command(command)).toMatchObject({ refusal: { code: 'CONTEXT_TOO_LARGE' } })
    expect(await play.command(command)).toMatchObject({ refusal: { code: 'CONTEXT_TOO_LARGE' } })
    expect([play.types(), play.slots.session.isNewWanted]).toEqual([[], false])
  })

  test('[SN38] after a lost lease a new start begins as somebody new to the platform, and keeps the outbox', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.after(15 * MINUTE)
    await play.turn(refreshFailed(play, failure('auth-required', { code: 'LEASE_REVOKED' })))
    expect(phase(play)).toBe('auth-required')
    await play.command({ type: 'start-new', key: 'n' })
    expect(play.the('open').conversationId).toBe('c1')
    await play.opened({ sessionId: 's2', formerState: 'expired' })
    await play.made('c2')
    await play.connected(0, 'c2')
    expect([phase(play), await play.keys(), play.find('send')]).toEqual(['live', ['a'], undefined])
    expect(play.slots.session.conversation).toMatchObject({ id: 'c2', resumedFrom: 'c1' })
    await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
    await play.command({ type: 'retry', key: 'a' })
    expect(play.the('send')).toMatchObject({ lane: '2', entries: [{ key: 'a' }] })
  })
})

describe('context', () => {
  const set = (play: Play, delta: Record<string, string | null>, key = 'c') =>
    play.command({ type: 'set-context', key, delta })
  const pushed = (play: Play, change: object = {}): Input => ({
    type: 'pushed',
    claim: play.claimOf('push'),
    outcome: { ok: true, value: { conflict: false, attributes: {}, version: 2, ...change } },
    generation: play.generation(),
    conversationId: 'c1',
  })

  test('[CX15] a change is stored and answered at once, and pushed when its window is over', async () => {
    const play = await live()
    expect(await set(play, { cart: '12.00' })).toEqual({ value: { cart: '12.00' } })
    expect([play.types(), play.seen.wakeAt]).toEqual([[], NOW + 250])
    await play.after(250)
    expect(play.the('push')).toMatchObject({ delta: { cart: '12.00' }, version: 1 })
    await play.turn(pushed(play))
    expect(play.slots.context).toMatchObject({ dirty: {}, sending: null, version: 2 })
  })

  test('[CX16] a repeat of a change is answered and not made again, a refused one is refused again', async () => {
    const play = await live()
    await set(play, { a: '1' }, 'c1')
    await set(play, { a: '2' }, 'c2')
    expect(await set(play, { a: '1' }, 'c1')).toEqual({ value: { a: '2' } })
    const large = { b: 'x'.repeat(2_001) }
    for (let times = 0; times < 2; times++) {
      expect(await set(play, large, 'c3')).toMatchObject({ refusal: { code: 'CONTEXT_TOO_LARGE' } })
    }
    expect(play.slots.context.values).toEqual({ a: '2' })
    for (let n = 0; n < RECENT_KEYS_MAX + 5; n++) await set(play, { n: `${n}` }, `n${n}`)
    expect(play.slots.recent).toHaveLength(RECENT_KEYS_MAX)
    expect(await set(play, { a: '1' }, `n${RECENT_KEYS_MAX}`)).toMatchObject({ value: { a: '2' } })
  })

  test('[CX17] everything is told to every new conversation, and nothing that others said there is lost', async () => {
    const play = await live()
    await set(play, { a: '1', b: '2' })
    await play.after(250)
    await play.turn(pushed(play))
    play.now += HOUR
    await play.restart('w2')
    await play.opened({ conversation: conversation('c2'), formerState: 'expired' })
    expect(play.slots.context).toMatchObject({ dirty: { a: '1', b: '2' }, version: 0 })
    await play.after(250)
    expect(play.the('push').delta).toEqual({ a: '1', b: '2' })
    await play.turn({
      ...pushed(play, { conflict: true, attributes: { b: '0', queue: 'x' }, version: 7 }),
      conversationId: 'c2',
    } as Input)
    expect(play.slots.context).toMatchObject({
      values: { a: '1', b: '2', queue: 'x' },
      dirty: { a: '1', b: '2' },
      version: 7,
    })
  })

  test('[CX17] a conversation that was joined keeps the attributes of others', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, arrive)
    await set(play, { a: '1' })
    await play.opened()
    await play.made('c1', { a: '0', agent: 'x' })
    expect(play.slots.context).toMatchObject({ values: { a: '1', agent: 'x' }, dirty: { a: '1' }, version: 1 })
  })

  test('[CX18] the answer about another conversation changes nothing', async () => {
    const play = await live()
    await set(play, { a: '1' })
    await play.after(250)
    const { context } = play.slots
    await play.turn({ ...pushed(play), conversationId: 'c9' } as Input)
    expect(play.slots.context).toEqual(context)
  })

  test.each(['refuse', 'drop-attributes'] as const)(
    '[CX19] %s is told as a problem, and the change not offered again',
    async (verdict) => {
      const play = await live()
      await set(play, { a: '1' })
      await play.after(250)
      const outcome = failure(verdict, { code: 'CONTEXT_TOO_LARGE' })
      await play.turn({ ...pushed(play), outcome } as Input)
      expect([play.seen.problems[0]?.code, play.slots.context.sending]).toEqual(['CONTEXT_TOO_LARGE', null])
      await play.after(MINUTE)
      expect(play.find('push')).toBeUndefined()
    },
  )
})

describe('identities', () => {
  test('[SN39] a change made under another identity is refused, one of a tab that knows none is taken', async () => {
    const play = await live()
    const commands = [
      { type: 'enqueue' as const, messages: [{ key: 'a', text: 'x' }] },
      { type: 'set-context' as const, key: 'c', delta: { a: '1' } },
      { type: 'start-new' as const, key: 'n' },
      { type: 'mark-read' as const },
      { type: 'logout' as const, unsent: 'discard' as const },
    ]
    for (const command of commands) {
      expect(await play.command(command, 'somebody-else')).toMatchObject({ refusal: { code: 'EPOCH_CHANGED' } })
    }
    expect([await play.keys(), play.slots.context.values, phase(play)]).toEqual([[], {}, 'live'])
    const own = { type: 'enqueue' as const, messages: [{ key: 'a', text: 'x' }] }
    expect(await play.command(own, play.slots.session.epoch)).toEqual({ value: [{ seq: 1 }] })
  })

  test('[SN40] a logout leaves nothing: another identity, no token, no message, no attribute', async () => {
    const play = await live()
    const { epoch } = play.slots.session
    await play.command({ type: 'set-context', key: 'c', delta: { a: '1' } })
    await play.heard({ type: 'rows', rows: [row(1)] })
    expect(await play.command({ type: 'logout', unsent: 'refuse' }, epoch)).toEqual({ value: null })
    expect([phase(play), play.slots.session.epoch === epoch]).toEqual(['signed-out', false])
    await play.turn(parted(play))
    await play.shredded()
    const { rev, session, lease, ...rest } = play.slots
    const fresh = newSlots(session.epoch, [])
    expect({ ...rest, rev: 0, session: { ...session, tabs: 0 }, lease: { ...lease, generation: 0 } }).toEqual({
      ...fresh,
      rev: 0,
      session: { ...fresh.session, isSignedOut: true },
    })
    expect(await play.store.rows('c1', 99, 9)).toEqual([])
    await play.after(HOUR)
    expect(play.types()).toEqual([])
  })

  test.each([
    { unsent: 'refuse' as const, code: 'OUTBOX_UNSENT' },
    { unsent: 'send' as const, code: 'OUTBOX_UNSENT' },
    { unsent: 'discard' as const, code: undefined },
  ])('[SN41] with a message unsent, a logout that says $unsent is answered $code', async ({ unsent, code }) => {
    const play = await live()
    await play.enqueue('a')
    const reply = await play.command({ type: 'logout', unsent })
    expect(reply).toMatchObject(code ? { refusal: { code } } : { value: null })
    expect(await play.keys()).toEqual(code ? ['a'] : [])
  })

  test('[SN42] nothing that shares the turn of a logout is written behind the wipe', async () => {
    const play = await live()
    await play.enqueue('a')
    const { epoch } = play.slots.session
    const heard = { type: 'rows' as const, rows: [row(2)] }
    const stream = { type: 'stream' as const, report: heard, generation: 1, conversationId: 'c1' }
    const late = { type: 'enqueue' as const, messages: [{ key: 'b', text: 'secret' }] }
    await play.turn(
      { type: 'command', command: late, epoch },
      stream,
      { type: 'command', command: { type: 'logout', unsent: 'discard' }, epoch },
      play.ack('a', 1),
      stream,
      { type: 'refused', key: 'a', code: 'C', reason: '' },
      { type: 'command', command: { ...late, messages: [{ key: 'c', text: 'secret' }] }, epoch },
      { type: 'command', command: { type: 'cancel', key: 'a' }, epoch: '' },
    )
    expect([await play.entries(), await play.store.rows('c1', 99, 9)]).toEqual([[], []])
    expect(play.slots.outbox).toMatchObject({ bytes: 0, dead: 0, lanes: {} })
    expect(play.seen.replies[6]).toMatchObject({ refusal: { code: 'EPOCH_CHANGED' } })
    expect(play.seen.replies[7]).toMatchObject({ refusal: { code: 'OUTBOX_UNKNOWN' } })
  })

  test('[SN43] an answer that comes after a logout changes nothing', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.after(15 * MINUTE)
    const late: Input[] = [
      refreshed(play),
      refreshFailed(play, failure('auth-required')),
      { type: 'rejected', generation: 1 },
      play.ack('a', 1),
      play.sent('1', play.claimOf('send'), failure('session-lost')),
      { type: 'made', claim: play.claimOf('make'), outcome: failure('auth-required'), generation: 1 },
      {
        type: 'made',
        claim: play.claimOf('make'),
        outcome: { ok: true, value: { conversation: conversation('c1'), attributes: { a: 'theirs' }, version: 9 } },
        generation: 1,
      },
      { type: 'opened', claim: play.claimOf('open'), outcome: failure('auth-required'), generation: 0 },
    ]
    const { epoch } = play.slots.session
    await play.command({ type: 'logout', unsent: 'discard' }, epoch)
    await play.turn(parted(play))
    await play.shredded()
    await play.turn({ type: 'tabs', count: 2, isArrival: true })
    await play.opened({ sessionId: 's2' })
    await play.made('c2')
    await play.connected(0, 'c2')
    const { lease, outbox, transcript, context } = play.slots
    await play.turn(...late)
    expect(play.slots).toMatchObject({
      lease,
      context,
      outbox,
      transcript,
      session: { isValidated: true, stream: { isOpen: true } },
    })
    expect([play.types(), await play.keys()]).toEqual([[], []])
  })

  test('[SN44] a logout that is repeated is done; a tab that comes then begins as somebody new', async () => {
    const play = await live()
    const { epoch } = play.slots.session
    await play.command({ type: 'logout', unsent: 'discard' }, epoch)
    const after = play.slots.session.epoch
    await play.turn(parted(play))
    expect(await play.command({ type: 'logout', unsent: 'refuse' }, epoch)).toEqual({ value: null })
    expect(play.slots.session.epoch).toBe(after)
    await play.enqueue('a')
    expect(play.seen.replies).toMatchObject([{ value: [{ error: { code: 'EPOCH_CHANGED' } }] }])
    await play.turn({ type: 'tabs', count: 1, isArrival: false })
    expect(phase(play)).toBe('signed-out')
    await play.shredded()
    await play.turn({ type: 'tabs', count: 2, isArrival: true })
    expect([play.types(), play.slots.session.epoch, phase(play)]).toEqual([['open'], after, 'validating'])
  })
})

describe('a cookie', () => {
  test('[LE23] a refresh whose answer is unknown and the opening that follows use it under one key', async () => {
    const play = await live()
    await play.after(15 * MINUTE)
    const { key } = play.claimOf('refresh')
    await play.restart('w2')
    await play.after(16 * MINUTE)
    expect(play.claimOf('open')).toMatchObject({ key, count: 1 })
  })

  test('[LE23] so do an opening that was given up and the refresh that follows', async () => {
    const play = await live()
    await play.heard({ type: 'ended', claim: play.claimOf('connect'), verdict: 'retry', reason: 'gone' })
    await play.after(16 * MINUTE)
    const { key } = play.claimOf('open')
    const outcome = failure('retry')
    await play.turn({ type: 'opened', claim: play.claimOf('open'), outcome, generation: 1 })
    play.now -= 16 * MINUTE
    await play.turn({ type: 'rejected', generation: 1 })
    await play.again()
    expect([play.slots.session.opening.status, play.claimOf('refresh').key]).toEqual(['waiting', key])
  })

  test.each([
    { tries: 2, afterMs: TRY_MS - SECOND, isSame: true },
    { tries: 2, afterMs: TRY_MS, isSame: false },
    { tries: 1, afterMs: SECOND, isSame: false },
  ])('[LE45] $afterMs ms behind a refresh of $tries tries the next has its key: $isSame', async (row) => {
    const play = await live()
    await play.after(15 * MINUTE)
    if (row.tries > 1) await play.after(TRY_MS)
    const claim = play.claimOf('refresh')
    expect(claim.count).toBe(row.tries)
    await play.turn({ type: 'refreshed', claim, outcome: { ok: true, value: grant(play.now) } })
    play.now += row.afterMs
    await play.turn({ type: 'rejected', generation: 2 })
    if (play.find('refresh') === undefined) await play.again()
    expect(play.claimOf('refresh').key === claim.key).toBe(row.isSame)
  })
})

describe('a farewell', () => {
  test('[SN58] where a cookie names the visitor, nobody is opened before the service knows that he is gone', async () => {
    const play = await live()
    await play.command({ type: 'logout', unsent: 'discard' }, play.slots.session.epoch)
    const { key } = play.claimOf('part')
    await play.shredded()
    await play.turn({ type: 'tabs', count: 2, isArrival: true })
    expect(play.types()).toEqual([])
    await play.turn(parted(play, failure('retry')))
    await play.after(MINUTE)
    expect([play.types(), play.claimOf('part')]).toMatchObject([['part'], { key, count: 2 }])
    await play.turn(parted(play))
    expect([play.types(), play.slots.session.farewell]).toEqual([['open'], null])
  })

  test.each([
    { of: 'a visitor whose first answer was lost', isBroker: true, due: ['part'] },
    { of: 'a visitor whom only our own token named', isBroker: false, due: [] },
  ])('[SN58] the logout of $of makes due: $due', async ({ isBroker, due }) => {
    const play = new Play()
    play.setup = { ...SETUP, isBroker }
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    const { epoch } = play.slots.session
    const logout = { type: 'command', command: { type: 'logout', unsent: 'discard' }, epoch } as const
    await play.turn(isBroker ? logout : { ...logout, will: null })
    expect(play.types()).toEqual(due)
  })
})

describe('the record', () => {
  test('[SN45] a turn that changes nothing has the revision of the one before, any other the next', async () => {
    const play = await live()
    const { rev } = play.slots
    await play.tick()
    await play.command({ type: 'mark-read' })
    await play.turn({ type: 'rejected', generation: 99 })
    expect(play.slots.rev).toBe(rev)
    await play.enqueue('a')
    expect(play.slots.rev).toBe(rev + 1)
  })

  test.each([
    { value: newSlots('e', []), is: true },
    { value: { ...newSlots('e', []), schema: 99 }, is: false },
    { value: { ...newSlots('e', []), outbox: {} }, is: false },
    { value: { ...newSlots('e', []), lease: null }, is: false },
    { value: undefined, is: false },
    { value: 'slots', is: false },
  ])('[SN45] what was not written by us, in this schema, is not read: $is', ({ value, is }) => {
    expect(isSlots(value)).toBe(is)
  })

  test.each([
    { part: 'session.conversation', values: [undefined, 'c1', {}] },
    { part: 'session.conversation.id', values: [7, null] },
    { part: 'session.conversation.state', values: [0, undefined] },
    { part: 'session.conversation.participantId', values: [[null], undefined] },
    { part: 'session.farewell', values: ['', {}, { status: 'gone' }] },
    { part: 'session.stream.attempt', values: [{}, [], { status: 'waiting' }, { status: 'sleeping' }] },
    { part: 'lease', values: [{ status: 'held', generation: 1 }] },
    { part: 'lease.grant', values: ['text', null] },
    { part: 'lease.grant.expiresAt', values: [Number.NaN, Infinity, '1'] },
    { part: 'lease.refresh', values: [undefined, { status: 'running' }] },
    { part: 'outbox.dead', values: [1e300, Number.NaN, null] },
    { part: 'outbox.lanes.1', values: [{}, null, { size: '1' }] },
    {
      part: 'outbox.lanes.1.attempt',
      values: [[], { status: 'waiting', key: 'k', count: 1, retryAt: 1, floorAt: {} }],
    },
  ])('[ST50] a state with another kind of $part is not read', async ({ part, values }) => {
    const play = await live()
    await play.enqueue('a')
    const path = part.split('.')
    const own = path.pop() ?? ''
    for (const value of values) {
      const slots = asJson(play.slots)
      expect(isSlots(slots)).toBe(true)
      const owner = path.reduce((one, name) => one[name] as never, slots as unknown as Record<string, unknown>)
      owner[own] = value
      expect(isSlots(slots)).toBe(false)
    }
  })

  test('[SN46] a gap in the transcript is fetched and the echo in it settles its entry', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
    await play.heard({ type: 'rows', rows: [row(3)] })
    await play.after(500)
    const { claim, afterId } = play.the('backfill')
    const rows = [row(1), row(2, { key: 'a', role: 'customer' }), row(3)]
    const outcome = { ok: true as const, value: { resync: false as const, rows, headSeq: 3 } }
    await play.turn({ type: 'backfilled', claim, outcome, generation: 1, conversationId: 'c1' })
    expect([afterId, await play.keys(), isComplete(play.slots.transcript)]).toEqual(['', [], true])
    expect(play.slots.transcript).toMatchObject({ cursor: { seq: 3 }, unread: 2, fetch: IDLE })
  })
})

test('[TR7] a late page of another fetch settles nothing either: its rows are not kept, and what has no trace was cancelled', async () => {
  const play = await live()
  await play.enqueue('a')
  await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
  const rows = [row(1, { key: 'a', role: 'customer' })]
  const outcome = { ok: true as const, value: { resync: false as const, rows, headSeq: 1 } }
  const claim = { key: 'former', count: 1 }
  await play.turn({ type: 'backfilled', claim, outcome, generation: 1, conversationId: 'c1' })
  expect(await play.keys()).toEqual(['a'])
})

describe('what a tab brings along', () => {
  const route = (routing: Attributes) => ({ type: 'route' as const, routing })

  test('[SN70] routing data are known to the first conversation, sorted', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    expect(await play.command(route({ b: 'sales', a: true }))).toEqual({ value: null })
    expect(play.isDurable, 'the page that is there says it again').toBe(false)
    const { rev } = play.slots
    await play.command(route({ a: true, b: 'sales' }))
    expect(play.slots.rev, 'the same again changes nothing').toBe(rev)
    await play.opened()
    expect(JSON.stringify(play.the('make').routing)).toBe('{"a":true,"b":"sales"}')
  })

  test('[SN70] they are known to a conversation that replaces one by itself, too', async () => {
    const play = await new Play().live()
    await play.command(route({ queue: 'returns' }))
    await play.restart('w2')
    await play.after(HOUR)
    await play.opened({ formerState: 'expired' })
    expect(play.the('make').routing).toEqual({ queue: 'returns' })
  })

  test('[SN70] beyond their limits they are refused, and nothing changes', async () => {
    const play = await new Play().live()
    const refusal = { code: 'CONTEXT_TOO_LARGE' }
    expect(await play.command(route({ a: 'x'.repeat(2_001) }))).toMatchObject({ refusal })
    expect(play.slots.session.routing).toEqual({})
  })
})

describe('another device', () => {
  const shown = async (play: Play) => {
    const { rows, entries } = await play.store.tail(50, 50)
    return snapshotOf({ slots: play.slots, rows, entries }, 'durable', play.now).conversation
  }

  test('[SN71] a conversation that it made first shows as joined', async () => {
    const play = new Play()
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await play.opened()
    const value = { conversation: conversation('c1'), attributes: {}, version: 1, joined: true }
    const claim = play.claimOf('make')
    await play.turn({ type: 'made', claim, outcome: { ok: true, value }, generation: play.generation() })
    expect(await shown(play)).toEqual({ id: 'c1', state: 'active', joined: true })
  })

  test('[SN71] one that it is in shows as joined until the next opening says otherwise', async () => {
    const play = await new Play().live()
    expect(await shown(play)).toEqual({ id: 'c1', state: 'active' })
    for (const isActiveElsewhere of [true, false]) {
      await play.restart(`w${isActiveElsewhere}`)
      await play.after(HOUR)
      await play.opened({ conversation: conversation('c1'), isActiveElsewhere })
      expect((await shown(play))?.joined ?? false).toBe(isActiveElsewhere)
    }
  })
})

test('[SN72] a conversation knows those behind it, over several that were replaced', async () => {
  const play = await live()
  const closed = (id: string) => play.heard({ type: 'conversation', state: 'closed', attributes: {}, version: 2 }, id)
  for (const [former, next] of [
    ['c1', 'c2'],
    ['c2', 'c3'],
  ] as const) {
    await closed(former)
    await play.command({ type: 'start-new', key: `to ${next}` })
    await play.made(next)
    await play.connected(0, next)
  }
  await play.restart('w2')
  await play.after(HOUR)
  await play.opened({ conversation: conversation('c4', { previousId: 'c3' }), formerState: 'expired' })
  expect(play.slots.session.conversation).toMatchObject({ id: 'c4', behind: ['c3', 'c2', 'c1'] })
})
