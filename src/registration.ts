// Registers our worker beside the site's own, finds the active one at every call, and keeps it up to date.
// Leaves to others: talking to it (link.ts), and what to do where there is none (connect.ts).

import { HoldfastError } from '../core/errors.ts'
import type { Browser } from './browser.ts'
import type { Workers } from './link.ts'

/** A worker that is not active by then is taken for one that cannot be had: its installation may hang. */
export const ACTIVATION_TIMEOUT_MS = 15_000

/** A script that is not there by then is taken for one that cannot be loaded. A slow network needs less. */
export const REGISTRATION_TIMEOUT_MS = 30_000

/** By then `registration.active` is the new worker, whether or not we saw it begin. */
export const REPLACED_MS_MAX = 50
/** The first screen comes before the search for a new version. */
export const UPDATE_AFTER_MS = 5_000

export interface Registering {
  readonly script: URL
  readonly scope: string
  readonly type: WorkerType
}

const unavailable = (reason: string, cause?: unknown): HoldfastError =>
  new HoldfastError('WORKER_UNAVAILABLE', `No service worker: ${reason}`, { cause })

export class Registration implements Workers {
  #page: Pick<Navigator, 'serviceWorker'>
  #wanted: Registering
  #browser: Browser
  #found: ServiceWorkerRegistration | undefined

  /** @param page its container is looked up late: a sandboxed frame throws where it is read. */
  constructor(page: Pick<Navigator, 'serviceWorker'>, wanted: Registering, browser: Browser) {
    this.#page = page
    this.#wanted = wanted
    this.#browser = browser
  }

  async active(): Promise<ServiceWorker> {
    let found = this.#found
    // Gone when the site has unregistered all workers, as some do after a deployment: then we register again.
    if (!found?.active && !found?.installing && !found?.waiting) found = this.#found = await this.#register()
    return found.active ?? this.#activation(found)
  }

  replaced(): Promise<void> {
    // A worker that was merely stopped is started again by the next message. Only in an update is `active` out of date.
    const next = this.#found?.installing ?? this.#found?.waiting
    return new Promise((resolve) => {
      if (!next) return resolve()
      next.addEventListener('statechange', () => resolve())
      this.#browser.after(REPLACED_MS_MAX, resolve)
    })
  }

  /** Our own scope is never navigated to, so nothing else makes the browser look for a new version. */
  update(): void {
    // Offline it fails, and the worker we have will do.
    this.#found?.update().catch(() => {})
  }

  async #register(): Promise<ServiceWorkerRegistration> {
    const { script, scope, type } = this.#wanted
    let cancel = () => {}
    try {
      const container = this.#page.serviceWorker
      // getRegistration(scope) matches by prefix, and would give the site's own worker.
      const known = (await container.getRegistrations()).find((registration) => registration.scope === scope)
      const worker = known?.active ?? known?.waiting ?? known?.installing
      if (known && worker?.scriptURL === script.href) {
        this.#browser.after(UPDATE_AFTER_MS, () => this.update())
        return known
      }
      // A server that takes the request and never answers would hold up `connect()` for minutes.
      const late = new Promise<never>((_, reject) => {
        cancel = this.#browser.after(REGISTRATION_TIMEOUT_MS, reject)
      })
      return await Promise.race([late, container.register(script, { scope, type, updateViaCache: 'none' })])
    } catch (error) {
      // It cannot be loaded where nothing can: then the browser's own words must do.
      const { explain } = await import('./more.ts').catch(() => ({ explain: () => `${script}: ${error}` }))
      throw unavailable(await explain(this.#wanted, this.#page, error), error)
    } finally {
      cancel()
    }
  }

  #activation(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
    return new Promise((resolve, reject) => {
      const worker = (registration.installing ?? registration.waiting) as ServiceWorker
      const check = () => {
        if (registration.active) resolve(registration.active)
        else if (worker.state === 'redundant') fail('its installation failed: see its console.')
        else return
        cancel()
      }
      const fail = (reason: string) => reject(unavailable(reason))
      const cancel = this.#browser.after(ACTIVATION_TIMEOUT_MS, () => {
        fail(`its installation takes over ${ACTIVATION_TIMEOUT_MS} ms.`)
      })
      worker.addEventListener('statechange', check)
      check()
    })
  }
}
