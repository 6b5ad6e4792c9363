// The OAuth calls: refresh with keyed replay, and revoke. Errors have the form of RFC 6749, 5.2.
import { Hono } from 'hono'
import { dropSessionCookie, keepSessionCookie, sessionCookie } from '../cookie.ts'
import { grantFor } from '../grants.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { oauthError, problem } from '../problem.ts'
import { GrantWire, RefreshRequest, RevokeRequest } from '../schemas.ts'
import { RevokedWire } from '../schemas-frames.ts'
import type { RefreshAnswer } from '../store-sessions.ts'
import { hashOf, idempotencyKey, isFromAllowedPage, OAUTH_ERRORS, operation, valid } from './common.ts'

export function authRoutes(parts: Parts) {
  const app = new Hono<Env>()

  app.post(
    '/api/v2/widget/auth/refresh',
    operation(
      'refreshGrant',
      'Exchange the refresh token, in cookie or body, for a new grant.',
      {
        200: GrantWire,
        ...OAUTH_ERRORS,
      },
      { headers: ['Idempotency-Key'], isOpen: true },
    ),
    valid('form', RefreshRequest),
    async (c) => {
      parts.metrics.count('refresh_requests')
      const { grant_type, refresh_token, client_id } = c.req.valid('form')
      if (grant_type !== 'refresh_token') {
        return oauthError(c, 'unsupported_grant_type', 'Only refresh_token is supported here.')
      }
      const key = idempotencyKey(c)
      if (key === null) return oauthError(c, 'invalid_request', 'An idempotency key has 8 to 200 characters.')
      const token = refresh_token ?? sessionCookie(parts, c, client_id)
      if (token === null)
        return oauthError(c, 'invalid_request', 'Several deployments have a cookie here: see client_id.')
      const presented = token === undefined ? null : parts.tokens.readRefreshToken(token)
      if (presented === null) return refused(parts, c, token === undefined ? 'missing' : 'not genuine')
      const keyHash = key === undefined ? null : hashOf(key)
      const answer = await parts.store.sessions.refresh({ ...presented, keyHash }, parts.now())
      return answerRefresh(parts, c, answer, refresh_token === undefined)
    },
  )

  app.post(
    '/api/v2/widget/auth/revoke',
    operation(
      'revokeGrant',
      'End the token family behind a refresh token, access token or cookie (RFC 7009).',
      {
        200: RevokedWire,
      },
      { isOpen: true },
    ),
    valid('form', RevokeRequest),
    async (c) => {
      const { token, client_id } = c.req.valid('form')
      const cookie = sessionCookie(parts, c, client_id ?? (await deploymentOf(parts, c))) ?? undefined
      const familyId = await familyToRevoke(parts, c, token, cookie)
      if (familyId !== undefined && (await parts.store.sessions.revoke(familyId, parts.now())) !== null) {
        parts.metrics.count('sessions_revoked')
        parts.familyEnded(familyId)
      }
      if (cookie !== undefined) dropSessionCookie(parts, c, cookie)
      return c.json({}, 200, { 'Cache-Control': 'no-store' })
    },
  )
  return app
}

async function answerRefresh(parts: Parts, c: Call, answer: RefreshAnswer, isByCookie: boolean): Promise<Response> {
  switch (answer.type) {
    case 'invalid':
      return refused(parts, c, answer.reason)
    case 'wait':
      parts.metrics.count('refresh_waits')
      return oauthError(
        c,
        'temporarily_unavailable',
        'Too many answers to this token without proof that one arrived.',
        answer.retryAfterMs,
      )
    case 'reuse':
      parts.metrics.count('reuse_detected')
      parts.log('warn', 'refresh-token-reused', { familyId: answer.family.id })
      parts.familyEnded(answer.family.id)
      return refused(parts, c, 'reused')
    case 'rotated':
    case 'replayed': {
      parts.metrics.count(answer.type === 'rotated' ? 'rotations' : 'refresh_replays')
      const { session, family } = answer
      if (!isFromAllowedPage(parts, c, session.deploymentId)) return problem(c, 'origin-not-allowed')
      const grant = await grantFor(parts, session, family.id, family.generation)
      const successor = parts.tokens.refreshToken(family.id, family.generation)
      if (isByCookie) keepSessionCookie(parts, c, session.deploymentId, successor)
      else grant.refresh_token = successor
      if (answer.type === 'replayed') c.header('Idempotent-Replayed', 'true')
      return c.json(grant, 200, { 'Cache-Control': 'no-store' })
    }
  }
}

function refused(parts: Parts, c: Call, reason: string): Response {
  parts.metrics.count('refresh_refused')
  return oauthError(c, 'invalid_grant', `The refresh token is ${reason}.`)
}

function bearerOf(c: Call): string | undefined {
  return c.req.header('Authorization')?.replace(/^Bearer +/i, '')
}

/** The deployment that the access token of a call is for. */
async function deploymentOf(parts: Parts, c: Call): Promise<string | undefined> {
  const bearer = bearerOf(c)
  return bearer === undefined ? undefined : (await parts.tokens.readAccessToken(bearer))?.caller.deploymentId
}

/** The form names a refresh or an access token; without it the cookie or the Authorization header counts. */
async function familyToRevoke(parts: Parts, c: Call, token: string | undefined, cookie: string | undefined) {
  const bearer = bearerOf(c)
  for (const candidate of token === undefined ? [cookie, bearer] : [token]) {
    if (candidate === undefined) continue
    const familyId = parts.tokens.readRefreshToken(candidate)?.familyId
    if (familyId !== undefined) return familyId
    const caller = (await parts.tokens.readAccessToken(candidate))?.caller
    if (caller?.role === 'customer') return caller.familyId
  }
  return undefined
}
