// A service that comes back from an older copy: what it has lost is no longer shown, and what it says anew is, once.
// The browser's cursor is then from the future: it names a message that the service has never given out, or another one.

import { expect, test, type World } from './fixtures.ts'
import { reconnect, type Tab } from './tab.ts'

const POST = /^POST .*\/messages$/

async function twoTabs(world: World): Promise<readonly [Tab, Tab]> {
  const tabs = [await world.tab(), await world.tab()] as const
  for (const tab of tabs) await tab.until((state) => state.phase === 'live')
  return tabs
}

const say = (tab: Tab, text: string) =>
  tab.page.evaluate(async (said) => void (await (await globalThis.chat.send(said)).settled), text)

const recorded = async (world: World) => (await world.record()).map(({ text }) => text)

/** Every tab shows exactly these, in this order, as sent and without a gap, and so does the service. */
async function expectAll(world: World, tabs: readonly Tab[], texts: readonly string[]): Promise<void> {
  for (const tab of tabs)
    await tab.until(
      ({ messages }, wanted: readonly string[]) =>
        JSON.stringify(messages.map(({ text }) => text)) === JSON.stringify(wanted) &&
        messages.every(({ id, afterGap }) => id !== undefined && !afterGap),
      texts,
    )
  expect(await recorded(world)).toEqual(texts)
  for (const tab of tabs)
    expect((await tab.state()).messages.map(({ seq }) => seq)).toEqual(texts.map((_, index) => index + 1))
}

test('[TR30] restored from an old backup: every tab shows what the service has, once and in order, and the chat goes on', async ({
  world,
}) => {
  const tabs = await twoTabs(world)
  const [tab] = tabs
  for (const text of ['one', 'two']) await say(tab, text)
  const restore = await world.service.copy()
  for (const text of ['three', 'four', 'five']) await say(tab, text)
  await world.service.asAgent('POST', `/api/v2/messaging/conversations/${await world.conversationId()}/marks`, {
    read: 5,
  })
  await tab.until((state) => state.messages.at(-1)?.status === 'read')
  await restore()
  await expectAll(world, tabs, ['one', 'two'])
  await say(tab, 'anew')
  await expectAll(world, tabs, ['one', 'two', 'anew'])
  for (const one of tabs) {
    // Nothing is shown as read that the service does not say is: least of all in the place of what was.
    expect((await one.state()).messages.map(({ status }) => status)).toEqual(['acked', 'acked', 'acked'])
  }
})

test('[TR32] restored from an old backup, and gone on past the cursor before anybody is back: the new log is shown, nothing of the old', async ({
  world,
}) => {
  const tabs = await twoTabs(world)
  const [tab] = tabs
  await say(tab, 'one')
  const restore = await world.service.copy()
  for (const text of ['two', 'three']) await say(tab, text)
  world.proxy.offline(true)
  await tab.send('written meanwhile')
  await restore()
  const conversationId = await world.conversationId()
  for (const text of ['a', 'b', 'c', 'd']) await world.service.say(conversationId, text)
  world.proxy.offline(false)
  await expectAll(world, tabs, ['one', 'a', 'b', 'c', 'd', 'written meanwhile'])
})

test('[TR30] restored while an answer was lost: the message is there once, and shown as sent when it is', async ({
  world,
}) => {
  const tabs = await twoTabs(world)
  const [tab] = tabs
  await say(tab, 'one')
  const restore = await world.service.copy()
  await say(tab, 'two')
  const remove = world.proxy.rule({ match: POST, action: { type: 'cut-answer' } })
  world.proxy.rule({ match: /stream/, action: { type: 'refuse' } })
  world.proxy.reset()
  await tab.send('three')
  await world.proxy.seen(POST, 3, true)
  await restore()
  remove()
  world.proxy.clear()
  await expectAll(world, tabs, ['one', 'three'])
})

test('[TR30] restored to before there was a session: the visitor is asked to begin anew, what waited is kept, and nothing is shown as sent', async ({
  world,
}) => {
  const restore = await world.service.copy()
  const tabs = await twoTabs(world)
  const [tab] = tabs
  for (const text of ['one', 'two']) await say(tab, text)
  world.proxy.offline(true)
  const key = await tab.send('waiting')
  await restore()
  world.proxy.offline(false)
  // A refresh that is refused for good ends the lease: nobody here can tell a lost backup from a revoked session.
  for (const one of tabs) await one.until(({ phase, outbox }) => phase === 'auth-required' && outbox.queued === 1)
  await tab.page.evaluate(() => globalThis.chat.startNew())
  for (const one of tabs) await one.until(({ phase, outbox }) => phase === 'live' && outbox.parked === 1)
  for (const one of tabs) {
    const { messages } = await one.state()
    expect(messages.map(({ text, status }) => [text, status])).toEqual([['waiting', 'parked']])
  }
  expect(await recorded(world)).toEqual([])
  await tab.page.evaluate((wanted) => globalThis.chat.outbox.retry(wanted), key)
  await expectAll(world, tabs, ['waiting'])
  await tab.page.reload()
  await reconnect(tab)
  await expectAll(world, tabs, ['waiting'])
})
