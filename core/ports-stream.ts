// What the engine needs of the one live connection: its frames, decoded, and how an attempt begins and ends.
// The calls that are answered one by one are in ports.ts.

import type { Claim } from './attempt.ts'
import type { ErrorCode } from './errors.ts'
import type { Mark } from './marks.ts'
import type { Limits, Platform, Verdict } from './ports.ts'
import type { Conversation } from './session.ts'
import type { Row } from './transcript.ts'
import type { Attributes, ConversationState, EpochMs } from './wire.ts'

/** Frames of the stream, decoded. */
export type StreamEvent =
  | { readonly type: 'ready'; readonly headSeq: number }
  | { readonly type: 'rows'; readonly rows: readonly Row[] }
  | {
      readonly type: 'conversation'
      readonly state: ConversationState
      readonly attributes: Attributes
      readonly version: number
    }
  | { readonly type: 'typing'; readonly on: boolean }
  /** What the platform says of the session: as far as it goes now, and what it takes. */
  | {
      readonly type: 'session'
      readonly expiresAt?: EpochMs
      readonly isAuthenticated?: boolean
      readonly limits?: Limits
    }
  /** The platform has taken these attributes along with something else than a message. */
  | { readonly type: 'carried'; readonly attributes: { readonly [name: string]: string } }
  /** How far the others have come with this visitor's messages, and the visitor with theirs. */
  | ({ readonly type: 'marks' } & BothMarks)
  /** What was said is gone there, and is to go here: with what was still to be said. */
  | { readonly type: 'cleared' }
  /** The visitor was signed out elsewhere: nothing of the identity may stay. */
  | { readonly type: 'signed-out' }
  /** The token of an open connection is taken no more, and there is a moment left to bring another. */
  | { readonly type: 'expired' }
  /** The token that was brought is taken. */
  | { readonly type: 'reauthed' }
  | { readonly type: 'pong'; readonly id: string }
  | { readonly type: 'ping'; readonly id: string }
  /** The connection is over, for whatever reason. Nothing follows. */
  | ({ readonly type: 'closed' } & Ending)

/** Why a connection is over. `refuse` means that none will be had until the site or the visitor does something. */
export interface Ending {
  readonly verdict: Verdict
  readonly reason: string
  readonly code?: ErrorCode
  readonly retryAfterMs?: number
  /** Whose token was refused, where it was not that of the session. */
  readonly lease?: string
  /** There was no connection: the token was in the memory of a worker that is no more. */
  readonly isForgotten?: boolean | undefined
  /** Nobody was there, by any means. */
  readonly isUnreachable?: boolean | undefined
}

/** Calls that some platforms take over the open connection, and only there. */
export type Calls = Partial<Pick<Platform, 'send' | 'backfill' | 'attachments'>>

/** One socket. Nothing here retries or measures time. */
export interface Connection {
  ping(id: string): void
  pong(id: string): void
  reauth(token: string, tokens?: Tokens): void
  typing(on: boolean): void
  close(): void
  /** Instead of the platform's own, from `ready` to `closed`. */
  readonly calls?: Calls
}

/** What the further leases hold, by name, as far as they have a token now. */
export type Tokens = { readonly [lease: string]: string }

export interface StreamRequest {
  readonly conversationId: string
  /** As it is known here: a pending one is begun by the connection, where the platform has no other way. */
  readonly conversation?: Conversation
  readonly token: string
  readonly tokens?: Tokens
  readonly afterSeq: number
  /** What is known of a conversation that this connection begins, where only that can tell it. */
  readonly attributes?: Attributes
}

/** How far both sides have come. */
export interface BothMarks {
  readonly others: Mark
  readonly own: Mark
}

/** `calls`: how many requests it took, where more than one and the platform counts. */
export type Backfilled =
  | { readonly resync: true }
  | {
      readonly resync: false
      readonly rows: readonly Row[]
      readonly headSeq: number
      readonly calls?: number
      readonly marks?: BothMarks
    }

/** What the live connection tells the engine: frames as they come, and how one attempt to connect began and ended. */
export type StreamReport =
  | { readonly type: 'opened'; readonly claim: Claim; readonly headSeq: number }
  | ({ readonly type: 'ended'; readonly claim: Claim } & Ending)
  | Exclude<StreamEvent, { type: 'ready' | 'pong' | 'ping' | 'closed' }>

/**
 * The one live connection: socket, heartbeat, polling fallback. One attempt at a time; a second `connect` ends the first
 * without a report. It never retries by itself: that is the session machine's part.
 */
export interface Stream {
  connect(request: StreamRequest & { readonly claim: Claim }): void
  /** Swaps the token in place: no frame is lost. */
  reauth(token: string, tokens?: Tokens): void
  typing(on: boolean): void
  /** Asks for a sign of life now instead of at the next heartbeat. */
  probe(): void
  /** Lets go, without a report. */
  close(): void
  /** Of the connection that is open now. */
  readonly calls?: Calls | undefined
}
