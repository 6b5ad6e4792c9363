// One engine for each deployment, built over the browser. The same for a service worker and for a page that has none.
// The events that wake and hold a worker are in worker.ts.

import { HoldfastError } from '../core/errors.ts'
import { type Platform, type Pump, TIMINGS, type Timings, type TokenSource, type Vault } from '../core/ports.ts'
import type { GuardConfig } from '../core/guard.ts'
import { LIFETIMES, type Lifetimes } from '../core/lifetimes.ts'
import { SHARED_GRACE_MS, SHARED_IDLE_MS, type SharedDevice } from '../core/shared.ts'
import { type AnswerTo, type Caller, type Command, PROTOCOL_VERSION } from '../core/wire.ts'
import { isCaller, isCommand } from '../core/wire-guards.ts'
import { clock, type OpenChannel, openChannel, pumpOf, random, tabLocksOf } from './browser.ts'
import type { Around } from './encryption.ts'
import { Engine } from './engine.ts'
import type { Leases } from './engine-leases.ts'
import type { Ports } from './engine-ports.ts'
import type { Crowd, Show } from './engine-tell.ts'
import { screenOf } from './guard.ts'
import type { OpenStore } from './memory-store.ts'
import { openStore, type StoreDeps } from './store.ts'
import { createStream } from './stream.ts'
import type { TokenSourceFactory } from './platforms/oauth.ts'
import { createVault, type KeyStore } from './vault.ts'

/** Makes the adapter of one deployment. `sessionService(…)` of `holdfast/platforms/session-service` returns one. */
export type PlatformFactory = (deps: { readonly deployment: string; now(): number }) => Platform

export interface DeploymentConfig {
  readonly platform: PlatformFactory
  /** Where tokens rest; `broker` where the service is same-site and sets an HttpOnly cookie. Default: `broker`. */
  readonly vault?: Vault['mode']
  /** Leases beside what the platform grants, by name; of the name `session`: instead of it. */
  readonly leases?: { readonly [name: string]: LeaseConfig }
  /** Intervals in milliseconds, for tests and unusual networks. Defaults: `TIMINGS`. */
  readonly timings?: Partial<Timings>
  /** What becomes of personal data in attributes, routing data and messages; `false` looks at nothing. Default: refused. */
  readonly guard?: GuardConfig | false
  /**
   * Strangers use the device one after the other: nothing survives the last tab, but for `graceMs` (a reload, default
   * 5 000), nor `idleMs` without an act of the visitor (default 15 minutes). Default: `false`.
   */
  readonly sharedDevice?: boolean | Partial<SharedDevice>
  /**
   * How long what is stored here is kept, in milliseconds: `attributes` since each was last set, by name or by how that begins,
   * `transcriptMs` since the service was last heard. Defaults: `identity_*` a day, `consent_*` 180 days, the transcript 97.
   */
  readonly lifetimes?: Partial<Lifetimes>
  /** `encryption` of `holdfast/encryption`, to seal what is stored of the conversation. Default: it is stored as it is. */
  readonly encryption?: () => Around
}

export interface LeaseConfig {
  /** Where its tokens come from: a factory such as `oauth(…)`, or `page`: a tab supplies each. */
  readonly source: TokenSourceFactory | 'page'
  /** Pages may borrow the access token. Default: no page ever sees it. */
  readonly lent?: boolean
}

export interface WorkerConfig {
  readonly deployments: { readonly [name: string]: DeploymentConfig }
}

export interface Host {
  run<C extends Command>(caller: Caller, command: C, show?: Show): Promise<{ incarnation: string; value: AnswerTo<C> }>
  ping(caller: Caller): Promise<void>
  /** Looks at what is due in every deployment that is known here. */
  nudge(): Promise<void>
  /** Resolves when no engine has anything in hand. */
  settled(): Promise<void>
  /** Messages wait somewhere. */
  isWaiting(): boolean
  /** A token of a lease, for a call of the site's own: at once, where it is at hand. Only with the part for leases. */
  lend(deployment: string, lease: string, spent?: number, epoch?: string): ReturnType<Leases['lend']>
}

/** What an engine has only where its worker may need it: a worker that cannot does not carry it. */
export type Parts = Pick<Ports, 'leases' | 'planLease' | 'signer' | 'told'>

/** What an engine stands on, whatever the configuration says. */
interface Ground {
  readonly channel: OpenChannel
  readonly store: OpenStore
  readonly pump: Pump
}

function groundOf(deployment: string, pump: Pump, { encryption }: DeploymentConfig): Ground {
  const channel = openChannel(deployment)
  const onProblem: StoreDeps['onProblem'] = (problem) => channel.publish({ v: 1, type: 'problem', ...problem })
  return { channel, store: openStore(deployment, { clock, onProblem, around: encryption?.() }), pump: askedFor(pump) }
}

function engineOn(
  ground: Ground,
  deployment: string,
  config: DeploymentConfig,
  incarnation: string,
  crowd: Crowd,
  parts: Parts,
): Engine {
  const { channel, pump, store } = ground
  const screen = screenOf(config.guard)
  const platform = config.platform({ deployment, now: clock.now })
  const { capabilities } = platform
  const timings: Timings = { ...TIMINGS, ...capabilities.timings, ...config.timings }
  const vault = createVault(config.vault ?? capabilities.vault ?? 'broker', store.keys)
  const stream: ConstructorParameters<typeof Engine>[0]['stream'] = (report) =>
    createStream({ platform, clock, random, timings }, report)
  const leases = Object.entries(config.leases ?? {})
  const lent = leases.flatMap(([name, lease]) => (lease.lent ? [name] : []))
  const sources = Object.fromEntries(leases.map(([name, { source }]) => [name, sourceOf(source, name, store.keys)]))
  const { sharedDevice } = config
  const shared = sharedDevice
    ? { ...SHARED, ...(sharedDevice !== true && sharedDevice), locks: tabLocksOf(deployment) }
    : undefined
  const attributes = { ...LIFETIMES.attributes, ...config.lifetimes?.attributes }
  const lifetimes = { ...LIFETIMES, ...config.lifetimes, attributes }
  const engine = new Engine(
    {
      clock,
      random,
      store,
      channel,
      platform,
      vault,
      pump,
      screen,
      stream,
      sources,
      lent,
      shared,
      lifetimes,
      crowd,
      ...parts,
    },
    { incarnation, timings },
  )
  channel.listen((notice) => engine.hear(notice))
  return engine
}

const SHARED: SharedDevice = { graceMs: SHARED_GRACE_MS, idleMs: SHARED_IDLE_MS }

const sourceOf = (source: LeaseConfig['source'], lease: string, keys: KeyStore): TokenSource =>
  source === 'page' ? { kind: 'callback' } : source({ now: clock.now, lease, keys })

/** @throws {HoldfastError} `DEPLOYMENT_UNKNOWN` */
function configOf({ deployments }: WorkerConfig, deployment: string): DeploymentConfig {
  const config = Object.hasOwn(deployments, deployment) ? deployments[deployment] : undefined
  if (config !== undefined) return config
  const names = Object.keys(deployments).join(', ')
  const message = `The worker knows no deployment "${deployment}". It knows: ${names}. Check the name in connect() and in the worker's configuration.`
  throw new HoldfastError('DEPLOYMENT_UNKNOWN', message)
}

/** A pump that has been asked for already, when the engine comes to ask. */
function askedFor(pump: Pump): Pump {
  let isGranted = false
  let tell = () => {}
  const known = pump.request(() => {
    isGranted = true
    tell()
  })
  return {
    request(granted) {
      if (isGranted) granted()
      else tell = granted
      return known
    },
  }
}

/**
 * @param load gives the configuration; it is asked again after it has failed
 * @param pump of a deployment, where it is not a Web Lock
 */
export function createHost(
  load: () => Promise<WorkerConfig>,
  incarnation: string,
  parts: Parts,
  pump: (deployment: string) => Pump = pumpOf,
): Host {
  const engines = new Map<string, Promise<Engine>>()
  const running = new Map<string, Engine>()
  const grounds = new Map<string, Ground>()
  const crowd: Crowd = { size: 0 }

  /** The ground is laid once: after a failure the pump is not asked for again. Nothing is stored for an unknown name. */
  async function build(deployment: string): Promise<Engine> {
    const config = configOf(await load(), deployment)
    const ground = grounds.get(deployment) ?? groundOf(deployment, pump(deployment), config)
    grounds.set(deployment, ground)
    const engine = engineOn(ground, deployment, config, incarnation, crowd, parts)
    running.set(deployment, engine)
    return engine
  }

  /** A failed build is forgotten: the next call tries again, also one that came while it was under way. */
  function engineOf(deployment: string): Promise<Engine> {
    const known = engines.get(deployment)
    if (known !== undefined) return known.catch(() => engineOf(deployment))
    const made = build(deployment)
    engines.set(deployment, made)
    made.catch(() => engines.delete(deployment))
    return made
  }

  return {
    async run(caller, command, show) {
      if (!isCaller(caller) || caller.protocol !== PROTOCOL_VERSION) {
        const theirs = String((Object(caller) as { protocol?: unknown }).protocol)
        const message = `The page speaks protocol ${theirs}, the worker ${PROTOCOL_VERSION}: reload the page to run both in one version.`
        throw new HoldfastError('PROTOCOL_MISMATCH', message)
      }
      if (!isCommand(command)) throw new TypeError('The worker does not know this command, or its form is wrong.')
      const engine = await engineOf(caller.deployment)
      return { incarnation, value: await engine.run(caller, command, show) }
    },
    async ping(caller) {
      if (isCaller(caller) && caller.protocol === PROTOCOL_VERSION) (await engineOf(caller.deployment)).ping(caller)
    },
    async nudge() {
      const { deployments } = await load()
      await Promise.all(Object.keys(deployments).map(async (name) => (await engineOf(name)).nudge()))
    },
    async settled() {
      await Promise.all([...running.values()].map((engine) => engine.settled()))
    },
    lend(deployment, lease, spent, epoch) {
      const lend = (engine: Engine) => (engine.leases as Leases).lend(lease, spent, epoch)
      const engine = running.get(deployment)
      return engine === undefined ? engineOf(deployment).then(lend) : lend(engine)
    },
    isWaiting: () => [...running.values()].some((engine) => engine.isWaiting),
  }
}
