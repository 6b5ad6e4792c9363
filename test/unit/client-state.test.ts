// The state of a tab: first paint, notices, pulling, events, outcomes.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import type { Message, Snapshot } from '../../core/wire.ts'
import type { State } from '../../src/api.ts'
import { openChat } from '../../src/client.ts'
import { CALL_TIMEOUT_MS } from '../../src/link.ts'
import { PULL_KEYS_MAX, PULL_MS_MIN } from '../../src/mirror.ts'
import { type FakeBrowser, setUp, snapshotOf, until } from './client-fixtures.ts'

const SETTING = { deployment: 'acme', routing: undefined }

async function open(first: Partial<Snapshot> = {}) {
  const parts = setUp()
  parts.worker.snapshot = snapshotOf(first)
  const chat = await openChat(parts.link, SETTING, parts.browser)
  return { ...parts, chat }
}

/** Every look that is due has been made, and rested from: the next notice is followed at once. */
async function rested(browser: FakeBrowser): Promise<void> {
  await until(() => expect(browser.timers).toContain(PULL_MS_MIN))
  await until(() => {
    if (browser.timers[0] === PULL_MS_MIN) browser.advance(PULL_MS_MIN)
    expect(browser.timers).toEqual([])
  })
}

const said = (id: string, seq: number): Message => ({ id, seq, role: 'agent', text: id, at: seq, status: 'acked' })

afterEach(() => vi.unstubAllGlobals())

describe('the first snapshot', () => {
  test('[PG1] the chat begins with what is on the disk, and learns from it who we are', async () => {
    const { chat, worker } = await open({ phase: 'starting', messages: [said('m1', 1)] })
    expect(chat.state).toMatchObject({ phase: 'starting', host: 'service-worker', messages: [{ id: 'm1' }] })
    expect(worker.calls[0]).toMatchObject({
      command: { type: 'pull', keys: [] },
      caller: { epoch: '', deployment: 'acme' },
    })
    await chat.diagnose()
    expect(worker.calls.at(-1)).toMatchObject({ caller: { epoch: 'e1' } })
  })

  test('[PG1] a worker that refuses is not listened to any further', async () => {
    const { link, browser, worker } = setUp()
    worker.answers.pull = () => Promise.reject(new HoldfastError('DEPLOYMENT_UNKNOWN', 'No.'))
    await expect(openChat(link, SETTING, browser)).rejects.toMatchObject({ code: 'DEPLOYMENT_UNKNOWN' })
    expect(browser.hearers).toBe(0)
  })

  test('[PG1] news that come during the first look are not missed', async () => {
    const { link, browser, worker } = setUp()
    worker.answers.pull = () => {
      const answer = { snapshot: worker.snapshot, outcomes: {} }
      delete worker.answers.pull
      worker.change(browser, { unread: 3 })
      return answer
    }
    const chat = await openChat(link, SETTING, browser)
    await until(() => expect(chat.state.unread).toBe(3))
  })
})

describe('the state', () => {
  test('[PG2] it is frozen to the ground', async () => {
    const { chat } = await open({ messages: [said('m1', 1)], context: { cart: '1' } })
    expect([chat.state, chat.state.messages, chat.state.messages[0], chat.state.context].every(Object.isFrozen)).toBe(
      true,
    )
  })

  test('[PG2] it is the same object until something changes', async () => {
    const { chat, worker, browser } = await open()
    const first = chat.state
    await chat.mirror.pull()
    expect(chat.state).toBe(first)
    worker.change(browser, { unread: 1 })
    await until(() => expect(chat.state).not.toBe(first))
  })

  test('[PG2] a subscriber is called at once, at every change, and never after it has ended that', async () => {
    const { chat, worker, browser } = await open()
    const { subscribe } = chat
    const seen: State[] = []
    const off = subscribe((state) => seen.push(state))
    expect(seen).toEqual([chat.state])
    worker.change(browser, { unread: 1 })
    await until(() => expect(seen).toHaveLength(2))
    off()
    await rested(browser)
    worker.change(browser, { unread: 2 })
    await until(() => expect(chat.state.unread).toBe(2))
    expect(seen).toHaveLength(2)
  })

  test('[PG2] one function given twice is called twice, and ended once', async () => {
    const { chat, worker, browser } = await open()
    const listener = vi.fn()
    const off = chat.on('message', listener)
    chat.on('message', listener)
    worker.change(browser, { messages: [said('m1', 1)] })
    await until(() => expect(listener).toHaveBeenCalledTimes(2))
    off()
    await rested(browser)
    worker.change(browser, { messages: [said('m1', 1), said('m2', 2)] })
    await until(() => expect(listener).toHaveBeenCalledTimes(3))
  })

  test('[PG3] old news changes nothing within one identity', async () => {
    const { chat, worker, browser } = await open({ rev: 7, unread: 1 })
    worker.snapshot = snapshotOf({ rev: 6 })
    browser.publish({ v: 1, type: 'changed', rev: 6 })
    await until(() => expect(worker.commands('pull')).toHaveLength(2))
    await chat.mirror.pull()
    expect(chat.state).toMatchObject({ rev: 7, unread: 1 })
  })

  test('[PG3] a new identity begins at any revision', async () => {
    const { chat, worker, browser } = await open({ rev: 7 })
    worker.snapshot = snapshotOf({ rev: 1, epoch: 'e2', phase: 'signed-out' })
    browser.publish({ v: 1, type: 'changed', rev: 1 })
    await until(() => expect(chat.state).toMatchObject({ rev: 1, epoch: 'e2' }))
  })

  test('[PG3] a notice of what is known asks for nothing', async () => {
    const { chat, worker, browser } = await open({ rev: 7 })
    browser.publish({ v: 1, type: 'changed', rev: 7 })
    await chat.diagnose()
    expect(worker.commands('pull')).toHaveLength(1)
  })

  test('[PG3] the first notice is followed at once, those that follow it by one look after a rest', async () => {
    const { chat, worker, browser } = await open()
    for (const unread of [1, 2, 3]) worker.change(browser, { unread })
    await until(() => expect(browser.timers).toEqual([PULL_MS_MIN]))
    expect(worker.commands('pull')).toHaveLength(2)
    for (const unread of [4, 5]) worker.change(browser, { unread })
    browser.advance(PULL_MS_MIN - 1)
    await chat.diagnose()
    expect(worker.commands('pull')).toHaveLength(2)
    browser.advance(1)
    await until(() => expect(chat.state.unread).toBe(5))
    await rested(browser)
    expect(worker.commands('pull')).toHaveLength(3)
  })

  test('[PG3] a hidden tab, whose timers may sleep, rests for none', async () => {
    const { chat, worker, browser } = await open()
    browser.visible = false
    for (const unread of [1, 2]) worker.change(browser, { unread })
    worker.answers.pull = () => {
      delete worker.answers.pull
      const answer = { snapshot: worker.snapshot, outcomes: {} }
      worker.change(browser, { unread: 3 })
      return answer
    }
    await until(() => expect(chat.state.unread).toBe(3))
    expect(browser.timers).toEqual([])
  })
})

describe('events', () => {
  test('[PG6] a listener that throws is reported, and the others hear all the same', async () => {
    const reported = vi.fn()
    vi.stubGlobal('reportError', reported)
    const { chat, worker, browser } = await open()
    const bug = new Error('in the site')
    const heard = vi.fn()
    chat.on('message', () => {
      throw bug
    })
    chat.on('message', heard)
    worker.change(browser, { messages: [said('m1', 1)] })
    await until(() => expect(heard).toHaveBeenCalledWith(said('m1', 1)))
    expect(reported).toHaveBeenCalledWith(bug)
    expect(chat.state.messages).toHaveLength(1)
  })

  test('[PG6] what was there before the tab connected is state, not an event', async () => {
    const { chat, worker, browser } = await open({ messages: [said('m1', 1)] })
    const heard: string[] = []
    chat.on('message', ({ id = '' }) => heard.push(id))
    worker.change(browser, { messages: [said('m1', 1), said('m2', 2)] })
    await until(() => expect(heard).toEqual(['m2']))
  })

  test('[PG7] a problem of the worker and a failure that nobody awaits are told', async () => {
    const { chat, worker, browser } = await open()
    const problems: unknown[] = []
    chat.on('problem', (problem) => problems.push(problem))
    browser.publish({ v: 1, type: 'problem', code: 'STORE_FULL', message: 'The disk is full.' })
    expect(problems).toEqual([{ code: 'STORE_FULL', message: 'The disk is full.' }])
    worker.isSilent = true
    worker.change(browser, {})
    for (const _ of [1, 2]) {
      await until(() => expect(browser.timers).toContain(CALL_TIMEOUT_MS))
      browser.advance(CALL_TIMEOUT_MS)
    }
    await until(() => expect(problems.at(-1)).toMatchObject({ code: 'LINK_TIMEOUT' }))
  })

  test('[PG7] a problem from before the site could listen is told once it can', async () => {
    const { browser, link } = setUp()
    const opening = openChat(link, SETTING, browser)
    browser.publish({ v: 1, type: 'problem', code: 'STORE_FAILED', message: 'Nothing can be stored.' })
    const chat = await opening
    const problems: unknown[] = []
    chat.on('problem', (problem) => problems.push(problem))
    browser.advance(0)
    expect(problems).toEqual([{ code: 'STORE_FAILED', message: 'Nothing can be stored.' }])
  })

  test('[PG7] what is no notice of ours is ignored', async () => {
    const { chat, browser } = await open()
    for (const noise of [null, 'x', { v: 2, type: 'changed', rev: 9 }, { v: 1 }, { v: 1, type: 'else' }])
      browser.publish(noise as never)
    expect(chat.state.rev).toBe(1)
  })
})

describe('outcomes', () => {
  test('[PG8] a message that waits is asked for with every look until its end is known', async () => {
    const { chat, worker, browser } = await open()
    const { key, settled } = await chat.send('hello')
    await until(() => expect(worker.commands('pull').at(-1)?.keys).toEqual([key]))
    await rested(browser)
    worker.outcomes[key] = { status: 'acked', messageId: 'm1' }
    worker.change(browser, {})
    expect(await settled).toEqual({ status: 'acked', messageId: 'm1' })
    await rested(browser)
    worker.change(browser, {})
    await until(() => expect(worker.commands('pull').at(-1)?.keys).toEqual([]))
  })

  test('[PG8] the end of many is learned, the oldest first and a bounded number at once', async () => {
    const { chat, worker, browser } = await open()
    const receipts = await Promise.all(Array.from({ length: 150 }, (_, index) => chat.send(`message ${index}`)))
    await rested(browser)
    for (const { key } of receipts) worker.outcomes[key] = { status: 'acked', messageId: key }
    worker.change(browser, { outbox: { queued: 0, inflight: 0, dead: 0, stale: 0 } })
    const outcomes = await Promise.all(receipts.map(({ settled }) => settled))
    expect(outcomes.every(({ status }) => status === 'acked')).toBe(true)
    expect(Math.max(...worker.commands('pull').map(({ keys }) => keys.length))).toBe(PULL_KEYS_MAX)
  })

  test('[PG8] one that ended is found behind many that wait', async () => {
    const { chat, worker, browser } = await open({ outbox: { queued: 1_000, inflight: 0, dead: 0, stale: 0 } })
    const receipts = await Promise.all(Array.from({ length: 100 }, (_, index) => chat.send(`message ${index}`)))
    const last = receipts.at(-1)
    if (last === undefined) throw new Error('Nothing was sent.')
    await rested(browser)
    worker.outcomes[last.key] = { status: 'dead', code: 'OUTBOX_REFUSED' }
    worker.change(browser, { outbox: { queued: 99, inflight: 0, dead: 1, stale: 0 } })
    expect(await last.settled).toEqual({ status: 'dead', code: 'OUTBOX_REFUSED' })
  })

  test('[PG8] a message that was cancelled is told so', async () => {
    const { chat, worker, browser } = await open()
    const told = vi.fn()
    chat.on('delivery', told)
    const { key, settled } = await chat.send('hello')
    await rested(browser)
    worker.outcomes[key] = { status: 'cancelled' }
    worker.change(browser, {})
    expect(await settled).toEqual({ status: 'cancelled' })
    await until(() => expect(told).toHaveBeenCalledWith({ key, status: 'cancelled' }))
  })

  test('[PG8] letting go ends the waiting with LINK_CLOSED', async () => {
    const { chat } = await open()
    const { settled } = await chat.send('hello')
    chat.disconnect()
    await expect(settled).rejects.toMatchObject({ code: 'LINK_CLOSED' })
  })
})

describe('a page that goes away', () => {
  test('[LK20] shows nothing till it is back, and hears then what it missed, and nothing twice', async () => {
    const mine: Message = { key: 'k', role: 'customer', text: 'mine', at: 1, status: 'queued' }
    const { chat, worker, browser } = await open({ messages: [mine], context: { cart: 'full' } })
    const events: unknown[] = []
    for (const name of ['message', 'delivery', 'resumed'] as const)
      chat.on(name, (detail) => events.push([name, detail]))
    const shown: State[] = []
    chat.subscribe((state) => shown.push(state))
    browser.fire('pagehide')
    expect(shown.at(-1)).toBe(chat.state)
    expect(chat.state).toMatchObject({ messages: [], context: {}, epoch: 'e1' })
    worker.change(browser, { messages: [{ ...mine, id: 'm', seq: 1, status: 'acked' }, said('m2', 2)] })
    await chat.diagnose()
    expect(chat.state.messages).toEqual([])
    browser.fire('pageshow')
    await until(() => expect(chat.state.messages).toHaveLength(2))
    expect(chat.state.context).toEqual({ cart: 'full' })
    expect(events).toEqual([
      ['delivery', { key: 'k', status: 'acked' }],
      ['message', said('m2', 2)],
    ])
  })

  test('[LK20] shows again what it showed, where nothing has happened meanwhile', async () => {
    const { chat, browser } = await open({ messages: [said('m1', 1)] })
    browser.fire('pagehide')
    browser.fire('pageshow')
    browser.fire('pagehide')
    browser.fire('pageshow')
    await until(() => expect(chat.state.messages).toEqual([said('m1', 1)]))
  })

  test.each(['answers', 'shows'] as const)('[LK20] is not shown what the worker %s late', async (how) => {
    const { chat, worker, browser } = await open({ messages: [said('m1', 1)] })
    let answer = (_: unknown) => {}
    const late = { snapshot: snapshotOf({ rev: 2, messages: [said('m1', 1), said('m2', 2)] }), outcomes: {} }
    worker.answers.pull = () =>
      new Promise((resolve) => {
        answer = resolve
      })
    browser.publish({ v: 1, type: 'changed', rev: 2 })
    await until(() => expect(worker.commands('pull')).toHaveLength(2))
    browser.fire('pagehide')
    if (how === 'shows') chat.mirror.show(late.snapshot)
    else answer(late)
    await chat.diagnose()
    expect(chat.state.messages).toEqual([])
    delete worker.answers.pull
    worker.snapshot = snapshotOf({ rev: 3, epoch: 'e2', messages: [said('m3', 1)] })
    browser.visible = false
    browser.fire('pageshow')
    answer(late)
    await until(() => expect(chat.state.messages).toEqual([said('m3', 1)]))
  })

  test('[LK20] and comes back while it connects, shows what is there', async () => {
    const { link, browser, worker } = setUp()
    worker.snapshot = snapshotOf({ messages: [said('m1', 1)] })
    let routed = (_: unknown) => {}
    worker.answers.route = () =>
      new Promise((resolve) => {
        routed = resolve
      })
    const opening = openChat(link, { deployment: 'acme', routing: { queue: 'a' } }, browser)
    await until(() => expect(worker.commands('pull')).toHaveLength(1))
    await until(() => expect(worker.commands('route')).toHaveLength(1))
    browser.fire('pagehide')
    browser.fire('pageshow')
    routed(null)
    const chat = await opening
    await until(() => expect(chat.state.messages).toEqual([said('m1', 1)]))
  })

  test('[LK20] that has let go shows on what it showed', async () => {
    const { chat, browser } = await open({ messages: [said('m1', 1)] })
    chat.disconnect()
    browser.fire('pagehide')
    expect(chat.state.messages).toEqual([said('m1', 1)])
  })
})

describe('what the worker shows', () => {
  async function shown(first: Partial<Snapshot> = {}) {
    const parts = setUp()
    parts.worker.shows = true
    parts.worker.snapshot = snapshotOf(first)
    const chat = await openChat(parts.link, SETTING, parts.browser)
    const pulls = () => parts.worker.commands('pull').length
    return { ...parts, chat, pulls }
  }

  test('[PG22] is taken without a question, and the notice of it asks for nothing', async () => {
    const { chat, worker, browser, pulls } = await shown()
    worker.show({ unread: 1 })
    await until(() => expect(chat.state.unread).toBe(1))
    browser.publish({ v: 1, type: 'changed', rev: worker.snapshot.rev })
    await until(() => expect(browser.timers).toEqual([PULL_MS_MIN]))
    browser.advance(PULL_MS_MIN)
    await until(() => expect(browser.timers).toEqual([]))
    expect(pulls()).toBe(1)
  })

  test('[PG22] is asked for when it does not come', async () => {
    const { chat, worker, browser, pulls } = await shown()
    worker.change(browser, { unread: 2 })
    await until(() => expect(browser.timers).toEqual([PULL_MS_MIN]))
    expect(pulls()).toBe(1)
    browser.advance(PULL_MS_MIN)
    await until(() => expect(chat.state.unread).toBe(2))
  })

  test('[PG22] is not taken from another identity: the state is asked for', async () => {
    const { chat, worker, browser } = await shown({ messages: [said('m1', 1)] })
    const truth = snapshotOf({ rev: 9, epoch: 'e2', phase: 'signed-out' })
    worker.answers.pull = () => ({ snapshot: truth, outcomes: {} })
    worker.show({ epoch: 'e0', messages: [said('of somebody else', 1)] })
    await until(() => expect(worker.acknowledged).toBe(1))
    await until(() => expect(browser.timers).toEqual([PULL_MS_MIN]))
    expect(chat.state).toMatchObject({ epoch: 'e1', messages: [{ id: 'm1' }] })
    browser.advance(PULL_MS_MIN)
    await until(() => expect(chat.state).toMatchObject({ epoch: 'e2', phase: 'signed-out' }))
  })

  test('[PG22] settles what has ended, and what has ended unseen is asked for', async () => {
    const { chat, worker, browser, pulls } = await shown()
    const [one, two] = [await chat.send('one'), await chat.send('two')]
    const mine = { role: 'customer', text: 'x', at: 1 } as const
    const waiting = [one, two].map(({ key }) => ({ ...mine, key, status: 'queued' as const }))
    worker.show({ messages: waiting, outbox: { ...worker.snapshot.outbox, queued: 2 } })
    worker.show({
      messages: [{ ...mine, key: one.key, id: 'm1', seq: 1, status: 'acked' }],
      outbox: { ...worker.snapshot.outbox, queued: 1 },
    })
    expect(await one.settled).toEqual({ status: 'acked', messageId: 'm1' })
    await until(() => expect(browser.timers).toEqual([PULL_MS_MIN]))
    browser.advance(PULL_MS_MIN)
    await until(() => expect(browser.timers).toEqual([]))
    expect(pulls()).toBe(1)
    worker.outcomes[two.key] = { status: 'cancelled' }
    worker.show({ outbox: { ...worker.snapshot.outbox, queued: 0 } })
    await until(() => expect(browser.timers).toEqual([PULL_MS_MIN]))
    browser.advance(PULL_MS_MIN)
    expect(await two.settled).toEqual({ status: 'cancelled' })
  })
})

test.each([
  { says: 'another tab is in it', part: { tabs: 2 }, joined: true },
  {
    says: 'another device is in it',
    part: { conversation: { id: 'c1', state: 'active', joined: true } },
    joined: true,
  },
  { says: 'nobody else is in it', part: {}, joined: false },
  { says: 'there is none', part: { tabs: 2, conversation: null }, joined: false },
] as const)('[PG33] told as it connects that it joined a conversation, if $says: $joined', async ({ part, joined }) => {
  const { link, worker, browser } = setUp()
  worker.snapshot = snapshotOf(part)
  const chat = await openChat(link, { deployment: 'acme', routing: undefined }, browser)
  const heard: unknown[] = []
  chat.on('resumed', (detail) => heard.push(detail))
  browser.advance(0)
  expect(heard).toEqual(joined ? [{ conversationId: 'c1', joined: true, activeElsewhere: true }] : [])
})
