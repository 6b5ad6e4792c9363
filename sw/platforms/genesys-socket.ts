// One connection to Genesys Cloud Web Messaging: configure, then frames both ways. Messages, the credential for the
// history and signs of life travel here, inside the limits that hold for one connection. It never dials again.

import type { Calls, Connection, Outcome, StreamEvent, StreamRequest, Tokens } from '../../core/ports.ts'
import { dataBytesOf, textsOf } from '../../core/texts.ts'
import { type Ask, backfill, send } from './genesys-calls.ts'
import type { SocketDeps } from './genesys-http.ts'
import { Asks, type Frame } from './genesys-asks.ts'
import { Life } from './genesys-life.ts'
import { ECHO_ID, Signs } from './genesys-signs.ts'
import { Uploads } from './genesys-uploads.ts'
import { conversationIs, endingOf, errorOf, eventOf, isJoin, judge, limitsOf, rowOf, shapeOf } from './genesys-wire.ts'
import { parse } from './http.ts'

/** The lease of who has signed in. */
export const AUTH_LEASE = 'auth'
/** What is said while the history is on its way comes behind it, but does not wait for ever. */
const HOLD_MS = 10_000

export class GenesysSocket implements Connection {
  readonly calls: Calls
  readonly #deps: SocketDeps
  readonly #request: StreamRequest
  readonly #emit: (event: StreamEvent) => void
  readonly #asks: Asks
  readonly #uploads: Uploads
  readonly #life: Life
  readonly #signs: Signs
  #socket: WebSocket | undefined
  #secrets: { readonly session: string; readonly jwt: string | undefined } = { session: '', jwt: undefined }
  #held: StreamEvent[] | undefined = []
  #state: 'dialling' | 'configuring' | 'open' | 'over' = 'dialling'
  #isAuthenticated = false
  #isCleared = false
  #pingId = ''
  /** What went along with Join. */
  #joined: { readonly [name: string]: string } = {}

  constructor(deps: SocketDeps, request: StreamRequest, emit: (event: StreamEvent) => void) {
    this.#deps = deps
    this.#request = request
    this.#emit = emit
    this.#asks = new Asks(deps, (action, rest, id) => this.#say(action, rest, id))
    this.#uploads = new Uploads(deps, this.#ask)
    this.#life = new Life(emit)
    this.#signs = new Signs(deps, this.#asks, {
      say: (action, rest, id) => this.#say(action, rest, id),
      event: (event) => this.#event(event),
    })
    this.calls = {
      attachments: this.#uploads,
      send: (message) => this.#send(message),
      backfill: ({ afterId }) => this.#backfill(afterId),
    }
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
    this.#uploads.end()
    this.#state = 'over'
    this.#socket?.close(1_000)
  }

  reauth(token: string, tokens: Tokens = {}): void {
    void this.#deps.secretsOf({ ...this.#request, token, tokens }).then((secrets) => {
      this.#secrets = secrets
      // A guest who has signed in meanwhile steps up, on this very connection.
      if (this.#state === 'open' && secrets.jwt !== undefined && !this.#isAuthenticated) this.#configure(false)
    })
  }

  typing(on: boolean): void {
    if (on && this.#state === 'open') this.#signs.typing()
  }

  ping(id: string): void {
    this.#pingId = id
    this.#signs.ping()
  }

  pong(): void {}

  /** Ends the conversation for good: by clearing it where that is allowed, else by closing the session. */
  leave(mayClear: boolean): void {
    this.#held = undefined
    if (mayClear) this.#event({ eventType: 'Presence', presence: { type: 'Clear' } })
    else this.#say('closeSession', { closeAllConnections: true }, 'leave')
  }

  #event(event: object, more: object | false = {}): void {
    this.#say('onMessage', { message: { type: 'Event', events: [event], ...more } }, this.#deps.uuid())
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
      case 'PresignedUrlResponse':
      case 'AttachmentDeletedResponse':
        return this.#asks.settle(body['attachmentId'], { ok: true, value: body })
      case 'GenerateUrlError':
        return this.#failed({ tracingId: body['attachmentId'] }, { code: Number(body['errorCode']) || 0, text: '' })
      case 'UploadSuccessEvent':
      case 'UploadFailureEvent':
        return this.#uploads.hear(frame['class'], body)
      case 'SessionExpiredEvent':
        return this.#over()
      case 'SessionClearedEvent':
        this.#isCleared = true
        return
      case 'LogoutEvent':
        this.#emit({ type: 'signed-out' })
        return this.close()
      case 'ConnectionClosedEvent':
        return this.#end(`ConnectionClosedEvent ${String(body['reason'] ?? body['reasonCode'] ?? '')}`)
    }
  }

  #failed(frame: Frame, { code, text, retryAfterS }: NonNullable<ReturnType<typeof errorOf>>): void {
    const { tracingId } = frame
    const known = this.#asks.about(tracingId)
    const isAboutConfigure = tracingId === 'configure' || this.#state === 'configuring'
    const failure = judge(isAboutConfigure ? 'configure' : (known?.asked ?? 'call'), code, text, retryAfterS)
    // Whatever it was asked for: the session is no more.
    if (failure.verdict === 'session-lost') return this.#over()
    if (!isAboutConfigure) return known?.answer(failure)
    const { verdict } = failure
    const isOfAuth =
      code === 4_017 || (this.#secrets.jwt !== undefined && verdict !== 'retry' && verdict !== 'retry-at')
    // A step-up that is refused leaves the guest where he was; one whose token was too old is made again with another.
    if (this.#state === 'open' && verdict !== 'refresh') return
    this.#finish({ ...failure, ...(isOfAuth && { lease: AUTH_LEASE }) })
  }

  #configured(body: Frame): void {
    const { connected, newSession, readOnly } = body
    const state = this.#request.conversation?.state ?? 'active'
    const isBeginning = state === 'pending'
    // What was closed before it was open makes room for another; else that was our farewell.
    if (connected === false) return this.#state === 'open' ? this.#over() : this.#configure(true)
    if (readOnly === true && isBeginning && this.#state === 'configuring')
      return this.#say('closeSession', { closeAllConnections: true }, 'configure')
    const isFirst = this.#state !== 'open'
    this.#state = 'open'
    this.#isAuthenticated = this.#secrets.jwt !== undefined
    if (isFirst) this.#emit({ type: 'ready', headSeq: 0 })
    // Where a session was to be resumed: what was said in it is not known there any more.
    if (newSession === true && !isBeginning) return this.#over()
    const { limits } = limitsOf(body)
    this.#emit({ type: 'session', isAuthenticated: this.#isAuthenticated, limits })
    this.#life.configured(body, this.#deps.now())
    if (isBeginning && isFirst) this.#emit(conversationIs('active'))
    if (readOnly === true) this.#tell(conversationIs('closed'))
    if (isFirst) this.#deps.after(HOLD_MS, () => this.#release())
    if (newSession === true) {
      void this.#deps.config().then((config) => {
        if (config?.autoStart && this.#asks.waitMs() === 0) this.#join(limits.dataBytesMax)
      })
    }
  }

  /** Join takes along what is known, where all of it may go. */
  #join(dataBytesMax = 0): void {
    const values = this.#request.attributes ?? {}
    const isSome = Object.keys(values).length > 0 && dataBytesOf(values) <= dataBytesMax
    this.#joined = isSome ? textsOf(values) : {}
    const channel = isSome && { channel: { metadata: { customAttributes: this.#joined } } }
    this.#event({ eventType: 'Presence', presence: { type: 'Join' } }, channel)
  }

  #message(frame: Frame, body: Frame): void {
    const { tracingId } = frame
    const now = this.#deps.now()
    const isOwn = body['direction'] === 'Inbound'
    if (tracingId === ECHO_ID) {
      this.#life.echoed(body, now)
      return this.#pong()
    }
    if (body['type'] === 'Event') {
      if (isJoin(body)) this.#emit({ type: 'carried', attributes: this.#joined })
      const event = eventOf(body)
      return event && this.#tell(event)
    }
    this.#life.said(body, now)
    if (isOwn && typeof tracingId === 'string' && this.#asks.awaits(tracingId))
      return this.#asks.settle(tracingId, { ok: true, value: body })
    const row = rowOf(body, this.#request.conversationId, now, isOwn ? tracingId : undefined)
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
  #over(): void {
    if (this.#state === 'configuring') this.#emit({ type: 'ready', headSeq: 0 })
    this.#emit(conversationIs('expired'))
    this.close()
  }

  #end(what: string): void {
    if (this.#state === 'over') return
    if (this.#isCleared) {
      this.#emit({ type: 'cleared' })
      return this.close()
    }
    if (this.#state === 'dialling') {
      this.#state = 'over'
      return void this.#deps.whyClosed().then((ending) => this.#emit({ type: 'closed', ...ending }))
    }
    this.#finish(endingOf(what))
  }

  #finish({ verdict, reason, code, retryAfterMs, lease }: ReturnType<typeof endingOf>): void {
    this.close()
    const wish = retryAfterMs !== undefined && { retryAfterMs }
    this.#emit({ type: 'closed', verdict, reason, ...(code && { code }), ...wish, ...(lease && { lease }) })
  }

  #ask: Ask = (asked, action, rest, id, timeoutMs): Promise<Outcome<Frame>> => {
    if (this.#state !== 'open') return Promise.resolve(judge('call', 0))
    return this.#asks.ask({ asked, action, rest, id, timeoutMs })
  }

  async #send(message: Parameters<NonNullable<Calls['send']>>[0]) {
    const outcome = await send(this.#deps, this.#ask, this.#request.conversationId, message)
    if (outcome.ok) this.#signs.sent()
    return outcome
  }

  async #backfill(afterId: string) {
    const outcome = await backfill(this.#deps, this.#ask, this.#request.conversationId, afterId)
    // In a task of its own: whoever waits for the history has it first.
    this.#deps.after(0, () => this.#release())
    return outcome
  }
}
