// Registering beside the site's own worker, finding the active one, and saying why there is none.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  ACTIVATION_TIMEOUT_MS,
  Registration,
  REGISTRATION_TIMEOUT_MS,
  REPLACED_MS_MAX,
  UPDATE_AFTER_MS,
} from '../../src/registration.ts'
import { FakeBrowser, until } from './client-fixtures.ts'

const SCRIPT = new URL('https://shop.example/holdfast/sw.js')
const SCOPE = 'https://shop.example/holdfast/'
const WANTED = { script: SCRIPT, scope: SCOPE, type: 'classic' } as const

class FakeServiceWorker extends EventTarget {
  state: ServiceWorkerState
  readonly scriptURL: string

  constructor(state: ServiceWorkerState, scriptURL = SCRIPT.href) {
    super()
    this.state = state
    this.scriptURL = scriptURL
  }

  become(state: ServiceWorkerState): void {
    this.state = state
    this.dispatchEvent(new Event('statechange'))
  }
}

interface FakeRegistration {
  scope: string
  installing: FakeServiceWorker | null
  waiting: FakeServiceWorker | null
  active: FakeServiceWorker | null
  update: () => Promise<void>
}

const registrationOf = (part: Partial<FakeRegistration> = {}): FakeRegistration => ({
  ...{ scope: SCOPE, installing: null, waiting: null, active: null, update: vi.fn(async () => {}) },
  ...part,
})

function pageWith(known: FakeRegistration[], register: () => Promise<FakeRegistration>) {
  const calls: unknown[][] = []
  const container = {
    getRegistrations: async () => known,
    register: (...call: unknown[]) => {
      calls.push(call)
      return register()
    },
    get ready(): never {
      throw new Error('It never resolves for a page that is not controlled.')
    },
    get controller(): never {
      throw new Error("It is null, or the site's own worker.")
    },
  }
  return { page: { serviceWorker: container as unknown as ServiceWorkerContainer }, calls }
}

const answering = (status: number, type: string) =>
  vi.stubGlobal('fetch', async () => new Response('x', { status, headers: { 'content-type': type } }))

/** Where the frame has no origin, the browser throws as soon as the property is read. */
const SANDBOXED = {
  get serviceWorker(): never {
    throw new DOMException('The context is sandboxed.', 'SecurityError')
  },
}

beforeEach(() => vi.stubGlobal('isSecureContext', true))
afterEach(() => vi.unstubAllGlobals())

describe('registering', () => {
  test('[LK12] the worker gets a scope of its own, and its script is never taken from the HTTP cache', async () => {
    const active = new FakeServiceWorker('activated')
    const { page, calls } = pageWith(
      [registrationOf({ scope: 'https://shop.example/', active: new FakeServiceWorker('activated') })],
      async () => registrationOf({ active }),
    )
    expect(await new Registration(page, WANTED, new FakeBrowser()).active()).toBe(active)
    expect(calls).toEqual([[SCRIPT, { scope: SCOPE, type: 'classic', updateViaCache: 'none' }]])
  })

  test('[LK12] a registration that is there is used as it is, and brought up to date a little later', async () => {
    const active = new FakeServiceWorker('activated')
    const ours = registrationOf({ active })
    const { page, calls } = pageWith([ours], () => Promise.reject(new Error('offline')))
    const browser = new FakeBrowser()
    expect(await new Registration(page, WANTED, browser).active()).toBe(active)
    expect(calls).toEqual([])
    expect(ours.update).not.toHaveBeenCalled()
    browser.advance(UPDATE_AFTER_MS)
    expect(ours.update).toHaveBeenCalledTimes(1)
  })

  test('[LK12] a registration of another script in our scope is replaced', async () => {
    const active = new FakeServiceWorker('activated')
    const other = registrationOf({ active: new FakeServiceWorker('activated', `${SCOPE}old.js`) })
    const { page, calls } = pageWith([other], async () => registrationOf({ active }))
    expect(await new Registration(page, WANTED, new FakeBrowser()).active()).toBe(active)
    expect(calls).toHaveLength(1)
  })

  test('[LK13] the active worker is looked up at every call', async () => {
    const first = new FakeServiceWorker('activated')
    const second = new FakeServiceWorker('activating')
    const ours = registrationOf({ active: first })
    const registration = new Registration(pageWith([ours], async () => ours).page, WANTED, new FakeBrowser())
    expect(await registration.active()).toBe(first)
    ours.active = second
    expect(await registration.active()).toBe(second)
  })

  test('[LK13] while it is being installed, the call waits for the activation', async () => {
    const worker = new FakeServiceWorker('installing')
    const ours = registrationOf({ installing: worker })
    const browser = new FakeBrowser()
    const active = new Registration(pageWith([], async () => ours).page, WANTED, browser).active()
    await until(() => expect(browser.timers).toEqual([ACTIVATION_TIMEOUT_MS]))
    worker.become('installed')
    Object.assign(ours, { installing: null, active: worker })
    worker.become('activating')
    expect(await active).toBe(worker)
    expect(browser.timers).toEqual([])
  })

  test('[LK13] after the site has unregistered all workers, ours is registered again', async () => {
    const ours = registrationOf({ active: new FakeServiceWorker('activated') })
    const again = new FakeServiceWorker('activated')
    const known = [ours]
    const { page, calls } = pageWith(known, async () => registrationOf({ active: again }))
    const registration = new Registration(page, WANTED, new FakeBrowser())
    await registration.active()
    ours.active = null
    known.pop()
    expect(await registration.active()).toBe(again)
    expect(calls).toHaveLength(1)
  })

  test('[LK14] after a death in the middle of an update, calls rest until the new worker takes over', async () => {
    const next = new FakeServiceWorker('installed')
    const ours = registrationOf({ active: new FakeServiceWorker('activated'), waiting: next })
    const registration = new Registration(pageWith([ours], async () => ours).page, WANTED, new FakeBrowser())
    await registration.active()
    const replaced = registration.replaced()
    next.become('activating')
    await replaced
  })

  test('[LK14] if that is not seen, they rest for a moment only; and not at all without an update', async () => {
    const ours = registrationOf({ active: new FakeServiceWorker('activated') })
    const browser = new FakeBrowser()
    const registration = new Registration(pageWith([ours], async () => ours).page, WANTED, browser)
    await registration.active()
    await registration.replaced()
    ours.installing = new FakeServiceWorker('installing')
    const replaced = registration.replaced()
    browser.advance(REPLACED_MS_MAX)
    await replaced
  })
})

describe('why there is none', () => {
  const refused = (error: Error) =>
    new Registration(pageWith([], () => Promise.reject(error)).page, WANTED, new FakeBrowser()).active()

  test.each([
    ['a missing script', 404, 'text/html', new TypeError('bad HTTP response code'), /sw\.js answered 404/],
    [
      'a script of the wrong type',
      200,
      'text/html',
      new DOMException('bad MIME', 'SecurityError'),
      /came as text\/html.*text\/javascript/,
    ],
    [
      'a forbidding policy',
      200,
      'text/javascript',
      new DOMException('no', 'SecurityError'),
      /worker-src.*Content-Security-Policy/,
    ],
    [
      'a script that throws',
      200,
      'text/javascript',
      new TypeError('script evaluation failed'),
      /as a classic script: script evaluation failed/,
    ],
  ])('[LK15] %s is named', async (_, status, type, error, sentence) => {
    answering(status, type)
    const failure = refused(error)
    await expect(failure).rejects.toMatchObject({ name: 'HoldfastError', code: 'WORKER_UNAVAILABLE', cause: error })
    await expect(failure).rejects.toThrow(sentence)
  })

  test('[LK15] a server that cannot be reached is named', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')))
    await expect(refused(new TypeError('offline'))).rejects.toThrow(/cannot be loaded/)
  })

  test.each([
    ['a page without HTTPS', { isSecureContext: false }, {}, /HTTPS/],
    ['a browser without workers', {}, {}, /this browser/],
    ['a sandboxed frame', { origin: 'null' }, SANDBOXED, /allow-same-origin/],
  ])('[LK15] %s is named', async (_, globals, page, sentence) => {
    for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value)
    const failure = new Registration(page as Navigator, WANTED, new FakeBrowser()).active()
    await expect(failure).rejects.toMatchObject({ name: 'HoldfastError', code: 'WORKER_UNAVAILABLE' })
    await expect(failure).rejects.toThrow(sentence)
  })

  test('[LK19] a script that never comes is given up, and named', async () => {
    vi.stubGlobal('fetch', (_: string, { signal }: RequestInit) => Promise.reject(signal?.reason ?? new Error('late')))
    const browser = new FakeBrowser()
    const { page } = pageWith([], () => new Promise(() => {}))
    const hanging = new Registration(page, WANTED, browser).active()
    hanging.catch(() => {})
    await until(() => expect(browser.timers).toEqual([REGISTRATION_TIMEOUT_MS]))
    browser.advance(REGISTRATION_TIMEOUT_MS)
    await expect(hanging).rejects.toMatchObject({ code: 'WORKER_UNAVAILABLE' })
    await expect(hanging).rejects.toThrow(/cannot be loaded/)
  })

  test('[LK15] an installation that fails or hangs is named', async () => {
    const worker = new FakeServiceWorker('installing')
    const browser = new FakeBrowser()
    const registration = () =>
      new Registration(pageWith([], async () => registrationOf({ installing: worker })).page, WANTED, browser)
    const failing = registration().active()
    await until(() => expect(browser.timers).toHaveLength(1))
    worker.become('redundant')
    await expect(failing).rejects.toThrow(/installation failed/)
    worker.state = 'installing'
    const hanging = registration().active()
    hanging.catch(() => {})
    await until(() => expect(browser.timers).toHaveLength(1))
    browser.advance(ACTIVATION_TIMEOUT_MS)
    await expect(hanging).rejects.toThrow(/15000 ms/)
  })
})
