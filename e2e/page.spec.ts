// What a visitor's tabs do to each other and to themselves: come and go in a hurry, copy each other, begin anew, and read
// what was said before.

import { failureOf } from './failure.ts'
import { expect, test, type World } from './fixtures.ts'
import { draft, reconnect, type Tab } from './tab.ts'

const OPTIONS = { worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' }

const say = (tab: Tab, text: string) =>
  tab.page.evaluate(async (said) => (await globalThis.chat.send(said)).settled.then(({ status }) => status), text)

const close = async (world: World, id: string) => {
  const key = { 'idempotency-key': crypto.randomUUID() }
  await world.service.asAgent('POST', `/api/v2/messaging/conversations/${id}/close`, {}, key)
}

const conversationOf = async (tab: Tab) => (await tab.state()).conversation?.id ?? ''

/** Everything, as a site that shows a whole history reads it. */
const readBack = (tab: Tab, limit: number) =>
  tab.page.evaluate(async (most) => {
    const found: string[] = []
    for (let before: number | undefined; ; ) {
      const page = await globalThis.chat.history({ limit: most, ...(before !== undefined && { before }) })
      if (page.length === 0) return found
      found.unshift(...page.map(({ text }) => text))
      before = page[0]?.seq
    }
  }, limit)

test('[PG32] a tab that is reloaded again and again while it connects is one tab, and none when it is closed', async ({
  world,
}) => {
  const other = await world.tab()
  const tab = await world.tab({ isBare: true })
  for (let time = 0; time < 8; time++) {
    await tab.page.waitForFunction(() => globalThis.holdfast !== undefined)
    await tab.page.evaluate((options) => {
      void globalThis.holdfast.connect(options)
      // On its way, and not answered.
      setTimeout(() => location.reload(), 0)
    }, OPTIONS)
    await tab.page.waitForEvent('load')
  }
  await reconnect(tab)
  await other.until((state) => state.tabs === 2)
  await tab.close()
  await other.until((state) => state.tabs === 1)
})

/** Runs in the page: its sealed drafts. */
const boxOf = (): unknown => JSON.parse(sessionStorage.getItem('holdfast:draft:demo') ?? '{}').box

test('[PG31] a window that was opened with a copy of the storage has no draft, and the first keeps its own', async ({
  world,
}) => {
  const tab = await world.tab()
  await draft(tab.page, 'mine alone')
  const [copy] = await Promise.all([
    tab.page.waitForEvent('popup'),
    tab.page.evaluate(() => void window.open(location.href)),
  ])
  await copy.waitForFunction(() => globalThis.holdfast !== undefined)
  expect(await copy.evaluate(boxOf), 'the browser copies it').not.toEqual([])
  const found = await copy.evaluate(async (options) => {
    globalThis.chat = await globalThis.holdfast.connect(options)
    return globalThis.chat.draft.text
  }, OPTIONS)
  expect(found).toBe('')
  expect(await copy.evaluate(boxOf)).toEqual([])
  await tab.page.reload()
  await reconnect(tab)
  expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('mine alone')
})

test('[PG33] the second tab is told that it joined; the first, and a reload of an only tab, are not', async ({
  world,
}) => {
  const joining = (tab: Tab) =>
    tab.page.evaluate(async (options) => {
      globalThis.told = []
      globalThis.chat = await globalThis.holdfast.connect(options)
      globalThis.chat.on('resumed', (detail) => globalThis.told.push(['resumed', { ...detail }]))
    }, OPTIONS)
  const told = (tab: Tab) => tab.page.evaluate(() => globalThis.told)
  const first = await world.tab({ isBare: true })
  await joining(first)
  await first.until((state) => state.phase === 'live')
  await first.page.reload()
  await first.page.waitForFunction(() => globalThis.holdfast !== undefined)
  await joining(first)
  const second = await world.tab({ isBare: true })
  await joining(second)
  await second.page.waitForFunction(() => globalThis.told.length > 0)
  expect(await told(second)).toEqual([
    ['resumed', { conversationId: await conversationOf(first), joined: true, activeElsewhere: true }],
  ])
  await first.until((state) => state.tabs === 2)
  expect(await told(first)).toEqual([])
})

test('[PG34] startNew resolves with the new conversation in the state; offline it resolves, and begins later', async ({
  world,
}) => {
  const tab = await world.tab()
  await say(tab, 'one')
  const first = await conversationOf(tab)
  await close(world, first)
  await tab.until((state) => state.phase === 'ended')
  const second = await tab.page.evaluate(async () => {
    await globalThis.chat.startNew()
    return globalThis.chat.state.conversation
  })
  expect(second).toMatchObject({ previousId: first, state: expect.stringMatching('pending|active') })
  await say(tab, 'two')
  await close(world, second?.id ?? '')
  await tab.until((state) => state.phase === 'ended')
  world.proxy.offline(true)
  await tab.page.evaluate(() => globalThis.chat.startNew())
  expect((await tab.state()).conversation?.id).toBe(second?.id)
  world.proxy.offline(false)
  await tab.until((state, former) => state.phase === 'live' && state.conversation?.id !== former, second?.id)
})

test('[SN72] the history goes back over the conversations, from the cache and then from the service', async ({
  world,
}) => {
  const tab = await world.tab()
  const all: string[] = []
  for (const name of ['first', 'second', 'third']) {
    if (all.length > 0) {
      await close(world, await conversationOf(tab))
      await tab.until((state) => state.phase === 'ended')
      await tab.page.evaluate(() => globalThis.chat.startNew())
    }
    for (const number of [1, 2, 3]) {
      all.push(`${name} ${number}`)
      expect(await say(tab, `${name} ${number}`)).toBe('acked')
    }
  }
  expect(await readBack(tab, 2)).toEqual(all)
  world.proxy.offline(true)
  await tab.until((state) => state.phase === 'reconnecting')
  expect(await readBack(tab, 50), 'offline from the cache').toEqual(all)

  await tab.page.evaluate(
    async (present) => {
      const [{ name = '' } = {}] = await indexedDB.databases()
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open(name)
        request.onsuccess = () => resolve(request.result)
      })
      const change = database.transaction('transcript', 'readwrite')
      const cursor = change.objectStore('transcript').openCursor()
      cursor.onsuccess = () => {
        if (cursor.result?.value.conversationId !== present) cursor.result?.delete()
        cursor.result?.continue()
      }
      await new Promise((resolve) => {
        change.oncomplete = resolve
      })
      database.close()
    },
    await conversationOf(tab),
  )
  await world.killWorker(tab.page)
  expect(await readBack(tab, 50), 'what is nowhere here').toEqual(all.slice(6))
  world.proxy.offline(false)
  await tab.until((state) => state.phase === 'live')
  expect(await readBack(tab, 4), 'from the service').toEqual(all)
})

test('[PG35] routing data of connect() are in the first conversation; too much of them rejects it', async ({
  world,
}) => {
  const tab = await world.tab({ isBare: true })
  const connect = (routingData: Record<string, string>) =>
    tab.page.evaluate(
      async ([options, routing]) => {
        globalThis.chat = await globalThis.holdfast.connect({ ...options, routingData: routing })
      },
      [OPTIONS, routingData] as const,
    )
  await expect(connect({ queue: 'x'.repeat(2_001) })).rejects.toThrow(/"queue" has 2001 characters/)
  await connect({ queue: 'sales', language: 'en' })
  await tab.until((state) => state.phase === 'live')
  const [made] = await world.service.conversations()
  expect(made).toMatchObject({ routingData: { language: 'en', queue: 'sales' } })
})

test('[OB51] what the service would never take is refused before it is kept: metadata, names, too many', async ({
  world,
}) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  const large = await failureOf(tab.page, () =>
    globalThis.chat.send({ text: 'large', metadata: { note: 'x'.repeat(100_000) } }),
  )
  expect(large).toMatchObject({ code: 'METADATA_TOO_LARGE', message: expect.stringContaining('8192') })
  const many = await failureOf(tab.page, () =>
    globalThis.chat.context.set(Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`n${at}`, 'x']))),
  )
  expect(many).toMatchObject({ code: 'CONTEXT_TOO_LARGE', message: expect.stringContaining('101') })
  expect(await tab.page.evaluate(() => globalThis.chat.outbox.list())).toEqual([])
  expect((await tab.state()).messages).toEqual([])
  await say(tab, 'still well')
  expect((await world.record()).map(({ text }) => text)).toEqual(['still well'])
})
