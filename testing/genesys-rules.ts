// What an emulated Genesys deployment is made of: its settings, its limits as real token buckets, its faults, its shapes.
// Nothing here has a clock or a die: both are given, so that a simulated world can use the same rules.

/** A bucket of so many tokens, that is filled evenly. */
export interface Rate {
  readonly tokens: number
  readonly refillMs: number
}

export interface GenesysLimits {
  readonly messagesPerSession: Rate
  readonly requestsPerConnection: Rate
  readonly configuresPerSession: Rate
  /** A shorter rule that was seen for configure, beside the one a minute. */
  readonly configureBurst: Rate
  readonly historyPerSession: Rate
  readonly echoPerConnection: Rate
  readonly connectionsPerDeployment: Rate
  readonly connectionsPerSessionMax: number
}

export const GENESYS_LIMITS: GenesysLimits = {
  messagesPerSession: { tokens: 5, refillMs: 200 },
  requestsPerConnection: { tokens: 60, refillMs: 1_000 },
  configuresPerSession: { tokens: 60, refillMs: 1_000 },
  configureBurst: { tokens: 3, refillMs: 1_000 },
  historyPerSession: { tokens: 10, refillMs: 6_000 },
  echoPerConnection: { tokens: 2, refillMs: 30_000 },
  connectionsPerDeployment: { tokens: 1_000, refillMs: 60 },
  connectionsPerSessionMax: 3,
}

export interface GenesysSettings {
  readonly deploymentId: string
  /** Origins that may connect; every origin where it is empty. */
  readonly origins: readonly string[]
  readonly isActive: boolean
  readonly maxCustomDataBytes: number
  readonly durationSeconds: number
  readonly takesAttachments: boolean
  readonly autoStart: boolean
  readonly conversationClear: boolean
  readonly showUserTyping: boolean
  readonly auth: boolean
  readonly allowSessionUpgrade: boolean
  readonly authJwtSeconds: number
  /** A refresh answers with another refresh token, and the old one used again ends them all. */
  readonly rotatesRefreshTokens: boolean
  /** Whether `metadata` of a message comes back in the history: nobody outside knows. */
  readonly historyHasMetadata: boolean
  readonly limits: GenesysLimits
}

export const GENESYS_DEFAULTS: GenesysSettings = {
  deploymentId: '3f2a7c1e-0000-4000-8000-00000000demo',
  origins: [],
  isActive: true,
  maxCustomDataBytes: 2_048,
  durationSeconds: 72 * 60 * 60,
  takesAttachments: true,
  autoStart: false,
  conversationClear: true,
  showUserTyping: true,
  auth: true,
  allowSessionUpgrade: true,
  authJwtSeconds: 900,
  rotatesRefreshTokens: false,
  historyHasMetadata: false,
  limits: GENESYS_LIMITS,
}

/**
 * What can be made to go wrong, so many times from now on or at a rate.
 * `ack-lost`: accepted, and nothing comes back. `ack-cut`: accepted, and the socket is cut instead of an answer.
 * `clear-cut`: the same of a conversation that is to be cleared.
 * `unheard-cut`: cut before it was heard. `doubled`, `late`: frames come twice, or behind those that follow.
 * `upload-unsaid`: the bytes are there, and nobody says so.
 * `throttled`: 429 in either form, by turns. `untraced`: an error names no frame. `timeless`: no time in the history.
 */
export type GenesysFault =
  | 'ack-lost'
  | 'ack-cut'
  | 'clear-cut'
  | 'unheard-cut'
  | 'doubled'
  | 'late'
  | 'throttled'
  | 'configure-throttled'
  | 'untraced'
  | 'history-failed'
  | 'timeless'
  | 'jwt-lost'
  | 'unexpected'
  | 'upload-unsaid'

/** Time and chance, as the world has them. */
export interface GenesysDeps {
  now(): number
  draw(): number
  uuid(): string
  after(ms: number, run: () => void): () => void
}

export class Bucket {
  readonly #rate: Rate
  #level: number
  #at: number

  constructor(rate: Rate, now: number) {
    this.#rate = rate
    this.#level = rate.tokens
    this.#at = now
  }

  /** Takes one. Says in how many seconds there will be one, or 0 when it was there. */
  take(now: number): number {
    this.#level = Math.min(this.#rate.tokens, this.#level + Math.max(0, now - this.#at) / this.#rate.refillMs)
    this.#at = now
    if (this.#level < 1) return Math.max(1, Math.ceil(((1 - this.#level) * this.#rate.refillMs) / 1_000))
    this.#level -= 1
    return 0
  }
}

/** One message or event, as the service keeps it. */
export interface GenesysEntity {
  readonly id: string
  readonly type: 'Text' | 'Structured' | 'Event'
  readonly direction: 'Inbound' | 'Outbound'
  readonly text?: string
  readonly content?: readonly unknown[]
  readonly events?: readonly unknown[]
  readonly metadata?: { readonly [name: string]: string }
  readonly originatingEntity?: 'Human' | 'Bot'
  readonly channel: { readonly time: string | null; readonly messageId?: string; readonly type: 'Private' }
  /** What the client called its frame. Never in the history. */
  readonly tracingId?: string
}

/** Whoever looks on at the service: an agent's desk. */
export interface GenesysWatcher<S> {
  /** A session begins, or begins anew. */
  begun?(session: S): void
  said?(session: S, entity: GenesysEntity): void
  typed?(session: S): void
  ended?(session: S): void
}

/** The service's end of a socket. */
export interface GenesysWire {
  send(frame: object): void
  close(code: number, reason: string): void
}

export type Shape = { readonly [name: string]: unknown }
export const shapeOf = (value: unknown): Shape => Object(value) as Shape

/** @see platform documentation: the size of custom attributes is that of their keys and values in UTF-8 */
export function dataBytesOf(attributes: unknown): number {
  const bytes = (text: string) => new TextEncoder().encode(text).length
  return Object.entries(shapeOf(attributes)).reduce((sum, [name, value]) => sum + bytes(name) + bytes(String(value)), 0)
}
