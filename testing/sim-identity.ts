// Signing in at the simulated service: whose session it is from then on, by the rules of server/session-identity.ts.

import { identify } from '../server/session-identity.ts'
import type { Session, SimService } from './sim-service.ts'
import type { Access } from './sim-tokens.ts'

/** Says which session the family has now. What a guest of that session had is not brought along: users are met once. */
export function signIn(service: SimService, { familyId, sessionId }: Access, userId: string): string {
  const family = service.families.get(familyId)
  const own = service.sessions.get(sessionId)
  if (family === undefined || own === undefined) return sessionId
  const users = [...service.sessions.values()].filter((session) => session.userId === userId).at(-1)
  const known = users === undefined ? null : { id: users.id, isLive: users.state === 'active' }
  const { userId: owner = null, formerUserId = null } = own
  const verdict = identify({ id: own.id, userId: owner, formerUserId }, known, userId)
  if (verdict.type === 'same') return own.id
  if (verdict.type === 'adopt') {
    own.userId = userId
    return own.id
  }
  const target = verdict.type === 'move' ? verdict.sessionId : begin(service, own, userId)
  service.families.set(familyId, { ...family, sessionId: target })
  service.onMoved(familyId)
  return target
}

function begin(service: SimService, { expiresAt }: Session, userId: string): string {
  const id = service.id('session')
  service.sessions.set(id, { id, state: 'active', expiresAt, userId })
  return id
}
