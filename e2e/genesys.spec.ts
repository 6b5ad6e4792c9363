// The prebuilt worker for Genesys Cloud Web Messaging in a real browser, against the emulator with its real limits.

import { expect } from './fixtures.ts'
import { CONNECTING, liveTab, sessionOf, test, textsOf } from './genesys-world.ts'

test('[GC20] a visitor and an agent talk; a reload shows it all, and a second tab the same', async ({ shop }) => {
  const tab = await liveTab(shop)
  await tab.send('where is my order')
  await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
  shop.genesys.service.agentSays(sessionOf(shop.genesys), 'on its way')
  await tab.until((state) => state.messages.length === 2)
  const other = await liveTab(shop)
  expect(await other.texts()).toEqual(['where is my order', 'on its way'])
  await tab.page.reload()
  expect(shop.genesys.service.connectionsMost).toBe(1)
})

test('[GC21] attributes of any tab ride along with the next message, and again after a kill', async ({ shop }) => {
  const tab = await liveTab(shop)
  await tab.page.evaluate(() => globalThis.chat.context.set({ cart_value: '12.00' }))
  await tab.send('one')
  await expect.poll(() => sessionOf(shop.genesys).attributes).toEqual({ cart_value: '12.00' })
  const before = sessionOf(shop.genesys).carried
  await tab.until((state) => state.messages.every((message) => message.status === 'acked'))
  await shop.killWorker(tab.page)
  await tab.until((state) => state.phase === 'live')
  await tab.send('two')
  await expect.poll(() => sessionOf(shop.genesys).carried).toBeGreaterThan(before)
})

test('[GC22] a conversation that the agent closes is over; a new one is begun at the visitor’s word', async ({
  shop,
}) => {
  const tab = await liveTab(shop)
  await tab.send('hello')
  await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
  shop.genesys.service.agentCloses(sessionOf(shop.genesys))
  await tab.until((state) => state.phase === 'ended')
  await tab.page.evaluate(() => globalThis.chat.startNew())
  await tab.until((state) => state.phase === 'live')
  await tab.send('again')
  await expect.poll(() => textsOf(shop.genesys)).toEqual(['again'])
})

test('[GC23] 100 messages through kills, lost acknowledgements and cuts: none lost, none doubled, no limit met', async ({
  shop,
}) => {
  test.setTimeout(240_000)
  const { genesys } = shop
  const tab = await liveTab(shop)
  const texts = Array.from({ length: 100 }, (_, index) => (index % 10 === 9 ? 'yes' : `text ${index}`))
  const startedAt = performance.now()
  await tab.page.evaluate(async (all) => {
    for (const text of all) await globalThis.chat.send(text)
  }, texts)
  const arrived = () => textsOf(genesys).length
  for (const [at, strike] of [
    [10, () => shop.killWorker(tab.page)],
    [25, () => genesys.service.fault('ack-cut')],
    [40, () => genesys.cut()],
    [55, () => genesys.service.fault('unheard-cut')],
    [70, () => shop.killWorker(tab.page)],
    [85, () => genesys.service.fault('ack-cut')],
  ] as const) {
    await expect.poll(arrived, { timeout: 120_000, intervals: [20] }).toBeGreaterThanOrEqual(at)
    await strike()
  }
  await expect.poll(arrived, { timeout: 120_000, intervals: [50] }).toBeGreaterThanOrEqual(100)
  const seconds = (performance.now() - startedAt) / 1_000
  await tab.until((state) => state.outbox.queued + state.outbox.inflight === 0)
  expect(textsOf(genesys)).toEqual(texts)
  expect(genesys.service.throttled).toEqual([])
  expect(genesys.service.evictions).toBe(0)
  // Five a second, as far as the connection has requests left, is what the limits alone take: 20 to 50 s.
  test.info().annotations.push({ type: 'figure', description: `${seconds.toFixed(1)} s for 100 messages` })
})

test('[GC24] three tabs and two reloads a second for a minute: never more than one connection', async ({ shop }) => {
  test.setTimeout(180_000)
  const { service } = shop.genesys
  const tabs = [await liveTab(shop), await liveTab(shop), await liveTab(shop)]
  const pages = tabs.map(({ page }) => page)
  shop.site.overrides.set('/', { status: 200, type: 'text/html', body: CONNECTING })
  const endsAt = performance.now() + 60_000
  let reloads = 0
  await new Promise<void>((resolve, reject) => {
    const timer = setInterval(() => {
      if (performance.now() > endsAt) {
        clearInterval(timer)
        return resolve()
      }
      reloads += 1
      void pages[reloads % 3]?.reload({ waitUntil: 'commit' }).catch(() => {})
    }, 500)
    pages[0]?.once('crash', () => reject(new Error('The page crashed.')))
  })
  expect(reloads).toBeGreaterThan(100)
  expect(service.connectionsMost).toBe(1)
  expect(service.evictions).toBe(0)
  expect(service.throttled).toEqual([])
  const last = await liveTab(shop)
  await last.send('still here')
  await expect.poll(() => textsOf(shop.genesys)).toEqual(['still here'])
})

test('[GC25] a logout clears the conversation at the platform, and the next visitor is somebody else', async ({
  shop,
}) => {
  const tab = await liveTab(shop)
  await tab.send('private')
  await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
  const [token] = [...shop.genesys.service.sessions.keys()]
  expect(await tab.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))).toMatchObject({ verified: true })
  // The visitor is gone here at once; the platform is told until it has heard it.
  await expect.poll(() => shop.genesys.service.sessions.size).toBe(0)
  const next = await liveTab(shop)
  expect(await next.texts()).toEqual([])
  expect([...shop.genesys.service.sessions.keys()]).not.toContain(token)
})
