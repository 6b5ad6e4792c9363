// Grants as RFC 6749 shapes them, and the answer that carries one to whoever opened a session or signed in.
import type { Parts } from './parts.ts'
import type { Session } from './rows.ts'
import type { GrantWire, SessionWire } from './schemas.ts'
import { SCOPES } from './tokens.ts'
import { previousWire } from './wire.ts'

/** A grant without a refresh token: where that goes, cookie or body, is the route's choice. */
export async function grantFor(
  parts: Parts,
  session: Session,
  familyId: string,
  generation: number,
): Promise<GrantWire> {
  const now = parts.now()
  const caller = {
    role: 'customer',
    deploymentId: session.deploymentId,
    sessionId: session.id,
    familyId,
    generation,
  } as const
  // After a call-back of all tokens a new one must end later than those, or it would count among them.
  const leastMs = Math.ceil((parts.gate.expiredUpTo - now + 1) / 1000) * 1000
  const lifetimeMs = Math.max(parts.settings.accessTokenMs, leastMs)
  const { token } = await parts.tokens.accessToken(caller, now, lifetimeMs)
  return { access_token: token, token_type: 'Bearer', expires_in: lifetimeMs / 1000, scope: SCOPES.customer }
}

export async function openedWire(
  parts: Parts,
  session: Session,
  familyId: string,
  grant: GrantWire,
): Promise<SessionWire> {
  const conversation = await parts.store.conversations.latest(session.id)
  const stateSnapshot = await parts.store.sessions.snapshot(session.id)
  const standing = await parts.store.sessions.standing({ sessionId: session.id, familyId }, parts.now())
  return {
    persistentSessionId: session.id,
    epoch: standing.epoch,
    authenticated: session.userId !== null,
    expiresAt: session.expiresAt,
    conversation:
      conversation === undefined
        ? null
        : {
            id: conversation.id,
            state: conversation.state,
            ...previousWire(conversation),
          },
    ...(stateSnapshot !== undefined && { stateSnapshot }),
    activeElsewhere: standing.isActiveElsewhere || parts.hub.isActiveElsewhere(session.id, familyId),
    grant,
  }
}
