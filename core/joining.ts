// Between the wish to join a session to a user and the answer, nobody knows whose it is.

import { begin, claimOf, type Env, fail } from './attempt.ts'
import type { Session } from './session.ts'
import type { Slots } from './state.ts'
import type { EpochMs } from './wire.ts'

/** Longer than that nobody waits for the answer. Meanwhile nothing is said in a session that may be another's. */
const JOINING_MS_MAX = 60_000

/** Is the answer still awaited? A clock that was set back says nothing of how long it was. */
export const isJoining = ({ joiningUntil = 0 }: Session, now: EpochMs): boolean =>
  joiningUntil > now && joiningUntil <= now + JOINING_MS_MAX

/** How the wish to join a session to a user stands. */
export type Joining = 'asked' | 'unknown' | 'refused'

/** @property retryAfterMs the wish of the platform, which is about what is asked next as well */
export interface JoiningStep {
  readonly step: Joining
  readonly joiner: string
  readonly retryAfterMs?: number
}

/** Where another user takes over, nobody else begins for so long. */
const HEIR_MS_MAX = 10_000

/** Is there a session that nobody else is joining to a user, and that no answer on its way changes? */
export const isJoinable = ({ session, lease }: Slots): boolean =>
  session.id !== null &&
  session.isValidated &&
  session.joiningUntil === undefined &&
  !(lease.status === 'held' && lease.refresh.status === 'running')

/** The user who was wiped has an heir: what a tombstone says of the one who is to be adopted. */
export const heirOf = (joiner: string, now: EpochMs): Partial<Session> => ({ joiner, joiningUntil: now + HEIR_MS_MAX })

/** Is another user about to take over? Then nobody begins here. */
export const isInherited = (session: Session, now: EpochMs): boolean => session.isSignedOut && isJoining(session, now)

export const settled = ({ joiningUntil: _, joiner: __, ...session }: Session): Session => session
/** It is asked for again before anything of it is used. Until then the answer, if it comes, is welcome. */
export const doubted = ({ joiningUntil: _, ...session }: Session): Session => ({ ...session, isValidated: false })

export function joining(session: Session, { step, joiner, retryAfterMs = 0 }: JoiningStep, env: Env): Session {
  if (step === 'asked') return { ...session, joiner, joiningUntil: env.now + JOINING_MS_MAX }
  // Somebody else has been asked for since.
  if (session.joiner !== joiner) return session
  if (step !== 'unknown') return settled(session)
  if (retryAfterMs === 0) return doubted(session)
  const opening = begin(session.opening, env, 0)
  return { ...doubted(session), opening: fail(opening, claimOf(opening), env, retryAfterMs) }
}

/** Whoever asked is no more. */
export const restarted = (session: Session): Session => (session.joiningUntil ? doubted(session) : session)
