// Browsers that have no service worker for us: the same engine in the page, with the same API. One tab does the work for
// all, and when it goes another takes over.

import { failureOf } from './failure.ts'
import { expect, QUICK, test as base, texts } from './fixtures.ts'
import { reconnect, type Tab } from './tab.ts'

const test = base.extend({
  context: async ({ context }, use) => {
    await context.addInitScript(() => {
      Reflect.deleteProperty(Navigator.prototype, 'serviceWorker')
    })
    await use(context)
  },
})

const live = (tab: Tab) => tab.until((state) => state.phase === 'live')
const acked = (tab: Tab, count: number) =>
  tab.until(
    (state, wanted) => state.messages.filter(({ status }: { status: string }) => status === 'acked').length === wanted,
    count,
  )
/** Which of the tabs does the network's work. */
const hasPump = (tab: Tab) =>
  tab.page.evaluate(async () => (await globalThis.chat.diagnose()).figures['pump'] as boolean)

test('[PG19] the same API works in the page, and the state says where the engine runs', async ({ world }) => {
  const tab = await world.tab()
  await live(tab)
  expect(await tab.state()).toMatchObject({ host: 'page', storage: 'durable', tabs: 1, online: true })
  await tab.page.evaluate(async () => (await globalThis.chat.send('from the page')).settled)
  await world.service.say(await world.conversationId(), 'to the page')
  await acked(tab, 2)
  await tab.page.evaluate(() => globalThis.chat.context.set({ cart_value: '12.00' }))
  await expect
    .poll(async () => (await world.service.conversations())[0]?.customAttributes)
    .toEqual({ cart_value: '12.00' })
  expect(await tab.page.evaluate(async () => (await globalThis.chat.history()).map(({ text }) => text))).toEqual([
    'from the page',
    'to the page',
  ])
  const [problem] = await tab.page.evaluate(() => globalThis.problems)
  expect(problem).toMatchObject({ code: 'WORKER_UNAVAILABLE', message: expect.stringContaining('No service worker') })
  expect(await tab.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))).toEqual({ verified: true })
})

test('[PG19] without `?config=` and `local` there is nothing to run: WORKER_UNAVAILABLE', async ({ world }) => {
  const tab = await world.tab({ isBare: true })
  const failure = await failureOf(tab.page, () =>
    globalThis.holdfast.connect({ worker: '/holdfast/sw.js', deployment: 'demo' }),
  )
  expect(failure).toMatchObject({ name: 'HoldfastError', code: 'WORKER_UNAVAILABLE' })
  expect(failure?.message).toContain('this browser offers none here')
})

test('[PG19] what was sent offline survives a reload of the only tab', async ({ world }) => {
  const tab = await world.tab()
  await live(tab)
  world.proxy.offline(true)
  for (const text of ['one', 'two', 'three']) await tab.send(text)
  await tab.page.reload()
  await reconnect(tab)
  expect(await tab.texts()).toEqual(['one', 'two', 'three'])
  world.proxy.offline(false)
  await acked(tab, 3)
  expect(await texts(world)).toEqual(['one', 'two', 'three'])
})

test('[PG21] two tabs share one state and one conversation, and every message is there once', async ({ world }) => {
  const [one, two] = await Promise.all([world.tab(), world.tab()])
  await Promise.all([live(one), live(two)])
  expect([await hasPump(one), await hasPump(two)].filter(Boolean)).toHaveLength(1)
  const all = (from: string) => Array.from({ length: 10 }, (_, index) => `${from} ${index}`)
  await Promise.all(
    [one, two].map((tab, at) =>
      tab.page.evaluate(
        async (list) => {
          for (const text of list) await (await globalThis.chat.send(text)).settled
        },
        all(`tab ${at}`),
      ),
    ),
  )
  await Promise.all([acked(one, 20), acked(two, 20)])
  const said = await texts(world)
  expect(said).toHaveLength(20)
  for (const at of [0, 1]) expect(said.filter((text) => text.startsWith(`tab ${at}`))).toEqual(all(`tab ${at}`))
  const [first, second] = [await one.state(), await two.state()]
  expect(first.messages).toEqual(second.messages)
  expect([first.host, second.host]).toEqual(['page', 'page'])
  await one.until((state) => state.tabs === 2)
  await two.until((state) => state.tabs === 2)
})

for (const how of ['closed', 'crashed'] as const) {
  test(`[PG21] the tab that did the work is ${how}: the other takes over with what was unsent`, async ({ world }) => {
    const [one, two] = [await world.tab(), await world.tab()]
    await Promise.all([live(one), live(two)])
    const [worker, other] = (await hasPump(one)) ? [one, two] : [two, one]
    world.proxy.offline(true)
    await worker.send('by the one that goes')
    await other.send('by the one that stays')
    if (how === 'closed') await worker.close()
    else await worker.page.goto('chrome://crash').catch(() => {})
    world.proxy.offline(false)
    await acked(other, 2)
    await live(other)
    expect(await hasPump(other)).toBe(true)
    expect(await texts(world)).toEqual(['by the one that goes', 'by the one that stays'])
    await world.service.say(await world.conversationId(), 'still heard')
    await acked(other, 3)
    await other.until((state) => state.tabs === 1)
  })
}

test('[PG21] the tab that did not do the work is closed: the stream of the other lives on', async ({ world }) => {
  const [one, two] = [await world.tab(), await world.tab()]
  await Promise.all([live(one), live(two)])
  const [worker, other] = (await hasPump(one)) ? [one, two] : [two, one]
  const sockets = world.proxy.count(/^GET .*\/stream$/)
  await other.close()
  await worker.until((state) => state.tabs === 1)
  await world.service.say(await world.conversationId(), 'to the one that stays')
  await acked(worker, 1)
  expect((await worker.state()).phase).toBe('live')
  expect(world.proxy.count(/^GET .*\/stream$/)).toBe(sockets)
})

test.describe('an idle page', () => {
  test.use({ site: { timings: { ...QUICK, beatMs: 100 } } })

  test('[PG21] is a tab for as long as it is open: it is still there after many beats', async ({ world }) => {
    const tab = await world.tab()
    await live(tab)
    const seen = await tab.page.evaluate(
      () =>
        new Promise<string[]>((resolve) => {
          const states = new Set<string>()
          globalThis.chat.subscribe(({ phase, tabs }) => states.add(`${phase} ${tabs}`))
          let beats = 0
          new BroadcastChannel('holdfast:demo').onmessage = ({ data }) => {
            beats += data.type === 'beat' ? 1 : 0
            if (beats === 10) resolve([...states])
          }
        }),
    )
    expect(seen).toEqual(['live 1'])
    await world.service.say(await world.conversationId(), 'are you there?')
    await acked(tab, 1)
  })
})
