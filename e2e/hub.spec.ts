// Sub-domains of one site with one chat: through the hub's frame, and where a browser keeps their storage apart, through the
// session cookie on the parent domain. All names under localhost lead to this machine, and those under app.localhost are one
// site, as browsers see it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, test as base } from '@playwright/test'
import { type Site, startSite } from '../testing/site.ts'
import { failureOf } from './failure.ts'
import { DIST, expect, startWorld } from './fixtures.ts'
import { draft, openTab, type Tab } from './tab.ts'

interface Family {
  readonly world: Awaited<ReturnType<typeof startWorld>>
  readonly site: Site
  at(host: string): string
  readonly hub: string
}

/** One server under many names; which of them the hub lets in is said by the test. */
async function startFamily(allowed: readonly string[], serviceConfig = {}, deployment = {}): Promise<Family> {
  const world = await startWorld({ serviceConfig })
  // Of the same site as the hub, or the cookie would be another site's.
  const site = await startSite({ dist: DIST, serviceUrl: `http://api.app.localhost:${world.proxy.port}`, deployment })
  const at = (host: string) => `http://${host}.localhost:${site.port}`
  const page = readFileSync(join(DIST, 'hub.html'), 'utf8')
  const body = page.replace('data-origins=""', `data-origins="${allowed.map(at).join(' ')}"`)
  site.overrides.set('/holdfast/hub.html', { status: 200, type: 'text/html', body })
  return { world, site, at, hub: `${at('hub.app')}/holdfast/hub.html` }
}

interface Options {
  family: Family
  allowed: readonly string[]
  serviceConfig: Record<string, unknown>
  /** What the worker's configuration says beside the platform. */
  deployment: Record<string, unknown>
}

const test = base.extend<Options>({
  deployment: [{}, { option: true }],
  allowed: [['a.app', 'b.app'], { option: true }],
  serviceConfig: [{}, { option: true }],
  family: async ({ context, allowed, serviceConfig, deployment }, use) => {
    const family = await startFamily(allowed, serviceConfig, deployment)
    await use(family)
    await Promise.all(context.pages().map((page) => page.close()))
    await family.site.close()
    await family.world.close()
  },
})

/** Runs in the page: the page's own library of the hub, and a chat through it. */
async function throughHub([library, hub]: readonly [string, string]): Promise<void> {
  const { connect } = (await import(library)) as typeof import('../src/hub.ts')
  globalThis.chat = await connect({ hub, deployment: 'demo' })
}

async function behindHub(context: BrowserContext, family: Family, host: string): Promise<Tab> {
  const tab = await openTab(await context.newPage(), family.at(host))
  await tab.page.evaluate(throughHub, ['/holdfast/hub.js', family.hub] as const)
  return tab
}

const live = (tab: Tab) => tab.until((state) => state.phase === 'live')
const shows = (tab: Tab, text: string) =>
  tab.until((state, wanted) => state.messages.some((message) => message.text === wanted), text)
const settle = (tab: Tab, text: string) =>
  tab.page.evaluate(async (said) => (await (await globalThis.chat.send(said)).settled).status, text)

test('[HB9] two sub-domains have one conversation through their hub, and see each other at once', async ({
  context,
  family,
}) => {
  const a = await behindHub(context, family, 'a.app')
  await live(a)
  expect(await settle(a, 'from a')).toBe('acked')
  const b = await behindHub(context, family, 'b.app')
  // What the hub has kept is there with the first state.
  expect(await b.texts()).toEqual(['from a'])
  await live(b)
  const [first, second] = [await a.state(), await b.state()]
  expect(second.session?.id).toBe(first.session?.id)
  expect(second.conversation?.id).toBe(first.conversation?.id)
  expect([first.host, second.host]).toEqual(['service-worker', 'service-worker'])
  await b.page.evaluate(() => globalThis.chat.context.set({ cart_value: '12.00' }))
  await a.until((state) => state.context['cart_value'] === '12.00' && state.tabs === 2)
  await b.send('from b')
  await shows(a, 'from b')
  await family.world.service.say(await family.world.conversationId(), 'to both')
  await Promise.all([shows(a, 'to both'), shows(b, 'to both')])
  expect((await family.world.record()).map(({ text }) => text)).toEqual(['from a', 'from b', 'to both'])
})

test('[HB9] a logout on one sub-domain is a logout on all, drafts included', async ({ context, family }) => {
  const [a, b] = [await behindHub(context, family, 'a.app'), await behindHub(context, family, 'b.app')]
  await Promise.all([live(a), live(b)])
  await settle(a, 'secret of the former')
  await shows(b, 'secret of the former')
  await draft(b.page, 'drafted by the former')
  expect(await a.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))).toEqual({ verified: true })
  await b.until((state) => state.phase === 'signed-out' && state.messages.length === 0)
  expect(await b.page.evaluate(() => [globalThis.chat.draft.text, JSON.stringify({ ...sessionStorage })])).toEqual([
    '',
    expect.not.stringContaining('former'),
  ])
})

test('[HB5, HB6] a tab that is reloaded, and a frame that is torn out, lose nothing', async ({ context, family }) => {
  const [a, b] = [await behindHub(context, family, 'a.app'), await behindHub(context, family, 'b.app')]
  await Promise.all([live(a), live(b)])
  family.world.proxy.offline(true)
  await a.send('sent offline')
  await a.page.reload()
  await a.page.waitForFunction(() => globalThis.holdfast !== undefined)
  await a.page.evaluate(throughHub, ['/holdfast/hub.js', family.hub] as const)
  expect(await a.texts()).toEqual(['sent offline'])
  await a.until((state) => state.tabs === 2)
  await b.page.evaluate(() => document.querySelector('iframe')?.remove())
  await b.send('sent after the frame was torn out')
  family.world.proxy.offline(false)
  await Promise.all([live(a), live(b)])
  await b.until((state) => state.outbox.queued + state.outbox.inflight === 0 && state.messages.length === 2)
  expect((await family.world.record()).map(({ text }) => text)).toEqual([
    'sent offline',
    'sent after the frame was torn out',
  ])
  await a.page.evaluate(() => globalThis.chat.disconnect())
  await a.page.waitForFunction(() => document.querySelector('iframe') === null)
  await b.until((state) => state.tabs === 1)
})

test('[HB12] a script of the page finds nothing of the hub: no store, no worker, no window', async ({
  context,
  family,
}) => {
  const a = await behindHub(context, family, 'a.app')
  await live(a)
  await settle(a, 'kept behind the hub')
  const found = await a.page.evaluate(async () => {
    const frame = document.querySelector('iframe') as HTMLIFrameElement
    const tried = []
    for (const reach of ['document', 'indexedDB', 'navigator', 'caches'] as const) {
      try {
        tried.push(String((frame.contentWindow as Window)[reach]))
      } catch (error) {
        tried.push((error as Error).name)
      }
    }
    return {
      tried,
      databases: await indexedDB.databases(),
      caches: await caches.keys(),
      workers: (await navigator.serviceWorker.getRegistrations()).length,
      locks: (await navigator.locks.query()).held,
      cookie: document.cookie,
    }
  })
  expect(found).toEqual({
    tried: Array(4).fill('SecurityError'),
    databases: [],
    caches: [],
    workers: 0,
    locks: [],
    cookie: '',
  })
})

test('[HB10] a page of another site that embeds the hub is refused, and the hub has started nothing for it', async ({
  page,
  family,
}) => {
  await openTab(page, family.at('x.other'))
  const refused = await failureOf(
    page,
    async ([library, hub]: [string, string]) => (await import(library)).connect({ hub, deployment: 'demo' }),
    ['/holdfast/hub.js', family.hub],
  )
  expect(refused).toMatchObject({ name: 'HoldfastError', code: 'HUB_REFUSED' })
  expect(await family.world.service.conversations()).toEqual([])
  await page.goto(family.hub)
  expect(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length)).toBe(0)
})

test('[HB3] a hub that leads elsewhere is told nothing: the greeting reaches its exact origin or nobody', async ({
  page,
  family,
}) => {
  const body = '<script>onmessage = ({ data }) => (document.title += data === "last" ? "last" : "HEARD")</script>'
  family.site.overrides.set('/elsewhere', { status: 200, type: 'text/html', body })
  const headers = { location: `${family.at('b.app')}/elsewhere` }
  family.site.overrides.set('/holdfast/hub.html', { status: 302, type: 'text/html', body: '', headers })
  await openTab(page, family.at('a.app'))
  await page.evaluate(
    ([library, hub]) => {
      // Behind the greeting, which is posted as soon as the frame has been loaded.
      new MutationObserver(([added]) => {
        const frame = added?.addedNodes[0] as HTMLIFrameElement
        frame.addEventListener('load', () => frame.contentWindow?.postMessage('last', '*'))
      }).observe(document.documentElement, { childList: true })
      void import(library as string).then(({ connect }) => connect({ hub, deployment: 'demo' })).catch(() => {})
    },
    ['/holdfast/hub.js', family.hub],
  )
  const elsewhere = () => page.frames().find((one) => one.url().endsWith('/elsewhere'))
  await expect.poll(() => elsewhere()?.title()).toBe('last')
})

test.describe('a shared device', () => {
  test.use({ deployment: { sharedDevice: { graceMs: 1_500, idleMs: 600_000 } } })

  test('[HB13] a tab behind the hub is there until its page is gone, and then nothing is left', async ({
    context,
    family,
  }) => {
    const a = await behindHub(context, family, 'a.app')
    await a.until((state) => state.phase === 'live' && state.shared === true)
    await settle(a, 'while the page is open')
    // Where the worker looks; the page's own lock is of another origin.
    const held = await a.page.frames()[1]?.evaluate(async () => {
      const locks = await navigator.locks.query()
      return locks.held?.filter(({ name }) => name?.startsWith('holdfast:tab:')).length
    })
    expect(held).toBe(1)
    await a.close()
    await family.world.proxy.seen(/^POST .*\/auth\/revoke/, 1)
    const b = await behindHub(context, family, 'b.app')
    await live(b)
    expect(await b.texts()).toEqual([])
  })
})

test.describe('a browser that keeps the storage of each sub-domain apart', () => {
  test.use({ serviceConfig: { cookie: { domain: 'app.localhost' } } })

  /** With a worker and a storage of its own on each sub-domain, which is what such a browser makes of a hub's frame. */
  const alone = async (context: BrowserContext, family: Family, host: string): Promise<Tab> => {
    const tab = await openTab(await context.newPage(), family.at(host), 'demo')
    await live(tab)
    return tab
  }

  test('[HB11] the cookie on the parent domain leads to the same conversation and what was said in it', async ({
    context,
    family,
  }) => {
    const a = await alone(context, family, 'a.app')
    await settle(a, 'from a')
    await family.world.service.say(await family.world.conversationId(), 'to a')
    await shows(a, 'to a')
    const b = await alone(context, family, 'b.app')
    await shows(b, 'to a')
    expect(await b.texts()).toEqual(['from a', 'to a'])
    const [first, second] = [await a.state(), await b.state()]
    expect(second.session?.id).toBe(first.session?.id)
    expect(second.conversation?.id).toBe(first.conversation?.id)
    expect(await settle(b, 'from b')).toBe('acked')
    await shows(a, 'from b')
    expect((await family.world.record()).map(({ text }) => text)).toEqual(['from a', 'to a', 'from b'])
    const readable = await b.page.evaluate(() => document.cookie)
    expect(readable).toBe('')
  })
})

/** The browser as visitors have it: for tests, Playwright switches the partitions of storage off. */
async function partitioned(launchOptions: object): Promise<Browser> {
  const probe = await chromium.launchServer(launchOptions)
  const { spawnargs } = probe.process()
  await probe.close()
  const off = spawnargs.find((one) => one.startsWith('--disable-features=') && one.includes('ThirdPartyStorage'))
  const { args = [], ...rest } = launchOptions as { args?: string[] }
  if (off === undefined) return chromium.launch(launchOptions)
  const without = off.replace(/,?ThirdPartyStoragePartitioning/, '')
  return chromium.launch({ ...rest, ignoreDefaultArgs: [off], args: [...args, without] })
}

test.describe('a hub whose list is wrong', () => {
  test.use({ allowed: ['a.app', 'x.other'] })

  test('[HB10] gives a page of another site a storage of its own, no cookie, and nothing of the visitor', async ({
    family,
    browserName,
    context: given,
    launchOptions,
  }) => {
    const browser = browserName === 'chromium' ? await partitioned(launchOptions) : undefined
    const context = (await browser?.newContext()) ?? given
    const a = await behindHub(context, family, 'a.app')
    await live(a)
    await settle(a, 'for the site only')
    const x: Tab = await behindHub(context, family, 'x.other')
    await live(x)
    const [own, foreign] = [await a.state(), await x.state()]
    expect(foreign.session?.id).not.toBe(own.session?.id)
    expect(foreign.conversation?.id).not.toBe(own.conversation?.id)
    expect(JSON.stringify(foreign)).not.toContain('for the site only')
    expect([foreign.messages, foreign.tabs, own.tabs]).toEqual([[], 1, 1])
    await browser?.close()
  })
})
