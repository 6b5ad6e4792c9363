// The live side of the service: takes WebSocket upgrades, keeps the sockets' time, answers long polls, and
// sends everyone away with spread delays when the node stops.
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { Feed, type Position, type Sink } from './feed.ts'
import { addressOf, Tally } from './limits.ts'
import { isAllowedSomewhere, mayUseDeployment } from './origins.ts'
import type { Parts } from './parts.ts'
import { type ProblemCode, PROBLEMS, problemText } from './problem.ts'
import type { ServerFrame } from './schemas.ts'
import type { Caller } from './session.ts'
import { Socket } from './socket.ts'

export const STREAM_PATH = '/api/v2/messaging/stream'
export const SUBPROTOCOL = 'holdfast.v2'
/** The largest frame taken from a client, in bytes. */
const FRAME_BYTES_MAX = 64 * 1024
/** The longest that a poll is held, in milliseconds: under the idle limits of common proxies. */
export const POLL_WAIT_MAX_MS = 25_000
/** When a socket that was refused for want of room may ask again. */
const REFUSED_SECONDS = 1

export class StreamServer {
  readonly #parts: Parts
  readonly #sockets = new Set<Socket>()
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
    handleProtocols: () => SUBPROTOCOL,
  })

  readonly #addresses: Tally

  constructor(parts: Parts) {
    this.#parts = parts
    this.#addresses = new Tally(parts.settings.limits.addressStreamsMax)
    parts.metrics.gauge('sockets', 'Sockets now connected.', () => this.#sockets.size)
    parts.metrics.gauge('fanout_connected', 'Whether other nodes can be heard.', () => Number(parts.hub.isConnected))
    parts.metrics.gauge('feeds', 'Listeners now connected: sockets and polls.', () => parts.hub.feeds)
  }

  attach(server: Server): void {
    this.#server.on('wsClientError', (_error, socket) => refuse(socket, 'malformed-request'))
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  tick(): void {
    const now = this.#parts.now()
    for (const socket of this.#sockets) socket.tick(now)
  }

  /** The families that sockets listen for, and the session that each had when it began. */
  families(): { familyId: string; sessionId: string }[] {
    return [...this.#sockets].flatMap((socket) => socket.family ?? [])
  }

  familyEnded(familyId: string): void {
    for (const socket of this.#sockets) if (socket.family?.familyId === familyId) socket.revoked()
  }

  familyMoved(familyId: string): void {
    for (const socket of this.#sockets) if (socket.family?.familyId === familyId) socket.moved()
  }

  expireUpTo(instant: number): void {
    for (const socket of this.#sockets) socket.expireUpTo(instant)
  }

  /** Sends every client away, each with its own delay, so that they do not all come back at once. */
  drain(): void {
    for (const socket of this.#sockets) socket.drain(spreadMs(this.#parts))
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate()
    this.#server.close()
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    const path = (request.url ?? '').split('?')[0]
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
    if (path !== STREAM_PATH) return refuse(socket, 'not-found')
    if (!offered.includes(SUBPROTOCOL))
      return refuse(socket, 'invalid-request', { detail: `The subprotocol is ${SUBPROTOCOL}.` })
    if (this.#parts.drain.aborted) return refuse(socket, 'draining')
    const { limits } = this.#parts.settings
    const { origin, host } = request.headers
    if (!isAllowedSomewhere(this.#parts.settings, origin, host)) return refuse(socket, 'origin-not-allowed')

    const address = addressOf(limits.trustedProxies, request.socket.remoteAddress, forwardedFor(request))
    const release = address === undefined ? () => {} : this.#addresses.hold(address)
    if (release === null) return refuse(socket, 'rate-limited')
    socket.on('close', release)
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      const mayUse = (deploymentId: string) => mayUseDeployment(this.#parts.settings, deploymentId, origin, host)
      const open = new Socket(ws, this.#parts, mayUse)
      this.#sockets.add(open)
      ws.on('close', () => this.#sockets.delete(open))
    })
  }
}

function forwardedFor({ headers }: IncomingMessage): string | undefined {
  return headers['x-forwarded-for']?.toString()
}

/** A browser sees none of this, but whoever asks why its sockets are refused does. */
function refuse(socket: Duplex, code: ProblemCode, detail: { detail?: string } = {}): void {
  const [status] = PROBLEMS[code]
  const text = problemText(code, detail)
  const later = status === 429 || status === 503 ? [`Retry-After: ${REFUSED_SECONDS}`] : []
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...later,
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`)
}

function spreadMs(parts: Parts): number {
  return Math.floor(Math.random() * parts.settings.drainSpreadMs)
}

export type PollRequest = {
  caller: Caller
  conversationId: string | null
  after: Position
  /** Where the conversation stands when the poll begins; absent for a whole deployment. */
  present?: () => Promise<Position>
  waitMs: number
  signal: AbortSignal
}

/** Holds a request until there is something to say, its time is over, its client has gone or the node stops. */
export async function poll(parts: Parts, request: PollRequest): Promise<ServerFrame[]> {
  const frames: ServerFrame[] = []
  return new Promise<ServerFrame[]>((resolve, reject) => {
    const sink: Sink = {
      send: (frame) => {
        frames.push(frame)
        if (frame.type === 'typing' || frame.type === 'event') finish()
      },
      idle: () => {
        if (frames.length > 0) finish()
      },
      // One page is an answer; the next poll asks above it.
      drained: async () => finish(),
      failed: (error) => {
        finish()
        reject(error)
      },
    }
    const feed = new Feed(parts.uuid(), request.caller, request.conversationId, parts.store, sink, parts.now())
    const leave = parts.hub.join(feed)
    const timer = setTimeout(() => finish(), Math.min(request.waitMs, POLL_WAIT_MAX_MS))
    const onDrain = () => {
      frames.push({ type: 'reconnect', afterMs: spreadMs(parts) })
      finish()
    }
    const finish = () => {
      clearTimeout(timer)
      request.signal.removeEventListener('abort', finish)
      parts.drain.removeEventListener('abort', onDrain)
      leave()
      resolve(frames)
    }
    request.signal.addEventListener('abort', finish)
    parts.drain.addEventListener('abort', onDrain)
    // Listening has begun, so the look at the table cannot miss what comes while it is made.
    request
      .present?.()
      .then((present) => feed.start({ ...request.after, seq: Math.min(request.after.seq, present.seq) }, present))
      .catch(sink.failed)
  })
}
