// Writers' leases in the tables, and the check of a fence inside the transaction of a write.
import type { Driver, Query, Row } from './drivers/driver.ts'
import { answerOf, Undo } from './rows.ts'
import type { EpochMs } from './session.ts'
import { grantLease, isFenceGood, type LeaseVerdict, type WriterLease } from './session-lease.ts'

export type LeaseRequest = { scope: string; name: string; holder: string; ttlMs: number }

export class LeaseStore {
  readonly #driver: Driver

  constructor(driver: Driver) {
    this.#driver = driver
  }

  async take(request: LeaseRequest, now: EpochMs): Promise<LeaseVerdict> {
    for (;;) {
      const verdict = await this.#driver.tx((q) => tryTake(q, request, now)).catch(answerOf<LeaseVerdict | 'again'>)
      if (verdict !== 'again') return verdict
    }
  }
}

async function tryTake(q: Query, request: LeaseRequest, now: EpochMs): Promise<LeaseVerdict> {
  const { scope, name } = request
  const present = await locked(q, scope, name)
  const verdict = grantLease(present, request, now)
  if (verdict.type === 'held') return verdict
  const { holder, fence, expiresAt } = verdict.lease
  const rows = await q(
    `insert into writer_lease (scope, name, holder, fence, expires_at) values ($1, $2, $3, $4, $5)
     on conflict (scope, name) do update set holder = excluded.holder, fence = excluded.fence,
       expires_at = excluded.expires_at where writer_lease.fence = $6 returning fence`,
    [scope, name, holder, fence, expiresAt, present?.fence ?? -1],
  )
  // Another node made the first lease of this name between our look and our write.
  if (rows.length === 0) throw new Undo('again')
  return verdict
}

/** In the transaction of a write: the lease's row stays locked until that is committed. */
export async function fenceHolds(q: Query, scope: string, name: string, fence: number | undefined): Promise<boolean> {
  return fence === undefined || isFenceGood(await locked(q, scope, name), fence)
}

async function locked(q: Query, scope: string, name: string): Promise<WriterLease | null> {
  const rows = await q(
    `update writer_lease set fence = fence where scope = $1 and name = $2 returning holder, fence, expires_at`,
    [scope, name],
  )
  return rows[0] === undefined ? null : toLease(rows[0])
}

function toLease(row: Row): WriterLease {
  return {
    holder: row['holder'] as string,
    fence: row['fence'] as number,
    expiresAt: row['expires_at'] as EpochMs,
  }
}
