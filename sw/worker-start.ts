// The life of the service worker: which events wake it, what holds it, how a tab's call reaches the engine.
// It works in a scope of its own, or imported into a site's worker; it adds no fetch handler.

import { toWire } from '../core/errors.ts'
import { type Call, type CallAnswer, lifeLockOf, type Ping } from '../core/wire.ts'
import type { Show } from './engine-tell.ts'
import { createHost, type Host, type Parts, type WorkerConfig } from './host.ts'

/** The configuration, or what loads it. */
export type Loadable = WorkerConfig | (() => Promise<WorkerConfig>)

/** What `authorizeFetch` of `holdfast/fetch` needs of the worker. */
export type Lender = Pick<Host, 'lend'>

/** A call that is not answered by then counts as over: its tab has given up long before. */
const CALL_HOLD_MS = 30_000
/** What is in hand after the answer may hold the worker so long. What waits then is left to a sync event or the next tab. */
const SETTLE_HOLD_MS = 25_000
const SYNC_TAG = 'holdfast'

/** Background Sync, where it exists. TypeScript's library has no types for it. */
interface SyncRegistration {
  readonly sync?: { register(tag: string): Promise<void> }
}

declare const self: ServiceWorkerGlobalScope

/** Starts holdfast in this service worker, with the parts that its deployments may need (worker.ts). */
export function start(config: Loadable, parts: Parts): Lender {
  const incarnation = crypto.randomUUID()
  const host = createHost(typeof config === 'function' ? config : async () => config, incarnation, parts)
  const alive = holdLife(incarnation)

  self.addEventListener('install', () => void self.skipWaiting())
  self.addEventListener('message', (event) => {
    const [port] = event.ports
    const type = (Object(event.data) as { type?: unknown }).type
    if (type === 'holdfast-ping') event.waitUntil(host.ping((event.data as Ping).caller).catch(() => {}))
    if (type !== 'holdfast-call' || port === undefined) return
    event.waitUntil(
      within(CALL_HOLD_MS, answer(host, alive, event.data as Call, port))
        .then(() => within(SETTLE_HOLD_MS, host.settled()))
        .then(askForSync),
    )
  })
  self.addEventListener('sync' as 'message', (event) => {
    if ((event as unknown as { tag: string }).tag === SYNC_TAG) event.waitUntil(drain())
  })

  /** Once until it has fired: asking is a write to the browser's disk, and an answer comes at once while it is online. */
  let isSyncAsked = false
  async function askForSync(): Promise<void> {
    const { sync } = self.registration as SyncRegistration
    if (sync === undefined || isSyncAsked || !host.isWaiting()) return
    isSyncAsked = true
    await sync.register(SYNC_TAG).catch(() => {})
  }

  /** What still waits afterwards is a failed sync: the browser tries again by itself, later and later. */
  async function drain(): Promise<void> {
    await host.nudge()
    await within(SETTLE_HOLD_MS, host.settled())
    isSyncAsked = false
    if (host.isWaiting()) throw new Error('Messages still wait.')
  }

  return host
}

/** Held until this incarnation dies, however it dies: a page that waits for it learns of the death in milliseconds. */
function holdLife(incarnation: string): Promise<void> {
  return new Promise((held) => {
    if (navigator.locks === undefined) return held()
    void navigator.locks.request(lifeLockOf(incarnation), () => {
      held()
      return new Promise(() => {})
    })
  })
}

/** One call. No answer before the life lock is held, or a death could be missed. */
async function answer(host: Host, alive: Promise<void>, call: Call, port: MessagePort): Promise<void> {
  const say = (answer: CallAnswer) => port.postMessage(answer)
  const show: Show = (news) =>
    new Promise((taken) => {
      port.onmessage = () => taken()
      say({ news })
    })
  const said: CallAnswer = await host
    .run(call.caller, call.command, show)
    .then((said) => (call.command.type === 'pull' ? { ...said, shows: true as const } : said))
    .catch((error: unknown) => ({ error: toWire(error) }))
  await alive
  say(said)
}

/** Waits for the work, but only so long. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const tooLong = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, tooLong])
  clearTimeout(timer)
}
