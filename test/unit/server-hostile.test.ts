// What a network brings that no client sends: huge and endless bodies, half requests, frames of every kind. The
// service answers, or closes, and serves the others meanwhile.
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import WebSocket from 'ws'
import { createSessionService, type SessionService } from '../../server/index.ts'
import type { LogEntry } from '../../server/log.ts'
import { type Created, freshKey, Visitor } from './server-visitor.ts'

const TEN_MEGABYTES = 10 * 1024 * 1024
let service: SessionService
let url: string
let visitor: Visitor
let conversation: Created

beforeEach(async () => {
  service = await createSessionService({ limits: { sessionStreamsMax: 1000 } })
  url = (await service.listen(0)).url
  visitor = new Visitor(url)
  conversation = await visitor.begin()
  return () => service.close()
})

/** Sends until the service has answered or does not take more. */
async function flood(headers: Record<string, string>): Promise<{ status: number; body: string }> {
  const call = request(`${url}/api/v2/messaging/conversations/${conversation.id}/messages`, {
    method: 'POST',
    agent: false,
    headers: {
      Authorization: `Bearer ${visitor.token}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': freshKey(),
      ...headers,
    },
  })
  const answered = once(call, 'response') as Promise<[import('node:http').IncomingMessage]>
  // The service may close before everything was sent; what it answered is what counts.
  call.on('error', () => {})
  call.on('socket', (socket) => socket.on('error', () => {}))
  const chunk = Buffer.alloc(64 * 1024, 'x')
  for (let sent = 0; sent < TEN_MEGABYTES; sent += chunk.length) call.write(chunk)
  call.end()
  const [response] = await answered
  let body = ''
  for await (const part of response) body += String(part)
  call.destroy()
  return { status: response.statusCode ?? 0, body }
}

test.each([
  ['an announced length', { 'Content-Length': String(TEN_MEGABYTES) }],
  ['chunks', { 'Transfer-Encoding': 'chunked' }],
])('[SV17] ten megabytes with %s are refused, and nothing of it is kept', async (_how, headers) => {
  const { status, body } = await flood(headers)
  expect([status, JSON.parse(body)]).toMatchObject([413, { code: 'body-too-large' }])
  expect((await visitor.list(conversation.id)).body.lastSeq).toBe(0)
  expect((await visitor.say(conversation, 'still here')).status).toBe(201)
})

test('[SV63] requests that never end hold up nobody', async () => {
  const { port } = new URL(url)
  const halves = Array.from({ length: 100 }, () => connect(Number(port), '127.0.0.1'))
  await Promise.all(halves.map((socket) => once(socket, 'connect')))
  for (const socket of halves) {
    socket.on('error', () => {})
    socket.write('POST /api/v2/widget/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"half')
  }
  expect((await visitor.say(conversation, 'meanwhile')).status).toBe(201)
  for (const socket of halves) socket.destroy()
})

/** What is written, drop by drop, and what comes back until the service closes. */
async function dripped(port: number, head: string, drop: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  await once(socket, 'connect')
  socket.write(head)
  // Never silent, so that no idle limit can be what ends it.
  const dripping = setInterval(() => socket.write(drop), 20)
  await once(socket, 'close')
  clearInterval(dripping)
  return heard
}

test.each([
  ['a head', 'GET /healthz HTTP/1.1\r\nHost: x\r\n', 'X-More: x\r\n'],
  ['a body', 'POST /api/v2/widget/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n', '{'],
  ['chunks', 'POST /api/v2/widget/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\nx\r\n'],
])('[SV82] %s, drop by drop, is answered 408 at the deadline and closed', async (_what, head, drop) => {
  const lines: LogEntry[] = []
  const strict = await createSessionService({ limits: { requestMs: 400 }, log: (line) => lines.push(line) })
  const { port } = await strict.listen(0)
  const heard = await dripped(port, head, drop)
  expect(heard).toMatch(/^HTTP\/1\.1 408 /)
  expect(JSON.parse(heard.slice(heard.indexOf('\r\n\r\n')))).toMatchObject({ code: 'request-timeout', status: 408 })
  // Somebody else's slowness is no failure of the service.
  expect(lines.filter(({ level }) => level === 'error')).toEqual([])
  await strict.close()
})

test('[SV82] a connection that says nothing at all is closed at the deadline too', async () => {
  const strict = await createSessionService({ limits: { requestMs: 400 } })
  const { port } = await strict.listen(0)
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'close')
  await strict.close()
})

test.each([
  ['no HTTP at all', 'hello\r\n\r\n', 400, 'malformed-request'],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    400,
    'malformed-request',
  ],
  ['a huge head', `GET / HTTP/1.1\r\nHost: x\r\nX-Much: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
])('[SV82] %s is a problem with a code, and the end of the connection', async (_what, sent, status, code) => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  socket.write(sent)
  await once(socket, 'close')
  expect(heard).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  expect(JSON.parse(heard.slice(heard.indexOf('\r\n\r\n')))).toMatchObject({ code, status })
  expect((await visitor.say(conversation, 'still here')).status).toBe(201)
})

const frame = fc.oneof(
  fc.json(),
  fc.string({ unit: 'binary', maxLength: 100 }),
  fc.uint8Array({ maxLength: 100 }),
  fc
    .record({
      type: fc.constantFrom('auth', 'reauth', 'ping', 'pong', 'typing', 'message', '__proto__'),
      token: fc.constantFrom('', 'x', 'eyJ.e30.x'),
      conversationId: fc.oneof(fc.string(), fc.constant(null), fc.integer()),
      afterSeq: fc.oneof(fc.double(), fc.integer(), fc.constant('1')),
      id: fc.jsonValue(),
      on: fc.jsonValue(),
    })
    .map((value) => JSON.stringify(value)),
)

test('[SV63] whatever frames come on a stream, before or after the first, the service serves on and tells nothing', async () => {
  const stranger = new Visitor(url)
  const own = await stranger.begin()
  await visitor.say(conversation, 'the mark of the victim')
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(frame, { minLength: 1, maxLength: 8 }), async (isAuthed, frames) => {
      const ws = new WebSocket(`${url.replace('http', 'ws')}/api/v2/messaging/stream`, 'holdfast.v2')
      const heard: string[] = []
      ws.on('message', (data) => heard.push(String(data)))
      ws.on('error', () => {})
      await once(ws, 'open')
      if (isAuthed) ws.send(JSON.stringify({ type: 'auth', token: stranger.token, conversationId: own.id }))
      for (const one of frames) ws.send(one)
      ws.send(JSON.stringify({ type: 'auth', token: stranger.token, conversationId: conversation.id }))
      // Its answer is the last one; an unauthenticated stream is closed instead.
      const closed = once(ws, 'close')
      ws.close()
      await closed
      for (const text of heard) {
        expect(JSON.parse(text)).toHaveProperty('type')
        expect(text).not.toContain('the mark of the victim')
      }
    }),
    { numRuns: 200, endOnFailure: true },
  )
  expect((await visitor.list(conversation.id)).body.lastSeq).toBe(1)
})
