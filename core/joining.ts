// Between the wish to join a session to a user and the answer, nobody knows whose it is.

import type { Session } from './session.ts'

/** How the wish to join a session to a user stands. */
export type Joining = 'asked' | 'unknown' | 'refused'

export const settled = ({ isJoining: _, ...session }: Session): Session => session
/** It is asked for again before anything of it is used. */
export const doubted = (session: Session): Session => ({ ...settled(session), isValidated: false })
