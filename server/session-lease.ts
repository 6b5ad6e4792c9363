// Who writes: a named lease per scope, with a fence that grows whenever it changes hands. Pure, like session.ts.
import type { EpochMs } from './session.ts'

export type WriterLease = { holder: string; fence: number; expiresAt: EpochMs }

/** `held`: by another, until it expires. A lease asked for with no time left is given up. */
export type LeaseVerdict = { type: 'granted'; lease: WriterLease } | { type: 'held'; lease: WriterLease }

export function grantLease(
  present: WriterLease | null,
  request: { holder: string; ttlMs: number },
  now: EpochMs,
): LeaseVerdict {
  const { holder, ttlMs } = request
  const expiresAt = now + ttlMs
  if (present === null) return { type: 'granted', lease: { holder, fence: 1, expiresAt } }
  const isFree = present.expiresAt <= now
  if (!isFree && present.holder !== holder) return { type: 'held', lease: present }
  // Who was away for longer than the lease gets a new fence: what they meant to write may be old.
  const fence = isFree ? present.fence + 1 : present.fence
  return { type: 'granted', lease: { holder, fence, expiresAt } }
}

/** Whether a write that names a fence may go on. One without a fence relies on versions alone. */
export function isFenceGood(present: Pick<WriterLease, 'fence'> | null, named: number | undefined): boolean {
  return named === undefined || named === present?.fence
}
