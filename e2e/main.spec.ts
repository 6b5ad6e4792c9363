// The main job: one conversation that survives reloads, closes, kills and unplugging.

import { expect, test } from './fixtures.ts'
import { reconnect } from './tab.ts'

test('[OB26] a message reaches the service once and comes back acknowledged', async ({ world }) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  await tab.send('hello')
  await tab.until((state) => state.messages.some((message) => message.status === 'acked'))
  expect((await world.record()).map((message) => message.text)).toEqual(['hello'])
})

test('[SN25] a reload in mid-conversation shows the transcript from the cache', async ({ world }) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  await tab.send('before')
  await tab.until((state) => state.messages[0]?.status === 'acked')
  await world.service.say(await world.conversationId(), 'I am here')
  await tab.until((state) => state.messages.length === 2)
  world.proxy.offline(true)
  await tab.page.reload()
  await reconnect(tab)
  expect(await tab.texts()).toEqual(['before', 'I am here'])
  world.proxy.offline(false)
  await tab.until((state) => state.phase === 'live')
  await tab.send('after')
  await tab.until((state) => state.messages.length === 3 && state.messages[2]?.status === 'acked')
  expect((await world.record()).map((message) => message.text)).toEqual(['before', 'I am here', 'after'])
})
