// Attachments in the tables: reserved under a key, then filled from the front, then confirmed. A row says how much of it
// has arrived; the bytes are in the object store, and are written before the row says so.
import { type ObjectStore, partNames } from './attachments.ts'
import type { Driver, Query } from './drivers/driver.ts'
import type { EpochMs } from './session.ts'

export type Attachment = {
  id: string
  conversationId: string
  name: string
  type: string
  size: number
  received: number
  isConfirmed: boolean
}
/** What a session may have in all its conversations. */
export type Quota = { sessionCountMax: number; sessionBytesMax: number }
export type NewAttachment = Pick<Attachment, 'id' | 'conversationId' | 'name' | 'type' | 'size'> & { key: string }

const COLUMNS = 'id, conversation_id, name, type, size, received, confirmed_at'

/** A page tries for a day by itself, and what it begins then takes its time: what is still not whole comes no more. */
export const UNFINISHED_MS = 25 * 60 * 60_000
/** That one sweep forgets, so that it never holds the store for long. */
const SWEEP_ROWS_MAX = 200

export class AttachmentStore {
  readonly #driver: Driver
  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** The same key in the same conversation is the same attachment. Nothing where a new one is beyond the quota. */
  reserve(wanted: NewAttachment, now: EpochMs, quota?: Quota): Promise<Attachment | undefined> {
    const { id, conversationId, name, type, size, key } = wanted
    return this.#driver.tx(async (q) => {
      // Locks the only open conversation of the session: two at once are counted one after the other.
      await q('update conversation set last_seq = last_seq where id = $1', [conversationId])
      // Announced again, it has as much time again.
      const known = await q(
        `update attachment set created_at = $3 where conversation_id = $1 and idem_key = $2 returning ${COLUMNS}`,
        [conversationId, key, now],
      )
      if (known[0] !== undefined) return toAttachment(known[0])
      if (quota !== undefined && !(await hasRoom(q, wanted, quota))) return undefined
      const made = await q(
        `insert into attachment (id, conversation_id, idem_key, name, type, size, received, created_at)
         values ($1, $2, $3, $4, $5, $6, 0, $7) returning ${COLUMNS}`,
        [id, conversationId, key, name, type, size, now],
      )
      return toAttachment(made[0] as Record<string, unknown>)
    })
  }

  async get(conversationId: string, id: string): Promise<Attachment | undefined> {
    const rows = await this.#driver.q(
      `select ${COLUMNS} from attachment where id = $1 and conversation_id = $2 and received >= 0`,
      [id, conversationId],
    )
    return rows[0] && toAttachment(rows[0])
  }

  /** A part has been written. Where somebody was faster, or it was written before, this changes nothing. */
  async received(id: string, from: number, to: number): Promise<void> {
    await this.#driver.q('update attachment set received = $3 where id = $1 and received = $2', [id, from, to])
  }

  async confirm(id: string, now: EpochMs): Promise<void> {
    await this.#driver.q(
      'update attachment set confirmed_at = $2 where id = $1 and received = size and confirmed_at is null',
      [id, now],
    )
  }

  /** A message has them from now on. */
  async use(ids: readonly string[], key: string): Promise<void> {
    for (const id of ids) await this.#driver.q('update attachment set message_key = $2 where id = $1', [id, key])
  }

  /** What no message has. Says whether it was there. */
  async discard(conversationId: string, id: string): Promise<boolean> {
    const rows = await this.#driver.q(
      `delete from attachment where id = $1 and conversation_id = $2 and message_key is null returning id`,
      [id, conversationId],
    )
    return rows.length > 0
  }

  /** Forgets what was announced long ago and never came whole. Killed half-way, it is finished by the next sweep. */
  async sweep(now: EpochMs, objects: ObjectStore): Promise<void> {
    const { q } = this.#driver
    // Out of reach before its bytes go, and no longer under its key: no part that comes now is counted.
    await q(
      `update attachment set received = -1, idem_key = id where id in
         (select id from attachment where confirmed_at is null and created_at < $1 limit ${SWEEP_ROWS_MAX})
         and confirmed_at is null and received >= 0`,
      [now - UNFINISHED_MS],
    )
    const rows = await q(
      `select id, size from attachment where confirmed_at is null and received < 0 limit ${SWEEP_ROWS_MAX}`,
      [],
    )
    for (const { id = null, size } of rows) {
      for (const name of partNames(String(id), Number(size))) await objects.remove(name)
      await q('delete from attachment where id = $1', [id])
    }
  }
}

/** What was only announced counts in full: it may come at any time. */
async function hasRoom(q: Query, { conversationId, size }: NewAttachment, quota: Quota): Promise<boolean> {
  const rows = await q(
    `select count(*) as files, coalesce(sum(size), 0) as bytes from attachment where received >= 0 and conversation_id in
       (select id from conversation where session_id = (select session_id from conversation where id = $1))`,
    [conversationId],
  )
  const { files, bytes } = rows[0] as Record<string, unknown>
  return Number(files) < quota.sessionCountMax && Number(bytes) + size <= quota.sessionBytesMax
}

function toAttachment(row: Record<string, unknown>): Attachment {
  return {
    id: row['id'] as string,
    conversationId: row['conversation_id'] as string,
    name: row['name'] as string,
    type: row['type'] as string,
    size: Number(row['size']),
    received: Number(row['received']),
    isConfirmed: row['confirmed_at'] !== null && row['confirmed_at'] !== undefined,
  }
}
