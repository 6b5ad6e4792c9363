// A disk that is full, as only Chromium can be told: no message is held up, and nothing is lost.

import { randomBytes } from 'node:crypto'
import { expect, test, liveTab, texts } from './fixtures.ts'
import { reconnect, type Tab, allAcked } from './tab.ts'

/** The room of the origin, as a full disk leaves it. Returns the way to give it back. */
async function roomOf(tab: Tab, quotaSize: number): Promise<() => Promise<void>> {
  const session = await tab.page.context().newCDPSession(tab.page)
  const { origin } = new URL(tab.page.url())
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize })
  // It lasts as long as its session.
  return () => session.detach()
}

test('[ST43] a disk that is full holds no message up: it goes on in memory, one problem says so, and nothing is lost', async ({
  world,
}) => {
  // Chromium goes by what it knew of the room for half a minute: it is narrow from the start, for the worker's own file and
  // a few messages.
  const release = await roomOf(await world.tab({ isBare: true }), 400_000)
  const tabs = [await liveTab(world), await liveTab(world)] as const
  const [tab] = tabs
  await tab.page.evaluate(async () => (await globalThis.chat.send('before')).settled)
  expect((await tab.state()).storage).toBe('durable')
  world.proxy.offline(true)
  // What repeats itself takes no room.
  const said = Array.from({ length: 40 }, () => randomBytes(2_000).toString('hex'))
  for (const [at, text] of said.entries())
    await tabs[at % 2]?.page.evaluate(
      async ([one, more]) => void (await globalThis.chat.send({ text: one, metadata: { more } })),
      [text, randomBytes(4_000).toString('hex')] as const,
    )
  await tab.page.waitForFunction(() => globalThis.problems.some(({ code }) => code === 'STORE_FULL'))
  for (const one of tabs) await one.until((state) => state.storage === 'memory')
  world.proxy.offline(false)
  for (const one of tabs) await allAcked(one, 41)
  expect(await texts(world)).toEqual(['before', ...said])
  for (const { page } of tabs)
    expect(await page.evaluate(() => globalThis.problems.filter(({ code }) => code === 'STORE_FULL').length)).toBe(1)
  // What was on the disk when it was full is known by its key when the next worker sends it again.
  await release()
  await world.killWorker(tab.page)
  await tab.page.reload()
  await reconnect(tab)
  await tab.until((state) => state.storage === 'durable' && state.phase === 'live')
  await allAcked(tab, 41)
  expect(await texts(world)).toHaveLength(41)
})
