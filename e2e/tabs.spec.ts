// Several tabs of one browser: one conversation, one refresh, one state.

import { expect, QUICK, test } from './fixtures.ts'
import { reconnect } from './tab.ts'

const REFRESH = /^POST .*\/auth\/refresh$/

test('[SN47] two tabs opened at the same moment make one conversation, and the second is told that it joined', async ({
  world,
}) => {
  const [one, two] = await Promise.all([world.tab(), world.tab()])
  await Promise.all([one.until((state) => state.phase === 'live'), two.until((state) => state.phase === 'live')])
  await Promise.all([one.send('from one'), two.send('from two')])
  for (const tab of [one, two])
    await tab.until((state) => state.messages.filter((message) => message.status === 'acked').length === 2)
  const [first, second] = [await one.state(), await two.state()]
  expect(first.conversation?.id).toBe(second.conversation?.id)
  expect(first.messages).toEqual(second.messages)
  expect(first.tabs).toBe(2)
  expect(await world.record()).toHaveLength(2)
})

test('[LE14] six tabs with ten calls each over an expired token cause one refresh, and every call succeeds', async ({
  world,
}) => {
  const tabs = await Promise.all(Array.from({ length: 6 }, () => world.tab()))
  for (const tab of tabs) await tab.until((state) => state.phase === 'live')
  world.proxy.expireTokens()
  await Promise.all(
    tabs.map((tab, at) =>
      tab.page.evaluate(async (from) => {
        const sends = Array.from({ length: 10 }, (_, index) => globalThis.chat.send(`tab ${from} call ${index}`))
        const receipts = await Promise.all(sends)
        const outcomes = await Promise.all(receipts.map((receipt) => receipt.settled))
        if (outcomes.some((outcome) => outcome.status !== 'acked')) throw new Error(JSON.stringify(outcomes))
      }, at),
    ),
  )
  expect(world.proxy.count(REFRESH)).toBe(1)
  expect(await world.record()).toHaveLength(60)
})

test('[LE7] a lost refresh answer is asked for again with the same key, and the session goes on', async ({ world }) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  world.proxy.rule({ match: REFRESH, times: 1, action: { type: 'cut-answer' } })
  world.proxy.expireTokens()
  await tab.send('through it')
  await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
  const keys = world.proxy.exchanges.filter((one) => REFRESH.test(`${one.method} ${one.path}`)).map((one) => one.key)
  expect(keys).toHaveLength(2)
  expect(keys[0]).toBe(keys[1])
  expect((await tab.state()).lease.status).toBe('held')
})

test('[LE7] the worker killed between the refresh and its answer: one successor, no lost session', async ({
  world,
}) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  world.proxy.rule({ match: REFRESH, times: 1, action: { type: 'swallow-answer' } })
  world.proxy.expireTokens()
  await tab.send('through it')
  await world.proxy.seen(REFRESH, 1, true)
  await world.killWorker(tab.page)
  await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
  await tab.until((state) => state.phase === 'live')
  expect(await world.service.metric('holdfast_refresh_reuse')).toBe(0)
})

test('[CX15] context set in one tab reaches the other, and the agent, also after a reload', async ({ world }) => {
  const [one, two] = [await world.tab(), await world.tab()]
  await one.until((state) => state.phase === 'live')
  await one.page.evaluate(() => globalThis.chat.context.set({ cart_value: '12.00' }))
  await two.until((state) => state.context['cart_value'] === '12.00')
  await two.page.evaluate(() => globalThis.chat.context.set({ cart_items: '2', vip: true }))
  await one.page.reload()
  await reconnect(one)
  await one.until((state) => state.context['cart_items'] === '2')
  const agentSees = async () => (await world.service.conversations())[0]?.customAttributes
  await expect.poll(agentSees).toEqual({ cart_items: '2', cart_value: '12.00', vip: true })
})

test.describe('the stream', () => {
  test.use({ site: { timings: QUICK } })

  test('[SN53] a half-open socket is found by the heartbeat, and what was missed arrives once', async ({ world }) => {
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'live')
    world.proxy.halfOpen(true)
    await world.service.say(await world.conversationId(), 'into the void')
    await tab.until((state) => state.phase !== 'live')
    world.proxy.halfOpen(false)
    await tab.until((state) => state.phase === 'live' && state.messages.length === 1)
    expect(await tab.texts()).toEqual(['into the void'])
  })

  test('[SN52] where no socket can be had the stream polls, and climbs back by itself', async ({ world }) => {
    const remove = world.proxy.rule({ match: /^GET .*\/stream$/, action: { type: 'refuse' } })
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'live')
    await world.service.say(await world.conversationId(), 'by poll')
    await tab.until((state) => state.messages.length === 1)
    remove()
    await world.proxy.seen(/^GET .*\/stream$/, world.proxy.count(/^GET .*\/stream$/) + 1)
    await world.service.say(await world.conversationId(), 'by socket')
    await tab.until((state) => state.messages.length === 2)
  })

  test('[SN30] the service restarted in mid-stream: nothing is lost, the phase returns to live', async ({ world }) => {
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'live')
    await tab.send('before')
    await tab.until((state) => state.messages[0]?.status === 'acked')
    await world.service.kill()
    await tab.until((state) => state.phase !== 'live')
    await tab.send('meanwhile')
    await world.service.start()
    await tab.until((state) => state.phase === 'live' && state.messages.every((message) => message.status === 'acked'))
    expect((await world.record()).map((message) => message.text)).toEqual(['before', 'meanwhile'])
  })
})

test('[PL16] the HTML page of a captive portal is not an acknowledgement', async ({ world }) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  const body = '<!doctype html><title>Please log in to the hotel network</title>'
  const match = /^POST .*\/messages$/
  const remove = world.proxy.rule({
    match,
    action: { type: 'answer', status: 200, headers: { 'content-type': 'text/html' }, body },
  })
  await tab.send('not yet')
  await world.proxy.seen(match, 2)
  expect((await tab.state()).messages.map((message) => message.status)).not.toContain('acked')
  remove()
  await tab.until((state) => state.messages.every((message) => message.status === 'acked'))
  expect(await world.record()).toHaveLength(1)
})
