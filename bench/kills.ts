// Twenty kills of the worker in the middle of a drain of a hundred: what arrives, beside what workbox makes of the same.
// Ours sends to the service. Workbox knows no acknowledgement and no key: it sends to a server that only writes down.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from '@playwright/test'
import type { Figure, Lab } from './lab.ts'
import './page.ts'
import type { Ask } from './queue-worker.ts'

const MESSAGES = 100
const KILLS = 20
/** So long the peer's server takes for each, that a kill can fall into it. */
const ANSWER_MS = 20
/** From one message to the next: kills fall everywhere in it, also between what leaves the disk and what leaves the browser. */
const CYCLE_MS = 32
const DEADLINE_MS = 120_000

type AskWorker = (change: Partial<Ask>) => Promise<unknown>

interface Damage {
  readonly lost: number
  readonly twice: number
  readonly overtaken: number
}

export async function kills(lab: Lab, page: Page, ask: AskWorker): Promise<readonly Figure[]> {
  const texts = Array.from({ length: MESSAGES }, (_, index) => `kill ${index}`)
  const ours = damageOf(texts, await drainOurs(lab, texts))
  const theirs = damageOf(texts, await drainWorkbox(lab, page, ask, texts))
  return (['lost', 'twice', 'overtaken'] as const).map((what) => ({
    name: `${what} of ${MESSAGES}, ${KILLS} kills in the drain, beside workbox`,
    unit: 'messages',
    ours: ours[what],
    floor: theirs[what],
    ratio: ours[what],
    limit: 0,
  }))
}

function damageOf(sent: readonly string[], log: readonly string[]): Damage {
  const places = log.map((text) => sent.indexOf(text))
  return {
    lost: sent.filter((text) => !log.includes(text)).length,
    twice: log.length - new Set(log).size,
    overtaken: places.filter((place, index) => index > 0 && place < (places[index - 1] ?? 0)).length,
  }
}

/** Kills the workers each time another twentieth has arrived, and gives up when nothing arrives any more. */
async function strike(lab: Lab, page: Page, arrived: () => Promise<number>, struck: () => unknown): Promise<void> {
  const until = Date.now() + DEADLINE_MS
  const all = async (count: number) => {
    while ((await arrived()) < count && Date.now() < until);
  }
  for (let kill = 0; kill < KILLS; kill++) {
    await all(kill * (MESSAGES / KILLS) + 1)
    await new Promise((resolve) => setTimeout(resolve, (kill * CYCLE_MS) / KILLS))
    await lab.killWorkers(page)
    struck()
  }
  await all(MESSAGES)
}

async function drainOurs(lab: Lab, texts: readonly string[]): Promise<readonly string[]> {
  const page = await lab.page()
  await page.evaluate(async () => {
    const worker = '/holdfast/sw.js?config=/holdfast/config.json'
    globalThis.chat = await globalThis.holdfast.connect({ worker, deployment: 'kills' })
  })
  await page.waitForFunction(() => globalThis.chat.state.phase === 'live')
  const id = await page.evaluate(() => globalThis.chat.state.conversation?.id ?? '')
  const log = async () => (await lab.service.messages(id, 'kills')).map(({ text }) => text)
  await lab.service.kill()
  await page.evaluate(async (list) => {
    for (const text of list) await globalThis.chat.send(text)
  }, texts)
  await lab.service.start()
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')))
  await strike(
    lab,
    page,
    async () => (await log()).length,
    () => {},
  )
  await page.waitForFunction(() => {
    const { queued, inflight } = globalThis.chat.state.outbox
    return queued + inflight === 0
  })
  await page.close()
  return log()
}

async function drainWorkbox(
  lab: Lab,
  page: Page,
  ask: AskWorker,
  texts: readonly string[],
): Promise<readonly string[]> {
  const log: string[] = []
  const server = createServer((request, response) => {
    const allowed = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' }
    if (request.method === 'OPTIONS') return void response.writeHead(204, allowed).end()
    let body = ''
    request.on('data', (part) => (body += part))
    request.on('end', () => {
      // It has arrived: whether anybody still waits for the answer is not the server's business.
      log.push((JSON.parse(body) as { text: string }).text)
      setTimeout(() => response.writeHead(201, allowed).end('{}'), ANSWER_MS)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const service = `http://localhost:${(server.address() as AddressInfo).port}`
  await ask({ who: 'fill', service, count: texts.length, text: 'kill' })
  // The answer of a worker that is killed never comes: nobody waits for it.
  const rerun = () => ask({ who: 'rerun' }).catch(() => 0)
  void rerun()
  await strike(lab, page, async () => new Promise((resolve) => setTimeout(() => resolve(new Set(log).size), 1)), rerun)
  for (let left = 1, tries = 0; left > 0 && tries < KILLS; tries++) left = Number(await rerun())
  server.close()
  return log
}
