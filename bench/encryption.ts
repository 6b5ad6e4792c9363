// What encryption at rest costs: `send()` and a first look of two deployments in one worker, one encrypted and one not, in turn.

import { atMost, type Figure, median, openLab } from './lab.ts'
import './page.ts'

const SENDS = 300
const QUEUED = 1_000
const ATTRIBUTES = 20
/** Of the accept p50, as the option is allowed to cost. */
const RATIO_MAX = 1.3

export async function encryption(): Promise<readonly Figure[]> {
  const deployments = ['plain', 'sealed']
  const lab = await openLab({ deployments, encrypted: ['sealed'] })
  try {
    const page = await lab.page()
    await page.evaluate(connectBoth, [deployments, ATTRIBUTES] as const)
    await page.waitForFunction(() => globalThis.chats.every(({ state }) => state.phase === 'live'))
    // The service is away: what is accepted stays, and nothing else is done.
    await lab.service.kill()
    const empty = await page.evaluate(race, SENDS)
    await page.evaluate(fill, QUEUED)
    const full = await page.evaluate(race, SENDS)
    return [
      atMost('p50 of send() encrypted beside plain', 'ms', median(empty.sealed), median(empty.plain), RATIO_MAX),
      atMost('the same with 1 000 queued', 'ms', median(full.sealed), median(full.plain), RATIO_MAX),
    ]
  } finally {
    await lab.close()
  }
}

async function connectBoth([deployments, attributes]: readonly [readonly string[], number]): Promise<void> {
  const worker = '/holdfast/sw.js?config=/holdfast/config.json'
  const connect = (deployment: string) => globalThis.holdfast.connect({ worker, deployment })
  globalThis.chats = await Promise.all(deployments.map(connect))
  const values = Array.from({ length: attributes }, (_, at) => [`attribute_${at}`, 'v'.repeat(200)])
  for (const chat of globalThis.chats) await chat.context.set(Object.fromEntries(values))
}

/** One of the plain, one of the sealed, in turn, and each of them first as often. */
async function race(sends: number): Promise<{ plain: number[]; sealed: number[] }> {
  const text = 'x'.repeat(120)
  const times: [number[], number[]] = [[], []]
  for (let index = 0; index < sends; index++) {
    for (const at of index % 2 ? ([0, 1] as const) : ([1, 0] as const)) {
      const start = performance.now()
      await globalThis.chats[at]?.send(text)
      times[at].push(performance.now() - start)
    }
  }
  return { plain: times[0], sealed: times[1] }
}

async function fill(wanted: number): Promise<void> {
  for (const chat of globalThis.chats) {
    await Promise.all(Array.from({ length: wanted }, (_, index) => chat.send(`filler ${index}`)))
  }
}
