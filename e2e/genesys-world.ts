// A browser, a shop and an emulated Genesys deployment: what the tests of that platform share.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Page } from '@playwright/test'
import { type Genesys, startGenesys } from '../testing/genesys.ts'
import { type Site, startSite } from '../testing/site.ts'
import { DIST, test as base } from './fixtures.ts'
import { openTab, type Tab } from './tab.ts'

/** A page that connects by itself, as a shop's pages do. */
export const CONNECTING = `<!doctype html><html lang="en"><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,">
<script type="module">import * as holdfast from '/holdfast/holdfast.js'; globalThis.holdfast = holdfast
globalThis.chat = await holdfast.connect({ worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' })
</script>`

export interface GenesysWorld {
  readonly genesys: Genesys
  readonly site: Site
  tab(): Promise<Tab>
  killWorker(page: Page): Promise<void>
}

export const test = base.extend<{ shop: GenesysWorld }>({
  shop: async ({ context }, use) => {
    const genesys = await startGenesys()
    const site = await startSite({ dist: DIST, serviceUrl: '' })
    const platform = { type: 'genesys', domain: 'example', deploymentId: genesys.deploymentId }
    const config = { deployments: { demo: { platform: { ...platform, endpoints: genesys.endpoints } } } }
    const file = (type: string, body: string) => ({ status: 200, type, body })
    site.overrides.set('/holdfast/config.json', file('application/json', JSON.stringify(config)))
    site.overrides.set(
      '/holdfast/sw.js',
      file('text/javascript', readFileSync(join(DIST, 'holdfast-sw-genesys.js'), 'utf8')),
    )
    await use({
      genesys,
      site,
      tab: async () => openTab(await context.newPage(), site.url, 'demo'),
      killWorker: (page) => killWorker(context, page),
    })
    await Promise.all(context.pages().map((page) => page.close()))
    await site.close()
    await genesys.close()
  },
})

async function killWorker(context: BrowserContext, page: Page): Promise<void> {
  const session = await context.newCDPSession(page)
  await session.send('ServiceWorker.enable')
  await session.send('ServiceWorker.stopAllWorkers')
  await session.detach()
}

export async function liveTab(shop: GenesysWorld): Promise<Tab> {
  const tab = await shop.tab()
  await tab.until((state) => state.phase === 'live')
  return tab
}

export const sessionOf = ({ service }: Genesys) => {
  const [session] = service.sessions.values()
  if (session === undefined) throw new Error('There is no session.')
  return session
}
export const textsOf = (genesys: Genesys) =>
  sessionOf(genesys).log.flatMap(({ direction, text }) => (direction === 'Inbound' && text ? [text] : []))
