// The OpenAPI document, with what holds for every operation: refusals that come before a route is asked, or whatever it
// is, and headers. A route says only what is its own.
import type { Hono } from 'hono'
import { generateSpecs } from 'hono-openapi'
import type { Env } from './parts.ts'
import { type ProblemCode, PROBLEMS } from './problem.ts'

type Content = Record<string, { schema?: unknown }>
type Answer = { description?: string; content?: Content; headers?: Record<string, unknown> }
type Parameter = { in: string; name: string; description?: string; schema?: unknown }
type Operation = {
  security?: unknown[]
  parameters?: Parameter[]
  requestBody?: { content: Content }
  responses: Record<string, Answer>
}

const PROBLEM = 'application/problem+json'
const PROBLEM_REF = { $ref: '#/components/schemas/Problem' }
const text = { schema: { type: 'string' } }
/** What is always answered, whatever else comes from an address, and whatever the store does. */
const PROBES = /^\/(healthz|readyz|metrics)$/

/** Made once: the routes do not change while the service runs. */
export function openApiDocument(app: Hono<Env>): () => Promise<object> {
  let made: Promise<object> | undefined
  return () => (made ??= make(app))
}

async function make(app: Hono<Env>): Promise<object> {
  const document = await generateSpecs(app, {
    documentation: {
      info: { title: 'holdfast session service', version: '2', description: 'See SPEC.md, SV rules.' },
      components: {
        securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
        schemas: { Problem: problemSchema() },
      },
      security: [{ bearer: [] }],
    },
    excludeStaticFile: false,
  })
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods as Record<string, Operation>)) {
      complete(path, method, operation)
    }
  }
  return document
}

function problemSchema() {
  const { string, number } = { string: { type: 'string' }, number: { type: 'number' } } as const
  return {
    type: 'object' as const,
    properties: { type: string, title: string, status: number, code: string, detail: string, present: {} },
    required: ['type', 'title', 'status', 'code'],
  }
}

function complete(path: string, method: string, operation: Operation): void {
  const { responses } = operation
  if (PROBES.test(path)) delete responses['429']
  for (const code of common(path, method, operation)) refuse(responses, code)
  for (const [status, answer] of Object.entries(responses)) {
    if (answer.content?.[PROBLEM]) answer.content[PROBLEM].schema = PROBLEM_REF
    const headers = headersOf(status, operation)
    if (headers.length > 0) answer.headers = Object.fromEntries(headers.map((name) => [name, text]))
  }
  operation.parameters = withTwins(operation)
}

/** The refusals that an operation shares with others of its kind. */
function common(path: string, method: string, { parameters = [], requestBody, security }: Operation): ProblemCode[] {
  const codes: ProblemCode[] = ['origin-not-allowed', 'internal-error']
  if (PROBES.test(path)) return codes
  codes.push('idempotency-keys-differ', 'store-unavailable')
  if (path.includes('{')) codes.push('not-found')
  if (parameters.length > 0 || security === undefined) codes.push('invalid-request')
  if (method !== 'get') codes.push('store-full')
  if (parameters.some(({ name }) => name === 'Idempotency-Key') && security === undefined) codes.push('in-progress')
  if (method === 'get' || method === 'delete') return codes
  codes.push('body-too-large', 'request-timeout', 'invalid-utf8')
  if (requestBody?.content['application/json']) codes.push('malformed-json', 'invalid-request')
  return codes
}

/** Adds a code to what is said of its status. Where that has another form, such as an OAuth error, it is one of two. */
function refuse(responses: Record<string, Answer>, code: ProblemCode): void {
  const status = String(PROBLEMS[code][0])
  const { description = '', content = {} } = responses[status] ?? {}
  if (description.includes(`\`${code}\``)) return
  responses[status] = {
    description: `${description} \`${code}\``.trim(),
    content: { ...content, [PROBLEM]: { schema: PROBLEM_REF } },
  }
}

function headersOf(status: string, { parameters = [], responses }: Operation): string[] {
  if (status === '401') return ['WWW-Authenticate']
  if (status === '429' || status === '503') return ['Retry-After']
  if (status === '304' || status === '412') return ['ETag']
  if (!/^2/.test(status)) return []
  const isKeyed = parameters.some(({ name }) => name === 'Idempotency-Key')
  return [...(responses['304'] || responses['412'] ? ['ETag'] : []), ...(isKeyed ? ['Idempotent-Replayed'] : [])]
}

/** Headers that come with others: the second name of the key, and the condition of a read. */
function withTwins({ parameters = [], responses }: Operation): Parameter[] {
  const twins = parameters.flatMap((one) =>
    one.name === 'Idempotency-Key' ? [{ ...one, name: 'X-Idempotency-Key', description: 'The same.' }] : [],
  )
  const condition = { in: 'header', name: 'If-None-Match', description: 'The ETag that was read.', ...text }
  return [...parameters, ...twins, ...(responses['304'] ? [condition] : [])]
}
