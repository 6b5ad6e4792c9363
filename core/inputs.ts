// Everything that can happen to the engine, and everything it can be told to do: the vocabulary of a turn.

import type { AttachAction, AttachedInput } from './attach.ts'
import type { Attempt, Claim } from './attempt.ts'
import type { PushAction } from './context.ts'
import type { ErrorCode } from './errors.ts'
import type { Grant, RefreshAction, Sealed } from './lease.ts'
import type { AskAction } from './leases.ts'
import type { MarkAction } from './marks.ts'
import type { Backfilled, Outcome, StreamReport } from './ports.ts'
import type { SendAction } from './sends.ts'
import type { ConnectAction, MakeAction, OpenAction, PartAction } from './phases.ts'
import type { Conversation, Joining, Opened } from './session.ts'
import type { BackfillAction } from './transcript.ts'
import type { Attributes, Command, EpochMs } from './wire.ts'

/** The commands that change something stored. The others are reads, or touch only the stream. */
export type Change = Extract<
  Command,
  {
    type:
      | 'enqueue'
      | 'set-context'
      | 'retry'
      | 'cancel'
      | 'edit'
      | 'mark-read'
      | 'route'
      | 'start-new'
      | 'logout'
      | 'offer'
  }
>

export type Input =
  /** `will`: with a logout, what the service can be told with; null is nothing, and absent that a cookie does it. */
  | { readonly type: 'command'; readonly command: Change; readonly epoch: string; readonly will?: Sealed | null }
  /** The pump is ours: whatever another incarnation had in hand is ours to do. */
  /** `isAbandoned`: of a shared device, and no tab of before is there. */
  | { readonly type: 'started'; readonly isAbandoned?: boolean }
  /** The visitor has done something. */
  | { readonly type: 'used' }
  | { readonly type: 'woken'; readonly isOnline: boolean }
  /** `isArrival`: a tab that knows no identity yet has come. Without `count`, who holds the pump counts. */
  | { readonly type: 'tabs'; readonly count?: number; readonly isArrival: boolean }
  | { readonly type: 'tick' }
  /** A call with this token was refused; without `lease`, with that of the session. */
  | {
      readonly type: 'rejected'
      readonly generation: number
      readonly lease?: string
      readonly isForgotten?: boolean
    }
  /** A call of the site's own went well with this token. */
  | { readonly type: 'proved'; readonly generation: number; readonly lease: string }
  /** Somebody waits for a token of this lease. */
  | { readonly type: 'needed'; readonly lease: string }
  | {
      readonly type: 'opened'
      readonly claim: Claim
      readonly outcome: Outcome<{ opened: Opened; grant?: Grant }>
      readonly generation: number
    }
  /** The platform has joined the session to a user: that of the epoch, who may have begun with it. */
  | {
      readonly type: 'identified'
      readonly epoch: string
      readonly opened: Opened
      readonly grant: Grant
      readonly refresh?: Attempt
    }
  | { readonly type: 'joining'; readonly epoch: string; readonly step: Joining; readonly retryAfterMs?: number }
  | { readonly type: 'parted'; readonly claim: Claim; readonly outcome: Outcome<null> }
  | { readonly type: 'refreshed'; readonly claim: Claim; readonly outcome: Outcome<Grant>; readonly lease?: string }
  | { readonly type: 'made'; readonly claim: Claim; readonly outcome: Outcome<Made>; readonly generation: number }
  | {
      readonly type: 'acked'
      readonly key: string
      readonly conversationId: string
      readonly id: string
      readonly seq: number
      readonly at: EpochMs
      readonly generation: number
    }
  | AttachedInput
  /** Asked for older messages, the platform wished to be left alone. */
  | { readonly type: 'held'; readonly retryAfterMs: number }
  | { readonly type: 'refused'; readonly key: string; readonly code: string; readonly reason: string }
  | {
      readonly type: 'sent'
      readonly lane: string
      readonly claim: Claim
      readonly outcome: Outcome<null>
      readonly generation: number
      readonly conversationId: string
    }
  | {
      readonly type: 'pushed'
      readonly claim: Claim
      readonly outcome: Outcome<Pushed>
      readonly generation: number
      readonly conversationId: string
    }
  | {
      readonly type: 'marked'
      readonly claim: Claim
      readonly seq: number
      readonly outcome: Outcome<null>
      readonly generation: number
      readonly conversationId: string
    }
  | {
      readonly type: 'backfilled'
      readonly claim: Claim
      readonly outcome: Outcome<Backfilled>
      readonly generation: number
      readonly conversationId: string
    }
  | {
      readonly type: 'stream'
      readonly report: StreamReport
      readonly generation: number
      readonly conversationId: string
    }

export interface Made {
  /** It was there already: another device was first. */
  readonly joined?: boolean
  readonly conversation: Conversation
  readonly attributes: Attributes
  readonly version: number
}

export interface Pushed {
  readonly conflict: boolean
  readonly attributes: Attributes
  readonly version: number
}

export type Action =
  | OpenAction
  | MakeAction
  | ConnectAction
  | RefreshAction
  | AskAction
  | SendAction
  | AttachAction
  | PushAction
  | BackfillAction
  | MarkAction
  | PartAction
  | { readonly type: 'probe' }

export interface Problem {
  readonly code: ErrorCode
  readonly message: string
}

export type Reply = { readonly value: unknown } | { readonly refusal: Problem }
