// One WebSocket: the frames that come in, the life of its token, and the limits on what it may hold up.
// What it hears comes from its feed; time comes from the tick of stream.ts.
import * as v from 'valibot'
import type { RawData, WebSocket } from 'ws'
import { Feed, positionOf, type Sink } from './feed.ts'
import { errorFields } from './log.ts'
import type { Parts } from './parts.ts'
import { markedBy } from './marks.ts'
import type { ServerFrame } from './schemas.ts'
import { ClientFrame } from './schemas-frames.ts'
import { type Caller, type EpochMs, mayEnter } from './session.ts'

export const AUTH_DEADLINE_MS = 5000
export const PROTOCOL_PING_MS = 25_000
/** After the token has expired the client still has this long to bring a new one. */
export const EXPIRY_GRACE_MS = 2000
/** What one slow reader may make us hold, in bytes; above it the socket is closed. */
export const BUFFERED_BYTES_MAX = 4 * 1024 * 1024
/** Below this the next page of a backlog is sent, in bytes. */
const BUFFERED_BYTES_LOW = 256 * 1024
/** Frames accepted from a client within one tick. */
export const FRAMES_PER_TICK_MAX = 100

export const CLOSE_GOING_AWAY = 1012
const CLOSE_POLICY = 1008
const CLOSE_TRY_LATER = 1013
const CLOSE_UNAUTHENTICATED = 4401

type Opened = { caller: Caller; feed: Feed; leave: () => void }

export class Socket implements Sink {
  readonly #ws: WebSocket
  readonly #parts: Parts
  readonly #mayUse: (deploymentId: string) => boolean
  readonly #openedAt: EpochMs
  #opened: Opened | undefined
  #expiresAt: EpochMs = Number.POSITIVE_INFINITY
  #toldExpiredAt: EpochMs | undefined
  #pingedAt: EpochMs
  #hasAnswered = true
  #framesThisTick = 0
  #isClosing = false
  #work: Promise<void> = Promise.resolve()
  #waiting: (() => void)[] = []

  /** @param mayUse whether the page that opened the socket may use a deployment */
  constructor(ws: WebSocket, parts: Parts, mayUse: (deploymentId: string) => boolean) {
    this.#ws = ws
    this.#parts = parts
    this.#mayUse = mayUse
    this.#openedAt = parts.now()
    this.#pingedAt = this.#openedAt
    ws.on('message', (data, isBinary) => this.#receive(data, isBinary))
    ws.on('pong', () => {
      this.#hasAnswered = true
    })
    ws.on('error', () => ws.terminate())
    ws.on('close', () => this.#gone())
  }

  get family(): { familyId: string; sessionId: string } | undefined {
    const caller = this.#opened?.caller
    return caller?.role === 'customer' ? caller : undefined
  }

  send(frame: ServerFrame): void {
    if (this.#isClosing || this.#ws.readyState !== this.#ws.OPEN) return
    if (this.#ws.bufferedAmount > BUFFERED_BYTES_MAX) {
      this.#drop('slow-reader', CLOSE_TRY_LATER)
      return
    }
    this.#ws.send(textOf(frame), this.#flushed)
  }

  drained(): Promise<void> {
    if (this.#isClosing || this.#ws.bufferedAmount < BUFFERED_BYTES_LOW) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  idle(): void {}

  failed(error: unknown): void {
    this.#parts.log('error', 'feed-failed', errorFields(error))
    this.#end('store-unavailable', CLOSE_TRY_LATER)
  }

  /** What time does to a socket. Called about once a second. */
  tick(now: EpochMs): void {
    this.#framesThisTick = 0
    if (this.#isClosing) return
    if (this.#opened === undefined && now - this.#openedAt >= AUTH_DEADLINE_MS) {
      this.#end('auth-expected', CLOSE_UNAUTHENTICATED)
    } else if (this.#toldExpiredAt !== undefined && now - this.#toldExpiredAt >= EXPIRY_GRACE_MS) {
      this.#close(CLOSE_UNAUTHENTICATED, 'token-expired')
    } else if (this.#toldExpiredAt === undefined && now >= this.#expiresAt) {
      this.#toldExpiredAt = now
      this.send({ type: 'error', code: 'token-expired' })
    }
    if (now - this.#pingedAt >= PROTOCOL_PING_MS) this.#ping(now)
  }

  /** The customer tokens up to an instant were called back. */
  expireUpTo(instant: EpochMs): void {
    if (this.#opened?.caller.role === 'customer' && this.#expiresAt <= instant) this.#expiresAt = 0
  }

  revoked(): void {
    this.#end('session-revoked', CLOSE_UNAUTHENTICATED)
  }

  /** The family has another session now, and this socket listens for the old one. */
  moved(): void {
    this.#end('token-expired', CLOSE_UNAUTHENTICATED)
  }

  /** The node stops: come back after this long, elsewhere or here. */
  drain(afterMs: number): void {
    this.send({ type: 'reconnect', afterMs })
    this.#close(CLOSE_GOING_AWAY, 'going away')
  }

  terminate(): void {
    this.#ws.terminate()
  }

  #ping(now: EpochMs): void {
    if (!this.#hasAnswered) {
      this.#parts.metrics.count('sockets_dropped')
      this.#ws.terminate()
      return
    }
    this.#pingedAt = now
    this.#hasAnswered = false
    this.#ws.ping()
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#isClosing) return
    this.#framesThisTick++
    if (this.#framesThisTick > FRAMES_PER_TICK_MAX) {
      this.#drop('rate-limited', CLOSE_POLICY)
      return
    }
    const frame = isBinary ? undefined : readFrame(data)
    // One at a time: a frame that follows `auth` at once must find the socket open.
    this.#work = this.#work.then(() => this.#handle(frame)).catch((error: unknown) => this.failed(error))
  }

  async #handle(frame: ClientFrame | undefined): Promise<void> {
    if (this.#isClosing) return
    if (this.#opened === undefined) {
      if (frame?.type === 'auth') await this.#open(frame)
      else this.#end('auth-expected', CLOSE_UNAUTHENTICATED)
      return
    }
    switch (frame?.type) {
      case 'ping':
        this.send({ type: 'pong', id: frame.id })
        break
      case 'pong':
        break
      case 'reauth':
        await this.#reauth(frame.token, this.#opened)
        break
      case 'typing':
        await this.#typing(frame, this.#opened)
        break
      case 'mark':
        void markedBy(this.#parts, this.#opened, frame).catch((error: unknown) => this.failed(error))
        break
      default:
        this.send({ type: 'error', code: 'invalid-frame' })
    }
  }

  async #open(frame: Extract<ClientFrame, { type: 'auth' }>): Promise<void> {
    const { gate, store, hub, metrics, uuid, now } = this.#parts
    const admission = await gate.admit(frame.token)
    if (!admission.ok) return this.#end(admission.code, CLOSE_UNAUTHENTICATED)
    const { caller } = admission
    if (!this.#mayUse(caller.deploymentId)) return this.#end('origin-not-allowed', CLOSE_POLICY)
    const conversationId = frame.conversationId ?? null
    if (conversationId === null && caller.role === 'customer') return this.#end('unknown-conversation', CLOSE_POLICY)

    const release = caller.role === 'customer' ? this.#parts.streams.hold(caller.sessionId) : () => {}
    if (release === null) return this.#limited()
    const feed = new Feed(uuid(), caller, conversationId, store, this, now())
    // Listening starts before the look at the table, so that nothing can fall between the two.
    const unlist = hub.join(feed)
    const leave = () => {
      unlist()
      release()
    }
    const present = conversationId === null ? undefined : await store.conversations.row(conversationId)
    if (conversationId !== null && (present === undefined || !mayEnter(caller, present))) {
      leave()
      return this.#end('unknown-conversation', CLOSE_POLICY)
    }
    if (this.#ws.readyState !== this.#ws.OPEN) return leave()
    this.#opened = { caller, feed, leave }
    this.#expiresAt = admission.expiresAt
    metrics.count('sockets_opened')
    const lastSeq = present?.lastSeq ?? 0
    this.send({ type: 'ready', conversationId, lastSeq })
    // A cursor from the future would keep silent about what comes next.
    const seq = Math.min(frame.afterSeq ?? 0, lastSeq)
    if (present !== undefined) void feed.start({ seq, version: 0, marks: 0 }, positionOf(present))
  }

  async #reauth(token: string, opened: Opened): Promise<void> {
    const admission = await this.#parts.gate.admit(token)
    if (!admission.ok) return this.send({ type: 'error', code: admission.code })
    if (identity(admission.caller) !== identity(opened.caller)) {
      return this.send({ type: 'error', code: 'not-your-session' })
    }
    this.#expiresAt = admission.expiresAt
    this.#toldExpiredAt = undefined
    this.send({ type: 'reauthed', expiresAt: admission.expiresAt })
  }

  async #typing(frame: Extract<ClientFrame, { type: 'typing' }>, { caller, feed }: Opened): Promise<void> {
    const conversationId = feed.conversationId ?? frame.conversationId
    const conversation = conversationId ? await this.#parts.store.conversations.full(conversationId) : undefined
    if (conversation === undefined || !mayEnter(caller, conversation)) return
    const self = conversation.participants.find((one) =>
      caller.role === 'agent' ? one.agentId === caller.agentId : one.sessionId === caller.sessionId,
    )
    if (self === undefined || self.leftAt !== null) return
    this.#parts.hub.publish({
      conversationId: conversation.id,
      deploymentId: conversation.deploymentId,
      seq: conversation.lastSeq,
      version: conversation.version,
      frame: { type: 'typing', conversationId: conversation.id, participantId: self.id, role: self.role, on: frame.on },
      from: feed.id,
    })
  }

  readonly #flushed = (): void => {
    if (this.#waiting.length > 0 && this.#ws.bufferedAmount < BUFFERED_BYTES_LOW) this.#release()
  }

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  #limited(): void {
    this.#parts.metrics.count('rate_limited')
    this.#end('rate-limited', CLOSE_TRY_LATER)
  }

  #drop(code: string, closeCode: number): void {
    this.#parts.metrics.count('sockets_dropped')
    this.#end(code, closeCode)
  }

  #end(code: string, closeCode: number): void {
    if (this.#isClosing) return
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.send(JSON.stringify({ type: 'error', code }))
    this.#close(closeCode, code)
  }

  #close(closeCode: number, reason: string): void {
    this.#isClosing = true
    this.#opened?.leave()
    this.#release()
    this.#ws.close(closeCode, reason)
  }

  #gone(): void {
    this.#isClosing = true
    this.#opened?.leave()
    this.#release()
  }
}

const texts = new WeakMap<ServerFrame, string>()

/** A frame that goes to many is written out once. */
function textOf(frame: ServerFrame): string {
  const text = texts.get(frame) ?? JSON.stringify(frame)
  texts.set(frame, text)
  return text
}

function identity(caller: Caller): string {
  return JSON.stringify([caller.role, caller.deploymentId, caller.role === 'agent' ? caller.agentId : caller.sessionId])
}

function readFrame(data: RawData): ClientFrame | undefined {
  try {
    const parsed = v.safeParse(ClientFrame, JSON.parse(data.toString()))
    return parsed.success ? parsed.output : undefined
  } catch {
    // Not JSON is one more shape that is not a frame.
    return undefined
  }
}
