// How much one session and one address may ask for: token buckets in memory, and whose address a request has.
// A node counts for itself; behind a balancer the true limit is that of all nodes together.
import { isIP } from 'node:net'
import type { EpochMs } from './session.ts'

/** Buckets kept at most; the one that was used longest ago makes room. */
const BUCKETS_MAX = 50_000

export type LimitOptions = {
  /** Requests per second that one session may make for long. Default 200. */
  sessionRequestsPerSecond?: number
  /** Requests that one session may make at once. Default 2000. */
  sessionRequestsBurst?: number
  /** Requests per second from one address, which may be that of a whole office. Default 2000. */
  addressRequestsPerSecond?: number
  /** Requests from one address at once. Default 10 000. */
  addressRequestsBurst?: number
  /** Sockets and polls that one session may hold. Default 20. */
  sessionStreamsMax?: number
  /** Sockets that one address may hold. Default 2000. */
  addressStreamsMax?: number
  /** A request has to arrive whole within this many milliseconds, its head within half of it. Default 30 s. */
  requestMs?: number
  /** TCP connections of the node; above it new ones are closed at once. Default 65 536. */
  connectionsMax?: number
  /**
   * Proxies in front that each append to `X-Forwarded-For`. Default 0: then the peer's address counts, unless it is a
   * private one, which would be the proxy's and everybody's.
   */
  trustedProxies?: number
}
export type Limits = Required<LimitOptions>

export function limitsFrom(options: LimitOptions = {}): Limits {
  const limits: Limits = {
    sessionRequestsPerSecond: 200,
    sessionRequestsBurst: 2000,
    addressRequestsPerSecond: 2000,
    addressRequestsBurst: 10_000,
    sessionStreamsMax: 20,
    addressStreamsMax: 2000,
    requestMs: 30_000,
    connectionsMax: 65_536,
    trustedProxies: 0,
    ...options,
  }
  for (const [name, value] of Object.entries(limits)) {
    if (!(value >= (name === 'trustedProxies' ? 0 : 1))) throw new TypeError(`The limit ${name} is too low.`)
  }
  return limits
}

/** Token buckets by key: each fills with time up to its burst and gives one token per request. */
export class Buckets {
  readonly #perSecond: number
  readonly #burst: number
  readonly #buckets = new Map<string, { tokens: number; at: EpochMs }>()

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
  }

  /** Takes a token. Returns 0, or how long to wait for the next one in milliseconds. */
  take(key: string, now: EpochMs): number {
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      this.#makeRoom()
      this.#buckets.set(key, { tokens: this.#burst - 1, at: now })
      return 0
    }
    const passedMs = Math.max(0, now - bucket.at)
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (passedMs / 1000) * this.#perSecond)
    bucket.at = now
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / this.#perSecond) * 1000)
    bucket.tokens -= 1
    return 0
  }

  /** Forgets the buckets that are full again: nobody could tell them from new ones. */
  sweep(now: EpochMs): void {
    const fullAfterMs = (this.#burst / this.#perSecond) * 1000
    for (const [key, { at }] of this.#buckets) if (now - at >= fullAfterMs) this.#buckets.delete(key)
  }

  get size(): number {
    return this.#buckets.size
  }

  #makeRoom(): void {
    if (this.#buckets.size < BUCKETS_MAX) return
    const oldest = this.#buckets.keys().next().value
    if (oldest !== undefined) this.#buckets.delete(oldest)
  }
}

/** Counts what is held at the same time, by key. */
export class Tally {
  readonly #counts = new Map<string, number>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** Returns the way to give it back, or null where the limit is reached. */
  hold(key: string): (() => void) | null {
    const count = this.#counts.get(key) ?? 0
    if (count >= this.#max) return null
    this.#counts.set(key, count + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = (this.#counts.get(key) ?? 1) - 1
      if (left === 0) this.#counts.delete(key)
      else this.#counts.set(key, left)
    }
  }
}

/** The address that a request counts for; undefined where that would be everybody's. */
export function addressOf(
  trustedProxies: number,
  peer: string | undefined,
  forwardedFor: string | undefined,
): string | undefined {
  if (trustedProxies > 0) {
    // Each proxy appends whom it heard from; what stands further left anybody can have written.
    const hops = (forwardedFor ?? '').split(',').map((hop) => hop.trim())
    const address = hops[hops.length - trustedProxies]
    return address && isIP(address) !== 0 ? network(address) : undefined
  }
  return peer === undefined || isPrivate(peer) ? undefined : network(peer)
}

function isPrivate(address: string): boolean {
  const bare = address.replace(/^::ffff:/, '')
  return /^(127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|::1$|f[cd]|fe80)/i.test(bare)
}

/** One customer's IPv6 network counts as one address: they can choose any of its 2⁶⁴. */
function network(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (isIP(bare) !== 6) return bare
  const [head = '', tail = ''] = bare.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const zeros = bare.includes('::') ? Array.from({ length: 8 - left.length - right.length }, () => '0') : []
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}
