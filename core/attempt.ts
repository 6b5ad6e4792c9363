// One thing to get done over the network, as it is stored: the one mechanism behind every retry.
// The machines say what is to be done; this says whether it may start now, under which key, and when to look again.

import { BACKOFF_CAP_MS, backoffMs, floorMs } from './backoff.ts'
import type { EpochMs } from './wire.ts'

/** Time, chance and identity of one turn. The engine supplies them, so a test can choose them. */
export interface Env {
  readonly now: EpochMs
  /** The incarnation that runs this turn. */
  readonly owner: string
  /** True while this incarnation holds the pump, and with it the right to touch the network. */
  readonly pump: boolean
  random(): number
  key(): string
}

interface Running {
  readonly status: 'running'
  readonly key: string
  readonly count: number
  readonly owner: string
  readonly retryAt: EpochMs
}

export type Attempt =
  | { readonly status: 'idle' }
  | Running
  /**
   * `floorAt` is the server's own wish, 0 for none: a wake-up may shorten the wait, but not below it. `wishedAt` is when
   * it was heard: where the clock shows less, it was set back, and nobody knows how long the wish still holds.
   */
  | {
      readonly status: 'waiting'
      readonly key: string
      readonly count: number
      readonly retryAt: EpochMs
      readonly floorAt: EpochMs
      readonly wishedAt?: EpochMs
    }

/** What a machine says is due: its state with that marked as started, and when to look again. */
export interface Plan<State, Action> {
  readonly state: State
  readonly action?: Action | undefined
  readonly wakeAt?: EpochMs | undefined
}

/** Names one running attempt, so that an answer can be matched to it. */
export interface Claim {
  readonly key: string
  readonly count: number
  /** From then on another try may be under way in its place: what could not be answered by then must not leave. */
  readonly until?: EpochMs
}

/** A request takes so long at most. */
export const REQUEST_MS = 15_000
/** What is one request has as long again to leave: whatever leaves is answered, or given up, while its try still runs. */
export const TRY_MS = 2 * REQUEST_MS

export const IDLE: Attempt = { status: 'idle' }

/**
 * May it start now? A running attempt of another owner is due at once: only the holder of the pump asks, and while it
 * holds the pump no other incarnation can be running anything.
 */
export function isDue(attempt: Attempt, env: Env): boolean {
  if (!env.pump) return false
  if (attempt.status === 'idle' || env.now >= attempt.retryAt) return true
  if (attempt.status === 'running') return attempt.owner !== env.owner
  // Of our own accord nobody waits that long: the clock was set back.
  if (attempt.floorAt === 0) return attempt.retryAt > env.now + BACKOFF_CAP_MS
  return isSetBack(attempt, env.now)
}

/** Corrections of a clock by less change no wait by more. */
const CLOCK_SLACK_MS = 60_000

const isSetBack = (attempt: Attempt & { readonly status: 'waiting' }, now: EpochMs): boolean =>
  attempt.wishedAt !== undefined && now < attempt.wishedAt - CLOCK_SLACK_MS

/** Has the server asked to be left alone until later? */
export const isHeld = (attempt: Attempt, now: EpochMs): boolean =>
  attempt.status === 'waiting' && now < attempt.floorAt && !isSetBack(attempt, now)

/** When to look again, or nothing while it is idle. */
export const nextAt = (attempt: Attempt): EpochMs | undefined =>
  attempt.status === 'idle' ? undefined : attempt.retryAt

/** Starts it. A retry carries the key of the first try. */
export function begin(attempt: Attempt, env: Env, timeoutMs: number): Running {
  const { key, count } = attempt.status === 'idle' ? { key: env.key(), count: 0 } : attempt
  return { status: 'running', key, count: count + 1, owner: env.owner, retryAt: env.now + timeoutMs }
}

/** Starts it if it may start now, and `as` says what that is. Else it says when to look again. */
export function due<State, Action>(
  state: State,
  attempt: Attempt,
  env: Env,
  timeoutMs: number,
  as: (running: Running, claim: Claim) => { readonly state: State; readonly action: Action },
): Plan<State, Action> {
  if (!isDue(attempt, env)) return { state, wakeAt: nextAt(attempt) }
  const running = begin(attempt, env, timeoutMs)
  return { ...as(running, claimOf(running)), wakeAt: running.retryAt }
}

/** Is this the answer to what is running (or was, before a backoff)? The key fences identities and generations. */
export const answers = (attempt: Attempt, claim: Claim): boolean =>
  attempt.status !== 'idle' && attempt.key === claim.key

/** Is this the very try that is running? */
export const isRunning = (attempt: Attempt, claim: Claim): attempt is Running =>
  attempt.status === 'running' && attempt.key === claim.key && attempt.count === claim.count

/** Puts it off after a failure. The answer to an older try of the same key changes nothing. */
export function fail(attempt: Attempt, claim: Claim, env: Env, retryAfterMs = 0): Attempt {
  if (!isRunning(attempt, claim)) return attempt
  const wishMs = floorMs(retryAfterMs)
  return {
    status: 'waiting',
    key: attempt.key,
    count: attempt.count,
    retryAt: env.now + backoffMs(attempt.count, env.random(), wishMs),
    ...(wishMs > 0 ? { floorAt: env.now + wishMs, wishedAt: env.now } : { floorAt: 0 }),
  }
}

/** The world may have changed (online, visible, start-up): try now, but never before the server's own wish. */
export function hurry(attempt: Attempt, now: EpochMs): Attempt {
  if (attempt.status !== 'waiting' || attempt.retryAt <= now) return attempt
  return { ...attempt, retryAt: Math.max(now, attempt.floorAt) }
}

/** Stops what was running. What waits goes on waiting: the wish of the server outlives whoever heard it. */
export const letGo = (attempt: Attempt): Attempt => (attempt.status === 'waiting' ? attempt : IDLE)

export const claimOf = ({ key, count, retryAt }: Running): Claim => ({ key, count, until: retryAt })
