// The live side of the simulated session service: sockets and long polls over the tables of sim-service.ts.
// It says what server/stream.ts says, in the same order; what becomes of a frame on its way is network.ts.

import { type Answer, conversationWire, isAllowed, messageWire } from './sim-http.ts'
import { placeOf } from '../server/session-marks.ts'
import type { Conversation, Message, SimService } from './sim-service.ts'
import type { Access } from './sim-tokens.ts'
import type { World } from './world.ts'

/** The service's end of a socket. */
export interface Wire {
  send(frame: object): void
  close(code: number, reason: string): void
}

interface Feed {
  readonly conversationId: string
  familyId: string
  seq: number
  version: number
  marks: number
  tell(frames: object[]): void
  end(code: string): void
}

const UNAUTHENTICATED = 4401
const AUTH_DEADLINE_MS = 5_000
const EXPIRY_GRACE_MS = 2_000
const POLL_FRAMES_MAX = 100

export class Feeds {
  readonly #service: SimService
  readonly #world: World
  readonly #feeds = new Set<Feed>()
  readonly #sockets = new Set<SocketEnd>()
  readonly #polls = new Set<() => void>()

  constructor(service: SimService, world: World) {
    this.#service = service
    this.#world = world
    service.onChange = (conversation, what) => this.#changed(conversation, what)
    service.onRevoked = (familyId) => {
      for (const feed of [...this.#feeds]) if (feed.familyId === familyId) feed.end('session-revoked')
    }
    service.onMoved = () => this.recheck()
  }

  connect(wire: Wire): SocketEnd {
    const end = new SocketEnd(wire, this.#service, this.#world, this.#feeds, () => this.#sockets.delete(end))
    this.#sockets.add(end)
    return end
  }

  /** Answers when there is something to say, or after the wait. */
  poll(bearer: string | undefined, query: URLSearchParams, respond: (answer: Answer) => void): void {
    const access = this.#service.admit(bearer)
    if (typeof access === 'string') return respond({ status: 401, body: { code: access } })
    const conversation = this.#service.conversations.get(query.get('conversationId') ?? '')
    if (conversation === undefined || !isAllowed(access, conversation)) {
      return respond({ status: 404, body: { code: 'unknown-conversation' } })
    }
    const frames: object[] = []
    const finish = () => {
      cancel()
      this.#feeds.delete(feed)
      this.#polls.delete(finish)
      respond({ status: 200, body: { frames, lastSeq: conversation.log.length, version: conversation.version } })
    }
    const version = Number(query.get('afterVersion') ?? conversation.version)
    const seq = Math.min(Number(query.get('afterSeq') ?? 0), conversation.log.length)
    const feed: Feed = {
      conversationId: conversation.id,
      familyId: access.familyId,
      seq,
      version,
      marks: Number(query.get('afterMarks') ?? placeOf(conversation.marks)),
      tell: (told) => {
        frames.push(...told)
        finish()
      },
      end: finish,
    }
    const cancel = this.#world.after(Math.min(Number(query.get('waitMs') ?? 25_000), 25_000), finish)
    this.#feeds.add(feed)
    this.#polls.add(finish)
    const news = newsFor(feed, conversation)
    if (news.length > 0) feed.tell(news.slice(0, POLL_FRAMES_MAX))
  }

  /** The service stops: sockets are closed, polls answer what they have. In good order, each is told when to come back. */
  restart(spreadMs = 0): void {
    for (const end of [...this.#sockets])
      end.close(1012, 'going away', spreadMs && this.#world.dice.between(0, spreadMs))
    for (const finish of [...this.#polls]) finish()
  }

  /** Tokens were called back: every socket looks at its own. */
  recheck(): void {
    for (const end of [...this.#sockets]) end.recheck()
  }

  typing(conversationId: string, on: boolean): void {
    const frame = { type: 'typing', conversationId, participantId: 'agent', role: 'agent', on }
    for (const feed of [...this.#feeds]) if (feed.conversationId === conversationId) feed.tell([frame])
  }

  #changed(conversation: Conversation, _what: Message | 'state' | 'marks'): void {
    for (const feed of [...this.#feeds]) {
      if (feed.conversationId !== conversation.id) continue
      const news = newsFor(feed, conversation)
      if (news.length > 0) feed.tell(news)
    }
  }
}

/** What a feed has not been told, and notes that it has. */
function newsFor(feed: Feed, conversation: Conversation): object[] {
  const frames: object[] = []
  if (conversation.version > feed.version) {
    feed.version = conversation.version
    frames.push({ type: 'state', conversation: conversationWire(conversation) })
  }
  for (const message of conversation.log.slice(feed.seq))
    frames.push({ type: 'message', message: messageWire(message) })
  feed.seq = conversation.log.length
  const marks = placeOf(conversation.marks)
  if (marks > feed.marks) frames.push({ type: 'marks', conversationId: conversation.id, ...conversation.marks })
  feed.marks = marks
  return frames
}

interface Auth {
  readonly type: string
  readonly token?: string
  readonly conversationId?: string
  readonly afterSeq?: number
  readonly id?: string
}

export class SocketEnd {
  readonly #wire: Wire
  readonly #service: SimService
  readonly #world: World
  readonly #feeds: Set<Feed>
  readonly #left: () => void
  #feed: Feed | undefined
  #access: Access | undefined
  #isClosed = false
  #cancel: () => void

  constructor(wire: Wire, service: SimService, world: World, feeds: Set<Feed>, left: () => void) {
    this.#wire = wire
    this.#service = service
    this.#world = world
    this.#feeds = feeds
    this.#left = left
    this.#cancel = world.after(AUTH_DEADLINE_MS, () => this.#end('auth-expected'))
  }

  receive(frame: Auth): void {
    if (this.#isClosed) return
    if (this.#feed === undefined) return frame.type === 'auth' ? this.#open(frame) : this.#end('auth-expected')
    if (frame.type === 'ping') this.#wire.send({ type: 'pong', id: frame.id })
    if (frame.type === 'reauth') this.#reauth(frame.token)
  }

  /** The client has gone. */
  gone(): void {
    this.#isClosed = true
    this.#cancel()
    this.#left()
    if (this.#feed !== undefined) this.#feeds.delete(this.#feed)
  }

  close(code: number, reason: string, afterMs = 0): void {
    if (this.#isClosed) return
    if (afterMs > 0) this.#wire.send({ type: 'reconnect', afterMs })
    this.gone()
    this.#wire.close(code, reason)
  }

  recheck(): void {
    if (this.#access === undefined || this.#isClosed) return
    this.#cancel()
    this.#cancel = this.#world.after(this.#access.expiresAt - this.#service.now(), () => {
      this.#wire.send({ type: 'error', code: 'token-expired' })
      this.#cancel = this.#world.after(EXPIRY_GRACE_MS, () => this.close(UNAUTHENTICATED, 'token-expired'))
    })
  }

  #open({ token, conversationId = '', afterSeq = 0 }: Auth): void {
    const access = this.#service.admit(token)
    if (typeof access === 'string') return this.#end(access)
    const conversation = this.#service.conversations.get(conversationId)
    if (conversation === undefined || !isAllowed(access, conversation)) return this.#end('unknown-conversation')
    const lastSeq = conversation.log.length
    this.#access = access
    this.#feed = {
      conversationId,
      familyId: access.familyId,
      seq: Math.min(afterSeq, lastSeq),
      version: 0,
      marks: 0,
      tell: (frames) => {
        for (const frame of frames) this.#wire.send(frame)
      },
      end: (code) => this.#end(code),
    }
    this.#feeds.add(this.#feed)
    this.#wire.send({ type: 'ready', conversationId, lastSeq })
    this.#feed.tell(newsFor(this.#feed, conversation))
    this.recheck()
  }

  #reauth(token: string | undefined): void {
    const access = this.#service.admit(token)
    if (typeof access === 'string') return this.#wire.send({ type: 'error', code: access })
    if (access.sessionId !== this.#access?.sessionId)
      return this.#wire.send({ type: 'error', code: 'not-your-session' })
    this.#access = access
    this.recheck()
    this.#wire.send({ type: 'reauthed', expiresAt: access.expiresAt })
  }

  #end(code: string): void {
    if (this.#isClosed) return
    this.#wire.send({ type: 'error', code })
    this.close(code === 'unknown-conversation' ? 1008 : UNAUTHENTICATED, code)
  }
}
