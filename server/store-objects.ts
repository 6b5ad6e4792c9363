// The bytes of attachments in the tables, for nodes that share nothing but a database: any of them serves any file,
// and a backup of the database has them. As text, which every database takes in the same way.
import type { ObjectStore } from './attachments.ts'
import type { Driver } from './drivers/driver.ts'

export function sqlObjects(driver: Driver): ObjectStore {
  return {
    async put(name, bytes) {
      await driver.q(
        'insert into attachment_part (name, body) values ($1, $2) on conflict (name) do update set body = excluded.body',
        [name, Buffer.from(bytes).toString('base64')],
      )
    },
    async get(name) {
      const rows = await driver.q('select body from attachment_part where name = $1', [name])
      return rows[0] && Buffer.from(String(rows[0]['body']), 'base64')
    },
    async remove(name) {
      await driver.q('delete from attachment_part where name = $1', [name])
    },
  }
}
