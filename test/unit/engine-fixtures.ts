// One engine over ports in the test's hand: a clock that is moved, a platform that does what it is told, a log of
// everything in its order.

import type {
  Channel,
  Clock,
  Outcome,
  Platform,
  PlainGrant,
  Pump,
  Store,
  StreamReport,
  Vault,
} from '../../core/ports.ts'
import { TIMINGS } from '../../core/ports.ts'
import type { AnswerTo, Caller, Command, Notice } from '../../core/wire.ts'
import { Engine } from '../../sw/engine.ts'
import type { Leases } from '../../sw/engine-leases.ts'
import type { Ports } from '../../sw/engine-ports.ts'
import { PARTS } from '../../sw/parts.ts'
import { memoryStore } from '../../sw/memory-store.ts'
import { conversation, LIMITS, NOW, opening, SETUP } from '../core/fixtures.ts'

/** Every promise that can go on has gone on. */
export const drained = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class ManualClock implements Clock {
  time = NOW
  readonly #alarms = new Set<{ at: number; ring: () => void }>()

  now(): number {
    return this.time
  }

  alarm(at: number, ring: () => void): () => void {
    const alarm = { at, ring }
    this.#alarms.add(alarm)
    return () => void this.#alarms.delete(alarm)
  }

  /** Time passes, and what rings on the way rings in its order. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms
    for (;;) {
      await drained()
      const [next] = [...this.#alarms].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#alarms.delete(next)
      this.time = Math.max(this.time, next.at)
      next.ring()
    }
    this.time = end
    await drained()
  }

  /** Everything sleeps; on waking, what should have rung rings. */
  async sleep(ms: number): Promise<void> {
    this.time += ms
    await this.advance(0)
  }
}

const ok = <T>(value: T): Outcome<T> => ({ ok: true, value })
export const plainGrant = (name = '1', lifetimeMs = 20 * 60_000): PlainGrant => ({
  accessToken: `access-${name}`,
  refreshToken: `refresh-${name}`,
  expiresInMs: lifetimeMs,
})

/** A platform that takes everything. */
function kindPlatform(log: string[]): Platform {
  let seq = 0
  let refreshes = 1
  return {
    name: 'kind',
    capabilities: { ...SETUP.capabilities, limits: LIMITS },
    async open({ key, token }) {
      log.push(`open ${key}${token ? ` with ${token}` : ''}`)
      return ok({ opened: opening(), grant: plainGrant() })
    },
    async refresh({ key, refreshToken }) {
      log.push(`refresh ${key} with ${refreshToken ?? 'the cookie'}`)
      refreshes += 1
      return ok(plainGrant(`${refreshes}`))
    },
    async make({ token, attributes }) {
      log.push(`make with ${token}`)
      return ok({ conversation: conversation(), attributes, version: 1, joined: false })
    },
    async send({ message, token }) {
      log.push(`send ${message.key} with ${token}`)
      seq += 1
      return ok({ id: `m${seq}`, seq, at: NOW })
    },
    async push({ delta, version }) {
      log.push(`push ${JSON.stringify(delta)}`)
      return ok({ conflict: false, attributes: {}, version: version + 1 })
    },
    async backfill({ afterId }) {
      log.push(`backfill after ${afterId || 'nothing'}`)
      return ok({ resync: false, rows: [], headSeq: 0 })
    },
    connect() {
      throw new Error('The stream connects, not the engine.')
    },
    poll: async () => ok([]),
    async revoke({ token, refreshToken }) {
      log.push(`revoke ${token} ${refreshToken}`)
      return ok(null)
    },
  }
}

/** A disk that can fail, and outlives the engines that use it. */
export function watchedStore(log: string[]) {
  const inner = memoryStore()
  let failures: Error[] = []
  let tails = 0
  const store: Store = {
    ...inner,
    async turn(wanted, decide) {
      const [failure] = failures.splice(0, 1)
      if (failure) throw failure
      const before = await inner.tail(0, 0)
      const result = await inner.turn(wanted, decide)
      if (result.writes.slots.rev !== before.slots?.rev) log.push('commit')
      else log.push('turn')
      return result
    },
    async shred() {
      log.push('shred')
      return inner.shred()
    },
    async tail(rows, entries) {
      tails += 1
      const tail = await inner.tail(rows, entries)
      await drained()
      return tail
    },
  }
  return {
    store,
    /** What the vault has sealed. */
    boxes: new Map<string, string>(),
    /** What the vault has bequeathed. */
    wills: new Map<string, string>(),
    fail: (...errors: Error[]) => {
      failures = [...failures, ...errors]
    },
    tails: () => tails,
  }
}

export interface Options {
  readonly disk?: ReturnType<typeof watchedStore>
  readonly incarnation?: string
  /** The pump as this incarnation meets it; granted at the next occasion unless said otherwise. */
  readonly pump?: Pump
  readonly mode?: Vault['mode']
  readonly log?: string[]
  readonly platform?: Partial<Platform>
  /** The stream opens by itself, with this head. */
  readonly headSeq?: number | undefined
  readonly screen?: Ports['screen']
  readonly sources?: NonNullable<Ports['sources']>
  /** Without what tabs do for leases, and without signing in. */
  readonly isPlain?: boolean
  readonly lent?: readonly string[]
  readonly shared?: Ports['shared']
  readonly lifetimes?: Ports['lifetimes']
  readonly crowd?: Ports['crowd']
  /** Asked before the vault does anything: what it throws, the vault throws. */
  readonly vaultFails?: () => void
}

export const granted: Pump = {
  async request(grant) {
    queueMicrotask(grant)
  },
}

let tabs = 0

export function rig(options: Options = {}) {
  const log = options.log ?? []
  const notices: Notice[] = []
  const clock = new ManualClock()
  const disk = options.disk ?? watchedStore(log)
  const streamCalls: string[] = []
  const { boxes } = disk
  let report: (report: StreamReport) => void = () => {}
  let keys = 0
  const channel: Channel = {
    publish(notice) {
      notices.push(structuredClone(notice))
      log.push(notice.type)
    },
  }
  const vault: Vault = {
    mode: options.mode ?? 'broker',
    async seal(secret) {
      options.vaultFails?.()
      const box = `box ${boxes.size + 1}`
      boxes.set(box, secret)
      return { sealed: box }
    },
    async open({ sealed }) {
      options.vaultFails?.()
      return boxes.get(String(sealed)) ?? disk.wills.get(String(sealed))
    },
    async forget() {
      log.push('forget')
      boxes.clear()
    },
    async bequeath(secret) {
      const will = `will ${disk.wills.size + 1}`
      disk.wills.set(will, secret)
      return { sealed: will }
    },
  }
  const ports: Ports = {
    ...(!options.isPlain && PARTS),
    clock,
    random: { draw: () => 0.5, key: () => `key-${++keys}${options.incarnation ?? ''}` },
    store: disk.store,
    channel,
    platform: { ...kindPlatform(log), ...options.platform },
    vault,
    pump: options.pump ?? granted,
    screen: options.screen,
    ...(options.sources && { sources: options.sources }),
    ...(options.lent && { lent: options.lent }),
    shared: options.shared,
    lifetimes: options.lifetimes,
    crowd: options.crowd,
    stream(tell) {
      report = tell
      const { headSeq = 0 } = options
      return {
        connect({ claim, conversationId, token, afterSeq }) {
          streamCalls.push(`connect ${conversationId} after ${afterSeq} with ${token}`)
          log.push('connect')
          queueMicrotask(() => tell({ type: 'opened', claim, headSeq }))
        },
        reauth: (token) => void streamCalls.push(`reauth ${token}`),
        typing: (on) => void streamCalls.push(`typing ${on}`),
        probe: () => void streamCalls.push('probe'),
        close: () => void streamCalls.push('close'),
      }
    },
  }
  const engine = new Engine(ports, { incarnation: options.incarnation ?? 'w1', timings: TIMINGS }) as Engine & {
    readonly leases: Leases
  }
  const caller = (change: Partial<Caller> = {}): Caller => ({
    protocol: 1,
    deployment: 'd',
    tab: 'tab-1',
    epoch: '',
    visible: true,
    ...change,
  })
  return {
    engine,
    log,
    notices,
    clock,
    disk,
    vault,
    streamCalls,
    caller,
    hear: (one: StreamReport) => report(one),
    run: <C extends Command>(command: C, change: Partial<Caller> = {}): Promise<AnswerTo<C>> =>
      engine.run(caller(change), command),
    newTab: () => `tab-${++tabs + 1}`,
    pull: async (...wanted: string[]) =>
      (await engine.run(caller(), { type: 'pull', keys: wanted })) as AnswerTo<{ type: 'pull'; keys: string[] }>,
    enqueue: (...wanted: string[]) =>
      engine.run(caller(), { type: 'enqueue', messages: wanted.map((key) => ({ key, text: `text of ${key}` })) }),
    told: (type: Notice['type']) => notices.filter((notice) => notice.type === type),
  }
}

export type Rig = ReturnType<typeof rig>

/** A tab is there and everything is well. */
export async function liveRig(options: Options = {}): Promise<Rig> {
  const one = rig(options)
  await one.pull()
  await one.clock.advance(1_000)
  const { snapshot } = await one.pull()
  if (snapshot.phase !== 'live') throw new Error(`The phase is ${snapshot.phase}.`)
  one.log.length = 0
  one.notices.length = 0
  return one
}
