// Tokens on their way between the vault and a call: opened when they are needed, sealed as they come.

import { type Grant, isUsable, type Lease, type Sealed } from '../core/lease.ts'
import type { Clock, Outcome, PlainGrant, Vault } from '../core/ports.ts'
import type { Slots } from '../core/state.ts'

export interface Token {
  readonly value: string
  readonly generation: number
}

export class Tokens {
  readonly #vault: Vault
  readonly #clock: Clock
  #cached: (Token & { readonly epoch: string }) | undefined

  constructor(vault: Vault, clock: Clock) {
    this.#vault = vault
    this.#clock = clock
  }

  /** The token to call with, if there is one that lives and can be opened. */
  async of({ lease, session: { epoch } }: Slots): Promise<Token | undefined> {
    if (!isUsable(lease, this.#clock.now())) return undefined
    const { generation } = lease
    if (this.#cached?.generation === generation && this.#cached.epoch === epoch) return this.#cached
    const value = await this.#vault.open(lease.grant.access)
    if (value === undefined) return undefined
    this.#cached = { value, generation, epoch }
    return this.#cached
  }

  async seal({ accessToken, refreshToken, expiresInMs }: PlainGrant): Promise<Grant> {
    const access = await this.#vault.seal(accessToken)
    const grant = { access, expiresAt: this.#clock.now() + expiresInMs, lifetimeMs: expiresInMs }
    return refreshToken === undefined ? grant : { ...grant, refresh: await this.#vault.seal(refreshToken) }
  }

  /** The refresh token in a form that spreads into a request: nothing where a cookie holds it. */
  async refreshOf(sealed: Sealed | undefined): Promise<{ readonly refreshToken?: string } | undefined> {
    if (sealed === undefined) return {}
    const refreshToken = await this.#vault.open(sealed)
    return refreshToken === undefined ? undefined : { refreshToken }
  }

  /** Both tokens, taken out before everything here is emptied, so that the service can be told afterwards. */
  async last(lease: Lease): Promise<{ readonly token?: string; readonly refreshToken?: string } | undefined> {
    if (lease.status !== 'held') return undefined
    const token = await this.#vault.open(lease.grant.access)
    return { ...(token === undefined ? {} : { token }), ...(await this.refreshOf(lease.grant.refresh)) }
  }
}

/** A grant that came with an answer, sealed before anybody stores it. */
export async function sealed<T, U>(outcome: Outcome<T>, seal: (value: T) => Promise<U>): Promise<Outcome<U>> {
  return outcome.ok ? { ok: true, value: await seal(outcome.value) } : outcome
}
