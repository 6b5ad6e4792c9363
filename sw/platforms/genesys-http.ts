// The calls of Genesys Cloud Web Messaging that are requests: history, deployment configuration, sign-in.
// Each is one request and one outcome; when to ask is the business of others.

import type { Backfilled, Ending, Outcome, PlainGrant, StreamRequest } from '../../core/ports.ts'
import type { Row } from '../../core/transcript.ts'
import { rowOf, type Shape, shapeOf } from './genesys-wire.ts'
import { ask, type Reply, REQUEST_TIMEOUT_MS } from './http.ts'

export interface Endpoints {
  /** `wss://webmessaging.<domain>`, `https://api.<domain>`, `https://api-cdn.<domain>`. */
  readonly messaging: string
  readonly api: string
  readonly cdn: string
}

export interface HttpDeps {
  readonly endpoints: Endpoints
  readonly deploymentId: string
  readonly fetch: typeof fetch
  readonly requestTimeoutMs: number | undefined
  now(): number
}

export interface SocketDeps extends HttpDeps {
  readonly WebSocket: typeof WebSocket
  readonly application: string
  uuid(): string
  uuidOf(words: string): Promise<string>
  after(ms: number, run: () => void): () => void
  config(): Promise<DeploymentConfig | undefined>
  /** Why a socket never opened: a browser is not told. */
  whyClosed(): Promise<Ending>
  /** The session token and, for a visitor who has signed in, the auth JWT. */
  secretsOf(request: StreamRequest): Promise<{ readonly session: string; readonly jwt: string | undefined }>
}

/** What a deployment allows, as far as we use it. */
export interface DeploymentConfig {
  readonly isActive: boolean
  readonly autoStart: boolean
  readonly clear: boolean
  readonly typing: boolean
}

/** The newest so many messages in one page; further pages only as far as something is missing. */
const PAGE_SIZE = 100
export const PAGES_MAX = 3
/** The platform allows ten a minute. */
export const PAGE_MS = 6_200
const LIFE_MAX_MS = 15 * 60_000
const TOKENS = '/api/v2/webdeployments/token/'

type Failure = Outcome<never> & { readonly ok: false }

const failed = (call: string, reply: Reply | undefined): Failure => {
  const reason = `genesys ${call}: ${reply?.status ?? 'no answer'}.`
  const failure = { ok: false, verdict: 'retry', code: 'SERVICE_UNREACHABLE', reason } as const
  if (reply === undefined) return { ...failure, isUnreachable: true }
  const { retryAfterMs } = reply
  return retryAfterMs === undefined ? failure : { ...failure, verdict: 'retry-at', retryAfterMs }
}

const call = (deps: HttpDeps, url: string, init: RequestInit) =>
  // No cookie of ours is the platform's business, and its CORS need not allow any.
  ask(deps.fetch, url, { credentials: 'omit', ...init }, deps.requestTimeoutMs ?? REQUEST_TIMEOUT_MS, deps.now)

/**
 * The history from its newest page back to `afterId`, oldest first. `headSeq` says how many there are: more than are
 * given where the beginning was not read.
 */
export async function history(
  deps: HttpDeps,
  jwt: string,
  conversationId: string,
  afterId: string,
): Promise<Outcome<Backfilled>> {
  const newestFirst: Row[] = []
  for (let page = 1; ; page++) {
    const url = `${deps.endpoints.api}/api/v2/webmessaging/messages?pageNumber=${page}&pageSize=${PAGE_SIZE}`
    const reply = await call(deps, url, { method: 'GET', headers: { Authorization: `bearer ${jwt}` } })
    const { entities, total } = shapeOf(reply?.body)
    // A session without any message may have an empty page, or none.
    const isNone = reply?.status === 404
    if (!isNone && (reply?.status !== 200 || !Array.isArray(entities))) return unread(reply, page)
    const found: readonly unknown[] = isNone ? [] : (entities as unknown[])
    newestFirst.push(...found.flatMap((entity) => rowOf(shapeOf(entity), conversationId, deps.now()) ?? []))
    const isWhole = found.length < PAGE_SIZE || Number(total) <= page * PAGE_SIZE
    if (!isWhole && page < PAGES_MAX && newestFirst.every(({ id }) => id !== afterId)) continue
    const rows = newestFirst.reverse()
    return { ok: true, value: { resync: false, rows, headSeq: rows.length + (isWhole ? 0 : 1), calls: page } }
  }
}

/** Pages that were read in vain have been counted by the platform, and not by us. */
function unread(reply: Reply | undefined, page: number): Failure {
  const failure = failed('history', reply)
  const wishMs = Math.max(failure.retryAfterMs ?? 0, (page - 1) * PAGE_MS)
  return wishMs === 0 ? failure : { ...failure, verdict: 'retry-at', retryAfterMs: wishMs }
}

/** Nothing when nobody answers; a deployment that is not known is not active. */
export async function configOf(deps: HttpDeps): Promise<DeploymentConfig | undefined> {
  const url = `${deps.endpoints.cdn}/webdeployments/v1/deployments/${deps.deploymentId}/config.json`
  const reply = await call(deps, url, { method: 'GET' })
  if (reply === undefined || reply.status >= 500) return undefined
  const { status, messenger } = shapeOf(reply.body)
  const apps = shapeOf(shapeOf(shapeOf(messenger)['apps'])['conversations'])
  return {
    isActive: reply.status === 200 && status === 'Active',
    autoStart: shapeOf(apps['autoStart'])['enabled'] === true,
    clear: shapeOf(apps['conversationClear'])['enabled'] === true,
    typing: apps['showUserTypingIndicator'] === true,
  }
}

/** Milliseconds that a JWT still has to live, by its own word; a quarter of an hour where it says nothing. */
export function lifeOf(jwt: string, now: number): number {
  let ms = 0
  try {
    const [, payload = ''] = jwt.split('.')
    ms = Number(shapeOf(JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/'))))['exp']) * 1_000 - now
  } catch {
    // Not a JWT that we can read: the platform's own word is fifteen minutes.
  }
  return Math.min(ms > 0 ? ms : LIFE_MAX_MS, LIFE_MAX_MS)
}

/** What a tab supplied, as the platform wants it: a code or an id token of the site's identity provider. */
export const oauthOf = ({ authCode, code = authCode, idToken, redirectUri, codeVerifier, nonce }: Shape): object =>
  typeof idToken === 'string' ? { idToken, nonce } : { code, redirectUri, codeVerifier }

/** An auth JWT for a code of the site's identity provider, or for a refresh token. */
export async function signIn(
  deps: HttpDeps,
  path: 'oauthcodegrantjwtexchange' | 'refresh',
  body: object,
): Promise<Outcome<PlainGrant>> {
  const headers = { 'Content-Type': 'application/json' }
  const init = { method: 'POST', headers, body: JSON.stringify(body) }
  const reply = await call(deps, `${deps.endpoints.api}${TOKENS}${path}`, init)
  const { jwt, refreshToken } = shapeOf(reply?.body)
  if (reply?.status === 200 && typeof jwt === 'string') {
    const kept = typeof refreshToken === 'string' && { refreshToken }
    return { ok: true, value: { accessToken: jwt, expiresInMs: lifeOf(jwt, deps.now()), ...kept } }
  }
  const isFinal = [400, 401, 403].includes(reply?.status ?? 0)
  const failure = failed(path, reply)
  return isFinal ? { ...failure, verdict: 'auth-required', code: 'LEASE_REVOKED' } : failure
}

export async function revoke(deps: HttpDeps, jwt: string): Promise<Outcome<null>> {
  const init = { method: 'DELETE', headers: { Authorization: `bearer ${jwt}` } }
  const reply = await call(deps, `${deps.endpoints.api}${TOKENS}revoke`, init)
  if (reply !== undefined && reply.status < 300) return { ok: true, value: null }
  const failure = failed('revoke', reply)
  return reply?.status === 401 ? { ...failure, verdict: 'refresh' } : failure
}
