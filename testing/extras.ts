// What a simulated world may have beside its faults: files, a disk that is short of room. Drawn by a die of its own, so
// that a run without them is the run that its seed has always been.

import { Dice } from './dice.ts'

/** Probabilities, and mean times between two events in milliseconds, where 0 means never. */
export interface Extras {
  /** The share of messages that bring files along. */
  readonly files: number
  /** The oldest rows of the transcript make way. */
  readonly evictMeanMs: number
  /** The worker is frozen: it does nothing, holds what it holds, and wakes late. */
  readonly workerFrozenMeanMs: number
  /** Tokens rest in the memory of each worker only. */
  readonly isMemory: boolean
  /** The visitor signs in now and then, as one user and as another. */
  readonly signIns: boolean
  /** There is no service worker: each tab runs the engine. */
  readonly isPageHost: boolean
  /** The service says what was delivered and read, and an agent reads before each answer. */
  readonly marks: boolean
}

/** Chosen so that every seed that had failed before there were extras runs without them. */
const SALT = 0x819
const HOLDER_SALT = 0x128c
const FROZEN_MEAN_MS_MIN = 15_000
const FILES_MAX = 0.4
const EVICT_MEAN_MS_MIN = 8_000

/** By a die of its own again, for the same reason. */
const SIGN_IN_SALT = 0x8b
const MARKS_SALT = 0x104c

/** By one more die. */
const PAGE_SALT = 0x39

export const PLAIN: Extras = {
  files: 0,
  evictMeanMs: 0,
  workerFrozenMeanMs: 0,
  isMemory: false,
  signIns: false,
  isPageHost: false,
  marks: false,
}

export function drawExtras(seed: number): Extras {
  const dice = new Dice(seed ^ SALT)
  const [files, evict] = [dice.draw(), dice.draw()]
  const holder = new Dice(seed ^ HOLDER_SALT)
  const frozen = holder.draw()
  const isPageHost = new Dice(seed ^ PAGE_SALT).chance(0.15)
  return {
    files: dice.chance(0.4) ? FILES_MAX * files : 0,
    evictMeanMs: dice.chance(0.4) ? EVICT_MEAN_MS_MIN / (0.1 + 0.9 * evict) : 0,
    isPageHost,
    workerFrozenMeanMs: holder.chance(0.4) ? FROZEN_MEAN_MS_MIN / (0.1 + 0.9 * frozen) : 0,
    isMemory: holder.chance(0.2) && !isPageHost,
    signIns: new Dice(seed ^ SIGN_IN_SALT).chance(0.25),
    marks: new Dice(seed ^ MARKS_SALT).chance(0.25),
  }
}
