// What tabs and the fetch handler have to do with leases: tokens that a tab supplies, and tokens that are lent out.
// Nothing is remembered here but who waits: whether a token is due, and for which try, is on the disk.

import { HoldfastError } from '../core/errors.ts'
import type { Input } from '../core/inputs.ts'
import { isUsable, type Lease } from '../core/lease.ts'
import { type Binding, leaseOf, type LeaseSpec, LIFETIME_DEFAULT_MS, LIFETIME_MAX_MS } from '../core/leases.ts'
import type { Outcome, PlainGrant, TokenSource } from '../core/ports.ts'
import type { Setup } from '../core/decide.ts'
import type { Slots } from '../core/state.ts'
import type { Answers, Caller, Command, Supplied } from '../core/wire.ts'
import type { Ports } from './engine-ports.ts'
import { isBroker } from './engine-perform.ts'
import { isLack, type Token, type Tokens } from './engine-tokens.ts'

/** Longer than a refresh with one retry takes nobody waits for a token. */
export const LEND_TIMEOUT_MS = 10_000
/** What is fetched on demand is due only in the turn that says so: it is said again. */
const ASK_AGAIN_MS = 1_000
const PROVED_AFTER_MS = 30_000
/** So many tries that brought nothing to use end the lease. */
export const SUPPLIES_MAX = 3

/** What a deployment is made of, as far as decisions depend on it. */
export function setupOf(ports: Ports): Setup {
  const specs = Object.entries(ports.sources ?? {}).map(([name, { kind }]) => ({ name, refresh: kind }))
  const leases = specs.map((spec) => ({ ...spec, neededAt: 'request' as const }))
  const { platform, shared, lifetimes, told, planLease } = ports
  return { ...platform, isBroker: isBroker(ports), leases, shared, lifetimes, told, planLease }
}

export interface Desk {
  readonly ports: Ports
  readonly tokens: Tokens
  /** The newest state, as far as it is known without a look at the disk. */
  known(): Slots | undefined
  /** The newest state, read if need be. */
  slots(): Promise<Slots>
  submit(input: Input): Promise<unknown>
  /** Whoever holds the pump must hear of what was committed here. */
  pass(): void
}

/** A token to call with. */
export interface Lent extends Token {
  readonly expiresAt: number
  /** Whose it is. */
  readonly epoch?: string
  /** The call was not refused for its token. */
  worked(): void
  readonly binding?: Binding | undefined
}

export class Leases {
  readonly #desk: Desk
  #waiting: (() => void)[] = []
  readonly #proved = new Map<string, number>()
  readonly #borrowed = new Map<string, { readonly generation: number; readonly at: number }>()
  readonly #lending = new Map<string, Promise<Lent>>()
  readonly #supplying = new Map<string, Promise<null>>()

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /** A turn was committed: who waits for a token looks again. */
  committed(): void {
    for (const look of this.#waiting.splice(0)) look()
  }

  /** Is there a lease of that name that a tab can do something for? */
  knows(name: string): boolean {
    const { platform, sources = {} } = this.#desk.ports
    const isAsked = ({ refresh }: Pick<LeaseSpec, 'refresh'>) => refresh !== 'reissue'
    const own = platform.capabilities.leases?.find((spec) => spec.name === name)
    return Object.hasOwn(sources, name) ? sources[name]?.kind !== 'reissue' : own !== undefined && isAsked(own)
  }

  /** What a tab supplied becomes the answer to the try it was asked for. */
  supply(command: Command & { type: 'supply' }): Promise<Answers['supply']> {
    const { key } = command.claim
    const known = this.#supplying.get(key)
    if (known !== undefined) return known
    // A code is good once: the repeat of a call that is under way waits for it.
    const supplying = this.#supply(command).finally(() => this.#supplying.delete(key))
    this.#supplying.set(key, supplying)
    return supplying
  }

  async #supply({ lease, claim, supplied }: Command & { type: 'supply' }): Promise<Answers['supply']> {
    const { tokens, submit, pass } = this.#desk
    const isLast = claim.count >= SUPPLIES_MAX
    const grant = await this.#grantOf(lease, claim.key, supplied, isLast)
    const outcome = await tokens.sealed(grant, (plain) => tokens.seal(plain))
    await submit({ type: 'refreshed', lease, claim, outcome })
    pass()
    return null
  }

  async #grantOf(
    lease: string,
    key: string,
    supplied: Supplied | undefined,
    isLast: boolean,
  ): Promise<Outcome<PlainGrant>> {
    if (supplied === undefined) return UNANSWERED
    const { ports, tokens, slots } = this.#desk
    const source: Pick<TokenSource, 'exchange'> = ports.sources?.[lease] ?? ports.platform
    const exchanged = await source.exchange?.({ key, lease, supplied })
    if (exchanged !== undefined) return exchanged
    const bad = { ...BAD_TOKEN, verdict: isLast ? 'auth-required' : 'retry' } as const
    const grant = plainGrantOf(supplied)
    if (grant === undefined) return bad
    // Had it been good, nobody would have asked.
    const state = await slots()
    const held = await tokens.last(leaseOf(state, lease))
    const isStale = held?.token === grant.accessToken && !isUsable(leaseOf(state, lease), ports.clock.now())
    return isStale ? bad : { ok: true, value: grant }
  }

  /**
   * A token to call with: at once where one is at hand, for in a burst of calls every hop counts. Else it waits for a
   * refresh that is due, for a bounded time.
   *
   * @param spent the generation that was refused: another one is wanted
   * @param epoch whose token it must be. Default: of who is here now, and stays as long as it takes
   * @throws {HoldfastError} why there is none
   */
  lend(name: string, spent?: number, epoch = this.#desk.known()?.session.epoch): Lent | Promise<Lent> {
    const { known, tokens } = this.#desk
    const slots = known()
    const token = slots && tokens.cached(slots, name)
    // However many calls wait for one token, one of them looks. A generation that one was refused with is sent by no other.
    const wish = `${epoch} ${token?.generation ?? spent} ${name}`
    const waiting = this.#lending.get(wish)
    if (waiting !== undefined) return waiting
    if (token && token.generation !== spent && token.epoch === epoch) return this.#lent(slots as Slots, name, token)
    const lending = this.#lend(name, spent, epoch).finally(() => this.#lending.delete(wish))
    this.#lending.set(wish, lending)
    return lending
  }

  #lent(slots: Slots, name: string, { value, generation }: Token): Lent {
    const lease = leaseOf(slots, name) as Lease & { status: 'held' }
    const worked = () => this.#worked(name, generation)
    return {
      value,
      generation,
      epoch: slots.session.epoch,
      expiresAt: lease.grant.expiresAt,
      worked,
      binding: this.#desk.ports.sources?.[name]?.binding,
    }
  }

  async #lend(name: string, spent?: number, epoch?: string): Promise<Lent> {
    const { ports, tokens, slots, submit, pass } = this.#desk
    let deadline = Number.POSITIVE_INFINITY
    if (spent !== undefined) {
      // What the visitor before was refused with says nothing of who is here now.
      mustBeOf(epoch, await slots())
      await submit({ type: 'rejected', lease: name, generation: spent })
    }
    for (let askAt = 0; ; ) {
      const now = ports.clock.now()
      // A clock that is set back makes nobody wait for longer.
      deadline = Math.min(deadline, now + LEND_TIMEOUT_MS)
      const changed = this.#changed(Math.min(deadline, now + ASK_AGAIN_MS))
      const state = await slots()
      epoch ??= state.session.epoch
      const lease = leaseOf(state, name)
      const token = await tokens.of(state, name)
      // To open it takes a while, too: looked at last.
      mustBeOf(epoch, await slots())
      if (!isLack(token)) return this.#lent(state, name, token)
      if (lease.status === 'lost')
        throw new HoldfastError(lease.code, 'The lease is lost: the visitor must sign in again.')
      if (now >= deadline)
        throw new HoldfastError('LEASE_EXPIRED', `There is no token of the lease "${name}", and none came in time.`)
      if (token.isForgotten)
        await submit({ type: 'rejected', lease: name, generation: lease.generation, isForgotten: true })
      if (now >= askAt) {
        askAt = now + ASK_AGAIN_MS
        await submit({ type: 'needed', lease: name })
        pass()
      } else await changed
    }
  }

  /** Told once for each generation: a row of refusals is one of tokens that never worked. */
  #worked(lease: string, generation: number): void {
    if (this.#proved.get(lease) === generation) return
    this.#proved.set(lease, generation)
    // What cannot be stored now is told by the next generation.
    this.#desk.submit({ type: 'proved', lease, generation }).catch(() => {})
  }

  /** For a page, where the site lets pages have it. One that shows a visitor who is gone is lent nothing. */
  async borrow({ epoch }: Caller, { lease, spent }: Command & { type: 'borrow' }): Promise<Answers['borrow']> {
    if (!this.#desk.ports.lent?.includes(lease)) throw notLent(lease)
    const { value: token, generation, expiresAt, worked } = await this.lend(lease, spent, epoch || undefined)
    // A page says only what was refused. What it had for so long, and asks for again, it has used.
    const known = this.#borrowed.get(lease)
    const now = this.#desk.ports.clock.now()
    if (known?.generation !== generation) this.#borrowed.set(lease, { generation, at: now })
    else if (now - known.at >= PROVED_AFTER_MS) worked()
    return { token, generation, expiresAt }
  }

  #changed(deadline: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#desk.ports.clock.alarm(deadline, resolve)
      this.#waiting.push(() => {
        cancel()
        resolve()
      })
    })
  }
}

export const leasesOn = (desk: Desk): Leases => new Leases(desk)

export const notLent = (lease: string): HoldfastError =>
  new HoldfastError('LEASE_EXPIRED', `Pages may not have the token of "${lease}": see "lent" in the worker.`)

/** @throws {HoldfastError} `EPOCH_CHANGED` */
function mustBeOf(epoch: string | undefined, { session }: Slots): void {
  if ((epoch ?? session.epoch) !== session.epoch)
    throw new HoldfastError('EPOCH_CHANGED', 'This visitor has signed out: connect again first.')
}

const UNANSWERED: Outcome<never> = {
  ok: false,
  verdict: 'retry',
  code: 'LEASE_UNANSWERED',
  reason: 'The tab that was asked for a token had none.',
}
const BAD_TOKEN = {
  ok: false,
  code: 'LEASE_BAD_TOKEN',
  reason: 'A token was expected that is new and has time left.',
} as const

/** Nothing for what is no token. A lifetime that makes no sense is as good as none. */
export function plainGrantOf({ token, expiresIn, refreshToken }: Supplied): PlainGrant | undefined {
  if (typeof token !== 'string' || !isHeaderValue(token)) return undefined
  const seconds = typeof expiresIn === 'string' && /^\d+$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  const saidMs = typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 : LIFETIME_DEFAULT_MS
  const expiresInMs = Math.min(saidMs, LIFETIME_MAX_MS)
  const grant = { accessToken: token, expiresInMs }
  return typeof refreshToken === 'string' && refreshToken !== '' ? { ...grant, refreshToken } : grant
}

/** What may stand behind "Bearer" (RFC 6750, section 2.1), and no line break above all. */
const isHeaderValue = (token: string): boolean => /^[\x21-\x7e]+$/.test(token)
