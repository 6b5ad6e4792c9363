// What nodes that share one database tell each other through it: how far conversations are, which families have
// ended, and the key ring. Nothing here is asked on the way of a request.
import type { Driver, Row } from './drivers/driver.ts'
import type { FamilyNotice, Hint } from './fanout/fanout.ts'
import type { EpochMs } from './session.ts'

/** Ids in one statement; shorter lists are filled up, so that there is one statement to prepare. */
const CHUNK = 200
/** Conversations of one deployment that are looked at after a gap, newest last. */
const CHANGED_MAX = 10_000
const POSITION_COLUMNS =
  'id, deployment_id, last_seq, version, agent_delivered + agent_read + customer_delivered + customer_read as marks'

export class SharedStore {
  readonly #driver: Driver
  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** How far these conversations are, and those of whole deployments that changed since an instant. */
  async positions(ids: readonly string[], deploymentIds: readonly string[], since: EpochMs): Promise<Hint[]> {
    const rows = await this.#byIds(
      (slots) => `select ${POSITION_COLUMNS} from conversation where id in (${slots})`,
      ids,
    )
    for (const deploymentId of deploymentIds) {
      const changed = await this.#driver.q(
        `select ${POSITION_COLUMNS} from conversation where deployment_id = $1 and updated_at >= $2
         order by updated_at limit ${CHANGED_MAX}`,
        [deploymentId, since],
      )
      rows.push(...changed)
    }
    return rows.map(toHint)
  }

  /** Of these families, those that have ended, and those that speak for another session than the one given. */
  async changedFamilies(families: readonly { familyId: string; sessionId: string }[]): Promise<FamilyNotice[]> {
    const rows = await this.#byIds(
      (slots) => `select id, session_id, revoked_at from refresh_family where id in (${slots})`,
      families.map(({ familyId }) => familyId),
    )
    const present = new Map(rows.map((row) => [row['id'], row]))
    return families.flatMap(({ familyId, sessionId }): FamilyNotice[] => {
      const row = present.get(familyId)
      if (row === undefined || row['revoked_at'] !== null) return [{ familyId, change: 'ended' }]
      return row['session_id'] === sessionId ? [] : [{ familyId, change: 'moved' }]
    })
  }

  /** The ring as it was stored, undefined before the first start. */
  async ring(): Promise<string | undefined> {
    const rows = await this.#driver.q('select ring from key_ring where id = 1')
    return rows[0]?.['ring'] as string | undefined
  }

  /** Stores a ring in the place of exactly the one that was read; false where another was faster. */
  async putRing(former: string | undefined, ring: string, now: EpochMs): Promise<boolean> {
    const rows = await this.#driver.tx((q) =>
      former === undefined
        ? q('insert into key_ring (id, ring, updated_at) values (1, $1, $2) on conflict (id) do nothing returning id', [
            ring,
            now,
          ])
        : q('update key_ring set ring = $1, updated_at = $2 where id = 1 and ring = $3 returning id', [
            ring,
            now,
            former,
          ]),
    )
    return rows.length > 0
  }

  async #byIds(sqlOf: (slots: string) => string, ids: readonly string[]): Promise<Row[]> {
    const sql = sqlOf(Array.from({ length: CHUNK }, (_, index) => `$${index + 1}`).join(', '))
    const rows: Row[] = []
    for (let start = 0; start < ids.length; start += CHUNK) {
      const chunk = ids.slice(start, start + CHUNK)
      const filled = Array.from({ length: CHUNK }, (_, index) => chunk[index] ?? null)
      rows.push(...(await this.#driver.q(sql, filled)))
    }
    return rows
  }
}

function toHint(row: Row): Hint {
  return {
    conversationId: row['id'] as string,
    deploymentId: row['deployment_id'] as string,
    seq: row['last_seq'] as number,
    version: row['version'] as number,
    marks: Number(row['marks']),
  }
}
