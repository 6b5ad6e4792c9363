// Proofs of possession (RFC 9449), for `oauth({ dpop: dpop() })`: a token is of use only to whoever has the key, and the key
// can be used here but not read. It lies in the database of its deployment, and goes with it when the visitor signs out.

import type { KeyRing, Prover, ProverFactory } from './oauth.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
/** A clock that is off by less proves as well. */
const SKEW_MIN_MS = 10_000

/**
 * Binds the tokens of a lease to a key that cannot be exported.
 *
 * The first tokens must be made with the same key, so a tab supplies the code of the sign-in and not the tokens: see
 * docs/tokens.md. Where only the refresh token of a sign-in without proofs is to be had, access tokens are bound all the same.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9449
 */
export const dpop =
  (): ProverFactory =>
  ({ now, lease = 'session', keys = inMemory() }) => {
    const name = `dpop:${lease}`
    const nonces = new Map<string, string>()
    /** What the clocks of others show more than ours, where they say so. */
    const skews = new Map<string, number>()
    return {
      async proof({ method, url, token }) {
        // Read each time: another worker may have wiped what this one remembers.
        const pair = (await keys.get(name)) ?? (await keys.putIfAbsent(await newPair(), name))
        const { origin, pathname } = new URL(url)
        const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
        const nonce = nonces.get(origin)
        const claims = {
          jti: crypto.randomUUID(),
          htm: method,
          htu: origin + pathname,
          iat: Math.floor((now() + (skews.get(origin) ?? 0)) / 1_000),
          ...(nonce !== undefined && { nonce }),
          ...(token !== undefined && { ath: coded(await crypto.subtle.digest('SHA-256', bytes(token))) }),
        }
        const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }
        const signed = [header, claims].map((part) => coded(bytes(JSON.stringify(part)))).join('.')
        return `${signed}.${coded(await crypto.subtle.sign(ALGORITHM, pair.privateKey, bytes(signed)))}`
      },
      hear({ url, headers }) {
        const { origin } = new URL(url)
        const nonce = headers.get('dpop-nonce')
        const isNew = nonce !== null && nonce !== nonces.get(origin)
        if (isNew) nonces.set(origin, nonce)
        const skew = Date.parse(headers.get('date') ?? '') - now()
        const isOff = Math.abs(skew - (skews.get(origin) ?? 0)) > SKEW_MIN_MS
        if (isOff) skews.set(origin, skew)
        return isNew || isOff
      },
    } satisfies Prover
  }

const newPair = () => crypto.subtle.generateKey(ALGORITHM, false, ['sign']) as Promise<CryptoKeyPair>

const bytes = (text: string) => new TextEncoder().encode(text)

const coded = (data: ArrayBuffer | Uint8Array<ArrayBuffer>): string =>
  btoa(String.fromCharCode(...new Uint8Array(data)))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '')

/** For whoever uses the source without a worker. */
function inMemory(): KeyRing {
  const pairs = new Map<string, CryptoKeyPair>()
  return {
    get: async <K extends CryptoKeyPair>(name: string) => pairs.get(name) as K | undefined,
    async putIfAbsent(pair, name) {
      if (!pairs.has(name)) pairs.set(name, pair)
      return pairs.get(name) as typeof pair
    },
  }
}
