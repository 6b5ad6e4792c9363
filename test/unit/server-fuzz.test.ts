// Every route of the OpenAPI document with input that nobody would send: no failure of the service, no hang, no
// undocumented refusal, and nothing of another visitor in any answer.
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { type PostgresServer, startPostgres } from '../servers/postgres.ts'
import { deviationOf, type Document, documentOf, type Operation, operationsOf, type Schema } from './server-openapi.ts'
import { agentOf, type Created, freshKey, Visitor } from './server-visitor.ts'

const MARK = 'the-mark-of-the-victim'
const RUNS = { embedded: 3000, postgres: 1500 }
/** What hangs is what is looked for; a busy machine may be slow. */
const ANSWER_WITHIN_MS = 15_000
/** Refusals that any call may meet before it is looked at. */

let service: SessionService
let document: Document
let operations: Operation[]
let victim: Visitor
let theirs: Created
let callers: Record<string, Visitor>

// A database server has to start first.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres?.close())

async function prepare(store: keyof typeof RUNS): Promise<void> {
  service = await createSessionService({
    ...(store === 'postgres' && { database: await postgres.database() }),
    deployments: { demo: {}, other: {} },
    limits: { sessionRequestsPerSecond: 1e6, sessionRequestsBurst: 1e6 },
  })
  // Probes take no input.
  document = await documentOf(service)
  operations = operationsOf(document).filter(({ isOpen, body }) => !isOpen || body !== undefined)
  victim = new Visitor(service)
  const opened = await victim.open()
  theirs = (await victim.start({ customAttributes: { cart: MARK }, routingData: { queue: MARK } })).body
  await victim.say(theirs, `text ${MARK}`)
  await victim.call('/api/v2/widget-context/session/wishes', { method: 'PUT', body: { value: MARK } })
  await victim.call('/chat-state/persist', {
    body: { persistentSessionId: opened.body.persistentSessionId, timestamp: 1, stateSnapshot: MARK },
  })
  const [stranger, foreigner, foreignAgent] = [
    new Visitor(service),
    new Visitor(service, 'other'),
    new Visitor(service),
  ]
  const own = await stranger.begin()
  await foreigner.begin()
  foreignAgent.token = await service.agentToken({ deploymentId: 'other', agentId: 'eve', name: 'Eve' })
  callers = { nobody: new Visitor(service), stranger, foreigner, foreignAgent }
  ids = [theirs.id, theirs.participantId, opened.body.persistentSessionId, own.id, own.participantId]
}
let ids: string[]

const junk = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e999',
    'null',
    '__proto__',
    'constructor',
    '../..',
    '%',
    '%zz',
    '%c3%28',
    "' or 1=1 --",
  ),
  fc.constantFrom('\u0000', '\ud800', '\uffff', '👩‍👩‍👧', 'x'.repeat(300), '9'.repeat(30)),
)
const anyId = fc.oneof(
  { arbitrary: fc.nat({ max: 4 }).map((index) => ids[index] ?? ''), weight: 8 },
  { arbitrary: fc.constantFrom('session', 'user', 'wishes', 'nobody', 'text/plain', '7'), weight: 3 },
  { arbitrary: junk, weight: 1 },
)
const anyJson = fc.jsonValue({ maxDepth: 3 })

/** Values of a schema, with one in a few that are not. */
function valued(schema: Schema): fc.Arbitrary<unknown> {
  return fc.oneof({ arbitrary: fitting(schema), weight: 40 }, { arbitrary: fc.oneof(anyJson, junk), weight: 1 })
}

function fitting(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(fitting))
  if (schema.type === 'string')
    return fc.oneof(
      { arbitrary: anyId, weight: 5 },
      { arbitrary: fc.string({ maxLength: (schema.maxLength ?? 30) + 2 }), weight: 1 },
    )
  if (schema.type === 'number' || schema.type === 'integer') {
    return fc.oneof(
      { arbitrary: fc.integer({ min: 0, max: 70_000 }), weight: 8 },
      { arbitrary: fc.oneof(fc.double(), fc.constantFrom(-1, 2 ** 53, 1e308)), weight: 1 },
    )
  }
  if (schema.type === 'boolean') return fc.boolean()
  if (schema.type === 'null') return fc.constant(null)
  if (schema.type === 'object' && schema.properties !== undefined) {
    const members = Object.entries(schema.properties).map(([name, one]) => [name, valued(one)] as const)
    return fc.record(Object.fromEntries(members), { requiredKeys: schema.required ?? [] })
  }
  return fc.oneof(anyJson, fc.dictionary(junk, fc.oneof(junk, fc.integer(), fc.constant(null)), { maxKeys: 5 }))
}

type Ask = {
  operation: Operation
  path: string
  headers: Record<string, string>
  body: string | Uint8Array | undefined
}

function askOf(operation: Operation): fc.Arbitrary<Ask> {
  const parameters = operation.parameters ?? []
  const query = parameters.filter((one) => one.in === 'query' && one.name !== 'waitMs')
  const headers = [...parameters.filter((one) => one.in === 'header').map(({ name }) => name), 'If-None-Match']
  const headerValue = fc.oneof(
    fc.constantFrom('a-key-of-eight', '"1"', '1', '*'),
    fc.constantFrom('', '*', '1', '"1"', 'W/"1.1"', 'a-key-of-eight', 'x'.repeat(300), '\u00e9\u0001'.slice(0, 1)),
    fc.string({ unit: 'grapheme-ascii', maxLength: 30 }).map((text) => text.trim()),
  )
  const body = operation.body === undefined ? fc.constant(undefined) : bodyOf(...operation.body)
  return fc
    .record({
      path: fc.tuple(...[...operation.path.matchAll(/\{\w+\}/g)].map(() => anyId)),
      query: fc.record(Object.fromEntries(query.map((one) => [one.name, valued(one.schema ?? {}).map(asText)])), {
        requiredKeys: [],
      }),
      headers: fc.record(Object.fromEntries(headers.map((name) => [name, headerValue])), { requiredKeys: [] }),
      body,
    })
    .map(({ path, query, headers, body }) => {
      let index = 0
      const filled = operation.path.replace(/\{\w+\}/g, () => escaped(path[index++] ?? ''))
      // A poll that may wait is no hang.
      const search = [...Object.entries(query), ['waitMs', '0']].map(
        ([name, value]) => `${name}=${escaped(value ?? '')}`,
      )
      return { operation, path: `${filled}?${search.join('&')}`, headers: headers as Record<string, string>, body }
    })
}

/** Not by its own `toString`, which may be part of what was made up. */
function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

/** As a browser would escape it, but for what is escaped already, rightly or wrongly. */
function escaped(text: string): string {
  return /^%/.test(text) ? text : encodeURIComponent(Buffer.from(text).toString())
}

function bodyOf(type: string, schema: Schema): fc.Arbitrary<string | Uint8Array> {
  const wild = fc.oneof(fc.uint8Array({ maxLength: 50 }), junk, fc.constant('{"a":'), fc.constant('['.repeat(5000)))
  const shaped = valued(schema).map((value) =>
    type === 'application/json'
      ? (JSON.stringify(value) ?? '')
      : String(
          new URLSearchParams(
            Object.entries(Object(value) as object).map(([name, one]) => [name, JSON.stringify(one) ?? '']),
          ),
        ),
  )
  return fc.oneof({ arbitrary: shaped, weight: 20 }, { arbitrary: wild, weight: 1 })
}

async function answered({ operation, path, headers, body }: Ask, caller: Visitor) {
  const init: RequestInit = { method: operation.method, headers: { ...headers } }
  const all = init.headers as Record<string, string>
  if (operation.body !== undefined) {
    all['Content-Type'] = operation.body[0]
    init.body = typeof body === 'string' ? body : (body as Uint8Array<ArrayBuffer>)
  }
  // Whoever signs out by chance would say nothing more in this run.
  if (caller.token !== undefined && operation.id !== 'revokeGrant') all['Authorization'] = `Bearer ${caller.token}`
  const late = new Promise<'late'>((resolve) => {
    AbortSignal.timeout(ANSWER_WITHIN_MS).addEventListener('abort', () => resolve('late'))
  })
  const response = await Promise.race([service.fetch(new Request(`http://localhost${path}`, init)), late])
  if (response === 'late') return 'late'
  return { status: response.status, type: response.headers.get('Content-Type') ?? '', text: await response.text() }
}

describe.each(['embedded', 'postgres'] as const)('%s', (store) => {
  beforeEach(async () => {
    await prepare(store)
    return () => service.close()
  })

  test('[SV63] whatever is sent to any route: an answer in time, documented, and nothing of others', async () => {
    const anyAsk = fc.constantFrom(...operations).chain(askOf)
    const before = (await victim.call(`/api/v2/messaging/conversations/${theirs.id}`)).body
    await fc.assert(
      fc.asyncProperty(anyAsk, fc.constantFrom(...Object.keys(callers)), async (ask, name) => {
        const answer = await answered(ask, callers[name] as Visitor)
        if (answer === 'late') throw new Error('no answer')
        expect(answer.status).toBeLessThan(500)
        expect(answer.text).not.toContain(MARK)
        expect(deviationOf(document, ask.operation, answer)).toBe('')
      }),
      { numRuns: RUNS[store], endOnFailure: true },
    )
    expect((await victim.call(`/api/v2/messaging/conversations/${theirs.id}`)).body).toEqual(before)
    expect((await victim.list(theirs.id)).body.messages).toHaveLength(1)
    expect((await victim.call('/api/v2/widget-context/session/wishes')).body).toMatchObject({ value: MARK })
  })

  test('[SV63] the same from the agent of the deployment and the owner: no failure and no hang', async () => {
    const agent = await agentOf(service)
    const anyAsk = fc.constantFrom(...operations.filter(({ id }) => id !== 'revokeGrant')).chain(askOf)
    await fc.assert(
      fc.asyncProperty(anyAsk, fc.boolean(), async (ask, isAgent) => {
        const answer = await answered(ask, isAgent ? agent : victim)
        if (answer === 'late') throw new Error('no answer')
        expect(answer.status).toBeLessThan(500)
        expect(deviationOf(document, ask.operation, answer)).toBe('')
      }),
      { numRuns: RUNS[store], endOnFailure: true },
    )
    const { messages, lastSeq } = (await victim.list(theirs.id, '?limit=200')).body
    expect(messages.map(({ seq }) => seq)).toEqual(Array.from({ length: messages.length }, (_, index) => index + 1))
    expect(lastSeq).toBeGreaterThanOrEqual(messages.length)
    expect((await new Visitor(service).open(freshKey())).status).toBe(201)
  })
})
