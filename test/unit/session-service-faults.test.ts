// The adapter of the session service before servers that are not the session service, or no longer: captive portals,
// login pages, cut answers, sockets that talk nonsense.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type WebSocket as ServerSocket, WebSocketServer, WebSocket as WsSocket } from 'ws'
import type { Outcome, Platform } from '../../core/ports.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import { listener } from '../contract/platform-world.ts'

const TOKEN = 'access.token.secret'
const REFRESH = 'rt1.refresh.secret'
const TEXT = 'what the visitor said'
const conversation = { id: 'c1', participantId: 'p1', state: 'active' } as const
const strange = { ok: false, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' }

const CALLS: { readonly [name: string]: (platform: Platform) => Promise<Outcome<unknown>> } = {
  open: (p) => p.open({ key: 'key-open', token: TOKEN, wantsRefreshToken: true, conversationId: null }),
  refresh: (p) => p.refresh({ key: 'key-refresh', refreshToken: REFRESH }),
  make: (p) => p.make({ key: 'key-make', token: TOKEN, previousId: null, routing: {}, attributes: { note: TEXT } }),
  send: (p) => p.send({ token: TOKEN, conversation, message: { key: 'key-send', text: TEXT } }),
  push: (p) => p.push({ token: TOKEN, conversationId: 'c1', delta: { note: TEXT }, version: 3 }),
  backfill: (p) => p.backfill({ token: TOKEN, conversationId: 'c1', afterId: 'm/1' }),
  poll: (p) => p.poll({ token: TOKEN, conversationId: 'c1', afterSeq: 4, waitMs: 0 }),
  revoke: (p) => p.revoke({ token: TOKEN, refreshToken: REFRESH }),
}
const EVERY = Object.entries(CALLS).map(([call, run]) => ({ call, run }))

type Seen = { line: string; headers: IncomingMessage['headers']; body: string }
type Respond = (response: ServerResponse, request: IncomingMessage) => void

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.unstubAllGlobals()
  for (const close of closing.splice(0).reverse()) await close()
})

/** A server that answers every request in one way, and remembers what it was asked. */
async function answering(respond: Respond) {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body })
    respond(response, request)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { server, seen, url, platform: adapterOf(url) }
}

const adapterOf = (url: string, Socket: unknown = WsSocket): Platform =>
  sessionService({ url })({ deployment: 'demo', now: Date.now, WebSocket: Socket as typeof WebSocket })

const html = (response: ServerResponse, status = 200) =>
  response.writeHead(status, { 'content-type': 'text/html' }).end('<html><title>Welcome to Free Wifi</title></html>')

const json = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))

describe('answers of somebody else', () => {
  test.each(EVERY)('[PL16] a portal that answers 200 with a page is no answer to $call', async ({ run }) => {
    const { platform, seen } = await answering((response) => html(response))
    expect(await run(platform)).toMatchObject(strange)
    expect(seen).toHaveLength(1)
  })

  test.each(EVERY.filter(({ call }) => call !== 'revoke'))(
    '[PL16] JSON of another shape is no answer to $call',
    async ({ run }) => {
      for (const body of [{}, [], null, 'OK', { ok: true, id: 7, messages: 'none', frames: 3 }]) {
        const { platform } = await answering((response) => json(response, 200, body))
        expect(await run(platform)).toMatchObject(strange)
      }
    },
  )

  test.each(EVERY)('[PL16] a success that this call does not have is no answer to $call', async ({ run }) => {
    for (const status of [202, 203, 204, 206]) {
      const { platform } = await answering((response) =>
        status === 204 ? response.writeHead(204).end() : json(response, status, {}),
      )
      expect(await run(platform)).toMatchObject(strange)
    }
  })

  test('[PL16] an acknowledgement counts with 200 and 201, and with no other success', async () => {
    const ack = { id: 'm1', seq: 1, at: 5 }
    for (const status of [200, 201, 202, 203, 206]) {
      const { platform } = await answering((response) => json(response, status, ack))
      const expected = status <= 201 ? { ok: true, value: ack } : strange
      expect([status, await CALLS.send?.(platform)]).toMatchObject([status, expected])
    }
  })

  test.each(EVERY)('[PL16] a redirect to a login page is not followed by $call', async ({ run }) => {
    for (const status of [302, 303, 307, 308]) {
      const { platform, seen } = await answering((response) => response.writeHead(status, { location: '/login' }).end())
      expect(await run(platform)).toMatchObject(strange)
      expect(seen.map(({ line }) => line.includes('login'))).toEqual([false])
    }
  })

  test.each(EVERY)('[PL15] a page with status 403 refuses nothing to $call', async ({ run }) => {
    const { platform } = await answering((response) => html(response, 403))
    expect(await run(platform)).toMatchObject(strange)
  })

  test.each(EVERY)('[PL13] an answer that is cut off is none to $call', async ({ run }) => {
    const { platform } = await answering((response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
      response.write('{"id":"m1","seq":1,')
      response.destroy()
    })
    expect(await run(platform)).toMatchObject({
      ok: false,
      verdict: 'retry',
      code: 'SERVICE_UNREACHABLE',
      isUnreachable: true,
    })
  })

  test.each([
    { says: '7', ms: 7_000 },
    { says: new Date(Date.UTC(2030, 0, 1, 0, 0, 30)).toUTCString(), ms: 30_000 },
  ])('[PL17] "Retry-After: $says" reaches the outcome', async ({ says, ms }) => {
    const headers = { 'retry-after': says, date: new Date(Date.UTC(2030, 0, 1)).toUTCString() }
    for (const status of [429, 503]) {
      const { platform } = await answering((response) => json(response, status, {}, headers))
      expect(await CALLS.send?.(platform)).toMatchObject({ verdict: 'retry-at', retryAfterMs: ms })
    }
  })

  test('[PL2] what became of a conversation is not guessed when the service does not say', async () => {
    const grant = { access_token: TOKEN, token_type: 'Bearer', expires_in: 60 }
    const session = {
      persistentSessionId: 's',
      authenticated: false,
      activeElsewhere: false,
      expiresAt: 1,
      conversation: null,
      grant,
    }
    const ask = async (status: number, body: unknown) => {
      const { platform } = await answering((response, { method }) =>
        method === 'POST' ? json(response, 200, session) : json(response, status, body),
      )
      return platform.open({ key: 'key-open', wantsRefreshToken: true, conversationId: 'c1' })
    }
    expect(await ask(503, {})).toMatchObject({ ok: false, verdict: 'retry' })
    expect(await ask(404, '<html>')).toMatchObject(strange)
    expect(await ask(404, { code: 'unknown-conversation' })).toMatchObject({
      ok: true,
      value: { opened: { formerState: 'gone' } },
    })
    expect(await ask(403, { code: 'not-yours' })).toMatchObject({
      ok: true,
      value: { opened: { formerState: 'expired' } },
    })
    const view = (state: string) => ({ id: 'c1', state, version: 1, customAttributes: {} })
    for (const [state, formerState] of [
      ['archived', 'archived'],
      ['active', 'expired'],
    ] as const) {
      expect(await ask(200, view(state))).toMatchObject({ ok: true, value: { opened: { formerState } } })
    }
  })
})

describe('what is asked', () => {
  test.each(EVERY)('[PL20] $call puts no token and no text into its URL or its failure', async ({ run }) => {
    const { platform, seen } = await answering((response) =>
      json(response, 400, { code: 'invalid-request', detail: TEXT }),
    )
    const outcome = JSON.stringify(await run(platform))
    expect(seen).toHaveLength(1)
    for (const secret of [TOKEN, REFRESH, encodeURIComponent(TEXT), TEXT]) {
      expect(seen[0]?.line).not.toContain(secret)
      expect(outcome).not.toContain(secret)
    }
  })

  test('[PL5] a send carries its key, its token and its seat, and is the same when it is repeated', async () => {
    const { platform, seen } = await answering((response) => json(response, 503, {}))
    for (let attempt = 1; attempt <= 2; attempt++) await CALLS.send?.(platform)
    const { line, headers, body } = seen[0] as Seen
    expect(line).toBe('POST /api/v2/messaging/conversations/c1/messages')
    expect(headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'idempotency-key': 'key-send',
      'content-type': 'application/json',
    })
    expect(JSON.parse(body)).toEqual({ participantId: 'p1', text: TEXT, contentType: 'text/plain' })
    expect(seen[1]?.body).toBe(body)
  })

  test.each(EVERY)('[PL1] $call lets cookies through, and no cache', async ({ run }) => {
    const asked: (RequestInit | undefined)[] = []
    const deps = {
      deployment: 'demo',
      now: Date.now,
      fetch: async (_: unknown, init?: RequestInit) => {
        asked.push(init)
        return Response.error()
      },
    }
    await run(sessionService({ url: 'https://chat.test' })(deps))
    const [init] = asked
    expect(init).toMatchObject({ credentials: 'include', cache: init?.method === 'GET' ? 'no-store' : 'default' })
  })

  test('[PL9] a poll asks for what is newer than the state that it has brought', async () => {
    const conversation = { id: 'c1', state: 'active', version: 7, customAttributes: {} }
    const { platform, seen } = await answering((response) =>
      json(response, 200, { frames: [{ type: 'state', conversation }] }),
    )
    for (const conversationId of ['c1', 'c1', 'c2']) {
      await platform.poll({ token: TOKEN, conversationId, afterSeq: 4, waitMs: 0 })
    }
    const versions = seen.map(({ line }) => new URL(line.slice(4), 'http://x').searchParams.get('afterVersion'))
    expect(versions).toEqual(['0', '7', '0'])
  })

  test('[PL8] a cursor is quoted for its URL', async () => {
    const { platform, seen } = await answering((response) => json(response, 503, {}))
    await CALLS.backfill?.(platform)
    expect(seen[0]?.line).toBe('GET /api/v2/messaging/conversations/c1/messages?limit=200&afterId=m%2F1')
  })

  test('[PL8] a service that gives the same page again and again is not asked for ever', async () => {
    const message = { id: 'm1', seq: 1, at: 5, conversationId: 'c1', role: 'agent', text: 'again' }
    const { platform, seen } = await answering((response) =>
      json(response, 200, { messages: [message], nextAfterId: 'm1', lastSeq: 9 }),
    )
    const outcome = await platform.backfill({ token: TOKEN, conversationId: 'c1', afterId: '' })
    expect([outcome, seen.length]).toMatchObject([
      { ok: true, value: { headSeq: 9, rows: [{ seq: 1 }, { seq: 1 }] } },
      2,
    ])
  })

  test('[PL8] a backfill of very many rows stops, and says how far the log goes', async () => {
    const { platform, seen } = await answering((response, { url }) => {
      const after = Number(new URL(url ?? '', 'http://x').searchParams.get('afterId')?.slice(1) ?? 0)
      const at = (seq: number) => ({ id: `m${seq}`, seq, conversationId: 'c1', role: 'agent', text: 'x', at: 1 })
      json(response, 200, {
        messages: Array.from({ length: 200 }, (_, index) => at(after + index + 1)),
        lastSeq: 9_999,
      })
    })
    const outcome = await platform.backfill({ token: TOKEN, conversationId: 'c1', afterId: '' })
    if (!outcome.ok || outcome.value.resync) throw new Error('There was no backfill.')
    expect([outcome.value.rows.length, outcome.value.headSeq, seen.length]).toEqual([1_000, 9_999, 5])
  })

  test('[PL16] the service may be at a path, and at the origin of the worker', async () => {
    const { platform, seen, url } = await answering((response) => html(response))
    await CALLS.send?.(adapterOf(`${url}/chat//`))
    expect(seen[0]?.line).toBe('POST /chat/api/v2/messaging/conversations/c1/messages')
    vi.stubGlobal('location', { origin: 'https://shop.test' })
    const made: string[] = []
    const Socket = class {
      constructor(at: string) {
        made.push(at)
      }
      close() {}
    }
    for (const at of ['', '/'])
      adapterOf(at, Socket).connect({ conversationId: 'c1', token: TOKEN, afterSeq: 0 }, () => {})
    expect(made).toEqual(['wss://shop.test/api/v2/messaging/stream', 'wss://shop.test/api/v2/messaging/stream'])
    expect(platform.name).toBe('session-service')
  })
})

describe('sockets', () => {
  /** A server whose sockets do what the test says once they were greeted. */
  async function talking(greeted: (socket: ServerSocket) => void) {
    const { server, url } = await answering((response) => html(response))
    const sockets = new WebSocketServer({ server })
    const heard: string[] = []
    sockets.on('connection', (socket, request) => {
      heard.push(request.url ?? '')
      socket.on('message', (data) => {
        heard.push(String(data))
        if (heard.length === 2) greeted(socket)
      })
    })
    const ear = listener()
    const connection = adapterOf(url).connect({ conversationId: 'c1', token: TOKEN, afterSeq: 4 }, ear.emit)
    closing.push(async () => {
      connection.close()
      for (const socket of sockets.clients) socket.terminate()
    })
    return { ...ear, connection, heard }
  }
  const isClosed =
    ({ has }: { has(type: 'closed'): boolean }) =>
    () =>
      has('closed')

  test('[PL20] the token is in the first frame, never in the address', async () => {
    const world = await talking((socket) => socket.send('{"type":"ready","lastSeq":9}'))
    await world.until(() => world.has('ready'))
    expect(world.heard[0]).toBe('/api/v2/messaging/stream')
    expect(JSON.parse(world.heard[1] ?? '')).toEqual({ type: 'auth', token: TOKEN, conversationId: 'c1', afterSeq: 4 })
  })

  test('[PL21] nonsense harms nothing: what follows it is heard', async () => {
    const world = await talking((socket) => {
      for (const frame of ['', 'null', '7', '[]', '{', '<html>', '{"type":"message"}', '{"type":"toString"}'])
        socket.send(frame)
      socket.send(Buffer.from([1, 2, 3]))
      socket.send('{"type":"ready","lastSeq":9}')
    })
    await world.until(() => world.has('ready'))
    expect(world.events).toEqual([{ type: 'ready', headSeq: 9 }])
  })

  test.each([
    { close: 4401, reason: 'token-expired', verdict: 'refresh' },
    { close: 1008, reason: 'unknown-conversation', verdict: 'read-only' },
    { close: 1011, reason: '', verdict: 'retry' },
    { close: 1013, reason: 'slow-reader', verdict: 'retry' },
  ])('[PL22] closed with $close $reason it ends once: $verdict', async ({ close, reason, verdict }) => {
    const world = await talking((socket) => socket.close(close, reason))
    await world.until(isClosed(world))
    expect(world.events).toMatchObject([{ type: 'closed', verdict }])
  })

  test('[PL22] told to go and then closed, it ends once, with what it was told', async () => {
    const world = await talking((socket) => {
      socket.send('{"type":"reconnect","afterMs":1500}')
      socket.send('{"type":"ready","lastSeq":9}')
      socket.close(1012, 'going away')
    })
    await world.until(isClosed(world))
    await new Promise((resolve) => setImmediate(resolve))
    expect(world.events).toMatchObject([{ type: 'closed', verdict: 'retry-at', retryAfterMs: 1_500 }])
  })

  test('[PL22] a socket that is cut ends once', async () => {
    const world = await talking((socket) => socket.terminate())
    await world.until(isClosed(world))
    expect(world.events).toMatchObject([{ type: 'closed', verdict: 'retry' }])
  })

  test('[PL22] a portal that answers with a page ends it once', async () => {
    const { url } = await answering((response) => html(response))
    const ear = listener()
    adapterOf(url).connect({ conversationId: 'c1', token: TOKEN, afterSeq: 0 }, ear.emit)
    await ear.until(isClosed(ear))
    expect(ear.events).toMatchObject([{ type: 'closed', verdict: 'retry' }])
  })

  test('[PL22] where no socket can be made, it ends after it was begun', async () => {
    const Forbidden = class {
      constructor() {
        throw new Error('The policy of the site forbids it.')
      }
    }
    const ear = listener()
    const connection = adapterOf('https://chat.test', Forbidden).connect(
      { conversationId: 'c1', token: TOKEN, afterSeq: 0 },
      ear.emit,
    )
    expect(ear.events).toEqual([])
    connection.reauth('another')
    await ear.until(isClosed(ear))
    expect(ear.events).toMatchObject([{ type: 'closed', verdict: 'retry' }])
  })
})
