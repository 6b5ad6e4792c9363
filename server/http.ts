// The HTTP application: the routes in their order, and what holds for all of them: origins, body limit,
// the shape of errors, counting. Which status a call gives is said in routes/.
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { matchedRoutes } from 'hono/route'
import { PART_BYTES } from './attachments.ts'
import { errorFields, rarely } from './log.ts'
import { openApiDocument } from './openapi.ts'
import { isAllowedSomewhere } from './origins.ts'
import type { Env, Parts } from './parts.ts'
import { problem } from './problem.ts'
import { attachmentRoutes } from './routes/attachments.ts'
import { authRoutes } from './routes/auth.ts'
import { contextRoutes } from './routes/context.ts'
import { conversationRoutes } from './routes/conversations.ts'
import { onlyText, withinAddressLimit, withinBodyLimit, withOneKey } from './routes/guards.ts'
import { identityRoutes } from './routes/identity.ts'
import { leaseRoutes } from './routes/leases.ts'
import { markRoutes } from './routes/marks.ts'
import { messageRoutes } from './routes/messages.ts'
import { unmatched } from './routes/methods.ts'
import { operationRoutes } from './routes/operations.ts'
import { sessionRoutes } from './routes/sessions.ts'

export const BODY_BYTES_MAX = 65_536
const PREFLIGHT_SECONDS = '600'
const ALLOWED_HEADERS =
  'Authorization, Content-Type, Idempotency-Key, X-Idempotency-Key, If-Match, If-None-Match, Holdfast-Fence'
const EXPOSED_HEADERS = 'ETag, Idempotent-Replayed, Retry-After, Date'
/** When to come back: a database is often back in seconds, a disk has to be cleared by somebody. */
const [STORE_AWAY_SECONDS, STORE_FULL_SECONDS] = ['5', '30']
/** Between two lines of the log about the store. */
const STORE_LINE_MS = 1000
const COUNTERS = ['http_2xx', 'http_3xx', 'http_4xx', 'http_5xx'] as const

export function httpApp(parts: Parts): Hono<Env> {
  const app = new Hono<Env>()
  app.use(aroundAll(parts))
  app.use(withinAddressLimit(parts))
  app.use(withinBodyLimit(BODY_BYTES_MAX, PART_BYTES))
  app.use(onlyText())
  app.use(withOneKey())
  if (parts.settings.afterCommit) app.use(committed(parts.settings.afterCommit))
  for (const routes of [
    messageRoutes(parts),
    attachmentRoutes(parts),
    conversationRoutes(parts),
    markRoutes(parts),
    sessionRoutes(parts),
    authRoutes(parts),
    identityRoutes(parts),
    contextRoutes(parts),
    leaseRoutes(parts),
    operationRoutes(parts),
  ]) {
    app.route('/', routes)
  }
  const document = openApiDocument(app)
  app.get('/openapi.json', async (c) => c.json(await document()))
  app.notFound(unmatched(app))
  const tell = rarely(STORE_LINE_MS)
  app.onError((error, c) => storeFailed(parts, c, error, tell) ?? failed(parts, c, error))
  return app
}

/** Origins in, counters and clock out. */
function aroundAll(parts: Parts): MiddlewareHandler<Env> {
  const { settings, metrics } = parts
  return async (c, next) => {
    // Firefox keeps answers of every method, with their addresses, unless told otherwise. Reads say what holds for them.
    if (c.req.method !== 'GET') c.header('Cache-Control', 'no-store')
    const origin = c.req.header('Origin')
    const isAllowed = isAllowedSomewhere(settings, origin, c.req.header('Host'))
    if (!isAllowed) c.res = problem(c, 'origin-not-allowed')
    else if (c.req.method === 'OPTIONS') c.res = c.body(null, 204)
    else await next()
    if (origin !== undefined && isAllowed) allow(c, origin)
    // Clients correct their clocks by this header, so it follows the service's clock and not the machine's.
    if (settings.hasOwnClock) c.header('Date', new Date(parts.now()).toUTCString())
    // A connection that is kept alive would hold up the stop for as long as it is idle.
    if (parts.drain.aborted) c.header('Connection', 'close')
    const counter = COUNTERS[Math.floor(c.res.status / 100) - 2]
    if (counter !== undefined) metrics.count(counter)
  }
}

function allow(c: Context<Env>, origin: string): void {
  c.header('Access-Control-Allow-Origin', origin)
  c.header('Access-Control-Allow-Credentials', 'true')
  c.header('Vary', 'Origin', { append: true })
  if (c.req.method !== 'OPTIONS') {
    c.header('Access-Control-Expose-Headers', EXPOSED_HEADERS)
    return
  }
  c.header('Access-Control-Allow-Methods', 'GET, POST, PUT, PATCH, DELETE')
  c.header('Access-Control-Allow-Headers', ALLOWED_HEADERS)
  c.header('Access-Control-Max-Age', PREFLIGHT_SECONDS)
}

/** The place where an answer can get lost although its work is done. */
function committed(afterCommit: (route: string) => Promise<void> | void): MiddlewareHandler<Env> {
  return async (c, next) => {
    await next()
    if (c.req.method === 'GET' || !c.res.ok) return
    const path = matchedRoutes(c).find((route) => route.path !== '/*')?.path ?? c.req.path
    await afterCommit(`${c.req.method} ${path.replace(/:(\w+)/g, '{$1}')}`)
  }
}

function failed(parts: Parts, c: Context<Env>, error: unknown): Response {
  if (error instanceof HTTPException) {
    if (error.status === 400) return problem(c, 'malformed-json')
    return error.getResponse()
  }
  // The client went away in the middle of its body, or was sent away for being late: nobody hears this.
  if ((Object(error) as { code?: unknown }).code === 'ECONNRESET') return problem(c, 'request-timeout')
  parts.log('error', 'request-failed', { method: c.req.method, ...errorFields(error) })
  return problem(c, 'internal-error')
}

const isJson = (c: Context<Env>): boolean => c.req.header('Content-Type')?.startsWith('application/json') === true

/** A store that does not answer, or whose disk is full. Undefined for every other error. */
function storeFailed(
  parts: Parts,
  c: Context<Env>,
  error: unknown,
  tell: ReturnType<typeof rarely>,
): Response | undefined {
  const { code } = Object(error) as { code?: unknown }
  if (typeof code !== 'string' || !/^(SQLITE_|ERR_SQLITE|STORE_)/.test(code)) return undefined
  // For who has a key this is the rule of the wire; for the others the store is too busy to answer.
  const isKeyed = (c.req.header('Idempotency-Key') ?? c.req.header('X-Idempotency-Key')) !== undefined
  if (code === 'STORE_LOCKED' && isKeyed && isJson(c))
    return problem(c, 'in-progress', { headers: { 'Retry-After': '1' } })
  parts.metrics.count('store_refusals')
  const told = tell(parts.now())
  if (told) parts.log('error', 'request-failed', { method: c.req.method, ...errorFields(error), ...told })
  return code === 'STORE_FULL'
    ? problem(c, 'store-full', { headers: { 'Retry-After': STORE_FULL_SECONDS } })
    : problem(c, 'store-unavailable', { headers: { 'Retry-After': STORE_AWAY_SECONDS } })
}
