// The embedded store: one SQLite file, one connection, held exclusively. Uses node:sqlite where Node has
// it and libsql where it has not. Transactions that arrive together share one commit, and so one fsync.
import { type Driver, type Query, type Row, type SqlValue, StoreBusyError, StoreFullError } from './driver.ts'

/** SQLite's result code where the disk, or the room the file was given, is used up. */
const SQLITE_FULL = 13
/** Transactions in one commit at most: bounds how long the first of them waits. */
const BATCH_MAX = 256

type Statement = { all(params: readonly SqlValue[]): Row[] }
type Database = { exec(sql: string): void; prepare(sql: string): Statement; close(): void }

export type SqliteOptions = {
  /** A file name, or ':memory:'. */
  path: string
  /** `full`: every commit reaches the disk before it is acknowledged. `fast`: survives a crash, not a power cut. */
  durability: 'full' | 'fast'
}

export async function openSqlite(options: SqliteOptions): Promise<Driver> {
  const database = await openDatabase(options.path)
  try {
    // Exclusive before WAL: a second connection to one WAL file can lose commits in SQLite up to 3.51.2,
    // so the file itself keeps every other process out.
    database.exec('pragma locking_mode=exclusive')
    database.exec('pragma journal_mode=wal')
    database.exec(`pragma synchronous=${options.durability === 'full' ? 'full' : 'normal'}`)
    database.exec('pragma foreign_keys=on')
    database.exec('begin immediate; commit')
    return new SqliteDriver(database)
  } catch (error) {
    database.close()
    if (/locked|busy/i.test(String(error))) throw new StoreBusyError(`${options.path} is open in another process.`)
    throw error
  }
}

async function openDatabase(path: string): Promise<Database> {
  const builtin = process.getBuiltinModule?.('node:sqlite') as typeof import('node:sqlite') | undefined
  if (builtin !== undefined) {
    const database = new builtin.DatabaseSync(path)
    return {
      exec: (sql) => database.exec(sql),
      close: () => database.close(),
      prepare: (sql) => {
        const statement = database.prepare(sql)
        return { all: (params) => statement.all(...params) as Row[] }
      },
    }
  }
  const { default: Libsql } = await import('libsql').catch((cause: unknown) => {
    throw new Error('There is no SQLite here: use Node 22.13 or later, or install the package libsql.', { cause })
  })
  const database = new Libsql(path)
  return {
    exec: (sql) => void database.exec(sql),
    close: () => void database.close(),
    prepare: (sql) => {
      const statement = database.prepare<[readonly SqlValue[]]>(sql)
      return { all: (params) => statement.all(params) as Row[] }
    },
  }
}

type Job = {
  fn: (q: Query) => Promise<unknown>
  resolve: (value: unknown) => void
  reject: (reason: unknown) => void
}
type Prepared = { statement: Statement; order: readonly number[] }

class SqliteDriver implements Driver {
  readonly version: string
  readonly #database: Database
  readonly #prepared = new Map<string, Prepared>()
  #queue: Job[] = []
  #scheduled = false
  /** The batch that is running; reads outside wait for it, or they would see what may yet be rolled back. */
  #active: Promise<void> | undefined

  constructor(database: Database) {
    this.#database = database
    this.version = `SQLite ${this.#run('select sqlite_version() as version')[0]?.['version']}`
  }

  readonly q: Query = async (sql, params) => {
    while (this.#active !== undefined) await this.#active
    return this.#run(sql, params)
  }

  tx<T>(fn: (q: Query) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ fn, resolve: resolve as (value: unknown) => void, reject })
      this.#schedule()
    })
  }

  /** One process holds the file, so there is nobody else to keep out. */
  migration<T>(fn: (q: Query) => Promise<T>): Promise<T> {
    return this.tx(fn)
  }

  async script(sql: string): Promise<void> {
    this.#database.exec(sql)
  }

  /** Holds everything else up while it runs. What it reads is one committed state. */
  async backup(file: string): Promise<void> {
    while (this.#active !== undefined) await this.#active
    this.#run('vacuum into $1', [file])
  }

  async close(): Promise<void> {
    while (this.#scheduled) await new Promise<void>((resolve) => setImmediate(resolve))
    try {
      // libsql keeps a closed file open until its statements are collected. Without WAL and the exclusive mode
      // such a leftover holds no lock, and the same process can open the file again at once.
      for (const step of ['journal_mode=delete', 'locking_mode=normal', 'schema_version']) this.#run(`pragma ${step}`)
    } finally {
      this.#prepared.clear()
      this.#database.close()
    }
  }

  /** The batch starts after this round of the event loop, so that all requests read in it can join. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      const jobs = this.#queue.splice(0, BATCH_MAX)
      this.#active = this.#batch(jobs).finally(() => {
        this.#active = undefined
        this.#scheduled = false
        if (this.#queue.length > 0) this.#schedule()
      })
    })
  }

  async #batch(jobs: readonly Job[]): Promise<void> {
    const settled: (() => void)[] = []
    try {
      this.#run('begin immediate')
      for (const job of jobs) await this.#attempt(job, settled)
      this.#run('commit')
    } catch (error) {
      this.#rollback()
      for (const job of jobs) job.reject(error)
      return
    }
    for (const settle of settled) settle()
  }

  /** One transaction of the batch. Its caller hears of it only after the commit. */
  async #attempt(job: Job, settled: (() => void)[]): Promise<void> {
    this.#run('savepoint job')
    try {
      const value = await job.fn(this.#inside)
      settled.push(() => job.resolve(value))
    } catch (error) {
      try {
        this.#run('rollback to job')
      } catch {
        // A full disk may have undone the whole batch already; why it did is what everybody in it is told.
        throw error
      }
      settled.push(() => job.reject(error))
    }
    this.#run('release job')
  }

  #rollback(): void {
    try {
      this.#run('rollback')
    } catch {
      // Some failures, a full disk among them, have rolled back already; there is nothing left to undo.
    }
  }

  readonly #inside: Query = async (sql, params) => this.#run(sql, params)

  #run(sql: string, params: readonly SqlValue[] = []): Row[] {
    let prepared = this.#prepared.get(sql)
    if (prepared === undefined) {
      const order: number[] = []
      // Plain `?` is the only form that every SQLite driver binds the same way.
      const text = sql.replace(/\$(\d+)/g, (_, n: string) => {
        order.push(Number(n) - 1)
        return '?'
      })
      prepared = { statement: this.#database.prepare(text), order }
      this.#prepared.set(sql, prepared)
    }
    const { statement, order } = prepared
    try {
      return statement.all(order.map((index) => params[index] ?? null))
    } catch (error) {
      throw isFull(error) ? new StoreFullError(error) : error
    }
  }
}

/** libsql names the result, node:sqlite numbers it. */
function isFull(error: unknown): boolean {
  const { code, errcode } = Object(error) as { code?: unknown; errcode?: unknown }
  return code === 'SQLITE_FULL' || (typeof errcode === 'number' && (errcode & 0xff) === SQLITE_FULL)
}
