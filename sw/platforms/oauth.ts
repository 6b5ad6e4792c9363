// A lease from any issuer with a refresh endpoint: RFC 6749, section 6, by form and without a cookie. Strict issuers and
// graceful ones get the same requests; what an answer means is in the one table below.
// The first tokens come from a tab: how the visitor signs in is the site's business.

import type { ErrorCode } from '../../core/errors.ts'
import type { Binding, TokenSource } from '../../core/leases.ts'
import type { Outcome, PlainGrant, Verdict } from '../../core/ports.ts'
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
  readonly dpop?: ProverFactory
}

/** Makes proofs of possession, and remembers what each origin asks of them. */
export interface Prover {
  proof(request: { readonly method: string; readonly url: string; readonly token?: string }): Promise<string>
  hear: Binding['hear']
}

/** Makes the prover of one lease. */
export type ProverFactory = (deps: SourceDeps) => Prover

export interface SourceDeps {
  readonly fetch?: typeof fetch
  now(): number
  /** Its name in the configuration. */
  readonly lease?: string
  /** Where pairs of keys are kept. A wipe takes them. */
  readonly keys?: KeyRing
}

export interface KeyRing {
  get<K extends CryptoKeyPair>(name: string): Promise<K | undefined>
  putIfAbsent<K extends CryptoKeyPair>(pair: K, name: string): Promise<K>
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
    /^40[013] (invalid_(request|client|scope|target)|un\w+_(client|grant_type)|access_denied)/,
    'auth-required',
    'SERVICE_REFUSED',
  ],
  // A clock that is off, or a nonce that is never right: the tokens are as good as before.
  [/^40[01] (invalid_dpop_proof|use_dpop_nonce)/, 'retry', 'SERVICE_REFUSED'],
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
  readonly binding?: Binding
  readonly #options: OAuthOptions
  readonly #deps: SourceDeps
  readonly #prover: Prover | undefined
  #endpoints: Endpoints | undefined

  constructor(options: OAuthOptions, deps: SourceDeps) {
    this.#options = options
    this.#deps = deps
    const prover = options.dpop?.(deps)
    if (prover === undefined) return
    this.#prover = prover
    const headers: Binding['headers'] = async (call) => ({
      authorization: `DPoP ${call.token}`,
      dpop: await prover.proof(call),
    })
    this.binding = { headers, hear: prover.hear }
  }

  readonly refresh: NonNullable<TokenSource['refresh']> = async ({ key, refreshToken = '' }) => {
    const { clientId, scope } = this.#options
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId })
    if (scope !== undefined) form.set('scope', scope)
    return this.#grant(form, key)
  }

  /**
   * The code of a sign-in (RFC 6749, section 4.1.3), with the verifier of RFC 7636: so no page sees the tokens, and they
   * are bound to our key from the first on.
   */
  readonly exchange: NonNullable<TokenSource['exchange']> = async ({ key, supplied }) => {
    const { code, codeVerifier, redirectUri } = supplied
    if (typeof code !== 'string') return undefined
    const form = new URLSearchParams({ grant_type: 'authorization_code', code, client_id: this.#options.clientId })
    if (typeof codeVerifier === 'string') form.set('code_verifier', codeVerifier)
    if (typeof redirectUri === 'string') form.set('redirect_uri', redirectUri)
    return this.#grant(form, key)
  }

  async #grant(form: URLSearchParams, key: string): Promise<Outcome<PlainGrant>> {
    const endpoints = await this.#find()
    if (endpoints === undefined) return UNREACHABLE
    return this.#judge(await this.#ask(endpoints.token, form, key))
  }

  /** @see https://www.rfc-editor.org/rfc/rfc7009#section-2.1 */
  readonly revoke: NonNullable<TokenSource['revoke']> = async ({ token, refreshToken }) => {
    const endpoints = await this.#find()
    const secret = refreshToken ?? token
    if (endpoints?.revocation !== undefined && secret !== undefined) {
      const form = new URLSearchParams({ token: secret, client_id: this.#options.clientId })
      const reply = await this.#send(endpoints.revocation, form, {})
      // Whatever it answers, it has heard; what is busy, or says nothing, is told again.
      if (reply === undefined || reply.status >= 500 || reply.status === 429) return UNREACHABLE
    }
    return { ok: true, value: null }
  }

  /** With a new proof each time, and once more where the answer said what was wrong with the first. */
  async #ask(url: string, form: URLSearchParams, key: string): Promise<Reply | undefined> {
    const prover = this.#prover
    const headers = { 'Idempotency-Key': key }
    if (prover === undefined) return this.#send(url, form, headers)
    let isHeard = false
    const hear = (answer: Response) => {
      isHeard = prover.hear({ url, headers: answer.headers })
    }
    const send = async () =>
      this.#send(url, form, { ...headers, DPoP: await prover.proof({ method: 'POST', url }) }, hear)
    const reply = await send()
    const isProofWrong = /^(use_dpop_nonce|invalid_dpop_proof)$/.test(String(Object(reply?.body).error))
    return isHeard && isProofWrong ? send() : reply
  }

  #send(
    url: string,
    body: URLSearchParams,
    headers: { readonly [name: string]: string },
    hear?: (answer: Response) => void,
  ): Promise<Reply | undefined> {
    const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options
    const fetcher: typeof fetch = async (to, init) => {
      const answer = await (this.#deps.fetch ?? fetch)(to, init)
      hear?.(answer)
      return answer
    }
    const init: RequestInit = { method: 'POST', body, headers, credentials: 'omit' }
    return ask(fetcher, url, init, requestTimeoutMs, this.#deps.now)
  }

  #judge(reply: Reply | undefined): Outcome<PlainGrant> {
    if (reply === undefined) return UNREACHABLE
    const { status, body, retryAfterMs } = reply
    const answer = Object(body) as { readonly [name: string]: unknown }
    const isBearer = /^bearer$/i.test(String(answer.token_type ?? 'Bearer'))
    if (status === 200 && this.#prover !== undefined && isBearer && answer.access_token !== undefined) return UNBOUND
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
    const isOurs = typeof type === 'string' && type.toLowerCase() === (this.#prover === undefined ? 'bearer' : 'dpop')
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
/** Whoever wants tokens that only the holder of a key can use is not given others without a word. */
const UNBOUND = {
  ok: false,
  verdict: 'auth-required',
  code: 'LEASE_BAD_TOKEN',
  reason: 'The token endpoint gave a bearer token where one that is bound to a key was asked for.',
} as const
const WRONG_AUDIENCE = {
  ok: false,
  verdict: 'auth-required',
  code: 'LEASE_BAD_TOKEN',
  reason: 'The token endpoint gave a token for another audience.',
} as const
