import { expect, test } from './fixtures.ts'
import { killBrowser } from './kill-browser.ts'
import { withProfile } from './profile.ts'
import { everythingIn, filesWith } from './residue.ts'
import { draft, openTab, reconnect, type Tab } from './tab.ts'

const SAID = 'said-by-marker-4721'
const DRAFTED = 'drafted-by-marker-4722'
const ATTRIBUTE = 'attribute-of-marker-4723'
const WORDS = [SAID, DRAFTED, ATTRIBUTE]
const GRACE_MS = 1_500
const DEVICE = { deployment: { sharedDevice: { graceMs: GRACE_MS, idleMs: 600_000 } } }

async function visit(tab: Tab): Promise<void> {
  await tab.until((state) => state.phase === 'live' && state.shared === true)
  await tab.page.evaluate(
    async ([said, attribute]) => {
      await (await globalThis.chat.send(said)).settled
      await globalThis.chat.context.set({ marker: attribute })
    },
    [SAID, ATTRIBUTE] as const,
  )
  await draft(tab.page, DRAFTED)
}

/** The service hears of it once nothing of the visitor is in the database. */
const REVOKE = /^POST .*\/auth\/revoke/

test.describe('a shared device', () => {
  test.use({ site: DEVICE })

  test('[SD9] nothing survives the last tab, and the next one begins as somebody new', async ({ world }) => {
    const first = await world.tab()
    await visit(first)
    const second = await world.tab()
    await first.close()
    // The one that stays keeps everything.
    await second.until((state) => state.tabs === 1)
    expect(await second.texts()).toContain(SAID)
    // A page of the site without a chat is no tab of it.
    await world.tab({ isBare: true })
    await second.close()
    await world.proxy.seen(REVOKE, 1)
    const next = await world.tab()
    await next.until((state) => state.phase === 'live')
    expect(await next.texts()).toEqual([])
    const everything = await everythingIn(next.page)
    for (const word of WORDS) expect(everything).not.toContain(word)
  })

  test('[SD9] reloads keep everything, also of a worker that is killed', async ({ world }) => {
    const tab = await world.tab()
    await visit(tab)
    for (let reload = 0; reload < 3; reload++) {
      if (reload > 0) await world.killWorker(tab.page)
      await tab.page.reload()
      await reconnect(tab)
      await tab.until((state) => state.phase === 'live')
      expect(await tab.texts()).toContain(SAID)
      expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe(DRAFTED)
    }
  })
})

test.describe('a shared device left alone', () => {
  test.use({ site: { deployment: { sharedDevice: { idleMs: 3_000 } } } })

  test('[SD9] the idle time ends with a wipe that the open tabs show', async ({ world }) => {
    const tab = await world.tab()
    await visit(tab)
    const other = await world.tab()
    for (const one of [tab, other]) await one.until((state) => state.phase === 'signed-out')
    for (const one of [tab, other]) {
      const everything = await everythingIn(one.page)
      for (const word of WORDS) expect(everything).not.toContain(word)
    }
  })
})

test('[SD9] a browser that is killed shows nobody when it is started again', async () => {
  test.setTimeout(90_000)
  await withProfile({ site: DEVICE }, async ({ world, launch, profile }) => {
    const context = await launch()
    await visit(await openTab(await context.newPage(), world.site.url, 'demo'))
    await killBrowser(context)
    const again = await launch()
    const tab = await openTab(await again.newPage(), world.site.url)
    await tab.page.evaluate(async () => {
      globalThis.chat = await globalThis.holdfast.connect({
        worker: '/holdfast/sw.js?config=/holdfast/config.json',
        deployment: 'demo',
      })
      Object.assign(globalThis, { first: JSON.stringify(globalThis.chat.state) })
    })
    const first = await tab.page.evaluate(() => (globalThis as unknown as { first: string }).first)
    const everything = first + (await everythingIn(tab.page))
    for (const word of WORDS) expect(everything).not.toContain(word)
    await again.close()
    expect(filesWith(profile, WORDS)).toEqual([])
  })
})
