// The stores under their contract: the embedded one, a real PostgreSQL, and the grammar of a newer one.
import { afterAll, beforeAll, vi } from 'vitest'
import { openPostgres } from '../../server/drivers/postgres.ts'
import { openSqlite } from '../../server/drivers/sqlite.ts'
import { pgliteDrivers } from '../servers/pglite.ts'
import { type PostgresServer, startPostgres } from '../servers/postgres.ts'
import { sqlStoreContract } from './sql-store.ts'
import { sqlStoreMoreContract } from './sql-store-more.ts'

// Starting an engine takes seconds, and the machine may be busy with others.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 60_000 })

let postgres: PostgresServer
let pglite: Awaited<ReturnType<typeof pgliteDrivers>>
beforeAll(async () => {
  ;[postgres, pglite] = await Promise.all([startPostgres(), pgliteDrivers()])
})
afterAll(() => Promise.all([postgres?.close(), pglite?.close()]))

for (const contract of [sqlStoreContract, sqlStoreMoreContract]) {
  contract('sqlite', () => openSqlite({ path: ':memory:', durability: 'fast' }))
  contract('postgres', async () => openPostgres({ url: await postgres.database() }))
  contract('pglite', () => pglite.open())
}
