// A site on plain HTTP, which browsers give neither service workers nor locks nor keys: the engine runs in the page all the
// same. A name that the browser resolves to this machine stands for it, because localhost counts as secure.

import { expect, test } from './fixtures.ts'
import { openTab, reconnect, type Tab } from './tab.ts'

const HOST = 'insecure.test'

test.use({
  launchOptions: async ({ launchOptions, browserName }, use) => {
    await use({
      ...launchOptions,
      ...(browserName === 'firefox'
        ? { firefoxUserPrefs: { ...launchOptions.firefoxUserPrefs, 'network.dns.localDomains': HOST } }
        : { args: [...(launchOptions.args ?? []), `--host-resolver-rules=MAP ${HOST} 127.0.0.1`] }),
    })
  },
})

test('[PG21] without HTTPS two tabs share one conversation, every message is there once, and a reload keeps it', async ({
  world,
  context,
}) => {
  const platform = { type: 'session-service', url: `http://${HOST}:${world.proxy.port}` }
  const body = JSON.stringify({ deployments: { demo: { platform } } })
  world.site.overrides.set('/holdfast/config.json', { status: 200, type: 'application/json', body })
  const tab = async () => openTab(await context.newPage(), `http://${HOST}:${world.site.port}`, 'demo')
  const live = (one: Tab) => one.until((state) => state.phase === 'live')
  const [one, two] = [await tab(), await tab()]
  await Promise.all([live(one), live(two)])
  expect(await one.page.evaluate(() => [isSecureContext, 'serviceWorker' in navigator, 'locks' in navigator])).toEqual([
    false,
    false,
    false,
  ])
  expect((await one.state()).host).toBe('page')
  const said = Array.from({ length: 5 }, (_, index) => [`one ${index}`, `two ${index}`])
  for (const [first = '', second = ''] of said) await Promise.all([one.send(first), two.send(second)])
  for (const each of [one, two]) {
    await each.until(
      (state) => state.messages.length === 10 && state.messages.every(({ status }) => status === 'acked'),
    )
  }
  expect((await world.record()).map(({ text }) => text).sort()).toEqual(said.flat().sort())
  expect((await one.state()).messages).toEqual((await two.state()).messages)
  // The one that did the network's work goes; the tokens in its memory go with it.
  const isFirst = await one.page.evaluate(async () => (await globalThis.chat.diagnose()).figures['pump'] as boolean)
  const [worker, other] = isFirst ? [one, two] : [two, one]
  await worker.close()
  await live(other)
  await other.send('by the other')
  await other.until((state) => state.messages.length === 11 && state.messages.every(({ status }) => status === 'acked'))
  await other.page.reload()
  await reconnect(other)
  expect(await other.texts()).toHaveLength(11)
  await live(other)
  await world.service.say(await world.conversationId(), 'without a lock')
  await other.until((state) => state.messages.length === 12)
})
