// What a service stands on: its database, the way to other nodes, and its keys. Embedded on one node, or shared by
// several; the rest of the service does not ask which.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Driver } from './drivers/driver.ts'
import { openPostgres } from './drivers/postgres.ts'
import { openSqlite } from './drivers/sqlite.ts'
import type { Fanout } from './fanout/fanout.ts'
import { inProcessFanout } from './fanout/in-process.ts'
import { postgresFanout } from './fanout/postgres.ts'
import { redisFanout } from './fanout/redis.ts'
import { folderKeys, givenKeys, type KeyRing, type KeySource, makeKeyRing, sharedKeys } from './keys.ts'
import type { Log } from './log.ts'
import type { EpochMs } from './session.ts'
import type { Settings } from './settings.ts'
import { SqlStore } from './store.ts'

export const STORE_FILE = 'holdfast.db'

export type Backing = { store: SqlStore; keys: KeySource; run: (sql: string) => Promise<void> }

export async function openBacking(settings: Settings, ring: KeyRing | undefined, now: () => EpochMs): Promise<Backing> {
  const isInMemory = settings.data === ':memory:'
  if (settings.database === undefined && !isInMemory) await mkdir(settings.data, { recursive: true })
  const driver = await openDriver(settings)
  const store = await SqlStore.open(driver, {
    sessionMs: settings.sessionMs,
    idleMs: settings.conversationIdleMs,
    archiveMs: settings.conversationArchiveMs,
    purgeMs: settings.archiveReferenceMs,
    pushing: new Set([...settings.deployments].filter(([, one]) => one.snapshots !== undefined).map(([id]) => id)),
  }).catch(async (error: unknown) => {
    await driver.close()
    throw error
  })
  const run = (sql: string) => driver.script(sql)
  if (ring !== undefined) return { store, keys: givenKeys(ring), run }
  if (settings.database !== undefined) return { store, keys: sharedKeys(store.shared, now), run }
  return { store, keys: isInMemory ? givenKeys(await makeKeyRing()) : folderKeys(settings.data), run }
}

/** The keys alone, for tools: a folder's are read beside a running service, a database's from the database. */
export async function withKeys<T>(
  settings: Settings,
  ring: KeyRing | undefined,
  use: (keys: KeySource) => Promise<T>,
): Promise<T> {
  if (ring !== undefined) return use(givenKeys(ring))
  if (settings.database === undefined) return use(folderKeys(settings.data))
  const { store, keys } = await openBacking(settings, undefined, Date.now)
  try {
    return await use(keys)
  } finally {
    await store.close()
  }
}

export async function openFanout({ fanout, database }: Settings, log: Log): Promise<Fanout> {
  if (fanout === undefined) return database === undefined ? inProcessFanout() : postgresFanout(database, log)
  return /^postgres/.test(fanout) ? postgresFanout(fanout, log) : redisFanout(fanout, log)
}

function openDriver({ database, data, durability, databaseConnectionsMax, statementTimeoutMs }: Settings) {
  const opened: Promise<Driver> =
    database === undefined
      ? openSqlite({ path: data === ':memory:' ? data : join(data, STORE_FILE), durability })
      : openPostgres({ url: database, connectionsMax: databaseConnectionsMax, statementTimeoutMs })
  return opened
}
