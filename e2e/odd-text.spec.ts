// Text that no other program likes, and far more of it than anybody writes: the same comes back, through send, service,
// stream, transcript, cache and every tab, or it is refused before anything is stored.

import { expect, test, liveTab } from './fixtures.ts'
import { reconnect, type Tab } from './tab.ts'

/** As JSON, which carries halves of characters, too: on their way into the page and out of it they would be mended. */
const ODD = JSON.stringify([
  '\u0000',
  'a\u0000b',
  '\u0007\u001b[31mred\u001b[0m\u0008\u007f\u0085',
  'half \ud83d',
  '\ude00 the other half',
  '\ude00\ud83d the wrong way round',
  '👩‍👩‍👧‍👦👍🏽🏴󠁧󠁢󠁥󠁮󠁧󠁿🇺🇦',
  '\u202edesrever\u2066 and \u2069 not closed \u202a',
  `Z${'\u0300\u0321\u0489'.repeat(300)}`,
  'é e\u0301 Å \u212b ﬁ ﷺ',
  '\ufeffx\ufffe\uffff\ufffd',
  'a\u2028b\u2029c\r\n.\r\n\td',
  '\u200b\u200c\u200d\u2060 nothing to see',
  "'; drop table messages; --",
  '</script><!-- <img src=x onerror=alert(1)>',
  '{"type":"error","code":"session-revoked"}',
  '%00%s%n{{1}}',
  '__proto__',
  '𝕳'.repeat(2_048),
])
const SHOWN = JSON.stringify((JSON.parse(ODD) as string[]).concat(JSON.parse(ODD) as string[]))

/** What the tab shows, as JSON, once it shows so many confirmed messages. */
async function shown(tab: Tab, count: number): Promise<string> {
  await tab.until(
    ({ messages }, wanted: number) => messages.length === wanted && messages.every(({ id }) => id !== undefined),
    count,
  )
  return tab.page.evaluate(() => JSON.stringify(globalThis.chat.state.messages.map(({ text }) => text)))
}

test('[PG10] text that no other program likes comes back as it was sent: from the service, in every tab, from the cache', async ({
  world,
}) => {
  const tabs = [await liveTab(world), await liveTab(world)] as const
  const [tab, other] = tabs
  await tab.page.evaluate(async (texts) => {
    const receipts = await Promise.all(
      (JSON.parse(texts) as string[]).map((text) =>
        globalThis.chat.send({ text, metadata: { said: text.slice(0, 99) } }),
      ),
    )
    await Promise.all(receipts.map(({ settled }) => settled))
  }, ODD)
  const conversationId = await world.conversationId()
  for (const text of JSON.parse(ODD) as string[]) await world.service.say(conversationId, text)
  for (const one of tabs) expect(await shown(one, 38)).toBe(SHOWN)
  expect(JSON.stringify((await world.record()).map(({ text }) => text))).toBe(SHOWN)
  await world.killWorker(tab.page)
  world.proxy.offline(true)
  for (const one of tabs) await one.page.reload()
  for (const one of tabs) await reconnect(one)
  for (const one of tabs) expect(await shown(one, 38)).toBe(SHOWN)
  const history = await other.page.evaluate(async () =>
    JSON.stringify((await globalThis.chat.history()).map(({ text }) => text)),
  )
  expect(history).toBe(SHOWN)
})

test('[PG10] what waits, is edited or set as an attribute comes back as it was, too', async ({ world }) => {
  const tabs = [await liveTab(world), await liveTab(world)] as const
  const [tab, other] = tabs
  await tab.page.evaluate(async () => (await globalThis.chat.send('before')).settled)
  world.proxy.offline(true)
  await tab.page.evaluate(async (texts) => {
    const all = JSON.parse(texts) as string[]
    for (const [at, text] of all.entries()) {
      let { key } = await globalThis.chat.send(at % 2 ? text : 'other words')
      // What is on the wire cannot be edited: it is tried again when the try has failed.
      while (at % 2 === 0)
        try {
          key = (await globalThis.chat.outbox.edit(key, text)).key
          break
        } catch (error) {
          if ((error as { code?: string }).code !== 'OUTBOX_INFLIGHT') throw error
        }
    }
    await globalThis.chat.context.set(Object.fromEntries(all.map((text, at) => [`n${at}`, text.slice(0, 500)])))
  }, ODD)
  const listed = await other.page.evaluate(async () =>
    JSON.stringify((await globalThis.chat.outbox.list()).map(({ text }) => text)),
  )
  expect(listed).toBe(ODD)
  world.proxy.offline(false)
  for (const one of tabs) expect(JSON.parse(await shown(one, 20)).slice(1)).toEqual(JSON.parse(ODD))
  const values = (JSON.parse(ODD) as string[]).map((text) => text.slice(0, 500))
  const attributes = Object.fromEntries(values.map((text, at) => [`n${at}`, text]))
  expect(JSON.parse(await other.page.evaluate(() => JSON.stringify(globalThis.chat.context.get())))).toEqual(attributes)
  await expect.poll(async () => (await world.service.conversations())[0]?.customAttributes).toEqual(attributes)
})

test('[PG15] a draft of such text survives a reload as it was', async ({ world }) => {
  const tab = await liveTab(world)
  const item = 'holdfast:draft:demo'
  const before = await tab.page.evaluate(
    ([name, texts]) => {
      const kept = sessionStorage.getItem(name)
      globalThis.chat.draft.text = (JSON.parse(texts) as string[]).join('|')
      return kept
    },
    [item, ODD] as const,
  )
  await tab.page.waitForFunction(([name, kept]) => sessionStorage.getItem(name) !== kept, [item, before] as const)
  await tab.page.reload()
  await reconnect(tab)
  const text = await tab.page.evaluate(() => JSON.stringify(globalThis.chat.draft.text))
  expect(text).toBe(JSON.stringify((JSON.parse(ODD) as string[]).join('|')))
})

test('[PL21] a message of 1 MB from the platform is shown as it is, in every tab and from the cache, and harms nothing', async ({
  world,
}) => {
  const tabs = [await liveTab(world), await liveTab(world)] as const
  const [tab, other] = tabs
  await tab.page.evaluate(async () => (await globalThis.chat.send('small')).settled)
  const conversationId = await world.conversationId()
  const [small] = await world.record()
  const message = { contentType: 'text/plain', conversationId, participantId: 'kim', at: 5 }
  const large = { ...message, id: 'large', seq: 2, role: 'agent', text: `${'x'.repeat(2 ** 20)} the end` }
  const marks = { agent: { delivered: 0, read: 0 }, customer: { delivered: 0, read: 0 } }
  const headers = { 'content-type': 'application/json' }
  const answer = (body: object) => ({ type: 'answer' as const, status: 200, headers, body: JSON.stringify(body) })
  const page = { messages: [small, large], nextAfterId: 'large', lastSeq: 2, marks }
  world.proxy.rule({ match: /^GET .*\/messages\?/, action: answer(page) })
  world.proxy.rule({
    match: /^GET .*\/stream\/poll/,
    action: answer({ frames: [{ type: 'message', message: large }], lastSeq: 2, version: 1, marks: 0 }),
  })
  // No socket, so the stream is polled.
  world.proxy.rule({ match: /^GET .*\/stream$/, action: { type: 'refuse' } })
  world.proxy.reset()
  const isLarge = ({ messages }: { messages: readonly { text: string }[] }) =>
    messages.length === 2 && messages[1]?.text.length === 2 ** 20 + 8 && messages[1].text.endsWith(' the end')
  for (const one of tabs) await one.until(isLarge)
  await tab.until((state) => state.unread === 1)
  world.proxy.offline(true)
  await world.killWorker(tab.page)
  for (const one of tabs) await one.page.reload()
  for (const one of tabs) await reconnect(one)
  for (const one of tabs) await one.until(isLarge)
  // What the platform has never had after all is no longer shown, and what is said now is.
  await other.send('still here')
  world.proxy.clear()
  world.proxy.offline(false)
  for (const one of tabs)
    await one.until(({ messages }) => messages.map(({ text }) => text).join() === 'small,still here')
  expect((await world.record()).map(({ text }) => text)).toEqual(['small', 'still here'])
})
