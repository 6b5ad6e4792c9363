// What a site can ask of a Chat, and what reaches the worker of it.
import { describe, expect, test, vi } from 'vitest'
import { HoldfastError, toWire } from '../../core/errors.ts'
import { type Attributes, type Command, ENQUEUE_MAX, type Snapshot } from '../../core/wire.ts'
import { openChat } from '../../src/client.ts'
import { MESSAGE_CHARS_MAX } from '../../src/content.ts'
import { ANSWER_MS } from '../../src/draft.ts'
import { newKey } from '../../src/key.ts'
import type { Host } from '../../src/link.ts'
import { TYPING_MS } from '../../src/typing.ts'
import { FakeBrowser, setUp, snapshotOf, until } from './client-fixtures.ts'

async function open(first: Partial<Snapshot> = {}, routing?: Attributes) {
  const parts = setUp()
  parts.worker.snapshot = snapshotOf(first)
  const chat = await openChat(parts.link, { deployment: 'acme', routing }, parts.browser)
  return { ...parts, chat }
}

const UUID_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('keys', () => {
  test('[PG9] a key is a UUID of version 7 that begins with the time', () => {
    const keys = Array.from({ length: 500 }, () => newKey(0x0123456789ab))
    expect(keys.every((key) => UUID_7.test(key) && key.startsWith('01234567-89ab-'))).toBe(true)
    expect(new Set(keys).size).toBe(500)
    expect(new Set(keys.map((key) => key[19])).size, 'the variant leaves two bits to chance').toBe(4)
  })
})

describe('send', () => {
  test('[PG9] the message goes with a key made here, and resolves when the worker has it', async () => {
    const { chat, worker } = await open()
    const receipt = await chat.send({ text: 'hello', metadata: { page: '/cart', items: 2, vip: true } })
    expect(receipt.key).toMatch(UUID_7)
    const metadata = { page: '/cart', items: 2, vip: true }
    expect(worker.commands('enqueue')).toEqual([
      { type: 'enqueue', messages: [{ key: receipt.key, text: 'hello', metadata }] },
    ])
  })

  test.each([
    ['an empty text', ''],
    ['a blank text', ' \n\t'],
    ['nothing', undefined],
    ['a number', 7],
    ['a text that is none', { text: 7 }],
    ['metadata in layers', { text: 'a', metadata: { cart: { items: 2 } } }],
    ['metadata that is no number', { text: 'a', metadata: { price: Number.NaN } }],
  ])('[PG10] %s is a TypeError before anything happens', async (_, content) => {
    const { chat, worker } = await open()
    await expect(chat.send(content as string)).rejects.toBeInstanceOf(TypeError)
    await chat.diagnose()
    expect(worker.commands('enqueue')).toEqual([])
  })

  test('[PG10] a text over the limit is refused whole, and its message says both numbers', async () => {
    const { chat, worker } = await open()
    const long = chat.send('a'.repeat(MESSAGE_CHARS_MAX + 1))
    await expect(long).rejects.toMatchObject({ code: 'MESSAGE_TOO_LONG', message: expect.stringMatching(/4097.*4096/) })
    await chat.send('a'.repeat(MESSAGE_CHARS_MAX))
    expect(worker.commands('enqueue')).toHaveLength(1)
  })

  test('[ST46] storage that lasts is asked for once, when the first message is kept', async () => {
    const { chat, browser, worker } = await open()
    expect(browser.persisted).toBe(0)
    worker.answers.enqueue = () => {
      delete worker.answers.enqueue
      throw new HoldfastError('STORE_FAILED', 'Not stored.')
    }
    await expect(chat.send('a')).rejects.toThrow()
    expect(browser.persisted).toBe(0)
    await chat.send('b')
    await chat.send('c')
    expect(browser.persisted).toBe(1)
  })

  test('[PG11] what is sent at the same moment shares a call, in order', async () => {
    const { chat, worker } = await open()
    await Promise.all(['a', 'b', 'c'].map((text) => chat.send(text)))
    expect(worker.commands('enqueue').map(({ messages }) => messages.map(({ text }) => text))).toEqual([
      ['a', 'b', 'c'],
    ])
  })

  test('[PG11] what is sent during a call shares the next, of a bounded size', async () => {
    const { chat, worker } = await open()
    const texts = Array.from({ length: ENQUEUE_MAX + 2 }, (_, index) => `message ${index}`)
    await Promise.all(texts.map((text) => chat.send(text)))
    expect(worker.commands('enqueue').map(({ messages }) => messages.length)).toEqual([ENQUEUE_MAX, 2])
    expect(worker.commands('enqueue').flatMap(({ messages }) => messages.map(({ text }) => text))).toEqual(texts)
  })

  test('[PG11] each message of a call has an outcome of its own', async () => {
    const { chat, worker } = await open()
    const full = toWire(new HoldfastError('OUTBOX_FULL', 'There is no room.'))
    worker.answers.enqueue = () => [{ seq: 1 }, { error: full }, { seq: 2 }]
    const results = await Promise.allSettled(['a', 'b', 'c'].map((text) => chat.send(text)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({ reason: { name: 'HoldfastError', code: 'OUTBOX_FULL' } })
  })

  test('[PG11] a call that fails rejects its messages, and the next call is made all the same', async () => {
    const { chat, worker } = await open()
    worker.answers.enqueue = () => {
      delete worker.answers.enqueue
      throw new HoldfastError('STORE_FULL', 'The disk is full.')
    }
    await expect(chat.send('a')).rejects.toMatchObject({ code: 'STORE_FULL' })
    await expect(chat.send('b')).resolves.toMatchObject({ key: expect.any(String) })
  })

  test('[PG12] a message belongs to the identity that wrote it', async () => {
    const { chat, worker, browser } = await open()
    let release = () => {}
    worker.answers.enqueue = () => {
      delete worker.answers.enqueue
      return new Promise((resolve) => {
        release = () => resolve([{ seq: 1 }])
      })
    }
    const first = chat.send('holds the call')
    await until(() => expect(worker.commands('enqueue')).toHaveLength(1))
    const second = chat.send("the former guest's")
    worker.change(browser, { epoch: 'e2' })
    await until(() => expect(chat.state.epoch).toBe('e2'))
    const third = chat.send("the next guest's")
    release()
    await Promise.all([first, second, third])
    const enqueued = worker.calls.filter(({ command }) => command.type === 'enqueue')
    expect(enqueued.map(({ caller }) => caller.epoch)).toEqual(['e1', 'e1', 'e2'])
  })
})

describe('context', () => {
  test('[PG13] a change is seen here at once, and by the snapshot later, without a step back', async () => {
    const { chat, worker, browser } = await open({ context: { cart: '1', page: '/' } })
    worker.answers['set-context'] = (command) => {
      const { delta } = command as Extract<Command, { type: 'set-context' }>
      const values = Object.entries({ ...worker.snapshot.context, ...delta }).filter(([, value]) => value !== null)
      worker.change(browser, { context: Object.fromEntries(values) as Attributes })
      return worker.snapshot.context
    }
    const set = chat.context.set({ cart: '2' })
    const remove = chat.context.remove('page')
    const seen: unknown[] = []
    chat.subscribe(() => seen.push(chat.context.get()))
    await Promise.all([set, remove])
    expect(seen.length).toBeGreaterThan(1)
    expect(seen.filter((values) => JSON.stringify(values) !== '{"cart":"2"}')).toEqual([])
    expect(chat.context.get()).toEqual({ cart: '2' })
    expect(chat.state.context).toEqual({ cart: '2' })
  })

  test('[PG13] a change that the worker refuses is no longer seen', async () => {
    const { chat, worker } = await open({ context: { cart: '1' } })
    worker.answers['set-context'] = () => Promise.reject(new HoldfastError('CONTEXT_TOO_LARGE', 'Too large.'))
    await expect(chat.context.set({ cart: '2' })).rejects.toMatchObject({ code: 'CONTEXT_TOO_LARGE' })
    expect(chat.context.get()).toEqual({ cart: '1' })
  })

  test('[CX31] no name is special: it is set, seen and removed like any other', async () => {
    const { chat, worker } = await open({ context: JSON.parse('{"__proto__":"1","constructor":"2"}') })
    expect(JSON.stringify(chat.context.get())).toBe('{"__proto__":"1","constructor":"2"}')
    const set = chat.context.set(JSON.parse('{"__proto__":"3","hasOwnProperty":true}'))
    const shown = '{"__proto__":"3","constructor":"2","hasOwnProperty":true}'
    expect(JSON.stringify(chat.context.get())).toBe(shown)
    await set
    const removed = chat.context.remove('__proto__', 'constructor')
    expect(JSON.stringify(chat.context.get())).toBe('{}')
    await removed
    expect(worker.commands('set-context').map(({ delta }) => JSON.stringify(delta))).toEqual([
      '{"__proto__":"3","hasOwnProperty":true}',
      '{"__proto__":null,"constructor":null}',
    ])
  })

  test.each([[{ total: 12 }], [{ cart: null }], ['cart'], [undefined]])('[PG13] %j is a TypeError', async (values) => {
    const { chat } = await open()
    await expect(chat.context.set(values as never)).rejects.toBeInstanceOf(TypeError)
    expect(chat.context.get()).toEqual({})
  })
})

describe('typing', () => {
  const said = (commands: readonly Extract<Command, { type: 'typing' }>[]) => commands.map(({ on }) => on)

  test('[PG14] it is said once in five seconds, and unsaid after as many without a key', async () => {
    const { chat, worker, browser } = await open()
    const press = chat.typing
    for (let second = 0; second < 7; second++) {
      press()
      browser.advance(1_000)
    }
    await until(() => expect(said(worker.commands('typing'))).toEqual([true, true]))
    // A call that is not answered yet when the clock moves would meet its deadline, and be made again.
    await chat.diagnose()
    browser.advance(TYPING_MS)
    await until(() => expect(said(worker.commands('typing'))).toEqual([true, true, false]))
    await chat.diagnose()
    browser.advance(60_000)
    await chat.diagnose()
    expect(said(worker.commands('typing'))).toEqual([true, true, false])
  })

  test('[PG14] sending ends it', async () => {
    const { chat, worker } = await open()
    chat.typing()
    await chat.send('hello')
    await until(() => expect(said(worker.commands('typing'))).toEqual([true, false]))
  })
})

describe('draft', () => {
  const at = async (browser: FakeBrowser, first: Partial<Snapshot> = {}) => {
    const { link, worker } = setUp()
    worker.snapshot = snapshotOf(first)
    return { worker, chat: await openChat(link, { deployment: 'acme', routing: undefined }, browser) }
  }
  /** Written, and in the storage of the tab: to seal it takes a moment. */
  const write = async (chat: Awaited<ReturnType<typeof at>>['chat'], text: string, browser: FakeBrowser) => {
    const before = browser.stored.get('holdfast:draft:acme')
    chat.draft.text = text
    await until(() => expect(browser.stored.get('holdfast:draft:acme')).not.toBe(before))
  }
  /** The page goes away, and another comes in its tab. */
  const reload = async (browser: FakeBrowser, first: Partial<Snapshot> = {}) => {
    browser.leave()
    return (await at(browser, first)).chat
  }

  test('[PG15] it is kept over a reload, and apart from those of other conversations and identities', async () => {
    const browser = new FakeBrowser()
    const { chat } = await at(browser)
    await write(chat, 'I was about to', browser)
    expect([...browser.stored.values()].join()).not.toMatch(/about|"e1"/)
    expect((await reload(browser)).draft.text).toBe('I was about to')
    expect((await reload(browser, { conversation: { id: 'c2', state: 'active' } })).draft.text).toBe('')
    expect((await reload(browser)).draft.text).toBe('I was about to')
    expect((await reload(browser, { epoch: 'e2' })).draft.text).toBe('')
    expect([...browser.stored.values()].join()).not.toContain('I was about to')
  })

  test('[PG15] begun before there was a conversation, it goes along into the first', async () => {
    const browser = new FakeBrowser()
    const { chat } = await at(browser, { conversation: null })
    await write(chat, 'hel', browser)
    const later = await reload(browser)
    expect(later.draft.text).toBe('hel')
    await write(later, 'hello', browser)
    expect((await reload(browser)).draft.text).toBe('hello')
    expect((await reload(browser, { conversation: { id: 'c2', state: 'active' } })).draft.text).toBe('')
  })

  test('[PG15] signing out removes all of them from the tab', async () => {
    const { chat, worker, browser } = await open()
    await write(chat, 'my secret', browser)
    worker.change(browser, { phase: 'signed-out' })
    await until(() => expect(chat.draft.text).toBe(''))
    expect(JSON.parse(browser.stored.get('holdfast:draft:acme') as string).box).toEqual([])
  })

  test('[WI16] what is typed on after a logout elsewhere is no draft of the next visitor', async () => {
    const { chat, worker, browser } = await open()
    await write(chat, 'my secret', browser)
    worker.change(browser, { phase: 'signed-out', epoch: 'e2' })
    await until(() => expect(chat.state.phase).toBe('signed-out'))
    const kept = vi.spyOn(browser.stored, 'set')
    chat.draft.text = 'my secret is'
    await until(() => expect(kept).toHaveBeenCalled())
    expect(JSON.parse(browser.stored.get('holdfast:draft:acme') as string).box).toEqual([])
    expect((await reload(browser, { epoch: 'e2' })).draft.text).toBe('')
  })

  test('[PG15] without storage, or with rubbish in it, it lives as long as the page', async () => {
    const browser = new FakeBrowser()
    browser.stored.set('holdfast:draft:acme', '}')
    const { chat } = await at(browser)
    browser.blocked = true
    chat.draft.text = 'kept'
    expect(chat.draft.text).toBe('kept')
    expect(() => {
      chat.draft.text = 7 as never
    }).toThrow(TypeError)
  })

  /** A tab beside the first, with a copy of what was stored for it. */
  const copyOf = (browser: FakeBrowser) => {
    const copy = new FakeBrowser(browser)
    for (const [name, value] of browser.stored) copy.stored.set(name, value)
    return copy
  }

  test('[PG31] in a tab that is a copy of another there is no draft, and none is stored; the first keeps its own', async () => {
    const first = new FakeBrowser()
    const { chat } = await at(first)
    await write(chat, 'mine alone', first)
    const second = copyOf(first)
    const copy = (await at(second)).chat
    expect([copy.draft.text, chat.draft.text]).toEqual(['', 'mine alone'])
    expect(JSON.parse(second.stored.get('holdfast:draft:acme') as string).box).toEqual([])
    await write(copy, 'the other', second)
    expect((await reload(second)).draft.text).toBe('the other')
    expect((await reload(first)).draft.text).toBe('mine alone')
  })

  test('[PG31] a second chat of the same page takes nothing from the first, and an empty draft asks nobody', async () => {
    const browser = new FakeBrowser()
    const { chat } = await at(browser)
    await write(chat, 'in the first', browser)
    const { chat: second } = await at(browser)
    expect(second.draft.text).toBe('')
    const again = await reload(browser)
    expect(again.draft.text).toBe('in the first')
    await write(again, '', browser)
    const crashed = copyOf(browser)
    again.disconnect()
    await at(crashed)
    expect(crashed.timers).not.toContain(ANSWER_MS)
  })

  test('[PG31] where the page before could not let go, its draft is taken when it does not answer in time', async () => {
    const crashed = new FakeBrowser()
    const { chat } = await at(crashed)
    await write(chat, 'before the crash', crashed)
    const restored = new FakeBrowser()
    for (const [name, value] of crashed.stored) restored.stored.set(name, value)
    const opening = at(restored)
    await until(() => expect(restored.timers).toContain(ANSWER_MS))
    restored.advance(ANSWER_MS)
    expect((await opening).chat.draft.text).toBe('before the crash')
  })

  test('[PG31] a page that comes back from the cache shows what was written in its tab meanwhile', async () => {
    const browser = new FakeBrowser()
    const { chat } = await at(browser)
    await write(chat, 'on the first page', browser)
    browser.fire('pagehide')
    const next = (await at(browser)).chat
    await write(next, 'on the second page', browser)
    next.disconnect()
    browser.fire('pageshow', { persisted: true })
    await until(() => expect(chat.draft.text).toBe('on the second page'))
  })
})

describe('the other commands', () => {
  test('[PG16] each says what it means, with a key where it changes something', async () => {
    const { chat, worker } = await open({}, { queue: 'sales' })
    worker.answers.history = () => []
    const { outbox, history, markRead, startNew, logout } = chat
    await history()
    await history({ before: 40, limit: 10 })
    await markRead()
    await outbox.list()
    await outbox.retry('k1')
    await outbox.cancel('k2')
    const { key } = await outbox.edit('k3', 'better')
    await startNew()
    expect(await logout()).toEqual({ verified: true })
    const said = worker.calls.map(({ command }) => command).filter(({ type }) => type !== 'pull')
    expect(said).toEqual([
      { type: 'route', routing: { queue: 'sales' } },
      { type: 'history', limit: 50 },
      { type: 'history', before: 40, limit: 10 },
      { type: 'mark-read' },
      { type: 'list-outbox' },
      { type: 'retry', key: 'k1' },
      { type: 'cancel', key: 'k2' },
      { type: 'edit', key: 'k3', message: { key, text: 'better' } },
      { type: 'start-new', key: expect.stringMatching(UUID_7), routing: { queue: 'sales' } },
      { type: 'logout', unsent: 'refuse', key: expect.stringMatching(UUID_7) },
    ])
  })

  test('[PG10] wrong arguments are TypeErrors before anything happens', async () => {
    const { chat, worker } = await open()
    await expect(chat.history({ limit: -1 })).rejects.toBeInstanceOf(TypeError)
    await expect(chat.history({ before: 0.5 })).rejects.toBeInstanceOf(TypeError)
    await expect(chat.history({ limit: '5' as never })).rejects.toBeInstanceOf(TypeError)
    await expect(chat.logout({ unsent: 'keep' as never })).rejects.toBeInstanceOf(TypeError)
    await expect(chat.outbox.edit('k', '')).rejects.toBeInstanceOf(TypeError)
    await chat.diagnose()
    expect(worker.calls.map(({ command }) => command.type)).toEqual(['pull', 'diagnose'])
  })

  test('[PG35] routing data that are refused reject the connection, and the tab lets go', async () => {
    const { link, worker, browser } = setUp()
    worker.answers.route = () => {
      throw new HoldfastError('CONTEXT_TOO_LARGE', 'Too much.')
    }
    const opening = openChat(link, { deployment: 'acme', routing: { a: 'b' } }, browser)
    await expect(opening).rejects.toMatchObject({ code: 'CONTEXT_TOO_LARGE' })
    await until(() => expect(worker.commands('bye')).toHaveLength(1))
    expect(browser.hearers).toBe(0)
  })

  test('[PG32] a page that goes away while it connects says goodbye, and one that nobody has heard of does not', async () => {
    const { link, worker, browser } = setUp()
    worker.answers.pull = () => new Promise(() => {})
    void openChat(link, { deployment: 'acme', routing: undefined }, browser)
    await until(() => expect(worker.commands('pull')).toHaveLength(1))
    browser.leave()
    await until(() => expect(worker.commands('bye')).toHaveLength(1))
    expect(new Set(worker.calls.map(({ caller }) => caller.tab)).size).toBe(1)

    const run = vi.fn(() => Promise.reject(new HoldfastError('WORKER_UNAVAILABLE', 'There is none.')))
    const host: Host = { kind: 'service-worker', run, ping() {} }
    await expect(openChat(host, { deployment: 'acme', routing: undefined }, browser)).rejects.toBeInstanceOf(Error)
    expect(run).toHaveBeenCalledTimes(1)
  })

  describe('startNew', () => {
    const ended = { phase: 'ended', conversation: { id: 'c1', state: 'closed' } } as const
    async function beginning() {
      const parts = await open(ended)
      parts.worker.answers['start-new'] = () => {
        parts.worker.snapshot = { ...parts.worker.snapshot, rev: 2, phase: 'merging' }
        return null
      }
      const done = vi.fn()
      const begun = parts.chat.startNew().then(done, done)
      await until(() => expect(parts.chat.state.phase).toBe('merging'))
      await parts.chat.diagnose()
      expect(done).not.toHaveBeenCalled()
      return { ...parts, begun, done }
    }

    test('[PG34] it resolves when the state names the new conversation', async () => {
      const { chat, worker, browser, begun } = await beginning()
      worker.change(browser, { conversation: { id: 'c2', state: 'pending', previousId: 'c1' } })
      await begun
      expect(chat.state.conversation?.id).toBe('c2')
    })

    test.each([{ online: false }, { phase: 'reconnecting' }, { phase: 'auth-required' }] as const)(
      '[PG34] it resolves all the same where the service cannot be had: %j',
      async (part) => {
        const { worker, browser, begun, done } = await beginning()
        worker.change(browser, part)
        await begun
        expect(done).toHaveBeenCalledWith(undefined)
      },
    )

    test('[PG34] a tab that lets go ends the wait', async () => {
      const { chat, begun, done } = await beginning()
      chat.disconnect()
      await begun
      expect(done).toHaveBeenCalledWith(expect.objectContaining({ code: 'LINK_CLOSED' }))
    })
  })

  const chatOf = async () => (await open()).chat
  type Chat = Awaited<ReturnType<typeof chatOf>>
  const wrong: readonly (readonly [string, (chat: Chat) => unknown])[] = [
    ['subscribe()', (chat) => chat.subscribe(undefined as never)],
    ['on(message)', (chat) => chat.on('message', undefined as never)],
    ['on(nothing known)', (chat) => chat.on('mesage' as never, () => {})],
    ['on(toString)', (chat) => chat.on('toString' as never, () => {})],
    ['send(list)', (chat) => chat.send(['a'] as never)],
    ['send(null)', (chat) => chat.send(null as never)],
    ['send with a list as metadata', (chat) => chat.send({ text: 'a', metadata: ['b'] as never })],
    ['send with a Map as metadata', (chat) => chat.send({ text: 'a', metadata: new Map([['b', 1]]) as never })],
    ['history(5)', (chat) => chat.history(5 as never)],
    ['history(null)', (chat) => chat.history(null as never)],
    ['history of half a message', (chat) => chat.history({ limit: 1.5 })],
    ['history before a word', (chat) => chat.history({ before: 'm1' as never })],
    ['draft', (chat) => Object.assign(chat.draft, { text: null })],
    ['context.set()', (chat) => chat.context.set(undefined as never)],
    ['context.set(list)', (chat) => chat.context.set([] as never)],
    ['context.set(Map)', (chat) => chat.context.set(new Map([['a', 'b']]) as never)],
    ['context.set without a name', (chat) => chat.context.set({ '': 'a' })],
    ['context.set of an object', (chat) => chat.context.set({ a: { b: 'c' } as never })],
    ['context.set of a function', (chat) => chat.context.set({ a: (() => 'b') as never })],
    ['context.set of a symbol', (chat) => chat.context.set({ a: Symbol('b') as never })],
    [
      'context.set of a circle',
      (chat) => {
        const circle: { self?: unknown } = {}
        circle.self = circle
        return chat.context.set(circle as never)
      },
    ],
    ['context.remove(5)', (chat) => chat.context.remove(5 as never)],
    ['context.remove(list)', (chat) => chat.context.remove(['a', 'b'] as never)],
    ['context.remove without a name', (chat) => chat.context.remove('')],
    ['outbox.retry()', (chat) => chat.outbox.retry(undefined as never)],
    ['outbox.cancel(empty)', (chat) => chat.outbox.cancel('')],
    ['outbox.edit()', (chat) => chat.outbox.edit(undefined as never, 'a')],
    ['outbox.edit(key)', (chat) => chat.outbox.edit('k', undefined as never)],
    ['authenticate()', (chat) => chat.authenticate(undefined as never)],
    ['authenticate(word)', (chat) => chat.authenticate('jwt' as never)],
    ['authenticate without a token', (chat) => chat.authenticate({} as never)],
    ['authenticate with an empty token', (chat) => chat.authenticate({ token: '' })],
    ['authenticate with an object', (chat) => chat.authenticate({ token: {} as never })],
    ['logout(word)', (chat) => chat.logout('send' as never)],
    ['logout(null)', (chat) => chat.logout(null as never)],
  ]

  test.each(wrong)('[PG30] %s is a TypeError with a sentence, before anything happens', async (_, call) => {
    const { chat, worker } = await open()
    const { state } = chat
    const error = await Promise.resolve()
      .then(() => call(chat))
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as TypeError).message).toMatch(/^[`A-Z].* (must|is|no) .*\.$/)
    await chat.diagnose()
    expect(worker.calls.map(({ command }) => command.type)).toEqual(['pull', 'diagnose'])
    expect([chat.state, chat.context.get()]).toEqual([state, {}])
  })

  test('[PG17] a tab that has let go hears and asks nothing more', async () => {
    const { chat, worker, browser } = await open()
    const heard = vi.fn()
    chat.on('message', heard)
    chat.disconnect()
    chat.disconnect()
    await until(() => expect(worker.commands('bye')).toHaveLength(1))
    expect(browser.hearers).toBe(0)
    expect(browser.timers.filter((ms) => ms > 3_000)).toEqual([])
    for (const call of [
      () => chat.send('a'),
      () => chat.diagnose(),
      () => chat.context.set({ a: 'b' }),
      () => chat.markRead(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'LINK_CLOSED' })
    }
    expect(chat.state.phase, 'the last state stays readable').toBe('live')
  })
})
