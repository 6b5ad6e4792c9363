// One conversation after the other: what is known of each, and what the present one follows, as far back as it is known.

import type { Opened } from './session.ts'
import type { ConversationState, Snapshot } from './wire.ts'

export type PreviousState = NonNullable<NonNullable<Snapshot['conversation']>['previousState']>

export interface Conversation {
  readonly id: string
  readonly participantId: string
  readonly state: ConversationState
  readonly previousId?: string
  /** The earlier one that could not be resumed. */
  readonly resumedFrom?: string
  readonly previousState?: PreviousState
  /** The session that it was met in: only there may it be asked for again. */
  readonly sessionId?: string | null
  /** The conversations before this one that are known here, newest first. */
  readonly behind?: readonly string[]
  /** It was there already, made or used by another device. */
  readonly isJoined?: boolean
}

/** What is taken from the `seq` of a message for each conversation that it is back in the history. */
export const FORMER_STRIDE = 2 ** 32
/** Conversations that can be read back from the present one. */
const BEHIND_MAX = 50

/** The conversations before this one, newest first. */
export const behind = ({ behind, previousId }: Conversation): readonly string[] =>
  behind ?? (previousId === undefined ? [] : [previousId])

/**
 * The conversation that takes the place of another, which it names: but not one that its own session no longer knows.
 */
export function after(former: Conversation, next: Conversation, state?: ConversationState | 'gone'): Conversation {
  if (state === 'gone' && former.sessionId === next.sessionId) return next
  const ids = [former.id, ...behind(former).filter((id) => ![former.id, next.id].includes(id))]
  return { previousId: former.id, ...next, resumedFrom: former.id, behind: ids.slice(0, BEHIND_MAX) }
}

/**
 * What the platform has found for us, and ours as it is by its word: one that expired, or is in the archive, is found to be
 * ours and over, never to be resumed.
 */
export function found(former: Conversation | null, { sessionId, succeeds, conversation, ...answer }: Opened) {
  const isHeir = former?.sessionId !== undefined && succeeds === former.sessionId
  const ours = former && { ...former, ...(isHeir && { sessionId }) }
  if (conversation === null) return { ours, conversation }
  const theirs = { ...conversation, isJoined: answer.isActiveElsewhere, sessionId }
  const { state } = theirs
  if (state !== 'expired' && state !== 'archived') return { ours, conversation: theirs }
  const isSame = ours === null || ours.id === theirs.id
  const participantId = theirs.participantId || (ours?.participantId ?? '')
  const left = isSame ? { ...ours, ...theirs, participantId } : after(ours, theirs, answer.formerState)
  return { ours: { ...left, isJoined: false }, conversation: null, formerState: state }
}
