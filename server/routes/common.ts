// What the routes share: validation that answers with a problem, the OpenAPI description of a call, and the
// way from an Authorization header to a caller.
import { createHash } from 'node:crypto'
import type { MiddlewareHandler, ValidationTargets } from 'hono'
import { describeRoute, resolver, validator } from 'hono-openapi'
import type * as v from 'valibot'
import { mayUseDeployment } from '../origins.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { isProblemCode, type ProblemCode, oauthError, PROBLEMS, problem } from '../problem.ts'
import { OAuthErrorWire, ProblemWire } from '../schemas.ts'
import { limited } from './guards.ts'

type Schema = v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>

/** Checks one part of a request. The first issue names the code, where a limit has one. */
export function valid<T extends keyof ValidationTargets, S extends Schema>(target: T, schema: S) {
  return validator(
    target,
    schema,
    (result, c) => {
      if (result.success) return undefined
      const issues = result.error as readonly v.BaseIssue<unknown>[]
      const code = issues.map((issue) => issue.message).find(isProblemCode) ?? 'invalid-request'
      const path = issues[0]?.path?.map((item) => String(item.key)).join('.')
      // The path says where, never what: the value may be a message.
      if (target === 'form') return oauthError(c as unknown as Call, 'invalid_request', `See field ${path}.`)
      return problem(c as unknown as Call, code, path ? { detail: `See ${target} field ${path}.` } : {})
    },
    target === 'form' ? { media: 'application/x-www-form-urlencoded' } : {},
  )
}

type Told = {
  /** Problem codes that this call answers with; their statuses follow from the table. */
  refusals?: readonly ProblemCode[]
  /** Request headers that matter to it. */
  headers?: readonly (keyof typeof HEADERS)[]
  /** Works without an access token. */
  isOpen?: true
}
const HEADERS = {
  'Idempotency-Key': 'Made once per intent, 8 to 200 characters; X-Idempotency-Key is the same.',
  'Holdfast-Fence': 'The fence of the lease that the writer believes to have.',
  'If-Match': 'The version that is to be changed: "3", or an ETag that was read.',
} as const
type Answers = Record<
  string,
  { description: string; content?: Record<string, { schema: ReturnType<typeof resolver> | { type: 'string' } }> }
>

/** One operation of the OpenAPI document. An answer is a schema, a media type of bytes or text, or has no body. */
export function operation(
  operationId: string,
  summary: string,
  answers: Partial<Record<number, Schema | null | string>>,
  { refusals = [], headers = [], isOpen }: Told = {},
): MiddlewareHandler {
  const responses: Answers = {}
  for (const [status, schema] of Object.entries(answers)) {
    const content =
      typeof schema === 'string'
        ? { content: { [schema]: { schema: { type: 'string' as const } } } }
        : schema && { content: { 'application/json': { schema: resolver(schema) } } }
    responses[status] = { description: Number(status) < 400 ? 'Done.' : 'An OAuth error.', ...content }
  }
  const common = isOpen
    ? ([] as const)
    : (['missing-token', 'invalid-token', 'token-expired', 'session-revoked'] as const)
  for (const code of [...refusals, ...common, 'rate-limited'] as const) {
    const status = String(PROBLEMS[code][0])
    const known = responses[status]
    responses[status] = known
      ? { ...known, description: `${known.description} \`${code}\`` }
      : { description: `\`${code}\``, content: { 'application/problem+json': { schema: resolver(ProblemWire) } } }
  }
  const parameters = headers.map((name) => ({
    in: 'header' as const,
    name,
    description: HEADERS[name],
    schema: { type: 'string' as const },
  }))
  return describeRoute({ operationId, summary, responses, parameters, ...(isOpen && { security: [] }) })
}

/** The error answers of the OAuth calls. */
export const OAUTH_ERRORS = { 400: OAuthErrorWire, 429: OAuthErrorWire } as const

/** Lets only those in who bring a live access token, from a page that may use its deployment. */
export function entrance(parts: Parts): MiddlewareHandler<Env> {
  return async (c, next) => {
    const admission = await parts.gate.admitHeader(c.req.header('Authorization'))
    if (!admission.ok) return problem(c, admission.code)
    if (!isFromAllowedPage(parts, c, admission.caller.deploymentId)) return problem(c, 'origin-not-allowed')
    const { caller } = admission
    if (caller.role === 'customer') {
      const waitMs = parts.buckets.sessions.take(caller.sessionId, parts.now())
      if (waitMs > 0) return limited(parts, c, waitMs)
    }
    c.set('caller', caller)
    return next()
  }
}

export function isFromAllowedPage(parts: Parts, c: Call, deploymentId: string): boolean {
  return mayUseDeployment(parts.settings, deploymentId, c.req.header('Origin'), c.req.header('Host'))
}

/** Either header name; undefined where there is none, and null where it is not acceptable. */
export function idempotencyKey(c: Call): string | undefined | null {
  const key = c.req.header('Idempotency-Key') ?? c.req.header('X-Idempotency-Key')
  if (key === undefined) return undefined
  // Some clients send the structured-field form, a quoted string.
  const bare = key.replace(/^"(.*)"$/, '$1').trim()
  return bare.length >= 8 && bare.length <= 200 ? bare : null
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** The same for two bodies that mean the same, whatever the order of their members. */
export function requestHash(value: unknown): string {
  return hashOf(JSON.stringify(sorted(value)))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.map(([key, member]) => [key, sorted(member)])
}
