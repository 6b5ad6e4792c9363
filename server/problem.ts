// Every refusal of the service in one table: the code that programs branch on, the status, and a title for
// people. Answers are application/problem+json (RFC 9457), but for the OAuth calls (RFC 6749, 5.2).
import type { Context } from 'hono'

export const PROBLEMS = {
  'malformed-json': [400, 'The body is not valid JSON.'],
  'invalid-utf8': [400, 'The body is not valid UTF-8.'],
  'malformed-request': [400, 'This is not a request of HTTP/1.1.'],
  'invalid-request': [400, 'The request does not have the documented shape.'],
  'idempotency-key-required': [400, 'This call needs an Idempotency-Key header of 8 to 200 characters.'],
  'idempotency-keys-differ': [400, 'The two idempotency headers of a request name the same key, or one is left out.'],
  'message-empty': [400, 'A message needs a text.'],
  'message-too-long': [400, 'A text has at most 4096 characters.'],
  'metadata-too-large': [400, 'The metadata of a message has at most 8192 characters as JSON.'],
  'attachment-type': [400, 'Attachments of this type are not taken.'],
  'attachment-part': [400, 'A part has 262144 bytes, but for the last one.'],
  'attribute-too-long': [400, 'The value of an attribute has at most 2000 characters.'],
  'too-many-attributes': [400, 'A conversation has at most 100 attributes.'],
  'routing-data-not-flat': [400, 'Routing data is flat: strings and booleans only.'],
  'routing-data-too-large': [400, 'Routing data has at most 16384 bytes as JSON.'],
  'snapshot-too-large': [400, 'A state snapshot has at most 32768 characters as JSON.'],
  'context-too-large': [400, 'A context value has at most 16384 characters as JSON.'],
  'too-many-context-values': [400, 'A scope has at most 100 context values.'],
  'identity-not-configured': [400, 'This deployment takes no identity tokens.'],
  'missing-token': [401, 'This call needs an access token.'],
  'invalid-token': [401, 'The access token is not one of ours.'],
  'token-expired': [401, 'The access token has expired.'],
  'session-revoked': [401, 'The session behind this access token has ended.'],
  'origin-not-allowed': [403, 'This origin is not allowed for the deployment.'],
  'not-your-session': [403, 'The session is not the one of the access token.'],
  'not-your-participant': [403, 'The caller does not speak as this participant.'],
  'identity-refused': [403, "The site's token does not prove an identity here."],
  'identity-expired': [403, "The site's token has expired: get a new one there."],
  'sign-in-required': [403, 'A user is known here only after the site has said who it is.'],
  'agents-only': [403, 'Only an agent may do this.'],
  'customers-only': [403, 'Only a customer session may do this.'],
  'not-found': [404, 'There is nothing at this address.'],
  'unknown-deployment': [404, 'There is no such deployment.'],
  'unknown-conversation': [404, 'There is no such conversation for this caller.'],
  'unknown-participant': [404, 'There is no such participant to take out.'],
  'unknown-attachment': [404, 'There is no such attachment here, or it is not whole.'],
  'unknown-dead-letter': [404, 'There is no such dead letter.'],
  'unknown-context': [404, 'There is no such value.'],
  'unknown-scope': [404, 'There is no such scope for this caller.'],
  'method-not-allowed': [405, 'This address knows other methods: see Allow.'],
  'request-timeout': [408, 'The request did not arrive in time.'],
  'conversation-closed': [409, 'The conversation has ended and takes nothing more.'],
  'attachment-incomplete': [409, 'Not all of the attachment has arrived.'],
  'in-progress': [409, 'Another call is at work on this: come again with the same key.'],
  'participant-exists': [409, 'Another participant has this id.'],
  'lease-held': [409, 'Another writer has the lease.'],
  'stale-fence': [409, 'Another writer has had the lease since.'],
  resync: [410, 'The cursor is not known: read from the start.'],
  'version-conflict': [412, 'Someone else was faster; the present value is in the answer.'],
  'attachment-quota': [413, 'The session has as many attachments, or bytes of them, as this service keeps for one.'],
  'attachment-too-large': [413, 'The attachment is larger than this service takes.'],
  'body-too-large': [413, 'A body has at most 65536 bytes.'],
  'idempotency-key-reused': [422, 'This key came before with another body.'],
  'headers-too-large': [431, 'The headers of a request have at most 16384 bytes.'],
  'too-many-replays': [429, 'Too many answers to this token without proof that one arrived.'],
  'rate-limited': [429, 'Too many requests or streams from this session or address.'],
  'upgrade-required': [426, 'This address is for WebSocket with subprotocol holdfast.v2.'],
  'internal-error': [500, 'The service failed.'],
  'identity-unavailable': [503, "The site's keys cannot be read just now."],
  'store-unavailable': [503, 'The store does not answer.'],
  'store-full': [503, 'The disk of the store is full: nothing new is taken until there is room.'],
  draining: [503, 'This node is shutting down.'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof PROBLEMS

export function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code)
}

export type ProblemExtra = { detail?: string; present?: unknown; headers?: Record<string, string> }

export function problem(c: Context, code: ProblemCode, extra: ProblemExtra = {}): Response {
  const [status] = PROBLEMS[code]
  const { headers, ...members } = extra
  return c.body(problemText(code, members), status, {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
    ...(status === 401 && { 'WWW-Authenticate': `Bearer error="invalid_token", error_description="${code}"` }),
    ...headers,
  })
}

export function problemText(code: ProblemCode, members: Omit<ProblemExtra, 'headers'> = {}): string {
  const [status, title] = PROBLEMS[code]
  return JSON.stringify({ type: `urn:holdfast:problem:${code}`, title, status, code, ...members })
}

/** An error answer of the OAuth calls. */
export function oauthError(
  c: Context,
  error: 'invalid_request' | 'invalid_grant' | 'unsupported_grant_type' | 'temporarily_unavailable',
  description: string,
  retryAfterMs?: number,
): Response {
  return c.json({ error, error_description: description }, retryAfterMs === undefined ? 400 : 429, {
    'Cache-Control': 'no-store',
    ...(retryAfterMs !== undefined && { 'Retry-After': retryAfterSeconds(retryAfterMs) }),
  })
}

export function retryAfterSeconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)))
}
