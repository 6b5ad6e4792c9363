// What a site, a server, a disk and another version can get wrong: each is answered by a typed error or a state with a
// sentence that says what to do, and nothing that was accepted is lost.

import { startService } from '../testing/service.ts'
import { connectAs, failureOf } from './failure.ts'
import { expect, SERVER_ENTRY, test, type World, liveTab, texts } from './fixtures.ts'
import { connectHere, reconnect, type Tab } from './tab.ts'

const CONFIGURED = '/holdfast/sw.js?config=/holdfast/config.json'
const PORTAL = '<!doctype html><title>Please log in to the hotel network</title>'

/** Resolves with the first problem of that code that the page is told. */
async function problemOf(tab: Tab, code: string): Promise<string> {
  await tab.page.waitForFunction((wanted) => globalThis.problems.some((problem) => problem.code === wanted), code)
  const problems = await tab.page.evaluate(() => globalThis.problems)
  return problems.find((problem) => problem.code === code)?.message ?? ''
}

test.describe('what a site hands over', () => {
  test('[PG10] text that is none is a TypeError, text that is too long has a code, and nothing of it is sent', async ({
    world,
  }) => {
    const tab = await liveTab(world)
    const wrong = [
      '',
      '  \n\t',
      5,
      null,
      undefined,
      true,
      {},
      [],
      { text: 5 },
      { text: ' ' },
      { text: 'a', metadata: { b: {} } },
    ]
    for (const content of wrong) {
      const failure = await failureOf(tab.page, (value: never) => globalThis.chat.send(value), content)
      expect(failure, JSON.stringify(content)).toMatchObject({ name: 'TypeError' })
      expect(failure?.message).toMatch(/must be/)
    }
    const tooLong = await failureOf(tab.page, () => globalThis.chat.send('x'.repeat(4_097)))
    expect(tooLong).toMatchObject({ name: 'HoldfastError', code: 'MESSAGE_TOO_LONG' })
    expect(tooLong?.message).toContain('send it in parts')
    await tab.page.evaluate(async () => {
      const receipts = [await globalThis.chat.send('y'.repeat(4_096)), await globalThis.chat.send({ text: 'fine' })]
      await Promise.all(receipts.map(({ settled }) => settled))
    })
    expect(await texts(world)).toEqual(['y'.repeat(4_096), 'fine'])
    expect((await tab.state()).outbox).toEqual({ queued: 0, inflight: 0, dead: 0, stale: 0 })
  })

  test('[PG10] other wrong arguments are TypeErrors that name what is wrong', async ({ world }) => {
    const tab = await liveTab(world)
    const calls: readonly [() => unknown, RegExp][] = [
      [() => globalThis.chat.history({ limit: -1 }), /must be whole/],
      [() => globalThis.chat.history({ before: 1.5 }), /must be whole/],
      [() => globalThis.chat.context.set({ cart: { value: 12 } } as never), /strings and booleans/],
      [() => globalThis.chat.context.set(null as never), /strings and booleans/],
      [() => globalThis.chat.logout({ unsent: 'maybe' as never }), /'send', 'discard' or 'refuse'/],
      [() => Object.assign(globalThis.chat.draft, { text: 5 }), /must be a string/],
      [() => globalThis.holdfast.connect({ worker: '/holdfast/sw.js' } as never), /`deployment` must be a name/],
      [() => globalThis.holdfast.connect({ deployment: 'demo' } as never), /`worker` must be an address/],
      [() => globalThis.holdfast.connect(undefined as never), /must be/],
    ]
    for (const [call, sentence] of calls) {
      const failure = await failureOf(tab.page, call)
      expect(failure, call.toString()).toMatchObject({ name: 'TypeError', message: expect.stringMatching(sentence) })
    }
    await tab.page.evaluate(async () => (await globalThis.chat.send('still here')).settled)
    expect(await texts(world)).toEqual(['still here'])
  })
})

test.describe('a deployment', () => {
  test('[PL3] that the worker does not know is refused by connect with the names it knows', async ({ world }) => {
    const tab = await world.tab({ isBare: true })
    const failure = await failureOf(tab.page, connectHere as never, 'shop')
    expect(failure).toMatchObject({ name: 'HoldfastError', code: 'DEPLOYMENT_UNKNOWN' })
    expect(failure?.message).toContain('It knows: demo.')
    for (const name of ['toString', '__proto__', 'constructor'])
      expect(await failureOf(tab.page, connectHere as never, name)).toMatchObject({ code: 'DEPLOYMENT_UNKNOWN' })
    expect(await tab.page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name))).toEqual([])
  })

  test.describe('that the service does not know', () => {
    test.use({ site: { deployments: ['shop'] } })

    test('[PL3] is told once and shown by diagnose; what was sent goes out when the service has learned of it', async ({
      world,
    }) => {
      const other = await startService({ entry: SERVER_ENTRY, config: { deployments: { shop: {} } } })
      const tab = await world.tab({ isBare: true })
      await tab.page.evaluate(connectAs, { worker: CONFIGURED, deployment: 'shop' })
      await tab.until((state) => state.phase === 'ended')
      expect(await problemOf(tab, 'DEPLOYMENT_UNKNOWN')).toMatch(/[Cc]heck/)
      const report = await tab.page.evaluate(() => globalThis.chat.diagnose())
      expect(report.findings).toContainEqual({
        code: 'DEPLOYMENT_UNKNOWN',
        severity: 'error',
        text: expect.stringContaining('check the deployment name'),
      })
      await tab.send('kept')
      world.proxy.target(other.port)
      await tab.page.reload()
      await reconnect(tab, 'shop')
      await tab.until((state) => state.messages[0]?.status === 'acked')
      const asked = await other.asAgent('GET', '/api/v2/messaging/conversations', undefined, {}, 'shop')
      const [conversation] = (asked as { conversations: { id: string }[] }).conversations
      const said = await other.messages(conversation?.id ?? '', 'shop')
      await other.close()
      expect(said.map(({ text }) => text)).toEqual(['kept'])
    })
  })
})

test.describe('a worker file', () => {
  const script = (body: string, status = 200, type = 'text/javascript') => ({ status, type, body })
  const rows = [
    {
      what: 'that is missing',
      override: script('gone', 404, 'text/plain'),
      sentence: /sw\.js.* answered 404: put the worker script there/,
    },
    {
      what: 'that came as HTML',
      override: script('<html>', 200, 'text/html'),
      sentence: /came as text\/html: serve it as text\/javascript/,
    },
    { what: 'that throws', override: script('throw new Error("broken")'), sentence: /failed as a classic script/ },
    { what: 'that is no script', override: script('const const'), sentence: /failed as a classic script/ },
  ]
  for (const { what, override, sentence } of rows) {
    test(`[LK15] ${what} is WORKER_UNAVAILABLE with the reason, or the page takes over`, async ({ world }) => {
      world.site.overrides.set('/holdfast/sw.js', override)
      const tab = await world.tab({ isBare: true })
      const failure = await failureOf(tab.page, connectAs as never, { worker: '/holdfast/sw.js', deployment: 'demo' })
      expect(failure).toMatchObject({ name: 'HoldfastError', code: 'WORKER_UNAVAILABLE' })
      expect(failure?.message).toMatch(sentence)
      await pageTakesOver(world, tab, sentence)
    })
  }

  test('[LK15] that the Content-Security-Policy forbids is WORKER_UNAVAILABLE with the reason, or the page takes over', async ({
    world,
  }) => {
    const page = await (await fetch(world.site.url)).text()
    const headers = { 'content-security-policy': "worker-src 'none'" }
    world.site.overrides.set('/', { status: 200, type: 'text/html', body: page, headers })
    const tab = await world.tab({ isBare: true })
    const failure = await failureOf(tab.page, connectAs as never, { worker: '/holdfast/sw.js', deployment: 'demo' })
    expect(failure).toMatchObject({ name: 'HoldfastError', code: 'WORKER_UNAVAILABLE' })
    expect(failure?.message).toMatch(/is forbidden: see worker-src in the Content-Security-Policy/)
    await pageTakesOver(world, tab, /worker-src/)
  })

  test('[LK15] that a sandboxed frame cannot have: the frame takes over, in memory, and the site is told why', async ({
    world,
  }) => {
    const open = { 'access-control-allow-origin': '*' }
    const files = ['holdfast.js', 'holdfast-more.js', 'holdfast-local-host.js', 'config.json']
    for (const path of files.map((file) => `/holdfast/${file}`)) {
      const answer = await fetch(`${world.site.url}${path}`)
      const type = answer.headers.get('content-type') ?? ''
      world.site.overrides.set(path, { status: 200, type, body: await answer.text(), headers: open })
    }
    const page = await (await fetch(world.site.url)).text()
    const headers = { 'content-security-policy': 'sandbox allow-scripts' }
    world.site.overrides.set('/', { status: 200, type: 'text/html', body: page, headers })
    const tab = await world.tab({ isBare: true })
    await pageTakesOver(world, tab, /sandboxed frame/)
    expect(await tab.state()).toMatchObject({ phase: 'live', storage: 'memory' })
  })

  test('[LK15] that is there again is used at the next load, with what the page had accepted', async ({ world }) => {
    world.site.overrides.set('/holdfast/sw.js', script('gone', 404))
    world.proxy.offline(true)
    const tab = await world.tab()
    expect((await tab.state()).host).toBe('page')
    await tab.send('accepted in the page')
    world.site.overrides.delete('/holdfast/sw.js')
    world.proxy.offline(false)
    await tab.page.reload()
    await reconnect(tab)
    expect((await tab.state()).host).toBe('service-worker')
    await tab.until((state) => state.messages[0]?.status === 'acked')
    expect(await texts(world)).toEqual(['accepted in the page'])
  })
})

/** With `?config=` the engine runs in the page instead, and the site is told why. */
async function pageTakesOver(world: World, tab: Tab, sentence: RegExp): Promise<void> {
  await tab.page.evaluate(connectAs, { worker: CONFIGURED, deployment: 'demo' })
  expect((await tab.state()).host).toBe('page')
  expect(await problemOf(tab, 'WORKER_UNAVAILABLE')).toMatch(sentence)
  await tab.page.evaluate(async () => (await globalThis.chat.send('from the page')).settled)
  expect(await texts(world)).toEqual(['from the page'])
}

test.describe('a service', () => {
  test('[PG1] that is not there at the first start: connect resolves, the message is kept and goes out once it is', async ({
    world,
  }) => {
    await world.service.kill()
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'reconnecting')
    expect(await problemOf(tab, 'SERVICE_UNREACHABLE')).toMatch(/does not answer\. It is tried again/)
    await tab.send('early bird')
    await tab.until((state) => state.messages[0]?.status === 'queued')
    await world.service.start()
    await tab.until((state) => state.phase === 'live' && state.messages[0]?.status === 'acked')
    expect(await texts(world)).toEqual(['early bird'])
  })

  // What answers the calls answers the preflights too, and then the browser lets no call through at all.
  const html = { 'content-type': 'text/html' }
  const portals = [
    {
      what: 'a page of HTML',
      match: /./,
      code: 'SERVICE_UNREACHABLE',
      answer: { status: 200, headers: html, body: PORTAL },
    },
    { what: 'a page of HTML where no preflight is needed', answer: { status: 200, headers: html, body: PORTAL } },
    { what: 'a redirect to a login page', answer: { status: 302, headers: { location: '/login' }, body: '' } },
    { what: 'JSON of something else', answer: { status: 200, body: '{"ok":true}' } },
    { what: 'the 404 of another server', answer: { status: 404, body: 'not found' } },
  ]
  for (const { what, answer, match = /^(?!OPTIONS)/, code = 'SERVICE_BAD_RESPONSE' } of portals) {
    test(`[PL16] in whose place ${what} answers from the first start: told once, taken for nothing, recovered from`, async ({
      world,
    }) => {
      const remove = world.proxy.rule({ match, action: { type: 'answer', ...answer } })
      const tab = await world.tab()
      await tab.until((state) => state.phase === 'reconnecting')
      await tab.send('patience')
      await world.proxy.seen(/ .*\/sessions$/, 3)
      expect(await problemOf(tab, code)).toMatch(/tried again by itself and nothing is lost/)
      expect(await tab.page.evaluate(() => globalThis.problems.length)).toBe(1)
      await tab.until((state) => state.messages[0]?.status === 'queued')
      remove()
      await tab.until((state) => state.phase === 'live' && state.messages[0]?.status === 'acked')
      expect(await texts(world)).toEqual(['patience'])
    })
  }
})

test.describe('a configuration', () => {
  const json = (body: string) => ({ status: 200, type: 'application/json', body })
  const rows = [
    {
      what: 'that is missing',
      override: { status: 404, type: 'text/plain', body: '' },
      code: 'CONFIG_INVALID',
      sentence: /config\.json answered 404: check the "config"/,
    },
    {
      what: 'that was asked for too often',
      override: { status: 429, type: 'text/plain', body: '' },
      code: 'SERVICE_UNREACHABLE',
      sentence: /config\.json answered 429: check the "config"/,
    },
    {
      what: 'that cannot be had just now',
      override: { status: 503, type: 'text/plain', body: '' },
      code: 'SERVICE_UNREACHABLE',
      sentence: /config\.json answered 503: check the "config"/,
    },
    { what: 'that is no JSON', override: json('<html>'), code: 'CONFIG_INVALID', sentence: /config\.json is not JSON/ },
    { what: 'without deployments', override: json('{}'), code: 'CONFIG_INVALID', sentence: /has no "deployments"/ },
    { what: 'that is null', override: json('null'), code: 'CONFIG_INVALID', sentence: /has no "deployments"/ },
    {
      what: 'of a platform that nobody knows',
      override: json('{"deployments":{"demo":{"platform":{"type":"pigeon","url":"/"}}}}'),
      code: 'CONFIG_INVALID',
      sentence: /"demo" needs a "platform" with "url" \(or "domain"\) and a "type" of: session-service/,
    },
    {
      what: 'without a url',
      override: json('{"deployments":{"demo":{"platform":{"type":"session-service"}}}}'),
      code: 'CONFIG_INVALID',
      sentence: /needs a "platform" with "url" \(or "domain"\)/,
    },
    {
      what: 'with a vault that nobody knows',
      override: json('{"deployments":{"demo":{"platform":{"type":"session-service","url":"/"},"vault":"pocket"}}}'),
      code: 'CONFIG_INVALID',
      sentence: /"vault" that is none of: broker, persistent, memory/,
    },
  ]
  for (const { what, override, code, sentence } of rows) {
    test(`[EN21] ${what} is refused with a code and a sentence, and the next connect finds the right one`, async ({
      world,
    }) => {
      world.site.overrides.set('/holdfast/config.json', override)
      const tab = await world.tab({ isBare: true })
      const failure = await failureOf(tab.page, connectHere as never, 'demo')
      expect(failure).toMatchObject({ name: 'HoldfastError', code, message: expect.stringMatching(sentence) })
      world.site.overrides.delete('/holdfast/config.json')
      await tab.page.evaluate(connectHere, 'demo')
      await tab.page.evaluate(async () => (await globalThis.chat.send('configured')).settled)
      expect(await texts(world)).toEqual(['configured'])
    })
  }

  test('[EN21] that turns bad later is not used: the one on the disk goes on', async ({ world }) => {
    const tab = await liveTab(world)
    world.site.overrides.set('/holdfast/config.json', json('<html>'))
    await world.killWorker(tab.page)
    await tab.page.reload()
    await reconnect(tab)
    await tab.page.evaluate(async () => (await globalThis.chat.send('as before')).settled)
    expect(await texts(world)).toEqual(['as before'])
  })

  test('[EN21] that was kept and cannot be used any more gives way to the one of the site', async ({ world }) => {
    const tab = await liveTab(world)
    await tab.page.goto(`${world.site.url}/another`)
    await world.killWorker(tab.page)
    await tab.page.evaluate(async () => {
      const cache = await caches.open('holdfast-config')
      for (const request of await cache.keys()) await cache.put(request, new Response('{"deployments":5}'))
    })
    await reconnect(tab)
    await tab.page.evaluate(async () => (await globalThis.chat.send('from the site')).settled)
    expect(await texts(world)).toEqual(['from the site'])
  })
})
