// The network of a simulated world, between the real adapter and the simulated service: fetch and WebSocket as the
// adapter calls them, with latency and every fault that a network, a proxy or a portal knows.

import { REQUEST_TIMEOUT_MS } from '../sw/platforms/http.ts'
import type { Faults } from './faults.ts'
import type { Feeds } from './sim-feeds.ts'
import { type Answer, handle, type Request } from './sim-http.ts'
import type { SimService } from './sim-service.ts'
import { type Cable, SimSocket } from './sim-socket.ts'
import type { World } from './world.ts'

/** Whoever makes requests: they end with it. */
export interface Caller {
  readonly name: string
  readonly isAlive: boolean
  whenDead(tell: () => void): void
  /** Where it can be frozen: now, or when it has thawed. */
  when?(run: () => void): void
  freeze?(ms: number): void
}

/** What the network told a client, and what the client asked: for the auditor. */
export interface Traffic {
  asked(path: string, bearer: string | undefined): void
  /** @param askedAt when the request was made that was answered so */
  /** What is remarkable as a refresh begins, and, looked at again, as it ends. */
  circumstances?(by: Caller): readonly string[]
  watch?(): () => readonly string[]
  told(path: string, retryAfterMs: number, by: Caller, askedAt: number): void
  /** A socket stands beside one of another worker that lives. */
  doubled(by: Caller, other: Caller): void
}

const SOCKET_PATH_ORIGIN = 'https://chat.example'
const PORTAL_PAGE = '<html><body>Welcome to the airport. Please accept our terms.</body></html>'
/** The latest that a request which its caller has given up still reaches the service. */
const SLOW_MAX_MS = 25_000
/** What takes longer has been overtaken, or may have been. */
const LATE_MS = 500

type Reply = { readonly status: number; readonly text: string; readonly retryAfterMs?: number | undefined }

export class Network implements Cable {
  readonly world: World
  readonly #service: SimService
  readonly feeds: Feeds
  readonly #traffic: Traffic
  readonly sockets = new Set<SimSocket>()
  faults: Faults
  isOnline = true
  isServiceUp = true
  /** Whoever asks for a refresh next is frozen with it on the wire. */
  freezesRefreshMs = 0
  /** The session cookie of the one browser. */
  cookie: string | undefined

  constructor(world: World, service: SimService, feeds: Feeds, faults: Faults, traffic: Traffic) {
    this.world = world
    this.#service = service
    this.feeds = feeds
    this.faults = faults
    this.#traffic = traffic
  }

  /** `fetch` for one worker: what it asked is not answered when it is dead. */
  fetchOf(caller: Caller): typeof fetch {
    const fetcher = (url: string | URL | globalThis.Request, init: RequestInit = {}) =>
      new Promise<Response>((resolve, reject) => {
        // What a stopped worker would still have done in the same breath is not done.
        if (!caller.isAlive) return
        const settle = (reply: Reply | undefined) => {
          if (!caller.isAlive) return
          if (reply === undefined) reject(new TypeError('Failed to fetch'))
          else resolve(responseOf(reply))
        }
        this.#ask(caller, requestOf(String(url), init, this.cookie), settle)
      })
    return fetcher as typeof fetch
  }

  socketOf(caller: Caller): typeof WebSocket {
    const net = this
    const Bound = class {
      constructor() {
        // biome-ignore lint/correctness/noConstructorReturn: the adapter calls `new`, and gets a socket of this network.
        return new SimSocket(net, caller)
      }
    }
    return Bound as unknown as typeof WebSocket
  }

  #ask(caller: Caller, request: Request, settle: (reply: Reply | undefined) => void): void {
    const { dice } = this.world
    const { faults } = this
    const waitMs = Number(request.query.get('waitMs') ?? 0)
    let isOver = false
    const over = (reply: Reply | undefined) => {
      if (isOver) return
      isOver = true
      cancel()
      settle(reply)
    }
    const when = (run: () => void) => (caller.when === undefined ? run() : caller.when(run))
    const cancel = this.#local(REQUEST_TIMEOUT_MS + waitMs, () => when(() => over(undefined)))
    const isRefresh = request.path.endsWith('/auth/refresh')
    const mark = (what: string) => isRefresh && this.world.mark(`refresh: ${what}`)
    const watch = this.#traffic.watch?.()
    if (isRefresh) this.#refreshing(caller, mark)
    const askedAt = this.world.now
    const call = `${request.method} ${request.path} ${request.query.get('conversationId') ?? ''}`.trim()
    this.#traffic.asked(call, request.bearer)
    if (!this.isOnline) return void this.#local(1, () => over(undefined))
    const fails = () => void (dice.chance(0.5) && this.#local(this.latency(), () => over(undefined)))
    if (dice.chance(faults.requestLost)) {
      mark('request lost')
      return fails()
    }
    const outMs = dice.chance(faults.slow) ? dice.between(200, SLOW_MAX_MS) : this.latency()
    const answered = (answer: Answer) => {
      if (dice.chance(faults.answerLost)) {
        mark('answer lost')
        return fails()
      }
      const backMs = dice.chance(faults.slow) ? dice.between(200, REQUEST_TIMEOUT_MS) : this.latency()
      const deliver = () => {
        if (!this.isOnline) return over(undefined)
        for (const what of watch?.() ?? []) mark(what)
        if (caller.isAlive && !isOver) mark(kindOf(answer))
        // The cookie comes with the first bytes: a worker that dies now has one that it never heard of.
        if (!isOver && answer.cookie !== undefined && caller.isAlive) this.cookie = answer.cookie ?? undefined
        if (!isOver && answer.retryAfterMs !== undefined && caller.isAlive) {
          this.#traffic.told(call, answer.retryAfterMs, caller, askedAt)
        }
        this.#local(dice.between(0, 5), () => over(replyOf(answer)))
      }
      const lateAt = this.world.now + backMs + LATE_MS
      this.#local(backMs, () =>
        when(() => {
          if (this.world.now > lateAt) mark('heard late by a frozen worker')
          deliver()
        }),
      )
    }
    this.world.after(outMs, () => this.#arrive(request, askedAt, answered, fails))
    const nobody = () => {}
    if (dice.chance(faults.duplicate)) {
      this.world.after(dice.between(0, SLOW_MAX_MS), () =>
        this.#arrive({ ...request, isCopy: true }, askedAt, nobody, nobody),
      )
    }
  }

  #refreshing(caller: Caller, mark: (what: string) => void): void {
    for (const what of this.#traffic.circumstances?.(caller) ?? []) mark(what)
    if (this.freezesRefreshMs > 0) caller.freeze?.(this.freezesRefreshMs)
    this.freezesRefreshMs = 0
  }

  #arrive(request: Request, askedAt: number, answered: (answer: Answer) => void, fails: () => void): void {
    const { dice } = this.world
    const { faults } = this
    if (!this.isServiceUp || this.#isHopeless(request, askedAt)) return fails()
    if (dice.chance(faults.busy)) {
      return answered({
        status: dice.pick([429, 503]),
        body: { code: 'busy' },
        retryAfterMs: 1_000 * dice.whole(1, 20),
      })
    }
    if (dice.chance(faults.broken))
      return answered({ status: dice.pick([500, 502, 504]), body: dice.pick([PORTAL_PAGE, {}]) })
    if (dice.chance(faults.portal))
      return answered({ status: dice.pick([200, 200, 201, 302, 403, 404]), body: PORTAL_PAGE })
    if (request.path.endsWith('/stream/poll')) return this.feeds.poll(request.bearer, request.query, answered)
    const answer = handle(this.#service, request)
    this.world.note(`service ${request.method} ${request.path} ${request.key ?? ''} ${answer.status}`)
    answered(answer)
  }

  /** What is not drawn, because nobody can answer for it: a copy that arrives behind a rotation of another key. */
  #isHopeless(request: Request, askedAt: number): boolean {
    if (!request.isCopy && this.world.now - askedAt < LATE_MS) return false
    const token = request.body.refresh_token
    const opening = request.body.refreshKey as string | undefined
    const [key, openedId] = [request.key ?? opening, this.#service.openedBy(opening)]
    return this.#service.isSpent(typeof token === 'string' ? token : request.cookie, key, openedId)
  }

  /** One browser has one connection. */
  plugged(by: Caller): void {
    for (const { caller } of this.sockets) if (caller !== by && caller.isAlive) this.#traffic.doubled(by, caller)
  }

  get isReachable(): boolean {
    return this.isOnline && this.isServiceUp
  }

  latency(): number {
    return this.world.dice.between(2, 60)
  }

  /** Later, in the browser's time. */
  #local(ms: number, run: () => void): () => void {
    return this.world.after(ms, run, true)
  }

  /** Every socket ends, with or without a word to either side. */
  cutSockets(isSilent: boolean): void {
    for (const socket of [...this.sockets]) {
      if (isSilent) socket.isHalfOpen = true
      else socket.cut(1006, '')
    }
  }
}

function requestOf(url: string, init: RequestInit, cookie: string | undefined): Request {
  const { pathname: path, searchParams: query } = new URL(url, SOCKET_PATH_ORIGIN)
  const headers = new Headers(init.headers)
  const ifMatch = headers.get('if-match')
  const { body } = init
  return {
    method: init.method ?? 'GET',
    path,
    query,
    bearer: headers.get('authorization')?.replace('Bearer ', ''),
    key: headers.get('idempotency-key') ?? undefined,
    ifVersion: ifMatch === null ? undefined : Number(ifMatch.replaceAll('"', '')),
    cookie,
    isCopy: false,
    body:
      typeof body === 'string'
        ? JSON.parse(body)
        : body instanceof URLSearchParams
          ? Object.fromEntries(body)
          : { ...body },
  }
}

const kindOf = ({ status, body }: Answer): string => (body === PORTAL_PAGE && status < 500 ? 'portal' : `${status}`)

const replyOf = ({ status, body, retryAfterMs }: Answer): Reply => ({
  // What a page that redirects looks like where redirects are not followed.
  status: status === 302 ? 0 : status,
  text: typeof body === 'string' ? body : JSON.stringify(body),
  retryAfterMs,
})

/** As much of a Response as the adapter reads: the real one is ten times as slow. */
const responseOf = ({ status, text, retryAfterMs }: Reply): Response =>
  ({
    status,
    headers: {
      get: (name: string) =>
        name === 'retry-after' && retryAfterMs !== undefined ? `${Math.ceil(retryAfterMs / 1000)}` : null,
    },
    text: async () => text,
  }) as unknown as Response
