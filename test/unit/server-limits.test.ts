// How much one session and one address may ask for, and bytes that are no text.
import { once } from 'node:events'
import { beforeEach, describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { addressOf, Buckets, limitsFrom, Tally } from '../../server/limits.ts'
import { freshKey, times, Visitor } from './server-visitor.ts'

let clock: number
let service: SessionService
const LIMITS = { sessionRequestsPerSecond: 2, sessionRequestsBurst: 5, sessionStreamsMax: 2 }

beforeEach(async () => {
  clock = 1_900_000_000_000
  service = await createSessionService({
    now: () => clock,
    limits: {
      ...LIMITS,
      addressRequestsPerSecond: 1,
      addressRequestsBurst: 10,
      addressStreamsMax: 3,
      trustedProxies: 1,
    },
  })
  return () => service.close()
})

describe('rates', () => {
  test('[SV57] a bucket gives its burst at once, then its rate, and says how long to wait', () => {
    const buckets = new Buckets(2, 3)
    expect(times(4, () => buckets.take('a', 1000))).toEqual([0, 0, 0, 500])
    expect(buckets.take('b', 1000)).toBe(0)
    expect(buckets.take('a', 1499)).toBeGreaterThan(0)
    expect(buckets.take('a', 1500)).toBe(0)
    expect(buckets.take('a', 500)).toBeGreaterThan(0)
    buckets.sweep(60_000)
    expect(buckets.size).toBe(0)
  })

  test('[SV57] a session over its rate gets 429 with Retry-After, and others go on', async () => {
    const visitor = new Visitor(service)
    const conversation = await visitor.begin()
    const other = new Visitor(service)
    await other.open()
    const answers = await Promise.all(times(8, () => visitor.say(conversation, 'hello', freshKey())))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(4)
    for (const { headers, body } of refused) {
      expect(headers.get('Retry-After')).toBe('1')
      expect(body).toMatchObject({ code: 'rate-limited' })
    }
    expect((await other.start()).status).toBe(201)
    clock += 1000
    expect((await visitor.list(conversation.id)).body.messages.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
  })

  test('[SV57] an address over its rate gets 429, but probes are answered', async () => {
    const from = (address: string, path = '/openapi.json') =>
      new Visitor(service).call(path, { headers: { 'X-Forwarded-For': `1.2.3.4, ${address}` } })
    const answers = await Promise.all(times(12, () => from('203.0.113.7')))
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(2)
    expect((await from('203.0.113.8')).status).toBe(200)
    expect((await from('203.0.113.7', '/healthz')).status).toBe(200)
  })

  test.each([
    [0, '203.0.113.7', undefined, '203.0.113.7'],
    [0, '::ffff:203.0.113.7', '9.9.9.9', '203.0.113.7'],
    [0, '10.1.2.3', '9.9.9.9', undefined],
    [0, '::1', undefined, undefined],
    [1, '10.1.2.3', '9.9.9.9, 203.0.113.7', '203.0.113.7'],
    [2, '10.1.2.3', '9.9.9.9, 203.0.113.7, 10.0.0.1', '203.0.113.7'],
    [1, '10.1.2.3', 'nonsense', undefined],
    [1, '10.1.2.3', undefined, undefined],
    [1, '10.1.2.3', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    [1, '10.1.2.3', '2001:db8::6', '2001:db8:0:0'],
  ])('[SV57] behind %i proxies the peer %s, forwarded for %s, counts as %s', (proxies, peer, forwarded, address) => {
    expect(addressOf(proxies, peer, forwarded)).toBe(address)
  })

  test('[SV57] a limit of nothing does not start', () => {
    expect(() => limitsFrom({ sessionRequestsBurst: 0 })).toThrow(TypeError)
    expect(() => limitsFrom({ addressRequestsPerSecond: Number.NaN })).toThrow(TypeError)
  })
})

describe('streams', () => {
  test('[SV58] a tally gives back what was held, once', () => {
    const tally = new Tally(1)
    const release = tally.hold('a')
    expect(tally.hold('a')).toBeNull()
    release?.()
    release?.()
    expect(tally.hold('a')).not.toBeNull()
    expect(tally.hold('a')).toBeNull()
  })

  test('[SV58] a session holds only so many polls and sockets, and an address only so many sockets', async () => {
    const { url } = await service.listen(0)
    const visitor = new Visitor(url)
    const { id } = await visitor.begin()
    const connect = async (address = '203.0.113.7') => {
      const headers = { 'X-Forwarded-For': address }
      const ws = new WebSocket(`${url.replace('http', 'ws')}/api/v2/messaging/stream`, 'holdfast.v2', { headers })
      await once(ws, 'open')
      ws.send(JSON.stringify({ type: 'auth', token: visitor.token, conversationId: id }))
      const [frame] = (await once(ws, 'message')) as [Buffer]
      return { ws, frame: JSON.parse(String(frame)) as { type: string; code?: string } }
    }
    const first = await connect()
    const second = await connect()
    expect([first.frame.type, second.frame.type]).toEqual(['ready', 'ready'])
    expect((await connect()).frame).toMatchObject({ type: 'error', code: 'rate-limited' })
    const poll = `/api/v2/messaging/stream/poll?conversationId=${id}&waitMs=0`
    expect(await visitor.call(poll)).toMatchObject({ status: 429, body: { code: 'rate-limited' } })
    first.ws.close()
    await once(first.ws, 'close')
    clock += 2000
    await expect.poll(async () => (await visitor.call(poll)).status).toBe(200)
    const other = await Promise.all(times(2, async () => (await connect('203.0.113.9')).ws))
    for (const ws of [...other, second.ws]) ws.close()
  })

  test('[SV58] an address with all its sockets taken is refused at the upgrade', async () => {
    const { url } = await service.listen(0)
    const open = () =>
      new WebSocket(`${url.replace('http', 'ws')}/api/v2/messaging/stream`, 'holdfast.v2', {
        headers: { 'X-Forwarded-For': '203.0.113.7' },
      })
    const held = times(3, open)
    await Promise.all(held.map((ws) => once(ws, 'open')))
    const [error] = (await once(open(), 'error')) as [Error]
    expect(error.message).toContain('429')
    for (const ws of held) ws.terminate()
  })
})

describe('text', () => {
  test('[SV59] bytes that are no UTF-8 are refused with a code, and nothing is stored', async () => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    const text = Buffer.from('{"text":"caf\xe9"}', 'latin1')
    const post = (body: Uint8Array<ArrayBuffer>) =>
      service.fetch(
        new Request(`http://localhost/api/v2/messaging/conversations/${id}/messages`, {
          method: 'POST',
          body,
          headers: {
            Authorization: `Bearer ${visitor.token}`,
            'Content-Type': 'application/json',
            'Idempotency-Key': freshKey(),
          },
        }),
      )
    const refused = await post(new Uint8Array(text))
    expect([refused.status, await refused.json()]).toMatchObject([400, { code: 'invalid-utf8' }])
    expect((await post(new Uint8Array(Buffer.from('{"text":"café"}')))).status).toBe(201)
    expect((await visitor.list(id)).body.messages.map(({ text }) => text)).toEqual(['café'])
  })

  test('[SV59] control characters in names and a NUL in an address are refused', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    expect((await visitor.start({ channelId: 'we\u0000b' })).body).toMatchObject({ code: 'invalid-request' })
    expect((await visitor.list('a%00b')).status).toBe(404)
    expect((await visitor.call('/api/v2/messaging/conversations/%00')).status).toBe(404)
  })
})
