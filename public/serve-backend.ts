// The session service behind the demo: starts it on a port of its own, and can take it away and bring it back
// on the same store. Who may reach it is the gate's business.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type AgentIdentity, createSessionService, type ServiceOptions, type SessionService } from '../server/index.ts'

/** Short, so that the lease can be watched while it is renewed. */
export const ACCESS_TOKEN_MS = 5 * 60_000
/** How long a restarted service stays away, at least. */
const AWAY_MS = 1000
/** How long a restart tries to get its store back. */
const REOPEN_MS = 10_000
const REOPEN_EVERY_MS = 100

/** What stands behind the demo: a session service, or another platform in its place. */
export interface Behind {
  /** Undefined while it is away. */
  readonly port: number | undefined
  /** The worker's file that speaks to it. */
  readonly worker: string
  /** Paths that are its own. */
  readonly paths: RegExp
  /** Faults that no visitor can feel there. */
  readonly unfelt?: readonly string[]
  /** What the worker is told, by a page that was loaded from `host`. */
  platformFor(host: string): object
  agentToken(agent: AgentIdentity): Promise<string | undefined>
  expireAccessTokens(): void
  /** Where the gate cannot lose an answer: loses the next one, or no longer; says whether one is still to be lost. */
  loseAnswer?(isOn?: boolean): boolean
  /** Away for a moment, then back on the same store. `cut` breaks every connection, as a crash would. */
  restart(cut: () => void): Promise<void>
  /** Does now what time does once a minute, where that can be asked for. */
  sweep?(): Promise<void>
  close(): Promise<void>
}

export class Backend implements Behind {
  readonly worker = 'holdfast-sw.js'
  readonly paths = /^\/(api\/|chat-state\/|healthz$|readyz$|metrics$|openapi\.json$|\.well-known\/jwks\.json$)/
  readonly #options: ServiceOptions
  #service: SessionService | undefined
  #port: number | undefined
  #restarting: Promise<void> | undefined

  static async start(options: ServiceOptions): Promise<Backend> {
    const backend = new Backend(options)
    await backend.#open()
    return backend
  }

  private constructor(options: ServiceOptions) {
    this.#options = options
  }

  /** Undefined while the service is away. */
  get port(): number | undefined {
    return this.#port
  }

  platformFor(): object {
    return { platform: { type: 'session-service', url: '' }, vault: 'broker' }
  }

  async agentToken(agent: AgentIdentity): Promise<string | undefined> {
    return this.#service?.agentToken(agent)
  }

  expireAccessTokens(): void {
    this.#service?.expireAccessTokens()
  }

  async sweep(): Promise<void> {
    await this.#service?.sweep()
  }

  /** Away for a moment, then back on the same store. `cut` breaks every connection, as a crash would. */
  restart(cut: () => void): Promise<void> {
    this.#restarting ??= this.#leave(cut)
      .then(() => this.#reopen())
      .finally(() => {
        this.#restarting = undefined
      })
    return this.#restarting
  }

  async close(): Promise<void> {
    await this.#restarting
    this.#port = undefined
    await this.#service?.close()
  }

  async #leave(cut: () => void): Promise<void> {
    const service = this.#service
    this.#port = undefined
    this.#service = undefined
    cut()
    await Promise.all([service?.close(), pause(AWAY_MS)])
  }

  /** On Node 20 the driver lets go of the file only when its statements are collected, so that may take more than one try. */
  async #reopen(): Promise<void> {
    const deadline = Date.now() + REOPEN_MS
    for (;;) {
      try {
        return await this.#open()
      } catch (error) {
        if (Date.now() > deadline) throw error
        collectGarbage()
        await pause(REOPEN_EVERY_MS)
      }
    }
  }

  async #open(): Promise<void> {
    const service = await createSessionService({ accessTokenMs: ACCESS_TOKEN_MS, ...this.#options })
    const { port } = await service.listen(0)
    this.#service = service
    this.#port = port
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}
