// Chance for simulations: one generator with 128 bits of state per seed, so that no two seeds repeat each other.
// Everything random in a simulated world is drawn here, which is what makes a run repeatable.

/** Spreads a seed over the state: neighbouring seeds give unrelated runs. */
function splitmix32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
}

const rotl = (word: number, by: number): number => ((word << by) | (word >>> (32 - by))) >>> 0

/** @see https://prng.di.unimi.it/xoshiro128starstar.c */
export class Dice {
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number) {
    const spread = splitmix32(seed)
    this.#a = spread()
    this.#b = spread()
    this.#c = spread()
    this.#d = spread() | 1
  }

  #word(): number {
    const word = Math.imul(rotl(Math.imul(this.#b, 5), 7), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = rotl(this.#d, 11)
    return word
  }

  /** One draw from [0, 1). */
  draw = (): number => this.#word() / 2 ** 32

  chance(probability: number): boolean {
    return probability > 0 && this.draw() < probability
  }

  /** From `least` up to, but not including, `below`. */
  between(least: number, below: number): number {
    return least + this.draw() * (below - least)
  }

  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1))
  }

  /** A waiting time whose mean is `mean`: what happens independently of what happened before. */
  wait(mean: number): number {
    return -Math.log(1 - this.draw()) * mean
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.draw() * from.length)] as T
  }

  hex(digits: number): string {
    let text = ''
    while (text.length < digits) text += this.#word().toString(16).padStart(8, '0')
    return text.slice(0, digits)
  }

  /** A UUID v7 as far as anybody looks: the time in front, chance behind. */
  key(now: number): string {
    const time = Math.floor(now).toString(16).padStart(12, '0')
    return `${time.slice(0, 8)}-${time.slice(8)}-7${this.hex(3)}-8${this.hex(3)}-${this.hex(12)}`
  }
}
