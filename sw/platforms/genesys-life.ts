// How long a session of Genesys Cloud Web Messaging still lasts, as one connection learns it: told when it is configured,
// by each echo, and moved on by each message. The platform's clock is known by what it says of the present.

import type { StreamEvent } from '../../core/ports.ts'
import { aheadOf, expiryOf, type Shape, shapeOf } from './genesys-wire.ts'

/** An end that is moved on by less is not worth a word. */
const STEP_MS = 5_000

export class Life {
  readonly #emit: (event: StreamEvent) => void
  #wholeMs = 0
  #endsAt = 0
  /** The platform's clock goes before ours by this. */
  #aheadMs: number | undefined

  constructor(emit: (event: StreamEvent) => void) {
    this.#emit = emit
  }

  configured(body: Shape, now: number): void {
    this.#wholeMs = (Number(body['durationSeconds']) || 0) * 1_000
    this.#lasts(expiryOf(body, now, this.#aheadMs))
  }

  echoed(body: Shape, now: number): void {
    this.#compare(body, now)
    this.#lasts(expiryOf(shapeOf(body['metadata']), now, this.#aheadMs))
  }

  /** Each message, either way, gives the session its whole life again. */
  said(body: Shape, now: number): void {
    this.#compare(body, now)
    if (this.#wholeMs > 0) this.#lasts({ expiresAt: now + this.#wholeMs })
  }

  #compare(body: Shape, now: number): void {
    this.#aheadMs = aheadOf(body, now) ?? this.#aheadMs
  }

  #lasts(end: { readonly expiresAt: number } | undefined): void {
    if (end === undefined || Math.abs(end.expiresAt - this.#endsAt) < STEP_MS) return
    this.#endsAt = end.expiresAt
    this.#emit({ type: 'session', ...end })
  }
}
