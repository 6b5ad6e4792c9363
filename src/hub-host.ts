// The page's end of a hub: the engine runs on another origin of the site, behind a hidden frame. For the rest of the page it
// is a Host like any other. Leaves to others: the frame itself (hub-frame.ts), and what the hub does (hub-serve.ts).

import { fromWire, HoldfastError, toWire, type WireError } from '../core/errors.ts'
import type { AnswerTo, Caller, Command, Snapshot } from '../core/wire.ts'
import type { Browser } from './browser.ts'
import type { Frame } from './hub-frame.ts'
import { HUB_VERSION, type HubAsk, type HubHello, type HubTold } from './hub-wire.ts'
import { type Host, LONG_CALL_TIMEOUT_MS } from './link.ts'
import { ACTIVATION_TIMEOUT_MS } from './registration.ts'

/** A frame that has not answered by then is not our hub, or was not let in. */
export const HEARD_TIMEOUT_MS = 10_000
/** The hub installs its worker in the first of them. */
export const READY_TIMEOUT_MS = ACTIVATION_TIMEOUT_MS + 5_000
/** The hub tries twice itself: only one that hangs is silent for longer. */
export const HUB_CALL_TIMEOUT_MS = 2 * LONG_CALL_TIMEOUT_MS + 1_000

type Channel = ReturnType<Browser['channel']>

interface Pending {
  readonly ask: HubAsk
  resolve(value: unknown): void
  reject(error: Error): void
  /** Ends its deadline. */
  cancel(): void
}

export class HubHost implements Host {
  /** As the hub says when it is ready, which is before the first answer. */
  kind: Host['kind'] = 'service-worker'
  isShown = false
  onDeath?: () => void
  onNews?: (snapshot: Snapshot) => void
  #frame: Frame
  #browser: Browser
  #deployment: string
  /** Of the handshake under way, or done. */
  #port: MessagePort | undefined
  #isReady = false
  #unwait = () => {}
  #pending = new Map<number, Pending>()
  #lastId = 0
  #caller: Caller | undefined
  /** A lock of this tab was asked for: a frame that is loaded anew has none. */
  #isHeld = false
  /** Who waits for the hub itself. */
  #opening: { resolve(): void; reject(error: Error): void }[] = []
  #isOver = false
  /** What the page client takes for the channel of its deployment. */
  readonly #channel: Channel = {
    onmessage: null,
    postMessage: (notice) => this.#tell({ type: 'publish', notice }),
    close: () => {
      this.#channel.onmessage = null
      this.#isOver = true
      // A goodbye may follow; it takes the frame along with its answer.
      this.#browser.after(0, () => this.#leaveIfOver())
    },
  }

  constructor(frame: Frame, browser: Browser, deployment: string) {
    this.#frame = frame
    this.#browser = browser
    this.#deployment = deployment
  }

  /** The browser as the page client sees it: notices come from the hub's origin, and what is to be kept is kept there. */
  get browser(): Browser {
    const own = this.#browser
    return {
      now: () => own.now(),
      after: (ms, task) => own.after(ms, task),
      whenFree: (lock, granted) => own.whenFree(lock, granted),
      listen: (type, listener) => own.listen(type, listener),
      isVisible: () => own.isVisible(),
      isOnline: () => own.isOnline(),
      storage: () => own.storage(),
      channel: () => {
        // Again, where the page comes back from the back/forward cache.
        this.#isOver = false
        return this.#channel
      },
      persist: () => this.#tell({ type: 'persist' }),
    }
  }

  /**
   * Resolves when the hub has let us in and has an engine: what is told before that is lost.
   * @throws {HoldfastError} `WORKER_UNAVAILABLE`, `HUB_REFUSED`, `PROTOCOL_MISMATCH`
   */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#opening.push({ resolve, reject })
      this.#open()
    })
  }

  run<C extends Command>(caller: Caller, command: C): Promise<AnswerTo<C>> {
    const id = ++this.#lastId
    this.#caller = caller
    this.#isHeld ||= command.type === 'hold'
    return new Promise<unknown>((resolve, reject) => {
      const ask: HubAsk = { type: 'call', id, caller, command }
      const pending: Pending = { ask, resolve, reject, cancel: () => {} }
      this.#pending.set(id, pending)
      if (this.#isReady && this.#frame.isOpen()) this.#make(id, pending)
      else if (this.#isOver) this.#settle(id, () => reject(new HoldfastError('LINK_CLOSED', 'This tab has let go.')))
      // Not yet let in, or taken out of the page by the site.
      else if (!this.#frame.isOpen()) this.#open()
    }) as Promise<AnswerTo<C>>
  }

  ping(caller: Caller): void {
    this.#tell({ type: 'ping', caller })
  }

  #tell(ask: HubAsk): void {
    if (this.#isReady) this.#port?.postMessage(ask)
  }

  #make(id: number, pending: Pending): void {
    pending.cancel()
    pending.cancel = this.#browser.after(HUB_CALL_TIMEOUT_MS, () => {
      const message = `The hub gave no answer within ${HUB_CALL_TIMEOUT_MS} ms.`
      this.#settle(id, ({ reject }) => reject(new HoldfastError('LINK_TIMEOUT', message)))
    })
    try {
      this.#port?.postMessage(pending.ask)
    } catch (error) {
      // What cannot be cloned, as over any link.
      this.#settle(id, ({ reject }) => reject(error as Error))
    }
  }

  #settle(id: number, settle: (pending: Pending) => void): void {
    const pending = this.#pending.get(id)
    if (!pending) return
    this.#pending.delete(id)
    pending.cancel()
    settle(pending)
    this.#leaveIfOver()
  }

  /** Puts the frame into the page. Each time it has been loaded, also by itself, we begin anew with it. */
  #open(): void {
    this.#wait(HEARD_TIMEOUT_MS, 'it gave no answer: check its address, its frame-ancestors and this page’s frame-src.')
    this.#frame.open(() => this.#greet())
  }

  #greet(): void {
    this.#letGo()
    this.#wait(HEARD_TIMEOUT_MS, 'what was loaded is not our hub, or is somewhere else.')
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = ({ data }: MessageEvent<HubTold>) => this.#hear(data)
    this.#port = port1
    const hello: HubHello = { type: 'holdfast-hub', version: HUB_VERSION, deployment: this.#deployment }
    this.#frame.post(hello, port2)
  }

  #letGo(): void {
    this.#isReady = false
    this.isShown = false
    this.#port?.close()
    this.#port = undefined
  }

  #wait(ms: number, why: string): void {
    this.#unwait()
    this.#unwait = this.#browser.after(ms, () =>
      this.#fail(toWire(new HoldfastError('WORKER_UNAVAILABLE', `No hub: ${why}`))),
    )
  }

  /** Nothing is left behind, so that the next call begins anew. */
  #fail(error: WireError): void {
    this.#unwait()
    this.#letGo()
    this.#frame.close()
    for (const { reject } of this.#opening.splice(0)) reject(fromWire(error))
    for (const id of [...this.#pending.keys()]) this.#settle(id, ({ reject }) => reject(fromWire(error)))
  }

  #hear(told: HubTold): void {
    if (told.type === 'answer') {
      this.isShown ||= told.isShown
      this.#settle(told.id, ({ resolve }) => resolve(told.value))
    } else if (told.type === 'failure') this.#settle(told.id, ({ reject }) => reject(fromWire(told.error)))
    else if (told.type === 'news') this.onNews?.(told.snapshot)
    else if (told.type === 'notice') deliver(this.#channel, told.notice)
    else if (told.type === 'death') this.onDeath?.()
    else if (told.type === 'refused') this.#fail(told.error)
    else if (told.type === 'heard') this.#wait(READY_TIMEOUT_MS, 'it has no engine in time.')
    else if (told.type === 'ready') this.#begin(told.kind)
  }

  #begin(kind: Host['kind']): void {
    this.#unwait()
    this.kind = kind
    this.#isReady = true
    for (const { resolve } of this.#opening.splice(0)) resolve()
    for (const [id, pending] of this.#pending) this.#make(id, pending)
    if (this.#isHeld && this.#caller) void this.run(this.#caller, { type: 'hold' }).catch(() => {})
    // Notices may have been missed, where this is not the first time.
    this.onDeath?.()
  }

  #leaveIfOver(): void {
    if (!this.#isOver || this.#pending.size > 0) return
    this.#unwait()
    this.#letGo()
    this.#frame.close()
  }
}

const deliver = (channel: Channel, data: unknown): void => {
  channel.onmessage?.call(channel as BroadcastChannel, { data } as MessageEvent)
}
