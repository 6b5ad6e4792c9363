// The demo as one object: pages, worker file, fault switches, agent token and the session service on one port.
// Only this machine reaches it, because it hands out an agent's token and obeys anyone who presses a fault.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ServiceOptions } from '../server/index.ts'
import { Backend, type Behind } from './serve-backend.ts'
import { FAULTS, type FaultCall, Faults } from './serve-faults.ts'
import { Gate } from './serve-gate.ts'
import { GenesysBackend } from './serve-genesys.ts'
import { isLocal, isSameOrigin, readJson, sendJson } from './serve-http.ts'
import { servePage, serveWorker } from './serve-pages.ts'

export interface DemoOptions {
  /** Port 0 takes a free one. */
  readonly port: number
  /** Folder of the session service's store. */
  readonly data: string
  /** The built files: `demo/` and `holdfast-sw.js` in it. */
  readonly dist: string
  /** What stands behind the shop's chat. Default: the session service. */
  readonly platform?: 'session-service' | 'genesys'
  /** Options of the session service, for tests that move its clock. */
  readonly service?: ServiceOptions
}

export interface Demo {
  readonly url: string
  /** The session service does now what time does once a minute. */
  sweep(): Promise<void>
  close(): Promise<void>
}

/** Heartbeats are quicker than by default, where the platform takes so many, so that there is something to see. */
const TIMINGS = { pingMs: 8_000, pongMs: 2_000, climbMs: 15_000 }
const AGENT = { deploymentId: 'demo', agentId: 'agent-maren', name: 'Maren' }
const AGENT_PREFIX = '/agent'

export async function startDemo({ port, data, dist, platform, service }: DemoOptions): Promise<Demo> {
  const faults = new Faults()
  const server = createServer()
  // The port comes first: a second demo must not fail on the store before it has found a port of its own.
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const starting: Promise<Behind> =
    platform === 'genesys' ? GenesysBackend.start() : Backend.start({ ...service, data })
  const backend = await starting.catch((error: unknown) => {
    server.close()
    throw error
  })
  const gate = new Gate(backend, faults)
  const site = new Site(dist, backend, gate, faults, () => server.closeIdleConnections())
  server.on('request', (request, response) => void site.handle(request, response))
  server.on('upgrade', (request, socket, head) => gate.upgrade(request, socket, head, isAgents(request)))

  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    sweep: async () => backend.sweep?.(),
    async close() {
      const closed = once(server, 'close')
      server.close()
      await backend.close()
      gate.cutAll()
      server.closeAllConnections()
      await closed
    },
  }
}

class Site {
  readonly #dist: string
  readonly #backend: Behind
  readonly #gate: Gate
  readonly #faults: Faults
  readonly #dropIdle: () => void

  constructor(dist: string, backend: Behind, gate: Gate, faults: Faults, dropIdle: () => void) {
    this.#dist = dist
    this.#backend = backend
    this.#gate = gate
    this.#faults = faults
    this.#dropIdle = dropIdle
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (error) {
      console.error(error instanceof Error ? error.message : error)
      if (response.headersSent) response.destroy()
      else sendJson(response, 500, { title: 'The demo server failed.' })
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = pathOf(request)
    if (this.#backend.paths.test(path) || isAgents(request))
      return this.#gate.forward(request, response, isAgents(request))
    switch (path) {
      case '/holdfast/config.json':
        return sendJson(response, 200, this.#config(request))
      case '/holdfast/sw.js':
        return serveWorker(response, join(this.#dist, this.#backend.worker), this.#faults.build)
      case '/demo/faults':
        return this.#switch(request, response)
      case '/agent/token':
        return this.#agentToken(request, response)
      default:
        return servePage(request, response, join(this.#dist, 'demo'), path)
    }
  }

  /** What the worker reads through `?config=`. */
  #config({ headers }: IncomingMessage): object {
    return { deployments: { demo: { timings: TIMINGS, ...this.#backend.platformFor(headers.host ?? 'localhost') } } }
  }

  async #switch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isLocal(request) || !isSameOrigin(request))
      return sendJson(response, 403, { title: 'Only the demo page may do this.' })
    if (request.method === 'POST') {
      const call = await readJson<FaultCall>(request)
      if (call === undefined || !FAULTS.includes(call.fault))
        return sendJson(response, 400, { title: 'There is no such fault.' })
      this.#act(call)
    }
    const { loseAnswer, unfelt = [] } = this.#backend
    const lost = loseAnswer && { cutAnswers: loseAnswer.call(this.#backend) ? 1 : 0 }
    sendJson(response, 200, { ...this.#faults.state, ...lost, unfelt, halfOpen: this.#gate.halfOpen })
  }

  #act(call: FaultCall): void {
    this.#faults.set(call)
    switch (call.fault) {
      case 'offline':
        if (call.on) this.#gate.cutVisitors()
        return
      case 'cut-answer':
        this.#backend.loseAnswer?.(call.on)
        // A browser repeats by itself what fails on a connection that was used before; that would hide the fault.
        return this.#dropIdle()
      case 'expire-token':
        return this.#backend.expireAccessTokens()
      case 'half-open':
        return call.on ? this.#gate.halfOpenVisitors() : this.#gate.releaseHalfOpen()
      case 'restart': {
        this.#gate.cutAll()
        this.#backend
          .restart(() => this.#gate.cutAll())
          .catch((error: unknown) => console.error('The service did not come back:', error))
        return
      }
      case 'kill-worker':
        return
    }
  }

  /** Anyone who holds this token reads every conversation, so only the console's own page gets it. */
  async #agentToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isConsole = new URL(request.headers.referer ?? 'about:blank').pathname === '/agent'
    if (!isLocal(request) || !isSameOrigin(request) || !isConsole) {
      return sendJson(response, 403, { title: 'Only the agent console gets this token.' })
    }
    const token = await this.#backend.agentToken(AGENT)
    if (token === undefined) return sendJson(response, 503, { title: 'The service is being restarted.' })
    sendJson(response, 200, { token, agentId: AGENT.agentId, name: AGENT.name })
  }
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?')[0] ?? '/'

/** The console reaches the service below a path of its own, so that the visitor's faults do not hit the agent. */
const isAgents = (request: IncomingMessage): boolean => pathOf(request).startsWith(`${AGENT_PREFIX}/api/`)
