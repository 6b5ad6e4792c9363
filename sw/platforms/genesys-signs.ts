// Signs of life and of typing on one connection to Genesys Cloud Web Messaging, as often as the platform takes them.

import type { Asks } from './genesys-asks.ts'
import type { DeploymentConfig } from './genesys-http.ts'

const ECHO_EVERY_MS = 30_500
const TYPING_EVERY_MS = 5_000
/** To the platform typing is a message like others: after this its bucket is full again. */
const QUIET_MS = 1_000
export const ECHO_ID = 'SGVhbHRoQ2hlY2tNZXNzYWdlSWQ='

interface Deps {
  now(): number
  uuid(): string
  config(): Promise<DeploymentConfig | undefined>
}

interface Voice {
  say(action: string, rest: object, tracingId: string): void
  event(event: object): void
}

export class Signs {
  readonly #deps: Deps
  readonly #asks: Asks
  readonly #voice: Voice
  #echoedAt = Number.NEGATIVE_INFINITY
  #typedAt = Number.NEGATIVE_INFINITY
  #sentAt = Number.NEGATIVE_INFINITY

  constructor(deps: Deps, asks: Asks, voice: Voice) {
    this.#deps = deps
    this.#asks = asks
    this.#voice = voice
  }

  /** Nobody is told that typing ended: it ends by itself. */
  typing(): void {
    const now = this.#deps.now()
    if (now < this.#typedAt + TYPING_EVERY_MS || now < this.#sentAt + QUIET_MS) return
    this.#typedAt = now
    void this.#deps.config().then((config) => {
      if (config?.typing && this.#asks.isFree && this.#asks.waitMs() === 0)
        this.#voice.event({ eventType: 'Typing', typing: { type: 'On' } })
    })
  }

  /** The message is out: what is typed next is another. */
  sent(): void {
    this.#typedAt = Number.NEGATIVE_INFINITY
    this.#sentAt = this.#deps.now()
  }

  /** `echo` may be asked twice a minute; in between the credential for the history is as good a sign of life. */
  ping(): void {
    const now = this.#deps.now()
    if (!this.#asks.isFree || this.#asks.waitMs() > 0) return
    if (now < this.#echoedAt + ECHO_EVERY_MS) return this.#voice.say('getJwt', {}, this.#deps.uuid())
    this.#echoedAt = now
    this.#voice.say('echo', { message: { type: 'Text', text: 'ping' } }, ECHO_ID)
  }
}
