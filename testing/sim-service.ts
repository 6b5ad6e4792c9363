// The session service of a simulated world: the real rules of server/session.ts over tables in memory. Owns sessions,
// families, conversations and messages, and tells an auditor what it did. Calls reach it through sim-http.ts, streams
// through sim-feeds.ts.

import {
  type Attributes,
  admit,
  advance,
  advanceSession,
  type Family,
  isOpen,
  mergeAttributes,
  newFamily,
  type OpenSessionVerdict,
  openConversation,
  openSession,
  type RotateVerdict,
  revoke,
  rotate,
  type SessionState,
  type ConversationEvent,
  type ConversationState,
} from '../server/session.ts'
import { advanced, type Mark, type Marks, placeOf, type Side } from '../server/session-marks.ts'
import type { FileWire, SimFile } from './sim-files.ts'
import { type Access, SimTokens } from './sim-tokens.ts'

export interface Message {
  readonly id: string
  readonly seq: number
  readonly conversationId: string
  readonly participantId: string
  readonly role: 'customer' | 'agent'
  readonly text: string
  readonly contentType: string
  readonly metadata?: unknown
  readonly attachments?: readonly FileWire[]
  readonly key?: string
  readonly hash: string
  readonly at: number
}

export interface Conversation {
  readonly id: string
  readonly participantId: string
  sessionId: string
  state: ConversationState
  readonly previousId: string | null
  attributes: Attributes
  routing: Attributes
  version: number
  readonly marks: Marks
  readonly log: Message[]
  readonly createdAt: number
}

export interface Session {
  readonly id: string
  state: SessionState
  expiresAt: number
  userId?: string
  /** Whose the session was that this one succeeds. */
  formerUserId?: string
}

export class SimService extends SimTokens {
  readonly sessions = new Map<string, Session>()
  readonly conversations = new Map<string, Conversation>()
  readonly files = new Map<string, SimFile>()
  readonly #openKeys = new Map<string, string>()
  readonly #made = new Map<string, { hash: string; status: number; body: unknown }>()
  /** Told of every change of a conversation. */
  onChange: (conversation: Conversation, what: Message | 'state' | 'marks') => void = () => {}
  onRevoked: (familyId: string) => void = () => {}
  /** A family belongs to another session now. */
  onMoved: (familyId: string) => void = () => {}

  open(key: string, presentedToken: string | undefined): { verdict: OpenSessionVerdict; family: Family } | number {
    const found = this.readRefresh(presentedToken)
    const presentedFamily = found && this.families.get(found.familyId)
    const presented = found && presentedFamily && { family: presentedFamily, generation: found.generation }
    const opened = this.families.get(this.#openKeys.get(key) ?? '')
    const input = { keyHash: key, ...(presented && { presented }), ...(opened && { opened }) }
    const verdict = openSession(input, this.now(), this.settings.sessionMs)
    if (presented) {
      const { familyId, generation: from } = found
      this.events.rotation({ familyId, from, key, via: 'open', verdict: verdict.type })
    }
    if (verdict.type === 'wait') return verdict.retryAfterMs
    if (verdict.type !== 'created') {
      this.families.set(verdict.family.id, verdict.family)
      if (verdict.type === 'rotated') this.#noteOpening(key, verdict.family.id)
      if (this.#seen(verdict.family.sessionId)) return { verdict, family: verdict.family }
    }
    return { verdict, family: this.#create(key, verdict) }
  }

  #noteOpening(key: string, familyId: string): void {
    for (const [former, id] of this.#openKeys) if (id === familyId) this.#openKeys.delete(former)
    this.#openKeys.set(key, familyId)
  }

  /** Which family this key opened or resumed last. */
  openedBy = (key: string | undefined): string | undefined => this.#openKeys.get(key ?? '')

  #create(key: string, verdict: OpenSessionVerdict): Family {
    if (verdict.type === 'created' && verdict.revoked !== undefined) this.#store(verdict.revoked)
    const session: Session = {
      id: this.id('session'),
      state: 'active',
      expiresAt: this.now() + this.settings.sessionMs,
    }
    this.sessions.set(session.id, session)
    const family = newFamily(this.id('family'), session.id, this.now(), this.settings.sessionMs)
    this.families.set(family.id, family)
    this.#openKeys.set(key, family.id)
    if (verdict.type === 'created' && verdict.succeeds !== undefined)
      this.#takeOver(verdict.succeeds.sessionId, session)
    return family
  }

  #takeOver(fromId: string, to: Session): void {
    const former = this.sessions.get(fromId)
    if (former) former.state = advanceSession(former.state, 'lapsed') ?? former.state
    const owner = former?.userId ?? former?.formerUserId
    if (owner !== undefined) to.formerUserId = owner
    for (const conversation of this.conversations.values()) {
      if (conversation.sessionId !== fromId) continue
      if (isOpen(conversation.state)) this.change(conversation, 'idle')
      conversation.sessionId = to.id
    }
  }

  #seen(sessionId: string): boolean {
    const session = this.sessions.get(sessionId)
    const state = session && advanceSession(session.state, 'seen')
    if (!session || !state) return false
    session.state = state
    session.expiresAt = this.now() + this.settings.sessionMs
    return true
  }

  /** Stores a family that has ended, and says so. */
  #store(family: Family): void {
    this.families.set(family.id, family)
    this.events.revoked(family)
    this.onRevoked(family.id)
  }

  refresh(token: string | undefined, key: string): RotateVerdict | 'unknown' {
    const presented = this.readRefresh(token)
    const family = presented && this.families.get(presented.familyId)
    if (!presented || !family) return 'unknown'
    const verdict = rotate(
      family,
      { generation: presented.generation, keyHash: key },
      this.now(),
      this.settings.sessionMs,
    )
    const { generation: from } = presented
    this.events.rotation({ familyId: family.id, from, key, via: 'refresh', verdict: verdict.type })
    if (verdict.type === 'reuse') this.#store(verdict.family)
    if (verdict.type === 'rotated' || verdict.type === 'replayed') {
      this.families.set(family.id, verdict.family)
      if (!this.#seen(family.sessionId)) return { type: 'invalid', reason: 'expired' }
    }
    return verdict
  }

  /** Does a message have this file? */
  isUsed(fileId: string): boolean {
    return [...this.conversations.values()].some(({ log }) =>
      log.some(({ attachments }) => attachments?.some(({ id }) => id === fileId)),
    )
  }

  signOut(familyId: string): void {
    const family = this.families.get(familyId)
    if (family === undefined || family.revokedAt !== null) return
    this.#store(revoke(family, 'signed-out', this.now()))
    const session = this.sessions.get(family.sessionId)
    if (session) session.state = advanceSession(session.state, 'signed-out') ?? session.state
  }

  /** A session's conversations, newest first. */
  own(sessionId: string): Conversation[] {
    return [...this.conversations.values()].filter((one) => one.sessionId === sessionId).reverse()
  }

  /** The conversation that a returning visitor meets: the open one, else the last that ended. */
  latest(sessionId: string): Conversation | undefined {
    const own = this.own(sessionId)
    return own.find(({ state }) => isOpen(state)) ?? own[0]
  }

  make(
    access: Access,
    key: string,
    hash: string,
    asked: { previousId?: string; attributes: Attributes; routing: Attributes },
  ) {
    const scope = `${access.sessionId}:${key}`
    const known = this.#made.get(scope)
    if (known !== undefined)
      return known.hash === hash ? known : { status: 422, body: { code: 'idempotency-key-reused' } }
    const verdict = openConversation(this.own(access.sessionId), asked.previousId)
    const isNew = verdict.type === 'create'
    const conversation = isNew
      ? this.#begin(access.sessionId, verdict.previousId, asked)
      : (this.conversations.get(verdict.conversationId) as Conversation)
    const { id, participantId, state, version, previousId } = conversation
    const body = {
      id,
      participantId,
      state,
      version,
      ...(previousId && { previousId }),
      ...(!isNew && { joined: true }),
    }
    const answer = { status: isNew ? 201 : 200, body }
    this.#made.set(scope, { hash, ...answer })
    return answer
  }

  #begin(
    sessionId: string,
    previousId: string | null,
    asked: { attributes: Attributes; routing: Attributes },
  ): Conversation {
    const conversation: Conversation = {
      id: this.id('conversation'),
      participantId: this.id('participant'),
      sessionId,
      state: 'pending',
      previousId,
      attributes: asked.attributes,
      routing: asked.routing,
      version: 1,
      marks: { agent: { delivered: 0, read: 0 }, customer: { delivered: 0, read: 0 } },
      log: [],
      createdAt: this.now(),
    }
    this.conversations.set(conversation.id, conversation)
    return conversation
  }

  /** Appends a message, or says why not. */
  post(conversation: Conversation, by: Pick<Message, 'role' | 'participantId' | 'text' | 'hash'> & Partial<Message>) {
    const earlier = conversation.log.find(
      ({ key, participantId }) => by.key !== undefined && key === by.key && participantId === by.participantId,
    )
    const verdict = admit(conversation.state, by.role as 'customer', by.hash, earlier?.hash)
    if (verdict.type === 'refuse') return { type: 'refused' as const, code: verdict.code }
    if (earlier !== undefined || verdict.type === 'replay')
      return { type: 'replayed' as const, message: earlier as Message }
    const seq = conversation.log.length + 1
    const rest = {
      id: this.id('message'),
      seq,
      conversationId: conversation.id,
      contentType: 'text/plain',
      at: this.now(),
    }
    const message: Message = { ...by, ...rest }
    conversation.log.push(message)
    const hasChanged = verdict.state !== conversation.state
    conversation.state = verdict.state
    if (hasChanged) conversation.version += 1
    this.onChange(conversation, message)
    if (hasChanged) this.onChange(conversation, 'state')
    return { type: 'appended' as const, message }
  }

  patch(conversation: Conversation, delta: { attributes: Attributes; routing: Attributes }, ifVersion?: number) {
    if (advance(conversation.state, 'change') === null) return 'conversation-closed'
    if (ifVersion !== undefined && ifVersion !== conversation.version) return 'version-conflict'
    const attributes = mergeAttributes(conversation.attributes, delta.attributes)
    const routing = mergeAttributes(conversation.routing, delta.routing)
    const isSame = attributes === conversation.attributes && routing === conversation.routing
    if (isSame && ifVersion === undefined) return 'done'
    Object.assign(conversation, { attributes, routing, version: conversation.version + 1 })
    this.onChange(conversation, 'state')
    return 'done'
  }

  mark(conversation: Conversation, side: Side, said: Mark): void {
    const before = placeOf(conversation.marks)
    conversation.marks[side] = advanced(conversation.marks[side], said, conversation.log.length)
    if (placeOf(conversation.marks) > before) this.onChange(conversation, 'marks')
  }

  /** What ends a conversation, or nothing where the event is refused. */
  change(conversation: Conversation, event: ConversationEvent): void {
    const state = advance(conversation.state, event)
    if (state === null || state === conversation.state) return
    conversation.state = state
    conversation.version += 1
    this.onChange(conversation, 'state')
  }
}
