// The tokens of the simulated session service: made here, readable here only, and marked so that a leak is found.
// When a family rotates or ends is decided in sim-service.ts.

import { confirm, type Family, isLive, LATE_OPENING_MS } from '../server/session.ts'
import type { Dice } from './dice.ts'

export interface Access {
  readonly token: string
  readonly familyId: string
  readonly generation: number
  readonly sessionId: string
  expiresAt: number
}

/** What the service did that an auditor wants to know. */
export interface ServiceEvents {
  rotation(by: { familyId: string; from: number; key: string; via: 'open' | 'refresh'; verdict: string }): void
  revoked(family: Family): void
  /** A call was made with this token. */
  used(access: Access): void
}

/** Everything secret begins so, and nothing else does: a leak is found by looking for it. */
export const SECRET_MARK = 'sekret-'

export class SimTokens {
  readonly families = new Map<string, Family>()
  readonly dice: Dice
  readonly now: () => number
  readonly events: ServiceEvents
  readonly settings: { accessMs: number; sessionMs: number }
  readonly #access = new Map<string, Access>()
  readonly #refresh = new Map<string, { familyId: string; generation: number }>()
  readonly #refreshOf = new Map<string, string>()
  #count = 0

  constructor(dice: Dice, now: () => number, events: ServiceEvents, settings: { accessMs: number; sessionMs: number }) {
    this.dice = dice
    this.now = now
    this.events = events
    this.settings = settings
  }

  id(kind: string): string {
    this.#count += 1
    return `${kind}-${this.#count}-${this.dice.hex(6)}`
  }

  refreshToken(familyId: string, generation: number): string {
    const name = `${familyId}.${generation}`
    const known = this.#refreshOf.get(name)
    if (known !== undefined) return known
    const token = `${SECRET_MARK}refresh-${this.dice.hex(12)}`
    this.#refreshOf.set(name, token)
    this.#refresh.set(token, { familyId, generation })
    return token
  }

  readRefresh(token: string | undefined): { familyId: string; generation: number } | undefined {
    return token === undefined ? undefined : this.#refresh.get(token)
  }

  grant({ sessionId, id: familyId }: Family, generation: number): { access_token: string } & Record<string, unknown> {
    const token = `${SECRET_MARK}access-${this.dice.hex(12)}`
    const { accessMs } = this.settings
    this.#access.set(token, { token, familyId, generation, sessionId, expiresAt: this.now() + accessMs })
    return { access_token: token, token_type: 'Bearer', expires_in: accessMs / 1000, scope: 'chat' }
  }

  /**
   * Does this token lie two rotations back, or one under another key? To any service whoever brings it is a thief.
   *
   * @param openedId the family that the key has opened, where it is an opening
   */
  isSpent(token: string | undefined, key: string | undefined, openedId?: string): boolean {
    const presented = this.readRefresh(token)
    const family = presented && this.families.get(presented.familyId)
    if (family === undefined || presented === undefined) return false
    const behind = family.generation - presented.generation
    if (openedId === family.id && this.now() - family.replaysSince < LATE_OPENING_MS) return behind > 2
    return behind > 1 || (behind === 1 && family.confirmedAt !== null && key !== family.keyHash)
  }

  sessionOf(token: string): string | undefined {
    return this.#access.get(token)?.sessionId
  }

  /** All access tokens end now; refresh tokens stay good. */
  expireAccess(): void {
    for (const access of this.#access.values()) access.expiresAt = Math.min(access.expiresAt, this.now())
  }

  admit(token: string | undefined): Access | 'missing-token' | 'invalid-token' | 'token-expired' | 'session-revoked' {
    if (token === undefined) return 'missing-token'
    const access = this.#access.get(token)
    if (access === undefined) return 'invalid-token'
    if (access.expiresAt <= this.now()) return 'token-expired'
    const family = this.families.get(access.familyId)
    if (family === undefined || !isLive(family, this.now())) return 'session-revoked'
    // Its session is somebody else's by now.
    if (family.sessionId !== access.sessionId) return 'token-expired'
    this.families.set(family.id, confirm(family, access.generation, this.now()))
    this.events.used(access)
    return access
  }
}
