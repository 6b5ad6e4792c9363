// Corners of the wire where a service that guesses loses something: names that objects inherit, routing data that is
// not flat, the wrong method, two keys for one intent, a scope that the caller does not have.
import { beforeEach, describe, expect, test } from 'vitest'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { agentOf, type Call, type Created, freshKey, type Problem, Visitor } from './server-visitor.ts'

const PATH = '/api/v2/messaging/conversations'
type Read = { version: number; customAttributes: Record<string, unknown>; routingData: Record<string, unknown> }
let service: SessionService
let visitor: Visitor

beforeEach(async () => {
  service = await createSessionService()
  visitor = new Visitor(service)
  return () => service.close()
})

/** JSON by hand: an object literal would set `__proto__` instead of having it. */
const HOSTILE = '{"__proto__":"a","constructor":"b","prototype":"c","toString":"d"}'
const text = async (path: string, call: Call = {}): Promise<string> => {
  const { body } = await visitor.call<{ customAttributes?: unknown }>(path, call)
  return JSON.stringify(body.customAttributes)
}
const patch = (id: string, body: unknown, headers = {}) =>
  visitor.call<Read & Problem>(`${PATH}/${id}`, { method: 'PATCH', body, headers })

describe('names', () => {
  test('[SV83] an attribute may have any name, also one that objects inherit', async () => {
    await visitor.open()
    const { body } = await visitor.call<Created>(PATH, { body: `{"customAttributes":${HOSTILE}}` })
    expect(JSON.parse(await text(`${PATH}/${body.id}`), (_, value) => value)).toEqual(JSON.parse(HOSTILE))
    expect(await text(`${PATH}/${body.id}`)).toBe(HOSTILE)
    const changed = '{"customAttributes":{"__proto__":"new","constructor":null}}'
    await visitor.call(`${PATH}/${body.id}`, { method: 'PATCH', body: changed })
    expect(await text(`${PATH}/${body.id}`)).toBe('{"__proto__":"new","prototype":"c","toString":"d"}')
  })

  test('[SV83] what is wrong under such a name is refused as under any other', async () => {
    const { id } = await visitor.begin()
    const long = `{"customAttributes":{"__proto__":"${'x'.repeat(2001)}"}}`
    expect((await patch(id, long)).body.code).toBe('attribute-too-long')
    expect((await patch(id, '{"routingData":{"constructor":7}}')).body.code).toBe('routing-data-not-flat')
    expect((await visitor.call<Read>(`${PATH}/${id}`)).body).toMatchObject({ version: 1, customAttributes: {} })
  })

  test('[SV83] the metadata of a message keeps them too', async () => {
    const { id } = await visitor.begin()
    const headers = { 'Idempotency-Key': freshKey() }
    await visitor.call(`${PATH}/${id}/messages`, { body: `{"text":"x","metadata":${HOSTILE}}`, headers })
    const { body } = await visitor.call<{ messages: { metadata: unknown }[] }>(`${PATH}/${id}/messages`)
    expect(JSON.stringify(body.messages[0]?.metadata)).toContain('"__proto__":"a"')
  })
})

describe('routing data', () => {
  test.each([
    ['a number', { queue: 7 }],
    ['a list', { queue: ['a'] }],
    ['layers', { to: { queue: 'a' } }],
  ])('[SV83] %s is refused wherever it comes, and nothing changes', async (_is, routingData) => {
    await visitor.open()
    const refused = await visitor.call<Problem>(PATH, { body: { routingData } })
    expect([refused.status, refused.body.code]).toEqual([400, 'routing-data-not-flat'])
    const { id } = (await visitor.start()).body
    expect((await patch(id, { routingData })).body.code).toBe('routing-data-not-flat')
    const agent = await agentOf(service)
    const join = { body: { role: 'agent', routingData } }
    expect((await agent.call<Problem>(`${PATH}/${id}/participants`, join)).body.code).toBe('routing-data-not-flat')
    expect((await visitor.call<Read>(`${PATH}/${id}`)).body).toMatchObject({ version: 1, routingData: {} })
  })

  test('[SV83] equal content has equal bytes, in whatever order it came, and null is not stored', async () => {
    const bytes: string[] = []
    for (const routingData of [
      { b: 'x', a: true, gone: null },
      { a: true, gone: null, b: 'x' },
    ]) {
      const one = new Visitor(service)
      await one.open()
      const { id } = (await one.start({ routingData })).body
      bytes.push(JSON.stringify((await one.call<Read>(`${PATH}/${id}`)).body.routingData))
    }
    expect(bytes).toEqual(['{"a":true,"b":"x"}', '{"a":true,"b":"x"}'])
    const { id } = await visitor.begin()
    await patch(id, { routingData: { b: 'x' } })
    const { body } = await patch(id, { routingData: { a: true } })
    expect(JSON.stringify(body.routingData)).toBe(bytes[0])
  })
})

test('[SV16] a change answers with the ETag that the next change needs', async () => {
  const { id } = await visitor.begin()
  const first = await patch(id, { customAttributes: { a: '1' } })
  const tag = first.headers.get('ETag') ?? ''
  expect(tag).not.toBe('')
  expect((await visitor.call(`${PATH}/${id}`)).headers.get('ETag')).toBe(tag)
  expect((await patch(id, { customAttributes: { a: '2' } }, { 'If-Match': tag })).status).toBe(200)
  expect((await patch(id, { customAttributes: { a: '3' } }, { 'If-Match': tag })).status).toBe(412)
})

describe('methods', () => {
  test.each([
    ['PUT', PATH, 'GET, HEAD, OPTIONS, POST'],
    ['DELETE', `${PATH}/some-id`, 'GET, HEAD, OPTIONS, PATCH'],
    ['GET', `${PATH}/some-id/close`, 'OPTIONS, POST'],
    ['PATCH', '/api/v2/widget-context/session/cart', 'DELETE, GET, HEAD, OPTIONS, PUT'],
    ['POST', '/api/v2/messaging/stream', 'GET, HEAD, OPTIONS'],
    ['GET', '/api/v2/widget/sessions', 'OPTIONS, POST'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
  ])('[SV84] %s at %s is a 405 that names the others', async (method, path, allowed) => {
    await visitor.open()
    const { status, headers, body } = await visitor.call<Problem>(path, { method })
    expect([status, body.code]).toEqual([405, 'method-not-allowed'])
    expect(headers.get('Allow')?.split(', ').sort().join(', ')).toBe(allowed)
  })

  test('[SV84] an address that is none is a 404 for every method', async () => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const { status, body } = await visitor.call<Problem>('/api/v2/messaging', { method })
      expect([status, body.code]).toEqual([404, 'not-found'])
    }
  })
})

test.each([
  ['itself', (tag: string) => tag, 304],
  ['itself, as a proxy writes it', (tag: string) => tag.replace('W/', ''), 304],
  ['a list', (tag: string) => `"other", ${tag}`, 304],
  ['anything', () => '*', 304],
  ['others', () => '"other", W/"another"', 200],
])('[SV90] an answer is left out for who has %s', async (_is, has, status) => {
  const { id } = await visitor.begin()
  await visitor.call('/api/v2/widget-context/session/a', { method: 'PUT', body: { value: 1 } })
  for (const path of [`${PATH}/${id}`, `${PATH}/${id}/messages`, '/api/v2/widget-context/session/a']) {
    const tag = (await visitor.call(path)).headers.get('ETag') ?? ''
    expect((await visitor.call(path, { headers: { 'If-None-Match': has(tag) } })).status).toBe(status)
  }
})

test('[SV85] two idempotency headers that differ are refused, and two that agree are one', async () => {
  const { id } = await visitor.begin()
  const post = (one: string, two: string) =>
    visitor.call<Problem>(`${PATH}/${id}/messages`, {
      body: { text: 'x' },
      headers: { 'Idempotency-Key': one, 'X-Idempotency-Key': two },
    })
  const refused = await post('key-number-one', 'key-number-two')
  expect([refused.status, refused.body.code]).toEqual([400, 'idempotency-keys-differ'])
  expect((await post('key-number-one', 'key-number-one')).status).toBe(201)
  expect((await visitor.list(id)).body.lastSeq).toBe(1)
})

describe('scopes', () => {
  const put = (who: Visitor, scope: string) =>
    who.call<Problem>(`/api/v2/widget-context/${scope}/note`, { method: 'PUT', body: { value: 1 } })

  test.each([
    ['user', 403, 'sign-in-required'],
    ['nowhere', 404, 'unknown-scope'],
  ])('[SV86] an anonymous visitor who writes to the scope %s is told why not', async (scope, status, code) => {
    await visitor.open()
    const answer = await put(visitor, scope)
    expect([answer.status, answer.body.code]).toEqual([status, code])
    const lease = { scope, name: 'note', holder: 'tab-1', ttlMs: 1000 }
    expect((await visitor.call<Problem>('/api/v2/messaging/leases', { body: lease })).body.code).toBe(code)
  })

  test('[SV86] an agent has no session and is no user', async () => {
    const agent = await agentOf(service)
    for (const scope of ['session', 'user']) {
      const answer = await put(agent, scope)
      expect([answer.status, answer.body.code]).toEqual([403, 'customers-only'])
    }
  })
})
