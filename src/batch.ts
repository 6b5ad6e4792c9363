// Messages sent at the same time share a call, and so a commit. Owns the grouping; the keys and the worker are others'.

import { fromWire } from '../core/errors.ts'
import { ENQUEUE_MAX, type Enqueued, type OutboundMessage } from '../core/wire.ts'

type Call = (messages: readonly OutboundMessage[], epoch: string) => Promise<readonly Enqueued[]>

interface Waiting {
  readonly message: OutboundMessage
  /** The identity under which it was written: another must not send it. */
  readonly epoch: string
  resolve(): void
  reject(error: unknown): void
}

export class Batch {
  #call: Call
  #waiting: Waiting[] = []
  #isRunning = false

  constructor(call: Call) {
    this.#call = call
  }

  /** Resolves when the message is on the disk. */
  add(message: OutboundMessage, epoch: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, epoch, resolve, reject })
      if (!this.#isRunning) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    // Whatever is sent in this same moment comes along.
    await null
    while (this.#waiting[0]) {
      const { epoch } = this.#waiting[0]
      const other = this.#waiting.findIndex((one) => one.epoch !== epoch)
      const part = this.#waiting.splice(0, Math.min(other < 0 ? ENQUEUE_MAX : other, ENQUEUE_MAX))
      const messages = part.map((one) => one.message)
      try {
        const answers = await this.#call(messages, epoch)
        for (const [index, { resolve, reject }] of part.entries()) {
          const answer = answers[index]
          if (answer && 'error' in answer) reject(fromWire(answer.error))
          else resolve()
        }
      } catch (error) {
        for (const { reject } of part) reject(error)
      }
    }
    this.#isRunning = false
  }
}
