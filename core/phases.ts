// Machine, second half: which of the three phases of a session is due now (discover, validate, merge).
// The states and what changes them are in session.ts.

import { type Attempt, type Claim, due, type Env, isDue, type Plan, TRY_MS } from './attempt.ts'
import { doubted, isJoining } from './joining.ts'
import { type Asked, CLOSED, isOver, needsOpening, type Session } from './session.ts'
import type { Sealed } from './lease.ts'
import type { Attributes } from './wire.ts'

export interface OpenAction {
  readonly type: 'open'
  readonly claim: Claim
  readonly conversationId: string | null
}

export interface MakeAction extends Asked {
  readonly type: 'make'
  readonly claim: Claim
}

export interface ConnectAction {
  readonly type: 'connect'
  readonly claim: Claim
  readonly conversationId: string
}

export interface PartAction {
  readonly type: 'part'
  readonly claim: Claim
  /** Nothing where a cookie says who is gone. */
  readonly will: Sealed | null
}

export const CONNECT_TIMEOUT_MS = 15_000
/** It waits for whatever may still set the cookie, and then takes its own time. */
export const PART_TIMEOUT_MS = 35_000

export type SessionPlan = Plan<Session, OpenAction | MakeAction | ConnectAction | PartAction>

/** What the rest of the state allows: who else wants something, and with which credentials. */
export interface Gate {
  /** Somebody wants the session: a tab is open, or messages wait. */
  readonly isWanted: boolean
  /** The platform can be asked to open it with what we hold. */
  readonly canOpen: boolean
  /** There is a token for calls. */
  readonly canCall: boolean
  /** The stream needs another token first. */
  readonly isBlocked?: boolean
  /** What a new conversation is to know from its beginning. */
  readonly attributes: Attributes
}

/** It is to be opened, or that is under way: where the answer brings a token, nobody asks for another beside it. */
export const isBeingOpened = (session: Session, env: Env): boolean =>
  needsOpening(session, env.now) || (session.opening.status === 'running' && !isDue(session.opening, env))

/** Says which of the three phases is due. At most one action: each phase waits for the one before. */
export function plan(session: Session, gate: Gate, env: Env): SessionPlan {
  if (session.isSignedOut || session.refusal !== null || !gate.isWanted) return { state: session }
  if (session.joiningUntil !== undefined) {
    if (isJoining(session, env.now)) return { state: session, wakeAt: session.joiningUntil }
    return plan(doubted(session), gate, env)
  }
  if (needsOpening(session, env.now)) return gate.canOpen ? open(session, env) : { state: session }
  if (!gate.canCall) return { state: session }
  const { conversation } = session
  if (conversation === null || session.isNewWanted) return make(session, gate, env)
  if (isOver(conversation.state) || session.stream.isOpen || session.tabs === 0 || gate.isBlocked)
    return { state: session }
  return connect(session, conversation.id, env)
}

/** Tells the service that a visitor is gone. A cookie goes on naming them until then, so nobody else is opened with it. */
export const planFarewell = (session: Session & { readonly farewell: Attempt }, env: Env): SessionPlan =>
  due(session, session.farewell, env, PART_TIMEOUT_MS, (farewell, claim) => ({
    state: { ...session, farewell },
    action: { type: 'part', claim, will: session.will ?? null },
  }))

const open = (session: Session, env: Env): SessionPlan =>
  due(session, session.opening, env, TRY_MS, (opening, claim) => ({
    state: { ...session, opening },
    action: { type: 'open', claim, conversationId: session.conversation?.id ?? null },
  }))

/** A key stands for one request: until its outcome is known every try asks for the same, whatever has changed since. */
const make = (session: Session, { attributes }: Gate, env: Env): SessionPlan =>
  due(session, session.making, env, TRY_MS, (making, claim) => {
    const former = session.making.status === 'idle' ? null : session.asked
    const asked = former ?? { previousId: session.conversation?.id ?? null, routing: session.routing, attributes }
    return { state: { ...session, making, asked }, action: { type: 'make', claim, ...asked } }
  })

const connect = (session: Session, conversationId: string, env: Env): SessionPlan =>
  due(session, session.stream.attempt, env, CONNECT_TIMEOUT_MS, (attempt, claim) => ({
    state: { ...session, stream: { ...CLOSED, attempt } },
    action: { type: 'connect', claim, conversationId },
  }))
