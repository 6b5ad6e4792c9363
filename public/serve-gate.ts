// The gate between browser and session service: passes calls and sockets on, and breaks them as the switches say.
// Visitors suffer; the agent's connections, which come below a path of their own, only feel a restart.
import { type IncomingMessage, request as openRequest, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Behind } from './serve-backend.ts'
import type { Faults } from './serve-faults.ts'

const HOST = '127.0.0.1'
const AGENT_PREFIX_LENGTH = '/agent'.length
const IS_MESSAGE = /^\/api\/v2\/messaging\/conversations\/[^/]+\/messages$/
/** The lower half of a WebSocket frame's first byte says what it is; 8 is "close". */
const CLOSE_OPCODE = 8

interface Tunnel {
  readonly isAgents: boolean
  readonly browser: Duplex
  readonly service: Socket
  isHalfOpen: boolean
}

export class Gate {
  readonly #backend: Behind
  readonly #faults: Faults
  readonly #tunnels = new Set<Tunnel>()
  readonly #calls = new Set<{ readonly isAgents: boolean; cut(): void }>()

  constructor(backend: Behind, faults: Faults) {
    this.#backend = backend
    this.#faults = faults
  }

  /** Sockets that are open and carry nothing. */
  get halfOpen(): number {
    return [...this.#tunnels].filter(({ isHalfOpen, browser }) => isHalfOpen && !browser.destroyed).length
  }

  forward(request: IncomingMessage, response: ServerResponse, isAgents: boolean): void {
    const port = this.#backend.port
    if (port === undefined || this.#isShut(isAgents)) return void request.socket.destroy()

    const { method, headers } = request
    const path = (request.url ?? '/').slice(isAgents ? AGENT_PREFIX_LENGTH : 0)
    const onward = openRequest({ host: HOST, port, method, path, headers })
    const call = { isAgents, cut: () => void response.socket?.destroy() }
    this.#calls.add(call)
    response.on('close', () => {
      this.#calls.delete(call)
      onward.destroy()
    })
    onward.on('error', () => response.socket?.destroy())
    onward.on('response', (answer) => {
      const isSent = method === 'POST' && IS_MESSAGE.test(path) && (answer.statusCode ?? 0) < 300
      if (!isAgents && isSent && this.#faults.takeCut()) {
        // The work is done and on the disk; only the news of it gets lost.
        answer.resume().on('end', call.cut)
        return
      }
      const isArmed = !isAgents && this.#faults.state.cutAnswers > 0
      response.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...(isArmed && { connection: 'close' }) })
      answer.pipe(response)
    })
    request.pipe(onward)
  }

  upgrade(request: IncomingMessage, browser: Duplex, head: Buffer, isAgents: boolean): void {
    browser.on('error', () => browser.destroy())
    const port = this.#backend.port
    if (port === undefined || this.#isShut(isAgents)) return void browser.destroy()

    const service = connect(port, HOST)
    const tunnel: Tunnel = { isAgents, browser, service, isHalfOpen: false }
    this.#tunnels.add(tunnel)
    service.on('error', () => service.destroy())
    service.on('close', () => {
      if (!tunnel.isHalfOpen) browser.destroy()
    })
    browser.on('close', () => {
      this.#tunnels.delete(tunnel)
      service.destroy()
    })
    service.write(headOf(request, isAgents))
    service.write(head)
    browser.pipe(service)
    service.pipe(browser)
  }

  /** What visitors have open breaks now. */
  cutVisitors(): void {
    this.#cut((one) => !one.isAgents)
  }

  cutAll(): void {
    this.#cut(() => true)
  }

  /** The visitors' sockets stay open and swallow everything, both ways, until one side gives up. */
  halfOpenVisitors(): void {
    for (const tunnel of this.#tunnels) {
      if (tunnel.isAgents || tunnel.isHalfOpen) continue
      const { browser, service } = tunnel
      tunnel.isHalfOpen = true
      browser.unpipe(service)
      service.unpipe(browser)
      service.resume()
      browser.on('data', (bytes: Buffer) => {
        // The browser says goodbye and would wait long for an answer: it has found out.
        if (((bytes[0] ?? 0) & 0x0f) === CLOSE_OPCODE) browser.destroy()
      })
      browser.resume()
    }
  }

  releaseHalfOpen(): void {
    for (const tunnel of this.#tunnels) if (tunnel.isHalfOpen) tunnel.browser.destroy()
  }

  #isShut(isAgents: boolean): boolean {
    return !isAgents && this.#faults.offline
  }

  #cut(which: (one: { readonly isAgents: boolean }) => boolean): void {
    for (const call of this.#calls) if (which(call)) call.cut()
    for (const tunnel of this.#tunnels) if (which(tunnel)) tunnel.browser.destroy()
  }
}

/** The request as it came, but for the agent's prefix. */
function headOf(request: IncomingMessage, isAgents: boolean): string {
  const path = (request.url ?? '/').slice(isAgents ? AGENT_PREFIX_LENGTH : 0)
  const lines = [`${request.method} ${path} HTTP/1.1`]
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}
