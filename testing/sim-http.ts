// The calls of the session service's wire, from a request to an answer, over the tables of sim-service.ts.
// It owns status codes and shapes as design and server/routes have them, no more than the client uses.

import { isLive, mayEnter } from '../server/session.ts'
import { handleFile, namedFiles } from './sim-files.ts'
import { signIn } from './sim-identity.ts'
import type { Conversation, Message, SimService } from './sim-service.ts'
import type { Access } from './sim-tokens.ts'

export interface Request {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly bearer: string | undefined
  readonly key: string | undefined
  readonly ifVersion: number | undefined
  readonly cookie: string | undefined
  /** The network made it, of a request that has arrived or will. */
  readonly isCopy: boolean
  /** Parsed JSON or form. */
  readonly body: { readonly [name: string]: unknown }
}

export interface Answer {
  readonly status: number
  readonly body: unknown
  /** The new value of the session cookie; null takes it away. */
  readonly cookie?: string | null
  readonly retryAfterMs?: number
}

const CONVERSATIONS = '/api/v2/messaging/conversations'
const PAGE_DEFAULT = 50
/** A text that the service does not take, so that something is refused now and then. */
export const REFUSED_TEXT = 'forbidden'

const problem = (status: number, code: string, more: object = {}): Answer => ({
  status,
  body: { code, status, ...more },
})
const object = (value: unknown): { [name: string]: unknown } => Object(value) as { [name: string]: unknown }

export const conversationWire = (one: Conversation) => ({
  id: one.id,
  state: one.state,
  type: 'messaging',
  participants: [{ id: one.participantId, role: 'customer' }],
  customAttributes: one.attributes,
  routingData: one.routing,
  version: one.version,
  lastSeq: one.log.length,
  ...(one.previousId !== null && { previousId: one.previousId }),
})

export const messageWire = ({ hash: _, key, ...rest }: Message) =>
  rest.role === 'customer' && key !== undefined ? { ...rest, key } : rest

export function handle(service: SimService, request: Request): Answer {
  const { method, path } = request
  if (path === '/api/v2/widget/sessions') return open(service, request)
  if (path === '/api/v2/widget/auth/refresh') return refresh(service, request)
  if (path === '/api/v2/widget/auth/revoke') return signOut(service, request)
  const access = service.admit(request.bearer)
  if (typeof access === 'string') return problem(401, access)
  if (path === '/api/v2/widget/auth/authenticate') return authenticate(service, access, request)
  if (path === CONVERSATIONS) return make(service, access, request)
  const [, id = '', rest = ''] =
    /^\/api\/v2\/messaging\/conversations\/([^/]+)(\/messages|\/marks|\/attachments.*)?$/.exec(path) ?? []
  const conversation = service.conversations.get(decodeURIComponent(id))
  if (conversation === undefined || !isAllowed(access, conversation)) return problem(404, 'unknown-conversation')
  if (rest === '')
    return method === 'GET'
      ? { status: 200, body: conversationWire(conversation) }
      : patch(service, conversation, request)
  if (rest === '/marks') return mark(service, conversation, request)
  if (rest !== '/messages') return handleFile(service, conversation, request, rest)
  return method === 'GET' ? list(conversation, request) : post(service, conversation, request)
}

export const isAllowed = ({ sessionId, familyId, generation }: Access, conversation: Conversation): boolean => {
  const caller = { role: 'customer' as const, deploymentId: 'acme', sessionId, familyId, generation }
  return mayEnter(caller, { deploymentId: 'acme', sessionId: conversation.sessionId })
}

function open(service: SimService, { body, cookie, bearer }: Request): Answer {
  const isByCookie = body.tokenDelivery === 'cookie'
  const presented = isByCookie ? cookie : undefined
  if (presented === undefined && bearer !== undefined) return resume(service, bearer)
  const opened = service.open(String(body.refreshKey), presented)
  if (typeof opened === 'number') return { ...problem(429, 'too-many-replays'), retryAfterMs: opened }
  const { family, verdict } = opened
  const token = service.refreshToken(family.id, family.generation)
  const grant = { ...service.grant(family, family.generation), ...(!isByCookie && { refresh_token: token }) }
  const answer = sessionAnswer(service, family.sessionId, grant, verdict.type === 'created' ? 201 : 200)
  return isByCookie ? { ...answer, cookie: token } : answer
}

function resume(service: SimService, bearer: string): Answer {
  const access = service.admit(bearer)
  if (typeof access === 'string') return problem(401, access)
  const family = service.families.get(access.familyId)
  if (family === undefined || !isLive(family, service.now())) return problem(401, 'session-revoked')
  return sessionAnswer(service, access.sessionId, service.grant(family, access.generation), 200)
}

function authenticate(service: SimService, access: Access, { body }: Request): Answer {
  const before = service.families.get(access.familyId)
  if (before !== undefined && access.generation < before.generation) return problem(401, 'token-expired')
  const sessionId = signIn(service, access, String(body.token))
  const family = service.families.get(access.familyId)
  if (family === undefined) return problem(401, 'session-revoked')
  return sessionAnswer(service, sessionId, service.grant(family, access.generation), 200)
}

function sessionAnswer(service: SimService, sessionId: string, grant: object, status: number): Answer {
  const latest = service.latest(sessionId)
  const conversation =
    latest === undefined
      ? null
      : { id: latest.id, state: latest.state, ...(latest.previousId && { previousId: latest.previousId }) }
  const expiresAt = service.sessions.get(sessionId)?.expiresAt ?? 0
  const body = {
    persistentSessionId: sessionId,
    epoch: 1,
    authenticated: service.sessions.get(sessionId)?.userId !== undefined,
    expiresAt,
    conversation,
    activeElsewhere: false,
    grant,
  }
  return { status, body }
}

function refresh(service: SimService, { body, cookie, key = '' }: Request): Answer {
  const token = typeof body.refresh_token === 'string' ? body.refresh_token : undefined
  const verdict = service.refresh(token ?? cookie, key)
  if (verdict === 'unknown' || verdict.type === 'invalid' || verdict.type === 'reuse') {
    return { status: 400, body: { error: 'invalid_grant' } }
  }
  if (verdict.type === 'wait')
    return { status: 429, body: { error: 'temporarily_unavailable' }, retryAfterMs: verdict.retryAfterMs }
  const { family } = verdict
  const grant = service.grant(family, family.generation)
  const successor = service.refreshToken(family.id, family.generation)
  return token === undefined
    ? { status: 200, body: grant, cookie: successor }
    : { status: 200, body: { ...grant, refresh_token: successor } }
}

function signOut(service: SimService, { body, cookie, bearer }: Request): Answer {
  const named = typeof body.token === 'string' ? body.token : undefined
  const access = service.admit(bearer)
  const familyId =
    service.readRefresh(named ?? cookie)?.familyId ?? (typeof access === 'string' ? undefined : access.familyId)
  if (familyId !== undefined) service.signOut(familyId)
  return cookie === undefined ? { status: 200, body: {} } : { status: 200, body: {}, cookie: null }
}

function make(service: SimService, access: Access, { key, body }: Request): Answer {
  if (key === undefined) return problem(400, 'idempotency-key-required')
  const asked = { attributes: object(body.customAttributes), routing: object(body.routingData) }
  const previousId = body.previousConversationId
  return service.make(
    access,
    key,
    JSON.stringify(body),
    typeof previousId === 'string' ? { ...asked, previousId } : asked,
  )
}

function patch(service: SimService, conversation: Conversation, { body, ifVersion }: Request): Answer {
  const delta = { attributes: object(body.customAttributes), routing: object(body.routingData) }
  const said = service.patch(conversation, delta, ifVersion)
  if (said === 'conversation-closed') return problem(409, said)
  if (said === 'version-conflict') return problem(412, said, { present: conversationWire(conversation) })
  return { status: 200, body: conversationWire(conversation) }
}

function mark(service: SimService, conversation: Conversation, { body }: Request): Answer {
  const { delivered = 0, read = 0 } = body
  service.mark(conversation, 'customer', { delivered: Number(delivered), read: Number(read) })
  return { status: 200, body: conversation.marks }
}

function post(service: SimService, conversation: Conversation, { body, key }: Request): Answer {
  if (key === undefined) return problem(400, 'idempotency-key-required')
  const { participantId = conversation.participantId, text, metadata, attachments: ids } = body
  if (participantId !== conversation.participantId) return problem(403, 'not-your-participant')
  if (String(text).includes(REFUSED_TEXT)) return problem(422, 'message-refused')
  const attachments = namedFiles(service, conversation.id, ids)
  if (!Array.isArray(attachments)) return attachments
  const said = service.post(conversation, {
    role: 'customer',
    participantId: conversation.participantId,
    text: String(text),
    key,
    hash: JSON.stringify([text, metadata, ids]),
    ...(attachments.length > 0 && { attachments }),
    ...(metadata !== undefined && { metadata }),
  })
  if (said.type === 'refused') return problem(said.code === 'conversation-closed' ? 409 : 422, said.code)
  const { id, seq, at } = said.message
  return { status: said.type === 'appended' ? 201 : 200, body: { id, seq, at } }
}

function list({ log }: Conversation, { query }: Request): Answer {
  const afterId = query.get('afterId')
  const at = afterId === null ? 0 : log.findIndex(({ id }) => id === afterId) + 1
  if (afterId !== null && at === 0) return problem(410, 'resync')
  const page = log.slice(at, at + Number(query.get('limit') ?? PAGE_DEFAULT))
  return {
    status: 200,
    body: { messages: page.map(messageWire), nextAfterId: page.at(-1)?.id ?? afterId, lastSeq: log.length },
  }
}
