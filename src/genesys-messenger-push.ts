// Attributes on their way into Genesys Messenger's database: when they are pushed, which of them, and what is too large.

import type { Attributes } from '../core/wire.ts'

export interface PushDeps {
  values(): Attributes
  readonly dataBytesMax: number
  command(name: string, options: object): Promise<unknown>
  problem(code: string, message: string): void
}

const WINDOW_MS = 250
const INTERVAL_MS = 1_000
export const DATA_BYTES_MAX = 2_048

const bytesOf = (values: Attributes): number => new TextEncoder().encode(Object.entries(values).flat().join('')).length

const textOf = (values: Attributes): string =>
  JSON.stringify(Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))))

const differing = (values: Attributes, before: Attributes): Attributes =>
  Object.fromEntries(Object.entries(values).filter(([name, value]) => before[name] !== value))

export class AttributePush {
  readonly #deps: PushDeps
  #isReady = false
  /** What was last given, taken or not. */
  #pushed: string | undefined
  /** What the database has taken. */
  #taken: Attributes | undefined
  #pushedAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(deps: PushDeps) {
    this.#deps = deps
  }

  /** The database takes something now, and has nothing of ours. */
  ready(): void {
    this.#isReady = true
    this.#pushed = undefined
    this.#taken = undefined
    this.plan()
  }

  /** Another widget: nothing is known of its database. */
  forget(): void {
    this.#isReady = false
    this.#pushed = undefined
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#isReady = false
  }

  /** A burst shares one push, and there is at most one a second. */
  plan(): void {
    if (!this.#isReady || this.#timer !== undefined || textOf(this.#deps.values()) === this.#pushed) return
    const waitMs = Math.max(WINDOW_MS, this.#pushedAt + INTERVAL_MS - Date.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#push()
    }, waitMs)
  }

  async #push(): Promise<void> {
    const context = this.#deps.values()
    const { dataBytesMax } = this.#deps
    const text = textOf(context)
    const taken = this.#taken
    const isWhole = taken === undefined || Object.keys(taken).some((name) => !Object.hasOwn(context, name))
    if (text === this.#pushed || (text === '{}' && taken === undefined)) return
    this.#pushed = text
    this.#pushedAt = Date.now()
    if (bytesOf(context) > dataBytesMax) {
      const message = `The attributes take ${bytesOf(context)} bytes, Messenger takes ${dataBytesMax}: keep references in them.`
      return this.#deps.problem('CONTEXT_TOO_LARGE', message)
    }
    const changed = isWhole ? context : differing(context, taken)
    const customAttributes = Object.fromEntries(Object.entries(changed).map(([name, value]) => [name, `${value}`]))
    // `set` takes the place of all, `update` goes on top: what was removed is gone only by the former.
    const command = isWhole ? 'Database.set' : 'Database.update'
    try {
      await this.#deps.command(command, { messaging: { customAttributes } })
      this.#taken = context
    } catch (error) {
      // The next change, or the next page, tries again.
      this.#deps.problem('SERVICE_UNREACHABLE', (error as Error).message)
    }
    this.plan()
  }
}
