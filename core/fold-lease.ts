// What happened, folded onto one of the leases.

import type { Draft } from './draft.ts'
import type { Input } from './inputs.ts'
import { type LeaseInput, reduce } from './lease.ts'
import { leaseOf, putLease } from './leases.ts'

/** @param name which one: without it, that of the session */
export const lease = (draft: Draft, input: LeaseInput, name?: string): void =>
  putLease(draft.slots, reduce(leaseOf(draft.slots, name), input, draft.env), name)

type Rejection = Pick<Input & { type: 'rejected' }, 'generation' | 'lease' | 'isForgotten'>

export const reject = (draft: Draft, { generation, lease: name, isForgotten }: Rejection): void =>
  lease(draft, { type: isForgotten ? 'forgotten' : 'rejected', generation }, name)

/** What somebody who uses a token says of it. */
export function foldLease(draft: Draft, input: Input & { type: 'rejected' | 'proved' | 'needed' }): void {
  if (input.type === 'needed') draft.needed.add(input.lease)
  else if (input.type === 'proved') lease(draft, { type: 'accepted', generation: input.generation }, input.lease)
  else reject(draft, input)
}
