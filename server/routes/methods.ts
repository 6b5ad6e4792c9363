// Which methods an address knows, for a request that came with another one: 405 and not 404, so that a client with
// the wrong verb does not look for the wrong address.
import type { Hono } from 'hono'
import type { Call, Env } from '../parts.ts'
import { problem } from '../problem.ts'

type Known = { address: RegExp; method: string }

/** The answer to what no route took. Call it when all routes are there. */
export function unmatched(app: Hono<Env>): (c: Call) => Response {
  const known: Known[] = app.routes
    .filter(({ method, path }) => method !== 'ALL' && !path.includes('*'))
    .map(({ method, path }) => ({ method, address: addressOf(path) }))
  return (c) => {
    const methods = new Set(known.filter(({ address }) => address.test(c.req.path)).map(({ method }) => method))
    if (methods.size === 0) return problem(c, 'not-found')
    if (methods.has('GET')) methods.add('HEAD')
    return problem(c, 'method-not-allowed', { headers: { Allow: [...methods, 'OPTIONS'].join(', ') } })
  }
}

/** A route's path with its parameters as an expression. */
function addressOf(path: string): RegExp {
  const segments = path.split('/').map((segment) => (segment.startsWith(':') ? '[^/]+' : escaped(segment)))
  return new RegExp(`^${segments.join('/')}$`)
}

function escaped(text: string): string {
  return text.replace(/[^\w-]/g, '\\$&')
}
