// What a browser test starts from: a service that can be killed, a proxy that misbehaves, a site, and tabs of one browser.
// Every test has ports of its own, so it has origins, storage and workers of its own.

import { join } from 'node:path'
import { type BrowserContext, test as base, type Page } from '@playwright/test'
import { type FaultProxy, startProxy } from '../testing/proxy.ts'
import { type ServiceProcess, startService } from '../testing/service.ts'
import { type Site, type SiteOptions, startSite } from '../testing/site.ts'
import { killWorkersOf } from './firefox.ts'
import { openTab, type Tab } from './tab.ts'

export const DIST = join(import.meta.dirname, '../dist')
export const SERVER_ENTRY = join(DIST, 'server/main.js')

export interface World {
  readonly service: ServiceProcess
  readonly proxy: FaultProxy
  readonly site: Site
  /** Opens a tab of the site and connects it. */
  tab(options?: TabOptions): Promise<Tab>
  /** Ends the worker as the browser would: everything in its memory is gone. */
  killWorker(page: Page): Promise<void>
  /** What the service has recorded in the one conversation that there is. */
  record(): Promise<readonly { readonly text: string; readonly seq: number; readonly role: string }[]>
  conversationId(): Promise<string>
}

export interface TabOptions {
  readonly deployment?: string
  /** Leaves `connect()` to the test. */
  readonly isBare?: boolean
}

export interface Options {
  /** How the service is set up: what its `--config` takes. */
  serviceConfig: Record<string, unknown>
  site: Partial<SiteOptions>
}

/** Short intervals, so that a half-open socket is found within a test. */
export const QUICK = { pingMs: 400, pongMs: 300, climbMs: 500 }

export const test = base.extend<Options & { world: World }>({
  serviceConfig: [{}, { option: true }],
  site: [{}, { option: true }],
  world: async ({ context, serviceConfig, site }, use) => {
    const made = await startWorld({ serviceConfig, site })
    await use({
      ...made,
      tab: async ({ deployment = 'demo', isBare = false } = {}) =>
        openTab(await context.newPage(), made.site.url, isBare ? undefined : deployment),
      killWorker: (page) => killWorker(context, page),
    })
    await Promise.all(context.pages().map((page) => page.close()))
    await made.close()
  },
})

export { expect } from '@playwright/test'

/** The three servers of a test without a browser: for tests that launch their own. */
export async function startWorld({ serviceConfig, site: siteOptions }: Partial<Options> = {}) {
  const service = await startService({
    entry: SERVER_ENTRY,
    config: { accessTokenMs: 600_000, drainSpreadMs: 50, ...serviceConfig },
  })
  const proxy = await startProxy(service.port)
  const site = await startSite({ dist: DIST, serviceUrl: proxy.url, ...siteOptions })
  const conversationId = async () => {
    const all = await service.conversations()
    const [first, ...others] = all
    if (first === undefined || others.length > 0)
      throw new Error(`One conversation was expected, there are ${all.length}.`)
    return first.id
  }
  return {
    service,
    proxy,
    site,
    conversationId,
    record: async () => service.messages(await conversationId()),
    close: async () => {
      await site.close()
      await proxy.close()
      await service.close()
    },
  }
}

export async function liveTab(world: Pick<World, 'tab'>): Promise<Tab> {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  return tab
}

/** What the service has, in its order. */
export const texts = async (world: Pick<World, 'record'>) => (await world.record()).map(({ text }) => text)

export async function killWorker(context: BrowserContext, page: Page): Promise<void> {
  if (context.browser()?.browserType().name() === 'firefox') {
    return killWorkersOf(context, new URL(page.url()).origin)
  }
  const session = await context.newCDPSession(page)
  await session.send('ServiceWorker.enable')
  await session.send('ServiceWorker.stopAllWorkers')
  await session.detach()
}
