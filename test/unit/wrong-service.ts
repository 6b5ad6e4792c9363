// A service that is wrong in one chosen way: the right one behind a proxy that bends what passes. Without a
// choice it bends nothing, which shows that the proxy itself is not what the checks find.
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import { createSessionService } from '../../server/index.ts'

type Asked = { method: string; path: string; headers: Record<string, string>; body: string }
type Told = { status: number; headers: Record<string, string>; body: string }
type Next = (asked: Asked) => Promise<Told>
type Bend = () => (asked: Asked, next: Next) => Promise<Told>

const KEY = 'idempotency-key'
const isPost = ({ method, path }: Asked) => method === 'POST' && path.endsWith('/messages')
const isRefresh = ({ path }: Asked) => path.endsWith('/auth/refresh')
const tokenOf = ({ body }: Asked) => new URLSearchParams(body).get('refresh_token') ?? ''
const json = (told: Told, change: (body: Record<string, unknown>) => object): Told =>
  told.status === 200 || told.status === 201
    ? { ...told, body: JSON.stringify(change(JSON.parse(told.body) as Record<string, unknown>)) }
    : told
const refused = (status: number, body: object): Told => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})
/** Only the first presentation of a refresh token is answered. */
const strict: Bend = () => {
  const seen = new Set<string>()
  return async (asked, next) => {
    if (!isRefresh(asked)) return next(asked)
    if (seen.has(tokenOf(asked))) return refused(400, { error: 'invalid_grant' })
    seen.add(tokenOf(asked))
    return next(asked)
  }
}
const when =
  (applies: (asked: Asked) => boolean, bend: (asked: Asked, next: Next) => Promise<Told>): Bend =>
  () =>
  (asked, next) =>
    applies(asked) ? bend(asked, next) : next(asked)
const rekeyed = (asked: Asked): Asked => ({ ...asked, headers: { ...asked.headers, [KEY]: randomUUID() } })

/** By the id of the check that has to find it. */
export const BENDS: Record<string, Bend> = {
  'key-repeats': when(isPost, (asked, next) => next(rekeyed(asked))),
  'key-at-once': () => {
    const running = new Set<string | undefined>()
    return async (asked, next) => {
      if (!isPost(asked)) return next(asked)
      const isTwin = running.has(asked.headers[KEY])
      running.add(asked.headers[KEY])
      return next(isTwin ? rekeyed(asked) : asked).finally(() => running.delete(asked.headers[KEY]))
    }
  },
  'key-other-body': when(isPost, async (asked, next) => {
    const told = await next(asked)
    return told.status === 422 ? refused(200, { id: randomUUID(), seq: 1, at: 0 }) : told
  }),
  'key-after-close': when(isPost, async (asked, next) => {
    const path = asked.path.replace(/\/messages$/, '')
    const { body } = await next({ ...asked, method: 'GET', path, body: '' })
    return (JSON.parse(body) as { state: string }).state === 'closed'
      ? refused(409, { code: 'conversation-closed' })
      : next(asked)
  }),
  'sequence-dense': when(isPost, async (asked, next) =>
    json(await next(asked), (body) => ({ ...body, seq: Number(body['seq']) * 2 })),
  ),
  'one-conversation': when(
    ({ method, path }) => method === 'POST' && path.endsWith('/conversations'),
    async (asked, next) => json(await next(asked), (body) => ({ ...body, id: randomUUID() })),
  ),
  'cursor-pages': when(
    ({ path }) => path.includes('limit=3'),
    async (asked, next) =>
      json(await next(asked), (body) => ({
        ...body,
        nextAfterId: (body['messages'] as { id: string }[])[0]?.id ?? null,
      })),
  ),
  'cursor-strict': when(
    ({ path }) => path.includes('afterId='),
    async (asked, next) => {
      const told = await next(asked)
      return told.status === 410 ? next({ ...asked, path: asked.path.replace(/\?.*/, '') }) : told
    },
  ),
  'etag-304': when(
    ({ headers }) => 'if-none-match' in headers,
    ({ headers: { 'if-none-match': _, ...headers }, ...asked }, next) => next({ ...asked, headers }),
  ),
  'sessions-apart': () => async (asked, next) => {
    const told = await next(asked)
    return told.status === 404 ? refused(200, { messages: [], lastSeq: 1 }) : told
  },
  'refusals-typed': () => async (asked, next) => {
    const told = await next(asked)
    return told.status >= 400 ? { ...told, headers: { 'content-type': 'text/html' }, body: '<h1>No</h1>' } : told
  },
  'refresh-rotates': when(isRefresh, async (asked, next) =>
    json(await next(asked), (body) => ({ ...body, refresh_token: tokenOf(asked) })),
  ),
  'refresh-answer-lost': strict,
  'refresh-at-once': strict,
  'refresh-reuse': () => {
    let good: Told | undefined
    return async (asked, next) => {
      const told = await next(asked)
      if (isRefresh(asked) && told.status === 200) good = told
      return isRefresh(asked) && told.status === 400 && good !== undefined ? good : told
    }
  },
  'refresh-forged': () => {
    let genuine = ''
    return async (asked, next) => {
      const told = await next(asked)
      if (asked.path.endsWith('/sessions')) {
        genuine = (JSON.parse(told.body) as { grant: { refresh_token: string } }).grant.refresh_token
      }
      if (isRefresh(asked) && told.status === 400) {
        const body = String(new URLSearchParams({ token: genuine }))
        await next({ ...asked, path: '/api/v2/widget/auth/revoke', body })
      }
      return told
    }
  },
  'revoke-ends': when(
    ({ path }) => path.endsWith('/auth/revoke'),
    async () => refused(200, {}),
  ),
  'poll-holds': when(
    ({ path }) => path.includes('/poll'),
    (asked, next) => next({ ...asked, path: asked.path.replace(/waitMs=\d+/, 'waitMs=0') }),
  ),
}

/** The same for what passes on a stream. */
export const STREAM_BENDS = ['stream-resumes', 'stream-first-frame', 'ping-application', 'ping-protocol'] as const

/** How the service's time is hurried: a protocol ping is due after 25 s of it. */
const [JUMP_MS, JUMP_EVERY_MS] = [9000, 500]
type Bridge = { isReady: boolean; pings: number }

/** @param wrong the id of a check, or nothing to bend */
export async function wrongService(wrong?: string): Promise<{ url: string; close(): Promise<void> }> {
  // Jumps towards the next ping, but only while nobody's first frame is due: a busy machine must not run into deadlines.
  const bridges = new Set<Bridge>()
  let aheadMs = 0
  const hurry = setInterval(() => {
    const all = [...bridges]
    if (all.every(({ isReady }) => isReady) && all.some(({ pings }) => pings === 0)) aheadMs += JUMP_MS
  }, JUMP_EVERY_MS)
  const service = await createSessionService({ now: () => Date.now() + aheadMs })
  const right = await service.listen(0)
  const bend = BENDS[wrong ?? '']?.() ?? ((asked: Asked, next: Next) => next(asked))
  const next: Next = async ({ method, path, headers, body }) => {
    const init = { method, headers, ...(body !== '' && { body }), redirect: 'manual' as const }
    const response = await fetch(right.url + path, init)
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
  }
  const server = createServer((request, response) => {
    void serve(request, response, (asked) => bend(asked, next)).catch(() => response.destroy())
  })
  const sockets = new WebSocketServer({ server, handleProtocols: () => 'holdfast.v2' })
  sockets.on('connection', (client, request) =>
    bridge(client, `${right.url.replace('http', 'ws')}${request.url}`, wrong, bridges),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      clearInterval(hurry)
      for (const client of sockets.clients) client.terminate()
      server.closeAllConnections()
      server.close()
      await service.close()
    },
  }
}

async function serve(request: IncomingMessage, response: ServerResponse, answer: (asked: Asked) => Promise<Told>) {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  const { host: _, connection: __, 'content-length': ___, 'transfer-encoding': ____, ...kept } = request.headers
  const headers = Object.fromEntries(Object.entries(kept).map(([name, value]) => [name, String(value)]))
  const told = await answer({ method: request.method ?? 'GET', path: request.url ?? '/', headers, body })
  const { 'content-length': _length, 'content-encoding': _encoding, ...rest } = told.headers
  response.writeHead(told.status, rest).end(told.status === 304 ? undefined : told.body)
}

function bridge(client: WebSocket, url: string, wrong: string | undefined, bridges: Set<Bridge>): void {
  const state: Bridge = { isReady: false, pings: 0 }
  bridges.add(state)
  const upstream = new WebSocket(url, 'holdfast.v2')
  const early: string[] = []
  client.on('message', (data) => {
    const text = wrong === 'stream-resumes' ? String(data).replace('"afterSeq":1', '"afterSeq":0') : String(data)
    if (upstream.readyState === WebSocket.OPEN) upstream.send(text)
    else early.push(text)
  })
  upstream.on('open', () => {
    for (const text of early) upstream.send(text)
  })
  upstream.on('message', (data) => {
    state.isReady ||= String(data).includes('"ready"')
    if (!(wrong === 'ping-application' && String(data).includes('"pong"'))) client.send(String(data))
  })
  upstream.on('ping', () => {
    state.pings++
    if (wrong !== 'ping-protocol') client.ping()
  })
  upstream.on('close', () => {
    bridges.delete(state)
    if (wrong !== 'stream-first-frame') client.close()
  })
  upstream.on('error', () => client.terminate())
  client.on('close', () => upstream.terminate())
}
