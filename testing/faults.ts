// What can go wrong in a simulated world, and how often. Drawn from the seed, about half of it switched off in any one
// run: ten mild faults at once hide the one that bites.

import type { Dice } from './dice.ts'

/** Probabilities from 0 to 1, and mean times between two events in milliseconds, where 0 means never. */
export interface Faults {
  /** The request never arrives. */
  requestLost: number
  /** The service has done it; nobody hears of it. */
  answerLost: number
  duplicate: number
  /** So slow that the caller may have given up. */
  slow: number
  /** 429 or 503, with a Retry-After. */
  busy: number
  broken: number
  /** A captive portal answers for the service: status 200, HTML. */
  portal: number
  socketRefused: number
  socketCutMeanMs: number
  /** Nothing passes any more, in either direction, and nobody is told. */
  socketHalfOpenMeanMs: number
  /** A frame is told late, twice, or not at all. */
  frameMangled: number
  offlineMeanMs: number
  restartMeanMs: number
  /** The worker is stopped at a call of a port. */
  killAtCall: number
  /** The worker is stopped some milliseconds after a call of a port. */
  killSoon: number
  killMeanMs: number
  updateMeanMs: number
  browserKillMeanMs: number
  /** With the browser, the computer: what was committed without the strict promise may be gone. */
  powerCut: number
  sleepMeanMs: number
  clockJumpMeanMs: number
  tabFrozenMeanMs: number
  tabClosedMeanMs: number
  storeAborted: number
  storeFull: number
  storeSlow: number
  /** The transaction is committed, and reported as failed. */
  storeUncertain: number
  tokensExpiredMeanMs: number
}

const MOST: Faults = {
  requestLost: 0.25,
  answerLost: 0.25,
  duplicate: 0.15,
  slow: 0.2,
  busy: 0.2,
  broken: 0.2,
  portal: 0.15,
  socketRefused: 0.5,
  socketCutMeanMs: 15_000,
  socketHalfOpenMeanMs: 40_000,
  frameMangled: 0.3,
  offlineMeanMs: 30_000,
  restartMeanMs: 40_000,
  killAtCall: 0.02,
  killSoon: 0.02,
  killMeanMs: 12_000,
  updateMeanMs: 40_000,
  browserKillMeanMs: 60_000,
  powerCut: 0.6,
  sleepMeanMs: 60_000,
  clockJumpMeanMs: 60_000,
  tabFrozenMeanMs: 40_000,
  tabClosedMeanMs: 30_000,
  storeAborted: 0.06,
  storeFull: 0.06,
  storeSlow: 0.1,
  storeUncertain: 0.06,
  tokensExpiredMeanMs: 60_000,
}

/** No fault at all: how a world heals. */
export const CALM: Readonly<Faults> = Object.fromEntries(
  Object.keys(MOST).map((name) => [name, 0]),
) as unknown as Readonly<Faults>

/** Draws which faults are on, and how strong. A mean time never falls below its figure above; a probability never rises over it. */
export function drawFaults(dice: Dice): Faults {
  const drawn = { ...CALM }
  const share = dice.between(0.2, 0.8)
  for (const name of Object.keys(MOST) as (keyof Faults)[]) {
    const strength = dice.draw()
    if (!dice.chance(share)) continue
    drawn[name] = name.endsWith('Ms') ? MOST[name] / (0.1 + 0.9 * strength) : MOST[name] * strength * strength
  }
  return drawn
}
