// Conversations, messages and context over HTTP: idempotency, gap-free order, cursors, limits, and who may what.
import { beforeEach, describe, expect, test } from 'vitest'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { agentOf, type Created, freshKey, type Problem, times, Visitor } from './server-visitor.ts'

let clock: number
let service: SessionService

beforeEach(async () => {
  clock = 1_900_000_000_000
  service = await createSessionService({
    now: () => clock,
    deployments: { demo: {}, shop: { origins: ['https://*.shop.example'] } },
  })
  return () => service.close()
})

type Conversation = {
  id: string
  state: string
  version: number
  lastSeq: number
  customAttributes: Record<string, unknown>
  routingData: Record<string, unknown>
  participants: { id: string; role: string; name?: string; leftAt?: number }[]
}
const path = (id: string) => `/api/v2/messaging/conversations/${id}`
const read = async (visitor: Visitor, id: string) => (await visitor.call<Conversation>(path(id))).body
const patch = (visitor: Visitor, id: string, body: unknown, ifMatch?: string) =>
  visitor.call<Conversation & Problem>(path(id), {
    method: 'PATCH',
    body,
    headers: ifMatch ? { 'If-Match': ifMatch } : {},
  })

describe('conversations', () => {
  test('[SV14] 100 starts of one session at the same instant make one conversation', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const answers = await Promise.all(times(100, () => visitor.start({}, { 'Idempotency-Key': freshKey() })))
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
    expect(new Set(answers.map(({ body }) => body.participantId)).size).toBe(1)
    expect(answers.filter(({ status, body }) => status === 201 && !body.joined)).toHaveLength(1)
    expect(answers.filter(({ status, body }) => status === 200 && body.joined)).toHaveLength(99)
  })

  test('[SV14] the same key gets the first answer, also after the close; another body is refused', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const key = { 'X-Idempotency-Key': freshKey() }
    const first = await visitor.start({ customAttributes: { a: '1' } }, key)
    await visitor.call(`${path(first.body.id)}/close`, { method: 'POST' })
    const again = await visitor.start({ customAttributes: { a: '1' } }, key)
    expect(again).toMatchObject({ status: 201, body: first.body })
    expect(again.headers.get('Idempotent-Replayed')).toBe('true')
    expect((await visitor.start({ customAttributes: { a: '2' } }, key)).status).toBe(422)
  })

  test('[SV15] a new conversation names the one before it', async () => {
    const visitor = new Visitor(service)
    const first = await visitor.begin()
    await visitor.call(`${path(first.id)}/close`, { method: 'POST' })
    clock += 1
    const second = (await visitor.start({ previousConversationId: 'someone-elses' })).body
    expect(second).toMatchObject({ previousId: first.id, state: 'pending' })
    expect(await read(visitor, second.id)).toMatchObject({ previousId: first.id })
    expect((await visitor.open()).body.conversation).toEqual({
      id: second.id,
      state: 'pending',
      previousId: first.id,
      previousState: 'closed',
    })
  })

  test('[SV96] what changes something is answered for no cache', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    const attributes = { customAttributes: { a: '1' } }
    const answers = [
      await visitor.open(),
      await visitor.say(conversation, 'hello'),
      await visitor.call(path(conversation.id), { method: 'PATCH', body: attributes }),
      await visitor.call(`${path(conversation.id)}/close`, { method: 'POST' }),
      await visitor.start(),
      await visitor.say(conversation, 'too late'),
    ]
    expect(answers.map(({ headers }) => headers.get('Cache-Control'))).toEqual(answers.map(() => 'no-store'))
    expect((await visitor.list(conversation.id)).headers.get('Cache-Control')).toBe('private, no-cache')
  })

  test('[SV16] attributes merge key by key under If-Match; a conflict carries the present value', async () => {
    const visitor = new Visitor(service)
    const { id } = (await visitor.open()) && (await visitor.start({ customAttributes: { cart: '1', page: '/' } })).body
    const etag = (await visitor.call(path(id))).headers.get('ETag') ?? ''
    const done = await patch(
      visitor,
      id,
      { customAttributes: { cart: '2', page: null }, routingData: { queue: 'a' } },
      etag,
    )
    expect(done.body).toMatchObject({ version: 2, customAttributes: { cart: '2' }, routingData: { queue: 'a' } })
    expect(done.body.customAttributes).not.toHaveProperty('page')
    const late = await patch(visitor, id, { customAttributes: { cart: '3' } }, etag)
    expect(late).toMatchObject({
      status: 412,
      body: { code: 'version-conflict', present: { version: 2, customAttributes: { cart: '2' } } },
    })
    expect((await patch(visitor, id, { customAttributes: { cart: '3' } }, late.headers.get('ETag') ?? '')).status).toBe(
      200,
    )
    expect((await patch(visitor, id, { customAttributes: { cart: '3' } })).body.version).toBe(3)
    expect((await patch(visitor, id, { customAttributes: { cart: '3' } }, '"3"')).body.version).toBe(4)
    expect((await patch(visitor, id, { customAttributes: { cart: 'older' } }, '"3"')).status).toBe(412)
    expect((await patch(visitor, id, {}, 'nonsense')).status).toBe(400)
  })

  test('[SV16] a message in between is no conflict', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    await visitor.say(conversation, 'one')
    const etag = (await visitor.call(path(conversation.id))).headers.get('ETag') ?? ''
    await visitor.say(conversation, 'two')
    expect((await patch(visitor, conversation.id, { customAttributes: { a: 'b' } }, etag)).status).toBe(200)
  })

  test('[SV18] a hand-over keeps attributes, routing data and transcript', async () => {
    const visitor = new Visitor(service)
    const conversation =
      (await visitor.open()) &&
      (await visitor.start({ customAttributes: { cart: '1' }, routingData: { queue: 'sales' } })).body
    await visitor.say(conversation, 'hello')
    const [kim, lee] = [await agentOf(service), await agentOf(service, service, 'lee')]
    const join = (agent: Visitor, body: unknown) =>
      agent.call<{ id: string; role: string }>(`${path(conversation.id)}/participants`, { body })
    const joined = await join(kim, { role: 'agent' })
    expect(joined).toMatchObject({ status: 201, body: { role: 'agent', name: 'Kim' } })
    expect((await join(kim, { role: 'agent' })).status).toBe(200)
    await kim.say({ id: conversation.id, participantId: joined.body.id }, 'hi there')
    const left = await kim.call<Conversation>(`${path(conversation.id)}/participants/${joined.body.id}`, {
      method: 'DELETE',
    })
    expect(left.body.participants.find((one) => one.id === joined.body.id)?.leftAt).toBe(clock)
    expect((await kim.say({ id: conversation.id, participantId: joined.body.id }, 'still here?')).body).toMatchObject({
      code: 'not-your-participant',
    })
    expect((await join(lee, { role: 'agent', participantId: joined.body.id })).status).toBe(409)
    expect(
      (await join(lee, { role: 'agent', participantId: 'desk-2', routingData: { queue: 'returns' } })).body.id,
    ).toBe('desk-2')
    await lee.say({ id: conversation.id, participantId: 'desk-2' }, 'taking over')
    const after = await read(visitor, conversation.id)
    expect(after).toMatchObject({ customAttributes: { cart: '1' }, routingData: { queue: 'returns' }, lastSeq: 3 })
    expect((await visitor.list(conversation.id)).body.messages.map(({ text }) => text)).toEqual([
      'hello',
      'hi there',
      'taking over',
    ])
    expect((await join(visitor, { role: 'agent' })).body).toMatchObject({ code: 'agents-only' })
  })

  test('[SV19] a close ends it for good, and twice is fine', async () => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    expect((await visitor.call<Conversation>(`${path(id)}/close`, { method: 'POST' })).body.state).toBe('closed')
    expect((await visitor.call(`${path(id)}/close`, { method: 'POST' })).status).toBe(200)
    expect((await patch(visitor, id, { customAttributes: { a: 'b' } })).body.code).toBe('conversation-closed')
    expect((await visitor.say({ id }, 'hello?')).body).toMatchObject({ code: 'conversation-closed', status: 409 })
    expect((await visitor.start()).body.id).not.toBe(id)
  })

  test('[SV45] an idle conversation expires, and is archived a day later', async () => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    clock += 7 * 24 * 3600_000 + 1
    await service.sweep()
    const agent = await agentOf(service)
    expect((await read(agent, id)).state).toBe('expired')
    clock += 24 * 3600_000 + 1
    await service.sweep()
    expect((await read(await agentOf(service), id)).state).toBe('archived')
  })

  test('[SV28] an agent lists the open conversations of its deployment, newest activity first', async () => {
    const visitors = times(3, () => new Visitor(service))
    const ids: string[] = []
    for (const visitor of visitors) {
      clock += 10
      ids.push((await visitor.begin()).id)
    }
    clock += 10
    await visitors[0]?.say({ id: ids[0] ?? '' }, 'me again')
    await visitors[1]?.call(`${path(ids[1] ?? '')}/close`, { method: 'POST' })
    const agent = await agentOf(service)
    const listed = await agent.call<{ conversations: Conversation[] }>('/api/v2/messaging/conversations?state=open')
    expect(listed.body.conversations.map(({ id }) => id)).toEqual([ids[0], ids[2]])
    const other = new Visitor(service)
    other.token = await service.agentToken({ deploymentId: 'shop', agentId: 'sam', name: 'Sam' })
    expect(
      (await other.call<{ conversations: unknown[] }>('/api/v2/messaging/conversations')).body.conversations,
    ).toEqual([])
    expect((await other.call<Problem>(path(ids[0] ?? ''))).body.code).toBe('unknown-conversation')
  })
})

describe('messages', () => {
  test('[SV20] 100 posts of one key at the same instant are one message', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    const answers = await Promise.all(times(100, () => visitor.say(conversation, 'once', 'the-only-key')))
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1)
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.filter(({ headers }) => headers.get('Idempotent-Replayed') === 'true')).toHaveLength(99)
    expect((await visitor.list(conversation.id)).body).toMatchObject({
      lastSeq: 1,
      messages: [{ seq: 1, text: 'once' }],
    })
  })

  test('[SV20] a key gets its first answer also after the close and a month later', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    const first = await visitor.say(conversation, 'hello', 'key-of-hello')
    await visitor.call(`${path(conversation.id)}/close`, { method: 'POST' })
    expect((await visitor.say(conversation, 'hello', 'key-of-hello')).body).toEqual(first.body)
    clock += 5 * 24 * 3600_000
    await service.sweep()
    await visitor.open()
    expect(await visitor.say(conversation, 'hello', 'key-of-hello')).toMatchObject({ status: 200, body: first.body })
  })

  test('[SV21] the same key with another body is refused, at once and after the close', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    await visitor.say(conversation, 'hello', 'key-of-hello')
    expect((await visitor.say(conversation, 'bye', 'key-of-hello')).body).toMatchObject({
      code: 'idempotency-key-reused',
      status: 422,
    })
    await visitor.call(`${path(conversation.id)}/close`, { method: 'POST' })
    expect((await visitor.say(conversation, 'bye', 'key-of-hello')).status).toBe(422)
  })

  test('[SV21] the members of the metadata may come in another order, and keys of others do not matter', async () => {
    const visitor = new Visitor(service)
    const { id, participantId } = await visitor.begin()
    const post = (metadata: unknown) =>
      visitor.call(`${path(id)}/messages`, {
        body: { participantId, text: 'x', metadata },
        headers: { 'Idempotency-Key': 'shared-key' },
      })
    await post({ a: 1, b: { c: 2, d: 3 } })
    expect((await post({ b: { d: 3, c: 2 }, a: 1 })).status).toBe(200)
    const agent = await agentOf(service)
    await agent.call(`${path(id)}/participants`, { body: { role: 'agent', participantId: 'desk-1' } })
    expect((await agent.say({ id, participantId: 'desk-1' }, 'mine', 'shared-key')).status).toBe(201)
  })

  test('[SV22] 100 posts at once are numbered 1 to 100 without gap, refusals and replays in between', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    const posts = times(100, (index) => [
      visitor.say(conversation, `m${index}`, `key-number-${index}`),
      visitor.say(conversation, index % 2 ? `m${index}` : 'other', `key-number-${index}`),
      visitor.say({ id: conversation.id, participantId: 'nobody' }, 'x'),
    ])
    await Promise.all(posts.flat())
    const { body } = await visitor.list(conversation.id, '?limit=200')
    expect(body.messages.map(({ seq }) => seq)).toEqual(times(100, (index) => index + 1))
    expect(body.lastSeq).toBe(100)
  })

  test('[SV23] pages follow the cursor; an unchanged page is a 304; an unknown cursor is a 410', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    for (const index of [1, 2, 3, 4, 5]) await visitor.say(conversation, `m${index}`)
    const one = await visitor.list(conversation.id, '?limit=2')
    const two = await visitor.list(conversation.id, `?limit=2&afterId=${one.body.nextAfterId}`)
    const three = await visitor.list(conversation.id, `?limit=2&afterId=${two.body.nextAfterId}`)
    const end = await visitor.list(conversation.id, `?limit=2&afterId=${three.body.nextAfterId}`)
    expect([one, two, three, end].map(({ body }) => body.messages.map(({ text }) => text))).toEqual([
      ['m1', 'm2'],
      ['m3', 'm4'],
      ['m5'],
      [],
    ])
    expect(end.body).toMatchObject({ nextAfterId: three.body.nextAfterId, lastSeq: 5 })

    const etag = end.headers.get('ETag') ?? ''
    expect(etag).toMatch(/^W\//)
    const again = () =>
      visitor.call(`${path(conversation.id)}/messages?limit=2&afterId=${three.body.nextAfterId}`, {
        headers: { 'If-None-Match': etag },
      })
    expect((await again()).status).toBe(304)
    await visitor.say(conversation, 'm6')
    expect((await again()).status).toBe(200)

    const start = await visitor.list(conversation.id, '?afterId=&limit=2')
    expect(start.body.messages.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2])

    const other = new Visitor(service)
    const theirs = await other.say(await other.begin(), 'x')
    for (const afterId of ['nonsense', theirs.body.id]) {
      expect(await visitor.list(conversation.id, `?afterId=${afterId}`)).toMatchObject({
        status: 410,
        body: { code: 'resync' },
      })
    }
  })

  test('[SV24] the key goes back to its maker only', async () => {
    const visitor = new Visitor(service)
    const { id, participantId } = await visitor.begin()
    await visitor.say({ id, participantId }, 'from me', 'my-own-key')
    const agent = await agentOf(service)
    await agent.call(`${path(id)}/participants`, { body: { role: 'agent' } })
    await agent.say({ id }, 'from kim', 'kims-own-key')
    const keys = async (who: Visitor) => (await who.list(id)).body.messages.map(({ key }) => key)
    expect(await keys(visitor)).toEqual(['my-own-key', undefined])
    expect(await keys(agent)).toEqual([undefined, 'kims-own-key'])
    expect(await keys(await agentOf(service, service, 'lee'))).toEqual([undefined, undefined])
  })

  test("[SV25] the first customer's message makes the conversation active", async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    expect(conversation.state).toBe('pending')
    await visitor.say(conversation, 'hello')
    expect(await read(visitor, conversation.id)).toMatchObject({ state: 'active', version: 2 })
    await visitor.say(conversation, 'again')
    expect((await read(visitor, conversation.id)).version).toBe(2)
  })

  test('[SV20] text comes back as it was sent, whatever is in it', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    const texts = ['\u0000\u0001', '\ud800 lone', '👩‍👩‍👧 é é', "'; drop table message; --", ' ', '‮', 'x'.repeat(4096)]
    for (const text of texts) expect((await visitor.say(conversation, text)).status).toBe(201)
    expect((await visitor.list(conversation.id)).body.messages.map(({ text }) => text)).toEqual(texts)
  })
})

describe('limits', () => {
  const key = { 'Idempotency-Key': 'a-fitting-key' }
  test.each([
    { is: 'no key', body: { text: 'x' }, headers: {}, status: 400, code: 'idempotency-key-required' },
    {
      is: 'a short key',
      body: { text: 'x' },
      headers: { 'Idempotency-Key': 'x' },
      status: 400,
      code: 'idempotency-key-required',
    },
    { is: 'no text', body: {}, headers: key, status: 400, code: 'invalid-request' },
    { is: 'an empty text', body: { text: '' }, headers: key, status: 400, code: 'message-empty' },
    { is: 'a long text', body: { text: 'x'.repeat(4097) }, headers: key, status: 400, code: 'message-too-long' },
    { is: 'a text that is a number', body: { text: 5 }, headers: key, status: 400, code: 'invalid-request' },
    {
      is: 'metadata that is a list',
      body: { text: 'x', metadata: [1] },
      headers: key,
      status: 400,
      code: 'invalid-request',
    },
    {
      is: 'much metadata',
      body: { text: 'x', metadata: { a: 'x'.repeat(9000) } },
      headers: key,
      status: 400,
      code: 'metadata-too-large',
    },
    {
      is: 'deep metadata',
      body: `{"text":"x","metadata":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`,
      headers: key,
      status: 400,
      code: 'metadata-too-large',
    },
    {
      is: 'an odd content type',
      body: { text: 'x', contentType: 'text' },
      headers: key,
      status: 400,
      code: 'invalid-request',
    },
    { is: 'a large body', body: { text: 'x'.repeat(70_000) }, headers: key, status: 413, code: 'body-too-large' },
    { is: 'broken JSON', body: '{"text":', headers: key, status: 400, code: 'malformed-json' },
    {
      is: 'another participant',
      body: { text: 'x', participantId: 'nobody' },
      headers: key,
      status: 403,
      code: 'not-your-participant',
    },
  ])('[SV17] a message with $is: $code', async ({ body, headers, status, code }) => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    const answer = await visitor.call<Problem>(`${path(id)}/messages`, {
      body,
      headers: headers as Record<string, string>,
    })
    expect(answer).toMatchObject({ status, body: { code } })
    expect(JSON.stringify(answer.body)).not.toContain('xxx')
  })

  test.each([
    { is: 'a long value', body: { customAttributes: { a: 'x'.repeat(2001) } }, code: 'attribute-too-long' },
    { is: 'a nested value', body: { customAttributes: { a: { b: 1 } } }, code: 'invalid-request' },
    {
      is: 'too many',
      body: { customAttributes: Object.fromEntries(times(101, (n) => [`a${n}`, 'x'])) },
      code: 'too-many-attributes',
    },
    { is: 'much routing data', body: { routingData: { a: 'é'.repeat(8192) } }, code: 'routing-data-too-large' },
    {
      is: 'deep routing data',
      body: `{"routingData":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`,
      code: 'routing-data-too-large',
    },
  ])('[SV17] attributes with $is: $code', async ({ body, code }) => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    expect((await patch(visitor, id, body)).body).toMatchObject({ code, status: 400 })
    expect(await read(visitor, id)).toMatchObject({ version: 1, customAttributes: {}, routingData: {} })
  })

  test.each(['attribute-too-long', 'too-many-attributes', 'routing-data-too-large'])(
    '[SV17] %s holds for a new conversation too',
    async (code) => {
      const bodies: Record<string, unknown> = {
        'attribute-too-long': { customAttributes: { a: 'x'.repeat(2001) } },
        'too-many-attributes': { customAttributes: Object.fromEntries(times(101, (n) => [`a${n}`, 'x'])) },
        'routing-data-too-large': { routingData: { a: 'x'.repeat(16_384) } },
      }
      const visitor = new Visitor(service)
      await visitor.open()
      expect((await visitor.start(bodies[code] as Record<string, unknown>)).body).toMatchObject({ code })
    },
  )
})

describe('who may what', () => {
  const calls: { is: string; method: string; path: (c: Created) => string; body?: unknown }[] = [
    { is: 'read', method: 'GET', path: (c) => path(c.id) },
    { is: 'change', method: 'PATCH', path: (c) => path(c.id), body: { customAttributes: { a: 'b' } } },
    { is: 'list', method: 'GET', path: (c) => `${path(c.id)}/messages` },
    { is: 'post', method: 'POST', path: (c) => `${path(c.id)}/messages`, body: { text: 'x' } },
    { is: 'close', method: 'POST', path: (c) => `${path(c.id)}/close` },
    { is: 'poll', method: 'GET', path: (c) => `/api/v2/messaging/stream/poll?conversationId=${c.id}&waitMs=0` },
  ]
  test.each(calls)(
    "[SV27] to $is someone else's conversation is to ask for one that does not exist",
    async ({ method, path, body }) => {
      const owner = new Visitor(service)
      const conversation = await owner.begin()
      const other = new Visitor(service)
      await other.open()
      const headers = { 'Idempotency-Key': freshKey() }
      for (const target of [conversation, { ...conversation, id: 'no-such-conversation' }]) {
        const answer = await other.call<Problem>(path(target), { method, body, headers })
        expect(answer.body).toMatchObject({ status: 404, code: 'unknown-conversation' })
      }
      expect(await read(owner, conversation.id)).toMatchObject({ state: 'pending', version: 1, lastSeq: 0 })
    },
  )

  test.each(calls)('[SV27] to $is without a token is refused', async ({ method, path, body }) => {
    const answer = await new Visitor(service).call<Problem>(path({ id: 'x' } as Created), { method, body })
    expect(answer).toMatchObject({ status: 401, body: { code: 'missing-token' } })
    expect(answer.headers.get('WWW-Authenticate')).toContain('Bearer')
  })

  test('[SV40] only pages of the deployment may use it, and they may with credentials', async () => {
    const visitor = new Visitor(service, 'shop')
    const open = (origin: string) =>
      visitor.call<Problem>('/api/v2/widget/sessions', {
        body: { deploymentId: 'shop', refreshKey: freshKey() },
        headers: { Origin: origin },
      })
    expect((await open('https://evil.example')).body.code).toBe('origin-not-allowed')
    expect((await open('https://shop.example.evil')).body.code).toBe('origin-not-allowed')
    const good = await open('https://www.shop.example')
    expect(good.status).toBe(201)
    expect(good.headers.get('Access-Control-Allow-Origin')).toBe('https://www.shop.example')
    expect(good.headers.get('Access-Control-Allow-Credentials')).toBe('true')
    expect(good.headers.get('Access-Control-Expose-Headers')).toMatch(/ETag.*Idempotent-Replayed.*Retry-After/)
    const preflight = await visitor.call('/api/v2/widget/sessions', {
      method: 'OPTIONS',
      headers: { Origin: 'https://a.shop.example' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('Access-Control-Allow-Headers')).toMatch(/Idempotency-Key/)
  })

  test('[SV40] where every deployment has its list, other origins get nothing at all', async () => {
    const strict = await createSessionService({ deployments: { shop: { origins: ['https://shop.example'] } } })
    const answer = await new Visitor(strict).call<Problem>('/healthz', { headers: { Origin: 'https://evil.example' } })
    expect(answer).toMatchObject({ status: 403, body: { code: 'origin-not-allowed' } })
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBeNull()
    await strict.close()
    await expect(createSessionService({ cookie: { secure: true, sameSite: 'None' } })).rejects.toThrow(TypeError)
  })

  test('[SV41] identity without configuration is a documented answer', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const answer = await visitor.call<Problem>('/api/v2/widget/auth/authenticate', { body: { token: 'x.y.z' } })
    expect(answer).toMatchObject({ status: 400, body: { code: 'identity-not-configured' } })
  })
})

describe('context and snapshots', () => {
  const value = '/api/v2/widget-context/session/cart'
  const put = (visitor: Visitor, content: unknown, headers = {}) =>
    visitor.call<Problem & { version: number }>(value, { method: 'PUT', body: { value: content }, headers })

  test('[SV38] a value is versioned; a conflict carries the present one', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    expect((await visitor.call<Problem>(value)).body.code).toBe('unknown-context')
    expect(await put(visitor, { items: 1 }, { 'If-None-Match': '*' })).toMatchObject({
      status: 201,
      body: { version: 1 },
    })
    expect((await put(visitor, { items: 2 }, { 'If-None-Match': '*' })).status).toBe(412)
    expect((await put(visitor, { items: 2 }, { 'If-Match': '"1"' })).body.version).toBe(2)
    const late = await put(visitor, { items: 3 }, { 'If-Match': '"1"' })
    expect(late.body).toMatchObject({ code: 'version-conflict', present: { version: 2, value: { items: 2 } } })
    const got = await visitor.call(value)
    expect(got).toMatchObject({
      status: 200,
      body: { scope: 'session', name: 'cart', version: 2, value: { items: 2 } },
    })
    expect((await visitor.call(value, { headers: { 'If-None-Match': got.headers.get('ETag') ?? '' } })).status).toBe(
      304,
    )
  })

  test('[SV38] a removed value leaves its version behind', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    await put(visitor, 1)
    expect((await visitor.call(value, { method: 'DELETE', headers: { 'If-Match': '"7"' } })).status).toBe(412)
    expect((await visitor.call(value, { method: 'DELETE', headers: { 'If-Match': '"1"' } })).status).toBe(204)
    expect((await visitor.call(value)).status).toBe(404)
    expect((await put(visitor, 2)).body.version).toBe(3)
    expect((await put(visitor, 3, { 'If-Match': '"1"' })).status).toBe(412)
  })

  test('[SV38] the scope of a conversation is shared with its agents, that of a session with nobody', async () => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    const agent = await agentOf(service)
    expect(
      (await visitor.call(`/api/v2/widget-context/${id}/form`, { method: 'PUT', body: { value: 'half' } })).status,
    ).toBe(201)
    expect((await agent.call(`/api/v2/widget-context/${id}/form`)).body).toMatchObject({ value: 'half' })
    expect((await agent.call(value)).status).toBe(404)
    const other = new Visitor(service)
    await other.open()
    expect((await other.call(`/api/v2/widget-context/${id}/form`)).status).toBe(404)
    expect((await other.call('/api/v2/widget-context/user/form')).status).toBe(404)
    expect((await put(other, 'x'.repeat(17_000))).body.code).toBe('context-too-large')
  })

  test('[SV39] the newest snapshot wins and comes back with the session', async () => {
    const visitor = new Visitor(service)
    const { body } = await visitor.open()
    const persist = (timestamp: number, stateSnapshot: unknown, persistentSessionId = body.persistentSessionId) =>
      visitor.call('/chat-state/persist', {
        body: { persistentSessionId, conversationId: null, timestamp, stateSnapshot },
      })
    expect((await persist(clock + 5, { open: 'ahead' })).body).toEqual({ stored: true })
    clock += 1
    expect((await persist(clock, { open: 'later' })).body).toEqual({ stored: true })
    expect((await visitor.open()).body.stateSnapshot).toEqual({ open: 'later' })
  })

  test('[SV39] an older snapshot changes nothing, and nobody else has a say', async () => {
    const visitor = new Visitor(service)
    const { body } = await visitor.open()
    const persist = (timestamp: number, stateSnapshot: unknown, persistentSessionId = body.persistentSessionId) =>
      visitor.call('/chat-state/persist', {
        body: { persistentSessionId, conversationId: null, timestamp, stateSnapshot },
      })
    expect((await persist(20, { open: true })).body).toEqual({ stored: true })
    expect((await persist(10, { open: false })).body).toEqual({ stored: false })
    expect((await persist(30, {}, 'another-session')).body).toMatchObject({ code: 'not-your-session' })
    expect((await visitor.open()).body.stateSnapshot).toEqual({ open: true })
  })
})

describe('operations', () => {
  test('[SV42] health, readiness, metrics and the OpenAPI document are served', async () => {
    const anyone = new Visitor(service)
    expect((await anyone.call('/healthz')).status).toBe(200)
    expect((await anyone.call('/readyz')).status).toBe(200)
    const visitor = new Visitor(service)
    await visitor.say(await visitor.begin(), 'hello')
    expect((await anyone.call<string>('/metrics')).body).toMatch(/^holdfast_messages_total 1$/m)
    const { paths, openapi } = (await anyone.call<{ paths: Record<string, object>; openapi: string }>('/openapi.json'))
      .body
    expect(openapi).toBe('3.1.0')
    const described = Object.values(paths).flatMap((path) => Object.values(path) as { operationId: string }[])
    expect(described).toHaveLength(32)
    expect(new Set(described.map(({ operationId }) => operationId)).size).toBe(32)
    expect(JSON.stringify(paths['/api/v2/messaging/conversations/{id}/messages'])).toContain('`conversation-closed`')
    expect((await anyone.call<Problem>('/nowhere')).body.code).toBe('not-found')
    expect((await anyone.call<Problem>('/api/v2/messaging/stream')).status).toBe(426)
  })

  test('[SV43] the log holds no token, key, cookie or text', async () => {
    const lines: string[] = []
    const logged = await createSessionService({ log: (entry) => lines.push(JSON.stringify(entry)) })
    const visitor = new Visitor(logged)
    const { body } = await visitor.open(freshKey(), { tokenDelivery: 'body' })
    const conversation = (await visitor.start()).body
    await visitor.say(conversation, 'a very private text', 'a-very-private-key')
    await visitor.call(`${path(conversation.id)}/messages`, {
      body: '{"text":"a very private text',
      headers: { 'Idempotency-Key': 'a-very-private-key' },
    })
    const second = (await visitor.refresh(freshKey(), body.grant.refresh_token)).body
    await visitor.refresh(freshKey(), second.refresh_token)
    await visitor.refresh(freshKey(), body.grant.refresh_token)
    await logged.close()
    const all = lines.join('\n')
    expect(all).toContain('refresh-token-reused')
    for (const secret of ['private', 'rt1.', body.grant.access_token, 'eyJ']) expect(all).not.toContain(secret)
  })

  test('[SV26] the hook between commit and answer sees the route; what it holds back is committed', async () => {
    const routes: string[] = []
    let hold = Promise.resolve()
    const afterCommit = (route: string) => {
      routes.push(route)
      return hold
    }
    const hooked = await createSessionService({ hooks: { afterCommit } })
    const visitor = new Visitor(hooked)
    const conversation = await visitor.begin()
    let release = () => {}
    hold = new Promise((resolve) => {
      release = resolve
    })
    const held = visitor.say(conversation, 'hello', 'key-of-hello')
    while (routes.length < 3) await new Promise((resolve) => setImmediate(resolve))
    expect((await visitor.list(conversation.id)).body.lastSeq).toBe(1)
    release()
    expect((await held).status).toBe(201)
    expect(routes).toEqual([
      'POST /api/v2/widget/sessions',
      'POST /api/v2/messaging/conversations',
      'POST /api/v2/messaging/conversations/{id}/messages',
    ])
    await hooked.close()
  })
})
