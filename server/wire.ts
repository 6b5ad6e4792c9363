// From rows to what a caller sees of them.
import type { Conversation, Message } from './rows.ts'
import type { ConversationWire, MessageWire } from './schemas.ts'
import type { PreviousWire } from './schemas-record.ts'
import type { Caller } from './session.ts'
import { placeOf } from './session-marks.ts'
import type { Full } from './store-conversations.ts'

export function conversationWire(conversation: Full): ConversationWire {
  return {
    id: conversation.id,
    state: conversation.state,
    type: 'messaging',
    channelId: conversation.channelId,
    participants: conversation.participants.map((one) => ({
      id: one.id,
      role: one.role,
      ...(one.name !== null && { name: one.name }),
      joinedAt: one.joinedAt,
      ...(one.leftAt !== null && { leftAt: one.leftAt }),
    })),
    customAttributes: conversation.attributes,
    routingData: conversation.routing,
    version: conversation.version,
    lastSeq: conversation.lastSeq,
    marks: conversation.marks,
    ...previousWire(conversation),
    ...(conversation.links.length > 0 && { links: [...conversation.links] }),
    createdAt: conversation.createdAt,
    updatedAt: conversation.updatedAt,
  }
}

/** What a conversation says of the one before it. */
export const previousWire = ({
  previousId,
  resumedFrom,
  previousState,
}: Pick<Conversation, 'previousId' | 'resumedFrom' | 'previousState'>): PreviousWire => ({
  ...(previousId !== null && { previousId }),
  ...(resumedFrom !== null && { resumedFrom }),
  ...(previousState !== null && { previousState }),
})

/** The key goes back to its maker only: it is how the sender knows its own message again. */
export function messageWire(message: Message, caller: Caller): MessageWire {
  return {
    id: message.id,
    seq: message.seq,
    conversationId: message.conversationId,
    participantId: message.participantId,
    role: message.role,
    text: message.body.text,
    contentType: message.body.contentType,
    ...(message.body.metadata !== undefined && { metadata: message.body.metadata }),
    ...(message.body.attachments !== undefined && { attachments: [...message.body.attachments] }),
    ...(isOwn(message, caller) && message.key !== null && { key: message.key }),
    at: message.at,
  }
}

function isOwn(message: Message, caller: Caller): boolean {
  return caller.role === 'customer' ? message.role === 'customer' : message.agentId === caller.agentId
}

type MessageFrame = { type: 'message'; message: MessageWire }
const frames = new WeakMap<Message, { own?: MessageFrame; other?: MessageFrame }>()

/** The frame of a message. There are two of each, and listeners who share a read share them. */
export function messageFrame(message: Message, caller: Caller): MessageFrame {
  const known = frames.get(message) ?? {}
  const view = isOwn(message, caller) ? 'own' : 'other'
  const frame = (known[view] ??= { type: 'message', message: messageWire(message, caller) })
  frames.set(message, known)
  return frame
}

/** Weak, because what it names can be serialised in more than one way; the version alone decides a change. */
export function conversationTag(conversation: Conversation): string {
  return `W/"${conversation.version}.${conversation.lastSeq}.${placeOf(conversation.marks)}"`
}

/** Whether a reader has this already: any tag of its list, compared weakly (RFC 9110, 13.1.2). */
export function isKnown(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined || ifNoneMatch === tag) return ifNoneMatch === tag
  const bare = (one: string): string => one.trim().replace(/^W\//, '')
  return ifNoneMatch.split(',').some((one) => bare(one) === '*' || bare(one) === bare(tag))
}

/** The fence that a write names; undefined where it names none. */
export function fenceFrom(header: string | undefined): number | undefined | 'unreadable' {
  if (header === undefined) return undefined
  return /^\d{1,15}$/.test(header) ? Number(header) : 'unreadable'
}

/** The version in an If-Match header: `"3"`, `W/"3.17"` or `3`; undefined where any version will do. */
export function versionFrom(header: string | undefined): number | undefined | 'unreadable' {
  if (header === undefined || header.trim() === '*') return undefined
  const match = /^(?:W\/)?"?(\d{1,15})(?:\.\d+)*"?$/.exec(header.trim())
  return match === null ? 'unreadable' : Number(match[1])
}
