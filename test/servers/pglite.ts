// PostgreSQL's grammar without a server: PGlite behind the same door as the real ones. One session, so it says
// nothing about races; it answers in the dialect and the error codes of a newer release.
import { PGlite, type Transaction } from '@electric-sql/pglite'
import type { Driver, Query, Row } from '../../server/drivers/driver.ts'

/** One engine for all databases of a suite: it takes seconds to start. Each driver begins with no tables. */
export async function pgliteDrivers(): Promise<{ open: () => Promise<Driver>; close: () => Promise<void> }> {
  const engine = await PGlite.create()
  return {
    open: async () => {
      await engine.exec('drop schema public cascade; create schema public')
      return driverOf(engine)
    },
    close: () => engine.close(),
  }
}

function driverOf(engine: PGlite): Driver {
  const queryOf =
    (on: PGlite | Transaction): Query =>
    async (sql, params = []) =>
      (await on.query<Row>(sql, [...params])).rows
  const tx = <T>(fn: (q: Query) => Promise<T>) => engine.transaction((transaction) => fn(queryOf(transaction)))
  return {
    q: queryOf(engine),
    tx,
    migration: tx,
    script: async (sql) => void (await engine.exec(sql)),
    version: 'PGlite',
    close: async () => {},
  }
}
