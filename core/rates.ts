// How often a step may begin on a platform that counts: one instant for each, stored, so that a restart forgets nothing.

import type { EpochMs } from './wire.ts'

/** So many at once, and after that one in each interval. */
export interface Rate {
  readonly burst: number
  readonly everyMs: number
  /** One that has begun may turn out to be so many more. Default: 0. */
  readonly over?: number
}

/** `call`: of one connection, whatever goes over it. */
export type Step = 'connect' | 'send' | 'fetch' | 'call'
export type Rates = { readonly [step in Step]?: Rate }
/** By step: when its bucket will be full again. */
export type Spent = { readonly [step in Step]?: EpochMs }

/** When the next one may begin. More than a whole bucket ahead is from before the clock was set back, and holds nobody. */
export function openAt(rate: Rate, fullAt: EpochMs, now: EpochMs): EpochMs {
  return isSetBack(rate, fullAt, now) ? now : fullAt - (rate.burst - 1) * rate.everyMs
}

const isSetBack = ({ burst, everyMs, over = 0 }: Rate, fullAt: EpochMs, now: EpochMs): boolean =>
  fullAt > now + (burst + over) * everyMs

/** Takes one. */
export function spend(rate: Rate, fullAt: EpochMs, now: EpochMs): EpochMs {
  const since = isSetBack(rate, fullAt, now) ? now : Math.max(now, fullAt)
  return since + rate.everyMs
}
