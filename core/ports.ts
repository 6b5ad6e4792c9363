// What the engine needs from outside, in our own words and plain values. The adapters are in sw/, the fakes in testing/.

import type { Attachment, AttachmentLimits } from './attach.ts'
import type { Claim } from './attempt.ts'
import type { Outcome, Verdict } from './outcome.ts'
import type { Entry } from './outbox.ts'
import type { Conversation, Opened } from './session.ts'
import type { Slots } from './state.ts'
import type { Backfilled, Connection, StreamEvent, StreamRequest, Tokens } from './ports-stream.ts'
import type { Rates } from './rates.ts'
import type { Row } from './transcript.ts'
import type { Unkeyed } from './unkeyed.ts'
import type { AttributeDelta, Attributes, EpochMs, Notice, OutboundMessage, Supplied } from './wire.ts'
import type { Sealed } from './lease.ts'
import type { LeaseSpec, TokenSource } from './leases.ts'

export interface Clock {
  now(): EpochMs
  /** Runs `ring` once at or after `at`, if this incarnation lives that long. A hint: what is due comes from the store. */
  alarm(at: EpochMs, ring: () => void): () => void
}

export interface Random {
  /** One draw from [0, 1). */
  draw(): number
  /** A fresh UUID v7: an idempotency key. */
  key(): string
}

/** The part of BroadcastChannel the engine uses. */
export interface Channel {
  /** Tells every tab, at best: one that sleeps hears nothing, and reads the state when it wakes. */
  publish(notice: Notice): void
}

/**
 * The exclusive right to touch the network for one deployment. The engine asks once; it keeps the right until it dies.
 */
export interface Pump {
  /** Resolves when it is known whether the right could be had at once; calls `granted` when it is ours, now or later. */
  request(granted: () => void): Promise<void>
}

/** What a turn wants to see beside the slots. */
export interface Wanted {
  /** How many of the oldest live entries of each lane. */
  readonly runEntries: number
  /** Entries of the outbox and rows of the transcript with these keys. */
  readonly keys: readonly string[]
  /**
   * The promise to the visitor: on the disk when the turn resolves, not in a cache of the system. It is said beforehand,
   * because a transaction is opened with it.
   */
  readonly isDurable: boolean
}

export interface View {
  /** Absent at the very first turn, and when the record could not be understood. */
  readonly slots: Slots | undefined
  /** Every entry on the disk, given only when the slots are absent: the counters are made from them. */
  readonly orphans: readonly Entry[]
  readonly runs: ReadonlyMap<string, readonly Entry[]>
  readonly entries: ReadonlyMap<string, Entry>
  readonly rows: ReadonlyMap<string, Row>
  /** Records that could not be understood. They have been put aside unread, nothing was deleted. */
  readonly corrupt: number
}

export interface Writes {
  readonly slots: Slots
  readonly putEntries: readonly Entry[]
  /** Dropped after the puts: an entry that is in both is gone. */
  readonly dropEntries: readonly Entry[]
  readonly putRows: readonly Row[]
  /** What new entries bring along, and the keys of those that are gone for good, with all they brought. */
  readonly putFiles?: readonly { readonly key: string; readonly contents: readonly unknown[] }[]
  readonly dropFiles?: readonly string[]
  /** A conversation ends at `seq`: rows above are dropped, before the puts. */
  readonly rowsEnd?: readonly { readonly conversationId: string; readonly seq: number }[]
  /** Empties everything but the slots, which are replaced: the keys of the vault first of all. */
  readonly wipe?: boolean
}

/** What a snapshot is made from: a bounded tail, however long the queue or the transcript is. */
export interface Tail {
  readonly slots: Slots | undefined
  readonly rows: readonly Row[]
  readonly entries: readonly Entry[]
}

export interface Store {
  readonly kind: 'durable' | 'memory'
  /**
   * Reads, lets `decide` choose, and writes, in one transaction. If `decide` throws, nothing is written.
   * @throws {HoldfastError} `STORE_FULL`, `STORE_FAILED`
   */
  turn<T extends { writes: Writes }>(wanted: Wanted, decide: (view: View) => T): Promise<T>
  /** The newest `rowsMax` rows of the present conversation and the newest `entriesMax` entries, oldest first. */
  tail(rowsMax: number, entriesMax: number): Promise<Tail>
  /** Rows and entries with these keys. */
  find(keys: readonly string[]): Promise<Pick<View, 'entries' | 'rows'>>
  /** Rows of the conversation below `before`, oldest first, at most `limit` of the newest. */
  rows(conversationId: string, before: number, limit: number): Promise<readonly Row[]>
  /** What an entry brings along, by its place; nothing when it is gone. */
  file(key: string, index: number): Promise<unknown>
  /** Every entry, oldest first, at most `limit`. */
  entries(limit: number): Promise<readonly Entry[]>
  /**
   * Ends a wipe whose turn is committed (`session.wipe`): what was emptied is deleted and made anew, for a browser keeps
   * on its disk for long what was only emptied. Then everything is read again. Nothing is deleted where no wipe is due.
   * Safe to be repeated, at the same time too, and to be killed at any step.
   *
   * @returns how many records of a former identity are still there
   */
  shred(): Promise<number>
}

/** Seals secrets for the store. What was sealed by one vault is opened by no other. */
export interface Vault {
  readonly mode: 'broker' | 'persistent' | 'memory'
  seal(secret: string): Promise<Sealed>
  /** Nothing when it cannot be opened any more: the key is gone, or it lived in the memory of a stopped worker. */
  open(sealed: Sealed): Promise<string | undefined>
  /** Forgets every key: what was sealed stays sealed, but for what was bequeathed. */
  forget(): Promise<void>
  /** Seals a secret under a key of its own, which lies beside it and opens nothing else. */
  bequeath(secret: string): Promise<Sealed>
}

/** A grant as a platform hands it over, before it is sealed. */
export interface PlainGrant {
  readonly accessToken: string
  readonly refreshToken?: string
  readonly expiresInMs: number
}

export interface Limits {
  readonly messageCharsMax: number
  /** Of the metadata of a message, as JSON. Default: `METADATA_CHARS_MAX`. */
  readonly metadataCharsMax?: number
  /** How many attributes a conversation has at most. Default: `ATTRIBUTES_MAX`. */
  readonly attributesMax?: number
  readonly attributeCharsMax: number
  readonly routingBytesMax: number
  /** What can be attached. Default: nothing. */
  readonly attachments?: AttachmentLimits
  /** UTF-8 bytes of all names and values together, where the platform counts so. */
  readonly dataBytesMax?: number
}

/** The steps of an attachment, each of which may be repeated. */
export interface Attachments {
  reserve(request: {
    key: string
    token: string
    conversationId: string
    file: AttachmentFile
  }): Promise<Outcome<{ id: string; sent: number }>>
  /** Sends a part of `content` from `sent` on, and says how much has arrived in all. */
  upload(
    request: AttachmentRequest & { content: unknown; sent: number; file: AttachmentFile },
    // Where what was reserved is gone, it is reserved again, under another name.
  ): Promise<Outcome<{ id?: string; sent: number }>>
  confirm(request: AttachmentRequest): Promise<Outcome<null>>
  /** Nobody wants it any more. */
  discard(request: AttachmentRequest): Promise<Outcome<null>>
}

type AttachmentFile = Pick<Attachment, 'name' | 'type' | 'size'>

export interface AttachmentRequest {
  readonly token: string
  readonly conversationId: string
  readonly id: string
}

export interface Capabilities {
  readonly delivery: 'keyed' | 'echoed-id' | 'content-match'
  readonly catchUp: 'cursor' | 'offset' | 'replay'
  readonly sendWithoutStream: boolean
  readonly inFlightMax: number
  readonly limits: Limits
  /** It says what was delivered and read, and is told what the visitor has read. */
  readonly marks?: true
  /** How often each step may begin; none where the platform says so itself, by its answers. */
  readonly rates?: Rates
  /** Intervals that its limits ask for. The configuration of the deployment goes above them. */
  readonly timings?: Partial<Timings>
  /** Where tokens rest unless the configuration says otherwise. Default: `broker`. */
  readonly vault?: Vault['mode']
  /** Beside the one that opening grants; of the name `session`: instead of it. */
  readonly leases?: readonly LeaseSpec[]
}

/** Intervals a deployment may set, in milliseconds. Defaults: design, section 7. */
export interface Timings {
  readonly beatMs: number
  readonly pingMs: number
  readonly pongMs: number
  readonly pingMissesMax: number
  readonly climbMs: number
}

export const TIMINGS: Timings = { beatMs: 20_000, pingMs: 25_000, pongMs: 5_000, pingMissesMax: 3, climbMs: 60_000 }

export interface ConversationView {
  readonly conversation: Conversation
  readonly attributes: Attributes
  readonly version: number
}

export interface Platform {
  readonly name: string
  readonly capabilities: Capabilities
  /** Brought by platforms that have neither keys nor numbers: what the machines need beside (core/unkeyed.ts). */
  readonly unkeyed?: Unkeyed
  /** Opens a session, or resumes the one that the cookie or the token names. Repeats with the same key are one. */
  open(request: {
    key: string
    token?: string
    wantsRefreshToken: boolean
    conversationId: string | null
  }): Promise<Outcome<{ opened: Opened; grant?: PlainGrant }>>
  /**
   * @param request `lease`: one of `capabilities.leases`; without it, the session's own
   * @see https://www.rfc-editor.org/rfc/rfc6749#section-6
   */
  refresh(request: { key: string; refreshToken?: string; lease?: string }): Promise<Outcome<PlainGrant>>
  /** Joins the session of the token to the user whom the site's signed token names; that may lead to another session. */
  authenticate?(request: {
    token: string
    identity: string
    conversationId: string | null
  }): Promise<Outcome<{ opened: Opened; grant: PlainGrant }>>
  /** Turns what a tab supplied, a code for example, into a grant. Without it, that is the grant itself. */
  exchange?(request: { key: string; lease: string; supplied: Supplied }): Promise<Outcome<PlainGrant>>
  make(request: {
    key: string
    token: string
    previousId: string | null
    routing: Attributes
    attributes: Attributes
    /** The one that it takes the place of. */
    former?: Conversation | null
  }): Promise<Outcome<ConversationView & { joined: boolean }>>
  /** Numbers are dense from 1; 0 where the platform has none. `reconcile` says that nobody knows whether it arrived. */
  send(request: {
    token: string
    conversation: Conversation
    message: OutboundMessage
    /** What it brings along, as the platform calls it: all of it is there by now. */
    attachments?: readonly string[]
    /** What is new of the attributes, where only messages carry them. */
    attributes?: { readonly [name: string]: string }
  }): Promise<Outcome<{ id: string; seq: number; at: EpochMs }>>
  /** Where something can be attached. Every step may be repeated, and is then one. */
  readonly attachments?: Attachments
  /** Merges attributes. A conflict answers what the platform holds. */
  push(request: {
    token: string
    conversationId: string
    delta: AttributeDelta
    version: number
  }): Promise<Outcome<{ conflict: boolean; attributes: Attributes; version: number }>>
  /** The visitor has read everything up to here. Where it has marks. */
  mark?(request: { token: string; conversationId: string; seq: number }): Promise<Outcome<null>>
  backfill(request: {
    token: string
    conversationId: string
    afterId: string
    tokens?: Tokens
  }): Promise<Outcome<Backfilled>>
  connect(request: StreamRequest, emit: (event: StreamEvent) => void): Connection
  /** The same events by long poll: resolves with what came, or with none after the wait. */
  poll(request: StreamRequest & { waitMs: number }): Promise<Outcome<readonly StreamEvent[]>>
  revoke(request: {
    token?: string
    refreshToken?: string
    lease?: string
    conversation?: Conversation | undefined
  }): Promise<Outcome<null>>
}

export type {
  Backfilled,
  Calls,
  Connection,
  Ending,
  Stream,
  StreamEvent,
  StreamReport,
  StreamRequest,
  Tokens,
} from './ports-stream.ts'
export type { Claim, Outcome, Sealed, TokenSource, Verdict }
