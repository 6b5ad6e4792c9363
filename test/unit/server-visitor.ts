// A visitor and an agent for the tests of the session service: plain fetch with a cookie jar, no cleverness.
import type { SessionService } from '../../server/index.ts'

export type Answer<T = Record<string, unknown>> = { status: number; headers: Headers; body: T }
export type Call = { method?: string; body?: unknown; headers?: Record<string, string>; form?: Record<string, string> }
export type Grant = { access_token: string; expires_in: number; refresh_token?: string }
export type Opened = {
  persistentSessionId: string
  succeeds?: string
  conversation: { id: string; state: string; previousId?: string } | null
  activeElsewhere: boolean
  expiresAt: number
  stateSnapshot?: unknown
  grant: Grant
}
export type Created = {
  id: string
  participantId: string
  state: string
  version: number
  joined?: true
  previousId?: string
  resumedFrom?: string
}
export type Problem = { code: string; status: number; present?: { version: number } }
export type MessageAnswer = { id: string; seq: number; at: number }
export type Listed = {
  messages: { id: string; seq: number; text: string; key?: string; role: string }[]
  nextAfterId: string | null
  lastSeq: number
}

let keys = 0
export const freshKey = (): string => `key-${String(++keys).padStart(8, '0')}`

export type Target = Pick<SessionService, 'fetch'> | string

/** One browser: what it stores is its cookie and its access token. */
export class Visitor {
  cookie: string | undefined
  /** Changes with the number of deployments, and with the cookie's options. */
  cookieName = 'holdfast_session'
  token: string | undefined
  readonly target: Target
  readonly deploymentId: string

  constructor(target: Target, deploymentId = 'demo') {
    this.target = target
    this.deploymentId = deploymentId
  }

  async call<T = Record<string, unknown>>(path: string, call: Call = {}): Promise<Answer<T>> {
    const headers = new Headers(call.headers)
    if (this.cookie !== undefined) headers.set('Cookie', `${this.cookieName}=${this.cookie}`)
    if (this.token !== undefined && !headers.has('Authorization')) headers.set('Authorization', `Bearer ${this.token}`)
    const init: RequestInit = { method: call.method ?? (call.body || call.form ? 'POST' : 'GET'), headers }
    if (call.form !== undefined) init.body = new URLSearchParams(call.form)
    if (call.body !== undefined) {
      headers.set('Content-Type', 'application/json')
      init.body = typeof call.body === 'string' ? call.body : JSON.stringify(call.body)
    }
    const response =
      typeof this.target === 'string'
        ? await fetch(this.target + path, init)
        : await this.target.fetch(new Request(`http://localhost${path}`, init))
    const set = response.headers.getSetCookie().map((cookie) => /^(\S*holdfast_session[^=]*)=([^;]*)/.exec(cookie))[0]
    if (set) [, this.cookieName = '', this.cookie] = set
    if (set && this.cookie === '') this.cookie = undefined
    const text = await response.text()
    const isJson = /json/.test(response.headers.get('Content-Type') ?? '')
    return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as T }
  }

  async open(refreshKey = freshKey(), more: Record<string, unknown> = {}): Promise<Answer<Opened>> {
    const { token } = this
    this.token = undefined
    const answer = await this.call<Opened>('/api/v2/widget/sessions', {
      body: { deploymentId: this.deploymentId, refreshKey, ...more },
    })
    this.token = answer.status < 300 ? answer.body.grant.access_token : token
    return answer
  }

  /** By cookie, or by the given token; keeps what it gets only when asked to. */
  refresh(key?: string, refreshToken?: string): Promise<Answer<Grant & { error?: string }>> {
    return this.call('/api/v2/widget/auth/refresh', {
      form: { grant_type: 'refresh_token', ...(refreshToken !== undefined && { refresh_token: refreshToken }) },
      headers: { ...(key !== undefined && { 'Idempotency-Key': key }) },
    })
  }

  start(body: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<Answer<Created>> {
    return this.call('/api/v2/messaging/conversations', { body: { channelId: 'web', ...body }, headers })
  }

  say(
    conversation: { id: string; participantId?: string },
    text: string,
    key = freshKey(),
  ): Promise<Answer<MessageAnswer>> {
    const { id, participantId } = conversation
    return this.call(`/api/v2/messaging/conversations/${id}/messages`, {
      body: { ...(participantId && { participantId }), text },
      headers: { 'Idempotency-Key': key },
    })
  }

  list(id: string, query = ''): Promise<Answer<Listed>> {
    return this.call(`/api/v2/messaging/conversations/${id}/messages${query}`)
  }

  /** Opens a session and a conversation in it. */
  async begin(): Promise<Created> {
    await this.open()
    return (await this.start()).body
  }
}

export async function agentOf(service: SessionService, target: Target = service, agentId = 'kim'): Promise<Visitor> {
  const agent = new Visitor(target)
  agent.token = await service.agentToken({ deploymentId: 'demo', agentId, name: 'Kim' })
  return agent
}

export const times = <T>(n: number, make: (index: number) => T): T[] =>
  Array.from({ length: n }, (_, index) => make(index))
