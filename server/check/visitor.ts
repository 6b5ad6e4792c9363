// A visitor as the checks need one: plain calls with a token in the body, so that no cookie jar hides anything.
import { randomUUID } from 'node:crypto'
import { type Lab, must } from './report.ts'

const ANSWER_TIMEOUT_MS = 15_000

export type Answer = { status: number; headers: Headers; text: string; body: Record<string, unknown> }
export type Grant = { access_token: string; refresh_token?: string }
export type Call = {
  method?: string
  body?: unknown
  form?: Record<string, string>
  headers?: Record<string, string>
  token?: string
}
export type Conversation = { id: string; participantId: string }
export type Listed = {
  messages: { id: string; seq: number; text: string }[]
  nextAfterId: string | null
  lastSeq: number
}

export const freshKey = (): string => `check-${randomUUID()}`
export const MESSAGES = (id: string): string => `/api/v2/messaging/conversations/${id}/messages`

export async function call(
  lab: Lab,
  path: string,
  { method, body, form, headers = {}, token }: Call = {},
): Promise<Answer> {
  const response = await fetch(new URL(path, lab.url), {
    method: method ?? (body === undefined && form === undefined ? 'GET' : 'POST'),
    headers: {
      ...headers,
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(form !== undefined && { body: new URLSearchParams(form) }),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    redirect: 'manual',
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: parsed(text) }
}

function parsed(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    // An answer that is no JSON has no members; its status tells the check what it needs to know.
    return {}
  }
}

export class Visitor {
  readonly lab: Lab
  token: string
  refreshToken: string

  private constructor(lab: Lab, grant: Grant) {
    this.lab = lab
    this.token = grant.access_token
    this.refreshToken = grant.refresh_token ?? ''
  }

  static async open(lab: Lab): Promise<Visitor> {
    const body = { deploymentId: lab.deployment, refreshKey: freshKey(), tokenDelivery: 'body' }
    const { status, body: opened } = await call(lab, '/api/v2/widget/sessions', { body })
    const grant = opened['grant'] as Grant | undefined
    must(status === 201 || status === 200, `Opening a session was answered ${status} ${opened['code'] ?? ''}.`)
    must(typeof grant?.access_token === 'string', 'Opening a session gave no grant.')
    must(
      typeof grant.refresh_token === 'string',
      'The grant has no refresh token, although body delivery was asked for.',
    )
    return new Visitor(lab, grant)
  }

  static async begin(lab: Lab): Promise<{ visitor: Visitor; conversation: Conversation }> {
    const visitor = await Visitor.open(lab)
    return { visitor, conversation: await visitor.start() }
  }

  call(path: string, more: Call = {}): Promise<Answer> {
    return call(this.lab, path, { token: this.token, ...more })
  }

  async start(): Promise<Conversation> {
    const { status, body } = await this.call('/api/v2/messaging/conversations', { body: { channelId: 'web' } })
    must(status === 201 || status === 200, `Creating a conversation was answered ${status} ${body['code'] ?? ''}.`)
    return { id: String(body['id']), participantId: String(body['participantId']) }
  }

  say({ id, participantId }: Conversation, text: string, key = freshKey()): Promise<Answer> {
    return this.call(MESSAGES(id), {
      body: { participantId, text, contentType: 'text/plain' },
      headers: { 'Idempotency-Key': key },
    })
  }

  async list(id: string, query = ''): Promise<Listed> {
    const { status, body } = await this.call(MESSAGES(id) + query)
    must(status === 200, `Reading messages${query} was answered ${status}.`)
    return body as Listed
  }

  close(id: string): Promise<Answer> {
    return this.call(`/api/v2/messaging/conversations/${id}/close`, { method: 'POST' })
  }

  refresh(key: string, refreshToken = this.refreshToken): Promise<Answer> {
    return call(this.lab, '/api/v2/widget/auth/refresh', {
      form: { grant_type: 'refresh_token', refresh_token: refreshToken },
      headers: { 'Idempotency-Key': key },
    })
  }

  /** Whether an access token is taken. */
  async isAdmitted(token = this.token): Promise<boolean> {
    const { status } = await this.call('/api/v2/messaging/conversations', { token })
    must(status === 200 || status === 401, `Listing conversations was answered ${status}.`)
    return status === 200
  }
}
