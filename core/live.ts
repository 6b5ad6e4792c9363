// The one live connection as the session sees it: open or not, how often it was tried, and what it owes.

import { type Attempt, type Claim, type Env, fail, IDLE, isRunning, letGo } from './attempt.ts'
import { backoffMs } from './backoff.ts'
import type { EpochMs } from './wire.ts'

export interface Stream {
  readonly attempt: Attempt
  readonly isOpen: boolean
  /** Everything up to the head at opening has been read once. */
  readonly isMerged: boolean
  /** Since when messages have been waiting for a word on this connection; 0 while none is owed. */
  readonly owedSince: EpochMs
}

export const CLOSED: Stream = { attempt: IDLE, isOpen: false, isMerged: false, owedSince: 0 }

export const down = ({ attempt }: Stream): Stream => ({ ...CLOSED, attempt: letGo(attempt) })

interface Holder {
  readonly stream: Stream
  readonly activeAt: EpochMs
}

/** While it is open, `retryAt` says from when on it counts as one that lasted: as long as the longest wait for another. */
export function streamOpened<S extends Holder>(session: S, claim: Claim, env: Env): S {
  const { attempt } = session.stream
  // Of an earlier try: what ends it later would not end the one that has taken its place.
  if (!isRunning(attempt, claim)) return session
  return {
    ...session,
    activeAt: env.now,
    stream: { ...CLOSED, isOpen: true, attempt: { ...attempt, retryAt: env.now + backoffMs(attempt.count, 1) } },
  }
}

export function streamClosed<S extends Holder>(session: S, claim: Claim, env: Env, retryAfterMs = 0): S {
  const { attempt, isOpen } = session.stream
  if (!isRunning(attempt, claim)) return session
  // A stream that lasted starts its backoff anew; one that ends as soon as it opens does not.
  const running = isOpen && env.now >= attempt.retryAt ? { ...attempt, count: 1 } : attempt
  return {
    ...session,
    stream: { ...CLOSED, attempt: fail(running, { ...claim, count: running.count }, env, retryAfterMs) },
  }
}
