// Writers' leases over HTTP: one writer at a time among several devices, and a fence that shuts out the former.
import { Hono } from 'hono'
import type { Call, Env, Parts } from '../parts.ts'
import { problem, retryAfterSeconds } from '../problem.ts'
import { LeaseRequest, LeaseWire } from '../schemas.ts'
import { entrance, operation, valid } from './common.ts'
import { NO_PLACE, placeOf } from './context.ts'

export function leaseRoutes(parts: Parts) {
  const app = new Hono<Env>()
  app.post(
    '/api/v2/messaging/leases',
    operation(
      'takeLease',
      'Become the writer of a context value, or of `attributes` of a conversation; `ttlMs` 0 gives it up.',
      { 200: LeaseWire },
      { refusals: [...NO_PLACE, 'lease-held'] },
    ),
    entrance(parts),
    valid('json', LeaseRequest),
    (c) => take(parts, c, c.req.valid('json')),
  )
  return app
}

async function take(
  parts: Parts,
  c: Call,
  request: { scope: string; name: string; holder: string; ttlMs: number },
): Promise<Response> {
  const { scope, name, holder, ttlMs } = request
  const place = await placeOf(parts, c, { scope, name })
  if (typeof place === 'string') return problem(c, place)
  const now = parts.now()
  const verdict = await parts.store.leases.take({ ...place, holder, ttlMs }, now)
  const { fence, expiresAt } = verdict.lease
  if (verdict.type === 'granted') return c.json({ scope, name, holder, fence, expiresAt })
  return problem(c, 'lease-held', {
    present: { expiresAt },
    headers: { 'Retry-After': retryAfterSeconds(expiresAt - now) },
  })
}
