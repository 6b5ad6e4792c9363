// Row by row what the platform answers and how it ends a connection, each as it comes over a socket, and what is done then.
import { afterEach, describe, expect, test } from 'vitest'
import { type WebSocket as Socket, WebSocketServer } from 'ws'
import type { AddressInfo } from 'node:net'
import { ACTIVE, adapterFor, lines, PENDING } from './genesys-lines.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

type Frame = { readonly [name: string]: unknown }
const error = (code: number, body = 'x') => ({ type: 'response', class: 'string', code, body })
const tooMany = (errorCode: number) => ({
  class: 'TooManyRequestsErrorMessage',
  code: 429,
  body: { retryAfter: 3, errorCode, errorMessage: 'ConfigureSession rate too high for this session' },
})
const event = (name: string, body: object = {}) => ({ type: 'message', class: name, code: 200, body })
const disconnect = (readOnly: string) => {
  const events = [{ eventType: 'Presence', presence: { type: 'Disconnect' } }]
  return event('StructuredMessage', { type: 'Event', direction: 'Outbound', events, metadata: { readOnly } })
}
const SESSION = { connected: true, newSession: true, readOnly: false }

/** A service that answers what it is told to: to configure, and to what follows. */
async function scripted(configured: Frame, followed: (frame: Frame, socket: Socket) => void = () => {}) {
  const server = new WebSocketServer({ port: 0 })
  ends.push(() => server.close())
  server.on('connection', (socket) => {
    ends.push(() => socket.terminate())
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as Frame
      if (!String(frame['action']).startsWith('configure')) return followed(frame, socket)
      socket.send(JSON.stringify({ ...configured, tracingId: frame['tracingId'] }))
    })
  })
  const messaging = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
  const gone = 'http://127.0.0.1:1'
  const platform = adapterFor({ deploymentId: 'd', endpoints: { messaging, api: gone, cdn: gone } })
  return lines((end) => ends.push(end), platform)
}

describe('errors of configure', () => {
  test.each([
    [error(401), 'jwt', { verdict: 'refresh', lease: 'auth' }],
    [error(403, 'Session authentication failed for x'), 'jwt', { verdict: 'auth-required', lease: 'auth' }],
    [error(403, 'Try to authenticate again'), 'jwt', { verdict: 'auth-required', lease: 'auth' }],
    [error(403, 'Not allowed'), undefined, { verdict: 'refuse', code: 'SERVICE_REFUSED' }],
    [error(400, 'Deployment not found'), undefined, { verdict: 'refuse', code: 'DEPLOYMENT_UNKNOWN' }],
    [error(4_000), undefined, { verdict: 'refuse', code: 'SERVICE_REFUSED' }],
    [error(4_017), undefined, { verdict: 'auth-required', lease: 'auth' }],
    [error(4_020), undefined, { verdict: 'refuse' }],
    [error(500), undefined, { verdict: 'retry' }],
    [error(503), 'jwt', { verdict: 'retry' }],
    [error(5_000), undefined, { verdict: 'retry' }],
    [tooMany(429), undefined, { verdict: 'retry-at', retryAfterMs: 3_000 }],
    [tooMany(4_029), 'jwt', { verdict: 'retry-at', retryAfterMs: 3_000 }],
    [{ class: 'Error', body: { errorCode: 5_000, errorMessage: 'x' } }, undefined, { verdict: 'retry' }],
  ])('[GC36] %j, with %s, ends the connection as %j', async (answer, jwt, ending) => {
    const line = (await scripted(answer)).connect(ACTIVE, jwt)
    await line.until(() => line.has('closed'))
    const [last] = line.events.slice(-1)
    expect(last).toMatchObject({ type: 'closed', ...ending })
    if (!('lease' in ending)) expect(last).not.toHaveProperty('lease')
  })

  test.each([4_006, 4_007])('[GC36] %i is the end of the conversation, not of the connection', async (code) => {
    const line = (await scripted(error(code))).connect(ACTIVE)
    await line.state('expired')
    expect(line.has('closed')).toBe(false)
  })
})

describe('errors of a message', () => {
  const ready = event('SessionResponse', SESSION)

  test.each([
    [4_000, 'x', { verdict: 'refuse', code: 'SERVICE_REFUSED' }],
    [4_001, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_002, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_102, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_003, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_004, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_005, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_008, 'x', { verdict: 'upload-again' }],
    [4_009, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_010, 'x', { verdict: 'refuse', code: 'ATTACHMENT_REFUSED' }],
    [4_011, 'x', { verdict: 'refuse', code: 'MESSAGE_TOO_LONG' }],
    [4_013, 'x', { verdict: 'drop-attributes', code: 'CONTEXT_TOO_LARGE' }],
    [4_017, 'x', { verdict: 'auth-required' }],
    [4_020, 'x', { verdict: 'refuse', code: 'SERVICE_REFUSED' }],
    [4_029, 'x', { verdict: 'retry-at' }],
    [5_000, 'x', { verdict: 'reconcile' }],
    [302, 'x', { verdict: 'reconcile' }],
    [403, 'Typing is not allowed', { verdict: 'refuse', code: 'SERVICE_REFUSED' }],
    [400, 'The session is read-only', { verdict: 'read-only', code: 'CONVERSATION_OVER' }],
    [502, 'x', { verdict: 'reconcile' }],
    [7_777, 'x', { verdict: 'reconcile', code: 'SERVICE_BAD_RESPONSE' }],
    [0, 'x', { verdict: 'reconcile' }],
  ])('[GC36] %i "%s" means %j, and the connection stands', async (code, text, outcome) => {
    const world = await scripted(ready, ({ action, tracingId }, socket) => {
      if (action === 'onMessage') socket.send(JSON.stringify({ ...error(code, text), tracingId }))
    })
    const line = world.connect()
    await line.state('active')
    expect(await line.send('private words')).toMatchObject({ ok: false, ...outcome })
    expect(JSON.stringify(line.events)).not.toContain('private words')
    expect(line.has('closed')).toBe(false)
  })

  test.each([4_006, 4_007])('[GC36] %i ends the conversation, whatever it answers', async (code) => {
    for (const ask of ['send', 'ping'] as const) {
      const world = await scripted(ready, ({ tracingId }, socket) => {
        socket.send(JSON.stringify({ ...error(code), tracingId }))
      })
      const line = world.connect()
      await line.state('active')
      if (ask === 'ping') line.connection.ping('p')
      else void line.send('x')
      await line.state('expired')
    }
  })
})

describe('ends that the server makes', () => {
  const ready = event('SessionResponse', { ...SESSION, newSession: false })
  const closes = async (...frames: readonly (object | number)[]) => {
    const world = await scripted(ready, (_, socket) => {
      for (const frame of frames)
        if (typeof frame === 'number') socket.close(frame)
        else socket.send(JSON.stringify(frame))
    })
    const line = world.connect(ACTIVE)
    await line.ready()
    const backfill = line.backfill()
    return { line, backfill }
  }

  test.each([
    [[event('ConnectionClosedEvent', { reason: 'signedIn' })], { verdict: 'auth-required', code: 'LEASE_REVOKED' }],
    [[event('ConnectionClosedEvent', { reasonCode: 'signedIn' })], { verdict: 'auth-required' }],
    [[event('ConnectionClosedEvent')], { verdict: 'refuse', code: 'SERVICE_REFUSED' }],
    [[event('ConnectionClosedEvent', { reason: 'else' })], { verdict: 'refuse' }],
    [[1_000], { verdict: 'refuse' }],
    [[1_001], { verdict: 'retry' }],
    [[1_011], { verdict: 'retry' }],
  ] as const)('[GC37] %j ends the connection as %j', async (frames, ending) => {
    const { line, backfill } = await closes(...frames)
    await line.until(() => line.has('closed'))
    expect(line.events.at(-1)).toMatchObject({ type: 'closed', ...ending })
    expect(await backfill).toMatchObject({ ok: false, verdict: 'retry' })
  })

  test('[GC37] cleared, then closed: nothing of the conversation is to stay', async () => {
    const { line } = await closes(event('SessionClearedEvent'), event('ConnectionClosedEvent'), 1_000)
    await line.until(() => line.has('cleared'))
    expect(line.has('closed')).toBe(false)
  })

  test('[GC37] a logout elsewhere is one here, and nothing follows it', async () => {
    const { line } = await closes(event('LogoutEvent'), 1_000)
    await line.until(() => line.has('signed-out'))
    expect(line.has('closed')).toBe(false)
  })

  test('[GC37] the session expires: the conversation is over', async () => {
    const { line } = await closes(event('SessionExpiredEvent'))
    await line.state('expired')
  })

  test.each([
    ['true', true],
    ['false', false],
  ])('[GC37] an agent who leaves, with readOnly %s, ends the conversation: %s', async (readOnly, isOver) => {
    const said = { id: 'm', type: 'Text', text: 'bye', direction: 'Outbound', channel: { time: null } }
    const world = await scripted(ready, ({ tracingId }, socket) => {
      const jwt = { class: 'JwtResponse', body: { jwt: 'j', exp: 0 }, tracingId }
      for (const frame of [disconnect(readOnly), event('StructuredMessage', said), jwt])
        socket.send(JSON.stringify(frame))
    })
    const line = world.connect(ACTIVE)
    await line.ready()
    await line.backfill()
    await line.until(() => line.texts().includes('bye'))
    const states = line.events.flatMap((one) => (one.type === 'conversation' ? [one.state] : []))
    expect(states).toEqual(isOver ? ['closed'] : [])
  })
})

describe('what the service says at the start', () => {
  test.each([
    [{ ...SESSION, newSession: true }, ACTIVE, 'expired'],
    [{ ...SESSION, newSession: false }, PENDING, 'active'],
    [{ ...SESSION, newSession: true }, PENDING, 'active'],
  ])('[GC36] %j to a conversation that is %j makes it %s', async (body, conversation, state) => {
    const line = (await scripted(event('SessionResponse', body))).connect(conversation)
    await line.state(state)
  })
})
