// Machine: the right to act with an access token. Owns when a refresh is due, under which key, and what its answer changes.
// Leaves to others: what a token looks like (it is sealed here), how it is sent, and what the visitor is told.

import { type Attempt, answers, type Claim, due, type Env, fail, hurry, IDLE, type Plan, TRY_MS } from './attempt.ts'
import type { ErrorCode } from './errors.ts'
import type { EpochMs } from './wire.ts'

/** A secret as it rests: only the vault that sealed it can open it. */
export type Sealed = { readonly sealed: unknown }

export interface Grant {
  readonly access: Sealed
  /** Absent where the refresh token lives in an HttpOnly cookie. */
  readonly refresh?: Sealed
  /** Our clock at receipt plus the relative lifetime: the server's clock plays no part. */
  readonly expiresAt: EpochMs
  readonly lifetimeMs: number
}

/** The offer by which a tab is looking up a token, and for which try. */
export interface Answerer {
  readonly by: string
  readonly count: number
}

export type Lease =
  | {
      readonly status: 'none'
      readonly generation: number
      /** The first token, where no opening grants it. */
      readonly refresh?: Attempt
      readonly answerer?: Answerer
    }
  | {
      readonly status: 'held'
      readonly generation: number
      readonly grant: Grant
      readonly refreshAt: EpochMs
      readonly receivedAt: EpochMs
      /** Generations in a row that were refused before they had worked once. */
      readonly rejections: number
      /** The access token was refused or is gone: do not use it again. */
      readonly isSpent: boolean
      readonly refresh: Attempt
      readonly answerer?: Answerer
      /** The key of the refresh that brought it: an earlier try of that may still be on its way. */
      readonly late?: { readonly key: string; readonly until: EpochMs }
    }
  | { readonly status: 'lost'; readonly generation: number; readonly code: ErrorCode }

export type LeaseInput =
  /** `refresh`: of the token that comes along, what was on the wire before everything else was emptied. */
  | { readonly type: 'granted'; readonly grant: Grant; readonly refresh?: Attempt }
  /** The session cannot be opened with what we hold, and no refresh will change that. */
  | { readonly type: 'denied'; readonly code: ErrorCode }
  | { readonly type: 'refreshed'; readonly claim: Claim; readonly grant: Grant }
  | { readonly type: 'refresh-failed'; readonly claim: Claim; readonly retryAfterMs?: number }
  | {
      readonly type: 'refresh-refused'
      readonly claim: Claim
      readonly code: ErrorCode
      /** The refresh token was in the memory of a worker that is no more: it comes again from where the first came. */
      readonly isForgotten?: boolean
    }
  /** A call with this generation was answered 401, or its token could not be opened any more. */
  | { readonly type: 'rejected'; readonly generation: number }
  | { readonly type: 'accepted'; readonly generation: number }
  /** Its token was in the memory of a worker that is no more, or has asked for a user: that speaks neither for it nor against it. */
  | { readonly type: 'forgotten'; readonly generation: number }
  | { readonly type: 'woken' }

export interface RefreshAction {
  readonly type: 'refresh'
  /** Which one: nothing for that of the session. */
  readonly lease?: string
  readonly claim: Claim
  readonly refresh: Sealed | undefined
}

export const REFRESH_MARGIN_MS = 5 * 60_000
/** Grants that end as they come must not make a loop. */
export const REFRESH_INTERVAL_MS = 1_000
/** So many fresh tokens refused in a row mean that no refresh will help. */
export const REJECTIONS_MAX = 3

export const NO_LEASE: Lease = { status: 'none', generation: 0 }

/** Five minutes before the end, or a quarter of the lifetime when that is shorter, give or take a tenth. */
export function refreshAtOf(grant: Grant, draw: number): EpochMs {
  const marginMs = Math.min(REFRESH_MARGIN_MS, grant.lifetimeMs / 4)
  return Math.round(grant.expiresAt - marginMs * (0.9 + 0.2 * draw))
}

function hold(before: Lease, grant: Grant, rejections: number, env: Env): Lease {
  // A grant without a refresh token leaves the one we have in force (RFC 6749, section 6).
  const kept = before.status === 'held' ? before.grant.refresh : undefined
  return {
    status: 'held',
    generation: before.generation + 1,
    grant: grant.refresh === undefined && kept !== undefined ? { ...grant, refresh: kept } : grant,
    refreshAt: Math.max(env.now + REFRESH_INTERVAL_MS, refreshAtOf(grant, env.random())),
    receivedAt: env.now,
    rejections,
    isSpent: false,
    refresh: IDLE,
  }
}

/** By opening. A refresh token that stays in force may be on the wire: then its answer is still to come, under its key. */
function grant(before: Lease, fresh: Grant, env: Env, refresh?: Attempt): Lease {
  const held = hold(before, fresh, 0, env)
  const isInForce = before.status === 'held' && before.grant.refresh !== undefined && fresh.refresh === undefined
  const pending = isInForce ? before.refresh : refresh
  return held.status === 'held' && pending ? { ...held, refresh: pending } : held
}

/** Folds in one thing that happened. An answer to a refresh we no longer await changes nothing. */
export function reduce(lease: Lease, input: LeaseInput, env: Env): Lease {
  if (input.type === 'granted') return grant(lease, input.grant, env, input.refresh)
  if (input.type === 'denied') return { status: 'lost', generation: lease.generation, code: input.code }
  if (lease.status === 'lost' || lease.refresh === undefined) return lease
  switch (input.type) {
    case 'refreshed': {
      const { refresh } = lease
      if (!answers(refresh, input.claim)) return lease
      const held = hold(lease, input.grant, lease.status === 'held' ? lease.rejections : 0, env)
      // A later try may have left with the cookie that this one has brought: its answer is still to come, under its key.
      const isAgain = refresh.status === 'running' && refresh.count > input.claim.count && !input.grant.refresh
      if (isAgain && held.status === 'held') return { ...held, refresh }
      // To whoever it comes late, it is no reuse as long as that key is the last one known.
      const { key, count } = input.claim
      return count > 1 && held.status === 'held' ? { ...held, late: { key, until: env.now + TRY_MS } } : held
    }
    case 'refresh-failed':
      return { ...lease, refresh: fail(lease.refresh, input.claim, env, input.retryAfterMs) }
    case 'refresh-refused':
      if (!answers(lease.refresh, input.claim)) return lease
      if (input.isForgotten) return { status: 'none', generation: lease.generation }
      return { status: 'lost', generation: lease.generation, code: input.code }
    case 'woken':
      return { ...lease, refresh: hurry(lease.refresh, env.now) }
    default:
      return lease.status === 'held' ? judge(lease, input) : lease
  }
}

/** What a call has shown of the token it was made with. */
function judge(
  lease: Lease & { status: 'held' },
  input: LeaseInput & { type: 'rejected' | 'accepted' | 'forgotten' },
): Lease {
  switch (input.type) {
    case 'rejected':
      if (input.generation !== lease.generation || lease.isSpent) return lease
      if (lease.rejections + 1 >= REJECTIONS_MAX)
        return { status: 'lost', generation: lease.generation, code: 'LEASE_EXPIRED' }
      return { ...lease, isSpent: true, rejections: lease.rejections + 1 }
    case 'accepted':
      return input.generation === lease.generation && lease.rejections > 0 ? { ...lease, rejections: 0 } : lease
    case 'forgotten':
      return input.generation === lease.generation && !lease.isSpent ? { ...lease, isSpent: true } : lease
  }
}

/** A key that may still be on its way, or was when the lease was held last, stands for what follows it, too. */
export function keyed(env: Env, lease: Lease): Env {
  if (lease.status !== 'held') return env
  const { refresh, late } = lease
  const key = refresh.status !== 'idle' ? refresh.key : late && env.now < late.until ? late.key : undefined
  return key === undefined ? env : { ...env, key: () => key }
}

/** May calls be made with it now? An access token is used while it lives, also while its successor is fetched. */
export function isUsable(lease: Lease, now: EpochMs): lease is Lease & { status: 'held' } {
  return lease.status === 'held' && !lease.isSpent && now < lease.grant.expiresAt
}

/**
 * Says what is due now, and marks it as started in the state it returns.
 *
 * @param isFirstOurs the first token is to be had like every other, and not by opening a session
 */
export function plan(lease: Lease, env: Env, isFirstOurs = false, tryMs = TRY_MS): Plan<Lease, RefreshAction> {
  if (lease.status === 'lost' || (lease.status === 'none' && !isFirstOurs)) return { state: lease }
  const { refresh: former = IDLE } = lease
  if (lease.status === 'held' && former.status === 'idle') {
    // A clock that was set back makes `expiresAt` a promise nobody gave: the age is unknown, so ask early.
    const isClockBack = env.now < lease.receivedAt - REFRESH_MARGIN_MS
    if (!lease.isSpent && !isClockBack && env.now < lease.refreshAt) return { state: lease, wakeAt: lease.refreshAt }
  }
  return due(lease, former, env, tryMs, (refresh, claim) => ({
    state: { ...lease, refresh },
    action: { type: 'refresh', claim, refresh: lease.status === 'held' ? lease.grant.refresh : undefined },
  }))
}
