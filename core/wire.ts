// Every shape that crosses a boundary between page and worker. Types only; their guards are in wire-guards.ts.
// What the worker says to a platform is in ports.ts; what a platform's own wire looks like is in its adapter.

import type { WireError } from './errors.ts'

/** Raised by every change that an older page or worker could misread. */
export const PROTOCOL_VERSION = 1

/** Simultaneous sends of a tab share calls of at most so many messages. */
export const ENQUEUE_MAX = 256

/** An instant in milliseconds since 1970. */
export type EpochMs = number

/** Who said it. */
export type Role = 'customer' | 'agent' | 'bot' | 'system'
/** What is known of a conversation, by name: the cart, the page, the language. */
export type Attributes = { readonly [name: string]: string | boolean }
/** Changes to attributes: `null` removes the name. */
export type AttributeDelta = { readonly [name: string]: string | boolean | null }
/** What travels along with a message and is not shown: flat, like attributes, but numbers may be in it. */
export type Metadata = { readonly [name: string]: string | number | boolean }

/** One message as the visitor meant it. The key never changes between attempts. */
export interface OutboundMessage {
  readonly key: string
  readonly text: string
  readonly metadata?: Metadata
  readonly attachments?: readonly Upload[]
}

/** A file as it travels from the page: `content` is a Blob, which is cloned and never read on the way. */
export interface Upload {
  readonly name: string
  readonly type: string
  readonly size: number
  readonly content: unknown
}

/** A file of a message. `progress` from 0 to 1 on its way (0 all the way where it goes in one piece); `id` when it is there. */
export interface AttachmentView {
  readonly name: string
  readonly type: string
  readonly size: number
  readonly id?: string
  readonly progress?: number
}

/**
 * How far a message of this visitor has come: `queued`, `inflight`, `acked` (the service has it), `delivered`, `read`; or
 * `dead` (refused), `stale` (too old to be sent without a word from the site), `parked` (its conversation is over).
 */
export type DeliveryStatus = 'queued' | 'inflight' | 'acked' | 'delivered' | 'read' | 'dead' | 'stale' | 'parked'

/** One message as it is shown. `id` and `seq` are there once the service has confirmed it, `key` if it is this visitor's own. */
export interface Message {
  readonly key?: string
  readonly id?: string
  readonly seq?: number
  /** Only in the history, which goes back into the conversations before the present one. */
  readonly conversationId?: string
  readonly role: Role
  readonly text: string
  readonly at: EpochMs
  readonly status: DeliveryStatus
  readonly metadata?: Metadata
  readonly attachments?: readonly AttachmentView[]
  /** Why it is dead, stale or parked. */
  readonly code?: string
  /** True when messages before this one are still being fetched. */
  readonly afterGap?: true
}

/**
 * Where the session stands. `starting → discovering → validating → merging → live` is the way up; `reconnecting` and
 * `dormant` (nobody looks) are left by themselves, `auth-required`, `ended` and `signed-out` only by the site.
 */
export type Phase =
  | 'starting'
  | 'discovering'
  | 'validating'
  | 'merging'
  | 'live'
  | 'reconnecting'
  | 'dormant'
  | 'auth-required'
  | 'ended'
  | 'signed-out'

/** The life of a conversation: `pending → active → closed` or `expired`, then `archived`. */
export type ConversationState = 'pending' | 'active' | 'closed' | 'expired' | 'archived'

/** What a tab sees of everything the worker holds. It carries no token. */
export interface Snapshot {
  /** Grows with every visible change; a lower one is old news. */
  readonly rev: number
  readonly epoch: string
  readonly phase: Phase
  readonly storage: 'durable' | 'memory'
  readonly session: { readonly id: string; readonly authenticated: boolean; readonly expiresAt: EpochMs } | null
  readonly conversation: {
    readonly id: string
    readonly state: ConversationState
    readonly previousId?: string
    readonly resumedFrom?: string
    /** What had become of the one before. `gone`: the service keeps it no more, or it was of another session. */
    readonly previousState?: 'closed' | 'expired' | 'archived' | 'gone'
    /** Another device of this visitor made it, or is in it. */
    readonly joined?: true
  } | null
  readonly lease: {
    readonly status: 'none' | 'held' | 'refreshing' | 'lost'
    readonly expiresAt?: EpochMs
    readonly code?: string
    readonly message?: string
  }
  /**
   * How many messages of this browser are in which state. `parked` (their conversation is over, or not the present one)
   * is there only if there are any.
   */
  readonly outbox: {
    readonly queued: number
    readonly inflight: number
    readonly parked?: number
    readonly dead: number
    readonly stale: number
  }
  readonly context: Attributes
  readonly messages: readonly Message[]
  readonly unread: number
  readonly agentTyping: boolean
  readonly tabs: number
  readonly online: boolean
  /** Strangers share the device: nothing survives the last tab. */
  readonly shared?: true
}

/** How a message ended. `cancelled` also stands for a key that nobody knows any more. */
export type Outcome =
  | { readonly status: 'acked'; readonly messageId: string }
  | { readonly status: 'dead' | 'stale'; readonly code: string }
  | { readonly status: 'cancelled' }

/** One entry of the outbox, as a site may see it. */
export interface OutboxItem {
  readonly key: string
  readonly text: string
  readonly status: 'queued' | 'inflight' | 'dead' | 'stale' | 'parked'
  readonly at: EpochMs
  readonly code?: string
  readonly attachments?: readonly AttachmentView[]
}

/** One thing that `diagnose()` has looked at: branch on `code`, show `text`. */
export interface Finding {
  readonly code: string
  readonly severity: 'ok' | 'warning' | 'error'
  readonly text: string
}

/** What `diagnose()` answers: no text of messages, no attribute value, no token. */
export interface Report {
  readonly at: EpochMs
  readonly version: string
  readonly protocol: number
  readonly incarnation: string
  readonly phase: Phase
  readonly findings: readonly Finding[]
  readonly figures: { readonly [name: string]: number | string | boolean }
}

/** Who calls, sent with every command. */
export interface Caller {
  readonly protocol: number
  readonly deployment: string
  /** Made by the page when it loads; says how many tabs there are, nothing else. */
  readonly tab: string
  /** The identity the tab believes in; empty before its first answer. A change made under another is refused. */
  readonly epoch: string
  readonly visible: boolean
}

/**
 * What a tab supplies for a lease, from the site's own callback: a token, or whatever the platform makes one from. It goes
 * to the worker by the link, never over the channel.
 */
export interface Supplied {
  readonly token?: string
  /** In seconds. Without it, an hour. */
  readonly expiresIn?: number | string
  readonly refreshToken?: string
  readonly [more: string]: unknown
}

/** What a tab may ask. Those that change something carry a key made by the page, so that a repeat is harmless. */
export type Command =
  | { readonly type: 'pull'; readonly keys: readonly string[] }
  /** At most ENQUEUE_MAX at once; each has its own outcome. */
  | { readonly type: 'enqueue'; readonly messages: readonly OutboundMessage[] }
  | { readonly type: 'set-context'; readonly key: string; readonly delta: AttributeDelta }
  | { readonly type: 'retry'; readonly key: string }
  | { readonly type: 'cancel'; readonly key: string }
  | { readonly type: 'edit'; readonly key: string; readonly message: OutboundMessage }
  | { readonly type: 'list-outbox' }
  | { readonly type: 'history'; readonly before?: number; readonly limit: number }
  | { readonly type: 'typing'; readonly on: boolean }
  | { readonly type: 'mark-read' }
  /** How the next conversation is to be routed, whoever has it made. */
  | { readonly type: 'route'; readonly routing: Attributes }
  | { readonly type: 'start-new'; readonly key: string; readonly routing?: Attributes }
  /** The site's signed token says who the visitor is. */
  | { readonly type: 'authenticate'; readonly token: string }
  | { readonly type: 'logout'; readonly unsent: 'send' | 'discard' | 'refuse'; readonly key?: string }
  | { readonly type: 'diagnose' }
  /** This tab can supply a token: the answer says for which try, or nothing if nobody needs one now. */
  | { readonly type: 'offer'; readonly key: string; readonly lease: string }
  /** Without `supplied` there is none to be had: why stays with the site. */
  | {
      readonly type: 'supply'
      readonly lease: string
      readonly claim: { readonly key: string; readonly count: number }
      readonly supplied?: Supplied
    }
  /** An access token, where the site lets pages have it. `spent`: the generation that was refused. */
  | { readonly type: 'borrow'; readonly lease: string; readonly spent?: number }
  /** Run a turn: the network may be back, the tab became visible, an alarm rang. `wake` says the visitor is here. */
  | { readonly type: 'nudge'; readonly wake: boolean; readonly online: boolean }
  /** This tab holds the lock of its name from now on: when that is free, the tab is gone. */
  | { readonly type: 'hold' }
  | { readonly type: 'bye' }

/** The place of an accepted message in the outbox, or why it was not accepted. */
export type Enqueued = { readonly seq: number } | { readonly error: WireError }

/** What each command answers. */
export interface Answers {
  pull: { readonly snapshot: Snapshot; readonly outcomes: { readonly [key: string]: Outcome } }
  enqueue: readonly Enqueued[]
  'set-context': Attributes
  retry: null
  cancel: null
  edit: { readonly seq: number }
  'list-outbox': readonly OutboxItem[]
  history: readonly Message[]
  typing: null
  'mark-read': null
  route: null
  'start-new': null
  authenticate: null
  logout: { readonly verified: true }
  diagnose: Report
  offer: { readonly key: string; readonly count: number } | null
  supply: null
  borrow: { readonly token: string; readonly generation: number; readonly expiresAt: EpochMs }
  nudge: null
  hold: null
  bye: null
}

export type AnswerTo<C extends Command> = Answers[C['type']]

/** The worker's end of a link. Every answer names the incarnation that gave it. */
/** Posted to the worker with a port: one call, one port, one event that wakes the worker. The answer comes on the port. */
export interface Call {
  readonly type: 'holdfast-call'
  readonly caller: Caller
  readonly command: Command
}

/** What comes on the port of a call: one answer. Where it says `shows`, news follows, each acknowledged. */
export type CallAnswer =
  | { readonly incarnation: string; readonly value: unknown; readonly shows?: true }
  | { readonly error: WireError }
  | { readonly news: Snapshot }

/** Posted to the worker without a port, as the answer to a beat: an event that prolongs its life. */
export interface Ping {
  readonly type: 'holdfast-ping'
  readonly caller: Caller
}

/** What the worker tells every tab. It names what changed; it never carries a token, a text or an attribute. */
export type Notice =
  | { readonly v: 1; readonly type: 'changed'; readonly rev: number }
  | { readonly v: 1; readonly type: 'beat'; readonly incarnation: string }
  | { readonly v: 1; readonly type: 'wake-at'; readonly at: EpochMs }
  /** A lease needs a token of the site's: whoever can supply one offers to. */
  | { readonly v: 1; readonly type: 'token-wanted'; readonly lease: string }
  /** Another incarnation or tab has committed work: whoever holds the pump runs a turn. */
  | { readonly v: 1; readonly type: 'nudge' }
  /** A tab that calls another incarnation than the one that holds the pump, for that one to count and to serve. */
  | { readonly v: 1; readonly type: 'here' | 'gone'; readonly tab: string }
  | { readonly v: 1; readonly type: 'typing'; readonly on: boolean }
  /** Between tabs: whether that tab is there and has the draft that another found under its name. It answers `drafting`. */
  | { readonly v: 1; readonly type: 'is-drafting' | 'drafting'; readonly tab: string }
  | { readonly v: 1; readonly type: 'problem'; readonly code: string; readonly message: string }

export { channelOf, lifeLockOf, tabLockOf } from './wire-names.ts'
export { isCaller, isCommand, isDelta, isNotice, isOutboundMessage, isShape } from './wire-guards.ts'
