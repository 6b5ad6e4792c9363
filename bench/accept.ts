// How long until a message is safe: `send()` beside one round trip and one strict transaction, with an empty and a full queue.

import type { Page } from '@playwright/test'
import { atLeast, atMost, type Figure, type Lab, median, openLab } from './lab.ts'
import './page.ts'

const SENDS = 150
const QUEUED = 10_000
const BURST = 1_000
const DURABLE_PER_SECOND_MIN = 3_000

export async function accept(): Promise<readonly Figure[]> {
  const lab = await openLab()
  try {
    const page = await connected(lab)
    // The service is away: what is accepted stays, so the length of the queue is ours to choose.
    await lab.service.kill()
    const empty = await page.evaluate(race, SENDS)
    const bursts = await page.evaluate(burst, BURST)
    await page.evaluate(fill, QUEUED)
    const full = await page.evaluate(race, SENDS)
    return [
      atMost('p50 of send() beside the floor, queue empty', 'ms', median(empty.ours), median(empty.floor), 2),
      atMost('p50 of send() beside the floor, 10 000 queued', 'ms', median(full.ours), median(full.floor), 2),
      atMost('p50 of send(), 10 000 queued beside empty', 'ms', median(full.ours), median(empty.ours), 1.25),
      atLeast('simultaneous sends made durable', '/s', bursts, DURABLE_PER_SECOND_MIN, 1),
    ]
  } finally {
    await lab.close()
  }
}

export async function connected(lab: Lab): Promise<Page> {
  const page = await lab.page()
  await page.evaluate(async () => {
    globalThis.chat = await globalThis.holdfast.connect({
      worker: '/holdfast/sw.js?config=/holdfast/config.json',
      deployment: 'demo',
    })
  })
  await page.waitForFunction(() => globalThis.chat.state.phase === 'live')
  return page
}

/** One of ours, one of the floor's, in turn. */
async function race(sends: number): Promise<{ ours: number[]; floor: number[] }> {
  const text = 'x'.repeat(120)
  const ours: number[] = []
  const floor: number[] = []
  for (let index = 0; index < sends; index++) {
    const start = performance.now()
    await globalThis.chat.send(text)
    const middle = performance.now()
    await globalThis.floor('put', { text, index })
    ours.push(middle - start)
    floor.push(performance.now() - middle)
  }
  return { ours, floor }
}

/** Median rate of five bursts: entries that were durable per second. */
async function burst(size: number): Promise<number> {
  const rates: number[] = []
  for (let round = 0; round < 5; round++) {
    const start = performance.now()
    await Promise.all(Array.from({ length: size }, (_, index) => globalThis.chat.send(`burst ${round} ${index}`)))
    rates.push((size * 1_000) / (performance.now() - start))
  }
  return rates.sort((a, b) => a - b)[2] ?? 0
}

async function fill(wanted: number): Promise<void> {
  while (globalThis.chat.state.outbox.queued < wanted) {
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => globalThis.chat.send(`filler ${index}`)))
    await new Promise<void>((resolve) => {
      const before = globalThis.chat.state
      const stop = globalThis.chat.subscribe((state) => {
        if (state !== before) queueMicrotask(() => (stop(), resolve()))
      })
    })
  }
}
