// What waits to be folded in: simultaneous inputs share a turn, and what came from outside comes only once.
// What a turn does is the business of engine.ts.

import { isHoldfastError } from '../core/errors.ts'
import type { Input, Reply } from '../core/inputs.ts'

/** So many inputs share one transaction at most. */
const BATCH_MAX = 1_024

export interface Submission {
  readonly input: Input
  readonly resolve: (reply: Reply | undefined) => void
  readonly reject: (error: unknown) => void
}

export interface Turning {
  start(): Promise<void>
  turn(batch: readonly Submission[]): Promise<void>
  failed(error: unknown): void
}

export class Inbox {
  readonly #turning: Turning
  #queue: Submission[] = []
  #owed: Submission[] = []
  /** There while a turn is in hand. */
  busy: Promise<void> | undefined

  constructor(turning: Turning) {
    this.#turning = turning
  }

  submit(input: Input, isFirst = false): Promise<Reply | undefined> {
    return new Promise((resolve, reject) => {
      const submission = { input, resolve, reject }
      if (isFirst) this.#queue.unshift(submission)
      else this.#queue.push(submission)
      this.busy ??= this.#work()
    })
  }

  async #work(): Promise<void> {
    await this.#turning.start()
    while (this.#queue.length > 0) {
      const batch = [...this.#owed.splice(0), ...this.#queue.splice(0, BATCH_MAX)]
      try {
        await this.#turning.turn(batch)
      } catch (error) {
        for (const { reject } of batch) reject(error)
        // What a tab asked for is refused. What came from outside comes only once: it is owed to the next turn.
        if (isHoldfastError(error)) this.#owed = batch.filter(({ input }) => input.type !== 'command')
        this.#turning.failed(error)
      }
    }
    // In the same breath as the look at the queue: whoever comes later must find that nobody works.
    this.busy = undefined
  }
}
