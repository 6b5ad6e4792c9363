// Sessions over HTTP: open or resume, and what hangs on a session: its snapshot.
import { Hono } from 'hono'
import { keepSessionCookie, sessionCookie } from '../cookie.ts'
import { grantFor, openedWire } from '../grants.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { problem, retryAfterSeconds } from '../problem.ts'
import { OpenSessionRequest, PersistRequest, SessionWire } from '../schemas.ts'
import { PersistedWire } from '../schemas-frames.ts'
import { mayEnter } from '../session.ts'
import { entrance, hashOf, isFromAllowedPage, operation, valid } from './common.ts'

export function sessionRoutes(parts: Parts) {
  const app = new Hono<Env>()
  const enter = entrance(parts)

  app.post(
    '/api/v2/widget/sessions',
    operation(
      'openSession',
      'Open a session, or resume one by cookie or access token.',
      { 200: SessionWire, 201: SessionWire },
      {
        refusals: [
          'unknown-deployment',
          'invalid-request',
          'origin-not-allowed',
          'too-many-replays',
          'customers-only',
          'invalid-token',
          'token-expired',
          'session-revoked',
        ],
        isOpen: true,
      },
    ),
    valid('json', OpenSessionRequest),
    async (c) => {
      const { deploymentId, refreshKey, tokenDelivery } = c.req.valid('json')
      if (!parts.settings.deployments.has(deploymentId)) return problem(c, 'unknown-deployment')
      if (!isFromAllowedPage(parts, c, deploymentId)) return problem(c, 'origin-not-allowed')
      const cookie = tokenDelivery === 'cookie' ? (sessionCookie(parts, c, deploymentId) ?? undefined) : undefined
      if (cookie === undefined && c.req.header('Authorization') !== undefined) {
        return resumeByAccessToken(parts, c, deploymentId)
      }
      return open(parts, c, { deploymentId, refreshKey, tokenDelivery, cookie })
    },
  )

  app.post(
    '/chat-state/persist',
    operation(
      'persistState',
      'Keep the newest state snapshot of the session.',
      { 200: PersistedWire },
      { refusals: ['snapshot-too-large', 'not-your-session', 'unknown-conversation'] },
    ),
    enter,
    valid('json', PersistRequest),
    (c) => persist(parts, c, c.req.valid('json')),
  )
  return app
}

type OpenCall = {
  deploymentId: string
  refreshKey: string
  tokenDelivery: 'cookie' | 'body'
  cookie: string | undefined
}

async function open(parts: Parts, c: Call, call: OpenCall): Promise<Response> {
  const presented = call.cookie === undefined ? null : parts.tokens.readRefreshToken(call.cookie)
  const answer = await parts.store.sessions.open(
    {
      deploymentId: call.deploymentId,
      keyHash: hashOf(call.refreshKey),
      ...(presented && { presented }),
      fresh: { sessionId: parts.uuid(), familyId: parts.uuid() },
    },
    parts.now(),
  )
  if (answer.type === 'wait') {
    return problem(c, 'too-many-replays', { headers: { 'Retry-After': retryAfterSeconds(answer.retryAfterMs) } })
  }
  parts.metrics.count(answer.type === 'created' ? 'sessions_opened' : 'sessions_resumed')
  if (answer.type === 'rotated') parts.metrics.count('rotations')
  if (answer.type === 'replayed') parts.metrics.count('refresh_replays')
  if (answer.reusedFamilyId !== undefined) {
    parts.metrics.count('reuse_detected')
    parts.log('warn', 'refresh-token-reused', { familyId: answer.reusedFamilyId })
    parts.familyEnded(answer.reusedFamilyId)
  }
  for (const id of answer.expiredConversationIds) {
    const conversation = await parts.store.conversations.full(id)
    if (conversation) parts.hub.changed(conversation)
  }

  const { session, family } = answer
  const grant = await grantFor(parts, session, family.id, family.generation)
  const refreshToken = parts.tokens.refreshToken(family.id, family.generation)
  if (call.tokenDelivery === 'cookie') keepSessionCookie(parts, c, session.deploymentId, refreshToken)
  else grant.refresh_token = refreshToken
  const opened = await openedWire(parts, session, family.id, grant)
  const heir = answer.succeeds === undefined ? opened : { ...opened, succeeds: answer.succeeds }
  return c.json(heir, answer.type === 'created' ? 201 : 200, { 'Cache-Control': 'no-store' })
}

/** Bearer mode: no cookie anywhere; the token proves the session, and nothing rotates. */
async function resumeByAccessToken(parts: Parts, c: Call, deploymentId: string): Promise<Response> {
  const admission = await parts.gate.admitHeader(c.req.header('Authorization'))
  if (!admission.ok) return problem(c, admission.code)
  const { caller } = admission
  if (caller.role !== 'customer') return problem(c, 'customers-only')
  const session = await parts.store.sessions.session(caller.sessionId)
  if (session === undefined || caller.deploymentId !== deploymentId) return problem(c, 'invalid-token')
  parts.metrics.count('sessions_resumed')
  // The generation stays the caller's own: a newer one would be taken for proof that its answer arrived.
  const grant = await grantFor(parts, session, caller.familyId, caller.generation)
  return c.json(await openedWire(parts, session, caller.familyId, grant), 200, { 'Cache-Control': 'no-store' })
}

type Snapshot = {
  persistentSessionId: string
  conversationId?: string | null | undefined
  timestamp: number
  stateSnapshot: unknown
  event?: 'form-submitted' | undefined
}

async function persist(parts: Parts, c: Call, snapshot: Snapshot): Promise<Response> {
  const { persistentSessionId, conversationId = null, timestamp: at, stateSnapshot, event } = snapshot
  const caller = c.get('caller')
  if (caller.role !== 'customer' || caller.sessionId !== persistentSessionId) return problem(c, 'not-your-session')
  const row = conversationId === null ? undefined : await parts.store.conversations.row(conversationId)
  if (conversationId !== null && (row === undefined || !mayEnter(caller, row)))
    return problem(c, 'unknown-conversation')
  const kept = { at, conversationId, snapshot: stateSnapshot, event }
  return c.json({ stored: await parts.store.sessions.keepSnapshot(caller, kept, parts.now()) })
}
