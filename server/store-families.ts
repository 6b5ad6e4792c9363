// The rows of token families, as the files that change them share: locking, saving, and the life of the session
// that slides with every grant.
import type { Query } from './drivers/driver.ts'
import { FAMILY_COLUMNS, SESSION_COLUMNS, type Session, toFamily, toSession } from './rows.ts'
import { advanceSession, type EpochMs, type Family } from './session.ts'

/** Reads a family under its row lock: an update that changes nothing is the portable way to take one. */
export async function lockFamily(q: Query, id: string): Promise<Family | null> {
  const rows = await q(`update refresh_family set replays = replays where id = $1 returning ${FAMILY_COLUMNS}`, [id])
  return rows[0] ? toFamily(rows[0]) : null
}

export async function saveFamily(q: Query, family: Family): Promise<void> {
  await q(
    `update refresh_family set generation = $2, key_hash = $3, confirmed_at = $4, replays = $5, replays_since = $6,
       expires_at = $7, revoked_at = $8, revoke_reason = $9 where id = $1`,
    [
      family.id,
      family.generation,
      family.keyHash,
      family.confirmedAt,
      family.replays,
      family.replaysSince,
      family.expiresAt,
      family.revokedAt,
      family.revokeReason,
    ],
  )
}

/** Slides the life of a family's session. Null: it has ended, and no grant brings it back. */
export async function seen(q: Query, family: Family, now: EpochMs, lifetimeMs: number): Promise<Session | null> {
  const rows = await q(`select ${SESSION_COLUMNS} from session where id = $1`, [family.sessionId])
  const session = rows[0] && toSession(rows[0])
  const state = session && advanceSession(session.state, 'seen')
  if (!session || !state) return null
  const expiresAt = now + lifetimeMs
  await q('update session set state = $2, seen_at = $3, expires_at = $4 where id = $1', [
    session.id,
    state,
    now,
    expiresAt,
  ])
  await markUsed(q, family.id, now)
  return { ...session, state, expiresAt }
}

export async function markUsed(q: Query, familyId: string, now: EpochMs): Promise<void> {
  await q('update refresh_family set used_at = $2 where id = $1', [familyId, now])
}
