// The session service as one object: builds the parts, listens, ticks, and stops in good order.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { openBacking, openFanout } from './backing.ts'
import { answerBroken } from './broken.ts'
import { Gate } from './gate.ts'
import { httpApp } from './http.ts'
import { Hub } from './hub.ts'
import { Identities } from './identity.ts'
import type { KeySource } from './keys.ts'
import { Buckets, Tally } from './limits.ts'
import { errorFields, logTo } from './log.ts'
import { Marker } from './marks.ts'
import { Metrics } from './metrics.ts'
import type { Parts } from './parts.ts'
import { type ServiceOptions, type Settings, settingsFrom } from './settings.ts'
import { Sharing } from './sharing.ts'
import { SnapshotPusher } from './snapshots.ts'
import { StreamServer } from './stream.ts'
import { Tokens } from './tokens.ts'

const TICK_MS = 1000
const SWEEP_MS = 60_000
/** A notice that was lost without a gap being seen is made up for after this long at most. */
const LOOK_MS = 30_000
const KEYS_MS = 60_000
/** How long a graceful stop waits for answers that are under way. */
const DRAIN_MS = 5000
/** How often connections are looked at for requests that are late, at least. */
const LATE_CHECK_MS = 5000
const KEEP_ALIVE_MS = 65_000

export type AgentIdentity = { deploymentId: string; agentId: string; name: string }

export interface SessionService {
  /** The HTTP calls without a socket: everything but the WebSocket. */
  fetch(request: Request): Promise<Response>
  /** Listens; port 0 takes a free one. */
  listen(port: number, host?: string): Promise<{ url: string; port: number }>
  /** Stops in good order: sends the streams away with spread delays, finishes what is under way, closes the store. */
  close(): Promise<void>
  /** A token for one agent of one deployment. */
  agentToken(agent: AgentIdentity): Promise<string>
  /** Calls back all customers' access tokens, as if they had expired; refresh tokens stay good. */
  expireAccessTokens(): void
  /** Does now what time does once a second: deadlines, pings, expiries. For tests that move the clock. */
  tick(): void
  /** Does now what time does once a minute: idle conversations expire, ended ones are archived. */
  sweep(): Promise<void>
  /** Copies the embedded store, as it is now, into a new file. Everything else waits while this runs. */
  backup(file: string): Promise<void>
  /** Does now what time does twice a minute on nodes that share a database: makes up for notices that were lost. */
  lookAgain(): Promise<void>
}

export async function createSessionService(options: ServiceOptions = {}): Promise<SessionService> {
  const settings = settingsFrom(options)
  const now = options.now ?? Date.now
  const log = logTo(options.log, now)
  const { store, keys, run } = await openBacking(settings, options.keys, now)
  options.hooks?.storeOpened?.(run)
  const fanout = await openFanout(settings, log)
  const tokens = await Tokens.from(await keys.read(), now)
  const gate = new Gate(tokens, store, now)
  const sharing = new Sharing(store, now)
  const [retiring, draining] = [new AbortController(), new AbortController()]
  const { limits } = settings
  const parts: Parts = {
    settings,
    store,
    tokens,
    gate,
    hub: new Hub({
      fanout,
      positions: (conversationIds, deploymentIds) => sharing.positions(conversationIds, deploymentIds),
      onLookFailed: (error) => log('warn', 'look-failed', errorFields(error)),
      onFamily: ({ familyId, change }) => {
        gate.forget(familyId)
        if (change === 'ended') streams.familyEnded(familyId)
        else streams.familyMoved(familyId)
      },
    }),
    marker: new Marker({ store: store.marks, hub: { publish: (notice) => parts.hub.publish(notice) } }),
    metrics: new Metrics(),
    log,
    now,
    uuid: randomUUID,
    drain: draining.signal,
    retire: retiring.signal,
    familyEnded: (familyId) => parts.hub.publish({ familyId, change: 'ended' }),
    familyMoved: (familyId) => parts.hub.publish({ familyId, change: 'moved' }),
    buckets: {
      sessions: new Buckets(limits.sessionRequestsPerSecond, limits.sessionRequestsBurst),
      addresses: new Buckets(limits.addressRequestsPerSecond, limits.addressRequestsBurst),
    },
    streams: new Tally(limits.sessionStreamsMax),
    identities: new Identities(settings.deployments, now),
    objects: settings.attachments.objects ?? store.objects,
  }
  const streams = new StreamServer(parts)
  return new Service(parts, { streams, retiring, draining, keys, sharing })
}

type Inner = {
  streams: StreamServer
  retiring: AbortController
  draining: AbortController
  keys: KeySource
  sharing: Sharing
}

class Service implements SessionService {
  readonly #parts: Parts
  readonly #inner: Inner
  readonly #streams: StreamServer
  readonly #pusher: SnapshotPusher
  readonly #fetch: (request: Request) => Response | Promise<Response>
  readonly #timers: NodeJS.Timeout[]
  #server: Server | undefined
  #closing: Promise<void> | undefined

  constructor(parts: Parts, inner: Inner) {
    this.#parts = parts
    this.#inner = inner
    this.#streams = inner.streams
    const { store, settings, metrics, log, now } = parts
    this.#pusher = new SnapshotPusher({ store: store.pushes, deployments: settings.deployments, metrics, log, now })
    this.#fetch = httpApp(parts).fetch
    this.#timers = [
      setInterval(() => this.tick(), TICK_MS),
      setInterval(() => this.#watched('sweep-failed', () => this.sweep()), SWEEP_MS),
      setInterval(() => this.#watched('keys-failed', () => inner.sharing.adoptKeys(inner.keys, parts.tokens)), KEYS_MS),
    ]
    if (settings.database !== undefined) {
      this.#timers.push(setInterval(() => this.#watched('look-failed', () => this.lookAgain()), LOOK_MS))
    }
    for (const timer of this.#timers) timer.unref()
  }

  /** A field, so that it may be handed on without its service. */
  readonly fetch = async (request: Request): Promise<Response> => this.#fetch(request)

  async listen(port: number, host = '127.0.0.1'): Promise<{ url: string; port: number }> {
    if (this.#server !== undefined) throw new TypeError('The service listens already.')
    const { requestMs, connectionsMax } = this.#parts.settings.limits
    const server = createAdaptorServer({
      fetch: this.#fetch,
      serverOptions: {
        requestTimeout: requestMs,
        headersTimeout: Math.ceil(requestMs / 2),
        // Node's own default looks twice a minute, and would let everybody be late by that.
        connectionsCheckingInterval: Math.min(LATE_CHECK_MS, Math.ceil(requestMs / 4)),
      },
    }) as Server
    server.on('clientError', answerBroken(this.#parts.metrics))
    // Longer than the idle limit of common proxies, so that it is the proxy that lets go first.
    server.keepAliveTimeout = KEEP_ALIVE_MS
    server.maxConnections = connectionsMax
    this.#streams.attach(server)
    server.listen(port, host)
    await once(server, 'listening')
    this.#server = server
    const address = server.address() as AddressInfo
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
    const { store, settings, log } = this.#parts
    log('info', 'listening', { url, store: store.version, durability: settings.durability })
    return { url, port: address.port }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { retiring, draining } = this.#inner
    retiring.abort()
    const { drainDelayMs } = this.#parts.settings
    if (drainDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, drainDelayMs))
    for (const timer of this.#timers) clearInterval(timer)
    draining.abort()
    this.#streams.drain()
    const server = this.#server
    if (server !== undefined) {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const hurry = setTimeout(() => {
        server.closeAllConnections()
        this.#streams.close()
      }, DRAIN_MS)
      await closed
      clearTimeout(hurry)
    }
    this.#streams.close()
    await this.#pusher.close()
    await this.#parts.hub.close()
    await this.#parts.store.close()
    this.#parts.log('info', 'closed')
  }

  async agentToken(agent: AgentIdentity): Promise<string> {
    if (!this.#parts.settings.deployments.has(agent.deploymentId)) {
      throw new TypeError(`There is no deployment ${agent.deploymentId}.`)
    }
    return mintAgentToken(this.#parts.tokens, this.#parts.settings, agent, this.#parts.now())
  }

  expireAccessTokens(): void {
    // One second more than their life, because tokens end on whole seconds.
    const newestEnd = this.#parts.now() + this.#parts.settings.accessTokenMs + 1000
    const upTo = Math.max(newestEnd, this.#parts.gate.expiredUpTo + 1000)
    this.#parts.gate.expireUpTo(upTo)
    this.#streams.expireUpTo(upTo)
    this.#streams.tick()
  }

  tick(): void {
    this.#streams.tick()
    this.#pusher.tick()
  }

  async lookAgain(): Promise<void> {
    const { hub, store } = this.#parts
    await hub.lookAgain()
    for (const notice of await store.shared.changedFamilies(this.#streams.families())) hub.publish(notice)
  }

  backup(file: string): Promise<void> {
    return this.#parts.store.backup(file)
  }

  async sweep(): Promise<void> {
    const { store, hub, now, buckets, objects } = this.#parts
    for (const each of Object.values(buckets)) each.sweep(now())
    for (const id of await store.sweep(now(), objects)) {
      const conversation = await store.conversations.full(id)
      if (conversation !== undefined) hub.changed(conversation)
    }
  }

  #watched(event: string, work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#parts.log('error', event, errorFields(error)))
  }
}

/** Also used where no service runs: an agent's token needs the keys, not the store. */
export async function mintAgentToken(
  tokens: Tokens,
  settings: Pick<Settings, 'agentTokenMs'>,
  agent: AgentIdentity,
  now: number,
): Promise<string> {
  const { token } = await tokens.accessToken({ role: 'agent', ...agent }, now, settings.agentTokenMs)
  return token
}
