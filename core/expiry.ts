// The end of a session's life: when it is near, whether the platform has been asked about it, and the visitor told.

import type { EpochMs } from './wire.ts'

export interface Expiry {
  /** From here on the end is near; 0 while nothing is known of it. */
  readonly warnAt: EpochMs
  /** The visitor has been told so. */
  readonly isWarned: boolean
  /** When the platform last said what the session is. */
  readonly checkedAt: EpochMs
}

export const NO_EXPIRY: Expiry = { warnAt: 0, isWarned: false, checkedAt: 0 }

/** The visitor is warned so long before the session ends, or a quarter of its life when that is shorter. */
export const EXPIRY_WARNING_MS = 10 * 60_000

/** The platform has said when the session ends. */
export function expiryOf(before: Expiry, isSame: boolean | undefined, expiresAt: EpochMs, now: EpochMs): Expiry {
  if (isSame) return { ...before, checkedAt: now }
  const marginMs = Math.min(EXPIRY_WARNING_MS, (expiresAt - now) / 4)
  return { warnAt: expiresAt - marginMs, isWarned: false, checkedAt: now }
}

/** Its end is near as far as we know: the platform may know better. */
export const isDoubtful = ({ warnAt, checkedAt }: Expiry, now: EpochMs): boolean =>
  warnAt > 0 && now >= warnAt && checkedAt < warnAt
