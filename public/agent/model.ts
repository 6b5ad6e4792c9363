// What the console knows: conversations, their messages, who is typing, what has been read. Pure: frames and answers
// go in, a new model comes out. Fetching and drawing are done by others.

export type ConversationState = 'pending' | 'active' | 'closed' | 'expired' | 'archived'
export type Attributes = { readonly [name: string]: unknown }

/** Up to which message everything has arrived at a side, and up to which it has been read. */
export interface Mark {
  readonly delivered: number
  readonly read: number
}

/** A conversation as the session service tells it. */
export interface Conversation {
  readonly id: string
  readonly state: ConversationState
  readonly participants: readonly {
    readonly id: string
    readonly role: string
    readonly name?: string
    readonly leftAt?: number
  }[]
  readonly customAttributes: Attributes
  readonly routingData: Attributes
  readonly version: number
  readonly lastSeq: number
  readonly marks: { readonly agent: Mark; readonly customer: Mark }
  readonly previousId?: string
  readonly previousState?: keyof typeof RESUMED
  readonly createdAt: number
  readonly updatedAt: number
}

export interface Message {
  readonly id: string
  readonly seq: number
  readonly conversationId: string
  readonly role: 'customer' | 'agent' | 'bot' | 'system'
  readonly text: string
  readonly at: number
  readonly attachments?: readonly File[]
}

export interface File {
  readonly id: string
  readonly name: string
  readonly size: number
}

export interface Model {
  readonly conversations: ReadonlyMap<string, Conversation>
  readonly messages: ReadonlyMap<string, readonly Message[]>
  readonly typing: ReadonlySet<string>
  /** The last `seq` that was on screen, by conversation. */
  readonly seen: ReadonlyMap<string, number>
  /** Names of attributes that changed last, by conversation, and a count that makes each change a new one. */
  readonly changed: ReadonlyMap<string, { readonly names: readonly string[]; readonly count: number }>
}

export const EMPTY: Model = {
  conversations: new Map(),
  messages: new Map(),
  typing: new Set(),
  seen: new Map(),
  changed: new Map(),
}

/** Takes in a conversation, unless what is known is newer. */
export function withConversation(model: Model, next: Conversation): Model {
  const known = model.conversations.get(next.id)
  if (known !== undefined && known.version > next.version) return model
  const marks = known === undefined ? next.marks : newer(known.marks, next.marks)
  const names = known === undefined ? [] : changedNames(known.customAttributes, next.customAttributes)
  const count = (model.changed.get(next.id)?.count ?? 0) + 1
  return {
    ...(isOpen(next) ? model : withTyping(model, next.id, false)),
    conversations: new Map(model.conversations).set(next.id, { ...next, marks }),
    ...(names.length > 0 && { changed: new Map(model.changed).set(next.id, { names, count }) }),
  }
}

/** Takes in how far both sides have come. */
export function withMarks(model: Model, id: string, marks: Conversation['marks']): Model {
  const known = model.conversations.get(id)
  if (known === undefined) return model
  const next = { ...known, marks: newer(known.marks, marks) }
  return { ...model, conversations: new Map(model.conversations).set(id, next) }
}

/** Marks only grow: an older picture may come later. */
function newer(known: Conversation['marks'], next: Conversation['marks']): Conversation['marks'] {
  const higher = (a: Mark, b: Mark): Mark => ({
    delivered: Math.max(a.delivered, b.delivered),
    read: Math.max(a.read, b.read),
  })
  return { agent: higher(known.agent, next.agent), customer: higher(known.customer, next.customer) }
}

/** What the service does not know yet of what is here, and of what was seen here; nothing where it knows. */
export function unmarked(model: Model, { id, marks: { agent } }: Conversation): Mark | undefined {
  const delivered = cursorOf(model, id)?.seq ?? 0
  const read = Math.min(model.seen.get(id) ?? 0, delivered)
  return delivered > agent.delivered || read > agent.read ? { delivered, read } : undefined
}

/** Takes in messages in any order, each once. */
export function withMessages(model: Model, id: string, more: readonly Message[]): Model {
  const bySeq = new Map([...(model.messages.get(id) ?? []), ...more].map((message) => [message.seq, message]))
  const messages = [...bySeq.values()].sort((a, b) => a.seq - b.seq)
  const typing = new Set(model.typing)
  // Whoever has sent it is no longer writing it.
  if (more.some(({ role }) => role === 'customer')) typing.delete(id)
  return { ...model, typing, messages: new Map(model.messages).set(id, messages) }
}

export function withTyping(model: Model, id: string, isOn: boolean): Model {
  const typing = new Set(model.typing)
  if (isOn) typing.add(id)
  else typing.delete(id)
  return { ...model, typing }
}

export function withSeen(model: Model, id: string): Model {
  const seq = lastSeqOf(model, id)
  return model.seen.get(id) === seq ? model : { ...model, seen: new Map(model.seen).set(id, seq) }
}

export const lastSeqOf = (model: Model, id: string): number => model.messages.get(id)?.at(-1)?.seq ?? 0

/** The last message before which nothing is missing: what follows it has to be fetched. */
export function cursorOf(model: Model, id: string): Message | undefined {
  let cursor: Message | undefined
  for (const message of model.messages.get(id) ?? []) {
    if (message.seq !== (cursor?.seq ?? 0) + 1) break
    cursor = message
  }
  return cursor
}

export function hasGap(model: Model, id: string): boolean {
  const wanted = Math.max(lastSeqOf(model, id), model.conversations.get(id)?.lastSeq ?? 0)
  return (cursorOf(model, id)?.seq ?? 0) < wanted
}

export const isOpen = ({ state }: Conversation): boolean => state === 'pending' || state === 'active'

/** The customer said the last word, and may still be answered. */
export function isWaiting(model: Model, conversation: Conversation): boolean {
  return isOpen(conversation) && model.messages.get(conversation.id)?.at(-1)?.role === 'customer'
}

export function unreadOf(model: Model, id: string): number {
  const seen = model.seen.get(id) ?? 0
  return (model.messages.get(id) ?? []).filter(({ role, seq }) => role === 'customer' && seq > seen).length
}

/** Newest first: by the last message, else by the last change. */
export function inOrder(model: Model, which: 'open' | 'ended'): readonly Conversation[] {
  const activity = ({ id, createdAt }: Conversation): number => model.messages.get(id)?.at(-1)?.at ?? createdAt
  return [...model.conversations.values()]
    .filter((conversation) => isOpen(conversation) === (which === 'open'))
    .sort((a, b) => activity(b) - activity(a) || (a.id < b.id ? 1 : -1))
}

function changedNames(before: Attributes, after: Attributes): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].filter((name) => before[name] !== after[name])
}

const RESUMED = {
  closed: 'it had been closed',
  expired: 'nobody had written there for a long time',
  archived: 'it had ended, and rests in the archive',
  gone: 'it is not kept any more',
}

/** Which conversation this one resumes, and what had become of that. */
export function resumedOf({ previousId, previousState: state }: Conversation): string {
  if (state === undefined) return previousId === undefined ? '' : `Resumed from conversation ${nameOf(previousId)}.`
  const which = previousId === undefined ? 'an earlier conversation' : `${state} conversation ${nameOf(previousId)}`
  return `Resumed from ${which}: ${RESUMED[state]}.`
}

const MANNERS = [
  'Early',
  'Quiet',
  'Brisk',
  'Patient',
  'Salty',
  'Merry',
  'Steady',
  'Windy',
  'Sunny',
  'Bold',
  'Gentle',
  'Keen',
  'Misty',
  'Lucky',
  'Northern',
  'Rusty',
]
const BIRDS = [
  'Tern',
  'Gannet',
  'Puffin',
  'Heron',
  'Curlew',
  'Plover',
  'Petrel',
  'Eider',
  'Fulmar',
  'Skua',
  'Dunlin',
  'Osprey',
  'Avocet',
  'Gull',
  'Cormorant',
  'Kittiwake',
]

/** Visitors have no name, and a number is hard to talk about: the same conversation is always the same bird. */
export function nameOf(id: string): string {
  const digits = Number.parseInt(id.replaceAll('-', '').slice(-4), 16) || 0
  return `${MANNERS[digits % 16]} ${BIRDS[(digits >> 4) % 16]}`
}
