// The script of hub.html, on the origin that a site's sub-domains share. Its settings stand in the page, because whoever
// embeds it chooses the address: `data-origins` (who is let in) and `data-worker` (the worker beside it).

import type { LocalWorker } from './api.ts'
import { isHoldfastError } from '../core/errors.ts'
import { browser } from './browser.ts'
import { type HubWindow, serveHub } from './hub-serve.ts'
import { type Host, Link } from './link.ts'
import { Registration } from './registration.ts'

const { worker = '', origins = '' } = document.querySelector<HTMLElement>('script[data-origins]')?.dataset ?? {}

/** The worker of this origin, or the engine in this frame where there is none. */
async function engine(): Promise<Host> {
  const script = new URL(worker, document.baseURI)
  const wanted = { script, scope: new URL('.', script).href, type: 'classic' } as const
  try {
    const registration = new Registration(navigator, wanted, browser)
    await registration.active()
    return new Link(registration, browser)
  } catch (error) {
    if (!isHoldfastError(error, 'WORKER_UNAVAILABLE') || !script.searchParams.has('config')) throw error
    const { host } = await import('./local-host.ts')
    return hostOf(host(script))
  }
}

const hostOf = (local: LocalWorker): Host => ({
  kind: 'page',
  run: async (caller, command) => (await local.run(caller, command)).value as never,
  ping: (caller) => local.ping?.(caller),
})

serveHub(window as HubWindow, {
  origins: origins.split(/\s+/).filter(Boolean),
  host: engine,
  browser,
  locker: async (tab, deployment) => (await import('./more.ts')).locker(tab, deployment),
})
