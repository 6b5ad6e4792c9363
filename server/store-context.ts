// Versioned values outside of conversations' attributes: one row per scope and name. A removed value
// leaves its version behind, so that an old If-Match can never fit a value made later.
import type { Driver, Query } from './drivers/driver.ts'
import type { EpochMs } from './session.ts'
import { fenceHolds } from './store-leases.ts'

/** Values kept in one scope at most. */
export const CONTEXT_NAMES_MAX = 100

export type ContextValue = { version: number; value: unknown; updatedAt: EpochMs }
/** `ifVersion` 0 means: only if there is no value yet. */
export type ContextCondition = { ifVersion?: number | undefined; fence?: number | undefined }
export type ContextAnswer =
  | { type: 'done'; present: ContextValue; created: boolean }
  | { type: 'removed' }
  | { type: 'conflict'; present: ContextValue | null }
  | { type: 'refused'; code: 'unknown-context' | 'too-many-context-values' | 'stale-fence' }

type Stored = { version: number; value: string | null; updatedAt: EpochMs }

export class ContextStore {
  readonly #driver: Driver
  constructor(driver: Driver) {
    this.#driver = driver
  }

  async get(scope: string, name: string): Promise<ContextValue | undefined> {
    return toValue(await read(this.#driver.q, scope, name)) ?? undefined
  }

  put(scope: string, name: string, value: unknown, condition: ContextCondition, now: EpochMs): Promise<ContextAnswer> {
    return this.#driver.tx(async (q): Promise<ContextAnswer> => {
      if (!(await fenceHolds(q, scope, name, condition.fence))) return { type: 'refused', code: 'stale-fence' }
      const stored = await read(q, scope, name)
      const present = toValue(stored)
      if (!fits(condition, present)) return { type: 'conflict', present }
      if (present === null) {
        const count = await q('select count(*) as n from context where scope = $1 and value is not null', [scope])
        if (Number(count[0]?.['n']) >= CONTEXT_NAMES_MAX) return { type: 'refused', code: 'too-many-context-values' }
      }
      const written = await write(q, scope, name, JSON.stringify(value), stored, now)
      if (!written) return { type: 'conflict', present: toValue(await read(q, scope, name)) }
      return {
        type: 'done',
        present: { version: (stored?.version ?? 0) + 1, value, updatedAt: now },
        created: present === null,
      }
    })
  }

  remove(scope: string, name: string, condition: ContextCondition, now: EpochMs): Promise<ContextAnswer> {
    return this.#driver.tx(async (q): Promise<ContextAnswer> => {
      if (!(await fenceHolds(q, scope, name, condition.fence))) return { type: 'refused', code: 'stale-fence' }
      const stored = await read(q, scope, name)
      const present = toValue(stored)
      if (present === null) return { type: 'refused', code: 'unknown-context' }
      if (!fits(condition, present)) return { type: 'conflict', present }
      const written = await write(q, scope, name, null, stored, now)
      return written ? { type: 'removed' } : { type: 'conflict', present: toValue(await read(q, scope, name)) }
    })
  }
}

function fits(condition: ContextCondition, present: ContextValue | null): boolean {
  return condition.ifVersion === undefined || condition.ifVersion === (present?.version ?? 0)
}

async function read(q: Query, scope: string, name: string): Promise<Stored | null> {
  const rows = await q('select version, value, updated_at from context where scope = $1 and name = $2', [scope, name])
  const row = rows[0] as { version: number; value: string | null; updated_at: number } | undefined
  return row === undefined ? null : { version: row.version, value: row.value, updatedAt: row.updated_at }
}

function toValue(stored: Stored | null): ContextValue | null {
  if (stored === null || stored.value === null) return null
  return { version: stored.version, value: JSON.parse(stored.value) as unknown, updatedAt: stored.updatedAt }
}

/** Writes over exactly the version that was read; false where another node was faster. */
async function write(q: Query, scope: string, name: string, value: string | null, stored: Stored | null, now: EpochMs) {
  const rows = await q(
    `insert into context (scope, name, version, value, updated_at) values ($1, $2, $3, $4, $5)
     on conflict (scope, name) do update set version = excluded.version, value = excluded.value,
       updated_at = excluded.updated_at where context.version = $6
     returning version`,
    [scope, name, (stored?.version ?? 0) + 1, value, now, stored?.version ?? 0],
  )
  return rows.length > 0
}
