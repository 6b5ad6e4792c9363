// What is left of a visitor who has signed out: in every tab, in every store, in the files of the browser. Nothing.

import type { BrowserContext, Page } from '@playwright/test'
import { expect, test } from './fixtures.ts'
import { type OnDisk, withProfile } from './profile.ts'
import { everythingIn, filesWith } from './residue.ts'
import { draft, openTab, reconnect, type Tab } from './tab.ts'

const POST = /^POST .*\/messages$/
const SAID = 'said-by-marker-4711'
const UNSENT = 'unsent-by-marker-4712'
const DRAFTED = 'drafted-by-marker-4713'
const ATTRIBUTE = 'attribute-of-marker-4714'
const HEARD = 'heard-by-marker-4715'

type World = OnDisk['world']

/** A visitor with something of every kind, in a browser that keeps its profile on the disk. */
async function visited(world: World, context: BrowserContext): Promise<Tab> {
  const tab = await openTab(await context.newPage(), world.site.url, 'demo')
  await tab.until((state) => state.phase === 'live')
  await tab.page.evaluate(
    async ([said, attribute]) => {
      await (await globalThis.chat.send(said)).settled
      await globalThis.chat.context.set({ marker: attribute })
    },
    [SAID, ATTRIBUTE] as const,
  )
  await world.service.say(await world.conversationId(), HEARD)
  await tab.until((state, text) => state.messages.some((message) => message.text === text), HEARD)
  return tab
}

const HELD = /^GET \/held$/

/** A page that runs no line, as a frozen tab does: it waits for an answer that does not come. Resolves with its release. */
async function frozen(world: World, page: Page): Promise<() => Promise<void>> {
  let release = () => {}
  const until = new Promise<void>((resolve) => {
    release = resolve
  })
  world.proxy.rule({ match: HELD, action: { type: 'hold', until } })
  const waiting = page.evaluate((url) => {
    const request = new XMLHttpRequest()
    request.open('GET', url, false)
    try {
      request.send()
    } catch {
      // The answer is of another origin, and says nothing anyway.
    }
  }, `${world.proxy.url}/held`)
  await world.proxy.seen(HELD, 1)
  return async () => {
    release()
    await waiting
  }
}

for (const vault of ['broker', 'persistent'] as const) {
  test(`[WI11] ${vault}: three tabs, one sending, one frozen, one idle: nothing is left of who signs out in one of them`, async () => {
    test.setTimeout(120_000)
    await withProfile({ site: { vault } }, async ({ world, launch, profile }) => {
      const context = await launch()
      const idle = await visited(world, context)
      const sending = await openTab(await context.newPage(), world.site.url, 'demo')
      const asleep = await openTab(await context.newPage(), world.site.url, 'demo')
      for (const tab of [idle, sending, asleep]) await draft(tab.page, DRAFTED)
      let release = () => {}
      const until = new Promise<void>((resolve) => {
        release = resolve
      })
      world.proxy.rule({ match: POST, action: { type: 'hold', until } })
      await sending.send(UNSENT)
      await world.proxy.seen(POST, 2)
      const words = [SAID, UNSENT, DRAFTED, ATTRIBUTE, HEARD, await world.conversationId()]
      const { session, epoch } = await idle.state()
      words.push(session?.id ?? '?', epoch, ...world.proxy.tokens())
      expect(words.length).toBeGreaterThan(7)
      // Chromium writes what a tab stores to its disk some seconds later, and nothing takes it back from there.
      const isKept = () =>
        test.info().project.use.browserName === 'firefox' || filesWith(profile, ['"box":[']).length > 0
      await expect.poll(isKept, { timeout: 60_000 }).toBe(true)
      const wake = await frozen(world, asleep.page)
      expect(await idle.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))).toEqual({ verified: true })
      await sending.until((state) => state.phase === 'signed-out')
      // The answer to what was on the wire comes when nobody awaits it.
      release()
      await wake()
      await asleep.until((state) => state.phase === 'signed-out')
      for (const tab of [idle, sending, asleep]) {
        const rest = await everythingIn(tab.page)
        for (const word of words) expect(rest).not.toContain(word)
      }
      await context.close()
      expect(filesWith(profile, words)).toEqual([])
      const again = await openTab(await (await launch()).newPage(), world.site.url, 'demo')
      await again.until((state) => state.phase === 'live')
      const everything = await everythingIn(again.page)
      for (const word of words) expect(everything).not.toContain(word)
    })
  })
}

test('[WI12] a worker killed at any moment of a logout leaves nothing to whoever comes next', async ({
  world,
  context,
}) => {
  test.setTimeout(150_000)
  const page = await context.newPage()
  // So many events after the call, each a little later in the logout than the one before.
  for (let kill = 0; kill < 12; kill++) {
    const tab = await openTab(page, world.site.url, 'demo')
    await tab.until((state) => state.phase === 'live')
    await tab.page.evaluate(
      async ([said, drafted]) => {
        await (await globalThis.chat.send(said)).settled
        globalThis.chat.draft.text = drafted
        Object.assign(globalThis, { leaving: globalThis.chat.logout({ unsent: 'discard' }) })
      },
      [SAID, DRAFTED] as const,
    )
    for (let step = 0; step < kill; step++) await tab.page.evaluate(() => 1)
    await world.killWorker(page)
    // The page repeats the call, whose answer was lost.
    expect(await page.evaluate(() => (globalThis as unknown as { leaving: Promise<unknown> }).leaving)).toEqual({
      verified: true,
    })
    await page.reload()
    await reconnect(tab)
    const everything = await everythingIn(page)
    for (const word of [SAID, DRAFTED]) expect(everything).not.toContain(word)
    await page.goto('about:blank')
  }
})
