// What Genesys Cloud Web Messaging says, turned into our words: messages, sessions, and the tables of what an answer or a
// close means. What is unknown or misshapen is nothing, never a guess.

import type { ErrorCode } from '../../core/errors.ts'
import type { AttachmentLimits } from '../../core/attach.ts'
import type { Ending, Limits, Outcome, StreamEvent, Verdict } from '../../core/ports.ts'
import type { Row } from '../../core/transcript.ts'
import type { Metadata, Role } from '../../core/wire.ts'
import { clampMs } from './http.ts'

export type Shape = { readonly [name: string]: unknown }
export const shapeOf = (value: unknown): Shape => Object(value) as Shape

/** What a frame was an answer to. */
export type Asked = 'configure' | 'message' | 'call' | 'attachment'

/**
 * By what was asked, the code, and the words of an error, the first row that fits. What fits none was not understood: of
 * a message nobody knows then whether it arrived.
 */
export const GENESYS_ANSWERS: readonly (readonly [RegExp, Verdict, ErrorCode])[] = [
  [/ (429|4029) /, 'retry-at', 'SERVICE_UNREACHABLE'],
  [/ (4006|4007) /, 'session-lost', 'CONVERSATION_OVER'],
  [/ 4017 /, 'auth-required', 'LEASE_REVOKED'],
  [/^configure 401 /, 'refresh', 'LEASE_EXPIRED'],
  [/^configure 403 (Session authentication failed|Try to authenticate again)/, 'auth-required', 'LEASE_REVOKED'],
  [/^configure 4\d\d .*[Dd]eployment/, 'refuse', 'DEPLOYMENT_UNKNOWN'],
  [/^configure 4/, 'refuse', 'SERVICE_REFUSED'],
  [/^attachment 4(\d\d|00[0-59]|0[12]0|102) /, 'refuse', 'ATTACHMENT_REFUSED'],
  [/^(configure|call|attachment) /, 'retry', 'SERVICE_UNREACHABLE'],
  [/^message (5000|[35]\d\d) /, 'reconcile', 'SERVICE_UNREACHABLE'],
  [/ 4008 /, 'upload-again', 'ATTACHMENT_REFUSED'],
  [/ 4(00[1-59]|010|102) /, 'refuse', 'ATTACHMENT_REFUSED'],
  [/ 4011 /, 'refuse', 'MESSAGE_TOO_LONG'],
  [/ 4013 /, 'drop-attributes', 'CONTEXT_TOO_LARGE'],
  [/^message 4\d\d .*read-only/, 'read-only', 'CONVERSATION_OVER'],
  [/^message 4/, 'refuse', 'SERVICE_REFUSED'],
]

/** What the server means when it ends a connection: by the class and the reason of its event, or by the code of the close. */
export const GENESYS_CLOSES: readonly (readonly [RegExp, Verdict, ErrorCode, string])[] = [
  [/^ConnectionClosedEvent signedIn/, 'auth-required', 'LEASE_REVOKED', 'The visitor has signed in elsewhere.'],
  [/^ConnectionClosedEvent/, 'refuse', 'SERVICE_REFUSED', 'Another connection of this session took its place.'],
  [/^close 1000/, 'refuse', 'SERVICE_REFUSED', 'The platform has ended the connection in good order.'],
  [/^/, 'retry', 'SERVICE_UNREACHABLE', 'The connection was cut.'],
]

type Failure = Outcome<never> & { readonly ok: false }

/** The words of the platform decide, but only the code is passed on: they may hold what somebody wrote. */
export function judge(asked: Asked, code: number, text = '', retryAfterS?: number): Failure {
  const [, verdict, means] = GENESYS_ANSWERS.find(([pattern]) => pattern.test(`${asked} ${code} ${text}`)) ?? [
    '',
    'reconcile' as const,
    'SERVICE_BAD_RESPONSE' as ErrorCode,
  ]
  const wish = retryAfterS === undefined ? undefined : clampMs(retryAfterS * 1_000)
  const failure = { ok: false, verdict, code: means, reason: `genesys ${asked}: ${code}.` } as const
  return wish === undefined ? failure : { ...failure, retryAfterMs: wish }
}

export function endingOf(what: string): Ending {
  const [, verdict, code, reason] = GENESYS_CLOSES.find(([pattern]) => pattern.test(what)) as (typeof GENESYS_CLOSES)[0]
  return { verdict, code, reason }
}

/** An error in whatever form, or nothing: as a text with a code, as an object, or as "too many". */
export function errorOf(frame: Shape): { code: number; text: string; retryAfterS?: number } | undefined {
  const { class: name, code, body } = frame
  const { errorCode, errorMessage, message, retryAfter } = shapeOf(body)
  if (name === 'string') return { code: Number(code) || 0, text: typeof body === 'string' ? body : '' }
  if (name !== 'TooManyRequestsErrorMessage' && name !== 'Error' && name !== 'ErrorMessage') return undefined
  const error = { code: Number(errorCode ?? code) || 0, text: String(errorMessage ?? message ?? '') }
  return name === 'TooManyRequestsErrorMessage' ? { ...error, retryAfterS: Number(retryAfter) || 1 } : error
}

/** The id that is the same live and in the history. */
export const idOf = ({ id, channel }: Shape): string => String(shapeOf(channel)['messageId'] ?? id ?? '')

const ATTACHMENT = 'Attachment'

/** A message as a row: its words, or what its content says in words. The content itself stays as it is, unread. */
export function rowOf(body: Shape, conversationId: string, now: number, key?: unknown): Row | undefined {
  const { type, direction, text, content, metadata, originatingEntity, channel } = body
  const id = idOf(body)
  if ((type !== 'Text' && type !== 'Structured') || id === '') return undefined
  const parts = Array.isArray(content) ? content : []
  const role: Role = direction === 'Inbound' ? 'customer' : originatingEntity === 'Bot' ? 'bot' : 'agent'
  const own = key ?? (role === 'customer' ? shapeOf(metadata)['id'] : undefined)
  const kept: Metadata | undefined = parts.length > 0 ? { content: JSON.stringify(parts) } : undefined
  return {
    conversationId,
    seq: 0,
    id,
    role,
    text: typeof text === 'string' && text !== '' ? text : wordsOf(parts),
    at: Date.parse(String(shapeOf(channel)['time'])) || now,
    ...(typeof own === 'string' && { key: own }),
    ...(kept && { metadata: kept }),
  }
}

function wordsOf(parts: readonly unknown[]): string {
  const words = parts.map((part) => {
    const { contentType, attachment, quickReply, buttonResponse, card } = shapeOf(part)
    if (contentType === ATTACHMENT) return shapeOf(attachment)['filename']
    return shapeOf(quickReply ?? buttonResponse)['text'] ?? shapeOf(card)['title']
  })
  return words.filter((word) => typeof word === 'string').join(' · ')
}

const firstOf = ({ events }: Shape): Shape => shapeOf(Array.isArray(events) ? events[0] : undefined)

/** Our own Join, as it comes back. */
export const isJoin = (body: Shape): boolean =>
  body['direction'] === 'Inbound' && shapeOf(firstOf(body)['presence'])['type'] === 'Join'

/** What an event of the conversation says to us, if anything. */
export function eventOf(body: Shape): StreamEvent | undefined {
  const { direction, metadata } = body
  const { eventType, typing, presence } = firstOf(body)
  const { type } = shapeOf(presence)
  if (eventType === 'Typing' && direction === 'Outbound')
    return { type: 'typing', on: shapeOf(typing)['type'] !== 'Off' }
  if (type === 'SignIn') return { type: 'session', isAuthenticated: true }
  if (type !== 'Disconnect' || shapeOf(metadata)['readOnly'] !== 'true') return undefined
  return conversationIs('closed')
}

/** The platform keeps no attributes that we could read: of them this says nothing, whatever version is known here. */
export const conversationIs = (state: 'active' | 'closed' | 'expired'): StreamEvent => ({
  type: 'conversation',
  state,
  attributes: {},
  version: -1,
})

/**
 * When the session ends, as an instant of our clock: what their clock says, by as much as it goes before ours, and never
 * later than a whole life from now.
 */
export function expiryOf(times: Shape, now: number, aheadMs = 0): { expiresAt: number } | undefined {
  const { durationSeconds, expirationDate } = times
  const ends = [now + Number(durationSeconds) * 1_000, Number(expirationDate) * 1_000 - aheadMs]
  const known = ends.filter((at) => at > now)
  return known.length === 0 ? undefined : { expiresAt: Math.min(...known) }
}

/** By how much the platform's clock goes before ours, as a frame says that comes at once; nothing where it says no time. */
export function aheadOf({ channel }: Shape, now: number): number | undefined {
  const aheadMs = Date.parse(String(shapeOf(channel)['time'])) - now
  return Number.isNaN(aheadMs) ? undefined : aheadMs
}

/** Limits as they hold until the platform says more; it may allow fewer bytes of attributes. */
export const GENESYS_LIMITS: Limits = {
  messageCharsMax: 4_096,
  attributeCharsMax: 2_000,
  routingBytesMax: 16_384,
  dataBytesMax: 2_048,
  attachments: { bytesMax: 10 * 1024 * 1024, countMax: 10, nameCharsMax: 1_023, types: ['*/*'] },
}

export function limitsOf(body: Shape): { limits: Limits } {
  const dataBytesMax = Number(body['maxCustomDataBytes'])
  const { attachments: _, ...limits } = GENESYS_LIMITS
  const attachments = mediaOf(body)
  return { limits: { ...limits, ...(dataBytesMax >= 0 && { dataBytesMax }), ...(attachments && { attachments }) } }
}

/** What can be attached; nothing where the deployment names no type. */
function mediaOf({ allowedMedia, blockedExtensions }: Shape): AttachmentLimits | undefined {
  const { fileTypes, maxFileSizeKB } = shapeOf(shapeOf(allowedMedia)['inbound'])
  const types = texts(Array.isArray(fileTypes) ? fileTypes.map((one) => shapeOf(one)['type']) : [])
  const bytesMax = Number(maxFileSizeKB) * 1_024
  if (types.length === 0) return undefined
  const blocked = texts(Array.isArray(blockedExtensions) ? blockedExtensions : [])
  return { ...(GENESYS_LIMITS.attachments as AttachmentLimits), types, blocked, ...(bytesMax > 0 && { bytesMax }) }
}

const texts = (values: readonly unknown[]): string[] => values.filter((value) => typeof value === 'string')
