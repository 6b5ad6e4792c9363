// Adapter: the session service behind the Platform port. Owns which call says what, and the deadlines of calls.
// Leaves to others: when to call (the engine), what answers and frames mean (session-wire.ts), the heartbeat (stream.ts).

import type { ConversationView, Outcome, PlainGrant, Platform, StreamEvent } from '../../core/ports.ts'
import { isOver, type Opened } from '../../core/session.ts'
import type { Row } from '../../core/transcript.ts'
import { ask, parse, REQUEST_TIMEOUT_MS } from './http.ts'
import { ATTACHMENTS, attachments } from './session-attachments.ts'
import { ackOf, closedBy, eventOf, failureOf, framesOf, grantOf, openedOf, pageOf, viewOf } from './session-wire.ts'

const WIDGET = '/api/v2/widget/'
const MESSAGING = '/api/v2/messaging/'
const PAGE_ROWS_MAX = 200
const BACKFILL_ROWS_MAX = 1_000

export interface SessionServiceOptions {
  /** Where the service is, for example `https://chat.example.com`; '' or '/' for the origin of the worker. */
  readonly url: string
  /** What the service calls the deployment. Default: its name here. */
  readonly deployment?: string
  /** How long one request may take, in milliseconds. Default 15 000. */
  readonly requestTimeoutMs?: number
}

export interface PlatformDeps {
  readonly deployment: string
  readonly fetch?: typeof fetch
  readonly WebSocket?: typeof WebSocket
  now(): number
}

interface Call {
  /** Bytes in the place of a body. */
  readonly part?: Blob
  readonly token?: string | undefined
  readonly key?: string
  readonly ifMatch?: string
  readonly body?: object
  /** A status beside 200 (and 201 of a POST) that `read` understands. */
  readonly also?: number
  readonly waitMs?: number
}

/** What `read` cannot make sense of was not an answer of this service, whatever its status says. */
export type CallOf = <T>(
  line: string,
  call: Call,
  read: (body: unknown, status: number) => T | undefined,
) => Promise<Outcome<T>>

/** The session service as a platform: every send carries its key, messages are fetched by cursor. */
export const sessionService =
  ({ url, deployment, requestTimeoutMs = REQUEST_TIMEOUT_MS }: SessionServiceOptions) =>
  (deps: PlatformDeps): Platform => {
    const base = url.replace(/\/+$/, '')
    const call = callsTo(base, requestTimeoutMs, deps)
    return {
      name: 'session-service',
      capabilities: {
        delivery: 'keyed',
        catchUp: 'cursor',
        sendWithoutStream: true,
        inFlightMax: 4,
        marks: true,
        limits: { messageCharsMax: 4_096, attributeCharsMax: 2_000, routingBytesMax: 16_384, attachments: ATTACHMENTS },
      },
      ...sessions(call, deployment ?? deps.deployment, deps.now),
      ...conversations(call),
      mark: ({ token, conversationId, seq: read }) =>
        call(conversationLine('POST', conversationId, '/marks'), { token, body: { read } }, marksTaken(conversationId)),
      attachments: attachments(call, conversationLine),
      ...streams(call, base, deps),
    }
  }

const marksTaken = (conversationId: string) => (body: unknown) =>
  eventOf({ ...Object(body), type: 'marks', conversationId }, conversationId) && null

function callsTo(base: string, timeoutMs: number, deps: PlatformDeps): CallOf {
  return async (line, { token, key, ifMatch, body, part, also, waitMs = 0 }, read) => {
    const [method = '', path = ''] = line.split(' ')
    const isForm = body instanceof URLSearchParams
    const headers = Object.entries({
      Authorization: token && `Bearer ${token}`,
      'Idempotency-Key': key,
      'If-Match': ifMatch,
      'Content-Type': part ? 'application/octet-stream' : body && !isForm && 'application/json',
    }).filter((header): header is [string, string] => !!header[1])
    const content = part ?? (isForm ? body : body && JSON.stringify(body))
    const init = { method, headers, ...(content && { body: content }) }
    const reply = await ask(deps.fetch ?? fetch, base + path, init, timeoutMs + waitMs, deps.now)
    const { status } = reply ?? { status: 0 }
    const isExpected = status === 200 || status === also || (status === 201 && method === 'POST')
    const value = isExpected ? read(reply?.body, status) : undefined
    return value === undefined ? failureOf(line.split('?')[0] as string, reply) : { ok: true, value }
  }
}

const conversationLine = (method: string, id: string, rest = ''): string =>
  `${method} ${MESSAGING}conversations/${encodeURIComponent(id)}${rest}`

const view = (call: CallOf, token: string, id: string): Promise<Outcome<ConversationView>> =>
  call(conversationLine('GET', id), { token }, viewOf)

type Answered = Outcome<{ opened: Opened; grant: PlainGrant }>

function sessions(
  call: CallOf,
  deploymentId: string,
  now: () => number,
): Pick<Platform, 'open' | 'authenticate' | 'refresh' | 'revoke'> {
  /** Another conversation, or none: what became of the one that we know? */
  const traced = async (answer: Answered, conversationId: string | null): Promise<Answered> => {
    if (!answer.ok || !conversationId || answer.value.opened.conversation?.id === conversationId) return answer
    const { opened, grant } = answer.value
    const former = await view(call, grant.accessToken, conversationId)
    if (!former.ok && former.verdict !== 'read-only' && former.verdict !== 'refuse') return former
    const state = former.ok ? former.value.conversation.state : former.verdict === 'read-only' ? 'gone' : 'expired'
    const formerState = state === 'gone' || isOver(state) ? state : 'expired'
    return { ok: true, value: { grant, opened: { ...opened, formerState } } }
  }

  return {
    async open({ key: refreshKey, token, wantsRefreshToken, conversationId }) {
      const body = { deploymentId, refreshKey, tokenDelivery: wantsRefreshToken ? 'body' : 'cookie' }
      const answer = await call(`POST ${WIDGET}sessions`, { token, body }, (opened) => openedOf(opened, now()))
      return traced(answer, conversationId)
    },

    async authenticate({ token, identity, conversationId }) {
      const request = { token, body: { token: identity } }
      const answer = await call(`POST ${WIDGET}auth/authenticate`, request, (opened) => openedOf(opened, now()))
      return traced(answer, conversationId)
    },

    async refresh({ key, refreshToken }) {
      const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: deploymentId })
      if (refreshToken) body.set('refresh_token', refreshToken)
      return call(`POST ${WIDGET}auth/refresh`, { key, body }, (answer) => {
        const grant = grantOf(answer)
        // Where the service does not rotate, the token that was used is still the one to use.
        return grant && refreshToken ? { refreshToken, ...grant } : grant
      })
    },

    /** @see https://www.rfc-editor.org/rfc/rfc7009#section-2 */
    async revoke({ token, refreshToken }) {
      const body = new URLSearchParams({ client_id: deploymentId, ...(refreshToken && { token: refreshToken }) })
      return call(`POST ${WIDGET}auth/revoke`, { token, body }, (answer) => (answer ? null : undefined))
    },
  }
}

function conversations(call: CallOf): Pick<Platform, 'make' | 'send' | 'push' | 'backfill'> {
  return {
    async make({ key, token, previousId, routing: routingData, attributes }) {
      const body = {
        channelId: 'web',
        routingData,
        customAttributes: attributes,
        previousConversationId: previousId,
      }
      const answer = await call(`POST ${MESSAGING}conversations`, { token, key, body }, (made, status) => {
        const created = viewOf({ ...Object(made), customAttributes: attributes })
        return created && { ...created, joined: status === 200 }
      })
      if (!answer.ok || !answer.value.joined) return answer
      const { conversation } = answer.value
      const joined = await view(call, token, conversation.id)
      return joined.ok ? { ok: true, value: { ...joined.value, conversation, joined: true } } : joined
    },

    async send({ token, conversation, message: { key, text, metadata }, attachments }) {
      const participantId = conversation.participantId || undefined
      const body = { participantId, text, contentType: 'text/plain', metadata, attachments }
      return call(conversationLine('POST', conversation.id, '/messages'), { token, key, body }, ackOf)
    },

    async push({ token, conversationId, delta, version }) {
      const request = { token, ifMatch: `"${version}"`, body: { customAttributes: delta }, also: 412 }
      return call(conversationLine('PATCH', conversationId), request, (body, status) => {
        const conflict = status === 412
        const present = viewOf(conflict ? Object(body).present : body)
        return present && { ...present, conflict }
      })
    },

    /** Asked only when something is known to be missing, so a conditional request would save nothing. */
    async backfill({ token, conversationId, afterId }) {
      const rows: Row[] = []
      for (;;) {
        const query = `/messages?limit=${PAGE_ROWS_MAX}${afterId && `&afterId=${encodeURIComponent(afterId)}`}`
        const answer = await call(
          conversationLine('GET', conversationId, query),
          { token, also: 410 },
          (body, status) => (status === 410 ? null : pageOf(body, conversationId)),
        )
        if (!answer.ok) return answer
        if (answer.value === null) return { ok: true, value: { resync: true } }
        const { rows: page, ...more } = answer.value
        rows.push(...page)
        const last = page.at(-1)
        if (last === undefined || last.id === afterId || last.seq >= more.headSeq || rows.length >= BACKFILL_ROWS_MAX) {
          return { ok: true, value: { resync: false, ...more, rows } }
        }
        afterId = last.id
      }
    },
  }
}

const sumOf = ({ delivered, read }: { delivered: number; read: number }): number => delivered + read

function streams(call: CallOf, base: string, deps: PlatformDeps): Pick<Platform, 'connect' | 'poll'> {
  /** The newest state that a poll has brought: what changes between two polls is not missed. */
  let polled = { conversationId: '', version: 0, marks: 0 }
  return {
    connect({ conversationId, token, afterSeq }, emit) {
      let socket: WebSocket | undefined
      let isClosed = false
      const say = (frame: object) => {
        if (socket?.readyState === 1) socket.send(JSON.stringify(frame))
      }
      const close = () => {
        isClosed = true
        socket?.close()
      }
      const hear = (event: StreamEvent | undefined) => {
        if (isClosed || event === undefined) return
        if (event.type === 'closed') close()
        emit(event)
      }
      try {
        const url = `${(base || location.origin).replace('http', 'ws')}${MESSAGING}stream`
        socket = new (deps.WebSocket ?? WebSocket)(url, 'holdfast.v2')
        socket.onopen = () => say({ type: 'auth', token, conversationId, afterSeq })
        socket.onmessage = ({ data }) => hear(eventOf(parse(data), conversationId))
        // The close that follows says it all, but outside of browsers an error that nobody hears is fatal.
        socket.onerror = () => {}
        // What a browser or a proxy closes has a code below 4000, and no status of ours.
        socket.onclose = ({ code, reason }) => hear(closedBy(code < 4_000 ? 499 : code - 4_000, { code: reason }))
      } catch {
        // Forbidden by a policy of the site, or no socket at all: told as an end, but not before we have returned.
        queueMicrotask(() => hear(closedBy(499)))
      }
      return {
        ping: (id) => say({ type: 'ping', id }),
        pong: (id) => say({ type: 'pong', id }),
        typing: (on) => say({ type: 'typing', on }),
        reauth: (next) => {
          token = next
          say({ type: 'reauth', token })
        },
        close,
      }
    },

    async poll({ token, conversationId, afterSeq, waitMs }) {
      if (polled.conversationId !== conversationId) polled = { conversationId, version: 0, marks: 0 }
      const id = encodeURIComponent(conversationId)
      const query = `conversationId=${id}&afterSeq=${afterSeq}&afterVersion=${polled.version}&afterMarks=${polled.marks}&waitMs=${waitMs}`
      const answer = await call(`GET ${MESSAGING}stream/poll?${query}`, { token, waitMs }, (body) =>
        framesOf(body, conversationId),
      )
      for (const event of answer.ok ? answer.value : []) {
        if (event.type === 'conversation') polled = { ...polled, version: event.version }
        // They only grow, and so does their sum.
        if (event.type === 'marks') polled = { ...polled, marks: sumOf(event.others) + sumOf(event.own) }
      }
      return answer
    },
  }
}
