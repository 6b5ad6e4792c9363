// What is left of a visitor whose browser was killed in a logout, when it is started again. Nothing.

import { expect, test } from './fixtures.ts'
import { killBrowser } from './kill-browser.ts'
import { withProfile } from './profile.ts'
import { everythingIn, filesWith } from './residue.ts'
import { openTab } from './tab.ts'

const SAID = 'said-by-marker-4711'

test('[WI12] a browser killed in a logout shows and keeps nothing of the visitor when it is started again', async () => {
  test.setTimeout(150_000)
  await withProfile({ site: { vault: 'broker' } }, async ({ world, launch, profile }) => {
    for (let kill = 0; kill < 4; kill++) {
      const context = await launch()
      const page = await context.newPage()
      const tab = await openTab(page, world.site.url, 'demo')
      await tab.until((state) => state.phase === 'live')
      expect(await tab.texts()).toEqual([])
      await page.evaluate(async (said) => {
        await (await globalThis.chat.send(said)).settled
        void globalThis.chat.logout({ unsent: 'discard' }).catch(() => {})
      }, SAID)
      for (let step = 0; step < kill * 3; step++) await page.evaluate(() => 1)
      await tab.until((state) => state.phase === 'signed-out')
      await killBrowser(context)
    }
    const context = await launch()
    const tab = await openTab(await context.newPage(), world.site.url, 'demo')
    await tab.until((state) => state.phase === 'live')
    expect(await everythingIn(tab.page)).not.toContain(SAID)
    await context.close()
    expect(filesWith(profile, [SAID])).toEqual([])
  })
})
