// A disk that gives back what nobody wrote, or nothing at all: what can be understood goes on, what cannot is put aside
// and told, and no message that was accepted is lost with it.

import { connectAs, failureOf } from './failure.ts'
import { expect, test, type World, liveTab, texts } from './fixtures.ts'
import { reconnect, type Tab, allAcked } from './tab.ts'

const CONFIGURED = { worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' }

const told = (tab: Tab, code: string) =>
  tab.page.waitForFunction((wanted) => globalThis.problems.some((problem) => problem.code === wanted), code)

/** Keys as our stores have them: `IDBValidKey` nests in itself, which is too deep for the types of `evaluate`. */
type Key = string | number | [string, number]
type Planted = readonly (readonly [store: string, value: unknown, key?: Key])[]

/** Writes records behind the worker's back; no value removes the record. */
async function plant(tab: Tab, records: Planted): Promise<void> {
  await tab.page.evaluate(async (all) => {
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open('holdfast:demo')
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
    const transaction = database.transaction([...database.objectStoreNames], 'readwrite')
    for (const [store, value, key] of all) {
      if (value === null && key !== undefined) transaction.objectStore(store).delete(key)
      else transaction.objectStore(store).put(value, key)
    }
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve
      transaction.onabort = () => reject(transaction.error)
    })
    database.close()
  }, records)
}

/** Puts something else in the place of one part of the session's record. */
async function spoil(tab: Tab, at: readonly [string, ...string[]], part: unknown): Promise<void> {
  await tab.page.evaluate(
    async ([path, value]) => {
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open('holdfast:demo')
        request.onsuccess = () => resolve(request.result)
      })
      const slots = database.transaction('slots', 'readwrite').objectStore('slots')
      await new Promise<void>((resolve) => {
        slots.get('state').onsuccess = ({ target }) => {
          const state = (target as IDBRequest).result
          const owner = path.slice(0, -1).reduce((one, name) => one[name], state)
          owner[path.at(-1) ?? ''] = value
          slots.put(state, 'state').onsuccess = () => resolve()
        }
      })
      database.close()
    },
    [at, part] as const,
  )
}

/** Everything in one store of the database. */
const stored = (tab: Tab, store: string) =>
  tab.page.evaluate(async (name) => {
    const database = await new Promise<IDBDatabase>((resolve) => {
      const request = indexedDB.open('holdfast:demo')
      request.onsuccess = () => resolve(request.result)
    })
    const all = await new Promise<unknown[]>((resolve) => {
      const request = database.transaction(name).objectStore(name).getAll()
      request.onsuccess = () => resolve(request.result)
    })
    database.close()
    return all
  }, store)

test('[ST10] bad entries between queued messages are put aside and told; the messages arrive in order', async ({
  world,
}) => {
  const tab = await liveTab(world)
  world.proxy.offline(true)
  await tab.send('one')
  await plant(tab, [
    ['outbox', { seq: 0.5, live: '1', lane: '1' }],
    ['outbox', { seq: 1.5, key: 7, live: '1', lane: '1', text: null, at: 0, epoch: '', bytes: 0 }],
    ['outbox', { seq: 'not a number', key: 'k', live: '1' }],
    ['outbox', { seq: 90_000 }],
  ])
  await tab.send('two')
  await world.killWorker(tab.page)
  await tab.send('three')
  world.proxy.offline(false)
  await allAcked(tab, 3)
  expect(await texts(world)).toEqual(['one', 'two', 'three'])
  await told(tab, 'STORE_CORRUPT')
  expect(await stored(tab, 'quarantine')).toHaveLength(4)
  expect((await tab.state()).outbox).toEqual({ queued: 0, inflight: 0, dead: 0, stale: 0 })
})

test.describe('a record of the session that cannot be understood, with messages queued,', () => {
  const object = {}
  const rows: readonly { what: string; record: unknown }[] = [
    { what: 'a text', record: 'garbage' },
    { what: 'a number', record: 5 },
    { what: 'empty', record: {} },
    { what: 'of another schema', record: { schema: 99, rev: 1, session: object, lease: object } },
    {
      what: 'right outside and empty inside',
      record: {
        schema: 1,
        rev: 7,
        session: {},
        lease: {},
        context: {},
        outbox: { lanes: {} },
        transcript: {},
        typingUntil: 0,
        recent: [],
      },
    },
  ]
  const inside: readonly { what: string; at: readonly [string, ...string[]]; part: unknown }[] = [
    { what: 'without its conversation', at: ['session', 'conversation'], part: undefined },
    { what: 'whose conversation is numbered', at: ['session', 'conversation', 'id'], part: 7 },
    { what: 'whose lease has no refresh', at: ['lease', 'refresh'], part: undefined },
    { what: 'whose token ends at no time', at: ['lease', 'grant', 'expiresAt'], part: Number.NaN },
    { what: 'whose outbox is being tried by nobody', at: ['outbox', 'lanes', '1', 'attempt'], part: [] },
  ]
  for (const { what, at, part } of inside) {
    test(`[ST50] ${what}: the next worker puts it aside, and the messages arrive in the same conversation`, async ({
      world,
    }) => {
      const tab = await liveTab(world)
      await tab.send('before')
      await allAcked(tab, 1)
      world.proxy.offline(true)
      await tab.send('one')
      await tab.page.goto('about:blank')
      await tab.page.goto(`${world.site.url}/again`)
      await world.killWorker(tab.page)
      await spoil(tab, at, part)
      world.proxy.offline(false)
      await reconnect(tab)
      await tab.page.evaluate(async () => (await globalThis.chat.send('two')).settled)
      expect(await texts(world)).toEqual(['before', 'one', 'two'])
      await told(tab, 'STORE_CORRUPT')
      await allAcked(tab, 3)
    })
  }

  for (const { what, record } of rows) {
    for (const isKilled of [false, true]) {
      const who = isKilled ? 'the next worker' : 'the running worker'
      test(`[ST11] ${what}: ${who} puts it aside, says so, and the messages arrive in the same conversation`, async ({
        world,
      }) => {
        const tab = await liveTab(world)
        await tab.send('before')
        await allAcked(tab, 1)
        world.proxy.offline(true)
        await tab.send('one')
        await tab.send('two')
        if (isKilled) await tab.page.goto('about:blank')
        if (isKilled) await tab.page.goto(`${world.site.url}/again`)
        if (isKilled) await world.killWorker(tab.page)
        await plant(tab, [['slots', record, 'state']])
        world.proxy.offline(false)
        if (isKilled) await reconnect(tab)
        await tab.page.evaluate(async () => (await globalThis.chat.send('three')).settled)
        expect(await texts(world)).toEqual(['before', 'one', 'two', 'three'])
        await told(tab, 'STORE_CORRUPT')
        await allAcked(tab, 4)
      })
    }
  }

  test('[ST11] gone: the messages arrive in the same conversation', async ({ world }) => {
    const tab = await liveTab(world)
    world.proxy.offline(true)
    await tab.send('one')
    await tab.send('two')
    await tab.page.goto(`${world.site.url}/again`)
    await world.killWorker(tab.page)
    await plant(tab, [['slots', null, 'state']])
    world.proxy.offline(false)
    await reconnect(tab)
    await allAcked(tab, 2)
    expect(await texts(world)).toEqual(['one', 'two'])
  })
})

test('[ST10] a bad row of the transcript is skipped and told, and what it should say is fetched again', async ({
  world,
}) => {
  const tab = await liveTab(world)
  for (const text of ['one', 'two', 'three']) await tab.send(text)
  await allAcked(tab, 3)
  const conversationId = await world.conversationId()
  await tab.page.goto(`${world.site.url}/again`)
  await world.killWorker(tab.page)
  await plant(tab, [
    ['transcript', { conversationId, seq: 2 }],
    ['transcript', { conversationId, seq: 2.5, key: 'nobody', text: 5 }],
  ])
  await reconnect(tab)
  await tab.until((state) => state.phase === 'live')
  await tab.page.evaluate(async () => (await globalThis.chat.send('four')).settled)
  await allAcked(tab, 4)
  expect(await tab.texts()).toEqual(['one', 'two', 'three', 'four'])
  await told(tab, 'STORE_CORRUPT')
  expect(await tab.page.evaluate(async () => (await globalThis.chat.history()).map(({ text }) => text))).toEqual([
    'one',
    'two',
    'three',
    'four',
  ])
})

test('[ST20] a key that is none costs the tokens, not the session', async ({ world }) => {
  const tab = await liveTab(world)
  await tab.page.goto(`${world.site.url}/again`)
  await world.killWorker(tab.page)
  await plant(tab, [['vault', 'no key', 'key']])
  await reconnect(tab)
  await tab.page.evaluate(async () => (await globalThis.chat.send('still me')).settled)
  expect(await texts(world)).toEqual(['still me'])
})

test('[ST15] the database deleted in mid-session: told, and the conversation goes on', async ({ world }) => {
  const tab = await liveTab(world)
  await tab.send('before')
  await allAcked(tab, 1)
  await tab.page.evaluate(
    () =>
      new Promise((resolve) => {
        indexedDB.deleteDatabase('holdfast:demo').onsuccess = resolve
      }),
  )
  await tab.page.evaluate(async () => (await globalThis.chat.send('after')).settled)
  await told(tab, 'STORE_FAILED')
  expect(await texts(world)).toEqual(['before', 'after'])
  await allAcked(tab, 2)
})

test('[LK17] the database hung in mid-session: what is sent is accepted all the same, told, and goes out once', async ({
  world,
}) => {
  const other = await world.tab({ isBare: true })
  const tab = await liveTab(world)
  await tab.page.evaluate(async () => (await globalThis.chat.send('before')).settled)
  // A transaction of another page that never ends: whatever the worker asks for stands in line behind it.
  await other.page.evaluate(async () => {
    const database = await new Promise<IDBDatabase>((resolve) => {
      const request = indexedDB.open('holdfast:demo')
      request.onsuccess = () => resolve(request.result)
    })
    const store = database.transaction([...database.objectStoreNames], 'readwrite').objectStore('slots')
    const hold = () => {
      store.get('state').onsuccess = hold
    }
    hold()
  })
  await tab.page.evaluate(async () => (await globalThis.chat.send('while it hangs')).settled)
  await told(tab, 'STORE_FAILED')
  await tab.until((state) => state.storage === 'memory')
  await tab.page.evaluate(async () => (await globalThis.chat.send('after')).settled)
  expect(await texts(world)).toEqual(['before', 'while it hangs', 'after'])
  // Refused and sent again, or not at all: nothing of that.
  expect(world.proxy.count(/^POST .*\/messages$/)).toBe(3)
})

test.describe('storage that is blocked', () => {
  const lame = [
    {
      what: 'throws',
      code: "IDBFactory.prototype.open = () => { throw new DOMException('Blocked.', 'SecurityError') };",
    },
    { what: 'never answers', code: 'IDBFactory.prototype.open = () => new EventTarget();' },
  ]
  for (const { what, code } of lame) {
    test(`[ST14] and ${what}: the session lives in memory, one problem and the state say so`, async ({ world }) => {
      const worker = await (await fetch(`${world.site.url}/holdfast/sw.js`)).text()
      world.site.overrides.set('/holdfast/sw.js', { status: 200, type: 'text/javascript', body: code + worker })
      const tab = await world.tab({ isBare: true })
      await tab.page.evaluate(connectAs, CONFIGURED)
      expect((await tab.state()).storage).toBe('memory')
      await told(tab, 'STORE_FAILED')
      await tab.page.evaluate(async () => (await globalThis.chat.send('unstored')).settled)
      expect(await texts(world)).toEqual(['unstored'])
      const report = await tab.page.evaluate(() => globalThis.chat.diagnose())
      expect(report.findings.map((finding) => finding.code)).toContain('STORAGE_MEMORY')
      expect(await tab.page.evaluate(() => globalThis.problems.length)).toBe(1)
    })
  }
})

/** Runs in the page: the database as version 1 left it, with what that version had: one message said, and one waiting. */
async function plantVersion1({ state, epoch }: { state: unknown; epoch: string }): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open('holdfast:demo', 1)
    request.onerror = () => reject(request.error)
    request.onsuccess = () => resolve(request.result)
    request.onupgradeneeded = () => {
      const made = request.result
      made.createObjectStore('slots')
      const outbox = made.createObjectStore('outbox', { keyPath: 'seq' })
      outbox.createIndex('key', 'key')
      outbox.createIndex('live', 'live')
      made.createObjectStore('transcript', { keyPath: ['conversationId', 'seq'] }).createIndex('key', 'key')
      made.createObjectStore('quarantine', { autoIncrement: true })
      made.createObjectStore('vault')
    }
  })
  const transaction = database.transaction(['slots', 'outbox'], 'readwrite')
  transaction.objectStore('slots').put(state, 'state')
  const entry = { seq: 1, key: 'key-of-version-1', lane: '1', text: 'kept by version 1', at: Date.now(), bytes: 234 }
  transaction.objectStore('outbox').put({ ...entry, epoch, live: '1' })
  await new Promise((resolve) => {
    transaction.oncomplete = resolve
  })
  Object.assign(globalThis, { version1: database })
}

/** The slots of version 1: what later versions have added is not in them. */
function slotsOfVersion1(epoch: string): unknown {
  const idle = { status: 'idle' }
  return {
    ...{ schema: 1, rev: 7, typingUntil: 0, recent: [] },
    session: {
      ...{ epoch, id: null, isAuthenticated: false, expiresAt: 0, laneNumber: 1, routing: {}, asked: null },
      ...{ conversation: null, isNewWanted: false, opening: idle, making: idle, refusal: null, activeAt: 0 },
      stream: { attempt: idle, isOpen: false, isMerged: false },
      ...{ isValidated: false, isActiveElsewhere: false, tabs: 0, isOnline: true, isSignedOut: false, farewell: null },
    },
    lease: { status: 'none', generation: 0 },
    context: { values: { cart: 'of version 1' }, dirty: { cart: 'of version 1' }, dueAt: 0, push: idle, sending: {} },
    outbox: { nextSeq: 2, bytes: 234, dead: 0, stale: 0, lanes: { 1: { size: 1, attempt: idle, upTo: 0 } } },
    transcript: {
      ...{ conversationId: '', cursor: { seq: 0, id: '' }, above: [], headSeq: 0, gapSince: 0, unread: 0 },
      ...{ fetch: idle, askedSeq: 0, stuckSeq: 0, countedSeq: 0 },
    },
  }
}

test.describe('a database of an older version', () => {
  const EPOCH = '0b8c3a52-7a3c-7d0e-8d4f-0f5b6a7c8d9e'
  const planted = async (world: World): Promise<Tab> => {
    const older = await world.tab({ isBare: true })
    await older.page.evaluate(plantVersion1, { state: slotsOfVersion1(EPOCH), epoch: EPOCH })
    return older
  }
  const version = (tab: Tab) =>
    tab.page.evaluate(async () => (await indexedDB.databases()).find(({ name }) => name === 'holdfast:demo')?.version)

  test('[ST40] is brought up to date while an old tab has it open that lets go: what waited goes out, once', async ({
    world,
  }) => {
    const older = await planted(world)
    await older.page.evaluate(() => {
      const { version1 } = globalThis as unknown as { version1: IDBDatabase }
      version1.onversionchange = () => version1.close()
    })
    const tab = await liveTab(world)
    expect(await tab.state()).toMatchObject({ epoch: EPOCH, storage: 'durable', context: { cart: 'of version 1' } })
    await allAcked(tab, 1)
    await tab.send('said by the new one')
    await allAcked(tab, 2)
    expect(await texts(world)).toEqual(['kept by version 1', 'said by the new one'])
    expect([await version(tab), await tab.page.evaluate(() => globalThis.problems)]).toEqual([2, []])
  })

  test('[ST41] and of an old tab that never lets go: nobody is held up, and what it holds goes out when it has gone', async ({
    world,
  }) => {
    const older = await planted(world)
    const tab = await liveTab(world)
    expect((await tab.state()).storage).toBe('memory')
    await told(tab, 'STORE_FAILED')
    await tab.page.evaluate(async () => (await globalThis.chat.send('from memory')).settled)
    expect(await texts(world)).toEqual(['from memory'])
    await older.close()
    await world.killWorker(tab.page)
    await tab.page.reload()
    await reconnect(tab)
    await tab.until((state) => state.storage === 'durable' && state.phase === 'live')
    await expect.poll(() => texts(world)).toEqual(['from memory', 'kept by version 1'])
    for (const one of ['from memory', 'kept by version 1'])
      await tab.until((state, text) => state.messages.some((message) => message.text === text && message.id), one)
    expect(await version(tab)).toBe(2)
  })
})

test('[PG15] a draft that somebody else wrote is no draft', async ({ world }) => {
  const tab = await liveTab(world)
  for (const junk of ['{{{', '5', 'null', '[1]', '{"a/b":{}}']) {
    await tab.page.evaluate((value) => sessionStorage.setItem('holdfast:draft:demo', value), junk)
    await tab.page.reload()
    await reconnect(tab)
    expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('')
    expect(await failureOf(tab.page, () => Object.assign(globalThis.chat.draft, { text: 'mine' })), junk).toBeNull()
    expect(await tab.page.evaluate(() => globalThis.chat.draft.text)).toBe('mine')
    // A page that goes away with a draft writes it down once more, over the next thing that we put there.
    await tab.page.evaluate(() => Object.assign(globalThis.chat.draft, { text: '' }))
  }
})
