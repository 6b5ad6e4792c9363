// PostgreSQL behind the door of driver.ts: a pool of connections, the same statements as SQLite, and an end to
// every wait. What the database cannot do just now becomes one error; what it asks to repeat is repeated here.
import { createHash } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import {
  type Driver,
  type Query,
  type Row,
  type SqlValue,
  StoreFullError,
  StoreLockedError,
  StoreUnavailableError,
} from './driver.ts'

export type PostgresOptions = {
  /** `postgres://user:password@host:port/database`; whatever libpq's URLs can say. */
  url: string
  /** Connections of this node at most. Default 10: more make a hot conversation no faster. */
  connectionsMax?: number | undefined
  /** One statement takes this many milliseconds at most. Default 10 s. */
  statementTimeoutMs?: number | undefined
  /** A request waits this many milliseconds at most for a connection. Default 5 s. */
  connectTimeoutMs?: number
}

const CONNECTIONS_MAX = 10
const STATEMENT_TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_MS = 5000
/** The server cancels a statement first; this much later the connection itself counts as dead. */
const DEAD_AFTER_MS = 2000
/** The part of a statement's time for which it waits for another transaction's lock. */
const LOCK_PART = 0.5
const LOCKED = '55P03'
/** How often a transaction is run again after a serialization failure, a deadlock or, in a migration, a lock. */
const TRIES_MAX = 5
const RETRY_MS = 20
const RETRIED = new Set(['40001', '40P01'])
const RETRIED_MIGRATING = new Set([...RETRIED, LOCKED])
/** A migration waits this long for a table; longer, and every request behind it would wait too. */
const MIGRATION_LOCK_MS = 5000
/** Any number, as long as all nodes ask for the same. */
const MIGRATION_LOCK_ID = 727_143_601
const INT8 = 20

/** Classes of SQLSTATE that speak of the server and not of the statement: see appendix A of its manual. */
const UNAVAILABLE_STATES = /^(08|28|3D|53|57|58|25006|25P03)/
const DISK_FULL = '53100'
const UNAVAILABLE_WORDS = /Connection terminated|timeout exceeded when trying to connect|read timeout|not queryable/

export async function openPostgres(options: PostgresOptions): Promise<Driver> {
  // Loaded here, because an embedded store starts faster without it.
  const { Pool, types } = await import('pg')
  type Parser = (value: string) => unknown
  const parserOf = (oid: number, format?: 'text'): Parser =>
    oid === INT8 ? Number : (types.getTypeParser(oid, format) as Parser)
  const statementMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const pool = new Pool({
    connectionString: options.url,
    max: options.connectionsMax ?? CONNECTIONS_MAX,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    statement_timeout: statementMs,
    lock_timeout: Math.ceil(statementMs * LOCK_PART),
    idle_in_transaction_session_timeout: statementMs,
    application_name: 'holdfast',
    keepAlive: true,
    // Lets `begin` and the first statement share a round trip.
    pipeline: true,
    // Counters and instants stay below 2^53; the default would make strings of them.
    types: { getTypeParser: parserOf as typeof types.getTypeParser },
  })
  // Without listeners a connection that breaks would end the process; the statement under way reports it.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const driver = new PostgresDriver(pool, statementMs + DEAD_AFTER_MS)
  try {
    await driver.greet()
    return driver
  } catch (error) {
    await pool.end()
    throw error
  }
}

class PostgresDriver implements Driver {
  version = 'PostgreSQL'
  readonly #pool: Pool
  readonly #deadlineMs: number
  readonly #names = new Map<string, string>()

  constructor(pool: Pool, deadlineMs: number) {
    this.#pool = pool
    this.#deadlineMs = deadlineMs
  }

  async greet(): Promise<void> {
    const rows = await this.q(`select current_setting('server_version') as version`)
    this.version = `PostgreSQL ${rows[0]?.['version']}`
  }

  readonly q: Query = async (sql, params) => {
    try {
      return (await this.#pool.query(this.#prepared(sql, params))).rows
    } catch (error) {
      throw translated(error)
    }
  }

  async tx<T>(fn: (q: Query) => Promise<T>): Promise<T> {
    return this.#repeatedly((client) => {
      let last: Promise<unknown> = Promise.resolve()
      // One after the other: two that are on their way together would both be prepared under one name.
      const query: Query = (sql, params) => {
        const next = last.then(async () => (await client.query(this.#prepared(sql, params))).rows as Row[])
        last = next.catch(() => {})
        return next
      }
      return fn(query)
    })
  }

  async migration<T>(fn: (q: Query) => Promise<T>): Promise<T> {
    return this.#repeatedly(async (client) => {
      await client.query('set local statement_timeout = 0')
      await client.query('set local lock_timeout = 0')
      await client.query('set local idle_in_transaction_session_timeout = 0')
      await client.query(`select pg_advisory_xact_lock(${MIGRATION_LOCK_ID})`)
      await client.query(`set local lock_timeout = ${MIGRATION_LOCK_MS}`)
      return fn(async (sql, params = []) => (await client.query({ text: sql, values: [...params] })).rows as Row[])
    }, RETRIED_MIGRATING)
  }

  async script(sql: string): Promise<void> {
    await this.#repeatedly((client) => client.query(sql))
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  /** One transaction on one connection, again where the server says that another try can help. */
  async #repeatedly<T>(work: (client: PoolClient) => Promise<T>, retried = RETRIED): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(work)
      } catch (error) {
        if (!retried.has(stateOf(error))) throw translated(error)
        if (attempt === TRIES_MAX) throw new StoreUnavailableError(stateOf(error), error)
        // Transactions that collided once must not do so in step.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * RETRY_MS * attempt))
      }
    }
  }

  async #once<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    let isBroken = false
    try {
      const begun = client.query({ text: 'begin', query_timeout: this.#deadlineMs } as { text: string })
      begun.catch(() => {})
      const value = await work(client)
      await begun
      const { command } = await client.query({ text: 'commit', query_timeout: this.#deadlineMs } as { text: string })
      // A transaction with a failed statement answers `commit` with a quiet rollback.
      if (command !== 'COMMIT') throw new Error('A transaction went on after one of its statements had failed.')
      return value
    } catch (error) {
      isBroken = isUnavailable(error) || !(await rolledBack(client))
      throw error
    } finally {
      client.release(isBroken)
    }
  }

  /** A statement is parsed once per connection, under a name that stands for its text. */
  #prepared(text: string, params: readonly SqlValue[] = []) {
    let name = this.#names.get(text)
    if (name === undefined) {
      name = createHash('sha1').update(text).digest('base64url')
      this.#names.set(text, name)
    }
    return { name, text, values: [...params], query_timeout: this.#deadlineMs }
  }
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('rollback')
    return true
  } catch {
    // The connection is gone, and the server rolls back what it held by itself.
    return false
  }
}

function stateOf(error: unknown): string {
  const { code } = Object(error) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Node's own codes, like ECONNREFUSED, have letters where a SQLSTATE has digits.
  return UNAVAILABLE_STATES.test(stateOf(error)) || 'syscall' in error || UNAVAILABLE_WORDS.test(error.message)
}

function translated(error: unknown): unknown {
  if (stateOf(error) === DISK_FULL) return new StoreFullError(error)
  if (stateOf(error) === LOCKED) return new StoreLockedError(error)
  return isUnavailable(error) || RETRIED.has(stateOf(error)) ? new StoreUnavailableError(stateOf(error), error) : error
}
