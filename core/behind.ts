// One conversation after the other: what the present one follows, as far back as it is known.

import type { Conversation } from './session.ts'

/** Conversations that can be read back from the present one. */
const BEHIND_MAX = 50

/** The conversations before this one, newest first. */
export const behind = ({ behind, previousId }: Conversation): readonly string[] =>
  behind ?? (previousId === undefined ? [] : [previousId])

/** The conversation that takes the place of another. */
export const after = (former: Conversation, next: Conversation): Conversation => ({
  ...next,
  resumedFrom: former.id,
  behind: [former.id, ...behind(former).filter((id) => id !== former.id)].slice(0, BEHIND_MAX),
})
