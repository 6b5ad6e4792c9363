// What one connection to Genesys Cloud Web Messaging has asked and not been answered, and how often it may ask at all.

import type { Outcome } from '../../core/ports.ts'
import { openAt, spend } from '../../core/rates.ts'
import { type Asked, judge } from './genesys-wire.ts'

export type Frame = { readonly [name: string]: unknown }

interface Ask {
  readonly asked: Asked
  readonly action: string
  readonly rest: object
  /** Its tracing id, by which the answer names it. */
  readonly id: string
  readonly timeoutMs: number
}

interface Waiting {
  readonly asked: Asked
  isWritten: boolean
  answer(outcome: Outcome<Frame>): void
}

interface Deps {
  now(): number
  after(ms: number, run: () => void): () => void
}

/** Requests of one connection: the platform has 60 tokens, and one more a second. Two are left for what it counts itself. */
const REQUESTS = { burst: 58, everyMs: 1_005 }

export class Asks {
  readonly #deps: Deps
  readonly #say: (action: string, rest: object, id: string) => void
  readonly #waiting = new Map<string, Waiting>()
  #fullAt = 0

  constructor(deps: Deps, say: (action: string, rest: object, id: string) => void) {
    this.#deps = deps
    this.#say = say
  }

  /** Milliseconds until the connection may take another request, which is counted when it may. */
  waitMs(): number {
    const now = this.#deps.now()
    const waitMs = openAt(REQUESTS, this.#fullAt, now) - now
    if (waitMs <= 0) this.#fullAt = spend(REQUESTS, this.#fullAt, now)
    return Math.max(0, waitMs)
  }

  awaits(id: string): boolean {
    return this.#waiting.has(id)
  }

  /** Nothing is awaited: an error that names no frame could not be mistaken for the answer to something else. */
  get isFree(): boolean {
    return this.#waiting.size === 0
  }

  /** An error that names no frame is about the oldest that is still awaited: messages go one at a time. */
  about(id: unknown): Waiting | undefined {
    return typeof id === 'string' ? this.#waiting.get(id) : [...this.#waiting.values()][0]
  }

  settle(id: unknown, outcome: Outcome<Frame>): void {
    this.#waiting.get(String(id))?.answer(outcome)
  }

  /** Nothing comes any more. What was written may have arrived. */
  settleAll(): void {
    for (const { answer, asked, isWritten } of [...this.#waiting.values()]) answer(judge(isWritten ? asked : 'call', 0))
  }

  /** Says it as soon as the connection may, and waits for the frame that names it. */
  ask({ asked, action, rest, id, timeoutMs }: Ask): Promise<Outcome<Frame>> {
    return new Promise((resolve) => {
      const waiting: Waiting = {
        asked,
        isWritten: false,
        answer: (outcome) => {
          cancel()
          this.#waiting.delete(id)
          resolve(outcome)
        },
      }
      const cancel = this.#deps.after(timeoutMs, () => waiting.answer(judge(waiting.isWritten ? asked : 'call', 0)))
      const write = () => {
        if (this.#waiting.get(id) !== waiting) return
        const waitMs = this.waitMs()
        if (waitMs > 0) return void this.#deps.after(waitMs, write)
        waiting.isWritten = true
        this.#say(action, rest, id)
      }
      this.#waiting.set(id, waiting)
      write()
    })
  }
}
