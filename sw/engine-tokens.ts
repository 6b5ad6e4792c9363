// Tokens on their way between the vault and a call: opened when they are needed, sealed as they come. A vault that fails
// is an outcome like every other: what it was needed for is tried again.

import { type Grant, isUsable, type Lease, type Sealed } from '../core/lease.ts'
import { leaseOf, SESSION_LEASE } from '../core/leases.ts'
import type { Clock, Outcome, PlainGrant, Vault } from '../core/ports.ts'
import type { Slots } from '../core/state.ts'

export interface Token {
  readonly value: string
  readonly generation: number
}

interface Cached extends Token {
  readonly epoch: string
}

/** Why there is none. */
export type Lack = Outcome<never> & { readonly ok: false }

/** Without a token there is no call: its generation is as good as refused. */
const NO_TOKEN: Lack = {
  ok: false,
  verdict: 'refresh',
  code: 'LEASE_EXPIRED',
  reason: 'There was no token.',
  isUnsent: true,
}
const FORGOTTEN: Lack = { ...NO_TOKEN, isForgotten: true }
export const VAULT_FAILED: Lack = {
  ok: false,
  // Nobody was asked: whatever it was for is still to be done.
  verdict: 'retry-at',
  code: 'STORE_FAILED',
  reason: 'The keys of the vault could not be used.',
}

export const isLack = (token: Token | Lack): token is Lack => 'ok' in token

export class Tokens {
  readonly #vault: Vault
  readonly #clock: Clock
  #cached = new Map<string, Cached>()

  constructor(vault: Vault, clock: Clock) {
    this.#vault = vault
    this.#clock = clock
  }

  /** The token to call with, if there is one that lives and can be opened. */
  async of(slots: Slots, name = SESSION_LEASE): Promise<Token | Lack> {
    const lease = leaseOf(slots, name)
    if (!isUsable(lease, this.#clock.now())) return NO_TOKEN
    const cached = this.cached(slots, name)
    if (cached !== undefined) return cached
    const { generation, grant } = lease
    const { epoch } = slots.session
    // What is opened after a logout goes where nobody looks.
    const cache = this.#cached
    try {
      const value = await this.#vault.open(grant.access)
      if (value === undefined) return FORGOTTEN
      const token = { value, generation, epoch }
      cache.set(name, token)
      return token
    } catch {
      return VAULT_FAILED
    }
  }

  /** The same, where it has been opened already. */
  cached(slots: Slots, name: string): Cached | undefined {
    const lease = leaseOf(slots, name)
    const cached = this.#cached.get(name)
    const isIt = cached?.generation === lease.generation && cached.epoch === slots.session.epoch
    return isIt && isUsable(lease, this.#clock.now()) ? cached : undefined
  }

  /** Of an identity that is gone nothing stays in memory either. */
  forget(): void {
    this.#cached = new Map()
  }

  async seal({ accessToken, refreshToken, expiresInMs }: PlainGrant): Promise<Grant> {
    const access = await this.#vault.seal(accessToken)
    const grant = { access, expiresAt: this.#clock.now() + expiresInMs, lifetimeMs: expiresInMs }
    return refreshToken === undefined ? grant : { ...grant, refresh: await this.#vault.seal(refreshToken) }
  }

  /**
   * The refresh token in a form that spreads into a request: nothing where a cookie holds it. One that only the memory of
   * a former worker held is fetched again from where it came; one whose key is gone is lost.
   */
  async refreshOf(sealed: Sealed | undefined): Promise<{ readonly refreshToken?: string } | Lack> {
    if (sealed === undefined) return {}
    try {
      const refreshToken = await this.#vault.open(sealed)
      if (refreshToken !== undefined) return { refreshToken }
    } catch {
      return VAULT_FAILED
    }
    const reason = 'The refresh token cannot be opened any more: its key is gone.'
    const lack = { ok: false, verdict: 'auth-required', code: 'LEASE_EXPIRED', reason } as const
    return this.#vault.mode === 'memory' ? { ...lack, isForgotten: true } : lack
  }

  /** Both tokens, taken out before everything here is emptied, so that the service can be told afterwards. */
  async last(lease: Lease): Promise<{ readonly token?: string; readonly refreshToken?: string } | undefined> {
    if (lease.status !== 'held') return undefined
    const token = await this.#vault.open(lease.grant.access).catch(() => undefined)
    const held = await this.refreshOf(lease.grant.refresh)
    return { ...(token === undefined ? {} : { token }), ...('ok' in held ? {} : held) }
  }

  /** A grant that came with an answer, sealed before anybody stores it. */
  async sealed<T, U>(outcome: Outcome<T>, seal: (value: T) => Promise<U>): Promise<Outcome<U>> {
    if (!outcome.ok) return outcome
    return seal(outcome.value).then(
      (value): Outcome<U> => ({ ok: true, value }),
      () => VAULT_FAILED,
    )
  }
}

/** Whose token was refused, and which one of them. */
export function dated<T>(outcome: Outcome<T>, slots: Slots): Outcome<T> {
  if (outcome.ok || outcome.lease === undefined) return outcome
  return { ...outcome, generation: leaseOf(slots, outcome.lease).generation }
}

export const NO_SOURCE = {
  ok: false,
  verdict: 'auth-required',
  code: 'LEASE_EXPIRED',
  reason: 'Nothing says where the next token comes from.',
} as const satisfies Outcome<never>

/** Nothing was sent, and nothing is known of the network. */
export const LATE: Lack = {
  ok: false,
  verdict: 'retry-at',
  code: 'SERVICE_UNREACHABLE',
  reason: 'Late.',
  isUnsent: true,
}

export const TAKEN = { ok: true, value: null } as const satisfies Outcome<null>
