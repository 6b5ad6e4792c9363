// Adapter: Genesys Cloud Web Messaging as a Guest API client. The session's token is made here and is the only credential
// of a guest; opening and making ask nobody, the connection does (genesys-socket.ts). What answers mean: genesys-wire.ts.

import type { Conversation } from '../../core/session.ts'
import type { Connection, Outcome, PlainGrant, Platform, StreamEvent, StreamRequest } from '../../core/ports.ts'
import { unkeyed } from '../../core/unkeyed.ts'
import {
  configOf,
  type DeploymentConfig,
  type Endpoints,
  type HttpDeps,
  lifeOf,
  revoke,
  signIn,
} from './genesys-http.ts'
import { GenesysSocket, type SocketDeps } from './genesys-socket.ts'
import { endingOf, GENESYS_LIMITS } from './genesys-wire.ts'
import type { PlatformDeps } from './session-service.ts'

export { GENESYS_ANSWERS, GENESYS_CLOSES } from './genesys-wire.ts'

export interface GenesysOptions {
  /** The region of the organisation, such as `mypurecloud.ie` or `usw2.pure.cloud`. */
  readonly domain: string
  /** The id of the Messenger deployment. Default: the name of the deployment here. */
  readonly deploymentId?: string
  /** Where its parts are, where they are not at the usual names below the domain: an emulator, a proxy. */
  readonly endpoints?: Partial<Endpoints>
  readonly requestTimeoutMs?: number
  /**
   * The vendor's own widget holds the conversation (`holdfast/genesys-messenger`): here only attributes are kept, and
   * nothing is asked of the platform. Default: false.
   */
  readonly isBeside?: boolean
}

export interface GenesysDeps extends PlatformDeps {
  after?(ms: number, run: () => void): () => void
  uuid?(): string
  /** A UUID out of words that only we know: nobody gets from one to another. */
  uuidOf?(words: string): Promise<string>
}

/** The platform's limits of a session, with room for the difference of two clocks. */
const RATES = {
  connect: { burst: 1, everyMs: 1_100 },
  fetch: { burst: 8, everyMs: 6_200 },
  send: { burst: 3, everyMs: 210 },
}
/** A guest's token never ends by itself: the session does. */
const GUEST_MS = 400 * 24 * 60 * 60 * 1_000
/** So many sockets in a row that never opened, while the deployment is active: its domains do not allow us. */
const REFUSALS_MAX = 3
const FAREWELL_MS = 5_000

const NO_STREAM: Outcome<never> = {
  ok: false,
  verdict: 'retry',
  code: 'SERVICE_UNREACHABLE',
  reason: 'genesys: there is no connection.',
  isUnreachable: true,
}

/** Genesys Cloud Web Messaging as a platform: no key, no numbers; what is unknown is looked for in the history. */
export const genesys =
  (options: GenesysOptions) =>
  (deps: GenesysDeps): Platform => {
    const socketDeps = depsOf(options, deps)
    return {
      name: 'genesys',
      unkeyed: unkeyed(RATES),
      capabilities: {
        delivery: 'content-match',
        catchUp: 'offset',
        sendWithoutStream: false,
        inFlightMax: 1,
        limits: GENESYS_LIMITS,
        rates: RATES,
        // A ping is an `echo`, twice a minute at most: one that is missed ends it.
        timings: { pingMs: 35_000, pongMs: 10_000, pingMissesMax: 1 },
        vault: 'persistent',
      },
      ...sessions(socketDeps),
      async make({ key, previousId, attributes, former }) {
        // The token of a session that is over by age names nobody any more; that of another goes on.
        const participantId = former?.state === 'expired' ? key : (former?.participantId ?? '')
        const following = previousId === null ? {} : { previousId }
        const conversation: Conversation = { id: key, participantId, state: 'pending', ...following }
        return { ok: true, value: { conversation, attributes, version: 0, joined: false } }
      },
      connect: (request, emit) => (options.isBeside ? beside(emit) : new GenesysSocket(socketDeps, request, emit)),
      send: async () => NO_STREAM,
      backfill: async () => NO_STREAM,
      poll: async () => NO_STREAM,
      push: async ({ version }) => ({ ok: true, value: { conflict: false, attributes: {}, version } }),
    }
  }

const BESIDE: Outcome<never> = {
  ok: false,
  verdict: 'refuse',
  code: 'SERVICE_REFUSED',
  reason: 'The vendor’s widget holds the conversation: send the message there.',
}

/** Stands for a connection that the vendor's widget has: open, and silent. */
function beside(emit: (event: StreamEvent) => void): Connection {
  let isOver = false
  queueMicrotask(() => isOver || emit({ type: 'ready', headSeq: 0 }))
  return {
    ping: (id) => isOver || emit({ type: 'pong', id }),
    pong() {},
    reauth() {},
    typing() {},
    close() {
      isOver = true
    },
    calls: {
      send: async () => BESIDE,
      backfill: async () => ({ ok: true, value: { resync: false, rows: [], headSeq: 0 } }),
    },
  }
}

function depsOf({ domain, deploymentId, endpoints, requestTimeoutMs }: GenesysOptions, deps: GenesysDeps): SocketDeps {
  const http: HttpDeps = {
    endpoints: {
      messaging: `wss://webmessaging.${domain}`,
      api: `https://api.${domain}`,
      cdn: `https://api-cdn.${domain}`,
      ...endpoints,
    },
    deploymentId: deploymentId ?? deps.deployment,
    fetch: deps.fetch ?? fetch.bind(globalThis),
    requestTimeoutMs,
    now: deps.now,
  }
  let known: Promise<DeploymentConfig | undefined> | undefined
  let refusals = 0
  const config = () => {
    known ??= configOf(http).then((found) => {
      if (!found?.isActive) known = undefined
      return found
    })
    return known
  }
  return {
    ...http,
    WebSocket: deps.WebSocket ?? WebSocket,
    application: 'holdfast',
    uuid: deps.uuid ?? (() => crypto.randomUUID()),
    after: deps.after ?? afterMs,
    config,
    secretsOf: (request) => secretsOf(request, deps.uuidOf ?? uuidOf),
    uuidOf: deps.uuidOf ?? uuidOf,
    async whyClosed() {
      known = undefined
      const found = await config()
      if (found === undefined) return endingOf('close 1006')
      if (!found.isActive)
        return { verdict: 'refuse', code: 'DEPLOYMENT_UNKNOWN', reason: 'The deployment is unknown or inactive.' }
      refusals += 1
      if (refusals < REFUSALS_MAX) return endingOf('close 1006')
      refusals = 0
      const reason = 'The deployment is active and refuses the socket: check its allowed domains.'
      return { verdict: 'refuse', code: 'SERVICE_REFUSED', reason }
    },
  }
}

function afterMs(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}

async function uuidOf(words: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(words)))
  const hex = [...digest.slice(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5')
}

/** What is sealed as our access token: the secret that the tokens of sessions come from, and the auth JWT behind a blank. */
async function secretsOf({ token, conversation }: StreamRequest, derive: typeof uuidOf) {
  const [secret = '', jwt] = token.split(' ')
  const seed = conversation?.participantId
  return { session: seed ? await derive(secret + seed) : secret, jwt }
}

function sessions(deps: SocketDeps): Pick<Platform, 'open' | 'refresh' | 'revoke'> {
  return {
    async open({ token }) {
      const secret = token ?? deps.uuid()
      const [first = '', jwt] = secret.split(' ')
      const opened = {
        sessionId: await deps.uuidOf(`session ${first}`),
        isAuthenticated: jwt !== undefined,
        expiresAt: 0,
        conversation: null,
        isActiveElsewhere: false,
        isUnasked: true as const,
      }
      const grant = jwt === undefined ? guestOf(first) : { accessToken: secret, expiresInMs: lifeOf(jwt, deps.now()) }
      return { ok: true, value: { opened, grant } }
    },

    async refresh({ refreshToken: held }) {
      const [secret, refreshToken] = held?.split(' ') ?? []
      if (secret !== undefined && refreshToken === undefined) return { ok: true, value: guestOf(secret) }
      if (secret === undefined || refreshToken === undefined) {
        const reason = 'genesys: there is nothing to refresh with.'
        return { ok: false, verdict: 'auth-required', code: 'LEASE_EXPIRED', reason }
      }
      const outcome = await signIn(deps, 'refresh', { refreshToken })
      return outcome.ok ? { ok: true, value: grantFor(secret, outcome.value, refreshToken) } : outcome
    },

    async revoke({ token, refreshToken, conversation }) {
      if (token === undefined) return { ok: true, value: null }
      const [, jwt] = token.split(' ')
      if (jwt === undefined) return farewell(deps, { token, conversation })
      const outcome = await revoke(deps, jwt)
      const [, held] = refreshToken?.split(' ') ?? []
      if (outcome.ok || outcome.verdict !== 'refresh' || held === undefined) return outcome
      const fresh = await signIn(deps, 'refresh', { refreshToken: held })
      return fresh.ok ? revoke(deps, fresh.value.accessToken) : fresh
    },
  }
}

/** A guest's secret is all there is: it is its own successor. */
const guestOf = (secret: string): PlainGrant => ({
  accessToken: secret,
  refreshToken: secret,
  expiresInMs: GUEST_MS,
})

/** What the vault is given: the session's secret goes along with whatever signs in. */
function grantFor(secret: string, { accessToken, expiresInMs, refreshToken }: PlainGrant, before: string): PlainGrant {
  return {
    accessToken: `${secret} ${accessToken}`,
    expiresInMs,
    refreshToken: `${secret} ${refreshToken ?? before}`,
  }
}

/** A guest's conversation is cleared where that is allowed, else closed: the token opens nothing of it afterwards. */
function farewell(
  deps: SocketDeps,
  { token, conversation }: { token: string; conversation?: Conversation | undefined },
): Promise<Outcome<null>> {
  return new Promise((resolve) => {
    const over = () => {
      cancel()
      socket.close()
      resolve({ ok: true, value: null })
    }
    const cancel = deps.after(FAREWELL_MS, over)
    const request = { conversationId: '', token, afterSeq: 0, ...(conversation && { conversation }) }
    const socket = new GenesysSocket(deps, request, (event) => {
      if (event.type === 'ready') void deps.config().then((config) => socket.leave(config?.clear === true))
      // Cleared, closed, or never reached: there is nothing more to do here.
      else if (event.type === 'closed' || (event.type === 'conversation' && event.state !== 'active')) over()
    })
  })
}
