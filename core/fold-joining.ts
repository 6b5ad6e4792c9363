// A sign-in, folded in: of those that several incarnations begin, one at a time asks, and only the last one is answered.

import type { Draft } from './draft.ts'
import { lease } from './fold-lease.ts'
import { heard, isAnother, session } from './fold-parts.ts'
import type { Input, Reply } from './inputs.ts'
import { isJoinable } from './joining.ts'
import { newSession } from './session.ts'

/** Says nothing where the service may not be asked now: somebody else was first, or the token has changed since. */
export function joining(draft: Draft, input: Input & { type: 'joining' }): Reply | undefined {
  const { slots } = draft
  const isIt = slots.session.epoch === input.epoch && slots.lease.generation === input.generation
  if (input.step === 'asked') {
    if (!isIt || !isJoinable(slots)) return undefined
    // The next token is had before it is asked whose the session is: behind that, the service hears this one no more.
    lease(draft, { type: 'forgotten', generation: slots.lease.generation })
  }
  session(draft, input)
  return { value: null }
}

export function identified(draft: Draft, { joiner, opened, grant, refresh }: Input & { type: 'identified' }): void {
  const { session: present } = draft.slots
  // Signed out meanwhile, or asked for somebody else: the answer is about who is gone.
  if (present.joiner !== joiner || present.wipe !== null || isAnother(present, opened)) return
  if (present.isSignedOut) draft.slots.session = { ...newSession(present.epoch), tabs: present.tabs }
  const { lease: held } = draft.slots
  // Nothing was rotated: what may be on the wire for the cookie is repeated under its key.
  const pending = refresh ?? (grant.refresh === undefined && held.status === 'held' ? held.refresh : undefined)
  lease(draft, { type: 'granted', grant, ...(pending && { refresh: pending }) })
  session(draft, { type: 'identified', opened })
  heard(draft)
}
