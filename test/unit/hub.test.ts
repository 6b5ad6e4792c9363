// The hub: page and frame over a real port, with windows, a worker and a clock that tests move.
import { expect, test } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import { lifeLockOf, type Notice } from '../../core/wire.ts'
import { type Client, openChat } from '../../src/client.ts'
import type { Frame } from '../../src/hub-frame.ts'
import { HEARD_TIMEOUT_MS, HUB_CALL_TIMEOUT_MS, HubHost, READY_TIMEOUT_MS } from '../../src/hub-host.ts'
import { serveHub } from '../../src/hub-serve.ts'
import { HUB_VERSION } from '../../src/hub-wire.ts'
import type { Host } from '../../src/link.ts'
import { CALLER, FakeBrowser, FakeWorker, setUp, snapshotOf, until } from './client-fixtures.ts'

const SHOP = 'https://a.app.example'
const DIAGNOSE = { type: 'diagnose' } as const

type Listener = (event: MessageEvent) => void

/** A window that holds the hub, in a page of some origin. */
class FakeWindow {
  readonly parent = { name: 'the page' }
  readonly #listeners: Listener[] = []

  addEventListener(_: 'message', listener: Listener): void {
    this.#listeners.push(listener)
  }

  post(data: unknown, origin: string, ports: readonly MessagePort[], source: unknown = this.parent): void {
    for (const listener of this.#listeners) listener({ data, origin, ports, source } as unknown as MessageEvent)
  }
}

/** What the page holds: a frame into which the hub, or nothing of ours, has been loaded. */
class FakeFrame implements Frame {
  window: FakeWindow | undefined
  origin = SHOP
  isInPage = false
  opened = 0
  posted: unknown[] = []
  #loaded = () => {}

  open(loaded: () => void): void {
    this.opened += 1
    this.isInPage = true
    this.#loaded = loaded
    queueMicrotask(loaded)
  }

  isOpen(): boolean {
    return this.isInPage
  }

  post(message: unknown, port: MessagePort): void {
    this.posted.push(message)
    this.window?.post(message, this.origin, [port])
  }

  close(): void {
    this.isInPage = false
  }

  reload(): void {
    this.#loaded()
  }
}

function hub(origins: readonly string[] = [SHOP], start?: () => Promise<Host>) {
  const inner = setUp()
  const page = new FakeBrowser()
  const frame = new FakeFrame()
  let started = 0
  const taken: string[] = []
  const locker = async (tab: string, deployment: string) => async () => void taken.push(`${tab} ${deployment}`)
  const load = () => {
    frame.window = new FakeWindow()
    const host = async () => {
      started += 1
      return inner.link
    }
    serveHub(frame.window, { origins, host: start ?? host, browser: inner.browser, locker })
  }
  load()
  const host = new HubHost(frame, page, 'acme')
  return { ...inner, inner: inner.browser, page, frame, host, load, taken, started: () => started }
}

async function chatOf({ host }: Pick<ReturnType<typeof hub>, 'host'>): Promise<Client> {
  await host.open()
  return openChat(host, { deployment: 'acme', routing: undefined }, host.browser)
}

const message = (text: string) => ({ role: 'agent', text, at: 1, status: 'acked', id: text, seq: 1 }) as const

test('[HB1] a page behind a hub has the whole Chat: state, sending, notices, outcomes', async () => {
  const made = hub()
  const chat = await chatOf(made)
  expect(chat.state).toMatchObject({ phase: 'live', host: 'service-worker' })
  const { key, settled } = await chat.send('hello')
  expect(made.worker.commands('enqueue')).toMatchObject([{ messages: [{ key, text: 'hello' }] }])
  made.worker.outcomes = { [key]: { status: 'acked', messageId: 'm1' } }
  made.worker.change(made.inner, { messages: [message('hi')] })
  expect(await settled).toEqual({ status: 'acked', messageId: 'm1' })
  await until(() => expect(chat.state.messages).toMatchObject([{ text: 'hi' }]))
  expect(made.inner.persisted).toBe(1)
})

test('[HB1] a change that the worker shows reaches the page, and an error keeps its code', async () => {
  const made = hub()
  made.worker.shows = true
  const chat = await chatOf(made)
  expect(made.host.isShown).toBe(true)
  made.worker.show({ unread: 3 })
  await until(() => expect(chat.state.unread).toBe(3))
  made.worker.answers.cancel = () => {
    throw new HoldfastError('OUTBOX_UNKNOWN', 'There is none.')
  }
  await expect(chat.outbox.cancel('k')).rejects.toMatchObject({ name: 'HoldfastError', code: 'OUTBOX_UNKNOWN' })
})

test('[HB1] a tab behind a hub answers the beat, and starts the next worker when one dies', async () => {
  const made = hub()
  const chat = await chatOf(made)
  made.inner.publish({ v: 1, type: 'beat', incarnation: 'i1' })
  await until(() => expect(made.worker.pings).toHaveLength(1))
  made.inner.release(lifeLockOf('i1'))
  await until(() => expect(made.worker.commands('nudge')).toHaveLength(1))
  chat.disconnect()
})

for (const origin of ['https://evil.example', 'https://app.example', `${SHOP}:8443`, 'http://a.app.example', 'null']) {
  test(`[HB2] a page of ${origin} is refused: no engine is started and nothing of ours is said`, async () => {
    const made = hub([SHOP, 'https://b.app.example'])
    made.frame.origin = origin
    const failure = await made.host.open().catch((error: unknown) => error)
    expect(failure).toMatchObject({ name: 'HoldfastError', code: 'HUB_REFUSED' })
    expect((failure as Error).message).not.toContain('b.app.example')
    expect([made.started(), made.worker.calls.length, made.frame.isInPage]).toEqual([0, 0, false])
  })
}

test('[HB2] the hub hears only the page around it, and only what is a greeting with a port', async () => {
  const made = hub()
  const { port1, port2 } = new MessageChannel()
  const hello = { type: 'holdfast-hub', version: HUB_VERSION, deployment: 'acme' }
  made.frame.window?.post(hello, SHOP, [port2], { name: 'another window' })
  made.frame.window?.post(hello, SHOP, [port2], made.frame.window)
  made.frame.window?.post(hello, SHOP, [])
  for (const wrong of [null, 'holdfast-hub', { type: 'holdfast-hub' }, { ...hello, deployment: 1 }, [hello]])
    made.frame.window?.post(wrong, SHOP, [port2])
  await made.host.open()
  expect(made.started()).toBe(1)
  port1.close()
})

test('[HB2] a list with a wildcard, or with what is no origin, lets nobody in', () => {
  for (const wrong of ['*', 'https://*.app.example', `${SHOP}/`, 'a.app.example', 'HTTPS://A.APP.EXAMPLE']) {
    expect(() => hub([SHOP, wrong])).toThrow(TypeError)
  }
})

test('[HB3] the greeting holds the name of the deployment and nothing else, and all other goes over the port', async () => {
  const made = hub()
  const chat = await chatOf(made)
  await chat.send('secret words')
  expect(made.frame.posted).toEqual([{ type: 'holdfast-hub', version: HUB_VERSION, deployment: 'acme' }])
})

test('[HB4] a frame that is not our hub ends in WORKER_UNAVAILABLE, and the next call begins anew', async () => {
  const made = hub()
  made.frame.window = undefined
  const failed = expect(made.host.open()).rejects.toMatchObject({ code: 'WORKER_UNAVAILABLE' })
  await until(() => expect(made.frame.posted).toHaveLength(1))
  made.page.advance(HEARD_TIMEOUT_MS)
  await failed
  expect([made.frame.isInPage, made.page.timers]).toEqual([false, []])
  made.load()
  await made.host.open()
  expect(made.frame.opened).toBe(2)
})

test('[HB4] a hub without an engine says why, and one that hangs is given up', async () => {
  const reason = new HoldfastError('WORKER_UNAVAILABLE', 'No service worker: 404.')
  const { host } = hub([SHOP], () => Promise.reject(reason))
  await expect(host.open()).rejects.toMatchObject({ code: 'WORKER_UNAVAILABLE', message: reason.message })
  const hung = hub([SHOP], () => new Promise(() => {}))
  const failed = expect(hung.host.open()).rejects.toMatchObject({ code: 'WORKER_UNAVAILABLE' })
  await until(() => expect(hung.page.timers).toEqual([READY_TIMEOUT_MS]))
  hung.page.advance(READY_TIMEOUT_MS)
  await failed
})

test('[HB4] a call to a hub that hangs is LINK_TIMEOUT', async () => {
  const made = hub()
  await made.host.open()
  made.worker.isSilent = true
  const failed = expect(made.host.run(CALLER, DIAGNOSE)).rejects.toMatchObject({ code: 'LINK_TIMEOUT' })
  made.page.advance(HUB_CALL_TIMEOUT_MS)
  await failed
})

test('[HB4] a page and a hub of different versions part with PROTOCOL_MISMATCH', async () => {
  const made = hub()
  const { port1, port2 } = new MessageChannel()
  const told = new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data)
  })
  made.frame.window?.post({ type: 'holdfast-hub', version: 0, deployment: 'acme' }, SHOP, [port2])
  expect(await told).toMatchObject({ type: 'refused', error: { code: 'PROTOCOL_MISMATCH' } })
  port1.close()
})

test('[HB5] calls that were pending when the frame was loaded anew are made again, and the page looks for news', async () => {
  const made = hub()
  const chat = await chatOf(made)
  made.worker.answers.diagnose = () => new Promise(() => {})
  const report = chat.diagnose()
  await until(() => expect(made.worker.commands('diagnose')).toHaveLength(1))
  made.worker.answers.diagnose = () => 'second'
  made.worker.snapshot = snapshotOf({ rev: 9, unread: 2 })
  made.load()
  made.frame.reload()
  expect(await report).toBe('second')
  await until(() => expect(chat.state.unread).toBe(2))
})

test('[HB5] a frame that the site took out of the page is put back at the next call', async () => {
  const made = hub()
  const chat = await chatOf(made)
  made.frame.close()
  made.load()
  expect(await chat.outbox.list()).toBe(null)
  expect(made.frame.opened).toBe(2)
})

test('[HB6] a tab that lets go says goodbye and takes the frame along', async () => {
  const made = hub()
  const chat = await chatOf(made)
  chat.disconnect()
  await until(() => expect(made.worker.commands('bye')).toHaveLength(1))
  await until(() => expect(made.frame.isInPage).toBe(false))
  await expect(chat.diagnose()).rejects.toMatchObject({ code: 'LINK_CLOSED' })
  expect(made.frame.opened).toBe(1)
  made.page.advance(0)
  expect(made.page.timers).toEqual([])
})

test.each(['at once', 'after its frame is gone'])(
  '[LK18] a page that comes back %s has its hub again',
  async (when) => {
    const made = hub()
    const chat = await chatOf(made)
    made.page.fire('pagehide')
    if (when !== 'at once') {
      await until(() => expect(made.worker.commands('bye')).toHaveLength(1))
      made.page.advance(0)
      await until(() => expect(made.frame.isInPage).toBe(false))
      made.load()
    }
    made.page.fire('pageshow')
    const { key } = await chat.send('hello')
    expect(made.worker.commands('enqueue')).toMatchObject([{ messages: [{ key }] }])
    made.page.advance(0)
    expect(made.frame.isInPage).toBe(true)
    made.worker.change(made.inner, { messages: [message('hi')] })
    await until(() => expect(chat.state.messages).toMatchObject([{ text: 'hi' }]))
  },
)

test('[HB6] the hub says goodbye for a page that goes away with it', async () => {
  const made = hub()
  await chatOf(made)
  made.inner.fire('pagehide')
  await until(() => expect(made.worker.calls.at(-1)).toMatchObject({ command: { type: 'bye' }, caller: { epoch: '' } }))
})

test('[HB7] what a page publishes reaches other tabs only where it is about drafts', async () => {
  const made = hub()
  const heard: unknown[] = []
  made.inner.channel().onmessage = ({ data }) => heard.push(data)
  await made.host.open()
  const channel = made.host.browser.channel('')
  channel.postMessage({ v: 1, type: 'changed', rev: 9 } satisfies Notice)
  channel.postMessage({ v: 1, type: 'problem', code: 'X', message: 'planted' } satisfies Notice)
  channel.postMessage({ v: 1, type: 'is-drafting', tab: 't1' } satisfies Notice)
  await until(() => expect(heard).toEqual([{ v: 1, type: 'is-drafting', tab: 't1' }]))
})

test('[HB8] where the hub has no worker, its engine runs in the frame and the state says so', async () => {
  const worker = new FakeWorker()
  const run = async () => ({ snapshot: worker.snapshot, outcomes: {} })
  const made = hub([SHOP], async () => ({ kind: 'page', run: run as never, ping: () => {} }))
  expect((await chatOf(made)).state.host).toBe('page')
})

test('[HB13] on a shared device the lock of a tab is taken in the frame, before the worker hears of it, and again in the next frame', async () => {
  const made = hub()
  await made.host.open()
  const seen: number[] = []
  made.worker.answers.hold = () => void seen.push(made.taken.length)
  await made.host.run(CALLER, DIAGNOSE)
  expect(made.taken).toEqual([])
  await made.host.run(CALLER, { type: 'hold' })
  expect([made.taken, seen]).toEqual([['t1 acme'], [1]])
  made.load()
  made.frame.reload()
  await until(() =>
    expect([made.taken, seen]).toEqual([
      ['t1 acme', 't1 acme'],
      [1, 2],
    ]),
  )
})
