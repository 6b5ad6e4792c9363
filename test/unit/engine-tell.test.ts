// When tabs are told: at once, and then the less often the longer a look takes.

import { expect, test } from 'vitest'
import type { Snapshot } from '../../core/wire.ts'
import { CHANGED_INTERVAL_MS, type Crowd, teller } from '../../sw/engine-tell.ts'
import { drained, ManualClock } from './engine-fixtures.ts'

const LOOK_MS = 10

/** How long until a second change is told, where a look takes so long and so many others look too. */
async function pauseWith(lookMs: number, crowd: Crowd): Promise<number> {
  const clock = new ManualClock()
  const told: number[] = []
  const look = async (): Promise<Snapshot> => {
    clock.time += lookMs
    return { rev: 1 } as Snapshot
  }
  const one = teller({ clock, crowd, channel: { publish: () => void told.push(clock.now()) } }, look)
  one.watch('a', async () => {})
  one.changed(1)
  await drained()
  one.changed(2)
  while (told.length < 2) await clock.advance(1)
  const [first = 0, second = 0] = told
  return second - lookMs - first
}

test('[EN23] a look that takes longer is followed by a longer pause, and by one that grows with the square of those that look', async () => {
  expect(await pauseWith(0, { size: 0 })).toBe(CHANGED_INTERVAL_MS)
  const alone = await pauseWith(LOOK_MS, { size: 0 })
  expect(alone).toBeGreaterThan(CHANGED_INTERVAL_MS)
  expect(await pauseWith(LOOK_MS, { size: 3 })).toBe(16 * alone)
})

test('[EN23] who has told everything is no longer one of those that look', async () => {
  const [clock, crowd] = [new ManualClock(), { size: 0 }]
  const one = teller({ clock, crowd, channel: { publish: () => {} } }, async () => ({ rev: 1 }) as Snapshot)
  one.changed(1)
  expect(crowd.size).toBe(1)
  await clock.advance(1_000)
  expect(crowd.size).toBe(0)
})
