// The hub's side: lets in pages of the origins that the site has named, and passes on between them and the engine of this
// origin. Decides nothing of the chat. Leaves to others: where the settings and the engine come from (hub-page.ts).

import { HoldfastError, toWire } from '../core/errors.ts'
import { type Caller, channelOf } from '../core/wire.ts'
import { isNotice } from '../core/wire-guards.ts'
import type { Browser } from './browser.ts'
import { HUB_VERSION, type HubAsk, type HubHello, type HubTold, isHello } from './hub-wire.ts'
import type { Host } from './link.ts'

/** The window of the hub's page. */
export interface HubWindow {
  readonly parent: unknown
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void
}

export interface HubSetting {
  /** Exactly as browsers spell an origin: scheme, host, and the port where it is not the scheme's own. */
  readonly origins: readonly string[]
  /** Starts the engine; asked for with the first page that is let in. */
  readonly host: () => Promise<Host>
  readonly browser: Browser
  /** On a shared device: takes the lock of a tab on this origin, where the worker looks for it. */
  readonly locker: (tab: string, deployment: string) => Promise<() => Promise<void>>
}

/**
 * Listens for the page around this frame.
 * @throws {TypeError} something in the list is no origin: nobody is let in then
 */
export function serveHub(window: HubWindow, setting: HubSetting): void {
  const { origins, host } = setting
  for (const origin of origins) {
    if (origin.includes('*') || originOf(origin) !== origin)
      throw new TypeError(`"${origin}" is not an origin such as https://shop.example.`)
  }
  let starting: Promise<Host> | undefined
  let leave = () => {}
  const start = (): Promise<Host> => {
    starting ??= host().catch((error: unknown) => {
      starting = undefined
      throw error
    })
    return starting
  }
  window.addEventListener('message', (event) => {
    const { data, origin, source } = event
    const [port] = event.ports
    // Only the page around us, whoever else may have hold of this window.
    if (!isHello(data) || !port || source !== window.parent || source === window) return
    const refusal = refusalOf(data, origin, origins)
    const tell = (told: HubTold) => port.postMessage(told)
    if (refusal) return tell({ type: 'refused', error: toWire(refusal) })
    tell({ type: 'heard' })
    // Loaded anew, the page's side greets again: what was before is over.
    leave()
    let isLeft = false
    leave = () => {
      isLeft = true
    }
    start().then(
      (engine) => {
        if (!isLeft) leave = tend(port, engine, data.deployment, setting)
      },
      (error) => tell({ type: 'refused', error: toWire(error) }),
    )
  })
}

/** An origin that is written otherwise would never be met. */
function originOf(text: string): string | undefined {
  try {
    return new URL(text).origin
  } catch {
    return undefined
  }
}

/** It says nothing of who is let in. */
function refusalOf({ version }: HubHello, origin: string, origins: readonly string[]): HoldfastError | undefined {
  if (!origins.includes(origin)) return new HoldfastError('HUB_REFUSED', `The hub does not let ${origin} in.`)
  if (version === HUB_VERSION) return
  const message = `The page speaks version ${String(version)} to the hub, which speaks ${HUB_VERSION}: bring both up to date.`
  return new HoldfastError('PROTOCOL_MISMATCH', message)
}

/** Passes on between one page and the engine. Returns the function that ends it. */
function tend(port: MessagePort, host: Host, deployment: string, { browser, locker }: HubSetting): () => void {
  let locking: Promise<() => Promise<void>> | undefined
  /** A page's own lock is of its own origin, and says nothing here. */
  const held = async ({ tab }: Caller): Promise<void> => {
    locking ??= locker(tab, deployment)
    // Without it the worker counts by what the tab says.
    await locking.then((take) => take()).catch(() => {})
  }
  const tell = (told: HubTold) => port.postMessage(told)
  let last: Caller | undefined
  const channel = browser.channel(channelOf(deployment))
  channel.onmessage = ({ data }) => tell({ type: 'notice', notice: data })
  host.onNews = (snapshot) => tell({ type: 'news', snapshot })
  host.onDeath = () => tell({ type: 'death' })
  const off = browser.listen('pagehide', () => {
    // The page's own goodbye may never arrive: we go away with it.
    if (last) void host.run(last, { type: 'bye' }).catch(() => {})
  })
  port.onmessage = ({ data: ask }: MessageEvent<HubAsk>) => {
    if (ask.type === 'persist') browser.persist?.()
    else if (ask.type === 'publish') {
      if (isNotice(ask.notice) && /^(is-)?drafting$/.test(ask.notice.type)) channel.postMessage(ask.notice)
    } else {
      last = ask.caller
      if (ask.type === 'ping') host.ping(ask.caller)
      else if (ask.type === 'call') {
        const before = ask.command.type === 'hold' ? held(ask.caller) : Promise.resolve()
        void before.then(() => answer(host, ask)).then(tell)
      }
    }
  }
  tell({ type: 'ready', kind: host.kind })
  return () => {
    off()
    channel.close()
    port.close()
  }
}

function answer(host: Host, { id, caller, command }: Extract<HubAsk, { type: 'call' }>): Promise<HubTold> {
  return host.run(caller, command).then(
    (value) => ({ type: 'answer', id, value, isShown: host.isShown === true }),
    (error) => ({ type: 'failure', id, error: toWire(error) }),
  )
}
