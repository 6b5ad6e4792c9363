// The entry of the service worker: which events wake it, what holds it, how a tab's call reaches the engine.
// It works in a scope of its own, or imported into a site's worker; it adds no fetch handler.

import { expose, finalizer, transferHandlers } from 'comlink'
import { fromWire, toWire, type WireError } from '../core/errors.ts'
import { lifeLockOf, type Ping, type WorkerApi } from '../core/wire.ts'
import { createHost, type Host, type WorkerConfig } from './host.ts'

export type { DeploymentConfig, PlatformFactory, WorkerConfig } from './host.ts'

/** A tab that is closed never lets go of its port: after this the call counts as over. */
const CALL_HOLD_MS = 30_000
/** What is in hand when the tab lets go may hold the worker so long. What waits then is left to a sync event or the next tab. */
const SETTLE_HOLD_MS = 25_000
const SYNC_TAG = 'holdfast'

/** Background Sync, where it exists. TypeScript's library has no types for it. */
interface SyncRegistration {
  readonly sync?: { register(tag: string): Promise<void> }
}

declare const self: ServiceWorkerGlobalScope

/**
 * Starts holdfast in this service worker. Call it once, at the top level of the worker's script: listeners that are
 * added later do not wake a worker.
 *
 * Nothing touches the network before a tab calls. Offline, everything is accepted and kept.
 *
 * @param config the deployments by name, or a function that loads them; a failed load is tried again at the next call
 * @example
 * ```ts
 * import { startWorker } from 'holdfast/sw'
 * import { sessionService } from 'holdfast/platforms/session-service'
 * startWorker({ deployments: { acme: { platform: sessionService({ url: 'https://chat.example.com' }), vault: 'broker' } } })
 * ```
 */
export function startWorker(config: WorkerConfig | (() => Promise<WorkerConfig>)): void {
  const incarnation = crypto.randomUUID()
  const host = createHost(typeof config === 'function' ? config : async () => config, incarnation)
  const alive = holdLife(incarnation)
  installErrorHandler()

  self.addEventListener('install', () => void self.skipWaiting())
  self.addEventListener('message', (event) => {
    const [port] = event.ports
    const type = (Object(event.data) as { type?: unknown }).type
    if (type === 'holdfast-ping') event.waitUntil(host.ping((event.data as Ping).caller).catch(() => {}))
    if (type !== 'holdfast-call' || port === undefined) return
    event.waitUntil(
      serve(host, alive, port)
        .then(() => rest(host))
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
    await rest(host)
    isSyncAsked = false
    if (host.isWaiting()) throw new Error('Messages still wait.')
  }
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

/** One call: alive until the tab lets go of its port. No answer before the life lock is held, or a death could be missed. */
function serve(host: Host, alive: Promise<void>, port: MessagePort): Promise<void> {
  return new Promise((over) => {
    const timer = setTimeout(over, CALL_HOLD_MS)
    const api: WorkerApi = {
      async run(caller, command) {
        await alive
        return host.run(caller, command)
      },
    }
    const release = () => {
      clearTimeout(timer)
      over()
    }
    expose({ ...api, [finalizer]: release }, port)
  })
}

/** Stays until nothing is in hand, for a bounded time. */
async function rest(host: Host): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const tooLong = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, SETTLE_HOLD_MS)
  })
  await Promise.race([host.settled(), tooLong])
  clearTimeout(timer)
}

/** Comlink's own handler sends stacks and drops codes; ours sends what `toWire` keeps. */
function installErrorHandler(): void {
  const original = transferHandlers.get('throw')
  if (original === undefined) return
  transferHandlers.set('throw', {
    canHandle: original.canHandle,
    serialize: (thrown: { value: unknown }) => [toWire(thrown.value), []],
    deserialize: (wire: WireError) => {
      throw fromWire(wire)
    },
  })
}
