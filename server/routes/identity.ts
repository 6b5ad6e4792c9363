// Signing in over HTTP: the site's signed JWT joins the caller's session to a user.
import { Hono } from 'hono'
import { grantFor, openedWire } from '../grants.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { problem } from '../problem.ts'
import { AuthenticateRequest, SessionWire } from '../schemas.ts'
import { entrance, operation, valid } from './common.ts'

export function identityRoutes(parts: Parts) {
  const app = new Hono<Env>()
  app.post(
    '/api/v2/widget/auth/authenticate',
    operation(
      'authenticate',
      "Join the session to a user by the site's signed JWT; the user's session may be another one.",
      { 200: SessionWire },
      {
        refusals: [
          'customers-only',
          'identity-not-configured',
          'identity-refused',
          'identity-expired',
          'identity-unavailable',
        ],
      },
    ),
    entrance(parts),
    valid('json', AuthenticateRequest),
    (c) => authenticate(parts, c, c.req.valid('json').token),
  )
  return app
}

async function authenticate(parts: Parts, c: Call, token: string): Promise<Response> {
  const caller = c.get('caller')
  if (caller.role !== 'customer') return problem(c, 'customers-only')
  const { familyId, generation } = caller
  const identity = await parts.identities.read(caller.deploymentId, token)
  if (!identity.ok) {
    parts.metrics.count('identities_refused')
    if (identity.code === 'identity-unavailable')
      parts.log('warn', 'identity-keys-unavailable', { deploymentId: caller.deploymentId })
    return problem(c, identity.code)
  }
  const request = { familyId, generation, userId: identity.userId, freshSessionId: parts.uuid() }
  const answer = await parts.store.identities.identify(request, parts.now())
  if (answer.type === 'gone') return problem(c, 'session-revoked')
  if (answer.type === 'late') return problem(c, 'token-expired')
  const { session } = answer
  if (answer.type !== 'same') {
    parts.metrics.count('identities_joined')
    parts.log('info', 'identity-joined', { sessionId: session.id, how: answer.type })
  }
  if (session.id !== caller.sessionId) parts.familyMoved(familyId)
  for (const id of answer.changedIds) {
    const conversation = await parts.store.conversations.full(id)
    if (conversation) parts.hub.changed(conversation)
  }
  // The generation stays the caller's own, as in every answer that rotates nothing.
  const grant = await grantFor(parts, session, familyId, generation)
  return c.json(await openedWire(parts, session, familyId, grant), 200, { 'Cache-Control': 'no-store' })
}
