// What the session service says, in its own words, turned into ours: grants, sessions, conversations, messages, frames,
// and the one table of what an answer means. What has not the documented shape is nothing, never a guess.

import type { ErrorCode } from '../../core/errors.ts'
import type { ConversationView, Outcome, PlainGrant, StreamEvent, Verdict } from '../../core/ports.ts'
import type { PreviousState } from '../../core/behind.ts'
import type { Opened } from '../../core/session.ts'
import type { Row } from '../../core/transcript.ts'
import type { Attributes, ConversationState, Metadata, Role } from '../../core/wire.ts'
import { clampMs, type Reply } from './http.ts'

type Shape = { readonly [name: string]: unknown }

const GRANT_MS_MAX = 30 * 24 * 60 * 60 * 1_000

/**
 * What an answer means: the first row that fits its status and its code (of a problem, an OAuth error, or a stream's
 * end). "Not now" comes first and outweighs every code. What is final must name a code: a page that somebody between
 * us and the service made up refuses nothing. What fits no row is strange: asked again, and never an acknowledgement.
 */
export const ANSWERS: readonly (readonly [RegExp, Verdict, ErrorCode])[] = [
  [/^(408|425|429|5..) |auth-expected/, 'retry', 'SERVICE_UNREACHABLE'],
  [/^40[01] invalid_grant/, 'auth-required', 'LEASE_REVOKED'],
  [/^40[01] (invalid_(request|client|scope)|un\w+_(client|grant_type))/, 'auth-required', 'SERVICE_REFUSED'],
  [/^401|token|revoked/, 'refresh', 'LEASE_EXPIRED'],
  [/identity/, 'refuse', 'IDENTITY_REFUSED'],
  [/attachment/, 'refuse', 'ATTACHMENT_REFUSED'],
  [/conversation/, 'read-only', 'CONVERSATION_OVER'],
  [/deployment/, 'refuse', 'DEPLOYMENT_UNKNOWN'],
  [/message-too-long/, 'refuse', 'MESSAGE_TOO_LONG'],
  [/metadata/, 'refuse', 'METADATA_TOO_LARGE'],
  [/attribute|routing/, 'drop-attributes', 'CONTEXT_TOO_LARGE'],
  [/^409/, 'wait-unchanged', 'SERVICE_UNREACHABLE'],
  [/^4(00|03|13|22) ./, 'refuse', 'SERVICE_REFUSED'],
]

/** The code of a failure that fits no row. */
const STRANGE = 'SERVICE_BAD_RESPONSE'

/** Judges an answer, or the end of a stream. The reason names the call, the status and the code, never what was in it. */
export function judge(call: string, status: number, body?: unknown, retryAfterMs?: number) {
  const { code: problem, error } = Object(body) as Shape
  // Only what looks like a code: a token has dots, or is longer.
  const [said = ''] = /^[a-z_-]{1,40}$/.exec(textOf(problem ?? error)) ?? []
  const answer = `${status} ${said}`
  const row = status < 400 ? undefined : ANSWERS.find(([pattern]) => pattern.test(answer))
  const [, verdict, code] = row ?? ['', 'retry' as const, STRANGE as ErrorCode]
  const judgement = { code, reason: `${call}: ${answer}.` }
  if (retryAfterMs === undefined) return { ...judgement, verdict }
  return { ...judgement, verdict: verdict === 'retry' ? ('retry-at' as const) : verdict, retryAfterMs }
}

export function failureOf(call: string, reply: Reply | undefined): Outcome<never> & { readonly ok: false } {
  if (reply !== undefined) return { ok: false, ...judge(call, reply.status, reply.body, reply.retryAfterMs) }
  const reason = `${call}: no answer.`
  return { ok: false, verdict: 'retry', code: 'SERVICE_UNREACHABLE', reason, isUnreachable: true }
}

/** A scalar as text. An object may hold anything under the name of `toString`. */
const textOf = (value: unknown): string => (typeof value === 'object' ? '' : `${value ?? ''}`)

/** The value, if its members are of the same types as those of the sample. What else it has is unknown. */
export const like = <T extends object>(value: unknown, sample: T) =>
  Object.entries(sample).every(([name, one]) => typeof (Object(value) as Shape)[name] === typeof one)
    ? (value as T & Shape)
    : undefined

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-5.1 */
export function grantOf(body: unknown): PlainGrant | undefined {
  const grant = like(body, { access_token: '', token_type: '' })
  const ms = Number(textOf(grant?.expires_in)) * 1_000
  if (!grant?.access_token || !/^bearer$/i.test(grant.token_type) || !(ms > 0 && ms < 1 / 0)) return undefined
  const { access_token: accessToken, refresh_token: refreshToken } = grant
  const expiresInMs = Math.min(ms, GRANT_MS_MAX)
  return { accessToken, expiresInMs, ...(typeof refreshToken === 'string' && { refreshToken }) }
}

export function openedOf(body: unknown, now: number): { opened: Opened; grant: PlainGrant } | undefined {
  const session = like(body, {
    persistentSessionId: '',
    authenticated: true,
    activeElsewhere: true,
    expiresAt: 0,
    conversation: null,
  })
  const grant = grantOf(session?.grant)
  const conversation = session?.conversation === null ? null : conversationOf(session?.conversation)
  if (session === undefined || grant === undefined || conversation === undefined) return undefined
  const { persistentSessionId: sessionId, authenticated: isAuthenticated, activeElsewhere: isActiveElsewhere } = session
  // The service's clock may be far behind ours, but a session lives as long as a grant that was just made.
  const expiresAt = Math.max(session.expiresAt, now + grant.expiresInMs)
  const succeeds = textOf(session.succeeds)
  const opened = { sessionId, isAuthenticated, isActiveElsewhere, expiresAt, conversation }
  return { opened: succeeds ? { ...opened, succeeds } : opened, grant }
}

/** Without a participant the service takes the only one that this session has. An unknown state is over. */
export function conversationOf(value: unknown): ConversationView['conversation'] | undefined {
  const conversation = like(value, { id: '', state: '' })
  if (conversation === undefined) return undefined
  const { id, state, participantId, previousId, previousState } = conversation
  return {
    id,
    state: state as ConversationState,
    participantId: typeof participantId === 'string' ? participantId : '',
    ...(typeof previousId === 'string' && { previousId }),
    ...(/^(closed|expired|archived|gone)$/.test(textOf(previousState)) && {
      previousState: previousState as PreviousState,
    }),
  }
}

export function viewOf(value: unknown): ConversationView | undefined {
  const view = like(value, { version: 0, customAttributes: {} })
  const conversation = conversationOf(value)
  if (view === undefined || conversation === undefined) return undefined
  // Others may keep more there than we can hold.
  const entries = Object.entries(Object(view.customAttributes)).filter(([, one]) => /^(s|b)/.test(typeof one))
  return { conversation, version: view.version, attributes: Object.fromEntries(entries) as Attributes }
}

export function ackOf(body: unknown): { id: string; seq: number; at: number } | undefined {
  const { id = '', seq = 0, at = 0 } = like(body, { id: '', seq: 0, at: 0 }) ?? {}
  return id && seq > 0 && Number.isInteger(seq) ? { id, seq, at } : undefined
}

export function rowOf(value: unknown, conversationId: string): Row | undefined {
  const ack = ackOf(value)
  const message = like(value, { role: '', text: '' })
  if (!ack || message?.conversationId !== conversationId) return undefined
  const { role, text, key, metadata, attachments } = message
  const files = Array.isArray(attachments)
    ? attachments.flatMap((file) => {
        const one = like(file, { id: '', name: '', type: '', size: 0 })
        return one ? [{ id: one.id, name: one.name, type: one.type, size: one.size }] : []
      })
    : []
  return {
    ...ack,
    conversationId,
    role: role as Role,
    text,
    ...(typeof key === 'string' && { key }),
    ...(files.length > 0 && { attachments: files }),
    ...(typeof metadata === 'object' && metadata && { metadata: metadata as Metadata }),
  }
}

/** One page of messages, or nothing: a row that is not ours would leave a hole that nobody sees. */
export function pageOf(body: unknown, conversationId: string) {
  const page = like(body, { lastSeq: 0 })
  if (page === undefined || !Array.isArray(page.messages)) return undefined
  const rows = page.messages.flatMap((message) => rowOf(message, conversationId) ?? [])
  const marks = marksOf(page.marks)
  return rows.length === page.messages.length ? { rows, headSeq: page.lastSeq, ...(marks && { marks }) } : undefined
}

/** The frames of a long poll, and before them how far the log goes. */
export function framesOf(body: unknown, conversationId: string): StreamEvent[] | undefined {
  const { frames, lastSeq } = Object(body) as Shape
  if (!Array.isArray(frames)) return undefined
  return [{ type: 'ready', lastSeq }, ...frames].flatMap((frame) => eventOf(frame, conversationId) ?? [])
}

/** The end of a stream: by the code that the service gave for it, else by the status in its close code. */
export const closedBy = (status: number, body?: unknown, retryAfterMs?: number): StreamEvent => ({
  type: 'closed',
  ...judge('stream', status, body, retryAfterMs),
})

const NO_MARK = { delivered: 0, read: 0 }

function marksOf(body: unknown) {
  const { agent, customer } = Object(body) as Shape
  const [others, own] = [like(agent, NO_MARK), like(customer, NO_MARK)]
  return others && own && { others, own }
}

/** A frame in our words. Nothing for what is unknown, misshapen, or about another conversation. */
export function eventOf(frame: unknown, conversationId: string): StreamEvent | undefined {
  const {
    type,
    id,
    on,
    role,
    afterMs,
    message,
    conversation,
    lastSeq,
    code,
    conversationId: about,
  } = Object(frame) as Shape
  switch (type) {
    case 'ready':
      return typeof lastSeq === 'number' ? { type, headSeq: lastSeq } : undefined
    case 'message': {
      const row = rowOf(message, conversationId)
      return row && { type: 'rows', rows: [row] }
    }
    case 'state': {
      const view = viewOf(conversation)
      if (view?.conversation.id !== conversationId) return undefined
      return { ...view, type: 'conversation', state: view.conversation.state }
    }
    case 'marks': {
      const marks = marksOf(frame)
      return about === conversationId && marks ? { type, ...marks } : undefined
    }
    case 'typing':
      return role === 'customer' ? undefined : { type, on: on === true }
    case 'ping':
    case 'pong':
      return { type, id: textOf(id) }
    case 'reconnect':
      return closedBy(503, undefined, clampMs(Number(textOf(afterMs))) ?? 0)
    case 'reauthed':
      return { type }
    case 'error':
      // For a moment the service waits for another token; else its close says so.
      if (code === 'token-expired') return { type: 'expired' }
      // Other codes complain about one frame; where the stream ends by them, its close says so.
      return judge('', 499, frame).code === STRANGE ? undefined : closedBy(499, frame)
  }
  return undefined
}
