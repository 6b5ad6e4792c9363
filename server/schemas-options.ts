// The shape of the options, checked before anything is opened: a name that nobody knows is a typing error, and a limit
// or an origin that does not count for one is worse than a service that does not start.
import * as v from 'valibot'
import type { ServiceOptions } from './settings.ts'

const SECRET_BYTES_MIN = 32

const text = v.pipe(v.string(), v.minLength(1, 'is empty'))
const count = v.pipe(v.number(), v.safeInteger('is no whole number'), v.minValue(1, 'is below 1'))
const wait = v.pipe(v.number(), v.safeInteger('is no whole number'), v.minValue(0, 'is below 0'))
const rate = v.pipe(
  v.number(),
  v.finite('is not finite'),
  v.check((value) => value > 0, 'is not above 0'),
)
const webAddress = v.pipe(
  v.string(),
  v.check((value) => /^https?:\/\//.test(value) && URL.canParse(value), 'is no http address'),
)
const secret = v.pipe(
  v.string(),
  v.check((value) => Buffer.byteLength(value) >= SECRET_BYTES_MIN, `has less than ${SECRET_BYTES_MIN} bytes`),
)
/** As a browser names it: no path, not even a slash at the end, which would match no page for ever. */
const origin = v.pipe(
  v.string(),
  v.check(
    (value) => value === '*' || isOrigin(value.replace('://*.', '://any.')),
    'is no origin, such as https://shop.example or https://*.shop.example',
  ),
)

const identity = v.pipe(
  v.strictObject({
    jwksUrl: v.optional(webAddress),
    key: v.optional(secret),
    issuer: text,
    audience: text,
    subjectHashKey: v.optional(secret),
    clockSkewMs: v.optional(wait),
  }),
  v.check(({ jwksUrl, key }) => (jwksUrl === undefined) !== (key === undefined), 'needs either jwksUrl or key'),
)
const snapshots = v.strictObject({
  url: webAddress,
  tokenUrl: webAddress,
  clientId: text,
  clientSecret: text,
  scope: v.optional(text),
})
const deployment = v.strictObject({
  origins: v.optional(v.array(origin)),
  identity: v.optional(identity),
  snapshots: v.optional(snapshots),
})
const limits = v.strictObject({
  sessionRequestsPerSecond: v.optional(rate),
  sessionRequestsBurst: v.optional(count),
  addressRequestsPerSecond: v.optional(rate),
  addressRequestsBurst: v.optional(count),
  sessionStreamsMax: v.optional(count),
  addressStreamsMax: v.optional(count),
  requestMs: v.optional(count),
  connectionsMax: v.optional(count),
  trustedProxies: v.optional(wait),
})
const cookie = v.strictObject({
  secure: v.optional(v.boolean()),
  sameSite: v.optional(v.picklist(['Strict', 'Lax', 'None'])),
  partitioned: v.optional(v.boolean()),
  domain: v.optional(text),
})
const attachments = v.strictObject({
  bytesMax: v.optional(count),
  types: v.optional(v.array(text)),
  sessionCountMax: v.optional(count),
  sessionBytesMax: v.optional(count),
  objects: v.optional(v.looseObject({})),
})
const keyRing = v.looseObject({
  signing: v.pipe(v.array(v.looseObject({})), v.minLength(1, 'is empty')),
  refreshSecret: text,
})

const options = v.strictObject({
  deployments: v.optional(
    v.pipe(
      v.record(text, deployment),
      v.check((value) => Object.keys(value).length > 0, 'names no deployment'),
    ),
  ),
  data: v.optional(text),
  database: v.optional(text),
  databaseConnectionsMax: v.optional(count),
  statementTimeoutMs: v.optional(count),
  fanout: v.optional(text),
  durability: v.optional(v.picklist(['full', 'fast'])),
  keys: v.optional(keyRing),
  accessTokenMs: v.optional(count),
  agentTokenMs: v.optional(count),
  sessionMs: v.optional(count),
  archiveReferenceMs: v.optional(wait),
  conversationIdleMs: v.optional(count),
  conversationArchiveMs: v.optional(wait),
  drainSpreadMs: v.optional(wait),
  drainDelayMs: v.optional(wait),
  attachments: v.optional(attachments),
  cookie: v.optional(cookie),
  limits: v.optional(limits),
  now: v.optional(v.function()),
  log: v.optional(v.function()),
  hooks: v.optional(v.looseObject({})),
})

/** Throws a `TypeError` that names the first option that is wrong, and never its value: that may be a secret. */
export function checkOptions(given: ServiceOptions): void {
  const { success, issues } = v.safeParse(options, given, { abortEarly: true })
  if (success) return
  const [issue] = issues
  const path = issue.path?.map(({ key }) => String(key)).join('.') ?? ''
  throw new TypeError(path === '' ? 'The options are an object.' : `The option ${path} ${faultOf(issue)}.`)
}

function faultOf({ kind, type, expected, received, message }: v.BaseIssue<unknown>): string {
  if (type === 'strict_object' && expected === 'never') return 'is not known'
  if (kind === 'validation') return message
  if (received === 'undefined') return 'is missing'
  return `is not ${expected}`
}

function isOrigin(value: string): boolean {
  return URL.canParse(value) && new URL(value).origin === value
}
