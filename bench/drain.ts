// How fast a queue empties: our drain beside a bare loop of keyed requests in a worker, against the same service.
// Both are timed by the service's own clock, from its first message to its last.

import type { Page } from '@playwright/test'
import { atLeast, type Figure, type Lab, median, openLab } from './lab.ts'
import './page.ts'

const MESSAGES = 200
const ROUNDS = 3

export async function drain(): Promise<readonly Figure[]> {
  return [...(await raceOf(1, MESSAGES)), ...(await raceOf(10, MESSAGES / 4))]
}

async function raceOf(conversations: number, messages: number): Promise<readonly Figure[]> {
  const deployments = Array.from({ length: conversations }, (_, index) => `lane${index}`)
  const lab = await openLab({ deployments })
  try {
    const page = await lab.page()
    await page.evaluate(connectAll, deployments)
    const ours: number[] = []
    const floor: number[] = []
    const texts = Array.from({ length: messages }, (_, index) => `message ${index} ${'x'.repeat(100)}`)
    const url = lab.service.url.replace('127.0.0.1', 'localhost')
    for (let round = 0; round < ROUNDS; round++) {
      // As ours does, it meets a service that has just started, and has nothing translated yet.
      await lab.service.kill()
      await lab.service.start()
      await page.evaluate(untilLive)
      const ids = (await page.evaluate((value) => globalThis.floor('drain', value), {
        url,
        deployments,
        texts,
      })) as string[]
      floor.push(rateOf(await Promise.all(ids.map((id, at) => lab.service.messages(id, deployments[at])))))
      ours.push(await drainOurs(lab, page, texts))
    }
    const name = `${conversations === 1 ? 'one conversation' : `${conversations} conversations`}, ${messages} messages each`
    return [atLeast(name, 'messages/s', median(ours), median(floor), 0.8)]
  } finally {
    await lab.close()
  }
}

export async function drainOurs(lab: Lab, page: Page, texts: readonly string[]): Promise<number> {
  await lab.service.kill()
  await page.evaluate(async (list) => {
    await Promise.all(
      globalThis.chats.map(async (chat) => {
        for (let from = 0; from < list.length; from += 50)
          await Promise.all(list.slice(from, from + 50).map((text) => chat.send(text)))
      }),
    )
  }, texts)
  await lab.service.start()
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')))
  await page.evaluate(untilEmpty)
  const ids = await page.evaluate(() => globalThis.chats.map((chat) => chat.state.conversation?.id ?? ''))
  const logs = await Promise.all(ids.map((id, at) => lab.service.messages(id, `lane${at}`)))
  return rateOf(logs.map((log) => log.slice(-texts.length)))
}

/** Messages per second, from the first of any conversation to the last of any. */
function rateOf(logs: readonly (readonly { readonly at: number }[])[]): number {
  const instants = logs.flat().map(({ at }) => at)
  return (instants.length * 1_000) / (Math.max(...instants) - Math.min(...instants))
}

async function connectAll(deployments: readonly string[]): Promise<void> {
  const worker = '/holdfast/sw.js?config=/holdfast/config.json'
  globalThis.chats = await Promise.all(
    deployments.map((deployment) => globalThis.holdfast.connect({ worker, deployment })),
  )
}

async function untilLive(): Promise<void> {
  globalThis.dispatchEvent(new Event('online'))
  await Promise.all(
    globalThis.chats.map(
      (chat) =>
        new Promise<void>((resolve) => {
          const stop = chat.subscribe(({ phase }) => {
            if (phase === 'live') queueMicrotask(() => (stop(), resolve()))
          })
        }),
    ),
  )
}

/** Told by the chats themselves: a page that looks at every frame would take its time from the race. */
async function untilEmpty(): Promise<void> {
  const isEmpty = ({ outbox }: { outbox: { queued: number; inflight: number } }) =>
    outbox.queued + outbox.inflight === 0
  await Promise.all(
    globalThis.chats.map(
      (chat) =>
        new Promise<void>((resolve) => {
          const stop = chat.subscribe((state) => {
            if (isEmpty(state)) queueMicrotask(() => (stop(), resolve()))
          })
        }),
    ),
  )
}
