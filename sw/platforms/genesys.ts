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
  oauthOf,
  PAGE_MS,
  PAGES_MAX,
  revoke,
  type SocketDeps,
  signIn,
} from './genesys-http.ts'
import { AUTH_LEASE, GenesysSocket } from './genesys-socket.ts'
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
   * Whether visitors sign in, by a code or token that a page supplies for the lease `auth` (`supplyTokens()`). `optional`:
   * a guest chats, and steps up as soon as one is supplied. `required`: there is no chat without. Default: `optional`.
   */
  readonly auth?: 'optional' | 'required'
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
  // A history is read in several pages at the most, and how many shows only then.
  fetch: { burst: 11 - PAGES_MAX, everyMs: PAGE_MS, over: PAGES_MAX - 1 },
  // The next one goes when the one before is known to be there, so the platform never sees more than these and one.
  send: { burst: 4, everyMs: 201 },
  // What one connection takes (genesys-asks.ts), but for configure: whoever waits there is taken for overdue.
  call: { burst: 57, everyMs: 1_005 },
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
        leases: [
          { name: AUTH_LEASE, neededAt: 'configure', refresh: 'grant', isOptional: options.auth !== 'required' },
        ],
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

/** What is sealed as our access token is the secret that the tokens of sessions come from. */
async function secretsOf({ token, tokens, conversation }: StreamRequest, derive: typeof uuidOf) {
  const seed = conversation?.participantId
  return { session: seed ? await derive(token + seed) : token, jwt: tokens?.[AUTH_LEASE] }
}

function sessions(deps: SocketDeps): Required<Pick<Platform, 'open' | 'refresh' | 'exchange' | 'revoke'>> {
  return {
    async open({ token }) {
      const secret = token ?? deps.uuid()
      const opened = {
        sessionId: await deps.uuidOf(`session ${secret}`),
        isAuthenticated: false,
        expiresAt: 0,
        conversation: null,
        isActiveElsewhere: false,
        isUnasked: true as const,
      }
      return { ok: true, value: { opened, grant: guestOf(secret) } }
    },

    async refresh({ refreshToken, lease }) {
      if (refreshToken === undefined) {
        const reason = 'genesys: there is nothing to refresh with.'
        return { ok: false, verdict: 'auth-required', code: 'LEASE_EXPIRED', reason }
      }
      return lease === undefined
        ? { ok: true, value: guestOf(refreshToken) }
        : signIn(deps, 'refresh', { refreshToken })
    },

    /** A Genesys JWT as it is, or a code or token of the site's identity provider for the first one. */
    async exchange({ supplied }) {
      const { token, refreshToken } = supplied
      if (typeof token !== 'string')
        return signIn(deps, 'oauthcodegrantjwtexchange', { deploymentId: deps.deploymentId, oauth: oauthOf(supplied) })
      const value: PlainGrant = { accessToken: token, expiresInMs: lifeOf(token, deps.now()) }
      return { ok: true, value: refreshToken === undefined ? value : { ...value, refreshToken } }
    },

    async revoke({ token, refreshToken, lease, conversation }) {
      if (token === undefined) return { ok: true, value: null }
      if (lease === undefined) return farewell(deps, { token, conversation })
      const outcome = await revoke(deps, token)
      if (outcome.ok || outcome.verdict !== 'refresh') return outcome
      const fresh = refreshToken === undefined ? undefined : await signIn(deps, 'refresh', { refreshToken })
      if (fresh?.ok) return revoke(deps, fresh.value.accessToken)
      // Neither is accepted any more: there is nothing left to take back.
      return fresh === undefined || fresh.verdict === 'auth-required' ? { ok: true, value: null } : fresh
    },
  }
}

/** A guest's secret is all there is: it is its own successor. */
const guestOf = (secret: string): PlainGrant => ({
  accessToken: secret,
  refreshToken: secret,
  expiresInMs: GUEST_MS,
})

/**
 * A guest's conversation is cleared where that is allowed, else closed: the token opens nothing of it afterwards. Where
 * nobody was reached, it is still to be told.
 */
function farewell(
  deps: SocketDeps,
  { token, conversation }: { token: string; conversation?: Conversation | undefined },
): Promise<Outcome<null>> {
  return new Promise((resolve) => {
    const over = (outcome: Outcome<null>) => {
      cancel()
      socket.close()
      resolve(outcome)
    }
    const cancel = deps.after(FAREWELL_MS, () => over(NO_STREAM))
    const request = { conversationId: '', token, afterSeq: 0, ...(conversation && { conversation }) }
    const socket = new GenesysSocket(deps, request, (event) => {
      if (event.type === 'ready') void deps.config().then((config) => socket.leave(config?.clear === true))
      // Cleared, closed, unknown by now, or of somebody who has signed in: the rest is told by that lease.
      else if (event.type === 'cleared' || (event.type === 'conversation' && event.state !== 'active'))
        over({ ok: true, value: null })
      else if (event.type === 'closed') over(event.verdict.startsWith('retry') ? NO_STREAM : { ok: true, value: null })
    })
  })
}
