// The emulated Genesys Cloud Web Messaging service, reachable: one port for the socket, the API and the CDN.
// What it does is genesys-service.ts; here are only HTTP, upgrades and CORS.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket as Socket, WebSocketServer } from 'ws'
import { GenesysDesk } from './genesys-desk.ts'
import type { GenesysSettings } from './genesys-rules.ts'
import { GenesysService } from './genesys-service.ts'

export { GENESYS_DEFAULTS, GENESYS_LIMITS, type GenesysFault, type GenesysSettings } from './genesys-rules.ts'
export { GenesysService } from './genesys-service.ts'
export type { GenesysSession } from './genesys-session.ts'

export interface Genesys {
  readonly service: GenesysService
  /** What a client needs to know of it, in the words of the `genesys()` platform. */
  readonly endpoints: { readonly messaging: string; readonly api: string; readonly cdn: string }
  readonly deploymentId: string
  /** Cuts every connection, as a network does that fails: no close frame. */
  cut(): void
  /** While it is down nobody is answered. */
  isDown: boolean
  close(): Promise<void>
}

const BODY_BYTES_MAX = 10_485_760

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += (part as Buffer).length
    if (bytes > BODY_BYTES_MAX) return Buffer.alloc(0)
    parts.push(part as Buffer)
  }
  return Buffer.concat(parts)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function answer({ service, desk }: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://emulator')
  const { origin, authorization } = request.headers
  response.setHeader('access-control-allow-origin', origin ?? '*')
  response.setHeader('access-control-allow-credentials', 'true')
  response.setHeader('access-control-allow-headers', 'authorization, content-type, idempotency-key, x-amz-tagging')
  response.setHeader('access-control-allow-methods', 'GET, POST, PUT, PATCH, DELETE')
  const content = await bodyOf(request)
  if (request.method === 'OPTIONS') return void response.writeHead(204).end()
  const [, upload] = /^\/upload\/(.+)$/.exec(pathname) ?? []
  if (upload !== undefined) {
    const hasTag = request.headers['x-amz-tagging'] !== undefined
    const isTaken = request.method === 'PUT' && service.attachments.put(upload, content.length, hasTag)
    return void response.writeHead(isTaken ? 200 : 403).end()
  }
  const bearer = authorization?.replace(/^bearer /i, '')
  const method = request.method ?? 'GET'
  const key = request.headers['idempotency-key']
  const asked = { method, path: pathname, query, bearer, origin, body: parse(String(content)) }
  const { status, body } = desk?.answer(asked, key?.toString()) ?? service.request(asked)
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

interface Parts {
  readonly service: GenesysService
  readonly desk: GenesysDesk | undefined
}

const AGENTS_STREAM = '/api/v2/messaging/stream'

function listenFor(desk: GenesysDesk, socket: Socket): void {
  const agent = desk.listen((frame) => socket.send(JSON.stringify(frame)))
  socket.on('message', (data) => agent.hear(Object(parse(String(data))) as { [name: string]: unknown }))
  socket.on('close', () => agent.gone())
  socket.on('error', () => {})
}

/** What to do with the socket once it is open; nothing where the upgrade is refused. */
function connectionFor({ service, desk }: Parts, request: IncomingMessage): ((socket: Socket) => void) | undefined {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://emulator')
  if (desk !== undefined && pathname === AGENTS_STREAM) return (opened) => listenFor(desk, opened)
  let socket: Socket | undefined
  const wire = {
    send: (frame: object) => socket?.send(JSON.stringify(frame)),
    // 1006 is what nobody sends: the line is cut.
    close: (code: number, reason: string) => (code === 1_006 ? socket?.terminate() : socket?.close(code, reason)),
  }
  const isThere = pathname === '/v1'
  const connection = isThere
    ? service.connect(searchParams.get('deploymentId'), request.headers.origin, wire)
    : undefined
  if (connection === undefined) return undefined
  return (opened) => {
    socket = opened
    opened.on('message', (data) => connection.receive(parse(String(data))))
    opened.on('close', () => connection.gone())
    opened.on('error', () => {})
  }
}

/**
 * Starts the emulator on a port of this machine.
 *
 * It keeps to the real service's limits (`GENESYS_LIMITS`), which `settings.limits` may change; `service.fault(…)` makes
 * something go wrong, `service.throttled` and `service.evictions` say what a client has brought upon itself.
 *
 * @param deskToken agents who show it are served, too, by the calls of the session service's agent API: for a console
 */
export async function startGenesys(
  settings: Partial<GenesysSettings> = {},
  port = 0,
  deskToken?: string,
): Promise<Genesys> {
  const service = new GenesysService(
    {
      now: Date.now,
      draw: Math.random,
      uuid: () => crypto.randomUUID(),
      after(ms, run) {
        const timer = setTimeout(run, ms)
        return () => clearTimeout(timer)
      },
    },
    settings,
  )
  const parts: Parts = { service, desk: deskToken === undefined ? undefined : new GenesysDesk(service, deskToken) }
  const state = { isDown: false }
  const server = createServer((request, response) => {
    if (state.isDown) request.socket.destroy()
    else void answer(parts, request, response)
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false })
  server.on('upgrade', (request, socket, head) => {
    const opened = state.isDown ? undefined : connectionFor(parts, request)
    if (opened === undefined) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    sockets.handleUpgrade(request, socket, head, opened)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const url = urlOf(server)
  service.attachments.base = url
  return Object.assign(state, {
    service,
    deploymentId: service.settings.deploymentId,
    endpoints: { messaging: url.replace('http', 'ws'), api: url, cdn: url },
    cut() {
      for (const socket of sockets.clients) socket.terminate()
    },
    async close() {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

const urlOf = (server: ReturnType<typeof createServer>): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`
