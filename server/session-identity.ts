// Which session a visitor has after saying who they are: the deciding half of identity. Pure, like session.ts;
// proving the identity is the business of identity.ts, moving the rows that of store-identity.ts.

/** `formerUserId`: whose the session was that this one succeeds. */
export type Identified = { id: string; userId: string | null; formerUserId: string | null }

export type IdentifyVerdict =
  /** The session is this user's already. */
  | { type: 'same' }
  /** Nobody's session becomes the user's. `archiveFrom`: a session of theirs that has ended hands over what was said. */
  | { type: 'adopt'; archiveFrom: string | null }
  /** The user has a session: the family goes there. `brings`: what was said before the sign-in comes along. */
  | { type: 'move'; sessionId: string; brings: boolean }
  /** Another user's session, or what succeeds it, stays theirs, and this user begins one. */
  | { type: 'begin'; archiveFrom: string | null }

/**
 * @param own the session that the caller's family belongs to
 * @param users the session that was last the user's, if there is one
 */
export function identify(
  own: Identified,
  users: { id: string; isLive: boolean } | null,
  userId: string,
): IdentifyVerdict {
  const owner = own.userId ?? own.formerUserId
  const isTheirs = owner === null || owner === userId
  if (users?.isLive && users.id !== own.id) return { type: 'move', sessionId: users.id, brings: isTheirs }
  if (own.userId === userId) return { type: 'same' }
  const archiveFrom = users !== null && users.id !== own.id ? users.id : null
  return isTheirs ? { type: 'adopt', archiveFrom } : { type: 'begin', archiveFrom }
}
