// Every name of the page's API, used once for real: what a site sees, and what the agent and the disk have of it.

import type { OutboxItem } from '../src/index.ts'
import { listen } from './agent.ts'
import { failureOf } from './failure.ts'
import { expect, test, type World } from './fixtures.ts'
import { draft, reconnect, type Tab } from './tab.ts'

const POST = /^POST .*\/messages$/

declare global {
  /** What the page was told, as `name` and detail. */
  var told: [name: string, detail: Record<string, unknown>][]
}

/** Runs in the page: keeps every event from now on. */
function hearAll(): void {
  globalThis.told = []
  for (const name of ['message', 'delivery', 'auth-required', 'resumed', 'ended', 'signed-out', 'problem'] as const)
    globalThis.chat.on(name, (detail) => globalThis.told.push([name, { ...detail }]))
}

async function liveTab(world: World): Promise<Tab> {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  await tab.page.evaluate(hearAll)
  return tab
}

/** Resolves with the first event of that name. */
async function event(tab: Tab, name: string): Promise<Record<string, unknown>> {
  await tab.page.waitForFunction((wanted) => globalThis.told.some(([one]) => one === wanted), name)
  const all = await tab.page.evaluate(() => globalThis.told)
  return all.find(([one]) => one === name)?.[1] ?? {}
}

const say = (tab: Tab, text: string) =>
  tab.page.evaluate(async (said) => {
    const receipt = await globalThis.chat.send(said)
    return { key: receipt.key, outcome: await receipt.settled }
  }, text)

const close = async (world: World) => {
  const path = `/api/v2/messaging/conversations/${await world.conversationId()}/close`
  await world.service.asAgent('POST', path, {}, { 'idempotency-key': crypto.randomUUID() })
}

test('[PG2] subscribe calls at once and at every change, until it is ended', async ({ world }) => {
  const tab = await liveTab(world)
  const counts = await tab.page.evaluate(async () => {
    const seen: number[] = []
    const stop = globalThis.chat.subscribe((state) => seen.push(state.messages.length))
    const atOnce = [...seen]
    await (await globalThis.chat.send('one')).settled
    const before = globalThis.chat.state
    const isFrozen = Object.isFrozen(before) && Object.isFrozen(before.messages) && before === globalThis.chat.state
    stop()
    const during = seen.length
    await (await globalThis.chat.send('two')).settled
    return { atOnce, during, after: seen.length, last: seen.at(-1), isFrozen }
  })
  expect(counts).toEqual({ atOnce: [0], during: counts.during, after: counts.during, last: 1, isFrozen: true })
})

test('[PG6] message, delivery and their end: each told once, and no more after off', async ({ world }) => {
  const tab = await liveTab(world)
  const { key, outcome } = await say(tab, 'from me')
  expect(outcome).toEqual({ status: 'acked', messageId: expect.any(String) })
  await world.service.say(await world.conversationId(), 'from the agent')
  await tab.until((state) => state.messages.length === 2)
  const told = await tab.page.evaluate(() => globalThis.told)
  const messages = told.filter(([name]) => name === 'message').map(([, { text, role }]) => [role, text])
  expect(messages).toEqual([
    ['customer', 'from me'],
    ['agent', 'from the agent'],
  ])
  // A message that is first seen when the service has it is told as such, and needs no delivery.
  const own = told.filter(([, detail]) => detail['key'] === key).at(-1)
  expect(own?.[1]).toMatchObject({ key, status: 'acked' })
  const heard = await tab.page.evaluate(async () => {
    let count = 0
    const off = globalThis.chat.on('message', () => {
      count += 1
    })
    off()
    await (await globalThis.chat.send({ text: 'with metadata', metadata: { page: 'cart', items: 2, vip: true } }))
      .settled
    return count
  })
  expect(heard).toBe(0)
  expect((await tab.state()).messages.at(-1)).toMatchObject({ metadata: { page: 'cart', items: 2, vip: true } })
})

test('[EN17] history is paged from the newest to the oldest, each page oldest first', async ({ world }) => {
  const tab = await liveTab(world)
  const all = Array.from({ length: 120 }, (_, index) => `line ${index}`)
  await tab.page.evaluate(async (texts) => {
    const receipts = await Promise.all(texts.map((text) => globalThis.chat.send(text)))
    await Promise.all(receipts.map(({ settled }) => settled))
  }, all)
  const pages = await tab.page.evaluate(async () => {
    const found: string[][] = []
    for (let before: number | undefined; ; ) {
      const page = await globalThis.chat.history(before === undefined ? {} : { before, limit: 50 })
      if (page.length === 0) return found
      found.unshift(page.map(({ text }) => text))
      before = page[0]?.seq
    }
  })
  expect(pages.map((page) => page.length)).toEqual([20, 50, 50])
  expect(pages.flat()).toEqual(all)
  expect(await tab.page.evaluate(() => globalThis.chat.history({ limit: 0 }))).toEqual([])
})

test('[PG14] typing reaches the agent and ends by sending; the agent’s typing is in the state', async ({ world }) => {
  const tab = await liveTab(world)
  await say(tab, 'hello')
  const conversationId = await world.conversationId()
  await world.service.say(conversationId, 'good day')
  const agent = await listen(world.service, conversationId)
  await tab.page.evaluate(() => globalThis.chat.typing())
  expect(await agent.hears(({ type, on }) => type === 'typing' && on === true)).toMatchObject({ role: 'customer' })
  await say(tab, 'done')
  await agent.hears(({ type, on }) => type === 'typing' && on === false)
  agent.types(true)
  await tab.until((state) => state.agentTyping)
  agent.types(false)
  await tab.until((state) => !state.agentTyping)
  agent.leave()
})

test('[PG15] a page that cannot load what unseals its draft leaves it for the next', async ({ world }) => {
  const tab = await liveTab(world)
  await draft(tab.page, 'half a sentence')
  const unsealing = /holdfast-more/
  await tab.page.route(unsealing, (route) => route.abort())
  await tab.page.reload()
  await reconnect(tab)
  expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('')
  await tab.page.unroute(unsealing)
  await tab.page.reload()
  await reconnect(tab)
  expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('half a sentence')
})

test('[PG15] a draft survives a reload, is not in another tab, and is gone when it was sent or the visitor left', async ({
  world,
}) => {
  const tab = await liveTab(world)
  const other = await world.tab()
  await say(tab, 'hello')
  await draft(tab.page, 'half a sentence')
  await tab.page.reload()
  await reconnect(tab)
  expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('half a sentence')
  expect(await other.page.evaluate(() => globalThis.chat.draft.text)).toBe('')
  await other.page.evaluate(() => globalThis.chat.logout())
  await tab.until((state) => state.phase === 'signed-out')
  expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('')
  expect(await tab.page.evaluate(() => JSON.stringify({ ...sessionStorage }))).not.toContain('half')
})

test('[PG13] context is set, read, removed and limited; nothing of a refused change is kept', async ({ world }) => {
  const tab = await liveTab(world)
  await tab.page.evaluate(() => globalThis.chat.context.set({ cart: '12.00', vip: true, lang: 'en' }))
  await tab.page.evaluate(() => globalThis.chat.context.remove('lang', 'nothing'))
  expect(await tab.page.evaluate(() => globalThis.chat.context.get())).toEqual({ cart: '12.00', vip: true })
  const tooLong = await failureOf(tab.page, () => globalThis.chat.context.set({ ok: 'yes', big: 'x'.repeat(2_001) }))
  expect(tooLong).toMatchObject({ code: 'CONTEXT_TOO_LARGE', message: expect.stringContaining('"big" has 2001') })
  const tooMuch = await failureOf(tab.page, () =>
    globalThis.chat.context.set(
      Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`n${at}`, 'ü'.repeat(1_000)])),
    ),
  )
  expect(tooMuch).toMatchObject({ code: 'CONTEXT_TOO_LARGE', message: expect.stringContaining('16384') })
  await tab.page.evaluate(() => globalThis.chat.context.set({ exact: 'x'.repeat(2_000) }))
  const expected = { cart: '12.00', exact: 'x'.repeat(2_000), vip: true }
  expect(await tab.page.evaluate(() => globalThis.chat.context.get())).toEqual(expected)
  await expect.poll(async () => (await world.service.conversations())[0]?.customAttributes).toEqual(expected)
})

test.describe('the outbox', () => {
  const list = (tab: Tab): Promise<readonly OutboxItem[]> => tab.page.evaluate(() => globalThis.chat.outbox.list())
  /** While it is on the wire it cannot be had: then the outcome is waited for, as `OUTBOX_INFLIGHT` says to. */
  const done = (tab: Tab, work: (key: string) => unknown, key = ''): Promise<void> =>
    expect.poll(async () => (await failureOf(tab.page, work, key))?.code ?? 'done').toBe('done')

  test('[OB35] is listed, an entry cancelled and another edited, before anything is sent', async ({ world }) => {
    const tab = await liveTab(world)
    world.proxy.offline(true)
    await tab.until((state) => state.phase !== 'live')
    for (const text of ['one', 'two', 'three']) await tab.send(text)
    const [, two, three] = await list(tab)
    expect((await list(tab)).map(({ text }) => text)).toEqual(['one', 'two', 'three'])
    await done(tab, (key: string) => globalThis.chat.outbox.cancel(key), two?.key)
    await done(tab, (key: string) => globalThis.chat.outbox.edit(key, 'third, better'), three?.key)
    expect((await list(tab)).map(({ key }) => key)).not.toContain(three?.key)
    expect((await list(tab)).map(({ text }) => text)).toEqual(['one', 'third, better'])
    const unknown = await failureOf(tab.page, (key: string) => globalThis.chat.outbox.cancel(key), 'nobody')
    expect(unknown).toMatchObject({ code: 'OUTBOX_UNKNOWN' })
    world.proxy.offline(false)
    await tab.until((state) => state.messages.filter(({ status }) => status === 'acked').length === 2)
    expect((await world.record()).map(({ text }) => text)).toEqual(['one', 'third, better'])
    expect(await list(tab)).toEqual([])
  })

  test('[OB7] a refused message is dead with its code, the next ones go on, and retry sends it after all', async ({
    world,
  }) => {
    const tab = await liveTab(world)
    await say(tab, 'before')
    const body = JSON.stringify({ type: 'about:blank', title: 'No', status: 422, code: 'word-not-allowed' })
    const headers = { 'content-type': 'application/problem+json' }
    world.proxy.rule({ match: POST, times: 1, action: { type: 'answer', status: 422, headers, body } })
    const refused = await say(tab, 'bad word')
    expect(refused.outcome).toEqual({ status: 'dead', code: 'SERVICE_REFUSED' })
    expect(await event(tab, 'problem')).toEqual({ code: 'OUTBOX_REFUSED', message: expect.stringMatching(/edit/) })
    await say(tab, 'after')
    expect(await list(tab)).toEqual([
      { key: refused.key, text: 'bad word', status: 'dead', code: 'SERVICE_REFUSED', at: expect.any(Number) },
    ])
    expect((await tab.state()).outbox).toEqual({ queued: 0, inflight: 0, dead: 1, stale: 0 })
    expect((await tab.page.evaluate(() => globalThis.chat.diagnose())).findings.map(({ code }) => code)).toContain(
      'OUTBOX_DEAD',
    )
    await tab.page.evaluate((key) => globalThis.chat.outbox.retry(key), refused.key)
    await tab.until((state) => state.messages.length === 3 && state.outbox.dead === 0 && state.outbox.queued === 0)
    await expect
      .poll(async () => (await world.record()).map(({ text }) => text))
      .toEqual(['before', 'after', 'bad word'])
    const keys = world.proxy.exchanges
      .filter(({ method, path }) => POST.test(`${method} ${path}`))
      .map(({ key }) => key)
    expect(keys.filter((key) => key === refused.key)).toHaveLength(2)
  })
})

test('[TR13] what others said is unread until it is marked as read, in every tab', async ({ world }) => {
  const tab = await liveTab(world)
  const other = await world.tab()
  await say(tab, 'hello')
  for (const text of ['one', 'two']) await world.service.say(await world.conversationId(), text)
  await tab.until((state) => state.unread === 2)
  await other.until((state) => state.unread === 2)
  await other.page.evaluate(() => globalThis.chat.markRead())
  await tab.until((state) => state.unread === 0)
  await tab.page.reload()
  await reconnect(tab)
  await tab.until((state) => state.phase === 'live')
  expect((await tab.state()).unread).toBe(0)
})

test('[SN35] closed by the agent: ended is told, send refuses, startNew begins another that follows it', async ({
  world,
}) => {
  const tab = await liveTab(world)
  await say(tab, 'last words')
  const first = await world.conversationId()
  await close(world)
  expect(await event(tab, 'ended')).toEqual({ conversationId: first, state: 'closed' })
  expect(await tab.state()).toMatchObject({ phase: 'ended', conversation: { id: first, state: 'closed' } })
  const refused = await failureOf(tab.page, () => globalThis.chat.send('too late'))
  expect(refused).toMatchObject({ code: 'CONVERSATION_OVER', message: expect.stringContaining('start a new one') })
  await tab.page.evaluate(() => globalThis.chat.startNew())
  await tab.until((state) => state.phase === 'live')
  const resumed = await event(tab, 'resumed')
  await say(tab, 'first words')
  await tab.until((state) => state.conversation?.state === 'active')
  const { conversation } = await tab.state()
  expect(resumed).toEqual({ conversationId: conversation?.id, from: first })
  expect(conversation).toMatchObject({ state: 'active', previousId: first })
  expect((await world.service.messages(conversation?.id ?? '')).map(({ text }) => text)).toEqual(['first words'])
  expect((await world.service.messages(first)).map(({ text }) => text)).toEqual(['last words'])
})

test('[OB39] a message that was queued when the agent closed is parked, and retry moves it to the next conversation', async ({
  world,
}) => {
  const tab = await liveTab(world)
  await say(tab, 'first')
  world.proxy.offline(true)
  const key = await tab.send('on its way')
  await close(world)
  world.proxy.offline(false)
  await tab.until((state) => state.phase === 'ended')
  const [parked] = await tab.page.evaluate(() => globalThis.chat.outbox.list())
  expect(parked).toMatchObject({ key, status: 'parked', code: 'CONVERSATION_OVER' })
  await tab.page.evaluate(() => globalThis.chat.startNew())
  await tab.until((state) => state.phase === 'live')
  const next = (await tab.state()).conversation?.id ?? ''
  expect(await world.service.messages(next)).toEqual([])
  await tab.page.evaluate((wanted) => globalThis.chat.outbox.retry(wanted), key)
  await tab.until((state) => state.messages.some(({ status }) => status === 'acked'))
  expect((await world.service.messages(next)).map(({ text }) => text)).toEqual(['on its way'])
})

test.describe('logout', () => {
  /** Everything in every database of the origin, but the slots, which hold a new identity. */
  const residue = (tab: Tab) =>
    tab.page.evaluate(async () => {
      const found: unknown[] = []
      for (const { name = '' } of await indexedDB.databases()) {
        const database = await new Promise<IDBDatabase>((resolve) => {
          const request = indexedDB.open(name)
          request.onsuccess = () => resolve(request.result)
        })
        for (const store of database.objectStoreNames) {
          const records = await new Promise<unknown[]>((resolve) => {
            const request = database.transaction(store).objectStore(store).getAll()
            request.onsuccess = () => resolve(request.result)
          })
          found.push(...(store === 'slots' ? [] : records))
        }
        const slots = await new Promise<unknown[]>((resolve) => {
          const request = database.transaction('slots').objectStore('slots').getAll()
          request.onsuccess = () => resolve(request.result)
        })
        found.push(JSON.stringify(slots))
        database.close()
      }
      return found
    })

  test('[EN14] refuse keeps everything, discard empties the disk in all tabs and is verified', async ({ world }) => {
    const tab = await liveTab(world)
    const other = await world.tab()
    await say(tab, 'my secret word')
    await tab.page.evaluate(() => globalThis.chat.context.set({ cart: 'secret cart' }))
    world.proxy.offline(true)
    await tab.send('unsent secret')
    const { epoch, session } = await tab.state()
    const refused = await failureOf(tab.page, () => globalThis.chat.logout())
    expect(refused).toMatchObject({ code: 'OUTBOX_UNSENT', message: expect.stringContaining('1 messages') })
    await tab.until((state) => state.outbox.queued + state.outbox.inflight === 1)
    expect(await tab.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))).toEqual({ verified: true })
    await event(tab, 'signed-out')
    await other.until((state) => state.phase === 'signed-out' && state.messages.length === 0)
    const left = await residue(tab)
    expect(left).toHaveLength(1)
    for (const word of ['secret', epoch, session?.id ?? '?', await world.conversationId()])
      expect(String(left[0])).not.toContain(word)
    const late = await failureOf(other.page, () => globalThis.chat.send('as whom?'))
    expect(late).toMatchObject({ code: 'EPOCH_CHANGED' })
    world.proxy.offline(false)
    await tab.page.reload()
    await reconnect(tab)
    await tab.until((state) => state.phase === 'live')
    expect(await tab.texts()).toEqual([])
    expect((await tab.state()).session?.id).not.toBe(session?.id)
  })

  test('[EN15] send delivers what was unsent first', async ({ world }) => {
    const tab = await liveTab(world)
    await say(tab, 'before')
    const hold = world.proxy.rule({ match: POST, action: { type: 'refuse' } })
    await tab.send('still to go')
    await world.proxy.seen(POST, 2)
    hold()
    expect(await tab.page.evaluate(() => globalThis.chat.logout({ unsent: 'send' }))).toEqual({ verified: true })
    expect((await world.record()).map(({ text }) => text)).toEqual(['before', 'still to go'])
    expect(await residue(tab)).toHaveLength(1)
  })
})

test('[EN19] diagnose answers with figures and findings, and without a word of what was said', async ({ world }) => {
  const tab = await liveTab(world)
  await say(tab, 'a private matter')
  await tab.page.evaluate(() => globalThis.chat.context.set({ note: 'also private' }))
  const report = await tab.page.evaluate(() => globalThis.chat.diagnose())
  expect(report).toMatchObject({
    protocol: 1,
    phase: 'live',
    incarnation: expect.any(String),
    version: expect.any(String),
    findings: [{ code: 'HEALTHY', severity: 'ok', text: expect.any(String) }],
    figures: { queued: 0, inflight: 0, tabs: 1, online: true, storage: 'durable', pump: true, attributes: 1 },
  })
  expect(JSON.stringify(report)).not.toContain('private')
})

test('[PG17] disconnect: the tab hears no more and its calls reject, the others and what was sent go on', async ({
  world,
}) => {
  const tab = await liveTab(world)
  const other = await world.tab()
  await other.until((state) => state.tabs === 2)
  world.proxy.offline(true)
  const outcome = tab.page.evaluate(async () => {
    const { settled } = await globalThis.chat.send('goodbye')
    globalThis.chat.disconnect()
    return settled.catch(({ name, code }) => ({ name, code }))
  })
  expect(await outcome).toEqual({ name: 'HoldfastError', code: 'LINK_CLOSED' })
  expect(await failureOf(tab.page, () => globalThis.chat.send('more'))).toMatchObject({ code: 'LINK_CLOSED' })
  expect(await failureOf(tab.page, () => globalThis.chat.history())).toMatchObject({ code: 'LINK_CLOSED' })
  const frozen = await tab.state()
  world.proxy.offline(false)
  await other.until((state) => state.tabs === 1 && state.messages[0]?.status === 'acked')
  expect((await world.record()).map(({ text }) => text)).toEqual(['goodbye'])
  expect(await tab.state()).toEqual(frozen)
})

test('[LE15] the service ends the session: told once in each tab, the outbox is kept, and goes on as somebody new', async ({
  world,
}) => {
  const tab = await liveTab(world)
  const other = await liveTab(world)
  await say(tab, 'before')
  const body = JSON.stringify({ error: 'invalid_grant' })
  const headers = { 'content-type': 'application/json' }
  const match = /^POST .*\/(auth\/refresh|sessions)$/
  const remove = world.proxy.rule({ match, action: { type: 'answer', status: 400, headers, body } })
  world.proxy.expireTokens()
  await tab.send('kept')
  const lost = { code: 'LEASE_REVOKED', message: expect.stringMatching(/sign in/) }
  expect(await event(tab, 'auth-required')).toEqual(lost)
  expect(await event(other, 'auth-required')).toEqual(lost)
  expect(await tab.state()).toMatchObject({ phase: 'auth-required', lease: { status: 'lost' }, outbox: { queued: 1 } })
  remove()
  // A service that ends a session takes its cookie away.
  await tab.page.context().clearCookies()
  await tab.page.evaluate(() => globalThis.chat.startNew())
  await tab.until((state) => state.phase === 'live')
  for (const { page } of [tab, other])
    expect(await page.evaluate(() => globalThis.told.filter(([name]) => name === 'auth-required').length)).toBe(1)
  const [kept] = await tab.page.evaluate(() => globalThis.chat.outbox.list())
  expect(kept).toMatchObject({ text: 'kept', status: 'parked', code: 'CONVERSATION_OVER' })
  await tab.page.evaluate((key) => globalThis.chat.outbox.retry(key), kept?.key ?? '')
  await tab.until((state) => state.messages.some(({ status }) => status === 'acked'))
  const next = (await tab.state()).conversation?.id ?? ''
  expect((await world.service.messages(next)).map(({ text }) => text)).toEqual(['kept'])
})
