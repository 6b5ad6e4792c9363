// What the routes and streams are built from: one bag, made once by service.ts.
import type { Context } from 'hono'
import type { ObjectStore } from './attachments.ts'
import type { Gate } from './gate.ts'
import type { Hub } from './hub.ts'
import type { Identities } from './identity.ts'
import type { Buckets, Tally } from './limits.ts'
import type { Log } from './log.ts'
import type { Marker } from './marks.ts'
import type { Metrics } from './metrics.ts'
import type { Caller, EpochMs } from './session.ts'
import type { Settings } from './settings.ts'
import type { SqlStore } from './store.ts'
import type { Tokens } from './tokens.ts'

export type Parts = {
  settings: Settings
  store: SqlStore
  tokens: Tokens
  gate: Gate
  hub: Hub
  metrics: Metrics
  log: Log
  now: () => EpochMs
  uuid: () => string
  /** Set once a stop was asked for: from here on not ready, and still serving. */
  retire: AbortSignal
  /** Set once a graceful stop sends everybody away. */
  drain: AbortSignal
  /** A family has ended: its tokens and sockets go too. */
  familyEnded: (familyId: string) => void
  /** A family speaks for another session now: tokens for the old one count as expired, its sockets come again. */
  familyMoved: (familyId: string) => void
  identities: Identities
  marker: Marker
  /** Where the bytes of attachments rest. */
  objects: ObjectStore
  buckets: { sessions: Buckets; addresses: Buckets }
  /** Sockets and polls that each session holds. */
  streams: Tally
}

/** What a request has learned on its way in. */
export type Env = { Variables: { caller: Caller } }
export type Call = Context<Env>
