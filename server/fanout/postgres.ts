// Fan-out over LISTEN and NOTIFY, for several nodes without a broker. The notices of some milliseconds share one
// NOTIFY outside of every write: inside, it would put all commits of the database in one line.
import type { Client, ClientConfig } from 'pg'
import type { Log } from '../log.ts'
import type { Fanout } from './fanout.ts'
import { remoteFanout, type Wire, type WireEvents } from './remote.ts'

const CHANNEL = 'holdfast_notices'
const GATHER_MS = 10
/** PostgreSQL takes 8000 bytes; the envelope needs some. */
const PARCEL_BYTES_MAX = 7500
const RETRY_MS = 1000
const TIMEOUT_MS = 5000
const PING_MS = 10_000
/** Parcels on their way at once; what comes while the database is slow is dropped. */
const SENDING_MAX = 100

export async function postgresFanout(url: string, log: Log): Promise<Fanout> {
  const { Client } = await import('pg')
  return remoteFanout({
    gatherMs: GATHER_MS,
    parcelBytesMax: PARCEL_BYTES_MAX,
    connect: (events) => new PostgresWire(url, { make: (config) => new Client(config), events, log }),
  })
}

type Setup = { make: (config: ClientConfig) => Client; events: WireEvents; log: Log }

class PostgresWire implements Wire {
  readonly #config: ClientConfig
  readonly #setup: Setup
  readonly #beat: NodeJS.Timeout
  #client: Client | undefined
  #retry: NodeJS.Timeout | undefined
  #sending = 0
  #isTold = false
  #isClosed = false

  constructor(url: string, setup: Setup) {
    this.#config = {
      connectionString: url,
      application_name: 'holdfast fanout',
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
      pipeline: true,
    }
    this.#setup = setup
    void this.#connect()
    this.#beat = setInterval(() => {
      const client = this.#client
      // A half-open connection looks like silence.
      client?.query('select 1').catch(() => this.#lost(client))
    }, PING_MS)
    this.#beat.unref()
  }

  get isConnected(): boolean {
    return this.#client !== undefined
  }

  send(parcel: string): void {
    const client = this.#client
    if (client === undefined || this.#sending >= SENDING_MAX) return
    this.#sending++
    // Without a name: two that are on their way together would both be prepared under it.
    client
      .query({ text: 'select pg_notify($1, $2)', values: [CHANNEL, parcel] })
      .catch(() => {})
      .finally(() => {
        this.#sending--
      })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#beat)
    clearTimeout(this.#retry)
    await this.#client?.end().catch(() => {})
  }

  async #connect(): Promise<void> {
    const client = this.#setup.make(this.#config)
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    client.on('notification', ({ payload }) => this.#setup.events.onParcel(payload ?? ''))
    try {
      await client.connect()
      await client.query(`listen ${CHANNEL}`)
    } catch {
      // As good as lost: the next try is a new client.
      client.end().catch(() => {})
      this.#again()
      return
    }
    if (this.#isClosed) return void client.end().catch(() => {})
    this.#client = client
    this.#isTold = false
    this.#setup.log('info', 'fanout-connected')
    this.#setup.events.onConnected()
  }

  #lost(client: Client): void {
    if (this.#client !== client) return
    this.#client = undefined
    client.end().catch(() => {})
    this.#again()
  }

  #again(): void {
    if (this.#isClosed) return
    // Once for each loss, and not for each try to come back.
    if (!this.#isTold) this.#setup.log('warn', 'fanout-lost')
    this.#isTold = true
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => void this.#connect(), RETRY_MS * (0.5 + Math.random()))
    this.#retry.unref()
  }
}
