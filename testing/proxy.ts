// A reverse proxy that misbehaves on request, for anything that speaks HTTP and WebSocket: between a browser and a service.
// Faults are switched while it runs; it keeps a record of what passed. Loopback only.

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** One request that arrived. `status` is what the service answered, also when the answer was kept back. */
export interface Exchange {
  readonly method: string
  readonly path: string
  readonly key: string | undefined
  status?: number
}

export type FaultAction =
  /** The service never sees the request: the connection is reset. */
  | { readonly type: 'refuse' }
  /** The service has done its work, and the answer is cut off: the connection is reset. */
  | { readonly type: 'cut-answer' }
  /** The service has done its work, and nothing ever comes back. */
  | { readonly type: 'swallow-answer' }
  /** Answered here, in the place of the service. */
  | {
      readonly type: 'answer'
      readonly status: number
      readonly headers?: Record<string, string>
      readonly body?: string
    }
  /** Held until the promise resolves, before the service sees it. */
  | { readonly type: 'hold'; readonly until: Promise<void> }
  /** Passed on, and sent a second time by the network: the first answer counts. */
  | { readonly type: 'duplicate' }

export interface Rule {
  /** Tested against "METHOD /path". */
  readonly match: RegExp
  readonly action: FaultAction
  /** How many requests it applies to. Default: every one until it is removed. */
  readonly times?: number
}

export interface FaultProxy {
  readonly port: number
  readonly url: string
  readonly exchanges: readonly Exchange[]
  /** Where requests go; a service that was restarted elsewhere is found again by this. */
  target(port: number): void
  /** Adds a fault; the returned function takes it away. */
  rule(rule: Rule): () => void
  /** Takes every rule away. */
  clear(): void
  /** Connections are reset as soon as they are made, and those that exist are cut: no network. */
  offline(isOffline: boolean): void
  /** Bytes of open sockets are held in both directions, nothing closes: half-open. Released by `false`. */
  halfOpen(isHalfOpen: boolean): void
  /** Every token that has passed so far is answered 401 from now on, as after its expiry. */
  expireTokens(): void
  /** Every access token that has passed so far. */
  tokens(): readonly string[]
  /** Resets every connection once. */
  reset(): void
  /** Resolves when `count` requests in all have matched and, if `isAnswered`, the service has answered them. */
  seen(match: RegExp, count?: number, isAnswered?: boolean): Promise<void>
  count(match: RegExp): number
  close(): Promise<void>
}

interface Live extends Omit<Rule, 'times'> {
  left: number
}

/** Starts a proxy to a service on this machine. */
export async function startProxy(targetPort: number, port = 0): Promise<FaultProxy> {
  const proxy = new Proxying(targetPort)
  const server = createServer((incoming, outgoing) => proxy.pass(incoming, outgoing))
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) =>
    proxy.upgrade(incoming, socket, head),
  )
  server.on('connection', (socket: Socket) => proxy.accept(socket))
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const bound = (server.address() as AddressInfo).port
  return {
    port: bound,
    url: `http://localhost:${bound}`,
    exchanges: proxy.exchanges,
    target: (next) => {
      proxy.port = next
    },
    rule: (rule) => proxy.add(rule),
    clear: () => proxy.clear(),
    offline: (isOffline) => proxy.setOffline(isOffline),
    halfOpen: (isHalfOpen) => proxy.setHalfOpen(isHalfOpen),
    expireTokens: () => proxy.expireTokens(),
    tokens: () => [...proxy.tokens],
    reset: () => proxy.reset(),
    seen: (match, count = 1, isAnswered = false) => proxy.seen(match, count, isAnswered),
    count: (match) => proxy.count(match, false),
    close: async () => {
      proxy.reset()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

class Proxying {
  port: number
  readonly exchanges: Exchange[] = []
  readonly #rules = new Set<Live>()
  readonly #sockets = new Set<Socket>()
  readonly tokens = new Set<string>()
  readonly #expired = new Set<string>()
  readonly #waiting = new Set<() => void>()
  readonly #pipes = new Set<(isHeld: boolean) => void>()
  #isOffline = false
  #isHalfOpen = false

  constructor(port: number) {
    this.port = port
  }

  accept(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    if (this.#isOffline) return void socket.resetAndDestroy()
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  add({ times = Number.POSITIVE_INFINITY, ...rule }: Rule): () => void {
    const live: Live = { ...rule, left: times }
    this.#rules.add(live)
    return () => this.#rules.delete(live)
  }

  clear(): void {
    this.#rules.clear()
  }

  pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const exchange = this.#note(incoming)
    const token = incoming.headers.authorization
    if (token !== undefined && this.#expired.has(token)) return this.#refuseToken(exchange, incoming, outgoing)
    if (token !== undefined) this.tokens.add(token)
    const action = this.#actionFor(exchange)
    if (action?.type === 'refuse') return void incoming.socket.resetAndDestroy()
    if (action?.type === 'answer') {
      this.#answered(exchange, action.status)
      outgoing.writeHead(action.status, { ...corsOf(incoming), ...action.headers }).end(action.body ?? '')
      return
    }
    const body: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => body.push(chunk))
    incoming.on('end', () => {
      const forward = () => this.#forward(exchange, incoming, outgoing, Buffer.concat(body), action)
      if (action?.type === 'hold') void action.until.then(forward)
      else forward()
      if (action?.type === 'duplicate') this.#forward(exchange, incoming, undefined, Buffer.concat(body), undefined)
    })
  }

  #forward(
    exchange: Exchange,
    incoming: IncomingMessage,
    outgoing: ServerResponse | undefined,
    body: Buffer,
    action?: FaultAction,
  ): void {
    const { method, url: path, headers } = incoming
    const upstream = request({ host: '127.0.0.1', port: this.port, method, path, headers }, (answer) => {
      this.#answered(exchange, answer.statusCode ?? 0)
      if (outgoing === undefined || action?.type === 'swallow-answer') return void answer.resume()
      if (action?.type === 'cut-answer') {
        answer.resume()
        return void incoming.socket.resetAndDestroy()
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    upstream.on('error', () => incoming.socket.resetAndDestroy())
    outgoing?.on('close', () => upstream.destroy())
    upstream.end(body)
  }

  upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    const exchange = this.#note(incoming)
    const action = this.#actionFor(exchange)
    if (action !== undefined) return void socket.destroy()
    const upstream = connect(this.port, '127.0.0.1', () => {
      const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`]
      for (let at = 0; at < incoming.rawHeaders.length; at += 2)
        lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`)
      upstream.write(`${lines.join('\r\n')}\r\n\r\n`)
      upstream.write(head)
      this.#answered(exchange, 101)
      this.#pipe(socket, upstream)
    })
    const end = () => {
      socket.destroy()
      upstream.destroy()
    }
    for (const one of [socket, upstream]) one.on('error', end).on('close', end)
  }

  /** Joins two sockets by hand, so that bytes can be held while both stay open. */
  #pipe(a: Duplex, b: Duplex): void {
    a.on('data', (chunk) => b.write(chunk))
    b.on('data', (chunk) => a.write(chunk))
    const hold = (isHeld: boolean) => {
      for (const one of [a, b]) isHeld ? one.pause() : one.resume()
    }
    this.#pipes.add(hold)
    a.once('close', () => this.#pipes.delete(hold))
    if (this.#isHalfOpen) hold(true)
  }

  setOffline(isOffline: boolean): void {
    this.#isOffline = isOffline
    if (isOffline) this.reset()
  }

  setHalfOpen(isHalfOpen: boolean): void {
    this.#isHalfOpen = isHalfOpen
    for (const hold of this.#pipes) hold(isHalfOpen)
  }

  expireTokens(): void {
    for (const token of this.tokens) this.#expired.add(token)
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  seen(match: RegExp, count: number, isAnswered: boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.count(match, isAnswered) < count) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  count(match: RegExp, isAnswered: boolean): number {
    return this.exchanges.filter(
      (one) => match.test(`${one.method} ${one.path}`) && (!isAnswered || one.status !== undefined),
    ).length
  }

  #note({ method = 'GET', url = '/', headers }: IncomingMessage): Exchange {
    const key = headers['idempotency-key'] ?? headers['x-idempotency-key']
    const exchange: Exchange = { method, path: url, key: Array.isArray(key) ? key[0] : key }
    this.exchanges.push(exchange)
    this.#look()
    return exchange
  }

  #answered(exchange: Exchange, status: number): void {
    exchange.status = status
    this.#look()
  }

  #look(): void {
    for (const look of this.#waiting) look()
  }

  #actionFor({ method, path }: Exchange): FaultAction | undefined {
    for (const rule of this.#rules) {
      if (!rule.match.test(`${method} ${path}`)) continue
      rule.left -= 1
      if (rule.left <= 0) this.#rules.delete(rule)
      return rule.action
    }
    return undefined
  }

  #refuseToken(exchange: Exchange, incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.#answered(exchange, 401)
    const body = JSON.stringify({ type: 'about:blank', title: 'Unauthorized', status: 401, code: 'token-expired' })
    outgoing.writeHead(401, { ...corsOf(incoming), 'content-type': 'application/problem+json' }).end(body)
  }
}

/** What a browser needs to be shown an answer that the service never gave. */
function corsOf({ headers: { origin } }: IncomingMessage): Record<string, string> {
  if (origin === undefined) return {}
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    // As the service does: without it a page's fetch cannot see how long it is to wait.
    'access-control-expose-headers': 'ETag, Idempotent-Replayed, Retry-After, Date',
    vary: 'Origin',
  }
}
