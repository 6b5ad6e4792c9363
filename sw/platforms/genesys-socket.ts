// One connection to Genesys Cloud Web Messaging: configure, then frames both ways. Messages, the credential for the
// history and signs of life travel here, inside the limits that hold for one connection. It never dials again.

import type { Calls, Connection, Outcome, StreamEvent, StreamRequest } from '../../core/ports.ts'
import { type DeploymentConfig, type HttpDeps, history } from './genesys-http.ts'
import {
  type Asked,
  conversationIs,
  endingOf,
  errorOf,
  eventOf,
  expiryOf,
  idOf,
  judge,
  limitsOf,
  rowOf,
  shapeOf,
} from './genesys-wire.ts'
import { Asks, type Frame } from './genesys-asks.ts'
import { parse } from './http.ts'

export interface SocketDeps extends HttpDeps {
  readonly WebSocket: typeof WebSocket
  readonly application: string
  uuid(): string
  uuidOf(words: string): Promise<string>
  after(ms: number, run: () => void): () => void
  config(): Promise<DeploymentConfig | undefined>
  /** Why a socket never opened: a browser is not told. */
  whyClosed(): Promise<ReturnType<typeof endingOf>>
  /** The session token and, for a visitor who has signed in, the auth JWT. */
  secretsOf(request: StreamRequest): Promise<{ readonly session: string; readonly jwt: string | undefined }>
}

/** No acknowledgement by then: nobody knows whether it arrived. */
export const ACK_TIMEOUT_MS = 12_000
const JWT_TIMEOUT_MS = 8_000
const ECHO_EVERY_MS = 30_500
const TYPING_EVERY_MS = 5_000
/** What is said while the history is on its way comes behind it, but does not wait for ever. */
const HOLD_MS = 10_000
const ECHO_ID = 'SGVhbHRoQ2hlY2tNZXNzYWdlSWQ='

export class GenesysSocket implements Connection {
  readonly calls: Calls
  readonly #deps: SocketDeps
  readonly #request: StreamRequest
  readonly #emit: (event: StreamEvent) => void
  readonly #asks: Asks
  #socket: WebSocket | undefined
  #secrets: { readonly session: string; readonly jwt: string | undefined } = { session: '', jwt: undefined }
  #held: StreamEvent[] | undefined = []
  #state: 'dialling' | 'configuring' | 'open' | 'over' = 'dialling'
  #isAuthenticated = false
  #isCleared = false
  #echoedAt = Number.NEGATIVE_INFINITY
  #typedAt = Number.NEGATIVE_INFINITY
  #pingId = ''

  constructor(deps: SocketDeps, request: StreamRequest, emit: (event: StreamEvent) => void) {
    this.#deps = deps
    this.#request = request
    this.#emit = emit
    this.#asks = new Asks(deps, (action, rest, id) => this.#say(action, rest, id))
    this.calls = { send: (message) => this.#send(message), backfill: ({ afterId }) => this.#backfill(afterId) }
    this.#dial().catch(() => this.#end('close 1006'))
  }

  async #dial(): Promise<void> {
    this.#secrets = await this.#deps.secretsOf(this.#request)
    if (this.#state === 'over') return
    const { endpoints, deploymentId, application } = this.#deps
    const query = new URLSearchParams({ deploymentId, application })
    const socket = new this.#deps.WebSocket(`${endpoints.messaging}/v1?${query}`)
    this.#socket = socket
    socket.onopen = () => this.#configure(false)
    socket.onmessage = ({ data }) => this.#hear(shapeOf(parse(data)))
    socket.onerror = () => {}
    socket.onclose = ({ code }) => this.#end(`close ${code}`)
  }

  close(): void {
    this.#asks.settleAll()
    this.#state = 'over'
    this.#socket?.close(1_000)
  }

  reauth(token: string): void {
    void this.#deps.secretsOf({ ...this.#request, token }).then((secrets) => {
      this.#secrets = secrets
      // A guest who has signed in meanwhile steps up, on this very connection.
      if (this.#state === 'open' && secrets.jwt !== undefined && !this.#isAuthenticated) this.#configure(false)
    })
  }

  typing(on: boolean): void {
    const now = this.#deps.now()
    if (!on || this.#state !== 'open' || now < this.#typedAt + TYPING_EVERY_MS) return
    this.#typedAt = now
    void this.#deps.config().then((config) => {
      if (config?.typing && this.#asks.isFree && this.#asks.waitMs() === 0)
        this.#event({ eventType: 'Typing', typing: { type: 'On' } })
    })
  }

  /** `echo` may be asked twice a minute; in between the credential for the history is as good a sign of life. */
  ping(id: string): void {
    const now = this.#deps.now()
    this.#pingId = id
    if (!this.#asks.isFree || this.#asks.waitMs() > 0) return
    if (now < this.#echoedAt + ECHO_EVERY_MS) return void this.#say('getJwt', {}, this.#deps.uuid())
    this.#echoedAt = now
    this.#say('echo', { message: { type: 'Text', text: 'ping' } }, ECHO_ID)
  }

  pong(): void {}

  /** Ends the conversation for good: by clearing it where that is allowed, else by closing the session. */
  leave(mayClear: boolean): void {
    this.#held = undefined
    this.#isCleared = true
    if (mayClear) this.#event({ eventType: 'Presence', presence: { type: 'Clear' } })
    else this.#say('closeSession', { closeAllConnections: true }, 'leave')
  }

  #event(event: object): void {
    this.#say('onMessage', { message: { type: 'Event', events: [event] } }, this.#deps.uuid())
  }

  #say(action: string, rest: object, tracingId: string): void {
    const frame = { action, token: this.#secrets.session, tracingId, ...rest }
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame))
  }

  #configure(startNew: boolean): void {
    if (this.#state === 'dialling') this.#state = 'configuring'
    this.#asks.waitMs()
    const { session, jwt } = this.#secrets
    const customer = { customer: { id: session, idType: 'cookie' }, customerSession: { id: '', type: 'web' } }
    const rest = { deploymentId: this.#deps.deploymentId, startNew, journeyContext: customer }
    const action = jwt === undefined ? 'configureSession' : 'configureAuthenticatedSession'
    this.#say(action, jwt === undefined ? rest : { ...rest, data: { code: jwt } }, 'configure')
  }

  #hear(frame: Frame): void {
    if (this.#state === 'over') return
    const error = errorOf(frame)
    if (error !== undefined) return this.#failed(frame, error)
    const body = shapeOf(frame['body'])
    switch (frame['class']) {
      case 'SessionResponse':
        return this.#configured(body)
      case 'StructuredMessage':
        return this.#message(frame, body)
      case 'JwtResponse':
        this.#pong()
        return this.#asks.settle(frame['tracingId'], { ok: true, value: body })
      case 'SessionExpiredEvent':
        return this.#over('expired')
      case 'SessionClearedEvent':
        this.#isCleared = true
        return
      case 'LogoutEvent':
        this.#tell({ type: 'signed-out' })
        return this.close()
      case 'ConnectionClosedEvent':
        return this.#isCleared
          ? this.#over('expired')
          : this.#end(`ConnectionClosedEvent ${String(body['reason'] ?? body['reasonCode'] ?? '')}`)
    }
  }

  #failed(frame: Frame, { code, text, retryAfterS }: NonNullable<ReturnType<typeof errorOf>>): void {
    const { tracingId } = frame
    const known = this.#asks.about(tracingId)
    const isAboutConfigure = tracingId === 'configure' || this.#state === 'configuring'
    if (!isAboutConfigure && known === undefined) return
    const failure = judge(isAboutConfigure ? 'configure' : (known?.asked ?? 'call'), code, text, retryAfterS)
    if (failure.verdict === 'session-lost') return this.#over('expired')
    if (!isAboutConfigure) return known?.answer(failure)
    // A step-up that is refused leaves the guest where he was.
    if (this.#state === 'open') return
    this.#finish(failure)
  }

  #configured(body: Frame): void {
    const { connected, newSession, readOnly } = body
    const state = this.#request.conversation?.state ?? 'active'
    const isBeginning = state === 'pending'
    if (connected === false) return this.#isCleared ? this.#over('expired') : this.#configure(true)
    if (readOnly === true && isBeginning && this.#state === 'configuring')
      return this.#say('closeSession', { closeAllConnections: true }, 'configure')
    const isFirst = this.#state !== 'open'
    this.#state = 'open'
    this.#isAuthenticated = this.#secrets.jwt !== undefined
    if (isFirst) this.#emit({ type: 'ready', headSeq: 0 })
    // Where a session was to be resumed: what was said in it is not known there any more.
    if (newSession === true && !isBeginning) return this.#over('expired')
    const times = expiryOf(body, this.#deps.now())
    this.#emit({ type: 'session', isAuthenticated: this.#isAuthenticated, ...times, ...limitsOf(body) })
    if (isBeginning && isFirst) this.#emit(conversationIs('active'))
    if (readOnly === true) this.#tell(conversationIs('closed'))
    if (isFirst) this.#deps.after(HOLD_MS, () => this.#release())
    if (newSession === true) {
      void this.#deps.config().then((config) => {
        if (config?.autoStart && this.#asks.waitMs() === 0)
          this.#event({ eventType: 'Presence', presence: { type: 'Join' } })
      })
    }
  }

  #message(frame: Frame, body: Frame): void {
    const { tracingId } = frame
    if (tracingId === ECHO_ID) {
      this.#emit({ type: 'session', ...expiryOf(shapeOf(body['metadata']), this.#deps.now()) })
      return this.#pong()
    }
    if (body['type'] === 'Event') {
      const event = eventOf(body)
      return event && this.#tell(event)
    }
    const isOwn = body['direction'] === 'Inbound'
    if (isOwn && typeof tracingId === 'string' && this.#asks.awaits(tracingId))
      return this.#asks.settle(tracingId, { ok: true, value: body })
    const row = rowOf(body, this.#request.conversationId, this.#deps.now(), isOwn ? tracingId : undefined)
    if (row !== undefined) this.#tell({ type: 'rows', rows: [row] })
  }

  #pong(): void {
    if (this.#pingId !== '') this.#emit({ type: 'pong', id: this.#pingId })
    this.#pingId = ''
  }

  /** Behind the history, while that is awaited. */
  #tell(event: StreamEvent): void {
    if (this.#held === undefined || event.type === 'typing') this.#emit(event)
    else this.#held.push(event)
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (this.#state === 'open') for (const event of held ?? []) this.#emit(event)
  }

  /** The conversation cannot go on. What was on its way is looked for in no history any more. */
  #over(state: 'expired'): void {
    if (this.#state === 'configuring') this.#emit({ type: 'ready', headSeq: 0 })
    this.#emit(conversationIs(state))
    this.close()
  }

  #end(what: string): void {
    if (this.#state === 'over') return
    if (this.#state === 'dialling') {
      this.#state = 'over'
      return void this.#deps.whyClosed().then((ending) => this.#emit({ type: 'closed', ...ending }))
    }
    this.#finish(endingOf(what))
  }

  #finish({ verdict, reason, code, retryAfterMs }: ReturnType<typeof endingOf>): void {
    this.close()
    const wish = retryAfterMs !== undefined && { retryAfterMs }
    this.#emit({ type: 'closed', verdict, reason, ...(code && { code }), ...wish })
  }

  #ask(asked: Asked, action: string, rest: object, id: string, timeoutMs: number): Promise<Outcome<Frame>> {
    if (this.#state !== 'open') return Promise.resolve(judge('call', 0))
    return this.#asks.ask({ asked, action, rest, id, timeoutMs })
  }

  async #send({ message, attributes }: Parameters<NonNullable<Calls['send']>>[0]) {
    const { key, text, metadata } = message
    const extra = Object.entries(metadata ?? {}).map(([name, value]) => [name, `${value}`])
    const channel = attributes && { channel: { metadata: { customAttributes: attributes } } }
    // Nobody outside knows whether the history keeps it; where it does, nothing need be guessed.
    const frame = { message: { type: 'Text', text, metadata: { ...Object.fromEntries(extra), id: key }, ...channel } }
    const outcome = await this.#ask('message', 'onMessage', frame, key, ACK_TIMEOUT_MS)
    if (!outcome.ok) return outcome
    const row = rowOf(outcome.value, this.#request.conversationId, this.#deps.now())
    this.#typedAt = Number.NEGATIVE_INFINITY
    return { ok: true as const, value: { id: idOf(outcome.value), seq: 0, at: row?.at ?? this.#deps.now() } }
  }

  async #backfill(afterId: string) {
    const asked = await this.#ask('call', 'getJwt', {}, this.#deps.uuid(), JWT_TIMEOUT_MS)
    const outcome = asked.ok
      ? await history(this.#deps, String(asked.value['jwt']), this.#request.conversationId, afterId)
      : asked
    // In a task of its own: whoever waits for the history has it first.
    this.#deps.after(0, () => this.#release())
    return outcome
  }
}
