// The door to a database: one query function and transactions. Statements are plain SQL in the subset
// that SQLite and PostgreSQL share, with `$n` parameters. What is asked is the business of store.ts.

export type SqlValue = string | number | null
export type Row = Record<string, SqlValue>
export type Query = (sql: string, params?: readonly SqlValue[]) => Promise<Row[]>

export interface Driver {
  /** One statement outside of a transaction. It sees committed rows only. */
  readonly q: Query
  /**
   * Runs `fn` in a transaction that is committed when this resolves, and rolled back if `fn` throws. `fn` may wait for
   * nothing but its own queries: other transactions may be queueing behind it.
   */
  tx<T>(fn: (q: Query) => Promise<T>): Promise<T>
  /** A transaction that changes tables: no other node migrates meanwhile, and it may take its time. */
  migration<T>(fn: (q: Query) => Promise<T>): Promise<T>
  /** Several statements without parameters, for tests and tools. */
  script(sql: string): Promise<void>
  /** Copies everything into a new file; absent where the database has tools of its own for that. */
  backup?(file: string): Promise<void>
  /** For the log: product and version. */
  readonly version: string
  close(): Promise<void>
}

/** The store's file is held by another process; there may be only one. */
export class StoreBusyError extends Error {
  override readonly name = 'StoreBusyError'
}

/** The disk takes no more. What was acknowledged is on it, and can be read. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError'
  readonly code = 'STORE_FULL'

  constructor(cause?: unknown) {
    super('The disk of the store is full.', { cause })
  }
}

/** Another transaction holds what this one needs. Nothing was changed. */
export class StoreLockedError extends Error {
  override readonly name = 'StoreLockedError'
  readonly code = 'STORE_LOCKED'

  constructor(cause?: unknown) {
    super('Another transaction holds what this one needs.', { cause })
  }
}

/** The database does not answer, or cannot for now. Nothing is known of a commit that was under way. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError'
  readonly code = 'STORE_UNAVAILABLE'

  constructor(reason: string, cause?: unknown) {
    super(`The store does not answer${reason === '' ? '' : ` (${reason})`}.`, { cause })
  }
}
