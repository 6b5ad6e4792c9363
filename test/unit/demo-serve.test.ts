// The demo server over real sockets: what it serves and to whom, and that each fault does what its button says.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type Demo, startDemo } from '../../public/serve-demo.ts'

const OWN = { 'Sec-Fetch-Site': 'same-origin' }
const MESSAGES = '/api/v2/messaging/conversations'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: the shapes are the service's, and each test looks at what it needs.
  readonly json: any
}

let folder: string
let demo: Demo

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
  mkdirSync(join(folder, 'dist/demo'), { recursive: true })
  writeFileSync(join(folder, 'dist/demo/index.html'), '<title>Shop</title>')
  writeFileSync(join(folder, 'dist/demo/agent.html'), '<title>Agent</title>')
  writeFileSync(join(folder, 'dist/holdfast-sw.js'), 'self.built = true')
  demo = await startDemo({ port: 0, data: join(folder, 'data'), dist: join(folder, 'dist') })
})

afterEach(async () => {
  await demo.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Rejects when the connection breaks before the answer is whole. */
function call(method: string, path: string, headers: Record<string, string> = {}, body?: unknown): Promise<Answer> {
  const { port } = new URL(demo.url)
  return new Promise((resolve, reject) => {
    const content = body === undefined ? undefined : JSON.stringify(body)
    const all = {
      Host: `localhost:${port}`,
      ...(content !== undefined && { 'Content-Type': 'application/json' }),
      ...headers,
    }
    const outgoing = request(
      { host: '127.0.0.1', port, method, path, headers: all, agent: false },
      async (response) => {
        const chunks: Buffer[] = []
        try {
          for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
        } catch (error) {
          return reject(error)
        }
        const text = Buffer.concat(chunks).toString()
        const json = /json/.test(response.headers['content-type'] ?? '') ? JSON.parse(text) : undefined
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(content)
  })
}

const get = (path: string, headers?: Record<string, string>): Promise<Answer> => call('GET', path, headers)
const fault = (name: string, on = true): Promise<Answer> => call('POST', '/demo/faults', OWN, { fault: name, on })

interface Visitor {
  readonly token: string
  readonly conversationId: string
  say(key: string, text: string): Promise<Answer>
}

async function visitor(): Promise<Visitor> {
  const opened = await call(
    'POST',
    '/api/v2/widget/sessions',
    {},
    { deploymentId: 'demo', refreshKey: 'refresh-key-1' },
  )
  const token: string = opened.json.grant.access_token
  const authorised = { Authorization: `Bearer ${token}` }
  const made = await call(
    'POST',
    MESSAGES,
    { ...authorised, 'Idempotency-Key': 'conversation-1' },
    { channelId: 'web' },
  )
  const conversationId: string = made.json.id
  return {
    token,
    conversationId,
    say: (key, text) =>
      call('POST', `${MESSAGES}/${conversationId}/messages`, { ...authorised, 'Idempotency-Key': key }, { text }),
  }
}

async function asAgent(path: string): Promise<Answer> {
  const { json } = await get('/agent/token', { ...OWN, Referer: `${demo.url}/agent` })
  return get(`/agent${path}`, { Authorization: `Bearer ${json.token}` })
}

async function saidIn({ conversationId }: Visitor): Promise<string[]> {
  const { json } = await asAgent(`${MESSAGES}/${conversationId}/messages`)
  return json.messages.map(({ text }: { text: string }) => text)
}

/** A live stream of the visitor, past its `ready`. */
async function openStream({ token, conversationId }: Visitor): Promise<WebSocket> {
  const socket = new WebSocket(`${demo.url.replace('http', 'ws')}/api/v2/messaging/stream`, 'holdfast.v2')
  const ready = new Promise((resolve, reject) => {
    socket.once('message', resolve)
    socket.once('error', reject)
  })
  socket.once('open', () => socket.send(JSON.stringify({ type: 'auth', token, conversationId, afterSeq: 0 })))
  await ready
  return socket
}

const closed = (socket: WebSocket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve))

test('[DM8] pages, configuration, worker and service are on one port', async () => {
  expect((await get('/')).text).toContain('Shop')
  expect((await get('/agent')).text).toContain('Agent')
  expect((await get('/holdfast/config.json')).json.deployments.demo.platform).toEqual({
    type: 'session-service',
    url: '',
  })
  expect((await get('/holdfast/sw.js?config=x')).headers['content-type']).toContain('text/javascript')
  for (const [typed, address] of Object.entries({ '/agent/': '/agent', '/agent.html': '/agent', '/index.html': '/' }))
    expect((await get(typed)).headers['location']).toBe(address)
  expect((await get('/healthz')).status).toBe(200)
  expect((await get('/nowhere')).status).toBe(404)
  expect((await call('POST', '/')).status).toBe(405)
})

test.each(['/../data/keys.json', '/..%2fdata%2fkeys.json', '/%2e%2e/holdfast-sw.js', '/%zz', '/%00'])(
  '[DM8] %s leads to no file',
  async (path) => {
    await visitor()
    expect((await get(path)).status).toBe(404)
  },
)

test.each([
  ['another site', { 'Sec-Fetch-Site': 'cross-site', Referer: 'http://localhost/agent' }],
  ['a program that says nothing', {}],
  ['the shop page', { ...OWN, Referer: 'http://localhost/' }],
  ['another name for this machine', { ...OWN, Referer: 'http://localhost/agent', Host: 'evil.example' }],
])("[DM9] %s does not get the agent's token", async (_who, headers) => {
  const answer = await get('/agent/token', headers)
  expect(answer.status).toBe(403)
  expect(answer.text).not.toContain('ey')
})

test('[DM9] the console page gets it, and with it the conversations', async () => {
  const guest = await visitor()
  const { json } = await asAgent(MESSAGES)
  expect(json.conversations.map(({ id }: { id: string }) => id)).toEqual([guest.conversationId])
})

test('[DM9] another site cannot press a fault, and an unknown fault is refused', async () => {
  expect(
    (await call('POST', '/demo/faults', { 'Sec-Fetch-Site': 'cross-site' }, { fault: 'offline', on: true })).status,
  ).toBe(403)
  expect((await fault('flood')).status).toBe(400)
  expect((await get('/demo/faults', OWN)).json).toMatchObject({ offline: false, cutAnswers: 0, halfOpen: 0 })
})

test("[DM10] kill the worker: the worker's file is another one", async () => {
  const before = await get('/holdfast/sw.js')
  await fault('kill-worker')
  const after = await get('/holdfast/sw.js')
  expect(after.text).not.toBe(before.text)
  expect(after.headers['cache-control']).toBe('no-store')
})

test('[DM11] offline: the visitor reaches nothing, the agent everything, until it is taken back', async () => {
  const guest = await visitor()
  const socket = await openStream(guest)
  const broken = closed(socket)
  await fault('offline')
  await broken
  await expect(guest.say('key-offline', 'hello?')).rejects.toThrow()
  expect(await saidIn(guest)).toEqual([])
  expect((await get('/')).status).toBe(200)
  await fault('offline', false)
  expect((await guest.say('key-offline', 'hello?')).status).toBe(201)
})

test('[DM12] cut the answer: the message is kept, its answer is lost once, the key brings it back', async () => {
  const guest = await visitor()
  await fault('cut-answer')
  await expect(guest.say('key-cut-one', 'once')).rejects.toThrow()
  expect((await get('/demo/faults', OWN)).json.cutAnswers).toBe(0)
  const again = await guest.say('key-cut-one', 'once')
  expect([again.status, again.headers['idempotent-replayed']]).toEqual([200, 'true'])
  expect(await saidIn(guest)).toEqual(['once'])
})

test("[DM13] expire the token: the visitor's is refused, the agent's is not", async () => {
  const guest = await visitor()
  await fault('expire-token')
  expect(await guest.say('key-expired', 'hello')).toMatchObject({ status: 401, json: { code: 'token-expired' } })
  expect((await asAgent(MESSAGES)).status).toBe(200)
})

test('[DM14] half-open: the socket stays open and carries nothing, until it is let go', async () => {
  const guest = await visitor()
  const [socket, second] = [await openStream(guest), await openStream(guest)]
  const heard: string[] = []
  socket.on('message', (data) => heard.push(String(data)))
  expect((await fault('half-open')).json.halfOpen).toBe(2)

  // A stream opened afterwards is whole, and proves that there was something to hear.
  const whole = await openStream(guest)
  const told = new Promise((resolve) => whole.on('message', (data) => String(data).includes('hello') && resolve(null)))
  socket.send(JSON.stringify({ type: 'ping', id: '1' }))
  await guest.say('key-half-one', 'hello')
  await told
  expect([heard, socket.readyState]).toEqual([[], WebSocket.OPEN])

  // Whoever closes has found out, and is not kept waiting.
  const gone = closed(second)
  second.close()
  await gone
  const released = closed(socket)
  expect((await fault('half-open', false)).json.halfOpen).toBe(0)
  await released
  whole.terminate()
})

test('[DM15] restart the server: connections break, pages stay, and everything said is there again', async () => {
  const guest = await visitor()
  await guest.say('key-before', 'before')
  const broken = closed(await openStream(guest))
  await fault('restart')
  await broken
  expect((await get('/')).status).toBe(200)
  await expect(get('/healthz')).rejects.toThrow()
  await expect
    .poll(
      () =>
        get('/healthz').then(
          ({ status }) => status,
          () => 0,
        ),
      { timeout: 15_000 },
    )
    .toBe(200)
  expect((await guest.say('key-before', 'before')).headers['idempotent-replayed']).toBe('true')
  expect(await saidIn(guest)).toEqual(['before'])
}, 20_000)
