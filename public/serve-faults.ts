// The fault switches as they stand. Pure state: what a switch does to connections is done by the gate.

export const FAULTS = ['kill-worker', 'offline', 'cut-answer', 'expire-token', 'half-open', 'restart'] as const
export type Fault = (typeof FAULTS)[number]
export type FaultCall = { readonly fault: Fault; readonly on: boolean }

export interface FaultState {
  readonly offline: boolean
  /** Answers to messages that are still to be lost. */
  readonly cutAnswers: number
  /** Part of the worker's file: another number is another worker. */
  readonly build: number
}

export class Faults {
  #state: FaultState = { offline: false, cutAnswers: 0, build: 1 }

  get state(): FaultState {
    return this.#state
  }

  get offline(): boolean {
    return this.#state.offline
  }

  get build(): number {
    return this.#state.build
  }

  set({ fault, on }: FaultCall): void {
    const state = this.#state
    if (fault === 'offline') this.#state = { ...state, offline: on }
    if (fault === 'cut-answer') this.#state = { ...state, cutAnswers: on ? 1 : 0 }
    if (fault === 'kill-worker') this.#state = { ...state, build: state.build + 1 }
  }

  /** Whether the answer at hand is to be lost; if so, one less remains. */
  takeCut(): boolean {
    if (this.#state.cutAnswers === 0) return false
    this.#state = { ...this.#state, cutAnswers: this.#state.cutAnswers - 1 }
    return true
  }
}
