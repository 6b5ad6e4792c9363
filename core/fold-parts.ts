// What every kind of happening is folded with: the machines of a turn, and what it means that the service answers.

import { behind } from './behind.ts'
import { type ContextInput, reduce as reduceContext } from './context.ts'
import { type Draft, followConversation, outbox, transcript } from './draft.ts'
import { lease } from './fold-lease.ts'
import { type Opened, reduce as reduceSession, type Session, type SessionInput } from './session.ts'

export const session = (draft: Draft, input: SessionInput): void => {
  const former = draft.slots.session.conversation
  draft.slots.session = reduceSession(draft.slots.session, input, draft.env)
  followConversation(draft)
  const next = draft.slots.session.conversation
  // What cannot be read back from the present one is gone at the service, too: it stays no longer than there.
  if (former !== null && next !== null && next.id !== former.id && !behind(next).includes(former.id))
    draft.gone.push(former.id, ...behind(former))
}
export const context = (draft: Draft, input: ContextInput): void => {
  draft.slots.context = reduceContext(draft.slots.context, input, draft.env)
}

export function hurryAll(draft: Draft): void {
  session(draft, { type: 'woken' })
  for (const name of [undefined, ...Object.keys(draft.slots.leases ?? {})]) lease(draft, { type: 'woken' }, name)
  context(draft, { type: 'woken' })
  transcript(draft, { type: 'woken' })
  outbox(draft, { type: 'woken' })
}

/** The service answers. After a time without it, whatever waits out a backoff need not wait any longer. */
export function heard(draft: Draft): void {
  const wasOffline = !draft.slots.session.isOnline
  session(draft, { type: 'reached', isOnline: true })
  if (wasOffline) hurryAll(draft)
}

export const SIGNED_OUT = { isSignedOut: true, farewell: null, will: null }

/** Has another user signed in than the one that we know? */
export const isAnother = ({ userSession }: Session, { isAuthenticated, sessionId }: Opened): boolean =>
  isAuthenticated && userSession !== undefined && userSession !== sessionId
