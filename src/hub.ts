// The door of `holdfast/hub`: the same chat for pages of several sub-domains, whose engine runs on one origin of the site.
// Instead of `holdfast`, not beside it. The hub's own page is hub-page.ts.

import type { Attributes } from '../core/wire.ts'
import type { Chat } from './api.ts'
import { browser } from './browser.ts'
import { openChat } from './client.ts'
import { checkAttributes, checkOptions, demand, isName } from './content.ts'
import { frameOf } from './hub-frame.ts'
import { HubHost } from './hub-host.ts'

export { HoldfastError, isHoldfastError } from '../core/errors.ts'
export type { Chat, ChatEvents, Content, Receipt, State } from './api.ts'

/** Options of {@link connect} through a hub. */
export interface HubOptions {
  /** Address of the hub's page, on another origin of the same site, which names this page's origin. */
  readonly hub: string | URL
  /** Name of the deployment, as the hub's worker knows it. */
  readonly deployment: string
  /** Attributes by which new conversations are routed, from the first on. Default: none. */
  readonly routingData?: Attributes
}

/**
 * Connects this tab to the chat of a deployment through the site's hub: one session, conversation, outbox and transcript for
 * all sub-domains that the hub lets in. Where a browser keeps the storage of each sub-domain apart, each has its own, and a
 * session cookie on the parent domain leads them to the same conversation.
 *
 * @throws {TypeError} an option is missing or wrong
 * @throws {HoldfastError} `WORKER_UNAVAILABLE`: the hub cannot be had, the message says why; `HUB_REFUSED`: it does not let
 *   this page's origin in; and as `connect` of `holdfast`
 * @example
 * const chat = await connect({ hub: 'https://hub.app.example/holdfast/hub.html', deployment: 'acme' })
 */
export async function connect(options: HubOptions): Promise<Chat> {
  checkOptions(options)
  const { hub, deployment, routingData: routing } = options
  demand(isName(deployment), '`deployment` must be a name.')
  demand(typeof hub === 'string' || hub instanceof URL, '`hub` must be an address.')
  if (routing !== undefined) checkAttributes(routing)
  const address = new URL(hub, document.baseURI)
  demand(/^https?:$/.test(address.protocol), '`hub` must be an address of http or https.')
  const host = new HubHost(frameOf(address), browser, deployment)
  await host.open()
  return openChat(host, { deployment, routing }, host.browser)
}
