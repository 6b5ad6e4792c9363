import { expect, test, liveTab, texts } from './fixtures.ts'
import { killBrowser } from './kill-browser.ts'
import { withProfile } from './profile.ts'
import { openTab } from './tab.ts'

const POST = /^POST .*\/messages$/

test('[OB24] a tab closed right after send resolved loses nothing', async ({ world }) => {
  const tab = await liveTab(world)
  const other = await world.tab()
  await tab.page.evaluate(async () => {
    await globalThis.chat.send('the last word')
    window.close()
  })
  await tab.close()
  await other.until((state) => state.messages.some((message) => message.status === 'acked'))
  expect(await texts(world)).toEqual(['the last word'])
})

test('[OB28] sent offline, the tab closed, online again in another tab: the messages arrive in order', async ({
  world,
}) => {
  const tab = await liveTab(world)
  world.proxy.offline(true)
  for (const text of ['one', 'two', 'three']) await tab.send(text)
  await tab.close()
  world.proxy.offline(false)
  const other = await world.tab()
  await other.until((state) => state.messages.filter((message) => message.status === 'acked').length === 3)
  expect(await texts(world)).toEqual(['one', 'two', 'three'])
  expect(await other.texts()).toEqual(['one', 'two', 'three'])
})

test.describe('a worker killed in a drain', () => {
  test('[LK3] before the commit: the pending send is repeated and resolves', async ({ world }) => {
    const tab = await liveTab(world)
    await tab.page.evaluate(() => {
      Object.assign(globalThis, { pending: globalThis.chat.send('early') })
    })
    await world.killWorker(tab.page)
    await tab.page.evaluate(() => (globalThis as unknown as { pending: Promise<unknown> }).pending.then(() => true))
    await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
    expect(await texts(world)).toEqual(['early'])
  })

  test('[OB30] after the commit, before the request: it is sent by the next worker', async ({ world }) => {
    const tab = await liveTab(world)
    world.proxy.offline(true)
    await tab.send('kept')
    await world.killWorker(tab.page)
    world.proxy.offline(false)
    await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
    expect(await texts(world)).toEqual(['kept'])
  })

  test('[OB30] after the request was sent: the same key goes out again, the message is there once', async ({
    world,
  }) => {
    const tab = await liveTab(world)
    let release = () => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    world.proxy.rule({ match: POST, times: 1, action: { type: 'hold', until } })
    const key = await tab.send('on the wire')
    await world.proxy.seen(POST)
    await world.killWorker(tab.page)
    release()
    await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
    expect(await texts(world)).toEqual(['on the wire'])
    const keys = new Set(
      world.proxy.exchanges.filter((one) => POST.test(`${one.method} ${one.path}`)).map((one) => one.key),
    )
    expect([...keys]).toEqual([key])
  })

  test('[OB30] after the service committed, the answer lost: replayed, not repeated', async ({ world }) => {
    const tab = await liveTab(world)
    world.proxy.rule({ match: POST, times: 1, action: { type: 'swallow-answer' } })
    // Without the echo the lost answer is all there is.
    world.proxy.halfOpen(true)
    await tab.send('lost answer')
    await world.proxy.seen(POST, 1, true)
    await world.killWorker(tab.page)
    world.proxy.halfOpen(false)
    await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
    expect(await texts(world)).toEqual(['lost answer'])
    expect(await tab.texts()).toEqual(['lost answer'])
  })

  test('[OB26] before the echo: one message in the transcript either way', async ({ world }) => {
    const tab = await liveTab(world)
    world.proxy.halfOpen(true)
    await tab.send('no echo yet')
    await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
    await world.killWorker(tab.page)
    world.proxy.halfOpen(false)
    await world.service.say(await world.conversationId(), 'an answer')
    await tab.until((state) => state.messages.length === 2)
    expect(await tab.texts()).toEqual(['no echo yet', 'an answer'])
  })
})

test('[OB44] twenty kills during a drain of a hundred: none lost, none twice, in order', async ({ world }) => {
  const tab = await liveTab(world)
  world.proxy.offline(true)
  const all = Array.from({ length: 100 }, (_, index) => `message ${index}`)
  await tab.page.evaluate(async (list) => {
    for (const text of list) await globalThis.chat.send(text)
  }, all)
  world.proxy.offline(false)
  for (let kill = 1; kill <= 20; kill++) {
    await world.proxy.seen(POST, kill * 4)
    await world.killWorker(tab.page)
  }
  await tab.until((state) => state.outbox.queued + state.outbox.inflight === 0)
  expect(await texts(world)).toEqual(all)
})

test('[OB44] the browser killed after send resolved: relaunched on the same profile it sends', async () => {
  await withProfile({ site: { timings: {} } }, async ({ world, launch }) => {
    const first = await launch()
    const tab = await openTab(await first.newPage(), world.site.url, 'demo')
    await tab.until((state) => state.phase === 'live')
    world.proxy.offline(true)
    for (const text of ['one', 'two']) await tab.send(text)
    await killBrowser(first)
    world.proxy.offline(false)
    const second = await launch()
    const again = await openTab(await second.newPage(), world.site.url, 'demo')
    expect(await again.texts()).toEqual(['one', 'two'])
    await again.until((state) => state.messages.every((message) => message.status === 'acked'))
    expect(await texts(world)).toEqual(['one', 'two'])
  })
})
