// Files and sign-in on the Genesys platform, in a real browser with the prebuilt worker.

import { expect } from './fixtures.ts'
import { liveTab, sessionOf, test } from './genesys-world.ts'

test('[GC28] a file goes with its message, also through a kill of the worker', async ({ shop }) => {
  const { service } = shop.genesys
  const tab = await liveTab(shop)
  service.fault('upload-unsaid')
  await tab.page.evaluate(() => {
    const file = new File(['pixels'], 'receipt.png', { type: 'image/png' })
    return globalThis.chat.send({ text: 'my receipt', attachments: [file] }).then(() => undefined)
  })
  await expect.poll(() => service.isDue('upload-unsaid')).toBe(false)
  await shop.killWorker(tab.page)
  await expect.poll(() => sessionOf(shop.genesys).log.length, { timeout: 60_000 }).toBe(1)
  const attachment = { filename: 'receipt.png', mime: 'image/png', fileSize: 6 }
  expect(sessionOf(shop.genesys).log).toMatchObject([{ text: 'my receipt', content: [{ attachment }] }])
  await tab.until((state) => state.messages.length === 1 && state.messages[0]?.status === 'acked')
})

test('[GC32] a guest signs in on the open connection, stays signed in after a kill, and signs out everywhere', async ({
  shop,
}) => {
  const { service } = shop.genesys
  const tab = await liveTab(shop)
  await tab.send('as a guest')
  await expect.poll(() => sessionOf(shop.genesys).log.length).toBe(1)
  const authCode = service.authorize('ada')
  await tab.page.evaluate(async (code) => {
    const path = '/holdfast/tokens.js'
    const { supplyTokens } = await import(path)
    supplyTokens(globalThis.chat, { auth: async () => ({ authCode: code, redirectUri: 'https://shop.example' }) })
  }, authCode)
  await tab.until((state) => state.session?.authenticated === true)
  expect(sessionOf(shop.genesys).user).toBe('ada')
  await shop.killWorker(tab.page)
  service.expireAuth()
  await tab.until((state) => state.phase === 'live' && state.session?.authenticated === true)
  await tab.send('signed in')
  await expect.poll(() => sessionOf(shop.genesys).log.length).toBe(3)
  expect(service.connectionsMost).toBe(1)
  expect(service.throttled).toEqual([])
  await tab.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))
  await expect.poll(() => service.isSignedIn('ada')).toBe(false)
})
