// Shared devices, seen from the engine: which tabs are there, who waits for a wipe, and what a start finds.

import { describe, expect, test } from 'vitest'
import type { Snapshot } from '../../core/wire.ts'
import { parseConfig } from '../../sw/config.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import { MINUTE, SECOND } from '../core/fixtures.ts'
import { drained, liveRig, type Options, type Rig, rig, watchedStore } from './engine-fixtures.ts'

const GRACE_MS = 5 * SECOND
const IDLE_MS = 15 * MINUTE

/** The browser's locks: they outlive workers, and end with their tabs. */
class Locks {
  readonly #held = new Map<string, (() => void)[]>()

  async here(): Promise<readonly string[]> {
    return [...this.#held.keys()]
  }

  whenFree(tab: string, free: () => void): void {
    const waiting = this.#held.get(tab)
    if (waiting === undefined) free()
    else waiting.push(free)
  }

  take(tab: string): void {
    this.#held.set(tab, [])
  }

  free(tab: string): void {
    const waiting = this.#held.get(tab) ?? []
    this.#held.delete(tab)
    for (const free of waiting) free()
  }
}

const device = (locks = new Locks()) => ({ graceMs: GRACE_MS, idleMs: IDLE_MS, locks })

/** A visitor whose one tab holds its lock. */
async function visited(locks: Locks, options: Options = {}): Promise<{ one: Rig; epoch: string }> {
  const one = await liveRig({ shared: device(locks), ...options })
  await one.enqueue('said')
  locks.take('tab-1')
  const { epoch } = (await one.pull()).snapshot
  await one.run({ type: 'hold' }, { epoch })
  await one.clock.advance(SECOND)
  return { one, epoch }
}

const seen = async (one: Rig, work: Promise<{ snapshot: Snapshot }>): Promise<Snapshot> => {
  let snapshot: Snapshot | undefined
  let failure: unknown
  work.then(
    (answer) => (snapshot = answer.snapshot),
    (error: unknown) => (failure = error),
  )
  while (snapshot === undefined && failure === undefined) await one.clock.advance(100)
  if (snapshot === undefined) throw failure
  return snapshot
}

const stored = async (one: Rig) => JSON.stringify([await one.disk.store.tail(9, 9), [...one.disk.boxes.values()]])

describe('a shared device', () => {
  test('[SD1] the last tab goes, and after the grace nothing of the visitor is stored', async () => {
    const { one, epoch } = await visited(new Locks())
    await one.run({ type: 'bye' }, { epoch })
    await one.clock.advance(GRACE_MS - 1)
    expect(await stored(one)).toContain('said')
    await one.clock.advance(3 * SECOND)
    expect(await stored(one)).not.toMatch(/said|c1|access-/)
    expect(one.log).toContain('shred')
  })

  test('[SD5] a tab that crashed is gone when its lock is free; one that answers no beat and holds it is there', async () => {
    const locks = new Locks()
    const { one } = await visited(locks)
    await one.clock.advance(3 * MINUTE)
    expect((await one.disk.store.tail(1, 1)).slots?.session.tabs).toBe(1)
    locks.free('tab-1')
    await one.clock.advance(GRACE_MS + SECOND)
    expect(await stored(one)).not.toContain('said')
  })

  test('[SD4] after a kill of the browser the first tab is shown nobody, and nothing of them was sent', async () => {
    const disk = watchedStore([])
    const platform = { send: () => new Promise<never>(() => {}) }
    await visited(new Locks(), { disk, platform })
    const next = rig({ disk, incarnation: 'w2', shared: device() })
    const snapshot = await seen(next, next.pull())
    expect(snapshot).toMatchObject({
      messages: [],
      context: {},
      conversation: null,
      outbox: { queued: 0, inflight: 0 },
    })
    await next.clock.advance(MINUTE)
    expect(next.log.join()).not.toContain('send said')
    expect(await stored(next)).not.toContain('said')
  })

  test('[SD4] what was left unsent is not sent by a worker that is woken without a tab', async () => {
    const disk = watchedStore([])
    const platform = { send: () => new Promise<never>(() => {}) }
    await visited(new Locks(), { disk, platform })
    const next = rig({ disk, incarnation: 'w2', shared: device() })
    await next.engine.nudge()
    await next.clock.advance(MINUTE)
    expect(next.log.join()).not.toContain('send said')
    expect(await stored(next)).not.toContain('said')
  })

  test('[SD1] a worker that was stopped finds the tabs of before, and wipes nobody', async () => {
    const disk = watchedStore([])
    const locks = new Locks()
    const { epoch } = await visited(locks, { disk })
    const next = rig({ disk, incarnation: 'w2', shared: device(locks) })
    expect((await seen(next, next.pull())).epoch).toBe(epoch)
    await next.clock.advance(MINUTE)
    expect(await stored(next)).toContain('c1')
  })

  test('[SD1] a tab that reloads while the worker is stopped says goodbye to the next one, and comes back', async () => {
    const disk = watchedStore([])
    const { epoch } = await visited(new Locks(), { disk })
    const next = rig({ disk, incarnation: 'w2', shared: device() })
    await next.run({ type: 'bye' }, { epoch })
    expect((await seen(next, next.run({ type: 'pull', keys: [] }, { tab: 'tab-2' }))).epoch).toBe(epoch)
  })

  test('[SD2] the idle time ends with a wipe that an open tab learns of', async () => {
    const { one, epoch } = await visited(new Locks())
    await one.clock.advance(IDLE_MS + 3 * SECOND)
    const { snapshot } = await one.pull()
    expect(snapshot.epoch).not.toBe(epoch)
    expect(await stored(one)).not.toContain('said')
  })

  test('[SD3] a wipe that fails shows nobody to whoever comes, and is tried again', async () => {
    const { one, epoch } = await visited(new Locks())
    await one.run({ type: 'bye' }, { epoch })
    one.clock.time += GRACE_MS
    const shred = one.disk.store.shred.bind(one.disk.store)
    let failures = 0
    one.disk.store.shred = async () => {
      failures += 1
      if (failures < 3) throw new DOMException('It is blocked.')
      return shred()
    }
    const snapshot = await seen(one, one.run({ type: 'pull', keys: [] }, { tab: 'tab-2' })).catch(() => undefined)
    expect(JSON.stringify(snapshot) ?? '').not.toContain('said')
    await one.clock.advance(5 * SECOND)
    await drained()
    expect(await stored(one)).not.toContain('said')
  })

  test.each([
    { sharedDevice: 'yes' },
    { sharedDevice: { idle: 5 } },
    { sharedDevice: { idleMs: -1 } },
    { sharedDevice: { graceMs: '5' } },
    { sharedDevice: null },
  ])('[SD7] the configuration %j is refused', (option) => {
    const platform = { type: 'session-service', url: '/' }
    const parse = (entry: object) =>
      parseConfig({ deployments: { demo: { platform, ...entry } } }, { 'session-service': sessionService })
    expect(() => parse(option)).toThrow(/sharedDevice/)
    expect(parse({ sharedDevice: { idleMs: 60_000 } }).deployments.demo?.sharedDevice).toEqual({ idleMs: 60_000 })
  })
})
