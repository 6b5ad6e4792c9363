// The demo as one object: pages, worker file, fault switches, agent token and the session service on one port.
// Only this machine reaches it, because it hands out an agent's token and obeys anyone who presses a fault.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Backend } from './serve-backend.ts'
import { FAULTS, type FaultCall, Faults } from './serve-faults.ts'
import { Gate } from './serve-gate.ts'
import { isLocal, isSameOrigin, readJson, sendJson } from './serve-http.ts'
import { servePage, serveWorker } from './serve-pages.ts'

export interface DemoOptions {
  /** Port 0 takes a free one. */
  readonly port: number
  /** Folder of the session service's store. */
  readonly data: string
  /** The built files: `demo/` and `holdfast-sw.js` in it. */
  readonly dist: string
}

export interface Demo {
  readonly url: string
  close(): Promise<void>
}

/** What the worker reads through `?config=`. Heartbeats are quicker than by default, so that there is something to see. */
const CONFIG = {
  deployments: {
    demo: {
      platform: { type: 'session-service', url: '' },
      vault: 'broker',
      timings: { pingMs: 8_000, pongMs: 2_000, climbMs: 15_000 },
    },
  },
}
const AGENT = { deploymentId: 'demo', agentId: 'agent-maren', name: 'Maren' }
const AGENT_PREFIX = '/agent'
const SERVICE_PATHS = /^\/(api\/|chat-state\/|healthz$|readyz$|metrics$|openapi\.json$|\.well-known\/jwks\.json$)/

export async function startDemo({ port, data, dist }: DemoOptions): Promise<Demo> {
  const faults = new Faults()
  const server = createServer()
  // The port comes first: a second demo must not fail on the store before it has found a port of its own.
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const backend = await Backend.start(data).catch((error: unknown) => {
    server.close()
    throw error
  })
  const gate = new Gate(backend, faults)
  const site = new Site(dist, backend, gate, faults, () => server.closeIdleConnections())
  server.on('request', (request, response) => void site.handle(request, response))
  server.on('upgrade', (request, socket, head) => gate.upgrade(request, socket, head, isAgents(request)))

  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
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
  readonly #backend: Backend
  readonly #gate: Gate
  readonly #faults: Faults
  readonly #dropIdle: () => void

  constructor(dist: string, backend: Backend, gate: Gate, faults: Faults, dropIdle: () => void) {
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
    if (SERVICE_PATHS.test(path) || isAgents(request)) return this.#gate.forward(request, response, isAgents(request))
    switch (path) {
      case '/holdfast/config.json':
        return sendJson(response, 200, CONFIG)
      case '/holdfast/sw.js':
        return serveWorker(response, join(this.#dist, 'holdfast-sw.js'), this.#faults.build)
      case '/demo/faults':
        return this.#switch(request, response)
      case '/agent/token':
        return this.#agentToken(request, response)
      default:
        return servePage(request, response, join(this.#dist, 'demo'), path)
    }
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
    sendJson(response, 200, { ...this.#faults.state, halfOpen: this.#gate.halfOpen })
  }

  #act(call: FaultCall): void {
    this.#faults.set(call)
    switch (call.fault) {
      case 'offline':
        if (call.on) this.#gate.cutVisitors()
        return
      case 'cut-answer':
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
