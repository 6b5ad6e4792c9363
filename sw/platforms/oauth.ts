// A lease from any issuer with a refresh endpoint: RFC 6749, section 6, by form and without a cookie. Strict issuers and
// graceful ones get the same requests; what an answer means is in the one table below.
// The first tokens come from a tab: how the visitor signs in is the site's business.

import type { ErrorCode } from '../../core/errors.ts'
import type { Outcome, PlainGrant, TokenSource, Verdict } from '../../core/ports.ts'
import { ask, type Reply, REQUEST_TIMEOUT_MS } from './http.ts'
import { type JwtClaims, claimsOf, lifetimeMsOf } from './oauth-grant.ts'

export interface OAuthOptions {
  /** The issuer: its endpoints are looked up in its metadata (RFC 8414, or OpenID Connect discovery). */
  readonly issuer?: string
  /** Instead of looking it up. */
  readonly tokenEndpoint?: string
  /** RFC 7009. Without it, and without metadata that name one, a logout tells nobody. */
  readonly revocationEndpoint?: string
  readonly clientId: string
  readonly scope?: string
  /** What `aud` of an access token must name, where that is a JWT. Default: not looked at. */
  readonly audience?: string
  /** How long one request may take, in milliseconds. Default 15 000. */
  readonly requestTimeoutMs?: number
  /** Binds the tokens to a key (RFC 9449): `dpop()` of `holdfast/dpop`. Default: bearer tokens. */
  readonly dpop?: Prover
}

/** Makes proofs of possession, and remembers the nonce of each origin. */
export interface Prover {
  proof(request: { method: string; url: string; token?: string }): Promise<string>
  /** Takes what an answer says. True when the same request may succeed with the nonce that came. */
  hear(url: string, nonce: string | null): boolean
  forget(): Promise<void>
}

export interface SourceDeps {
  readonly fetch?: typeof fetch
  now(): number
}

/** Makes the source of one lease. */
export type TokenSourceFactory = (deps: SourceDeps) => TokenSource

interface Endpoints {
  readonly token: string
  readonly revocation?: string | undefined
}

const ANSWERS: readonly (readonly [RegExp, Verdict, ErrorCode])[] = [
  [/^(408|425|429|5..) /, 'retry', 'SERVICE_UNREACHABLE'],
  [/^40[013] invalid_grant/, 'auth-required', 'LEASE_REVOKED'],
  [
    /^40[013] (invalid_(request|client|scope|target|dpop_proof)|un\w+_(client|grant_type)|access_denied)/,
    'auth-required',
    'SERVICE_REFUSED',
  ],
]

/**
 * A lease against any OAuth issuer. A retry carries the same refresh token and the same `Idempotency-Key`, which issuers
 * that know it answer with the successor they have already made.
 *
 * @throws {TypeError} neither `issuer` nor `tokenEndpoint` is given
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-6
 */
export function oauth(options: OAuthOptions): TokenSourceFactory {
  const { issuer, tokenEndpoint, clientId } = Object(options) as OAuthOptions
  if (typeof clientId !== 'string') throw new TypeError('`clientId` must be the name of the client at its issuer.')
  if (typeof (tokenEndpoint ?? issuer) !== 'string')
    throw new TypeError('`tokenEndpoint` or `issuer` must be an address.')
  return (deps) => new OAuthSource(options, deps)
}

class OAuthSource implements TokenSource {
  readonly kind = 'grant'
  readonly #options: OAuthOptions
  readonly #deps: SourceDeps
  #endpoints: Endpoints | undefined

  constructor(options: OAuthOptions, deps: SourceDeps) {
    this.#options = options
    this.#deps = deps
  }

  readonly refresh: NonNullable<TokenSource['refresh']> = async ({ key, refreshToken = '' }) => {
    const { clientId, scope } = this.#options
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId })
    if (scope !== undefined) form.set('scope', scope)
    const endpoints = await this.#find()
    if (endpoints === undefined) return UNREACHABLE
    const reply = await this.#post(endpoints.token, form, key)
    return this.#judge(reply)
  }

  /** @see https://www.rfc-editor.org/rfc/rfc7009#section-2.1 */
  readonly revoke: NonNullable<TokenSource['revoke']> = async ({ token, refreshToken }) => {
    const endpoints = await this.#find()
    const secret = refreshToken ?? token
    if (endpoints?.revocation !== undefined && secret !== undefined) {
      const form = new URLSearchParams({ token: secret, client_id: this.#options.clientId })
      await this.#post(endpoints.revocation, form)
    }
    await this.#options.dpop?.forget()
    return { ok: true, value: null }
  }

  async #post(url: string, form: URLSearchParams, key?: string): Promise<Reply | undefined> {
    const { dpop, requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options
    const send = async () => {
      let nonce: string | null = null
      const headers: { [name: string]: string } = key === undefined ? {} : { 'Idempotency-Key': key }
      if (dpop !== undefined) headers.DPoP = await dpop.proof({ method: 'POST', url })
      const fetcher: typeof fetch = async (to, init) => {
        const response = await (this.#deps.fetch ?? fetch)(to, init)
        nonce = response.headers.get('dpop-nonce')
        return response
      }
      const init: RequestInit = { method: 'POST', body: form, headers, credentials: 'omit' }
      const reply = await ask(fetcher, url, init, requestTimeoutMs, this.#deps.now)
      return { reply, isNewNonce: dpop?.hear(url, nonce) ?? false }
    }
    const { reply, isNewNonce } = await send()
    const wantsNonce = isNewNonce && (Object(reply?.body) as { error?: unknown }).error === 'use_dpop_nonce'
    return wantsNonce ? (await send()).reply : reply
  }

  #judge(reply: Reply | undefined): Outcome<PlainGrant> {
    if (reply === undefined) return UNREACHABLE
    const { status, body, retryAfterMs } = reply
    const answer = Object(body) as { readonly [name: string]: unknown }
    const token = status === 200 ? this.#tokenIn(answer) : undefined
    if (token !== undefined) {
      const claims = claimsOf(token)
      if (!this.#isForUs(claims)) return WRONG_AUDIENCE
      const refreshToken = answer.refresh_token
      const grant = { accessToken: token, expiresInMs: lifetimeMsOf(answer.expires_in, claims) }
      return { ok: true, value: typeof refreshToken === 'string' && refreshToken ? { ...grant, refreshToken } : grant }
    }
    // Only what looks like a code: a token has dots, or is longer.
    const [said = ''] = /^[a-z_]{1,40}$/.exec(typeof answer.error === 'string' ? answer.error : '') ?? []
    const [, verdict, code] = ANSWERS.find(([pattern]) => pattern.test(`${status} ${said}`)) ?? STRANGE
    const failure = { ok: false, verdict, code, reason: `The token endpoint answered ${status} ${said}.` } as const
    if (retryAfterMs === undefined) return failure
    return { ...failure, verdict: verdict === 'retry' ? 'retry-at' : verdict, retryAfterMs }
  }

  #tokenIn({ access_token: token, token_type: type = 'Bearer' }: { readonly [name: string]: unknown }) {
    const isOurs =
      typeof type === 'string' && new RegExp(`^${this.#options.dpop ? '(dpop|bearer)' : 'bearer'}$`, 'i').test(type)
    return isOurs && typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : undefined
  }

  #isForUs(claims: JwtClaims | undefined): boolean {
    const { audience } = this.#options
    if (audience === undefined || claims === undefined) return true
    return [claims.aud].flat().includes(audience)
  }

  /** Where the endpoints are. What was found is kept as long as this worker lives. */
  async #find(): Promise<Endpoints | undefined> {
    const { issuer, tokenEndpoint, revocationEndpoint, requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options
    if (tokenEndpoint !== undefined) return { token: tokenEndpoint, revocation: revocationEndpoint }
    for (const url of this.#endpoints === undefined ? metadataOf(issuer ?? '') : []) {
      const init: RequestInit = { method: 'GET', credentials: 'omit' }
      const reply = await ask(this.#deps.fetch ?? fetch, url, init, requestTimeoutMs, this.#deps.now)
      const found = Object(reply?.body) as { readonly [name: string]: unknown }
      // Metadata that speak for another issuer are how tokens are sent to a thief (RFC 8414, section 3.3).
      if (found.issuer !== issuer || typeof found.token_endpoint !== 'string') continue
      const revocation = typeof found.revocation_endpoint === 'string' ? found.revocation_endpoint : undefined
      this.#endpoints = { token: found.token_endpoint, revocation: revocationEndpoint ?? revocation }
      break
    }
    return this.#endpoints
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc8414#section-3.1 */
function metadataOf(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ]
}

const STRANGE = ['', 'retry', 'SERVICE_BAD_RESPONSE'] as const satisfies readonly [string, Verdict, ErrorCode]
const UNREACHABLE = {
  ok: false,
  verdict: 'retry',
  code: 'SERVICE_UNREACHABLE',
  reason: 'The token endpoint gave no answer.',
  isUnreachable: true,
} as const
const WRONG_AUDIENCE = {
  ok: false,
  verdict: 'auth-required',
  code: 'LEASE_BAD_TOKEN',
  reason: 'The token endpoint gave a token for another audience.',
} as const
