// A browser that keeps the storage of each sub-domain apart, also in a frame: WebKitGTK. One chat all the same, by the
// session cookie on the parent domain.

import { startSite } from '../testing/site.ts'
import { DIST, expect, startWorld, test } from './fixtures.ts'
import { connectHere } from './tab.ts'
import { type GtkPage, withWebKitGtk } from './webkit-gtk.ts'

const stateIn = (page: GtkPage) => page.evaluate(() => globalThis.chat.state)

async function live(page: GtkPage, url: string): Promise<void> {
  await page.goto(url)
  await expect.poll(() => page.evaluate(() => globalThis.holdfast !== undefined)).toBe(true)
  await page.evaluate(connectHere, 'demo')
  await expect.poll(async () => (await stateIn(page)).phase, { timeout: 30_000 }).toBe('live')
}

test('[HB11] in WebKitGTK the cookie on the parent domain leads to the same conversation and what was said in it', async () => {
  test.setTimeout(120_000)
  const world = await startWorld({ serviceConfig: { cookie: { domain: 'app.localhost' } } })
  // The service answers below each sub-domain's own name, so that no cookie is anybody else's.
  const serviceAt = (host: string) => `http://${host}.app.localhost:${world.proxy.port}`
  const sites = await Promise.all(['a', 'b'].map((host) => startSite({ dist: DIST, serviceUrl: serviceAt(host) })))
  const [a = '', b = ''] = sites.map(({ port }, index) => `http://${'ab'[index]}.app.localhost:${port}`)
  try {
    await withWebKitGtk(async (page) => {
      await live(page, a)
      await page.evaluate(async () => (await (await globalThis.chat.send('from a')).settled).status)
      await world.service.say(await world.conversationId(), 'to a')
      await expect.poll(async () => (await stateIn(page)).messages.length).toBe(2)
      const first = await stateIn(page)
      await live(page, b)
      await expect.poll(async () => (await stateIn(page)).messages.map(({ text }) => text)).toEqual(['from a', 'to a'])
      const second = await stateIn(page)
      expect(second.session?.id).toBe(first.session?.id)
      expect(second.conversation?.id).toBe(first.conversation?.id)
      // Another storage: what is shown came from the service.
      expect(second.epoch).not.toBe(first.epoch)
      expect(await page.evaluate(() => document.cookie)).toBe('')
    })
  } finally {
    for (const site of sites) await site.close()
    await world.close()
  }
})
