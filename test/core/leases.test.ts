// Several leases beside the session's own: where each is used, who supplies its tokens, and what one says of another.

import { describe, expect, test } from 'vitest'
import type { Claim } from '../../core/attempt.ts'
import type { Setup } from '../../core/decide.ts'
import type { Grant } from '../../core/lease.ts'
import { emptied, leaseOf, type LeaseSpec } from '../../core/leases.ts'
import type { Outcome } from '../../core/ports.ts'
import { phaseOf, snapshotOf } from '../../core/snapshot.ts'
import { failure, grant, HOUR, MINUTE, Play, SECOND, SETUP } from './fixtures.ts'

const AUTH: LeaseSpec = { name: 'auth', neededAt: 'configure', refresh: 'grant' }
const SITE: LeaseSpec = { name: 'site', neededAt: 'connect', refresh: 'callback' }
const HISTORY: LeaseSpec = { name: 'history', neededAt: 'request', refresh: 'reissue', isOnDemand: true }
const API: LeaseSpec = { name: 'api', neededAt: 'request', refresh: 'grant' }

const platform = (...leases: LeaseSpec[]): Setup => ({ ...SETUP, capabilities: { ...SETUP.capabilities, leases } })
const site = (...leases: LeaseSpec[]): Setup => ({ ...SETUP, leases })

function playing(setup: Setup): Play {
  const play = new Play()
  play.setup = setup
  return play
}

const begin = (play: Play, tabs = 1) => play.turn({ type: 'started' }, { type: 'tabs', count: tabs, isArrival: true })
const ok = (play: Play, lifetimeMs?: number): Outcome<Grant> => ({ ok: true, value: grant(play.now, lifetimeMs) })
const answer = (play: Play, lease: string, claim: Claim, outcome: Outcome<Grant> = ok(play)) =>
  play.turn({ type: 'refreshed', lease, claim, outcome })
const offer = async (play: Play, lease: string, key = 'offer-1') =>
  (await play.command({ type: 'offer', key, lease })) as { value: Claim | null }
const statusOf = (play: Play, lease: string) => leaseOf(play.slots, lease).status

describe('places of use', () => {
  test('[LE30] the stream waits for each lease that it needs, and nothing else does', async () => {
    const play = playing(platform(SITE))
    await begin(play)
    const { claim } = play.the('ask')
    await play.opened()
    await play.made()
    expect(play.types()).toEqual([])
    await answer(play, 'site', claim)
    expect(play.types()).toEqual(['connect'])
    await play.connected()
    expect(phaseOf(play.slots, play.now)).toBe('live')
  })

  test('[LE30] each is refreshed by its own lifetime', async () => {
    const play = playing(platform(AUTH))
    await begin(play)
    await answer(play, 'auth', play.the('ask').claim, ok(play, 8 * MINUTE))
    await play.opened()
    await play.after(6 * MINUTE - SECOND)
    expect(play.types()).not.toContain('refresh')
    await play.after(SECOND)
    await play.again()
    expect(play.the('refresh')).toMatchObject({ lease: 'auth', refresh: grant(play.now - 6 * MINUTE).refresh })
    expect([play.generation(), leaseOf(play.slots, 'auth').generation]).toEqual([1, 1])
    await answer(play, 'auth', play.claimOf('refresh'))
    expect([play.generation(), leaseOf(play.slots, 'auth').generation]).toEqual([1, 2])
  })

  test('[LE22] the first try of a refresh token that is at stake is in a turn that no power cut takes back', async () => {
    const play = playing(platform(AUTH))
    await begin(play)
    await answer(play, 'auth', play.the('ask').claim, ok(play, 8 * MINUTE))
    await play.after(7 * MINUTE)
    if (play.find('refresh') === undefined) await play.again()
    expect([play.isDurable, play.the('refresh').claim.count]).toEqual([true, 1])
  })

  test('[LE31] one on demand is fetched when something needs it, used while it lives, and not renewed ahead', async () => {
    const play = await playing(platform(HISTORY)).live()
    expect(play.slots.leases).toEqual({})
    await play.heard({ type: 'rows', rows: [{ ...ROW, seq: 2 }] })
    await play.after(SECOND)
    expect(play.types()).toEqual(['refresh'])
    await answer(play, 'history', play.claimOf('refresh'), ok(play, MINUTE))
    expect(play.types()).toEqual(['backfill'])
    const { claim } = play.the('backfill')
    const value = { resync: false as const, rows: [ROW, { ...ROW, seq: 2, id: 'm2' }], headSeq: 2 }
    const outcome = { ok: true as const, value }
    await play.turn({ type: 'backfilled', claim, outcome, generation: 1, conversationId: 'c1' })
    await play.after(2 * MINUTE)
    expect(play.types()).toEqual([])
    await play.turn({ type: 'needed', lease: 'history' })
    expect(play.the('refresh')).toMatchObject({ lease: 'history', claim: { count: 1 } })
  })

  test('[LE30] a lease of the name "session" takes the place of what opening grants', async () => {
    const play = playing(site({ ...API, name: 'session', refresh: 'callback' }))
    await begin(play)
    expect(play.types()).toEqual(['ask'])
    await answer(play, 'session', play.the('ask').claim)
    expect([play.types(), play.generation()]).toEqual([['open'], 1])
    const value = { opened: OPENED }
    await play.turn({ type: 'opened', claim: play.claimOf('open'), outcome: { ok: true, value }, generation: 1 })
    expect([play.types(), play.generation()]).toEqual([['make'], 1])
  })
})

const ROW = { conversationId: 'c1', seq: 1, id: 'm1', role: 'agent' as const, text: 't', at: 1 }
const OPENED = {
  sessionId: 's1',
  isAuthenticated: false,
  expiresAt: 1e15,
  conversation: null,
  isActiveElsewhere: false,
}

describe('tokens that a tab supplies', () => {
  test('[LE32] the first offer of a try gets it, a repeat of that offer too, another offer nothing', async () => {
    const play = playing(platform(SITE))
    await begin(play)
    const { key, count } = play.the('ask').claim
    const claim = { key, count }
    expect(await offer(play, 'site', 'a')).toEqual({ value: claim })
    expect(await offer(play, 'site', 'b')).toEqual({ value: null })
    expect(await offer(play, 'site', 'a')).toEqual({ value: claim })
    await answer(play, 'site', claim)
    expect(statusOf(play, 'site')).toBe('held')
    expect(await offer(play, 'site', 'b')).toEqual({ value: null })
  })

  test('[LE32] a tab that never answers is followed by another try, and whoever answers first counts', async () => {
    const play = playing(platform(SITE))
    await begin(play)
    const { claim: first } = play.the('ask')
    await offer(play, 'site', 'a')
    await play.after(15 * SECOND)
    expect(play.the('ask').claim).toMatchObject({ key: first.key, count: 2 })
    expect(await offer(play, 'site', 'b')).toEqual({ value: { key: first.key, count: 2 } })
    await answer(play, 'site', first)
    expect(leaseOf(play.slots, 'site')).toMatchObject({ status: 'held', generation: 1 })
    await answer(play, 'site', { key: first.key, count: 2 })
    expect(leaseOf(play.slots, 'site').generation).toBe(1)
  })

  test('[LE33] with no tab nobody is asked and the work waits; the tab that comes is asked', async () => {
    const play = playing(platform(SITE))
    await play.turn({ type: 'started' }, { type: 'tabs', count: 0, isArrival: false })
    await play.enqueue('a')
    await play.opened()
    await play.made()
    await play.after(HOUR)
    expect(play.types()).not.toContain('ask')
    expect(await play.keys()).toEqual(['a'])
    await play.turn({ type: 'tabs', count: 1, isArrival: false })
    expect(play.types()).toContain('ask')
  })

  test('[LE33] a tab that offers ends a wait of our own', async () => {
    const play = playing(platform(SITE))
    await begin(play)
    await answer(play, 'site', play.the('ask').claim, failure('retry', { code: 'LEASE_UNANSWERED' }))
    expect(play.find('ask')).toBeUndefined()
    expect(await offer(play, 'site')).toEqual({ value: null })
    expect(play.the('ask').claim.count).toBe(2)
  })

  test('[LE34] what brings no token is told once and tried less and less often, and nothing is lost by it', async () => {
    const play = playing(platform(SITE))
    await begin(play)
    await play.enqueue('a')
    const problems: string[] = []
    let asks = 0
    for (let second = 0; second < 600; second++) {
      await play.after(SECOND)
      const asked = play.find('ask')
      if (asked === undefined) continue
      asks += 1
      const { problems: said } = await answer(play, 'site', asked.claim, failure('retry', { code: 'LEASE_UNANSWERED' }))
      problems.push(...said.map(({ code }) => code))
    }
    expect(asks).toBeLessThan(60)
    expect(problems.length).toBeLessThanOrEqual(1)
    expect(await play.keys()).toEqual(['a'])
  })

  test('[LE34] a refusal for good ends in one auth-required with its code, and the outbox is kept', async () => {
    const play = playing(platform(SITE))
    await begin(play)
    await play.enqueue('a')
    const refusal = failure('auth-required', { code: 'LEASE_BAD_TOKEN' })
    await answer(play, 'site', play.claimOf('ask'), refusal)
    const tail = { slots: play.slots, rows: [], entries: [] }
    expect(snapshotOf(tail, 'durable', play.now)).toMatchObject({
      phase: 'auth-required',
      lease: { status: 'lost', code: 'LEASE_BAD_TOKEN' },
    })
    await play.after(HOUR)
    expect(play.find('ask')).toBeUndefined()
    expect(await play.keys()).toEqual(['a'])
    await offer(play, 'site')
    expect(play.types()).toContain('ask')
  })
})

describe('one lease and another', () => {
  test('[LE35] the loss of one that only calls of the site need leaves the chat as it is', async () => {
    const play = await playing(site(API)).live()
    await answer(play, 'api', play.claimOf('ask'), failure('auth-required', { code: 'LEASE_REVOKED' }))
    expect(statusOf(play, 'api')).toBe('lost')
    expect(phaseOf(play.slots, play.now)).toBe('live')
  })

  test('[LE37] the refusal of a token spends its own lease only, and only its own generation', async () => {
    const play = playing(platform(HISTORY, AUTH))
    await begin(play)
    await answer(play, 'auth', play.the('ask').claim)
    await play.opened()
    await play.made()
    await play.connected()
    const refused = (generation: number) =>
      play.turn({
        type: 'backfilled',
        claim: { key: 'b', count: 1 },
        outcome: failure('refresh', { lease: 'auth', generation }),
        generation: 1,
        conversationId: 'c1',
      })
    await refused(0)
    expect(leaseOf(play.slots, 'auth')).toMatchObject({ isSpent: false })
    await refused(1)
    if (play.find('refresh') === undefined) await play.again()
    expect(leaseOf(play.slots, 'auth')).toMatchObject({ isSpent: true })
    expect(play.slots.lease).toMatchObject({ isSpent: false })
    expect(play.the('refresh').lease).toBe('auth')
  })

  test('[LE36] a logout ends every lease, and what comes late for one of them changes nothing', async () => {
    const play = playing(platform(SITE, AUTH))
    await begin(play)
    const claims = play.seen.actions.flatMap((action) => (action.type === 'ask' ? [action] : []))
    await answer(play, 'auth', claims.find(({ lease }) => lease === 'auth')!.claim)
    await play.command({ type: 'logout', unsent: 'discard' })
    const before = play.slots.leases
    expect(before).toEqual(emptied(before))
    for (const { lease, claim } of claims) await answer(play, lease, claim)
    await play.turn({ type: 'rejected', lease: 'auth', generation: 1 })
    expect(play.slots.leases).toEqual(before)
    expect(leaseOf(play.slots, 'auth')).toEqual({ status: 'none', generation: 1 })
  })

  test('[LE36] an identity that follows begins with no lease of the one before', async () => {
    const play = playing(platform(AUTH))
    await begin(play)
    await answer(play, 'auth', play.the('ask').claim, failure('auth-required', { code: 'LEASE_REVOKED' }))
    await play.command({ type: 'start-new', key: 'n' })
    expect(statusOf(play, 'auth')).toBe('none')
    expect(play.types()).toContain('ask')
  })
})

describe('a sign-in that is not everybody’s', () => {
  const GUESTS: LeaseSpec = { ...AUTH, isOptional: true }

  test('[GC32] a guest goes on without; a tab that offers is asked, and what it supplies is used', async () => {
    const play = await playing(platform(GUESTS)).live()
    expect(play.types()).not.toContain('ask')
    expect(await offer(play, 'auth')).toEqual({ value: null })
    const { claim } = play.the('ask')
    const { key, count } = claim
    expect(await offer(play, 'auth', 'offer-2')).toEqual({ value: { key, count } })
    await answer(play, 'auth', claim)
    expect(statusOf(play, 'auth')).toBe('held')
    await play.heard({ type: 'session', isAuthenticated: true })
    expect(phaseOf(play.slots, play.now)).toBe('live')
  })

  test('[GC32] an offer that brings nothing leaves the guest as he was, and is not asked again by itself', async () => {
    const play = await playing(platform(GUESTS)).live()
    await offer(play, 'auth')
    await answer(play, 'auth', play.the('ask').claim, failure('retry', { code: 'LEASE_UNANSWERED' }))
    await play.after(HOUR)
    expect(play.types()).not.toContain('ask')
    expect(phaseOf(play.slots, play.now)).toBe('live')
  })

  test('[GC32] who has signed in does not go on as a guest: refused, the site must sign in again', async () => {
    const play = await playing(platform(GUESTS)).live()
    await offer(play, 'auth')
    await answer(play, 'auth', play.the('ask').claim)
    await play.heard({ type: 'session', isAuthenticated: true })
    const ended = { type: 'ended' as const, claim: play.claimOf('connect'), reason: 'x', lease: 'auth' }
    await play.heard({ ...ended, verdict: 'refresh', code: 'LEASE_EXPIRED' })
    if (play.find('refresh') === undefined) await play.again()
    expect(play.types()).toEqual(['refresh'])
    await answer(play, 'auth', play.claimOf('refresh'), failure('auth-required', { code: 'LEASE_REVOKED' }))
    expect(phaseOf(play.slots, play.now)).toBe('auth-required')
    await offer(play, 'auth', 'again')
    await answer(play, 'auth', play.the('ask').claim)
    await play.after(MINUTE)
    expect(play.types()).toContain('connect')
  })

  test('[GC32] a session that the platform knows as signed in asks for it, whatever is known here', async () => {
    const play = await playing(platform(GUESTS)).live()
    const claim = play.claimOf('connect')
    await play.heard({
      type: 'ended',
      claim,
      reason: 'x',
      lease: 'auth',
      verdict: 'auth-required',
      code: 'LEASE_REVOKED',
    })
    expect(phaseOf(play.slots, play.now)).toBe('auth-required')
    expect(play.slots.lease.status).toBe('held')
  })
})

describe('what only memory held', () => {
  test('[LE38] a forgotten access token is fetched again, as often as workers stop, and is never a refusal', async () => {
    const play = await playing(SETUP).live()
    for (let life = 2; life < 8; life++) {
      await play.turn({ type: 'rejected', generation: play.generation(), isForgotten: true })
      if (play.find('refresh') === undefined) await play.again()
      const { claim } = play.the('refresh')
      await play.turn({ type: 'refreshed', claim, outcome: ok(play) })
      expect(play.slots.lease).toMatchObject({ status: 'held', generation: life, rejections: 0, isSpent: false })
    }
  })

  test('[LE38] a forgotten refresh token comes again from where the first one came', async () => {
    const play = playing(site(API))
    await begin(play)
    await answer(play, 'api', play.the('ask').claim)
    await play.after(15 * MINUTE)
    if (play.find('refresh') === undefined) await play.again()
    const { claim } = play.the('refresh')
    await answer(play, 'api', claim, failure('auth-required', { code: 'LEASE_EXPIRED', isForgotten: true }))
    expect(play.the('ask').lease).toBe('api')
    expect(statusOf(play, 'api')).toBe('none')
  })
})
