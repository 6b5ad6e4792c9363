// The engine between tabs that supply tokens, calls that borrow them, and a vault that fails.

import { describe, expect, test } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import type { Outcome, PlainGrant, TokenSource } from '../../core/ports.ts'
import type { Supplied } from '../../core/wire.ts'
import { LIFETIME_DEFAULT_MS, LIFETIME_MAX_MS } from '../../core/leases.ts'
import { LEND_TIMEOUT_MS, plainGrantOf } from '../../sw/engine-leases.ts'
import { failure, MINUTE, NOW, SECOND } from '../core/fixtures.ts'
import { liveRig, type Options, plainGrant, type Rig, rig } from './engine-fixtures.ts'

const CALLBACK: TokenSource = { kind: 'callback' }
const lending = (source: TokenSource = CALLBACK, options: Options = {}): Options => ({
  sources: { api: source },
  lent: ['api'],
  ...options,
})

/** A tab with a callback: it offers, and supplies what it has. */
async function supplies(one: Rig, supplied: Supplied | undefined, tab = 'tab-1') {
  const claim = await one.run({ type: 'offer', key: `offer of ${tab}`, lease: 'api' }, { tab })
  if (claim !== null) await one.run({ type: 'supply', lease: 'api', claim, ...(supplied && { supplied }) }, { tab })
  return claim
}
/** Time passes, and the tab answers each beat. */
async function pass(one: Rig, ms: number) {
  for (let passed = 0; passed < ms; passed += 10 * SECOND) {
    await one.clock.advance(Math.min(10 * SECOND, ms - passed))
    await one.pull()
  }
}
const borrow = (one: Rig, spent?: number) =>
  one.run({ type: 'borrow', lease: 'api', ...(spent !== undefined && { spent }) })
const wanted = (one: Rig) => one.told('token-wanted').length

describe('supplying', () => {
  test('[LE32] tabs hear that a token is wanted; what one of them supplies is the token', async () => {
    const one = await liveRig(lending())
    await supplies(one, { token: 'api-1', expiresIn: 600 })
    expect(await borrow(one)).toEqual({ token: 'api-1', generation: 1, expiresAt: NOW + SECOND + 600 * SECOND })
    expect(JSON.stringify(one.notices)).not.toContain('api-1')
  })

  test('[LE32] of tabs that offer at once one is chosen', async () => {
    const one = await liveRig(lending())
    const offers = ['a', 'b', 'c'].map((tab) =>
      one.run({ type: 'offer', key: `offer of ${tab}`, lease: 'api' }, { tab }),
    )
    expect((await Promise.all(offers)).filter((claim) => claim !== null)).toHaveLength(1)
  })

  test('[LE32] the answer reaches a worker that was started after the question', async () => {
    const one = await liveRig(lending())
    const claim = await one.run({ type: 'offer', key: 'k', lease: 'api' })
    const next = rig(lending(CALLBACK, { disk: one.disk, incarnation: 'w2' }))
    await next.pull()
    await next.run({ type: 'supply', lease: 'api', claim: claim!, supplied: { token: 'late' } })
    expect(await borrow(next)).toMatchObject({ token: 'late' })
  })

  test('[LE32] for a lease that nobody knows, or that the platform gives by itself, no tab is needed', async () => {
    const one = await liveRig(lending({ kind: 'reissue' }))
    for (const lease of ['api', 'session', 'nobody', '__proto__'])
      expect(await one.run({ type: 'offer', key: 'k', lease })).toBeNull()
  })

  test.each([
    { says: 'nothing', supplied: undefined, code: 'LEASE_UNANSWERED', ends: false },
    { says: 'no token', supplied: {}, code: 'LEASE_BAD_TOKEN', ends: true },
    { says: 'an object', supplied: { token: {} as never }, code: 'LEASE_BAD_TOKEN', ends: true },
    { says: 'a page of HTML', supplied: { token: '<html>\n</html>' }, code: 'LEASE_BAD_TOKEN', ends: true },
    { says: 'a line break', supplied: { token: 'a\r\nX-Evil: 1' }, code: 'LEASE_BAD_TOKEN', ends: true },
  ])('[LE34] a callback that gives $says: told once, tried less and less often, no loop', async (row) => {
    const one = await liveRig(lending())
    for (let asked = wanted(one), second = 0; second < 300; second++) {
      await one.clock.advance(SECOND)
      if (wanted(one) > asked || second === 0) await supplies(one, row.supplied)
      if (second % 10 === 0) await one.pull()
      asked = wanted(one)
    }
    expect(wanted(one)).toBeLessThan(row.ends ? 4 : 40)
    expect(one.told('problem')).toMatchObject([{ code: row.code }])
    if (row.ends) await expect(borrow(one)).rejects.toMatchObject({ code: 'LEASE_BAD_TOKEN' })
    expect((await one.pull()).snapshot.phase).toBe('live')
  })

  test('[LE34] the same token again, when it is spent, is no new one; the third time ends the lease', async () => {
    const one = await liveRig(lending())
    await supplies(one, { token: 'same', expiresIn: 600 })
    expect(await borrow(one)).toMatchObject({ generation: 1 })
    const again = borrow(one, 1).catch((error: unknown) => error)
    for (let asked = 1, second = 0; second < 30; second++) {
      await one.clock.advance(SECOND)
      if (wanted(one) > asked) await supplies(one, { token: 'same', expiresIn: 600 })
      asked = wanted(one)
    }
    expect(await again).toMatchObject({ code: expect.stringMatching(/^LEASE_/) })
    await expect(borrow(one)).rejects.toMatchObject({ code: 'LEASE_BAD_TOKEN' })
    expect(wanted(one)).toBeLessThan(6)
  })

  test('[LE34] what a platform makes of it counts, and a code is no token', async () => {
    const asked: object[] = []
    const exchange = async (request: object): Promise<Outcome<PlainGrant>> => {
      asked.push(request)
      return { ok: true, value: plainGrant('of-code') }
    }
    const one = await liveRig(lending({ kind: 'grant', exchange }))
    await supplies(one, { code: 'code-1' })
    expect(await borrow(one)).toMatchObject({ token: 'access-of-code' })
    expect(asked).toEqual([{ key: expect.any(String), lease: 'api', supplied: { code: 'code-1' } }])
  })

  test.each([
    { expiresIn: undefined, ms: LIFETIME_DEFAULT_MS },
    { expiresIn: 0, ms: LIFETIME_DEFAULT_MS },
    { expiresIn: -5, ms: LIFETIME_DEFAULT_MS },
    { expiresIn: Number.NaN, ms: LIFETIME_DEFAULT_MS },
    { expiresIn: '', ms: LIFETIME_DEFAULT_MS },
    { expiresIn: 'soon', ms: LIFETIME_DEFAULT_MS },
    { expiresIn: '600', ms: 600 * SECOND },
    { expiresIn: 600, ms: 600 * SECOND },
    { expiresIn: 1e300, ms: LIFETIME_MAX_MS },
    { expiresIn: Number.POSITIVE_INFINITY, ms: LIFETIME_MAX_MS },
  ])('[LE34] a lifetime of $expiresIn is taken as $ms ms', ({ expiresIn, ms }) => {
    expect(plainGrantOf({ token: 't', ...(expiresIn === undefined ? {} : { expiresIn }) })?.expiresInMs).toBe(ms)
  })
})

describe('lending', () => {
  const source = (): TokenSource & { asked: object[] } => {
    const asked: object[] = []
    return {
      kind: 'grant',
      asked,
      async refresh(request) {
        asked.push(request)
        return { ok: true, value: { accessToken: `api-${asked.length + 1}`, expiresInMs: 20 * MINUTE } }
      },
    }
  }

  test('[LE40] a page gets what is lent and nothing else', async () => {
    const one = await liveRig({ sources: { api: CALLBACK } })
    await supplies(one, { token: 'api-1' })
    await expect(borrow(one)).rejects.toMatchObject({ code: 'LEASE_EXPIRED' })
    await expect(one.run({ type: 'borrow', lease: 'session' })).rejects.toMatchObject({ code: 'LEASE_EXPIRED' })
  })

  test('[LE44] a worker without leases takes nothing for them, and lends nothing', async () => {
    const one = await liveRig({ isPlain: true, sources: { api: CALLBACK }, lent: ['api'] })
    expect(await one.run({ type: 'offer', key: 'o1', lease: 'api' })).toBeNull()
    const claim = { key: 'c1', count: 1 }
    expect(await one.run({ type: 'supply', lease: 'api', claim, supplied: { token: 'api-1' } })).toBeNull()
    await expect(borrow(one)).rejects.toMatchObject({ code: 'LEASE_EXPIRED' })
  })

  test('[LE40] sixty calls with a refused token make one refresh, and each gets the successor', async () => {
    const api = source()
    const one = await liveRig(lending(api))
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1', expiresIn: 1_200 })
    const all = await Promise.all(Array.from({ length: 60 }, () => borrow(one, 1)))
    expect(new Set(all.map(({ token }) => token))).toEqual(new Set(['api-2']))
    expect(api.asked).toEqual([{ key: expect.any(String), lease: 'api', refreshToken: 'refresh-1' }])
  })

  test('[LE42] a token at hand is lent at once; one that a call was refused with is lent to none that comes later', async () => {
    const api = source()
    const one = await liveRig(lending(api))
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1', expiresIn: 1_200 })
    await borrow(one)
    const { leases } = one.engine
    expect(leases.lend('api')).toMatchObject({ value: 'api-1', generation: 1 })
    const all = [leases.lend('api', 1), leases.lend('api'), leases.lend('api', 1)]
    expect((await Promise.all(all)).map(({ value }) => value)).toEqual(['api-2', 'api-2', 'api-2'])
    // A refusal that comes late, of a call that had left before.
    expect(leases.lend('api', 1)).toMatchObject({ value: 'api-2' })
    expect(api.asked).toHaveLength(1)
  })

  test('[LE42] one that has run out is lent to nobody, also where no alarm has rung', async () => {
    const api = source()
    const one = await liveRig(lending(api))
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1', expiresIn: 1_200 })
    await borrow(one)
    one.clock.time += 1_200 * SECOND
    const all = await Promise.all(Array.from({ length: 60 }, () => one.engine.leases.lend('api')))
    expect(new Set(all.map(({ value }) => value))).toEqual(new Set(['api-2']))
    expect(api.asked).toHaveLength(1)
  })

  test('[LE42] a refusal that cannot be stored is told, and keeps nobody from trying again', async () => {
    const one = await liveRig(lending(source()))
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1', expiresIn: 1_200 })
    await borrow(one)
    one.disk.fail(new HoldfastError('STORE_FAILED', 'The disk is gone.'))
    await Promise.resolve(one.engine.leases.lend('api', 1)).catch(() => {})
    expect(await one.engine.leases.lend('api')).toMatchObject({ value: expect.any(String) })
  })

  test('[LE13] tokens that worked for a while are no row of refusals, whoever used them', async () => {
    const one = await liveRig(lending(source()))
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1', expiresIn: 1_200 })
    for (let generation = 1; generation < 10; generation++) {
      const { worked } = await one.engine.leases.lend('api')
      worked()
      await one.engine.leases.lend('api', generation)
    }
    for (let generation = 10; generation < 20; generation++) {
      await borrow(one)
      await pass(one, 40 * SECOND)
      await borrow(one)
      await borrow(one, generation)
    }
    expect(await borrow(one)).toMatchObject({ generation: 20 })
  })

  test('[LE13] three that never worked end the lease', async () => {
    const one = await liveRig(lending(source()))
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1', expiresIn: 1_200 })
    await borrow(one, 1)
    await borrow(one, 2)
    await expect(borrow(one, 3)).rejects.toMatchObject({ code: 'LEASE_EXPIRED' })
  })

  test('[LE40] while nothing comes the wait is bounded, and its end has a code', async () => {
    const one = await liveRig(lending())
    const waiting = borrow(one).catch((error: unknown) => error)
    await one.clock.advance(LEND_TIMEOUT_MS + SECOND)
    expect(await waiting).toMatchObject({ code: 'LEASE_EXPIRED' })
  })

  test('[LE40] the wait is bounded, also where the clock is set back meanwhile', async () => {
    const one = await liveRig(lending())
    const waiting = borrow(one).catch((error: unknown) => error)
    await one.clock.advance(SECOND)
    one.clock.time -= 60 * MINUTE
    // Alarms are timers: they ring after as long as they were set for, whatever the clock says.
    for (let second = 0; second < 12; second++) {
      one.clock.time += SECOND
      one.engine.leases.committed()
      await one.clock.advance(0)
    }
    expect(await Promise.race([waiting, 'still waiting'])).toMatchObject({ code: 'LEASE_EXPIRED' })
  })

  test('[LE38] in memory mode, a worker that starts asks the page again for what it has lost', async () => {
    const options = lending(source(), { mode: 'memory' })
    const one = await liveRig(options)
    await supplies(one, { token: 'api-1', refreshToken: 'refresh-1' })
    one.disk.boxes.clear()
    const next = rig({ ...options, disk: one.disk, incarnation: 'w2' })
    await next.pull()
    const waiting = borrow(next)
    await next.clock.advance(SECOND)
    expect(wanted(next)).toBeGreaterThan(0)
    await supplies(next, { token: 'api-again' })
    expect(await waiting).toMatchObject({ token: 'api-again' })
    await pass(next, 20 * SECOND)
    expect((await next.pull()).snapshot.phase).toBe('live')
  })

  test('[LE36] a logout leaves no token in memory, and tells the source', async () => {
    const told: object[] = []
    const revoke = async (request: object) => {
      told.push(request)
      return { ok: true, value: null } as const
    }
    const one = await liveRig(lending({ kind: 'callback', revoke }, { mode: 'persistent' }))
    await supplies(one, { token: 'api-1' })
    await borrow(one)
    const leaving = one.run({ type: 'logout', unsent: 'discard' })
    await one.clock.advance(2 * SECOND)
    expect(await leaving).toEqual({ verified: true })
    expect(told).toEqual([{ lease: 'api', token: 'api-1' }])
    const late = borrow(one).catch((error: unknown) => error)
    await one.clock.advance(LEND_TIMEOUT_MS + SECOND)
    expect(await late).toMatchObject({ code: 'LEASE_EXPIRED' })
  })
})

describe('another visitor', () => {
  const refused = (one: Rig, lent: Promise<unknown> | object) => {
    const seen: unknown[] = []
    const waiting = Promise.resolve(lent).then(
      (token) => seen.push(token),
      (error: unknown) => seen.push(error),
    )
    return { seen, waiting, leave: () => one.run({ type: 'logout', unsent: 'discard' }) }
  }
  const leaves = async (one: Rig, leaving: Promise<unknown>) => {
    await one.clock.advance(2 * SECOND)
    expect(await leaving).toEqual({ verified: true })
  }

  test.each([undefined, 1])('[LE43] ends the wait for a token at once (refused: %s)', async (spent) => {
    const one = await liveRig(lending())
    if (spent !== undefined) await supplies(one, { token: 'api-1' })
    const { seen, leave } = refused(one, one.engine.leases.lend('api', spent))
    await one.clock.advance(0)
    const leaving = leave()
    await one.clock.advance(0)
    expect(seen).toMatchObject([{ code: 'EPOCH_CHANGED' }])
    await leaves(one, leaving)
  })

  test('[LE43] is lent nothing of who is gone that was being opened, and none of it stays in memory', async () => {
    const disk = (await liveRig(lending())).disk
    const first = rig(lending(CALLBACK, { disk }))
    await first.pull()
    await supplies(first, { token: 'api-1' })
    let opened = () => {}
    const one = rig(lending(CALLBACK, { disk, incarnation: 'w2' }))
    await one.pull()
    const { open } = one.vault
    one.vault.open = async (sealed) => {
      const value = await open(sealed)
      if (value === 'api-1') await new Promise<void>((resolve) => (opened = resolve))
      return value
    }
    const { seen, leave } = refused(one, one.engine.leases.lend('api'))
    await one.clock.advance(0)
    one.vault.open = open
    await leaves(one, leave())
    opened()
    await one.clock.advance(0)
    expect(seen).toMatchObject([{ code: 'EPOCH_CHANGED' }])
  })

  test('[LE43] does not get a call that the one before was refused with', async () => {
    const one = await liveRig(lending())
    await supplies(one, { token: 'api-1' })
    const { generation, epoch } = await one.engine.leases.lend('api')
    await leaves(one, one.run({ type: 'logout', unsent: 'discard' }))
    await one.run({ type: 'pull', keys: [] }, { tab: 'tab-2' })
    const next = one.engine.leases.lend('api')
    await one.clock.advance(2 * SECOND)
    await supplies(one, { token: 'api-of-another' }, 'tab-2')
    expect(await next).toMatchObject({ value: 'api-of-another' })
    const repeat = async () => one.engine.leases.lend('api', generation, epoch)
    await expect(repeat()).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
  })

  test.each([false, true])(
    '[LE43] lends nothing to a page that shows the one before (refused: %s)',
    async (isRefused) => {
      const one = await liveRig(lending())
      await supplies(one, { token: 'api-1' })
      const { epoch } = await one.engine.leases.lend('api')
      await leaves(one, one.run({ type: 'logout', unsent: 'discard' }))
      const { snapshot } = await one.run({ type: 'pull', keys: [] }, { tab: 'tab-2', epoch: '' })
      const next = one.engine.leases.lend('api')
      await one.clock.advance(2 * SECOND)
      await supplies(one, { token: 'api-of-another' }, 'tab-2')
      const { generation } = await next
      const late = one.run(
        { type: 'borrow', lease: 'api', ...(isRefused && { spent: generation }) },
        { epoch: String(epoch) },
      )
      await expect(late).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
      const mine = one.run({ type: 'borrow', lease: 'api' }, { epoch: snapshot.epoch })
      expect(await mine).toMatchObject({ token: 'api-of-another', generation })
    },
  )
})

describe('an issuer that does not hear of a logout', () => {
  test.each([
    { mode: 'persistent', isRepeated: true },
    { mode: 'broker', isRepeated: false },
  ] as const)(
    '[OA8] is told again ($mode: $isRepeated), and nothing of the next identity waits for it',
    async (row) => {
      let told = 0
      const revoke: TokenSource['revoke'] = async () => {
        told += 1
        return { ok: false, verdict: 'retry', code: 'SERVICE_UNREACHABLE', reason: 'Silence.' }
      }
      const one = await liveRig(lending({ kind: 'callback', revoke }, { mode: row.mode }))
      await supplies(one, { token: 'api-1' })
      const leaving = one.run({ type: 'logout', unsent: 'discard' })
      await one.clock.advance(2 * SECOND)
      expect(await leaving).toEqual({ verified: true })
      await pass(one, 2 * MINUTE)
      expect(told > 1).toBe(row.isRepeated)
    },
  )
})

describe('a vault that fails', () => {
  test.each(['persistent', 'broker'] as const)('[LE39] %s: it is tried again, and the lease lives', async (mode) => {
    let isFailing = false
    const vaultFails = () => {
      if (isFailing) throw new Error('The database is gone.')
    }
    const one = await liveRig({ mode, vaultFails })
    isFailing = true
    const next = rig({ mode, vaultFails, disk: one.disk, incarnation: 'w2' })
    await next.pull()
    await next.clock.advance(5 * SECOND)
    await next.enqueue('a')
    await pass(next, 5 * MINUTE)
    expect((await next.pull()).snapshot).toMatchObject({ lease: { status: expect.not.stringMatching('lost') } })
    isFailing = false
    await pass(next, MINUTE)
    expect((await next.pull()).snapshot).toMatchObject({ phase: 'live', lease: { status: 'held' } })
  })

  test('[LE39] a refresh whose answer could not be sealed is repeated with its key', async () => {
    const keys: string[] = []
    let isFailing = false
    const one = await liveRig({
      mode: 'persistent',
      vaultFails: () => {
        if (isFailing) throw failure('retry')
      },
      platform: {
        async refresh({ key }) {
          keys.push(key)
          isFailing = keys.length === 1
          return { ok: true, value: plainGrant('2') }
        },
      },
    })
    await pass(one, 15 * MINUTE)
    isFailing = false
    await pass(one, MINUTE)
    expect(keys).toHaveLength(2)
    expect(keys[1]).toBe(keys[0])
  })
})
