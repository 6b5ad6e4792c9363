// 100 messages to an emulated Genesys deployment at its real limits, beside the time that these limits alone take: on one
// connection, and through kills, lost acknowledgements and cuts. Then three tabs that are reloaded all the time.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Page } from '@playwright/test'
import { type Genesys, GENESYS_LIMITS, startGenesys } from '../testing/genesys.ts'
import { startSite } from '../testing/site.ts'
import { atMost, type Figure, launch } from './lab.ts'
import './page.ts'

const MESSAGES = 100
const RATIO_MAX = 1.2
const RELOADING_MS = 60_000
const RELOAD_EVERY_MS = 500
const DIST = join(process.cwd(), 'dist')
const CONNECTING = `<!doctype html><html lang="en"><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,">
<script type="module">import * as holdfast from '/holdfast/holdfast.js'
globalThis.chat = await holdfast.connect({ worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' })
</script>`

interface Shop {
  readonly genesys: Genesys
  readonly context: BrowserContext
  /** When each message was accepted. */
  readonly accepted: { readonly text: string; readonly at: number }[]
  page(): Promise<Page>
}

async function withShop<T>(use: (shop: Shop) => Promise<T>): Promise<T> {
  const genesys = await startGenesys()
  const site = await startSite({ dist: DIST, serviceUrl: '' })
  const { deploymentId, endpoints } = genesys
  const platform = { type: 'genesys', domain: 'example', deploymentId, endpoints }
  const file = (type: string, body: string) => ({ status: 200, type, body })
  const config = JSON.stringify({ deployments: { demo: { platform } } })
  site.overrides.set('/holdfast/config.json', file('application/json', config))
  const worker = readFileSync(join(DIST, 'holdfast-sw-genesys.js'), 'utf8')
  site.overrides.set('/holdfast/sw.js', file('text/javascript', worker))
  site.overrides.set('/', file('text/html', CONNECTING))
  const accepted: { text: string; at: number }[] = []
  genesys.service.onAccepted = (_, { text = '' }) => void accepted.push({ text, at: performance.now() })
  const browser = await launch()
  const context = await browser.newContext()
  const page = async () => {
    const opened = await context.newPage()
    await opened.goto(site.url)
    await opened.waitForFunction(() => globalThis.chat?.state.phase === 'live')
    return opened
  }
  try {
    return await use({ genesys, context, accepted, page })
  } finally {
    await browser.close()
    await site.close()
    await genesys.close()
  }
}

async function kill(context: BrowserContext, page: Page): Promise<void> {
  const session = await context.newCDPSession(page)
  await session.send('ServiceWorker.enable')
  await session.send('ServiceWorker.stopAllWorkers')
  await session.detach()
}

/** What goes wrong, and after how many messages. */
const FAULTS: readonly (readonly [number, (shop: Shop, page: Page) => unknown])[] = [
  [10, ({ context }, page) => kill(context, page)],
  [25, ({ genesys }) => genesys.service.fault('ack-cut')],
  [40, ({ genesys }) => genesys.cut()],
  [55, ({ genesys }) => genesys.service.fault('unheard-cut')],
  [70, ({ context }, page) => kill(context, page)],
  [85, ({ genesys }) => genesys.service.fault('ack-lost')],
]

/**
 * Seconds that the limits alone take: the session's bucket of messages and, where one connection carries all of them, its
 * bucket of requests, of which configure and the history's credential are two.
 */
function floorOf(isUnbroken: boolean): number {
  const { messagesPerSession: messages, requestsPerConnection: requests } = GENESYS_LIMITS
  const bySession = (MESSAGES - messages.tokens) * messages.refillMs
  const byConnection = (MESSAGES + 2 - requests.tokens) * requests.refillMs
  return Math.max(bySession, isUnbroken ? byConnection : 0) / 1_000
}

async function through(name: string, faults: typeof FAULTS): Promise<Figure[]> {
  return withShop(async (shop) => {
    const { genesys, accepted } = shop
    const page = await shop.page()
    const texts = Array.from({ length: MESSAGES }, (_, index) => (index % 10 === 9 ? 'yes' : `text ${index}`))
    const startedAt = performance.now()
    await page.evaluate(async (all) => {
      for (const text of all) await globalThis.chat.send(text)
    }, texts)
    const left = [...faults]
    while (accepted.length < MESSAGES) {
      const [next] = left
      if (next !== undefined && accepted.length >= next[0]) await left.shift()?.[1](shop, page)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const seconds = ((accepted.at(-1)?.at ?? 0) - startedAt) / 1_000
    await page.waitForFunction(() => {
      const { queued, inflight } = globalThis.chat.state.outbox
      return queued + inflight === 0
    })
    const wrong = texts.filter((text, index) => accepted[index]?.text !== text).length + (accepted.length - MESSAGES)
    const { throttled, evictions } = genesys.service
    return [
      atMost(
        `${MESSAGES} messages, ${name}, beside the limits alone`,
        's',
        seconds,
        floorOf(faults.length === 0),
        RATIO_MAX,
      ),
      atMost(
        `  lost, doubled, out of order, throttled or evicted, ${name}`,
        '',
        wrong + throttled.length + evictions,
        1,
        0,
      ),
    ]
  })
}

async function reloading(): Promise<Figure[]> {
  return withShop(async ({ genesys, page }) => {
    const pages = [await page(), await page(), await page()]
    const endsAt = performance.now() + RELOADING_MS
    for (let reload = 0; performance.now() < endsAt; reload++) {
      void pages[reload % pages.length]?.reload({ waitUntil: 'commit' }).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, RELOAD_EVERY_MS))
    }
    const { connectionsMost, evictions, throttled } = genesys.service
    return [
      atMost('connections at once, three tabs and two reloads a second', '', connectionsMost, 1, 1),
      atMost('  evictions and refusals meanwhile', '', evictions + throttled.length, 1, 0),
    ]
  })
}

export async function genesys(): Promise<readonly Figure[]> {
  const unbroken = await through('on one connection', [])
  const broken = await through('through kills, lost acknowledgements and cuts', FAULTS)
  return [...unbroken, ...broken, ...(await reloading())]
}
