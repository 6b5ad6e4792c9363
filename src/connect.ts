// From the options of a site to its Chat: checks them, chooses where the engine runs, waits for the first snapshot.
// Leaves to others: the registration itself, and what a Chat does.

import { isHoldfastError } from '../core/errors.ts'
import type { Chat, ConnectOptions } from './api.ts'
import { browser } from './browser.ts'
import { openChat } from './client.ts'
import { checkAttributes, checkOptions, demand, isName } from './content.ts'
import { type Host, Link } from './link.ts'
import { Registration } from './registration.ts'

/**
 * Connects this tab to the chat of a deployment: registers the worker beside the site's own, and resolves with what this
 * browser has kept, before any network. Offline it resolves just the same, once the worker has been installed.
 *
 * @throws {TypeError} an option is missing or wrong
 * @throws {HoldfastError} `WORKER_UNAVAILABLE`: neither service worker nor page can run the engine, the message says why;
 *   `DEPLOYMENT_UNKNOWN`, `LINK_TIMEOUT`: the script is not ours, or hangs; `PROTOCOL_MISMATCH`: reload the page
 * @see https://www.w3.org/TR/service-workers/#navigator-service-worker-register
 * @example
 * const chat = await connect({ worker: '/holdfast/sw.js', deployment: 'acme' })
 * chat.subscribe((state) => render(state))
 */
export async function connect(options: ConnectOptions): Promise<Chat> {
  checkOptions(options)
  const { worker, deployment, type = 'classic', scope, routingData: routing, local } = options
  demand(isName(deployment), '`deployment` must be a name.')
  demand(typeof worker === 'string' || worker instanceof URL, '`worker` must be an address.')
  demand(type === 'classic' || type === 'module', "`type` must be 'classic' or 'module'.")
  demand(scope === undefined || typeof scope === 'string', '`scope` must be an address.')
  demand(local === undefined || typeof local === 'function', '`local` must be a function.')
  if (routing !== undefined) checkAttributes(routing)
  const script = new URL(worker, document.baseURI)
  const scopeUrl = scope === undefined ? new URL('.', script) : new URL(scope, document.baseURI)
  const wanted = { script, scope: scopeUrl.href, type }
  const open = (host: Host) => openChat(host, { deployment, routing }, browser)
  try {
    return await open(new Link(new Registration(navigator, wanted, browser), browser))
  } catch (error) {
    if (!isHoldfastError(error, 'WORKER_UNAVAILABLE')) throw error
    const host = await import('./more.ts')
      .then(({ pageHost }) => pageHost(deployment, script, local))
      .catch(() => {
        // Why there is no worker is what the site can do something about.
        throw error
      })
    const chat = await open(host)
    // After the site has had its turn to listen.
    browser.after(0, () => chat.mirror.complain(error))
    return chat
  }
}
