// Where the races run: one browser, one site, one service, and a second worker that does only what cannot be avoided.
// The floor's worker is served by the same site, in a scope of its own, so both live in one browser and on one disk.

import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type LaunchOptions, type Page } from '@playwright/test'
import { findBrowser } from '../scripts/browsers.mjs'
import { type ServiceProcess, startService } from '../testing/service.ts'
import { type Site, startSite } from '../testing/site.ts'

export interface Lab {
  readonly context: BrowserContext
  readonly service: ServiceProcess
  readonly site: Site
  /** A page of the site, with the library and the floor's worker, and nothing connected. */
  page(): Promise<Page>
  killWorkers(page: Page): Promise<void>
  close(): Promise<void>
}

/** One line of a result. `limit` is what the ratio may be at most, or at least where `isMinimum`. */
export interface Figure {
  readonly name: string
  readonly ours: number
  readonly floor: number
  readonly unit: string
  readonly ratio: number
  /** Of the ratio. Without one it is shown for comparison, and not judged. */
  readonly limit?: number
  readonly isMinimum?: boolean
}

const DIST = join(process.cwd(), 'dist')

/** What cannot be avoided: a message in, one strict transaction of one record, a message out. Or a bare loop of requests. */
const FLOOR_WORKER = `
const opened = new Promise((resolve) => {
  const request = indexedDB.open('floor', 1)
  request.onupgradeneeded = () => request.result.createObjectStore('records', { autoIncrement: true })
  request.onsuccess = () => resolve(request.result)
})
const put = async (record) => {
  const database = await opened
  await new Promise((resolve, reject) => {
    const transaction = database.transaction('records', 'readwrite', { durability: 'strict' })
    transaction.objectStore('records').put(record)
    transaction.oncomplete = resolve
    transaction.onerror = reject
  })
}
const json = async (url, body, headers) => {
  const answer = await fetch(url, { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(url + ' ' + answer.status)
  return answer.json()
}
const open = async ({ url, deployment }) => {
  const session = await json(url + '/api/v2/widget/sessions', { deploymentId: deployment, refreshKey: crypto.randomUUID(), tokenDelivery: 'body' })
  const authorization = 'Bearer ' + session.grant.access_token
  const conversation = await json(url + '/api/v2/messaging/conversations', { channelId: 'web' }, { authorization, 'idempotency-key': crypto.randomUUID() })
  return { conversation, authorization }
}
const drain = async ({ url, deployments, texts }) => {
  const lanes = await Promise.all(deployments.map((deployment) => open({ url, deployment })))
  await Promise.all(lanes.map(async ({ conversation, authorization }) => {
    for (const text of texts) {
      await json(url + '/api/v2/messaging/conversations/' + conversation.id + '/messages',
        { participantId: conversation.participantId, text, contentType: 'text/plain' },
        { authorization, 'idempotency-key': crypto.randomUUID() })
    }
  }))
  return lanes.map(({ conversation }) => conversation.id)
}
addEventListener('message', (event) => {
  const { type, value } = event.data
  const work = type === 'put' ? put(value) : type === 'drain' ? drain(value) : Promise.resolve()
  event.waitUntil(work.then((result) => event.ports[0].postMessage(result), (error) => event.ports[0].postMessage({ error: String(error) })))
})
addEventListener('install', () => skipWaiting())
`

/** @param options.profile a folder: what is stored is on the disk then, and not in the memory of a private window */
export async function openLab(
  options: { deployments?: readonly string[]; encrypted?: readonly string[]; profile?: string } = {},
): Promise<Lab> {
  const { deployments = ['demo'], encrypted = [] } = options
  const config = { deployments: Object.fromEntries(deployments.map((name) => [name, {}])) }
  const service = await startService({ entry: join(DIST, 'server/main.js'), config })
  const site = await startSite({
    dist: DIST,
    serviceUrl: service.url.replace('127.0.0.1', 'localhost'),
    deployments,
    encrypted,
  })
  site.overrides.set('/floor/sw.js', { status: 200, type: 'text/javascript', body: FLOOR_WORKER })
  const { profile } = options
  const context =
    profile === undefined
      ? await (await launch()).newContext()
      : await chromium.launchPersistentContext(profile, await launching())
  return {
    context,
    service,
    site,
    page: async () => {
      const page = await context.newPage()
      await page.goto(site.url)
      await page.waitForFunction(() => 'holdfast' in globalThis)
      await page.evaluate(installFloor)
      return page
    },
    killWorkers,
    close: async () => {
      await context.close()
      await context.browser()?.close()
      await site.close()
      await service.close()
    },
  }
}

export async function killWorkers(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await session.send('ServiceWorker.enable')
  await session.send('ServiceWorker.stopAllWorkers')
  await session.detach()
}

export const launch = async (): Promise<Browser> => chromium.launch(await launching())

async function launching(): Promise<LaunchOptions> {
  const found = await findBrowser('chromium')
  const args = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  return { args, ...(found?.source === 'system' ? { executablePath: found.path } : {}) }
}

/** Runs in the page: `floor(type, value)` is one round trip to the floor's worker. */
async function installFloor(): Promise<void> {
  const registration = await navigator.serviceWorker.register('/floor/sw.js', { scope: '/floor/' })
  const worker = registration.installing ?? registration.waiting ?? registration.active
  await new Promise<void>((resolve) => {
    if (worker?.state === 'activated') resolve()
    worker?.addEventListener('statechange', () => worker.state === 'activated' && resolve())
  })
  Object.assign(globalThis, {
    floor: (type: string, value?: unknown) =>
      new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel()
        port1.onmessage = ({ data }) => {
          port1.close()
          resolve(data)
        }
        registration.active?.postMessage({ type, value }, [port2])
      }),
  })
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export const compared = (name: string, unit: string, ours: number, floor: number): Figure => ({
  name,
  unit,
  ours,
  floor,
  ratio: ours / floor,
})

export const atMost = (name: string, unit: string, ours: number, floor: number, limit: number): Figure => ({
  name,
  unit,
  ours,
  floor,
  ratio: ours / floor,
  limit,
})

export const atLeast = (name: string, unit: string, ours: number, floor: number, limit: number): Figure => ({
  ...atMost(name, unit, ours, floor, limit),
  isMinimum: true,
})
