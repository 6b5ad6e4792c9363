// What happened, folded onto one of the leases.

import type { Draft } from './draft.ts'
import type { ErrorCode } from './errors.ts'
import type { Input } from './inputs.ts'
import { type LeaseInput, reduce } from './lease.ts'
import { leaseOf, putLease } from './leases.ts'

/** @param name which one: without it, that of the session */
export const lease = (draft: Draft, input: LeaseInput, name?: string): void =>
  putLease(draft.slots, reduce(leaseOf(draft.slots, name), input, draft.env), name)

type Rejection = Pick<Input & { type: 'rejected' }, 'generation' | 'lease' | 'isForgotten'>

export const reject = (draft: Draft, { generation, lease: name, isForgotten }: Rejection): void =>
  lease(draft, { type: isForgotten ? 'forgotten' : 'rejected', generation }, name)

/** The stream is open: whatever it runs on has worked. */
export function proved(draft: Draft): void {
  for (const [name, { isVital, lease: held }] of Object.entries(draft.slots.leases ?? {}))
    if (isVital) lease(draft, { type: 'accepted', generation: held.generation }, name)
}

/** No other try will do. Where it was for a sign-in that is missing or not accepted, the visitor has signed in before. */
export function denied(draft: Draft, code: ErrorCode, name: string | undefined): void {
  const { slots, env } = draft
  putLease(slots, reduce(leaseOf(slots, name), { type: 'denied', code }, env), name, true)
  if (name !== undefined) slots.session = { ...slots.session, isAuthenticated: true }
}

/** What somebody who uses a token says of it. */
export function foldLease(draft: Draft, input: Input & { type: 'rejected' | 'proved' | 'needed' }): void {
  if (input.type === 'needed') draft.needed.add(input.lease)
  else if (input.type === 'proved') lease(draft, { type: 'accepted', generation: input.generation }, input.lease)
  else reject(draft, input)
}
