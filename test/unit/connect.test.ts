// From a site's options to its chat: what is checked, where the engine runs, what is said when it can run nowhere.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Caller, Command } from '../../core/wire.ts'
import { type Chat, connect, isHoldfastError } from '../../src/index.ts'
import { FakeWorker, snapshotOf, until } from './client-fixtures.ts'

const ORIGIN = 'https://shop.example'
const open: Chat[] = []

async function connected(...args: Parameters<typeof connect>): Promise<Chat> {
  const chat = await connect(...args)
  open.push(chat)
  return chat
}

function stubBrowser(container?: unknown): void {
  const page = Object.assign(new EventTarget(), { baseURI: `${ORIGIN}/shop/cart.html`, visibilityState: 'visible' })
  vi.stubGlobal('document', page)
  vi.stubGlobal('window', new EventTarget())
  vi.stubGlobal('navigator', { serviceWorker: container, onLine: true })
  vi.stubGlobal('sessionStorage', { getItem: () => null, setItem() {}, removeItem() {} })
}

/** A container whose registration is active at once. */
function containerWith(worker: FakeWorker) {
  const register = vi.fn(async (_script: URL, options: { scope: string }) => {
    const active = {
      postMessage: (message: unknown, transfer: Transferable[]) => worker.postMessage(message, transfer),
    }
    return { scope: options.scope, active, installing: null, waiting: null, update: async () => {} }
  })
  return { register, getRegistrations: async () => [] }
}

const localOf = (answer: (command: Command) => unknown = () => null) => {
  const run = vi.fn(async (_: Caller, command: Command) => {
    const value = command.type === 'pull' ? { snapshot: snapshotOf(), outcomes: {} } : answer(command)
    return { incarnation: 'page', value }
  })
  return { run, local: async () => ({ host: () => ({ run }) }) }
}

beforeEach(() => stubBrowser())
afterEach(() => {
  for (const chat of open.splice(0)) chat.disconnect()
  vi.unstubAllGlobals()
})

describe('options', () => {
  test.each([
    ['no options', undefined],
    ['no worker', { deployment: 'acme' }],
    ['a worker that is no address', { worker: 7, deployment: 'acme' }],
    ['an address that is none', { worker: 'https://', deployment: 'acme' }],
    ['no deployment', { worker: '/sw.js' }],
    ['an empty deployment', { worker: '/sw.js', deployment: '' }],
    ['a list of options', [{ worker: '/sw.js', deployment: 'acme' }]],
    ['another type of script', { worker: '/sw.js', deployment: 'acme', type: 'sharedworker' }],
    ['a scope that is no address', { worker: '/sw.js', deployment: 'acme', scope: 7 }],
    ['a local engine that is no function', { worker: '/sw.js', deployment: 'acme', local: {} }],
    ['a list as routing data', { worker: '/sw.js', deployment: 'acme', routingData: ['sales'] }],
    ['routing data in layers', { worker: '/sw.js', deployment: 'acme', routingData: { to: { queue: 'sales' } } }],
  ])('[PG18] %s is a TypeError before anything happens', async (_, options) => {
    const container = containerWith(new FakeWorker())
    stubBrowser(container)
    await expect(connect(options as never)).rejects.toBeInstanceOf(TypeError)
    expect(container.register).not.toHaveBeenCalled()
  })

  test("[PG18] the scope is the script's folder, and the script a classic one, unless the site says otherwise", async () => {
    const container = containerWith(new FakeWorker())
    stubBrowser(container)
    await connected({ worker: '/holdfast/sw.js?config=/c.json', deployment: 'acme' })
    await connected({ worker: new URL(`${ORIGIN}/sw.js`), deployment: 'acme', scope: '/shop/', type: 'module' })
    const [first, second] = container.register.mock.calls
    expect(first).toMatchObject([
      { href: `${ORIGIN}/holdfast/sw.js?config=/c.json` },
      { scope: `${ORIGIN}/holdfast/`, type: 'classic' },
    ])
    expect(second).toMatchObject([{ href: `${ORIGIN}/sw.js` }, { scope: `${ORIGIN}/shop/`, type: 'module' }])
  })
})

describe('where the engine runs', () => {
  test('[PG19] in the service worker, if there is one', async () => {
    stubBrowser(containerWith(new FakeWorker()))
    const { local, run } = localOf()
    const chat = await connected({ worker: '/sw.js', deployment: 'acme', local })
    expect(chat.state.host).toBe('service-worker')
    expect(run).not.toHaveBeenCalled()
  })

  test('[PG19] else in the page, with the same API, and the site is told why', async () => {
    const { local, run } = localOf()
    const chat = await connected({ worker: '/sw.js', deployment: 'acme', local })
    const problems: unknown[] = []
    chat.on('problem', (problem) => problems.push(problem))
    expect(chat.state).toMatchObject({ host: 'page', phase: 'live' })
    await chat.markRead()
    expect(run.mock.calls.map(([, { type }]) => type)).toEqual(['pull', 'mark-read'])
    await until(() => expect(problems).toMatchObject([{ code: 'WORKER_UNAVAILABLE' }]))
  })

  test('[PG19] nowhere, if there is no way to run it in the page, or that fails too', async () => {
    const options = { worker: '/sw.js', deployment: 'acme' }
    const bare = await connect(options).catch((error: unknown) => error)
    expect(isHoldfastError(bare, 'WORKER_UNAVAILABLE')).toBe(true)
    const local = () => Promise.reject(new TypeError('Failed to fetch dynamically imported module'))
    const both = await connect({ ...options, local }).catch((error: unknown) => error)
    expect(isHoldfastError(both, 'WORKER_UNAVAILABLE')).toBe(true)
  })

  test('[PG19] a worker that refuses the deployment is no reason to run elsewhere', async () => {
    const worker = new FakeWorker()
    worker.answers.pull = () =>
      Promise.reject(Object.assign(new Error('No.'), { name: 'HoldfastError', code: 'DEPLOYMENT_UNKNOWN' }))
    stubBrowser(containerWith(worker))
    const { local, run } = localOf()
    await expect(connect({ worker: '/sw.js', deployment: 'acme', local })).rejects.toMatchObject({
      code: 'DEPLOYMENT_UNKNOWN',
    })
    expect(run).not.toHaveBeenCalled()
  })
})
