// The adapter of the session service under the contract, against the real service on loopback.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket as WsSocket } from 'ws'
import type { Platform } from '../../core/ports.ts'
import { createSessionService } from '../../server/index.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import { platformContract } from './platform.ts'
import { commonContract } from './platform-common.ts'
import { faultContract } from './platform-faults.ts'
import { leaseContract } from './platform-leases.ts'
import { freshKey, losing, openSession, type PlatformWorld } from './platform-world.ts'

const SILENT_TIMEOUT_MS = 50

/** What a policy of the site, or a proxy between, makes of every socket. */
class NoSocket {
  constructor() {
    throw new Error('There are no sockets here.')
  }
}

const LOSSY = {
  message: /^POST .*\/messages$/,
  refresh: /auth\/refresh$/,
  revoke: /auth\/revoke$/,
  farewell: /auth\/revoke$/,
}

/** fetch with a cookie jar, as a browser has one. */
function browserFetch(): typeof fetch {
  const jar = new Map<string, string>()
  return async (url, init) => {
    const headers = new Headers(init?.headers)
    headers.set('cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(url, { ...init, headers })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') jar.delete(name)
      else jar.set(name, value)
    }
    return response
  }
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function sessionServiceWorld(): Promise<PlatformWorld> {
  const service = await createSessionService({ drainSpreadMs: 0 })
  const { url } = await service.listen(0)
  const agent = `Bearer ${await service.agentToken({ deploymentId: 'demo', agentId: 'a1', name: 'Ada' })}`

  const quiet = createServer(() => {})
  const quietUrl = await listening(quiet)
  // Bound once and let go: nobody listens there now.
  const gone = createServer()
  const goneUrl = await listening(gone)
  await new Promise((resolve) => gone.close(resolve))

  const lost: ReturnType<typeof losing>[] = []
  const lossy = () => {
    const made = losing(browserFetch(), LOSSY)
    lost.push(made)
    return made.fetch
  }
  const adapter = (at: string, deployment = 'demo', Socket: unknown = WsSocket, requestTimeoutMs?: number): Platform =>
    sessionService({ url: at, ...(requestTimeoutMs !== undefined && { requestTimeoutMs }) })({
      deployment,
      now: Date.now,
      fetch: lossy(),
      WebSocket: Socket as typeof WebSocket,
    })

  async function asAgent(path: string, body: object): Promise<void> {
    const headers = { authorization: agent, 'content-type': 'application/json', 'idempotency-key': freshKey() }
    const path0 = `${url}/api/v2/messaging/conversations/${path}`
    const response = await fetch(path0, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`The agent was answered ${response.status}.`)
  }

  return {
    browser: ({ deployment, hasSockets = true } = {}) => adapter(url, deployment, hasSockets ? WsSocket : NoSocket),
    nowhere: () => adapter(goneUrl),
    silent: () => adapter(quietUrl, 'demo', WsSocket, SILENT_TIMEOUT_MS),
    at: (at) => adapter(at),
    lose(what, of = 'message') {
      for (const one of lost) one.lose(what, of)
    },
    async refreshable(platform) {
      const { grant, token } = await openSession(platform)
      return { token, refreshToken: grant.refreshToken ?? '' }
    },
    async agentSays(conversationId, text) {
      await asAgent(`${conversationId}/participants`, { role: 'agent' })
      await asAgent(`${conversationId}/messages`, { text })
    },
    agentCloses: (conversationId) => asAgent(`${conversationId}/close`, {}),
    agentReads: (conversationId, read) => asAgent(`${conversationId}/marks`, { read }),
    async end() {
      quiet.closeAllConnections()
      await Promise.all([service.close(), new Promise((resolve) => quiet.close(resolve))])
    },
  }
}

platformContract('session service', sessionServiceWorld)
commonContract('session service', sessionServiceWorld)
faultContract('session service', sessionServiceWorld)
leaseContract('session service', sessionServiceWorld)
