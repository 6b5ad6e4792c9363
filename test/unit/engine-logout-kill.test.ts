// A worker that dies in a logout, at each step of it: before the disk or the service does what it was asked, and after.

import { expect, test } from 'vitest'
import type { Platform, Store } from '../../core/ports.ts'
import { MINUTE } from '../core/fixtures.ts'
import { liveRig, type Rig, rig, watchedStore } from './engine-fixtures.ts'

const NEVER = new Promise<never>(() => {})
const SAID = 'said by the former'

/** Calls of an object, of which the one with this number is the last: nobody hears what became of it, or of any after. */
class Mortal {
  #calls = 0
  isArmed = false
  readonly #last: number
  readonly #isDone: boolean

  constructor(last: number, isDone: boolean) {
    this.#last = last
    this.#isDone = isDone
  }

  get isDead(): boolean {
    return this.#calls > this.#last
  }

  of<T extends object>(whole: T): T {
    const calls = Object.entries(whole).map(([name, one]) => {
      if (typeof one !== 'function') return [name, one]
      return [
        name,
        (...args: unknown[]) => this.#call(() => (one as (...args: unknown[]) => unknown).apply(whole, args)),
      ]
    })
    return Object.fromEntries(calls) as T
  }

  #call(work: () => unknown): unknown {
    if (!this.isArmed) return work()
    if (this.isDead) return NEVER
    this.#calls += 1
    if (!this.isDead) return work()
    if (this.#isDone) void work()
    return NEVER
  }
}

/** Time passes until the work is done, or nothing can come of it any more. */
async function settle<T>(one: Rig, work: Promise<T>, isDead = () => false): Promise<T | undefined> {
  let isOver = false
  const over = () => {
    isOver = true
  }
  work.then(over, over)
  for (let step = 0; !isOver && !(isDead() && step > 50); step++) await one.clock.advance(100)
  return isOver ? work : undefined
}

const stored = async (store: Store) => JSON.stringify([await store.tail(99, 99), await store.rows('c1', 99, 99)])

test.each([
  { mode: 'broker', isDone: false },
  { mode: 'broker', isDone: true },
  { mode: 'persistent', isDone: false },
  { mode: 'persistent', isDone: true },
] as const)('[WI6] $mode: killed at each step of a logout, the step done: $isDone', async ({ mode, isDone }) => {
  let last = 0
  for (let isWhole = false; !isWhole; last++) {
    const mortal = new Mortal(last, isDone)
    const disk = watchedStore([])
    const revoked: unknown[] = []
    const revoke: Platform['revoke'] = async (tokens) => {
      revoked.push(tokens)
      return { ok: true, value: null }
    }
    const platform = mortal.of({ revoke })
    const one = await liveRig({ disk: { ...disk, store: mortal.of(disk.store) }, mode, platform })
    await one.run({ type: 'enqueue', messages: [{ key: SAID, text: SAID }] })
    await one.run({ type: 'set-context', key: 'set', delta: { marker: SAID } })
    await one.clock.advance(MINUTE)
    const { epoch } = (await one.pull()).snapshot
    mortal.isArmed = true
    const left = settle(one, one.run({ type: 'logout', unsent: 'discard' }), () => mortal.isDead)
    isWhole = (await left) !== undefined && !mortal.isDead

    const next = rig({ disk, incarnation: 'w2', mode, platform: { revoke } })
    next.clock.time = one.clock.time + MINUTE
    const seen = (await settle(next, next.pull()))?.snapshot
    const text = await stored(disk.store)
    if (seen?.epoch === epoch) {
      // It had not begun: everything is there, and the next try does all of it.
      expect([seen.context['marker'], text.includes(SAID)], `step ${last}`).toEqual([SAID, true])
      expect(await settle(next, next.run({ type: 'logout', unsent: 'discard' })), `step ${last}`).toEqual({
        verified: true,
      })
    } else expect([text.includes(SAID), JSON.stringify(seen).includes(SAID)], `step ${last}`).toEqual([false, false])
    await next.clock.advance(MINUTE)
    expect(await stored(disk.store), `step ${last}`).not.toContain(SAID)
    const { slots } = await disk.store.tail(1, 1)
    expect(slots?.session, `step ${last}`).toMatchObject({ wipe: null, farewell: null, will: null })
    expect(revoked.length, `step ${last}`).toBeGreaterThan(0)
    expect(slots?.session.epoch).not.toBe(epoch)
  }
  // Fewer would mean that the steps are not seen.
  expect(last).toBeGreaterThan(5)
})
