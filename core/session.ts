// Machine: one session, one conversation, one stream: the three phases (discover, validate, merge), what may never be
// resumed. Leaves to others: the tokens (lease.ts), what is said (transcript.ts), the wire.

import { type Attempt, answers, type Claim, type Env, fail, hurry, IDLE } from './attempt.ts'
import type { ErrorCode } from './errors.ts'
import { after, type Conversation, found } from './behind.ts'
import { joining, type JoiningStep, restarted, settled } from './joining.ts'
import { type Expiry, expiryOf, isDoubtful, NO_EXPIRY } from './expiry.ts'
import type { Sealed } from './lease.ts'
import { CLOSED, down, type Stream, streamClosed, streamOpened } from './live.ts'
import type { Attributes, ConversationState, EpochMs } from './wire.ts'

export { behind, type Conversation } from './behind.ts'
export { CLOSED } from './live.ts'

export interface Session {
  /** One identity, from its first turn to its logout. In every record, so that nothing outlives it. */
  readonly epoch: string
  readonly id: string | null
  readonly isAuthenticated: boolean
  /** The session of the user who signed in last: in another one, somebody else is signed in. */
  readonly userSession?: string
  /** The service was asked to join it to a user: until the answer is here nobody knows whose it is. */
  readonly joiningUntil?: EpochMs
  /** Which sign-in asked last, of all incarnations: the answer to any other is about nobody. */
  readonly joiner?: string
  readonly expiresAt: EpochMs
  readonly expiry: Expiry
  readonly conversation: Conversation | null
  /** Counts the conversations of this browser: the lane of entries written before their conversation exists. */
  readonly laneNumber: number
  readonly routing: Attributes
  /** The conversation is over and another is to be made in its place. */
  readonly isNewWanted: boolean
  /** Open or resume: is what is stored still alive? */
  readonly opening: Attempt
  /** No try to open it, or to get a further token, has left yet: of the first that fails a site is told. */
  readonly isUntold?: boolean | undefined
  readonly making: Attempt
  /** What the running or waiting attempt to make a conversation asks for. */
  readonly asked: Asked | null
  readonly stream: Stream
  /** Why the session cannot be opened at all, until the site changes something. */
  readonly refusal: ErrorCode | null
  readonly activeAt: EpochMs
  readonly isValidated: boolean
  readonly isActiveElsewhere: boolean
  readonly tabs: number
  readonly isOnline: boolean
  readonly isSignedOut: boolean
  /** Key of the logout that ended who was here before. */
  readonly leftBy?: string | undefined
  /** The service is still to hear that a former visitor is gone. */
  readonly farewell: Attempt | null
  /** What it is told with, where no cookie says who is gone: sealed apart. */
  readonly will: Sealed | null
  /** The emptied database is still to be deleted: until then nobody new begins. */
  readonly wipe: 'due' | null
}

export interface Asked {
  readonly previousId: string | null
  readonly routing: Attributes
  readonly attributes: Attributes
}

/** The platform's word on a session that is opened or resumed. `conversation` is null when there is none to resume. */
export interface Opened {
  readonly sessionId: string
  readonly isAuthenticated: boolean
  readonly expiresAt: EpochMs
  readonly conversation: Conversation | null
  /** Of the conversation we asked for, when it is not the one above. */
  readonly formerState?: ConversationState | 'gone'
  /** The session, expired, whose archive this one has taken over. */
  readonly succeeds?: string
  readonly isActiveElsewhere: boolean
  /** Nobody was asked: what is known of the conversation holds until the stream says otherwise. */
  readonly isUnasked?: true
}

export type SessionInput =
  | { readonly type: 'started' }
  | { readonly type: 'opened'; readonly claim: Claim; readonly opened: Opened }
  | { readonly type: 'identified'; readonly opened: Opened }
  | ({ readonly type: 'joining' } & JoiningStep)
  | { readonly type: 'open-failed'; readonly claim: Claim; readonly retryAfterMs?: number }
  | { readonly type: 'open-refused'; readonly claim: Claim; readonly code: ErrorCode }
  | { readonly type: 'made'; readonly claim: Claim; readonly conversation: Conversation }
  | { readonly type: 'make-failed'; readonly claim: Claim; readonly retryAfterMs?: number }
  | { readonly type: 'conversation-changed'; readonly id: string; readonly state: ConversationState }
  | { readonly type: 'stream-opened'; readonly claim: Claim }
  | { readonly type: 'stream-closed'; readonly claim: Claim; readonly retryAfterMs?: number }
  | { readonly type: 'parted'; readonly claim: Claim }
  | { readonly type: 'part-failed'; readonly claim: Claim; readonly retryAfterMs?: number }
  | { readonly type: 'session-lost' }
  | { readonly type: 'new-wanted'; readonly routing: Attributes }
  | { readonly type: 'tabs-changed'; readonly count: number }
  | { readonly type: 'reached'; readonly isOnline: boolean }
  | { readonly type: 'woken' }

/** What was quiet for longer is asked about before it is used. */
export const VALIDATE_AFTER_MS = 15 * 60_000

export const newSession = (epoch: string): Session => ({
  epoch,
  id: null,
  isAuthenticated: false,
  expiresAt: 0,
  expiry: NO_EXPIRY,
  conversation: null,
  laneNumber: 1,
  routing: {},
  isNewWanted: false,
  opening: IDLE,
  making: IDLE,
  asked: null,
  stream: CLOSED,
  refusal: null,
  activeAt: 0,
  isValidated: false,
  isActiveElsewhere: false,
  tabs: 0,
  isOnline: true,
  isSignedOut: false,
  farewell: null,
  will: null,
  wipe: null,
})

export const laneNameOf = (session: Session): string => `${session.laneNumber}`

export const isOver = (state: ConversationState): boolean => state !== 'pending' && state !== 'active'

/** Do messages of this lane go out by themselves, sooner or later? Those of every other lane are parked. */
export const isLaneOpen = (session: Session, lane: string): boolean =>
  lane === laneNameOf(session) && !isPresentOver(session)

/** The conversation has ended, and no other has been asked for. */
export const isPresentOver = ({ conversation, isNewWanted }: Session): boolean =>
  conversation !== null && isOver(conversation.state) && !isNewWanted

/** May messages flow into the present conversation? */
export const isConversationOpen = ({ isValidated, joiningUntil, conversation }: Session): boolean =>
  isValidated && joiningUntil === undefined && conversation !== null && !isOver(conversation.state)

/** Must the platform be asked before anything stored is used? */
export function needsOpening(session: Session, now: EpochMs): boolean {
  const isEnding = session.tabs > 0 && isDoubtful(session.expiry, now)
  if (session.id === null || !session.isValidated || isEnding) return true
  // A clock that was set back says nothing about how long it was quiet.
  const quietMs = now - session.activeAt
  return !session.stream.isOpen && (quietMs > VALIDATE_AFTER_MS || quietMs < -VALIDATE_AFTER_MS)
}

export function reduce(session: Session, input: SessionInput, env: Env): Session {
  switch (input.type) {
    case 'started':
      return { ...restarted(session), stream: down(session.stream), tabs: 0 }
    case 'opened':
      return answers(session.opening, input.claim) ? adopt(session, input.opened, env) : session
    case 'identified':
      return settled(adopt(session, input.opened, env))
    case 'joining':
      return joining(session, input, env)
    case 'open-failed':
      return { ...session, opening: fail(session.opening, input.claim, env, input.retryAfterMs) }
    case 'open-refused':
      return answers(session.opening, input.claim) ? { ...session, opening: IDLE, refusal: input.code } : session
    case 'made':
      return answers(session.making, input.claim) ? made(session, input.conversation, env) : session
    case 'make-failed':
      return { ...session, making: fail(session.making, input.claim, env, input.retryAfterMs) }
    case 'conversation-changed':
      return changed(session, input.id, input.state)
    case 'stream-opened':
      return streamOpened(session, input.claim, env)
    case 'stream-closed':
      return streamClosed(session, input.claim, env, input.retryAfterMs)
    case 'parted':
      if (session.farewell === null || !answers(session.farewell, input.claim)) return session
      return { ...session, farewell: null, will: null }
    case 'part-failed':
      if (session.farewell === null) return session
      return { ...session, farewell: fail(session.farewell, input.claim, env, input.retryAfterMs) }
    case 'session-lost':
      return { ...session, isValidated: false, stream: down(session.stream) }
    case 'new-wanted':
      return renewed(session, input.routing)
    case 'tabs-changed':
      // Another page may be another version of the site: what was refused is asked again. Without a tab nobody listens.
      return {
        ...session,
        tabs: input.count,
        refusal: null,
        ...(input.count === 0 && { stream: down(session.stream) }),
      }
    case 'reached':
      return { ...session, isOnline: input.isOnline, activeAt: input.isOnline ? env.now : session.activeAt }
    case 'woken':
      return wake(session, env.now)
  }
}

const wake = (session: Session, now: EpochMs): Session => ({
  ...session,
  refusal: null,
  opening: hurry(session.opening, now),
  making: hurry(session.making, now),
  stream: { ...session.stream, attempt: hurry(session.stream.attempt, now) },
  farewell: session.farewell === null ? null : hurry(session.farewell, now),
})

function changed(session: Session, id: string, state: ConversationState): Session {
  if (session.conversation?.id !== id || session.conversation.state === state) return session
  const conversation = { ...session.conversation, state }
  return isOver(state) ? { ...session, conversation, stream: CLOSED } : { ...session, conversation }
}

/** The last hour of a `Date`: who says "never" means that, and it is read back from the disk. */
const TIME_MAX = 8.64e15

/** Takes over what the platform says. What cannot be resumed is kept as a reference and never written to again. */
function adopt(session: Session, answer: Opened, env: Env): Session {
  const { sessionId: id, isAuthenticated, isActiveElsewhere } = answer
  const expiresAt = Math.min(answer.expiresAt, TIME_MAX)
  const opened = { ...answer, ...found(session.conversation, answer) }
  const base = {
    ...session,
    expiry: expiryOf(session.expiry, opened.isUnasked || expiresAt === session.expiresAt, expiresAt, env.now),
    id,
    isAuthenticated,
    ...(isAuthenticated && { userSession: id }),
    expiresAt,
    isActiveElsewhere,
    opening: IDLE,
    refusal: null,
    activeAt: env.now,
    isValidated: true,
  }
  if (opened.isUnasked) return { ...base, isAuthenticated: session.isAuthenticated, expiresAt: session.expiresAt }
  const { ours } = opened
  if (ours === null) return { ...base, conversation: opened.conversation }
  if (opened.conversation?.id === ours.id) {
    const participantId = opened.conversation.participantId || ours.participantId
    // An open stream has told what came behind an answer that was on its way.
    const state = session.stream.isOpen ? ours.state : opened.conversation.state
    return { ...base, conversation: { ...ours, ...opened.conversation, participantId, state } }
  }
  // A new one has been asked for already: its lane is open, and takes what the platform has or what will be made.
  if (session.isNewWanted) {
    if (opened.conversation === null) return base
    return {
      ...base,
      conversation: after(ours, opened.conversation, opened.formerState),
      isNewWanted: false,
      stream: CLOSED,
    }
  }
  // The visitor knows that it was closed: it stays on screen as ended until a new one is asked for.
  if (opened.conversation === null && (opened.formerState ?? ours.state) === 'closed') {
    return { ...base, conversation: { ...ours, state: 'closed' }, stream: CLOSED }
  }
  const next = opened.conversation === null ? null : after(ours, opened.conversation, opened.formerState)
  const state = !opened.formerState || opened.formerState === 'gone' ? 'expired' : opened.formerState
  const former = { ...ours, state }
  return {
    ...base,
    // What was written before anything was known of a conversation is for the one to come.
    laneNumber: session.laneNumber + (session.conversation === null ? 0 : 1),
    conversation: next ?? former,
    isNewWanted: next === null,
    stream: CLOSED,
  }
}

/** Joins the new conversation to the one it replaces, if that could not be resumed. */
function made(session: Session, conversation: Conversation, env: Env): Session {
  const former = session.conversation
  const isKnown = former === null || former.id === conversation.id
  const here = { ...conversation, sessionId: session.id }
  const next = isKnown ? { ...former, ...here } : after(former, here, conversation.previousState)
  return {
    ...session,
    conversation: next,
    making: IDLE,
    asked: null,
    isNewWanted: false,
    activeAt: env.now,
    stream: CLOSED,
  }
}

/** The site asks for a new conversation after the old one ended. One that is open stays. */
function renewed(session: Session, routing: Attributes): Session {
  const { conversation } = session
  if (session.isNewWanted || conversation === null) return { ...session, routing }
  if (!isOver(conversation.state)) return session
  return { ...session, routing, laneNumber: session.laneNumber + 1, isNewWanted: true, making: IDLE }
}
