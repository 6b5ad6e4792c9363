// How often a step may begin on a platform that counts: one instant for each, stored, so that a restart forgets nothing.

import type { EpochMs } from './wire.ts'

/** So many at once, and after that one in each interval. */
export interface Rate {
  readonly burst: number
  readonly everyMs: number
}

export type Step = 'connect' | 'send' | 'fetch'
export type Rates = { readonly [step in Step]?: Rate }
/** By step: when its bucket will be full again. */
export type Spent = { readonly [step in Step]?: EpochMs }

/** When the next one may begin. More than a whole bucket ahead is from before the clock was set back, and holds nobody. */
export function openAt({ burst, everyMs }: Rate, fullAt: EpochMs, now: EpochMs): EpochMs {
  return fullAt > now + burst * everyMs ? now : fullAt - (burst - 1) * everyMs
}

/** Takes one. */
export function spend({ burst, everyMs }: Rate, fullAt: EpochMs, now: EpochMs): EpochMs {
  const since = fullAt > now + burst * everyMs ? now : Math.max(now, fullAt)
  return since + everyMs
}
