// The optional fetch handler, for a site that imports us into its own worker: calls of the site's own to origins on a
// list get the token of a lease. Every other request is left to the browser, before anything is awaited.

import { isHoldfastError } from '../core/errors.ts'
import type { Lent } from './engine-leases.ts'
import type { Lender } from './worker.ts'

/** One origin that gets tokens. */
export interface TokenRoute {
  /** Exactly this origin, for example `https://api.example.com`. */
  readonly origin: string
  readonly deployment: string
  /** Default: the session's own. */
  readonly lease?: string
  /** Only paths that begin so. Default: all. */
  readonly path?: string
}

declare const self: ServiceWorkerGlobalScope

/** Bodies of these types are small: they are kept for the one repeat after a refused token. Others stream through, once. */
const REPEATABLE = /^(application\/(json|x-www-form-urlencoded)|text\/)/i

/**
 * A browser fails requests of a process that has more than some 2 700 under way, of which a call to another origin may be
 * two. Those above wait for an answer to one of these.
 */
const SENDING_MAX = 1_000

interface Route extends TokenRoute {
  readonly lease: string
  /** What its addresses begin with: compared as they are, for every request of the site comes by. */
  readonly prefix: string
}

/**
 * Adds a fetch handler that authorizes the site's own calls. Call it once, at the top level of the worker's script.
 *
 * A request that has an `Authorization` header is left alone, so an upload whose progress is watched sets its own. A
 * request that must be authorized and cannot be is answered 401 here, with a problem document, and is not sent.
 *
 * @param worker what `startWorker` returned
 * @throws {TypeError} an origin is none, or no `https:` one; a path does not begin with a slash
 * @example
 * authorizeFetch(startWorker(config), [{ origin: 'https://api.example.com', deployment: 'acme', lease: 'api' }])
 */
export function authorizeFetch(worker: Lender, routes: readonly TokenRoute[]): void {
  const table = routes.map(checked)
  const ask = inTurn(SENDING_MAX)
  const routeOf = (url: string): Route | undefined => table.find(({ prefix }) => url.startsWith(prefix))
  self.addEventListener('fetch', (event) => {
    const { request } = event
    // A page, or what an element loads: neither may have a header of ours.
    if (request.mode === 'navigate' || request.mode === 'no-cors') return
    const route = routeOf(request.url)
    if (route === undefined || request.headers.has('authorization')) return
    event.respondWith(authorized({ worker, routeOf, ask }, request, route))
  })
}

interface Handler {
  readonly worker: Lender
  readonly ask: typeof fetch
  routeOf(url: string): Route | undefined
}

/** `fetch`, with so many under way at most. */
function inTurn(max: number): typeof fetch {
  let free = max
  const waiting: (() => void)[] = []
  return async (...request) => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await fetch(...request)
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}

function checked(route: TokenRoute): Route {
  const url = new URL(route.origin)
  const isSafe = url.protocol === 'https:' || url.hostname === 'localhost' || url.hostname === '127.0.0.1'
  if (url.origin !== route.origin || !isSafe)
    throw new TypeError(`"${route.origin}" must be an origin and nothing more, such as https://api.example.com.`)
  const { path = '/', lease = 'session' } = route
  if (!path.startsWith('/')) throw new TypeError(`The path "${path}" of ${route.origin} must begin with a slash.`)
  return { ...route, lease, prefix: route.origin + path }
}

async function authorized(handler: Handler, request: Request, route: Route): Promise<Response> {
  const { worker, ask } = handler
  const lend = ({ deployment, lease }: Route, spent?: number) => worker.lend(deployment, lease, spent)
  const lent = lend(route)
  // With a token at hand the call is on its way before anything is awaited.
  const token = lent instanceof Promise ? await lent.catch(refusal) : lent
  if (token instanceof Response) return token
  const hasBody = !/^(GET|HEAD)$/.test(request.method)
  const isSpare = !hasBody || REPEATABLE.test(request.headers.get('content-type') ?? '')
  const spare = isSpare ? copyOf(request) : undefined
  const response = await send(ask, request, token, isSpare)
  if (response.status !== 401) {
    token.worked()
    return response
  }
  if (response.redirected) {
    // The browser takes the header away when a redirect leaves the origin. Where that led to another one of the list, that
    // one gets its own. A proof is for one address: where it was redirected, it needs another.
    const next = hasBody ? undefined : handler.routeOf(response.url)
    if (next === undefined || (next.origin === route.origin && token.binding === undefined)) return response
    const other = await Promise.resolve(lend(next)).catch(() => undefined)
    return other === undefined ? response : send(ask, new Request(response.url, request), other, true)
  }
  const fresh = spare && (await Promise.resolve(lend(route, token.generation)).catch(() => undefined))
  if (spare === undefined || fresh === undefined) return response
  const second = await send(ask, spare, fresh, false)
  if (second.status !== 401) fresh.worked()
  return second
}

/** Once more, where the token is bound to a key and the answer brought what its proof lacked. */
async function send(ask: typeof fetch, request: Request, token: Lent, isRepeatable: boolean): Promise<Response> {
  const { binding } = token
  if (binding === undefined)
    return ask(request, { headers: withHeaders(request, { authorization: `Bearer ${token.value}` }) })
  const spare = isRepeatable ? copyOf(request) : undefined
  const bound = async (one: Request) =>
    ask(one, {
      headers: withHeaders(one, await binding.headers({ method: one.method, url: one.url, token: token.value })),
    })
  const response = await bound(request)
  const isHeard = binding.hear(response) && response.status === 401
  const isToken = /invalid_token/.test(response.headers.get('www-authenticate') ?? '')
  return spare && isHeard && !isToken && !response.redirected ? bound(spare) : response
}

/** Without a body a request can be sent again as it is. */
const copyOf = (request: Request): Request => (/^(GET|HEAD)$/.test(request.method) ? request : request.clone())

function withHeaders(request: Request, added: { readonly [name: string]: string }): Headers {
  const headers = new Headers(request.headers)
  for (const name in added) headers.set(name, added[name]!)
  return headers
}

/** Not sent, and not silent: the site reads why in the body. */
function refusal(error: unknown): Response {
  const code = isHoldfastError(error) ? error.code : 'LEASE_EXPIRED'
  const detail = 'There is no token for this call, so it was not made.'
  const problem = { type: 'about:blank', title: 'Unauthorized', status: 401, code, detail }
  return new Response(JSON.stringify(problem), {
    status: 401,
    headers: { 'content-type': 'application/problem+json', 'www-authenticate': 'Bearer error="invalid_token"' },
  })
}
