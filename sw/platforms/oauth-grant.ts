// How long a token lives, by what came with it or by what it says itself. The clock of the issuer plays no part: only
// the difference of two of its instants does.

import { LIFETIME_DEFAULT_MS, LIFETIME_MAX_MS } from '../../core/leases.ts'

export interface JwtClaims {
  readonly aud?: unknown
  readonly exp?: unknown
  readonly iat?: unknown
}

/** What a JWT says, unverified: nothing for what is none. */
export function claimsOf(token: string): JwtClaims | undefined {
  try {
    const [, claims = ''] = token.split('.')
    return Object(JSON.parse(atob(claims.replace(/-/g, '+').replace(/_/g, '/'))))
  } catch {
    // Opaque, or something that only looks like a JWT.
    return undefined
  }
}

/** A lifetime that makes no sense (none, negative, a word) is as good as none: a refusal will tell. */
export function lifetimeMsOf(expiresIn: unknown, { exp, iat }: JwtClaims = {}): number {
  const said = typeof expiresIn === 'string' && /^\d{1,15}$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  const seconds = [said, Number(exp) - Number(iat)].find((one): one is number => typeof one === 'number' && one > 0)
  return seconds === undefined ? LIFETIME_DEFAULT_MS : Math.min(seconds * 1_000, LIFETIME_MAX_MS)
}
