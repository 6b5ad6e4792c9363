// The deciding half of the session service: token families, the lives of sessions and conversations,
// and what may be written where. Pure: rows and instants come in, rows and verdicts go out. Tables,
// tokens, clocks and HTTP are the business of others; the simulator runs this file over maps.

export type EpochMs = number

/** Successor answers given to another key, or to none, within one window before the family is asked to wait. */
export const REPLAYS_MAX = 5
/** After this much quiet the count of such answers starts again, so that a bad network is never locked out for good. */
export const REPLAY_WINDOW_MS = 60_000
/** How long the same key is still answered after the successor was first used: tabs that raced the winner. */
export const REPLAY_GRACE_MS = 30_000
/** So long after a rotation a request that opened the session, and was held up on its way, is known again by its key. */
export const LATE_OPENING_MS = 10 * 60_000

/** All refresh tokens descended from one first grant. Only the current generation is stored. */
export type Family = {
  id: string
  sessionId: string
  /** Generation of the newest refresh token, from 1. */
  generation: number
  /** Hash of the key that caused the last rotation; null where the caller sent none. */
  keyHash: string | null
  /** When the newest generation was first seen in use; null while nothing proves that it arrived. */
  confirmedAt: EpochMs | null
  replays: number
  replaysSince: EpochMs
  expiresAt: EpochMs
  revokedAt: EpochMs | null
  revokeReason: RevokeReason | null
}

export type RevokeReason = 'reuse' | 'signed-out' | 'succeeded'

export function newFamily(id: string, sessionId: string, now: EpochMs, lifetimeMs: number): Family {
  return {
    id,
    sessionId,
    generation: 1,
    keyHash: null,
    confirmedAt: null,
    replays: 0,
    replaysSince: now,
    expiresAt: now + lifetimeMs,
    revokedAt: null,
    revokeReason: null,
  }
}

export type RotateVerdict =
  /** A new successor, or the one issued before. `family` is what to store. */
  | { type: 'rotated' | 'replayed'; family: Family }
  /** Too many answers without proof of arrival. The family stays as it is. */
  | { type: 'wait'; retryAfterMs: number }
  /** A spent token in other hands: `family` is revoked. */
  | { type: 'reuse'; family: Family }
  /** Not acceptable, and nothing changes. */
  | { type: 'invalid'; reason: 'revoked' | 'expired' | 'spent' }

export type Presented = { generation: number; keyHash: string | null }

/** Decides what a presented refresh token gets. Its MAC has been checked before. */
export function rotate(family: Family, presented: Presented, now: EpochMs, lifetimeMs: number): RotateVerdict {
  if (family.revokedAt !== null) return { type: 'invalid', reason: 'revoked' }
  if (family.expiresAt <= now) return { type: 'invalid', reason: 'expired' }

  // A generation above ours is genuine too: the table was restored from an older copy.
  if (presented.generation >= family.generation) {
    const generation = presented.generation + 1
    const fresh = newFamily(family.id, family.sessionId, now, lifetimeMs)
    return { type: 'rotated', family: { ...fresh, generation, keyHash: presented.keyHash } }
  }
  const isSameKey = presented.keyHash !== null && presented.keyHash === family.keyHash
  // One key may have rotated twice, its first answer lost with whoever asked: then this is a late copy of that request.
  if (presented.generation < family.generation - 1) {
    return isSameKey ? { type: 'invalid', reason: 'spent' } : { type: 'reuse', family: revoke(family, 'reuse', now) }
  }
  return replay(family, isSameKey, now)
}

/** The parent of the newest token came back: its answer may have been lost, or someone holds a copy. */
function replay(family: Family, isSameKey: boolean, now: EpochMs): RotateVerdict {
  if (family.confirmedAt !== null) {
    if (!isSameKey) return { type: 'reuse', family: revoke(family, 'reuse', now) }
    // The key is as secret as the token: this is a late copy of an answered request, not a thief.
    if (now - family.confirmedAt >= REPLAY_GRACE_MS) return { type: 'invalid', reason: 'spent' }
    return { type: 'replayed', family }
  }
  if (isSameKey) return { type: 'replayed', family }

  const windowEndsAt = family.replaysSince + REPLAY_WINDOW_MS
  if (now >= windowEndsAt) return { type: 'replayed', family: { ...family, replays: 1, replaysSince: now } }
  if (family.replays >= REPLAYS_MAX) return { type: 'wait', retryAfterMs: windowEndsAt - now }
  return { type: 'replayed', family: { ...family, replays: family.replays + 1 } }
}

/** An access token of this generation was seen: the answer that carried it has arrived. */
export function confirm(family: Family, generation: number, now: EpochMs): Family {
  if (family.revokedAt !== null || family.confirmedAt !== null || generation !== family.generation) return family
  return { ...family, confirmedAt: now }
}

export function revoke(family: Family, reason: RevokeReason, now: EpochMs): Family {
  return family.revokedAt === null ? { ...family, revokedAt: now, revokeReason: reason } : family
}

export function isLive(family: Family, now: EpochMs): boolean {
  return family.revokedAt === null && family.expiresAt > now
}

export type SessionState = 'active' | 'expired' | 'ended' | 'archived'
/** `seen`: a grant was issued. `lapsed`: the sliding lifetime passed. `signed-out`: revoked by its owner. */
export type SessionEvent = 'seen' | 'lapsed' | 'signed-out' | 'retired'

const SESSION_LIFE: Record<SessionState, Partial<Record<SessionEvent, SessionState>>> = {
  active: { seen: 'active', lapsed: 'expired', 'signed-out': 'ended' },
  expired: { lapsed: 'expired', 'signed-out': 'ended', retired: 'archived' },
  ended: { lapsed: 'ended', 'signed-out': 'ended', retired: 'archived' },
  archived: { lapsed: 'archived', 'signed-out': 'archived', retired: 'archived' },
}

/** The state after an event, or null where the event is not allowed: what has ended is never seen again. */
export function advanceSession(state: SessionState, event: SessionEvent): SessionState | null {
  return SESSION_LIFE[state][event] ?? null
}

export type ConversationState = 'pending' | 'active' | 'closed' | 'expired' | 'archived'
export type ConversationEvent = 'customer-message' | 'agent-message' | 'change' | 'close' | 'idle' | 'retire'

const CONVERSATION_LIFE: Record<ConversationState, Partial<Record<ConversationEvent, ConversationState>>> = {
  pending: {
    'customer-message': 'active',
    'agent-message': 'pending',
    change: 'pending',
    close: 'closed',
    idle: 'expired',
  },
  active: {
    'customer-message': 'active',
    'agent-message': 'active',
    change: 'active',
    close: 'closed',
    idle: 'expired',
  },
  closed: { close: 'closed', retire: 'archived' },
  expired: { close: 'expired', retire: 'archived' },
  archived: { close: 'archived', retire: 'archived' },
}

/** The state after an event, or null where the event is refused. Nothing leads back to an open state. */
export function advance(state: ConversationState, event: ConversationEvent): ConversationState | null {
  return CONVERSATION_LIFE[state][event] ?? null
}

export function isOpen(state: ConversationState): boolean {
  return state === 'pending' || state === 'active'
}

/** Who calls. The customer acts for one session, the agent for one deployment. */
export type Caller =
  | { role: 'customer'; deploymentId: string; sessionId: string; familyId: string; generation: number }
  | { role: 'agent'; deploymentId: string; agentId: string; name: string }

/** Someone else's conversation is treated like one that does not exist. */
export function mayEnter(caller: Caller, conversation: { deploymentId: string; sessionId: string }): boolean {
  if (caller.deploymentId !== conversation.deploymentId) return false
  return caller.role === 'agent' || caller.sessionId === conversation.sessionId
}

/** What had become of the conversation before. `gone`: the one that was named is not, or no more, of this session. */
export type PreviousState = Exclude<ConversationState, 'pending' | 'active'> | 'gone'

export type OpenVerdict =
  | { type: 'join'; conversationId: string }
  /** `previousId` is the one before it; `resumedFrom` the same, if it has expired or rests in the archive. */
  | {
      type: 'create'
      previousId: string | null
      resumedFrom: string | null
      previousState: PreviousState | null
    }

/**
 * One open conversation per session: the second caller joins. A new one names the one before it.
 *
 * @param own the session's conversations, newest first
 * @param asked what the caller calls the previous one. Unless it is the session's own the last one is named, and where there
 *   is none, that it is gone: purged, another's and never there are the same to whoever asks.
 */
export function openConversation(
  own: readonly { id: string; state: ConversationState }[],
  asked?: string,
): OpenVerdict {
  const open = own.find((conversation) => isOpen(conversation.state))
  if (open !== undefined) return { type: 'join', conversationId: open.id }
  const previous = own.find((conversation) => conversation.id === asked) ?? own[0]
  if (previous === undefined)
    return { type: 'create', previousId: null, resumedFrom: null, previousState: asked === undefined ? null : 'gone' }
  const { id: previousId, state } = previous
  return {
    type: 'create',
    previousId,
    resumedFrom: state === 'closed' ? null : previousId,
    previousState: state as PreviousState,
  }
}

export type AdmitVerdict =
  | { type: 'replay' }
  | { type: 'refuse'; code: 'idempotency-key-reused' | 'conversation-closed' }
  | { type: 'append'; state: ConversationState }

/**
 * Whether a message is appended. The key comes before the state: a retry that arrives after the close
 * is owed its first answer.
 *
 * @param earlierHash request hash of the message that already has this key, if there is one
 */
export function admit(
  state: ConversationState,
  role: 'customer' | 'agent',
  requestHash: string,
  earlierHash?: string,
): AdmitVerdict {
  if (earlierHash !== undefined) {
    return earlierHash === requestHash ? { type: 'replay' } : { type: 'refuse', code: 'idempotency-key-reused' }
  }
  const next = advance(state, role === 'customer' ? 'customer-message' : 'agent-message')
  return next === null ? { type: 'refuse', code: 'conversation-closed' } : { type: 'append', state: next }
}

/** What a call that opens a session brought along, already looked up. */
export type OpenInput = {
  /** The cookie's family and the generation on the cookie; absent where there was no genuine cookie. */
  presented?: { family: Family; generation: number }
  /** The family that this very key opened or resumed last, its answer perhaps lost. */
  opened?: Family
  keyHash: string
}

export type OpenSessionVerdict =
  | Extract<RotateVerdict, { type: 'rotated' | 'replayed' | 'wait' }>
  /** The first answer to this key was lost with its cookie: the same session and grant again. */
  | { type: 'repeated'; family: Family }
  /** A new session. `revoked`: store this family too. `succeeds`: take over the archive of this expired session. */
  | { type: 'created'; revoked?: Family; succeeds?: Family }

/** Held up on its way until a refresh had gone by: at most two rotations ago, one of them by this very key. */
function isLateOpening(
  { family, generation }: NonNullable<OpenInput['presented']>,
  opened: Family | undefined,
  now: EpochMs,
): boolean {
  return opened?.id === family.id && generation >= family.generation - 2 && now - family.replaysSince < LATE_OPENING_MS
}

/** Opening resumes where it can: by the cookie, then by the key, else it begins anew. */
export function openSession(input: OpenInput, now: EpochMs, lifetimeMs: number): OpenSessionVerdict {
  const { presented, opened, keyHash } = input
  if (presented !== undefined) {
    const verdict = rotate(presented.family, { generation: presented.generation, keyHash }, now, lifetimeMs)
    if (verdict.type === 'rotated' || verdict.type === 'replayed' || verdict.type === 'wait') return verdict
    if (verdict.type === 'reuse') {
      // Nobody awaits it any more. Whoever does is no thief either, and may ask again: without the key it would be one.
      if (isLateOpening(presented, opened, now)) return { type: 'wait', retryAfterMs: REPLAY_GRACE_MS }
      return { type: 'created', revoked: verdict.family }
    }
    const isNewest = presented.generation >= presented.family.generation - 1
    if (verdict.type === 'invalid' && verdict.reason === 'expired' && isNewest) {
      return { type: 'created', succeeds: presented.family, revoked: revoke(presented.family, 'succeeded', now) }
    }
  }
  // Once the family has moved on, its owner holds a cookie; whoever comes with the key alone is someone else.
  if (opened !== undefined && isLive(opened, now) && opened.generation === 1)
    return { type: 'repeated', family: opened }
  return { type: 'created' }
}

export type Attributes = Record<string, unknown>

/** Merges key by key; null removes. Sorted, so that equal content has equal bytes. The same object when nothing changes. */
export function mergeAttributes(present: Attributes, delta: Attributes): Attributes {
  const merged = new Map(Object.entries(present))
  let changed = false
  for (const [key, value] of Object.entries(delta)) {
    if (value === null) changed = merged.delete(key) || changed
    else if (JSON.stringify(merged.get(key)) !== JSON.stringify(value)) {
      merged.set(key, value)
      changed = true
    }
  }
  return changed ? Object.fromEntries([...merged].sort(([a], [b]) => (a < b ? -1 : 1))) : present
}
