// Machine: what a message brings along. Each attachment is reserved, uploaded, confirmed, one durable step after the
// other; the message itself goes out when all of them are. Leaves to others: the bytes (the store), the calls (the engine).

import type { Claim } from './attempt.ts'
import type { ErrorCode } from './errors.ts'
import type { Entry } from './outbox.ts'
import type { Limits } from './ports.ts'
import type { AttachmentView, OutboundMessage } from './wire.ts'

/** One attachment of an entry, as far as it has come. Its bytes rest beside the entry, by the key and their place. */
export interface Attachment {
  readonly name: string
  readonly type: string
  readonly size: number
  /** What the platform calls it, once it is reserved. */
  readonly id?: string
  /** So many bytes have arrived there. */
  readonly sent?: number
  readonly isConfirmed?: true
}

/** What a platform takes. Without it, nothing can be attached. */
export interface AttachmentLimits {
  readonly bytesMax: number
  readonly countMax: number
  /** Media types; `image/*` is every one of that kind, and that of every kind is every one. */
  readonly types: readonly string[]
  /** Ends of file names that are not taken, whatever their type. */
  readonly blocked?: readonly string[]
  /** Default: 200. */
  readonly nameCharsMax?: number
}

export interface AttachAction {
  readonly type: 'attach'
  readonly lane: string
  readonly claim: Claim
  readonly entry: Entry
}

/** A step is done: what is known of the attachment since. */
export interface AttachedInput {
  readonly type: 'attached'
  readonly key: string
  readonly index: number
  readonly step: Pick<Attachment, 'id' | 'sent' | 'isConfirmed'>
}

/** All the steps before the message, as long as they may take. What is not done then goes on in the next attempt. */
export const ATTACH_TIMEOUT_MS = 10 * 60_000
/** What a file's name may have where the platform does not say. */
const NAME_CHARS_MAX = 200

export const isReady = ({ attachments }: Entry): boolean => attachments?.every((one) => one.isConfirmed) ?? true

/** Why these cannot be attached, checked before anything is stored. */
export function refusalOf(
  { attachments }: OutboundMessage,
  { attachments: limits }: Limits,
): { readonly code: ErrorCode; readonly message: string } | undefined {
  if (attachments === undefined) return undefined
  const refuse = (message: string) => ({ code: 'ATTACHMENT_REFUSED' as const, message })
  if (limits === undefined) return refuse('Nothing can be attached here: the platform takes text only.')
  const { bytesMax, countMax, types, blocked = [], nameCharsMax = NAME_CHARS_MAX } = limits
  if (attachments.length > countMax) return refuse(`A message has at most ${countMax} attachments: send several.`)
  for (const { size, type, name } of attachments) {
    if (size > bytesMax || size < 1) return refuse(`An attachment has 1 to ${bytesMax} bytes, this one has ${size}.`)
    if (!types.some((one) => isOfType(type, one)))
      return refuse(`An attachment of type "${type}" is not taken, only ${types.join(', ')}.`)
    const end = blocked.find((one) => name.toLowerCase().endsWith(one.toLowerCase()))
    if (end !== undefined) return refuse(`Files that end in "${end}" are not taken.`)
    if (name.length > nameCharsMax || !/^[^\p{Cc}\p{Cs}/\\]+$/u.test(name))
      return refuse(`A file has a name of at most ${nameCharsMax} characters, without slashes and control characters.`)
  }
  return undefined
}

const isOfType = (type: string, allowed: string): boolean =>
  allowed === '*/*' || (allowed.endsWith('/*') ? type.startsWith(allowed.slice(0, -1)) : type === allowed)

/** The entry after a step. A late word about one that has gone further changes nothing. */
export function withStep(entry: Entry, { index, step }: AttachedInput): Entry {
  const former = entry.attachments?.[index]
  if (former === undefined || former.isConfirmed) return entry
  const attachments = entry.attachments?.map((one, at) => (at === index ? { ...one, ...step } : one))
  return { ...entry, ...(attachments && { attachments }) }
}

/** As it is shown: how far it has come while it is on its way, then what it is called. */
export const viewOf = ({ name, type, size, id, sent = 0, isConfirmed }: Attachment): AttachmentView => ({
  name,
  type,
  size,
  ...(isConfirmed ? id !== undefined && { id } : { progress: sent / size }),
})
