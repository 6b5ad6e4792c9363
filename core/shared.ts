// On a device that strangers share: when the visitor counts as gone, so that nothing of them survives the last tab or an
// idle time. What is due comes from the disk. How somebody is wiped is the business of commands.ts and of the engine.

import type { Env } from './attempt.ts'
import type { Draft } from './draft.ts'
import type { Input } from './inputs.ts'
import type { Slots } from './state.ts'
import type { EpochMs } from './wire.ts'

export interface SharedDevice {
  /** So long after the last tab has gone another may come and go on: a reload. */
  readonly graceMs: number
  /** So long after the last act of the visitor they count as gone, tabs or not. */
  readonly idleMs: number
}

export const SHARED_GRACE_MS = 5_000
export const SHARED_IDLE_MS = 15 * 60_000

/** When the visitor last did something, and since when no tab is there; 0 while one is. */
export interface Presence {
  readonly usedAt: EpochMs
  readonly leftAt: EpochMs
}

/** Acts are not written down more often. */
const USED_STEP_MS = 1_000
/** A wipe that failed is tried again so much later. */
const RETRY_MS = 1_000

/** What the turn has heard of the visitor. */
export interface Signs {
  readonly isUsed: boolean
  /** A worker begins, and no tab of before is there: the browser was killed, or closed. */
  readonly isAbandoned: boolean
}

export type SharedPlan = { readonly shared?: Presence; readonly wakeAt?: EpochMs; readonly isGone?: true }

/** What is overdue is so whoever has come since: they are another visitor. */
export function planShared({ session, shared }: Slots, device: SharedDevice, signs: Signs, { now }: Env): SharedPlan {
  if (session.isSignedOut) return {}
  const isHere = session.tabs > 0
  const isNobody = shared === undefined && session.id === null
  if (isNobody && !isHere) return {}
  // A clock that was set back says nothing about how long it was quiet.
  const usedAt = Math.min(shared?.usedAt ?? now, now)
  const leftAt = Math.min(shared?.leftAt ?? (isHere ? 0 : now), now)
  const isLeft = leftAt > 0 && now >= leftAt + device.graceMs
  if (isLeft || now >= usedAt + device.idleMs || (signs.isAbandoned && leftAt === 0 && !isNobody))
    return { shared: { usedAt, leftAt: 1 }, wakeAt: now + RETRY_MS, isGone: true }
  const next: Presence = {
    usedAt: signs.isUsed && now >= usedAt + USED_STEP_MS ? now : usedAt,
    leftAt: isHere ? 0 : leftAt || now,
  }
  const isSame = shared !== undefined && shared.usedAt === next.usedAt && shared.leftAt === next.leftAt
  const wakeAt = Math.min(next.usedAt + device.idleMs, next.leftAt > 0 ? next.leftAt + device.graceMs : Infinity)
  return { shared: isSame ? shared : next, wakeAt }
}

export function planPresence({ slots, env }: Draft, inputs: readonly Input[], device: SharedDevice): SharedPlan {
  const isUsed = inputs.some(({ type }) => type === 'used')
  const isAbandoned = inputs.some((input) => input.type === 'started' && input.isAbandoned === true)
  const planned = planShared(slots, device, { isUsed, isAbandoned }, env)
  if (planned.shared !== undefined) slots.shared = planned.shared
  return planned
}
