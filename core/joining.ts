// Between the wish to join a session to a user and the answer, nobody knows whose it is.

import { begin, claimOf, type Env, fail } from './attempt.ts'
import type { Session } from './session.ts'
import type { EpochMs } from './wire.ts'

/** Longer than that nobody waits for the answer. Meanwhile nothing is said in a session that may be another's. */
const JOINING_MS_MAX = 60_000

/** Is the answer still awaited? A clock that was set back says nothing of how long it was. */
export const isJoining = ({ joiningUntil = 0 }: Session, now: EpochMs): boolean =>
  joiningUntil > now && joiningUntil <= now + JOINING_MS_MAX

/** How the wish to join a session to a user stands. */
export type Joining = 'asked' | 'unknown' | 'refused'

export const settled = ({ joiningUntil: _, ...session }: Session): Session => session
/** It is asked for again before anything of it is used. */
export const doubted = (session: Session): Session => ({ ...settled(session), isValidated: false })

/** @param retryAfterMs the wish of the platform, which is about what is asked next as well */
export function joining(session: Session, step: Joining, env: Env, retryAfterMs = 0): Session {
  if (step === 'asked') return { ...session, joiningUntil: env.now + JOINING_MS_MAX }
  if (step !== 'unknown') return settled(session)
  if (retryAfterMs === 0) return doubted(session)
  const opening = begin(session.opening, env, 0)
  return { ...doubted(session), opening: fail(opening, claimOf(opening), env, retryAfterMs) }
}

/** Whoever asked is no more. */
export const restarted = (session: Session): Session => (session.joiningUntil ? doubted(session) : session)
