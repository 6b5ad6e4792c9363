// One connection to the emulated service: what each frame of a client does, what is answered, and what goes wrong.

import { isRefusal, MEDIA } from './genesys-attachments.ts'
import { Bucket, dataBytesOf, type GenesysWire, type Shape, shapeOf } from './genesys-rules.ts'
import type { GenesysService } from './genesys-service.ts'
import { frameOf, GenesysSession } from './genesys-session.ts'

const TEXT_CHARS_MAX = 4_096
/** A frame that is late comes behind all that is said in this time. */
const LATE_MS = 400

export class GenesysConnection {
  readonly #service: GenesysService
  readonly #wire: GenesysWire
  readonly #requests: Bucket
  readonly #echoes: Bucket
  #session: GenesysSession | undefined
  #isClosed = false
  #forms = 0

  constructor(service: GenesysService, wire: GenesysWire) {
    const { limits } = service.settings
    this.#service = service
    this.#wire = wire
    this.#requests = new Bucket(limits.requestsPerConnection, service.deps.now())
    this.#echoes = new Bucket(limits.echoPerConnection, service.deps.now())
  }

  /** The service speaks: perhaps twice, perhaps too late. */
  say(frame: object): void {
    if (this.#isClosed) return
    const isMessage = (frame as Shape)['class'] === 'StructuredMessage'
    if (isMessage && this.#service.strikes('doubled')) this.#wire.send(frame)
    if (isMessage && this.#service.strikes('late')) {
      this.#service.deps.after(LATE_MS, () => this.#isClosed || this.#wire.send(frame))
    } else this.#wire.send(frame)
  }

  /** The service ends it. */
  cut(code: number, reason: string): void {
    if (this.#isClosed) return
    this.gone()
    this.#wire.close(code, reason)
  }

  /** The client has gone: the session stays. */
  gone(): void {
    this.#isClosed = true
    this.#session?.connections.delete(this)
  }

  receive(raw: unknown): void {
    if (this.#isClosed) return
    const frame = shapeOf(raw)
    const { action, token } = frame
    if (typeof action !== 'string' || typeof token !== 'string' || token === '') {
      return this.#fail(frame, 4_020, 'A parameter is missing')
    }
    const wait = this.#requests.take(this.#service.deps.now())
    if (wait > 0) return this.#throttle(frame, 'requests', 429, 'Too many requests for this connection', wait)
    if (action === 'configureSession' || action === 'configureAuthenticatedSession') return this.#configure(frame)
    if (this.#session === undefined) return this.#fail(frame, 400, 'Configure the session first')
    if (this.#service.sessions.get(token) !== this.#session) return this.#fail(frame, 4_007, 'Session not found')
    if (this.#session.isExpired) return this.#fail(frame, 4_006, 'Session has expired')
    this.#act(action, frame, this.#session)
  }

  #act(action: string, frame: Shape, session: GenesysSession): void {
    switch (action) {
      case 'onMessage':
        return this.#message(frame, session)
      case 'echo':
        return this.#echo(frame, session)
      case 'getJwt':
        if (this.#service.strikes('jwt-lost')) return
        return this.#answer(frame, 'JwtResponse', this.#service.jwtFor(session))
      case 'closeSession':
        return this.#close(frame, session)
      case 'onAttachment':
        return this.#attach(frame, session)
      case 'getAttachment':
        return this.#reattach(frame)
      case 'deleteAttachment': {
        this.#service.attachments.drop(frame['attachmentId'])
        const body = { attachmentId: frame['attachmentId'] }
        return this.#answer(frame, 'AttachmentDeletedResponse', body, 200, 'message')
      }
      case 'getConfiguration':
        return this.#answer(frame, 'GetConfigurationResponse', {
          ...this.#limits(),
          messageRoutingEnabled: true,
          sessionDurationSeconds: this.#service.settings.durationSeconds,
        })
    }
    this.#fail(frame, 400, 'Unknown action')
  }

  #answer(frame: Shape, name: string, body: unknown, code = 200, type = 'response'): void {
    const { tracingId } = frame
    this.say({ type, class: name, code, body, ...(tracingId !== undefined && { tracingId }) })
  }

  #fail(frame: Shape, code: number, text: string): void {
    this.#answer(this.#service.strikes('untraced') ? {} : frame, 'string', text, code)
  }

  /** In the two forms that have been seen. */
  #throttle(frame: Shape, what: string, errorCode: number, errorMessage: string, retryAfter: number): void {
    this.#service.throttled.push(what)
    this.#answer(frame, 'TooManyRequestsErrorMessage', { retryAfter, errorCode, errorMessage }, 429)
  }

  #configure(frame: Shape): void {
    const { sessions, purged, settings, deps } = this.#service
    const token = String(frame['token'])
    const isAuthenticated = frame['action'] === 'configureAuthenticatedSession'
    const session = sessions.get(token)
    const wait = session && (session.configureBurst.take(deps.now()) || session.configures.take(deps.now()))
    if (wait || this.#service.strikes('configure-throttled')) {
      const text = 'ConfigureSession rate too high for this session'
      return this.#throttle(frame, wait ? 'configure' : 'fault', 429, text, wait || 1)
    }
    if (frame['deploymentId'] !== settings.deploymentId) return this.#fail(frame, 400, 'Deployment not found')
    if (purged.has(token)) return this.#fail(frame, 4_007, 'Session not found')
    if (session?.isExpired) return this.#fail(frame, 4_006, 'Session has expired')
    if (isAuthenticated) return this.#signIn(frame, token, session)
    if (session?.user !== undefined) return this.#fail(frame, 4_017, 'Cannot downgrade to unauthenticated')
    this.#join(frame, token, session)
  }

  #signIn(frame: Shape, token: string, session: GenesysSession | undefined): void {
    const { sessions, settings } = this.#service
    if (!settings.auth) return this.#fail(frame, 403, 'Session authentication failed: not enabled')
    const user = this.#service.userOf(shapeOf(frame['data'])['code'])
    if (user === undefined) return this.#fail(frame, 401, 'The token has expired')
    const theirs = [...sessions.values()].find((one) => one.user === user && one !== session && !one.isExpired)
    if (session === undefined || session.user === user) {
      if (session === undefined && theirs !== undefined) sessions.set(token, theirs)
      return this.#join(frame, token, session ?? theirs, { user })
    }
    if (!settings.allowSessionUpgrade || session.user !== undefined)
      return this.#fail(frame, 403, 'Try to authenticate again')
    theirs?.endAll(event('ConnectionClosedEvent'))
    if (theirs !== undefined) this.#service.forget(theirs)
    session.endAll(event('ConnectionClosedEvent', { reason: 'signedIn' }), this)
    this.#join(frame, token, session, { user, clearedExistingSession: theirs !== undefined })
    const events = [{ eventType: 'Presence', presence: { type: 'SignIn' } }]
    session.add(session.entity({ type: 'Event', direction: 'Inbound', events }))
  }

  #join(
    frame: Shape,
    token: string,
    known: GenesysSession | undefined,
    { user, clearedExistingSession = false }: { user?: string; clearedExistingSession?: boolean } = {},
  ): void {
    const { sessions, deps, settings } = this.#service
    const isRestart = known !== undefined && frame['startNew'] === true
    const session = known ?? new GenesysSession(deps, settings)
    if (isRestart) session.restart()
    if (user !== undefined) session.user = user
    sessions.set(token, session)
    const isNew = known === undefined || isRestart
    session.onAdd = (entity) => this.#service.watcher.said?.(session, entity)
    if (isNew) this.#service.watcher.begun?.(session)
    this.#session = session
    session.connections.add(this)
    const oldest = [...session.connections][0]
    if (session.connections.size > settings.limits.connectionsPerSessionMax && oldest !== undefined) {
      this.#service.evictions += 1
      oldest.say(event('ConnectionClosedEvent'))
      oldest.cut(1_000, '')
    }
    this.#service.connectionsMost = Math.max(this.#service.connectionsMost, session.connections.size)
    this.#answer(frame, 'SessionResponse', {
      connected: true,
      newSession: isNew,
      readOnly: session.isReadOnly,
      clearedExistingSession,
      autoStarted: false,
      ...this.#limits(),
      durationSeconds: settings.durationSeconds,
      expirationDate: Math.floor(session.expiresAt / 1_000),
    })
  }

  #limits(): object {
    const { maxCustomDataBytes, takesAttachments } = this.#service.settings
    return { ...(takesAttachments && MEDIA), maxCustomDataBytes }
  }

  #message(frame: Shape, session: GenesysSession): void {
    const { deps, settings } = this.#service
    const message = shapeOf(frame['message'])
    // The older place of the channel is accepted, too.
    const channel = shapeOf(message['channel'] ?? frame['channel'])
    const attributes = shapeOf(shapeOf(channel['metadata'])['customAttributes'])
    const { type, text = '', content, metadata } = message
    if (this.#service.strikes('unheard-cut')) return this.cut(1_006, '')
    const wait = session.messages.take(deps.now())
    if (wait > 0) return this.#throttle(frame, 'messages', 4_029, 'Request rate too high', wait)
    if (this.#service.strikes('throttled')) {
      return this.#throttle(frame, 'fault', this.#forms++ % 2 === 0 ? 429 : 4_029, 'Request rate too high', 1)
    }
    if (type === 'Event') return this.#event(frame, message, session, attributes)
    if (session.isReadOnly) return this.#fail(frame, 400, 'The session is read-only')
    if (type !== 'Text' && type !== 'Structured') return this.#fail(frame, 4_020, 'A parameter is missing')
    if (typeof text !== 'string' || text.length > TEXT_CHARS_MAX) return this.#fail(frame, 4_011, 'Message too long')
    if (dataBytesOf(attributes) > settings.maxCustomDataBytes)
      return this.#fail(frame, 4_013, 'Custom attributes are too large')
    if (this.#service.strikes('unexpected')) return this.#fail(frame, 5_000, 'Unexpected error')
    const parts = this.#service.attachments.contentOf(content, session)
    if (isRefusal(parts)) return this.#fail(frame, parts.code, parts.text)
    this.#carry(session, attributes)
    const entity = session.entity({
      type,
      direction: 'Inbound',
      text,
      ...(parts.length > 0 && { content: parts }),
      ...(metadata !== undefined && { metadata: metadata as { [name: string]: string } }),
      ...(typeof frame['tracingId'] === 'string' && { tracingId: frame['tracingId'] }),
    })
    this.#service.onAccepted(session, entity)
    session.add(entity, this)
    if (this.#service.strikes('ack-cut')) return this.cut(1_006, '')
    if (!this.#service.strikes('ack-lost')) this.say(frameOf(entity))
  }

  #carry(session: GenesysSession, attributes: Shape): void {
    if (Object.keys(attributes).length === 0) return
    session.carried += 1
    for (const [name, value] of Object.entries(attributes)) session.attributes[name] = String(value)
  }

  #event(frame: Shape, message: Shape, session: GenesysSession, attributes: Shape): void {
    const first = shapeOf((Array.isArray(message['events']) ? message['events'] : [])[0])
    const presence = shapeOf(first['presence'])['type']
    if (first['eventType'] === 'Typing') return this.#service.watcher.typed?.(session)
    if (presence === 'Join') {
      this.#carry(session, attributes)
      const entity = session.entity({ type: 'Event', direction: 'Inbound', events: [first] })
      return session.tell(frameOf({ ...entity, tracingId: String(frame['tracingId']) }))
    }
    if (presence !== 'Clear') return this.#fail(frame, 4_020, 'A parameter is missing')
    if (!this.#service.settings.conversationClear)
      return this.#fail(frame, 403, 'Conversation Clear is not enabled for this deployment')
    if (this.#service.strikes('clear-cut')) this.cut(1_006, '')
    session.tell(event('SessionClearedEvent'))
    this.#service.forget(session)
    session.endAll(event('ConnectionClosedEvent'))
  }

  #echo(frame: Shape, session: GenesysSession): void {
    const wait = this.#echoes.take(this.#service.deps.now())
    if (wait > 0) return this.#throttle(frame, 'echo', 429, 'Echo rate too high', wait)
    const { durationSeconds } = this.#service.settings
    const expirationDate = Math.floor(session.expiresAt / 1_000)
    this.#answer(frame, 'StructuredMessage', {
      type: 'Text',
      text: 'ping',
      direction: 'Inbound',
      id: this.#service.deps.uuid(),
      channel: { time: new Date(this.#service.deps.now()).toISOString(), type: 'Private' },
      metadata: { durationSeconds: `${durationSeconds}`, expirationDate: `${expirationDate}` },
    })
  }

  #close(frame: Shape, session: GenesysSession): void {
    session.isReadOnly = true
    if (frame['closeAllConnections'] === true) session.endAll(event('ConnectionClosedEvent'), this)
    this.#answer(frame, 'SessionResponse', { connected: false, newSession: false, readOnly: true, ...this.#limits() })
  }

  #attach(frame: Shape, session: GenesysSession): void {
    const { attachmentId } = frame
    const answer = this.#service.settings.takesAttachments
      ? this.#service.attachments.reserve(frame, session, this)
      : { code: 4_000, text: 'Attachments are not enabled' }
    if (!isRefusal(answer)) return this.#answer(frame, 'PresignedUrlResponse', answer)
    const body = { attachmentId, errorCode: answer.code, errorMessage: answer.text }
    this.#answer({}, 'GenerateUrlError', body, 200, 'message')
  }

  #reattach(frame: Shape): void {
    const address = this.#service.attachments.addressOf(frame['attachmentId'])
    if (address === undefined) return this.#fail(frame, 4_009, 'The attachment is not known')
    this.#answer(frame, 'PresignedUrlResponse', address)
  }

  /** The file is there, or it is not what was promised. */
  uploaded(attachmentId: string, downloadUrl: string | undefined): void {
    if (this.#service.strikes('upload-unsaid')) return
    const timestamp = new Date(this.#service.deps.now()).toISOString()
    const failed = { attachmentId, errorCode: 4_003, errorMessage: 'The content is not valid', timestamp }
    if (downloadUrl === undefined) this.say(event('UploadFailureEvent', failed))
    else this.say(event('UploadSuccessEvent', { attachmentId, downloadUrl, timestamp }))
  }
}

const event = (name: string, body: object = {}): object => ({ type: 'message', class: name, code: 200, body })
