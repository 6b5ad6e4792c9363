// Virtual time: a heap of events, run one by one, with every promise settled in between. Owns the order of everything.
// Leaves to others: what the events are. There is no real clock here, so a day takes as long as its events.

import type { Dice } from './dice.ts'

interface Happening {
  at: number
  readonly order: number
  /** Stands still while the computer sleeps. */
  readonly isLocal: boolean
  run: (() => void) | undefined
}

/** Lines of the trace that are kept, and of those how many may follow the first finding: the cause is before it. */
const TAIL_LINES = 120
const LINES_AFTER_FINDING = 20

const isBefore = (a: Happening, b: Happening): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

export class World {
  readonly dice: Dice
  /** True time in milliseconds, with fractions; what a browser or a server believes may be off. */
  now: number
  steps = 0
  readonly tail: string[] = []
  /** Hears every line of the trace. */
  onNote: (line: string) => void = () => {}
  /** What has happened at least once, of what a test wants to have seen. */
  readonly marks = new Set<string>()
  readonly #startedAt: number
  readonly #heap: Happening[] = []
  #order = 0
  #digest = 0x811c9dc5
  #left = Number.POSITIVE_INFINITY
  #wakesAt = 0

  constructor(dice: Dice, startsAt: number) {
    this.dice = dice
    this.now = startsAt
    this.#startedAt = startsAt
  }

  /** Runs `run` once, later. Returns the way to call it off. */
  after(ms: number, run: () => void, isLocal = false): () => void {
    this.#order += 1
    const from = isLocal ? Math.max(this.now, this.#wakesAt) : this.now
    const happening: Happening = { at: from + Math.max(0, ms), order: this.#order, isLocal, run }
    this.#push(happening)
    return () => {
      happening.run = undefined
    }
  }

  get isAsleep(): boolean {
    return this.now < this.#wakesAt
  }

  /** The computer sleeps: what it waited for comes so much later. */
  sleep(ms: number): void {
    this.#wakesAt = this.now + ms
    for (const happening of this.#heap) if (happening.isLocal) happening.at += ms
    for (let index = (this.#heap.length >> 1) - 1; index >= 0; index--) this.#sink(index)
  }

  /** One line of the trace: what two runs of a seed must have in common. */
  note(line: string): void {
    const text = `${((this.now - this.#startedAt) / 1000).toFixed(4)} ${line}`
    for (let index = 0; index < text.length; index++) {
      this.#digest = Math.imul(this.#digest ^ text.charCodeAt(index), 0x01000193) >>> 0
    }
    this.onNote(text)
    if (line.startsWith('FINDING') && this.#left > LINES_AFTER_FINDING) this.#left = LINES_AFTER_FINDING
    if (this.#left-- <= 0) return
    if (this.tail.push(text) > 2 * TAIL_LINES) this.tail.splice(0, TAIL_LINES)
  }

  mark(what: string): void {
    this.marks.add(what)
    this.note(what)
  }

  get digest(): string {
    return `${this.#digest.toString(16)}.${this.steps}`
  }

  /** Lets the computer end its sleep. */
  wake(): Promise<void> {
    return this.run(Math.max(0, this.#wakesAt - this.now))
  }

  /** Runs what happens within the next `ms`. Between two events every promise that can settle has settled. */
  run(ms: number): Promise<void> {
    const until = this.now + ms
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          const happening = this.#next(until)
          if (happening === undefined) {
            this.now = until
            return resolve()
          }
          this.now = Math.max(this.now, happening.at)
          this.steps += 1
          happening.run?.()
        } catch (error) {
          return reject(error)
        }
        setImmediate(step)
      }
      setImmediate(step)
    })
  }

  #next(until: number): Happening | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.at > until) return undefined
      const last = this.#heap.pop() as Happening
      if (last !== first) {
        this.#heap[0] = last
        this.#sink(0)
      }
      if (first.run !== undefined) return first
    }
  }

  #push(happening: Happening): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(happening)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(happening, heap[parent] as Happening)) break
      heap[index] = heap[parent] as Happening
      index = parent
    }
    heap[index] = happening
  }

  #sink(from: number): void {
    const heap = this.#heap
    const happening = heap[from] as Happening
    let index = from
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Happening, heap[child] as Happening)) child += 1
      if (!isBefore(heap[child] as Happening, happening)) break
      heap[index] = heap[child] as Happening
      index = child
    }
    heap[index] = happening
  }
}
