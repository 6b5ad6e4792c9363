// What the retention ends: conversations that were long in the archive, and sessions that lead to nothing any
// more, with all that hangs on them.
import { type ObjectStore, partNames } from './attachments.ts'
import type { Driver, Query, SqlValue } from './drivers/driver.ts'
import type { EpochMs } from './session.ts'

/** Rows of each kind that one purge removes, so that it never holds the store for long. */
const PURGE_ROWS_MAX = 200

/** Removes what ended before an instant. Returns how many conversations and sessions are gone. */
export async function purge(
  driver: Driver,
  before: EpochMs,
  objects: ObjectStore,
): Promise<{ conversations: number; sessions: number }> {
  const conversations = await driver.q(
    `select id from conversation where state = 'archived' and ended_at < $1 limit ${PURGE_ROWS_MAX}`,
    [before],
  )
  // Bytes first: once the rows are gone, nobody knows their names any more.
  for (const { id = null } of conversations) await removeBytes(driver.q, id, objects)
  return driver.tx(async (q) => {
    for (const { id = null } of conversations) await purgeConversation(q, id)
    const sessions = await q(
      `select id from session where state <> 'active' and expires_at < $1 and not exists
         (select 1 from conversation where conversation.session_id = session.id) limit ${PURGE_ROWS_MAX}`,
      [before],
    )
    for (const { id = null } of sessions) await purgeSession(q, id)
    await q(`delete from snapshot_push where state = 'dead' and created_at < $1`, [before])
    await q('delete from writer_lease where expires_at < $1', [before])
    return { conversations: conversations.length, sessions: sessions.length }
  })
}

async function removeBytes(q: Query, conversationId: SqlValue, objects: ObjectStore): Promise<void> {
  const rows = await q('select id, size from attachment where conversation_id = $1', [conversationId])
  for (const { id, size } of rows) {
    for (const name of partNames(String(id), Number(size))) await objects.remove(name)
  }
}

async function purgeConversation(q: Query, id: SqlValue): Promise<void> {
  await q('delete from attachment where conversation_id = $1', [id])
  await q('delete from message where conversation_id = $1', [id])
  await q('delete from participant where conversation_id = $1', [id])
  await q('delete from conversation_link where conversation_id = $1 or other_id = $1', [id])
  await q('delete from context where scope = $1', [`conversation:${id}`])
  const forgotten = `previous_id = null, resumed_from = null, previous_state = 'gone'`
  await q(`update conversation set ${forgotten} where previous_id = $1`, [id])
  await q('delete from conversation where id = $1', [id])
}

async function purgeSession(q: Query, id: SqlValue): Promise<void> {
  await q('delete from user_session where session_id = $1', [id])
  await q('delete from refresh_family where session_id = $1', [id])
  await q('delete from context where scope = $1', [`session:${id}`])
  await q('delete from session where id = $1', [id])
}
