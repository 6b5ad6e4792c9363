// The emulated Genesys Cloud Web Messaging service: sessions, what agents do, and the REST calls. What a client says on a
// socket is genesys-connection.ts; the server that makes it reachable is genesys.ts. Time and chance are given.

import { GenesysAttachments, MEDIA } from './genesys-attachments.ts'
import { GenesysConnection } from './genesys-connection.ts'
import {
  Bucket,
  GENESYS_DEFAULTS,
  type GenesysDeps,
  type GenesysEntity,
  type GenesysFault,
  type GenesysSettings,
  type GenesysWatcher,
  type GenesysWire,
  type Shape,
  shapeOf,
} from './genesys-rules.ts'
import type { GenesysSession } from './genesys-session.ts'

export interface GenesysRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly bearer: string | undefined
  readonly origin: string | undefined
  readonly body: unknown
}

export interface GenesysAnswer {
  readonly status: number
  readonly body?: unknown
}

const HISTORY_PAGE = 25
const HISTORY_JWT_SECONDS = 60

export class GenesysService {
  readonly settings: GenesysSettings
  readonly deps: GenesysDeps
  /** By token. */
  readonly sessions = new Map<string, GenesysSession>()
  /** Tokens whose session ended so long ago that nobody knows it any more. */
  readonly purged = new Set<string>()
  /** Every "too many requests" there was, by what was too much. */
  readonly throttled: string[] = []
  readonly attachments = new GenesysAttachments()
  evictions = 0
  /** The most connections that a session ever had at once. */
  connectionsMost = 0
  watcher: GenesysWatcher<GenesysSession> = {}
  /** Told of every message of a customer that was accepted. */
  onAccepted: (session: GenesysSession, entity: GenesysEntity) => void = () => {}
  /** Faults that happen by chance: a probability for each. */
  rates: Partial<Record<GenesysFault, number>> = {}
  readonly #due = new Map<GenesysFault, number>()
  readonly #historyJwts = new Map<string, { session: GenesysSession; expiresAt: number }>()
  readonly #authJwts = new Map<string, { user: string; expiresAt: number }>()
  readonly #refreshTokens = new Map<string, { user: string; family: string; isSpent: boolean }>()
  readonly #codes = new Map<string, string>()
  readonly #connects: Bucket

  constructor(deps: GenesysDeps, settings: Partial<GenesysSettings> = {}) {
    this.deps = deps
    this.settings = { ...GENESYS_DEFAULTS, ...settings }
    this.#connects = new Bucket(this.settings.limits.connectionsPerDeployment, deps.now())
  }

  /** The next `times` chances for it, it happens. */
  fault(kind: GenesysFault, times = 1): void {
    this.#due.set(kind, times)
  }

  /** Is a fault that was switched on still to come? */
  isDue(kind: GenesysFault): boolean {
    return (this.#due.get(kind) ?? 0) > 0
  }

  strikes(kind: GenesysFault): boolean {
    const due = this.#due.get(kind) ?? 0
    if (due > 0) this.#due.set(kind, due - 1)
    return due > 0 || this.deps.draw() < (this.rates[kind] ?? 0)
  }

  /** Nothing where the upgrade is refused: a browser sees only that it was cut. */
  connect(deploymentId: string | null, origin: string | undefined, wire: GenesysWire): GenesysConnection | undefined {
    if (!this.settings.isActive || deploymentId !== this.settings.deploymentId) return undefined
    if (!this.#isAllowed(origin) || this.#connects.take(this.deps.now()) > 0) return undefined
    return new GenesysConnection(this, wire)
  }

  #isAllowed(origin: string | undefined): boolean {
    const { origins } = this.settings
    return origins.length === 0 || (origin !== undefined && origins.includes(origin))
  }

  // What agents and the organisation do.

  agentSays(session: GenesysSession, text: string, content?: readonly unknown[]): void {
    const parts = { direction: 'Outbound', originatingEntity: 'Human' } as const
    const body =
      content === undefined ? { type: 'Text' as const, text } : { type: 'Structured' as const, text, content }
    session.add(session.entity({ ...parts, ...body }))
  }

  agentTypes(session: GenesysSession): void {
    const events = [{ eventType: 'Typing', typing: { type: 'On', duration: 5_000 } }]
    const { tracingId: _, ...body } = session.entity({ type: 'Event', direction: 'Outbound', events })
    session.tell({ type: 'message', class: 'StructuredMessage', code: 200, body })
  }

  /** Ends the conversation; without `isReadOnly` the customer may go on writing. */
  agentCloses(session: GenesysSession, isReadOnly = true): void {
    session.isReadOnly = isReadOnly
    const events = [{ eventType: 'Presence', presence: { type: 'Disconnect' } }]
    const metadata = { readOnly: String(isReadOnly) }
    session.add(session.entity({ type: 'Event', direction: 'Outbound', events, metadata }))
  }

  /** The session's time is over: those who listen are told. */
  expire(session: GenesysSession): void {
    session.expiresAt = this.deps.now()
    session.tell({ type: 'message', class: 'SessionExpiredEvent', code: 200, body: {} })
  }

  /** The service loses its memory of a session: the same token begins another one. */
  forget(session: GenesysSession): void {
    for (const [token, known] of this.sessions) if (known === session) this.sessions.delete(token)
    this.watcher.ended?.(session)
  }

  /** What a sign-in page gives to the site: a code for one exchange. */
  authorize(user: string): string {
    const code = this.deps.uuid()
    this.#codes.set(code, user)
    return code
  }

  jwtFor(session: GenesysSession): { jwt: string; exp: number } {
    const jwt = `history.${this.deps.uuid()}`
    const expiresAt = this.deps.now() + HISTORY_JWT_SECONDS * 1_000
    this.#historyJwts.set(jwt, { session, expiresAt })
    return { jwt, exp: Math.floor(expiresAt / 1_000) }
  }

  /** Whom an auth JWT names, while it lives. */
  userOf(jwt: unknown): string | undefined {
    const held = this.#authJwts.get(String(jwt))
    return held !== undefined && held.expiresAt > this.deps.now() ? held.user : undefined
  }

  /** Could anybody still get a token for this user? */
  isSignedIn(user: string): boolean {
    return [...this.#refreshTokens.values()].some((held) => held.user === user)
  }

  /** Every auth JWT so far counts as expired. */
  expireAuth(): void {
    this.#authJwts.clear()
  }

  request({ method, path, query, bearer, body }: GenesysRequest): GenesysAnswer {
    const line = `${method} ${path}`
    if (line === 'GET /api/v2/webmessaging/messages') return this.#history(bearer, query)
    if (line === 'POST /api/v2/webdeployments/token/oauthcodegrantjwtexchange') return this.#exchange(shapeOf(body))
    if (line === 'POST /api/v2/webdeployments/token/refresh') return this.#refresh(shapeOf(body))
    if (line === 'DELETE /api/v2/webdeployments/token/revoke') return this.#revoke(bearer)
    const config = /^GET \/webdeployments\/v1\/deployments\/([^/]+)\/config\.json$/.exec(line)
    if (config !== null && config[1] === this.settings.deploymentId) return { status: 200, body: this.#config() }
    return { status: 404, body: { message: 'not found' } }
  }

  #history(bearer: string | undefined, query: URLSearchParams): GenesysAnswer {
    const held = this.#historyJwts.get(bearer ?? '')
    if (held === undefined || held.expiresAt <= this.deps.now()) return { status: 401, body: { code: 'unauthorized' } }
    if (held.session.histories.take(this.deps.now()) > 0) {
      this.throttled.push('history')
      return { status: 429, body: { code: 'too.many.requests' } }
    }
    if (this.strikes('history-failed')) return { status: 503, body: { code: 'service.unavailable' } }
    const pageSize = Number(query.get('pageSize') ?? HISTORY_PAGE)
    const pageNumber = Number(query.get('pageNumber') ?? 1)
    const newestFirst = [...held.session.log].reverse()
    const page = newestFirst.slice((pageNumber - 1) * pageSize, pageNumber * pageSize)
    const entities = page.map(({ tracingId: _, metadata, ...entity }) => ({
      ...entity,
      ...(metadata && (this.settings.historyHasMetadata || entity.type === 'Event') && { metadata }),
      ...(this.strikes('timeless') && { channel: { ...entity.channel, time: null } }),
    }))
    const total = newestFirst.length
    return { status: 200, body: { entities, pageSize, pageNumber, total, pageCount: Math.ceil(total / pageSize) } }
  }

  #exchange({ deploymentId, oauth }: Shape): GenesysAnswer {
    const { code, idToken, redirectUri } = shapeOf(oauth)
    const user = typeof idToken === 'string' ? idToken : this.#codes.get(String(code))
    const isPlausible = typeof idToken === 'string' || typeof redirectUri === 'string'
    if (!this.settings.auth || deploymentId !== this.settings.deploymentId || user === undefined || !isPlausible)
      return { status: 401, body: { code: 'not.authenticated' } }
    this.#codes.delete(String(code))
    const jwt = this.#authJwt(user)
    if (typeof idToken === 'string') return { status: 200, body: { jwt } }
    return { status: 200, body: { jwt, refreshToken: this.#refreshToken(user, this.deps.uuid()) } }
  }

  #authJwt(user: string): string {
    const { now, uuid } = this.deps
    const exp = now() + this.settings.authJwtSeconds * 1_000
    const part = (value: object) => btoa(JSON.stringify(value)).replace(/=+$/, '')
    const jwt = `${part({ alg: 'none' })}.${part({ exp: Math.floor(exp / 1_000), jti: uuid() })}.`
    this.#authJwts.set(jwt, { user, expiresAt: exp })
    return jwt
  }

  #refreshToken(user: string, family: string): string {
    const token = this.deps.uuid()
    this.#refreshTokens.set(token, { user, family, isSpent: false })
    return token
  }

  #refresh({ refreshToken }: Shape): GenesysAnswer {
    const held = this.#refreshTokens.get(String(refreshToken))
    if (held === undefined) return { status: 401, body: { code: 'invalid.refresh.token' } }
    if (held.isSpent) {
      for (const [token, { family }] of this.#refreshTokens)
        if (family === held.family) this.#refreshTokens.delete(token)
      return { status: 401, body: { code: 'invalid.refresh.token' } }
    }
    const jwt = this.#authJwt(held.user)
    if (!this.settings.rotatesRefreshTokens) return { status: 200, body: { jwt } }
    held.isSpent = true
    return { status: 200, body: { jwt, refreshToken: this.#refreshToken(held.user, held.family) } }
  }

  #revoke(bearer: string | undefined): GenesysAnswer {
    const user = this.userOf(bearer)
    if (user === undefined) return { status: 401, body: { code: 'not.authenticated' } }
    for (const [token, held] of this.#refreshTokens) if (held.user === user) this.#refreshTokens.delete(token)
    for (const session of new Set(this.sessions.values()))
      if (session.user === user) session.tell({ type: 'message', class: 'LogoutEvent', code: 200, body: {} })
    return { status: 204 }
  }

  #config(): object {
    const { settings } = this
    const conversations = {
      messagingEndpoint: 'wss://webmessaging.emulator.example',
      showAgentTypingIndicator: true,
      showUserTypingIndicator: settings.showUserTyping,
      autoStart: { enabled: settings.autoStart },
      conversationDisconnect: { enabled: true, type: 'ReadOnly' },
      conversationClear: { enabled: settings.conversationClear },
      notifications: { enabled: false },
      markdown: { enabled: false },
      sessionDurationSeconds: settings.durationSeconds,
    }
    const { fileTypes, maxFileSizeKB } = MEDIA.allowedMedia.inbound
    const modes = [{ fileTypes: fileTypes.map(({ type }) => type), maxFileSizeKB }]
    return {
      id: settings.deploymentId,
      version: '1',
      status: settings.isActive ? 'Active' : 'Inactive',
      languages: ['en-us'],
      defaultLanguage: 'en-us',
      apiEndpoint: 'https://api.emulator.example',
      headlessMode: { enabled: true },
      auth: { enabled: settings.auth, allowSessionUpgrade: settings.allowSessionUpgrade },
      journeyEvents: { enabled: false },
      messenger: {
        enabled: true,
        apps: { conversations },
        fileUpload: { enableAttachments: settings.takesAttachments, modes },
        styles: { primaryColor: '#0f6468' },
        launcherButton: { visibility: 'On' },
      },
    }
  }
}
