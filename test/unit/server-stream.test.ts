// The live side over real sockets on loopback: first frame, backlog and live, expiry, limits, polls, drain.
// Time is the service's injected clock and its own tick; nothing here waits for a wall clock.
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { agentOf, freshKey, type Problem, times, Visitor } from './server-visitor.ts'

type Frame = {
  type: string
  code?: string
  id?: unknown
  lastSeq?: number
  conversationId?: string
  afterMs?: number
  on?: boolean
  role?: string
  message?: { seq: number; text: string; key?: string; conversationId: string }
  conversation?: { id: string; state: string; version: number }
  event?: { type: string; participantId?: string }
  expiresAt?: number
}

let clock: number
let service: SessionService
let url: string
const opened: Line[] = []

beforeEach(async () => {
  clock = 1_900_000_000_000
  service = await createSessionService({
    now: () => clock,
    drainSpreadMs: 1000,
    deployments: { demo: {}, shop: { origins: ['https://shop.example'] } },
  })
  url = (await service.listen(0)).url
})
afterEach(async () => {
  for (const line of opened.splice(0)) line.socket.terminate()
  await service.close()
})

/** One socket, and everything it has heard. */
class Line {
  readonly socket: WebSocket
  readonly frames: Frame[] = []
  readonly closed: Promise<{ code: number; reason: string }>
  #changed = () => {}

  constructor(options: { protocols?: string[]; headers?: Record<string, string>; path?: string } = {}) {
    const { protocols = ['holdfast.v2'], headers = {}, path = '/api/v2/messaging/stream' } = options
    this.socket = new WebSocket(url.replace('http', 'ws') + path, protocols, { headers })
    this.socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)) as Frame)
      this.#changed()
    })
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
    })
    this.socket.on('error', () => {})
    opened.push(this)
  }

  async ready(): Promise<this> {
    if (this.socket.readyState === WebSocket.OPEN) return this
    await new Promise((resolve, reject) => {
      this.socket.once('open', resolve)
      this.socket.once('error', reject)
    })
    return this
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** Resolves with the first frame that fits, heard or yet to come. */
  async until(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(fits)
      if (found) return found
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  texts(): (string | undefined)[] {
    return this.frames.filter((frame) => frame.type === 'message').map((frame) => frame.message?.text)
  }

  /** A round trip: everything the service sent before it has arrived. */
  async settled(): Promise<void> {
    const id = freshKey()
    this.send({ type: 'ping', id })
    await this.until((frame) => frame.type === 'pong' && frame.id === id)
  }
}

const ofType = (type: string) => (frame: Frame) => frame.type === type
const saying = (text: string) => (frame: Frame) => frame.message?.text === text

async function listen(visitor: Visitor, conversationId: string | null, afterSeq = 0): Promise<Line> {
  const line = await new Line().ready()
  line.send({ type: 'auth', token: visitor.token, conversationId, afterSeq })
  await line.until(ofType('ready'))
  return line
}

describe('the first frame', () => {
  test('[SV29] auth opens the stream, which says where it is', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    await visitor.say(conversation, 'hello')
    const line = await listen(visitor, conversation.id)
    expect(line.frames[0]).toEqual({ type: 'ready', conversationId: conversation.id, lastSeq: 1 })
    expect(line.socket.protocol).toBe('holdfast.v2')
  })

  test.each([
    { is: 'another frame', frame: { type: 'ping', id: 1 }, code: 'auth-expected', close: 4401 },
    { is: 'no JSON', frame: 'hello', code: 'auth-expected', close: 4401 },
    {
      is: 'a token of nobody',
      frame: { type: 'auth', token: 'x', conversationId: 'y' },
      code: 'invalid-token',
      close: 4401,
    },
  ])('[SV29] $is ends it: $code', async ({ frame, code, close }) => {
    const line = await new Line().ready()
    line.send(frame)
    expect((await line.closed).code).toBe(close)
    expect(line.frames).toEqual([{ type: 'error', code }])
  })

  test('[SV29] silence for 5 s ends it', async () => {
    const line = await new Line().ready()
    clock += 4999
    service.tick()
    expect(line.socket.readyState).toBe(WebSocket.OPEN)
    clock += 1
    service.tick()
    expect((await line.closed).code).toBe(4401)
  })

  test("[SV27] someone else's conversation is not opened", async () => {
    const conversation = await new Visitor(url).begin()
    const other = new Visitor(url)
    await other.open()
    const line = await new Line().ready()
    line.send({ type: 'auth', token: other.token, conversationId: conversation.id, afterSeq: 0 })
    expect((await line.closed).reason).toBe('unknown-conversation')
  })

  test('[SV40] pages of other origins, other addresses and other protocols get no socket', async () => {
    await expect(new Line({ protocols: [] }).ready()).rejects.toThrow('400')
    await expect(new Line({ protocols: ['chat'] }).ready()).rejects.toThrow('400')
    await expect(new Line({ path: '/elsewhere' }).ready()).rejects.toThrow('404')
    const visitor = new Visitor(url, 'shop')
    const conversation = await visitor.begin()
    const line = await new Line({ headers: { Origin: 'https://evil.example' } }).ready()
    line.send({ type: 'auth', token: visitor.token, conversationId: conversation.id })
    expect((await line.closed).reason).toBe('origin-not-allowed')
  })
})

test.each([
  { is: 'another address', path: '/elsewhere', code: 'not-found', status: 404 },
  { is: 'another protocol', protocol: 'chat', code: 'invalid-request', status: 400 },
  { is: 'another version of WebSocket', version: '7', code: 'malformed-request', status: 400 },
  { is: 'a page of nobody', only: 'https://shop.example', code: 'origin-not-allowed', status: 403 },
])('[SV89] $is is refused at the upgrade with a problem', async ({ path, protocol, version, only, code, status }) => {
  const strict = await createSessionService({ deployments: { demo: only === undefined ? {} : { origins: [only] } } })
  const { port } = new URL((await strict.listen(0)).url)
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    Origin: 'https://evil.example',
    'Sec-WebSocket-Version': version ?? '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol': protocol ?? 'holdfast.v2',
  }
  const sent = request({ port, path: path ?? '/api/v2/messaging/stream', headers }).end()
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  expect(answer.headers['content-type']).toBe('application/problem+json')
  expect([answer.statusCode, JSON.parse(await text(answer))]).toEqual([
    status,
    expect.objectContaining({ code, status }),
  ])
  await strict.close()
})

describe('what is heard', () => {
  test('[SV30] the backlog above the cursor in order, then what comes', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    for (const index of [1, 2, 3, 4]) await visitor.say(conversation, `m${index}`)
    const line = await listen(visitor, conversation.id, 2)
    await visitor.say(conversation, 'm5', 'key-of-five')
    expect(await line.until(saying('m5'))).toMatchObject({ message: { seq: 5, key: 'key-of-five' } })
    expect(line.texts()).toEqual(['m3', 'm4', 'm5'])
  })

  test('[SV30] 300 messages posted while 20 streams open with different cursors: each once, in order', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const posts = times(300, (index) => visitor.say(conversation, `m${index + 1}`))
    const lines = await Promise.all(times(20, (index) => listen(visitor, conversation.id, index)))
    await Promise.all(posts)
    for (const [index, line] of lines.entries()) {
      const from = Math.min(index, line.frames[0]?.lastSeq ?? 0)
      await line.until((frame) => frame.message?.seq === 300)
      const seqs = line.frames.filter(ofType('message')).map((frame) => frame.message?.seq)
      expect(seqs).toEqual(times(300 - from, (offset) => from + offset + 1))
    }
  })

  test('[SV30] a change of the conversation is heard, and so is the present state at the start', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const line = await listen(visitor, conversation.id)
    expect((await line.until(ofType('state'))).conversation).toMatchObject({ state: 'pending', version: 1 })
    const agent = await agentOf(service, url)
    await agent.call(`/api/v2/messaging/conversations/${conversation.id}`, {
      method: 'PATCH',
      body: { customAttributes: { vip: true } },
    })
    expect((await line.until((frame) => frame.conversation?.version === 2)).conversation).toMatchObject({
      customAttributes: { vip: true },
    })
    await visitor.say(conversation, 'hello')
    expect((await line.until((frame) => frame.conversation?.state === 'active')).conversation?.version).toBe(3)
  })

  test('[SV33] typing and events reach the others only', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const mine = await listen(visitor, conversation.id)
    const agent = await agentOf(service, url)
    const theirs = await listen(agent, conversation.id)
    mine.send({ type: 'typing', on: true })
    expect(await theirs.until(ofType('typing'))).toMatchObject({
      on: true,
      role: 'customer',
      conversationId: conversation.id,
    })
    await agent.call(`/api/v2/messaging/conversations/${conversation.id}/participants`, {
      body: { role: 'agent', participantId: 'desk-1' },
    })
    expect((await mine.until(ofType('event'))).event).toMatchObject({
      type: 'joined',
      participantId: 'desk-1',
      name: 'Kim',
    })
    theirs.send({ type: 'typing', on: true })
    expect(await mine.until(ofType('typing'))).toMatchObject({ role: 'agent', participantId: 'desk-1' })
    await mine.settled()
    expect(mine.frames.filter(ofType('typing'))).toHaveLength(1)
    await agent.call(`/api/v2/messaging/conversations/${conversation.id}/close`, { method: 'POST' })
    expect(await mine.until((frame) => frame.event?.type === 'closed')).toMatchObject({ event: { role: 'agent' } })
    await mine.until((frame) => frame.conversation?.state === 'closed')
  })

  test('[SV37] an agent without a conversation hears all of the deployment and nothing of another', async () => {
    const [one, two, other] = [new Visitor(url), new Visitor(url), new Visitor(url, 'shop')]
    const old = await one.begin()
    await one.say(old, 'before anyone listened')
    clock += 1
    const agent = await agentOf(service, url)
    const line = await listen(agent, null)
    const [second, foreign] = [await two.begin(), await other.begin()]
    await other.say(foreign, 'in another shop')
    await one.say(old, 'one')
    await two.say(second, 'two')
    expect((await line.until(saying('two'))).message?.conversationId).toBe(second.id)
    await line.until(saying('one'))
    await line.settled()
    expect(line.texts().sort()).toEqual(['one', 'two'])
    expect(new Set(line.frames.filter(ofType('state')).map((frame) => frame.conversation?.id))).toEqual(
      new Set([old.id, second.id]),
    )
  })

  test('[SV32] a ping is answered with its id', async () => {
    const visitor = new Visitor(url)
    const line = await listen(visitor, (await visitor.begin()).id)
    line.send({ type: 'ping', id: 'p-7' })
    expect(await line.until(ofType('pong'))).toEqual({ type: 'pong', id: 'p-7' })
    line.send({ type: 'no-such-frame' })
    expect(await line.until(ofType('error'))).toEqual({ type: 'error', code: 'invalid-frame' })
  })
})

describe('the life of a stream', () => {
  test('[SV31] a new token extends it; without one it ends after a grace', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const line = await listen(visitor, conversation.id)
    clock += 890_000
    const fresh = (await visitor.refresh(freshKey())).body.access_token
    line.send({ type: 'reauth', token: fresh })
    expect((await line.until(ofType('reauthed'))).expiresAt).toBe(Math.ceil((clock + 900_000) / 1000) * 1000)
    clock += 20_000
    service.tick()
    await line.settled()
    expect(line.frames.some(ofType('error'))).toBe(false)

    clock += 900_000
    service.tick()
    expect(await line.until(ofType('error'))).toEqual({ type: 'error', code: 'token-expired' })
    await line.settled()
    clock += 2000
    service.tick()
    expect(await line.closed).toEqual({ code: 4401, reason: 'token-expired' })
  })

  test('[SV31] a token brought within the grace is in time; one of another session is refused', async () => {
    const visitor = new Visitor(url)
    const line = await listen(visitor, (await visitor.begin()).id)
    const other = new Visitor(url)
    await other.open()
    line.send({ type: 'reauth', token: other.token })
    expect(await line.until(ofType('error'))).toEqual({ type: 'error', code: 'not-your-session' })
    service.expireAccessTokens()
    await line.until((frame) => frame.code === 'token-expired')
    line.send({ type: 'reauth', token: (await visitor.refresh(freshKey())).body.access_token })
    await line.until(ofType('reauthed'))
    clock += 5000
    service.tick()
    await line.settled()
  })

  test('[SV11] revoking the session ends its streams', async () => {
    const visitor = new Visitor(url)
    const line = await listen(visitor, (await visitor.begin()).id)
    await visitor.call('/api/v2/widget/auth/revoke', { form: {} })
    expect(await line.closed).toEqual({ code: 4401, reason: 'session-revoked' })
  })

  test('[SV2] a stream of the same device is not "elsewhere"', async () => {
    const visitor = new Visitor(url)
    await listen(visitor, (await visitor.begin()).id)
    expect((await visitor.open()).body.activeElsewhere).toBe(false)
  })

  test('[SV32] a peer that answers no protocol ping is let go, one that answers stays', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const [deaf, alive] = [await listen(visitor, conversation.id), await listen(visitor, conversation.id)]
    // The ws client answers pings by itself, unless it is told otherwise below its API.
    deaf.socket.pong = () => {}
    const pinged = () =>
      Promise.all([deaf, alive].map((line) => new Promise((resolve) => line.socket.once('ping', resolve))))
    const first = pinged()
    clock += 25_000
    service.tick()
    await first
    await alive.settled()
    clock += 25_000
    service.tick()
    expect((await deaf.closed).code).toBe(1006)
    await alive.settled()
  })

  test('[SV34] an oversized frame and a flood of frames end it', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const large = await listen(visitor, conversation.id)
    large.send({ type: 'ping', id: 'x'.repeat(70_000) })
    expect((await large.closed).code).toBe(1009)
    const flood = await listen(visitor, conversation.id)
    // More than fit into a tick, also where they arrive over several.
    for (const id of times(1000, (index) => index)) flood.send({ type: 'ping', id })
    expect(await flood.closed).toEqual({ code: 1008, reason: 'rate-limited' })
  })

  test('[SV34] a reader that stops reading is closed, and the others hear on', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const alive = await listen(visitor, conversation.id)
    const stuck = await stuckReader(visitor, conversation.id)
    const dropped = async () =>
      /holdfast_sockets_dropped_total (\d+)/.exec((await visitor.call<string>('/metrics')).body)?.[1] !== '0'
    const patch = (customAttributes: Record<string, string>) =>
      visitor.call<{ version: number }>(`/api/v2/messaging/conversations/${conversation.id}`, {
        method: 'PATCH',
        body: { customAttributes },
      })
    // Every change now sends all attributes, some 600 kB, to everyone who listens.
    for (const ten of times(10, (index) => index * 10)) {
      await patch(Object.fromEntries(times(10, (index) => [`a${ten + index}`, '€'.repeat(2000)])))
    }
    let version = 0
    for (let round = 0; !(await dropped()); round++) {
      if (round > 100) throw new Error('The stuck reader was never dropped.')
      version = (await patch({ a0: String(round) })).body.version
    }
    expect((await alive.until((frame) => frame.conversation?.version === version)).type).toBe('state')
    stuck.destroy()
  })

  test('[SV36] a graceful stop sends everyone away with delays of their own', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const lines = await Promise.all(times(8, () => listen(visitor, conversation.id)))
    const poll = visitor.call<{ frames: Frame[] }>(`/api/v2/messaging/stream/poll?conversationId=${conversation.id}`)
    await untilFeeds(visitor, 9)
    await service.close()
    expect((await Promise.all(lines.map((line) => line.closed))).map(({ code }) => code)).toEqual(times(8, () => 1012))
    const delays = lines.map((line) => line.frames.find(ofType('reconnect'))?.afterMs ?? -1)
    for (const delay of delays) expect(delay).toBeGreaterThanOrEqual(0)
    for (const delay of delays) expect(delay).toBeLessThan(1000)
    expect(new Set(delays).size).toBeGreaterThan(1)
    expect((await poll).body.frames.map(({ type }) => type)).toEqual(['reconnect'])
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  })

  /** A client that authenticates and then never reads again. */
  async function stuckReader(visitor: Visitor, conversationId: string) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      'GET /api/v2/messaging/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: holdfast.v2\r\n\r\n',
    )
    await new Promise((resolve) => socket.once('data', resolve))
    const payload = Buffer.from(JSON.stringify({ type: 'auth', token: visitor.token, conversationId, afterSeq: 0 }))
    const header = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0])
    socket.write(Buffer.concat([header, payload]))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.pause()
    return socket
  }
})

async function untilFeeds(visitor: Visitor, count: number): Promise<void> {
  for (;;) {
    const metrics = (await visitor.call<string>('/metrics')).body
    if (metrics.includes(`\nholdfast_feeds ${count}\n`)) return
  }
}

describe('the long poll', () => {
  const poll = (visitor: Visitor, query: string) =>
    visitor.call<{ frames: Frame[]; lastSeq: number; version: number } & Problem>(
      `/api/v2/messaging/stream/poll?${query}`,
    )

  test('[SV35] what lies above the cursor is answered at once, a page at a time', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    for (const index of times(120, (n) => n + 1)) await visitor.say(conversation, `m${index}`)
    const first = await poll(visitor, `conversationId=${conversation.id}&afterSeq=1`)
    expect(first.body.frames.map((frame) => frame.message?.seq)).toEqual(times(100, (n) => n + 2))
    expect(first.body.lastSeq).toBe(120)
    const rest = await poll(visitor, `conversationId=${conversation.id}&afterSeq=101`)
    expect(rest.body.frames).toHaveLength(19)
  })

  test('[SV35] otherwise it waits for the next message, change or typing', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const agent = await agentOf(service, url)
    const line = await listen(agent, conversation.id)
    await agent.call(`/api/v2/messaging/conversations/${conversation.id}/participants`, { body: { role: 'agent' } })
    const waiting = () => poll(visitor, `conversationId=${conversation.id}&afterSeq=0`)

    const typed = waiting()
    await untilFeeds(visitor, 2)
    line.send({ type: 'typing', on: true })
    expect((await typed).body.frames).toMatchObject([{ type: 'typing', role: 'agent' }])

    const said = waiting()
    await untilFeeds(visitor, 2)
    await agent.say(conversation.id ? { id: conversation.id } : conversation, 'hello')
    expect((await said).body.frames.filter(ofType('message'))).toMatchObject([{ message: { seq: 1, text: 'hello' } }])
  })

  test('[SV35] a client that goes away leaves nothing behind', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const leaving = new AbortController()
    const gone = fetch(`${url}/api/v2/messaging/stream/poll?conversationId=${conversation.id}`, {
      headers: { Authorization: `Bearer ${visitor.token}` },
      signal: leaving.signal,
    })
    await untilFeeds(visitor, 1)
    leaving.abort()
    await expect(gone).rejects.toThrow('aborted')
    await untilFeeds(visitor, 0)
  })

  test('[SV35] a change since the version named is answered at once; nothing new is an empty answer', async () => {
    const visitor = new Visitor(url)
    const conversation = await visitor.begin()
    const none = await poll(visitor, `conversationId=${conversation.id}&waitMs=0`)
    expect(none.body).toEqual({ frames: [], lastSeq: 0, version: 1, marks: 0 })
    await visitor.call(`/api/v2/messaging/conversations/${conversation.id}`, {
      method: 'PATCH',
      body: { customAttributes: { a: 'b' } },
    })
    const changed = await poll(visitor, `conversationId=${conversation.id}&afterVersion=1`)
    expect(changed.body.frames).toMatchObject([{ type: 'state', conversation: { version: 2 } }])
    expect((await poll(visitor, 'waitMs=0')).body.code).toBe('unknown-conversation')
    expect((await poll(visitor, `conversationId=${conversation.id}&afterSeq=-1`)).status).toBe(400)
  })
})
