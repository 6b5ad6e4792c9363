// What an operator can set, the defaults, and the checks that refuse a dangerous combination at the start.
import { type AttachmentOptions, type AttachmentSettings, attachmentsFrom } from './attachments.ts'
import { checkOptions } from './schemas-options.ts'
import type { KeyRing } from './keys.ts'
import { type LimitOptions, type Limits, limitsFrom } from './limits.ts'
import type { LogEntry } from './log.ts'
import type { EpochMs } from './session.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

export type DeploymentOptions = {
  /**
   * Origins that may use this deployment from a browser: `https://shop.example`, or `https://*.example.com` for all
   * sub-domains. Default: any. The service's own origin is always allowed.
   */
  origins?: readonly string[]
  /** Takes the site's signed JWTs, so that a visitor who signs in there has one conversation on every device. */
  identity?: IdentityOptions
  /** Where the state goes when a form is submitted, and a conversation is handed over, left or closed. */
  snapshots?: SnapshotOptions
}

export type SnapshotOptions = {
  /** Takes a POST with a JSON body; the `Idempotency-Key` is the same on every try. */
  url: string
  /** OAuth token endpoint for the client-credentials grant. */
  tokenUrl: string
  clientId: string
  clientSecret: string
  scope?: string
}

export type IdentityOptions = {
  /** Where the site publishes its public keys (JWKS). Either this or `key`. */
  jwksUrl?: string
  /** Shared secret of at least 32 bytes, for HS256, HS384 or HS512. */
  key?: string
  /** The `iss` that a token must have. */
  issuer: string
  /** The `aud` that a token must have. */
  audience: string
  /** At least 32 bytes: the subject is stored as a keyed hash only. Default: as it is. */
  subjectHashKey?: string
  /** How far the site's clock may be off, in milliseconds. Default 1 min. */
  clockSkewMs?: number
}

export type CookieOptions = {
  /** Over https: sets `Secure` and the `__Host-` prefix. Default false, for localhost. */
  secure?: boolean
  /** Default `Lax`. `None` needs `secure`, and `origins` for every deployment. */
  sameSite?: 'Strict' | 'Lax' | 'None'
  /** For services embedded cross-site (CHIPS). Needs `secure`. */
  partitioned?: boolean
  /** Parent domain, to share the session between sub-domains. Takes the place of the `__Host-` prefix. */
  domain?: string
}

export type ServiceOptions = {
  /** By id. Default: one deployment, `demo`. */
  deployments?: Readonly<Record<string, DeploymentOptions>>
  /** Folder of the embedded store, or ':memory:' (default): then everything ends with the process. */
  data?: string
  /**
   * `postgres://user:password@host:port/database`, in the place of `data`, for several nodes. What is acknowledged is
   * as durable as that server's `synchronous_commit`.
   */
  database?: string
  /** Connections of this node to the database at most. Default 10. */
  databaseConnectionsMax?: number
  /** One statement takes this many milliseconds at most, in PostgreSQL. Default 10 s. */
  statementTimeoutMs?: number
  /**
   * How nodes wake each other: `redis://…` or `rediss://…` (Redis, Valkey), or `postgres://…` (LISTEN and NOTIFY).
   * Default: none on the embedded store, the database itself otherwise.
   */
  fanout?: string
  /** `full` (default): what is acknowledged survives a power cut. `fast`: it survives a crash of the process. */
  durability?: 'full' | 'fast'
  /** Default: made on the first start, and kept in the data folder or in the database. */
  keys?: KeyRing
  /** Life of an access token in milliseconds. Default 15 min. */
  accessTokenMs?: number
  /** Life of an agent's token in milliseconds. Default 12 h. */
  agentTokenMs?: number
  /** Sliding life of a session in milliseconds. Default 7 days. */
  sessionMs?: number
  /** How long the archive is kept, and the cookie leads to it, in milliseconds. Default 90 days. */
  archiveReferenceMs?: number
  /** A conversation without a word or change for this long expires, in milliseconds. Default 7 days. */
  conversationIdleMs?: number
  /** An ended conversation is archived after this long, in milliseconds. Default 1 day. */
  conversationArchiveMs?: number
  /** Reconnects after a graceful stop are spread over this many milliseconds. Default 5 s. */
  drainSpreadMs?: number
  /**
   * A graceful stop first says for this many milliseconds that it is not ready, and still serves, so that load balancers
   * look away before the port closes. Default 0.
   */
  drainDelayMs?: number
  /** What may be attached to messages, and where it rests. */
  attachments?: AttachmentOptions
  cookie?: CookieOptions
  limits?: LimitOptions
  /** Epoch milliseconds. Also sets the `Date` header, by which clients correct their clocks. */
  now?: () => EpochMs
  /** One JSON-able entry per line. Default: silent. */
  log?: (entry: LogEntry) => void
  /** For fault injection only. */
  hooks?: {
    /** Awaited after a call has committed and before it is answered; `route` as in the OpenAPI document, `POST /…`. */
    afterCommit?: (route: string) => Promise<void> | void
    /** Handed a way to run SQL in the store beside the service, once it is open. */
    storeOpened?: (run: (sql: string) => Promise<void>) => void
  }
}

export type Settings = {
  attachments: AttachmentSettings
  deployments: ReadonlyMap<string, DeploymentOptions>
  data: string
  database: string | undefined
  databaseConnectionsMax: number | undefined
  statementTimeoutMs: number | undefined
  fanout: string | undefined
  durability: 'full' | 'fast'
  accessTokenMs: number
  agentTokenMs: number
  sessionMs: number
  archiveReferenceMs: number
  conversationIdleMs: number
  conversationArchiveMs: number
  drainSpreadMs: number
  drainDelayMs: number
  cookie: { name: string; secure: boolean; sameSite: 'Strict' | 'Lax' | 'None'; partitioned: boolean; domain?: string }
  limits: Limits
  hasOwnClock: boolean
  afterCommit?: (route: string) => Promise<void> | void
}

export function settingsFrom(options: ServiceOptions): Settings {
  checkOptions(options)
  const deployments = new Map(Object.entries(options.deployments ?? { demo: {} }))
  const { secure = false, sameSite = 'Lax', partitioned = false, domain } = options.cookie ?? {}
  if ((sameSite === 'None' || partitioned) && !secure) {
    throw new TypeError('A cookie with sameSite None or partitioned needs secure: browsers drop it otherwise.')
  }
  const isOpenToAll = [...deployments.values()].some((deployment) => deployment.origins === undefined)
  if (sameSite === 'None' && isOpenToAll) {
    throw new TypeError(
      'A cookie with sameSite None needs origins for every deployment: any site could act for the visitor.',
    )
  }
  const prefix = secure ? (domain === undefined ? '__Host-' : '__Secure-') : ''
  return {
    deployments,
    data: options.data ?? ':memory:',
    attachments: attachmentsFrom(options.attachments, options),
    ...backingFrom(options),
    durability: options.durability ?? 'full',
    accessTokenMs: options.accessTokenMs ?? 15 * MINUTE_MS,
    agentTokenMs: options.agentTokenMs ?? 12 * 60 * MINUTE_MS,
    sessionMs: options.sessionMs ?? 7 * DAY_MS,
    archiveReferenceMs: options.archiveReferenceMs ?? 90 * DAY_MS,
    conversationIdleMs: options.conversationIdleMs ?? 7 * DAY_MS,
    conversationArchiveMs: options.conversationArchiveMs ?? DAY_MS,
    drainSpreadMs: options.drainSpreadMs ?? 5000,
    drainDelayMs: options.drainDelayMs ?? 0,
    cookie: {
      name: `${prefix}holdfast_session`,
      secure,
      sameSite,
      partitioned,
      ...(domain !== undefined && { domain }),
    },
    limits: limitsFrom(options.limits),
    hasOwnClock: options.now !== undefined,
    ...(options.hooks?.afterCommit && { afterCommit: options.hooks.afterCommit }),
  }
}

function backingFrom({ database, databaseConnectionsMax, statementTimeoutMs, fanout, data }: ServiceOptions) {
  // The address holds a password, so no message repeats it.
  if (database !== undefined && !(/^postgres(ql)?:\/\/./.test(database) && URL.canParse(database))) {
    throw new TypeError('database is a valid address that begins with postgres://.')
  }
  if (database !== undefined && data !== undefined) throw new TypeError('A service has data or database, not both.')
  if (fanout !== undefined && !(/^(rediss?|postgres(ql)?):\/\/./.test(fanout) && URL.canParse(fanout))) {
    throw new TypeError('fanout is a valid address that begins with redis://, rediss:// or postgres://.')
  }
  if (fanout !== undefined && database === undefined) {
    throw new TypeError('fanout needs database: an embedded store has one node, and nobody to wake.')
  }
  return { database, databaseConnectionsMax, statementTimeoutMs, fanout }
}

/** Whether a browser page of this origin may use a deployment. */
export function isOriginAllowed(deployment: DeploymentOptions, origin: string): boolean {
  if (deployment.origins === undefined) return true
  return deployment.origins.some((pattern) => {
    if (pattern === '*' || pattern === origin) return true
    const [scheme = '', host = ''] = pattern.split('://*.')
    return host !== '' && origin.startsWith(`${scheme}://`) && origin.endsWith(`.${host}`)
  })
}
