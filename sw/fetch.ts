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

/** So many addresses are known to refuse every token. */
const CLOSED_MAX = 100

interface Route extends TokenRoute {
  readonly lease: string
  /** What its addresses begin with: compared as they are, for every request of the site comes by. */
  readonly prefix: string
  /** The last token that was taken here. */
  taken?: number
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
  // Of two that an address begins with, the longer one says more.
  const table = routes.map(checked).sort((a, b) => b.prefix.length - a.prefix.length)
  const handler = { worker, routeOf, line: lineOf(SENDING_MAX), closed: new Set<string>() }
  function routeOf(url: string): Route | undefined {
    return table.find(({ prefix }) => url.startsWith(prefix))
  }
  self.addEventListener('fetch', (event) => {
    const { request } = event
    // A page, or what an element loads: neither may have a header of ours.
    if (request.mode === 'navigate' || request.mode === 'no-cors') return
    const route = routeOf(request.url)
    if (route === undefined || request.headers.has('authorization')) return
    event.respondWith(authorized(handler, request, route))
  })
}

interface Handler {
  readonly worker: Lender
  readonly line: Line
  /** Addresses that refuse tokens which are taken elsewhere. */
  readonly closed: Set<string>
  routeOf(url: string): Route | undefined
}

interface Line {
  /** Nothing, where it is one's turn at once. */
  enter(): Promise<void> | undefined
  leave(): void
}

function lineOf(max: number): Line {
  let free = max
  const waiting: (() => void)[] = []
  return {
    enter() {
      if (free === 0) return new Promise((resolve) => waiting.push(resolve))
      free -= 1
      return undefined
    },
    leave() {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    },
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
  const { worker, line } = handler
  const lent = lend(worker, route)
  // With a token at hand the call is on its way before anything is awaited.
  const first = lent instanceof Promise ? await lent.catch(refusal) : lent
  if (first instanceof Response) return first
  const turn = line.enter()
  try {
    if (turn === undefined) return await called(handler, request, route, first)
    await turn
    // Who has stood in line asks again: the token may be spent by now, and its visitor gone.
    const token = await Promise.resolve(lend(worker, route, { epoch: first.epoch })).catch(refusal)
    return token instanceof Response ? token : await called(handler, request, route, token)
  } finally {
    line.leave()
  }
}

interface Refused {
  readonly generation?: number
  readonly epoch?: string | undefined
}

const lend = (worker: Lender, { deployment, lease }: Route, { generation, epoch }: Refused = {}) =>
  worker.lend(deployment, lease, generation, epoch)

async function called(handler: Handler, request: Request, route: Route, token: Lent): Promise<Response> {
  const { worker, closed } = handler
  const hasMethod = !/^(GET|HEAD)$/.test(request.method)
  const isSpare = !hasMethod || request.body === null || REPEATABLE.test(request.headers.get('content-type') ?? '')
  const spare = isSpare ? copyOf(request) : undefined
  const [address = ''] = request.url.split(/[?#]/, 1)
  const taken = (by: Lent) => {
    closed.delete(address)
    route.taken = by.generation
    by.worked()
  }
  const response = await send(request, token, isSpare)
  if (response.status !== 401) {
    taken(token)
    return response
  }
  if (response.redirected) {
    const next = handler.routeOf(response.url)
    if (next === undefined) return response
    // The browser takes the header away when a redirect leaves the origin. Where that led to another one of the list, that
    // one gets its own. A proof is for one address: where it was redirected, it needs another.
    const isSame = next.deployment === route.deployment
    if (next.origin !== route.origin || next.lease !== route.lease || !isSame || token.binding !== undefined) {
      const whose = isSame ? { epoch: token.epoch } : {}
      const other = hasMethod ? undefined : await Promise.resolve(lend(worker, next, whose)).catch(none)
      return other === undefined ? response : send(new Request(response.url, request), other, true)
    }
  }
  if (closed.has(address)) return response
  const wasTaken = route.taken === token.generation
  const lending = Promise.resolve(lend(worker, route, token)).catch(none)
  // What cannot be repeated has told at least that the token is spent.
  const fresh = spare && (await lending)
  if (spare === undefined || fresh === undefined) return response
  const second = await send(spare, fresh, false)
  if (second.status !== 401) taken(fresh)
  else if (wasTaken || route.taken === fresh.generation) {
    if (closed.size >= CLOSED_MAX) closed.clear()
    closed.add(address)
  }
  return second
}

const none = (): undefined => {}

/** Once more, where the token is bound to a key and the answer brought what its proof lacked. */
async function send(request: Request, token: Lent, isRepeatable: boolean): Promise<Response> {
  const { binding } = token
  if (binding === undefined)
    return fetch(request, { headers: withHeaders(request, { authorization: `Bearer ${token.value}` }) })
  const spare = isRepeatable ? copyOf(request) : undefined
  const bound = async (one: Request) =>
    fetch(one, {
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
