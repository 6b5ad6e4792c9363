// A service that comes back from an older copy: what it has lost is no longer shown, and what it says anew is, once.

import { expect, test } from './fixtures.ts'

test('[TR30] restored from an old backup: every tab shows what the service has, once and in order, and the chat goes on', async ({
  world,
}) => {
  const tabs = [await world.tab(), await world.tab()] as const
  const [tab] = tabs
  await tab.until((state) => state.phase === 'live')
  const say = (text: string) =>
    tab.page.evaluate(async (said) => void (await (await globalThis.chat.send(said)).settled), text)
  const texts = async () => (await world.record()).map(({ text }) => text)
  for (const text of ['one', 'two']) await say(text)
  const restore = await world.service.copy()
  for (const text of ['three', 'four', 'five']) await say(text)
  await world.service.asAgent('POST', `/api/v2/messaging/conversations/${await world.conversationId()}/marks`, {
    read: 5,
  })
  await tab.until((state) => state.messages.at(-1)?.status === 'read')
  await restore()
  for (const one of tabs) await one.until((state) => state.messages.length === 2)
  expect(await texts()).toEqual(['one', 'two'])
  await say('anew')
  for (const one of tabs) await one.until((state) => state.messages.at(-1)?.text === 'anew')
  expect(await texts()).toEqual(['one', 'two', 'anew'])
  for (const one of tabs) {
    const { messages } = await one.state()
    expect(messages.map(({ text, status }) => [text, status])).toEqual([
      // Nothing is shown as read that the service does not say is: least of all in the place of what was.
      ['one', 'acked'],
      ['two', 'acked'],
      ['anew', 'acked'],
    ])
    expect(messages.map(({ seq }) => seq)).toEqual([1, 2, 3])
  }
})
