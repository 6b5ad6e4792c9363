// What operators and their tools ask: alive, ready, counted, described, and by which keys signed.
import { Hono } from 'hono'
import type { Env, Parts } from '../parts.ts'
import { problem } from '../problem.ts'
import { DeadLettersWire } from '../schemas.ts'
import { KeysWire, StatusWire } from '../schemas-frames.ts'
import { entrance, operation } from './common.ts'

export function operationRoutes(parts: Parts) {
  const app = new Hono<Env>()

  app.get('/healthz', operation('isAlive', 'The process runs.', { 200: StatusWire }, { isOpen: true }), (c) =>
    c.json({ status: 'ok' }),
  )

  app.get(
    '/readyz',
    operation(
      'isReady',
      'This node takes requests: the store answers and no stop has begun.',
      { 200: StatusWire },
      { refusals: ['store-unavailable', 'draining'], isOpen: true },
    ),
    async (c) => {
      if (parts.retire.aborted) return problem(c, 'draining')
      return (await parts.store.isReady()) ? c.json({ status: 'ready' }) : problem(c, 'store-unavailable')
    },
  )

  app.get(
    '/metrics',
    operation('getMetrics', 'Counters and gauges for Prometheus.', { 200: 'text/plain' }, { isOpen: true }),
    (c) => c.text(parts.metrics.render(), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }),
  )

  app.get(
    '/.well-known/jwks.json',
    operation('getKeys', 'The public keys that access tokens are signed with.', { 200: KeysWire }, { isOpen: true }),
    (c) => c.json(parts.tokens.jwks, 200, { 'Cache-Control': 'public, max-age=300' }),
  )

  deadLetterRoutes(parts, app)
  return app
}

const DEAD_LETTERS = '/api/v2/operations/dead-letters'
const DEAD_LETTERS_MAX = 200

function deadLetterRoutes(parts: Parts, app: Hono<Env>): void {
  const enter = entrance(parts)
  app.get(
    DEAD_LETTERS,
    operation(
      'listDeadLetters',
      "State snapshots that the site's own store did not take, for an agent of the deployment.",
      { 200: DeadLettersWire },
      { refusals: ['agents-only'] },
    ),
    enter,
    async (c) => {
      const caller = c.get('caller')
      if (caller.role !== 'agent') return problem(c, 'agents-only')
      const pushes = await parts.store.pushes.deadLetters(caller.deploymentId, DEAD_LETTERS_MAX)
      const deadLetters = pushes.map(({ id, event, sessionId, conversationId, createdAt, attempts, reason }) => {
        return { id, event, persistentSessionId: sessionId, conversationId, createdAt, attempts, reason }
      })
      return c.json({ deadLetters }, 200, { 'Cache-Control': 'no-store' })
    },
  )

  app.post(
    `${DEAD_LETTERS}/:id/retry`,
    operation(
      'retryDeadLetter',
      'Give a state snapshot its tries again.',
      { 200: StatusWire },
      { refusals: ['agents-only', 'unknown-dead-letter'] },
    ),
    enter,
    async (c) => {
      const caller = c.get('caller')
      if (caller.role !== 'agent') return problem(c, 'agents-only')
      const isRevived = await parts.store.pushes.revive(caller.deploymentId, c.req.param('id'), parts.now())
      return isRevived ? c.json({ status: 'waiting' }) : problem(c, 'unknown-dead-letter')
    },
  )
}
