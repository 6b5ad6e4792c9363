// New versions and many reasons to send at once: whoever takes over, and whatever rings, each message goes out once, in
// order, and no page is reloaded for it.

import type { CDPSession, Page } from '@playwright/test'
import { expect, test, type World, liveTab, texts } from './fixtures.ts'
import { connectHere, type Tab, allAcked } from './tab.ts'

const POST = /^POST .*\/messages$/

/** How often each key was posted. */
const postsByKey = (world: World): number[] => {
  const counts = new Map<string, number>()
  for (const { method, path, key } of world.proxy.exchanges)
    if (POST.test(`${method} ${path}`)) counts.set(key ?? '', (counts.get(key ?? '') ?? 0) + 1)
  return [...counts.values()]
}

/** When the page was loaded: a reload would be another time. */
const loadedAt = (tab: Tab) => tab.page.evaluate(() => performance.timeOrigin)

/** Asks for the new version, and resolves when it is in charge. */
async function update(world: World, page: Page): Promise<void> {
  world.site.version += 1
  await page.evaluate(async () => {
    const [registration] = await navigator.serviceWorker.getRegistrations()
    const former = registration?.active
    await registration?.update()
    await new Promise<void>((resolve) => {
      const look = () => former?.state === 'redundant' && resolve()
      former?.addEventListener('statechange', look)
      look()
    })
  })
}

test('[OB61] a new worker takes over while 30 messages wait and two tabs run the old page: each goes out once', async ({
  world,
}) => {
  const tabs = [await liveTab(world), await liveTab(world)] as const
  const before = await Promise.all(tabs.map(loadedAt))
  world.proxy.offline(true)
  const said = Array.from({ length: 30 }, (_, at) => `message ${at + 1}`)
  for (const [at, text] of said.entries()) await tabs[at % 2]?.send(text)
  await update(world, tabs[0].page)
  world.proxy.offline(false)
  for (const tab of tabs) await allAcked(tab, 30)
  expect(await texts(world)).toEqual(said)
  expect(postsByKey(world)).toEqual(said.map(() => 1))
  for (const tab of tabs) await tab.send('after')
  for (const tab of tabs) await allAcked(tab, 32)
  expect(await Promise.all(tabs.map(loadedAt))).toEqual(before)
  for (const tab of tabs) expect(await tab.page.evaluate(() => globalThis.problems)).toEqual([])
})

test('[OB61] a new worker in the middle of a drain: it is handed over, nothing is lost, doubled or out of order', async ({
  world,
}) => {
  const tabs = [await liveTab(world), await liveTab(world)] as const
  let release = () => {}
  const until = new Promise<void>((resolve) => {
    release = resolve
  })
  world.proxy.offline(true)
  const said = Array.from({ length: 30 }, (_, at) => `message ${at + 1}`)
  for (const [at, text] of said.entries()) await tabs[at % 2]?.send(text)
  const remove = world.proxy.rule({ match: POST, action: { type: 'hold', until }, times: 1 })
  world.proxy.offline(false)
  await world.proxy.seen(POST, 1)
  const updated = update(world, tabs[0].page)
  // The old worker has a message on the wire and the new one is there: both live at once.
  await tabs[1].page.evaluate(async () => {
    const [registration] = await navigator.serviceWorker.getRegistrations()
    while (!registration?.waiting && registration?.active?.state !== 'activating')
      await new Promise((resolve) => requestAnimationFrame(resolve))
  })
  release()
  await updated
  remove()
  for (const tab of tabs) await allAcked(tab, 30)
  expect(await texts(world)).toEqual(said)
})

/** The way to the browser's own sync events. */
async function syncOf(page: Page): Promise<{ fire(): Promise<void>; session: CDPSession }> {
  const session = await page.context().newCDPSession(page)
  const registered = new Promise<{ registrationId: string; scopeURL: string }>((resolve) => {
    session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      const ours = registrations.find(({ isDeleted }) => !isDeleted)
      if (ours) resolve(ours)
    })
  })
  await session.send('ServiceWorker.enable')
  const { registrationId, scopeURL } = await registered
  const { origin } = new URL(scopeURL)
  const event = { origin, registrationId, tag: 'holdfast', lastChance: false }
  const fire = () => session.send('ServiceWorker.dispatchSyncEvent', event).then(() => {})
  return { fire, session }
}

test('[OB62] sync event, online, visible, start-up, alarm and a forced try, all at once from three tabs: one request for each message', async ({
  world,
}) => {
  const tabs = [await liveTab(world), await liveTab(world), await liveTab(world)]
  const [first] = tabs as [Tab, ...Tab[]]
  world.proxy.offline(true)
  const said = Array.from({ length: 20 }, (_, at) => `message ${at + 1}`)
  const keys: string[] = []
  for (const [at, text] of said.entries()) keys.push((await tabs[at % 3]?.send(text)) ?? '')
  const sync = await syncOf(first.page)
  // What follows starts the worker, too.
  await world.killWorker(first.page)
  world.proxy.offline(false)
  await Promise.all([
    sync.fire(),
    ...tabs.map(({ page }) =>
      page.evaluate(async (key) => {
        for (const type of ['online', 'focus', 'pageshow']) window.dispatchEvent(new Event(type))
        for (const type of ['visibilitychange', 'resume']) document.dispatchEvent(new Event(type))
        const alarm = new BroadcastChannel('holdfast:demo')
        alarm.postMessage({ v: 1, type: 'wake-at', at: Date.now() })
        alarm.close()
        await globalThis.chat.outbox.retry(key).catch(() => {})
      }, keys.at(-1) ?? ''),
    ),
    sync.fire(),
  ])
  for (const tab of tabs) await allAcked(tab, 20)
  expect(await texts(world)).toEqual(said)
  expect(postsByKey(world)).toEqual(said.map(() => 1))
})

test('[OB63] sent with no page connected, by a sync event: the next page shows the outcome before it has a network', async ({
  world,
}) => {
  const bare = await world.tab({ isBare: true })
  const tab = await liveTab(world)
  world.proxy.offline(true)
  await tab.send('from the tunnel')
  const sync = await syncOf(bare.page)
  await tab.close()
  world.proxy.offline(false)
  // The failed tries have left a wait behind; the event is a reason to try at once.
  await world.killWorker(bare.page)
  await sync.fire()
  await world.proxy.seen(POST, 1, true)
  await expect.poll(() => texts(world)).toEqual(['from the tunnel'])
  world.proxy.offline(true)
  await bare.page.evaluate(connectHere, 'demo')
  await bare.until((state) => state.messages[0]?.status === 'acked')
  expect(postsByKey(world)).toEqual([1])
})
