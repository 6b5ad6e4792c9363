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
import type { JoiningStep } from './joining.ts'
import type { Conversation, Opened } from './session.ts'
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

/** What comes with a logout. */
export interface Legacy {
  /** What the service can be told with; null is nothing, and absent that a cookie does it. */
  readonly will?: Sealed | null | undefined
  /** The sign-in of another user, who takes over. */
  readonly heir?: string | undefined
}

export type Input =
  | ({ readonly type: 'command'; readonly command: Change; readonly epoch: string } & Legacy)
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
  /** The platform has joined the session to a user, as this sign-in had asked. */
  | {
      readonly type: 'identified'
      readonly joiner: string
      readonly opened: Opened
      readonly grant: Grant
      readonly refresh?: Attempt
    }
  /** It is asked for with the token of the generation. A reply says that it may be. */
  | ({ readonly type: 'joining'; readonly epoch: string; readonly generation?: number } & JoiningStep)
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
