// The back/forward cache: a visitor who looks at another page and comes back finds the chat as it was, at once.
// For tests, Playwright switches the cache off; here the browser is as visitors have it.

import { type BrowserContext, chromium } from '@playwright/test'
import { PAGE } from '../testing/site.ts'
import { test as base, expect, killWorker } from './fixtures.ts'
import { allAcked, openTab, type Tab } from './tab.ts'

interface Pair {
  readonly context: BrowserContext
  readonly other: Tab
  /**
   * Brings a tab back that has shown a message and gone to another page of the site. The driver loses sight of a page that
   * comes back, so the page tells the other of itself.
   */
  goBack(): Promise<void>
}

const test = base.extend<{ pair: Pair }>({
  pair: async ({ launchOptions, world }, use) => {
    const browser = await chromium.launch({ ...launchOptions, ignoreDefaultArgs: ['--disable-back-forward-cache'] })
    const context = await browser.newContext()
    // A page that must not be stored at all is not kept either.
    const headers = { 'cache-control': 'no-cache' }
    world.site.overrides.set('/shop.html', { status: 200, type: 'text/html', body: PAGE, headers })
    const other = await openTab(await context.newPage(), world.site.url, 'demo')
    const away = await openTab(await context.newPage(), `${world.site.url}/shop.html`, 'demo')
    await away.send('before')
    await allAcked(away, 1)
    await away.page.evaluate(tellWhenBack)
    await away.page.goto(`${world.site.url}/elsewhere.html`)
    await other.until(({ tabs }) => tabs === 1)
    const goBack = () => away.page.evaluate(() => history.back()).catch(() => {})
    await use({ context, other, goBack })
    await browser.close()
  },
})

/** Runs in the page: shows all texts, says by a message that it is back, and keeps what it showed from then on. */
function tellWhenBack(): void {
  globalThis.chat.subscribe(({ messages }) => {
    document.body.textContent = messages.map(({ text }) => text).join(' ')
  })
  addEventListener('pageshow', ({ persisted }) => {
    const shown = [document.body.textContent]
    globalThis.chat.subscribe(() => shown.push(document.body.textContent))
    globalThis.chat.on('signed-out', () => localStorage.setItem('shown', JSON.stringify(shown)))
    globalThis.chat.on('message', ({ text }) => {
      if (text === 'meanwhile') void globalThis.chat.send(`back, kept: ${persisted}`)
    })
  })
}

for (const isKilled of [false, true]) {
  const what = isKilled ? ' and a worker that died meanwhile' : ''
  test(`[LK18] a page that comes back from the cache${what} hears what it missed, and sends`, async ({ pair }) => {
    const { context, other, goBack } = pair
    if (isKilled) await killWorker(context, other.page)
    await other.send('meanwhile')
    await allAcked(other, 2)
    await goBack()
    await allAcked(other, 3)
    expect(await other.texts()).toEqual(['before', 'meanwhile', 'back, kept: true'])
  })
}

test('[LK20] whoever comes back to a page after a logout is not shown what the former visitor saw', async ({
  pair,
}) => {
  const { other, goBack } = pair
  await other.page.evaluate(() => globalThis.chat.logout())
  await goBack()
  await other.page.waitForFunction(() => localStorage.getItem('shown') !== null)
  const shown = await other.page.evaluate(() => localStorage.getItem('shown'))
  expect(shown).not.toContain('before')
})
