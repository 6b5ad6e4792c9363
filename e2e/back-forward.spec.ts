// The back/forward cache: a visitor who looks at another page and comes back finds the chat as it was, at once.
// For tests, Playwright switches the cache off; here the browser is as visitors have it.

import { chromium } from '@playwright/test'
import { PAGE } from '../testing/site.ts'
import { expect, killWorker, startWorld, test } from './fixtures.ts'
import { allAcked, openTab } from './tab.ts'

/** Runs in the page. The driver loses sight of a page that comes back, so the page tells of itself, by a message. */
function tellWhenBack(): void {
  addEventListener('pageshow', ({ persisted }) => {
    globalThis.chat.on('message', ({ text }) => {
      if (text === 'meanwhile') void globalThis.chat.send(`back, kept: ${persisted}`)
    })
  })
}

for (const isKilled of [false, true]) {
  const what = isKilled ? ' and a worker that died meanwhile' : ''
  test(`[LK18] a page that comes back from the cache${what} hears what it missed, and sends`, async ({
    launchOptions,
  }) => {
    const world = await startWorld({})
    const browser = await chromium.launch({ ...launchOptions, ignoreDefaultArgs: ['--disable-back-forward-cache'] })
    try {
      // A page that must not be stored at all is not kept either.
      const headers = { 'cache-control': 'no-cache' }
      world.site.overrides.set('/shop.html', { status: 200, type: 'text/html', body: PAGE, headers })
      const context = await browser.newContext()
      const other = await openTab(await context.newPage(), world.site.url, 'demo')
      const tab = await openTab(await context.newPage(), `${world.site.url}/shop.html`, 'demo')
      await tab.send('before')
      await allAcked(tab, 1)
      await tab.page.evaluate(tellWhenBack)
      await tab.page.goto(`${world.site.url}/elsewhere.html`)
      await other.until(({ tabs }) => tabs === 1)
      if (isKilled) await killWorker(context, other.page)
      await other.send('meanwhile')
      await allAcked(other, 2)
      await tab.page.evaluate(() => history.back()).catch(() => {})
      await allAcked(other, 3)
      expect(await other.texts()).toEqual(['before', 'meanwhile', 'back, kept: true'])
    } finally {
      await browser.close()
      await world.close()
    }
  })
}
