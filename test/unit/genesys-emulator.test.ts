// The emulated Genesys service, frame by frame. What public clients of the real one send is what is sent here.
import { describe, expect, test } from 'vitest'
import { startGenesys } from '../../testing/genesys.ts'
import { call, emulator } from './genesys-client.ts'

const bodyOf = <T>(frame: { [name: string]: unknown } | undefined): T => Object(frame).body as T
const journeyContext = { customer: { id: 'token-1', idType: 'cookie' }, customerSession: { id: '', type: 'web' } }

describe('sessions', () => {
  test('[GE1] a frame before configure is refused, and one without an action or a token', () => {
    const { client } = emulator()
    expect(client().text('too early')).toMatchObject([{ class: 'string', code: 400 }])
    expect(client().say('onMessage', { token: '' })).toMatchObject([{ class: 'string', code: 4_020 }])
  })

  test('[GE1] configure answers with the session, its limits and its time', () => {
    const { client } = emulator({ maxCustomDataBytes: 512, durationSeconds: 60 })
    const [answer] = client().configure({ startNew: false, journeyContext })
    expect(answer).toMatchObject({
      type: 'response',
      class: 'SessionResponse',
      code: 200,
      tracingId: expect.any(String),
      body: { connected: true, newSession: true, readOnly: false, maxCustomDataBytes: 512, durationSeconds: 60 },
    })
  })

  test('[GE2] the same token resumes; one that ended is expired, and later unknown', () => {
    const { client, service, wait } = emulator({ durationSeconds: 60 })
    client().configure()
    expect(client().configure()).toMatchObject([{ body: { newSession: false } }])
    wait(61_000)
    expect(client().configure()).toMatchObject([{ class: 'string', code: 4_006 }])
    service.purged.add('token-1')
    expect(client().configure()).toMatchObject([{ class: 'string', code: 4_007 }])
  })

  test('[GE2] a session that the service forgot begins anew', () => {
    const { client, service } = emulator()
    const first = client()
    first.configure()
    service.forget(first.session())
    expect(client().configure()).toMatchObject([{ body: { newSession: true } }])
  })

  test('[GE1] who may not connect is refused at the upgrade', () => {
    const { client, service } = emulator({ origins: ['https://shop.example'] })
    expect(client('t', 'https://evil.example').connection).toBeUndefined()
    expect(client('t', 'https://shop.example').connection).toBeDefined()
    expect(service.connect('another', 'https://shop.example', { send() {}, close() {} })).toBeUndefined()
  })

  test('[GE5] the fourth connection of a session evicts the first', () => {
    const { client, service } = emulator()
    const all = [client(), client(), client(), client()]
    for (const one of all) one.configure()
    expect(all.map((one) => one.closed())).toEqual([1_000, undefined, undefined, undefined])
    expect(all[0]?.classes()).toEqual(['SessionResponse', 'ConnectionClosedEvent'])
    expect(service.evictions).toBe(1)
  })
})

describe('messages', () => {
  test('[GE3] a message comes back inbound with its tracing id, and to other connections, too', () => {
    const { client } = emulator()
    const [a, b] = [client(), client()]
    a.configure()
    b.configure()
    const [ack] = a.text('hello', { tracingId: 'q1' })
    expect(ack).toMatchObject({
      type: 'message',
      class: 'StructuredMessage',
      tracingId: 'q1',
      body: { type: 'Text', text: 'hello', direction: 'Inbound', channel: { time: expect.any(String) } },
    })
    expect(b.frames.at(-1)).toMatchObject({ tracingId: 'q1', body: { text: 'hello' } })
  })

  test('[GE3] two frames with one tracing id are two messages: it is no key', () => {
    const { client } = emulator()
    const one = client()
    one.configure()
    one.text('hello', { tracingId: 'q1' })
    one.text('hello', { tracingId: 'q1' })
    expect(one.session().log).toHaveLength(2)
  })

  test('[GE3] acknowledgements are lost, doubled, late or cut off, as told', () => {
    const { client, service, wait } = emulator()
    const one = client()
    one.configure()
    service.fault('ack-lost')
    expect(one.text('a')).toEqual([])
    service.fault('doubled')
    expect(one.text('b')).toHaveLength(2)
    service.fault('late')
    expect(one.text('c')).toEqual([])
    wait(1_000)
    expect(one.frames.at(-1)).toMatchObject({ body: { text: 'c' } })
    service.fault('ack-cut')
    one.text('d')
    expect(one.closed()).toBe(1_006)
    expect(one.session().log.map(({ text }) => text)).toEqual(['a', 'b', 'c', 'd'])
    const two = client()
    two.configure()
    service.fault('unheard-cut')
    two.text('e')
    expect(two.closed()).toBe(1_006)
    expect(two.session().log).toHaveLength(4)
  })

  test('[GE3] too long a text and too many attributes are refused, and the session stays', () => {
    const { client } = emulator({ maxCustomDataBytes: 8 })
    const one = client()
    one.configure()
    expect(one.text('x'.repeat(4_097))).toMatchObject([{ class: 'string', code: 4_011 }])
    const carrying = (customAttributes: object) => ({
      message: { type: 'Text', text: 'hi', channel: { metadata: { customAttributes } } },
    })
    expect(one.say('onMessage', carrying({ käse: '1234' }))).toMatchObject([{ class: 'string', code: 4_013 }])
    expect(one.say('onMessage', carrying({ cafe: '1234' }))).toMatchObject([{ class: 'StructuredMessage' }])
    expect(one.session().attributes).toEqual({ cafe: '1234' })
  })

  test('[GE6] history is newest first, by page and JWT, without tracing ids, and some of it has no time', () => {
    const { client, service, wait } = emulator()
    const one = client()
    one.configure()
    for (const text of ['1', '2', '3']) {
      one.text(text, { tracingId: `q${text}` })
      wait(1_000)
    }
    service.fault('timeless')
    const { body } = one.history('pageSize=2&pageNumber=1')
    expect(body).toMatchObject({ total: 3, pageCount: 2, entities: [{ text: '3' }, { text: '2' }] })
    expect(body.entities[0].channel.time).toBeNull()
    expect(JSON.stringify(body)).not.toContain('q3')
    expect(one.history('pageSize=2&pageNumber=2').body.entities).toMatchObject([{ text: '1' }])
    const [jwt] = one.say('getJwt')
    wait(61_000)
    const bearer = bodyOf<{ jwt: string }>(jwt).jwt
    expect(call(service, 'GET /api/v2/webmessaging/messages', { bearer }).status).toBe(401)
  })
})

describe('limits', () => {
  test('[GE4] more than five messages a second are too many, in the form of 4029', () => {
    const { client, wait } = emulator()
    const one = client()
    one.configure()
    for (let n = 0; n < 5; n++) expect(one.text('ok')).toMatchObject([{ class: 'StructuredMessage' }])
    expect(one.text('too many')).toMatchObject([
      { class: 'TooManyRequestsErrorMessage', body: { errorCode: 4_029, retryAfter: 1 } },
    ])
    wait(200)
    expect(one.text('ok')).toMatchObject([{ class: 'StructuredMessage' }])
  })

  test('[GE4] requests, echoes, configures and histories have limits of their own', () => {
    const { client, service, wait } = emulator()
    const one = client()
    one.configure()
    const echo = () => one.say('echo', { message: { type: 'Text', text: 'ping' } })[0]?.['class']
    expect([echo(), echo(), echo()]).toEqual(['StructuredMessage', 'StructuredMessage', 'TooManyRequestsErrorMessage'])
    for (let n = 0; n < 56; n++) one.say('getJwt')
    expect(one.say('getJwt')).toMatchObject([{ class: 'TooManyRequestsErrorMessage', body: { errorCode: 429 } }])
    wait(60_000)
    const statuses = Array.from({ length: 11 }, () => one.history().status)
    expect(statuses.slice(0, 10).every((status) => status === 200)).toBe(true)
    expect(statuses[10]).toBe(429)
    const bursts = Array.from({ length: 4 }, () => client().configure()[0])
    expect(bursts.at(-1)).toMatchObject({
      class: 'TooManyRequestsErrorMessage',
      body: { errorCode: 429, errorMessage: 'ConfigureSession rate too high for this session' },
    })
    expect(service.throttled).toEqual(['echo', 'requests', 'history', 'configure'])
  })
})

describe('flows', () => {
  test('[GE7] a conversation that was closed is read-only until it is closed and started anew', () => {
    const { client, service } = emulator()
    const [one, other] = [client(), client()]
    one.configure()
    other.configure()
    service.agentCloses(one.session())
    expect(one.frames.at(-1)).toMatchObject({ body: { direction: 'Outbound', metadata: { readOnly: 'true' } } })
    expect(one.text('late')).toMatchObject([{ class: 'string', code: 400 }])
    expect(client().configure()).toMatchObject([{ body: { readOnly: true, connected: true } }])
    const closed = one.say('closeSession', { closeAllConnections: true })
    expect(closed).toMatchObject([{ class: 'SessionResponse', body: { connected: false, readOnly: true } }])
    expect(other.classes()).toContain('ConnectionClosedEvent')
    expect(one.configure({ startNew: true })).toMatchObject([{ body: { newSession: true, readOnly: false } }])
  })

  test('[GE7] clear wipes where it is allowed, and is refused in words where it is not', () => {
    const presence = { message: { type: 'Event', events: [{ eventType: 'Presence', presence: { type: 'Clear' } }] } }
    const { client, service } = emulator()
    const one = client()
    one.configure()
    one.say('onMessage', presence)
    expect(one.classes().slice(-2)).toEqual(['SessionClearedEvent', 'ConnectionClosedEvent'])
    expect(service.sessions.size).toBe(0)
    const other = emulator({ conversationClear: false }).client()
    other.configure()
    expect(other.say('onMessage', presence)).toMatchObject([{ code: 403, body: expect.stringMatching(/Clear/) }])
  })

  test('[GE7] the end of a session is told, and holds', () => {
    const { client, service } = emulator()
    const one = client()
    one.configure()
    service.expire(one.session())
    expect(one.classes()).toContain('SessionExpiredEvent')
    expect(one.text('late')).toMatchObject([{ code: 4_006 }])
  })

  test.each([false, true])('[GE8] signing in, stepping up, refreshing, logging out; rotating: %s', (rotating) => {
    const { client, service, wait } = emulator({ rotatesRefreshTokens: rotating })
    const { deploymentId } = service.settings
    const oauth = { code: service.authorize('ada'), redirectUri: 'https://shop.example', codeVerifier: 'v'.repeat(43) }
    const exchange = 'POST /api/v2/webdeployments/token/oauthcodegrantjwtexchange'
    const granted = call(service, exchange, { body: { deploymentId, oauth } })
    expect(granted).toMatchObject({ status: 200, body: { jwt: expect.any(String), refreshToken: expect.any(String) } })
    expect(call(service, exchange, { body: { deploymentId, oauth } }).status).toBe(401)

    const [one, guest] = [client(), client()]
    one.configure()
    guest.configure()
    const stepUp = { deploymentId, data: { code: granted.body.jwt } }
    expect(one.say('configureAuthenticatedSession', stepUp)).toMatchObject([
      { class: 'SessionResponse', body: { newSession: false } },
      { body: { events: [{ presence: { type: 'SignIn' } }] } },
    ])
    expect(guest.frames.at(-1)).toMatchObject({ class: 'ConnectionClosedEvent', body: { reason: 'signedIn' } })
    expect(client().configure()).toMatchObject([{ code: 4_017 }])

    wait(901_000)
    expect(client().say('configureAuthenticatedSession', stepUp)).toMatchObject([{ code: 401 }])
    const refresh = (refreshToken: string) =>
      call(service, 'POST /api/v2/webdeployments/token/refresh', { body: { refreshToken } })
    const again = refresh(granted.body.refreshToken)
    expect(again.body.refreshToken !== undefined).toBe(rotating)
    expect(refresh(granted.body.refreshToken).status).toBe(rotating ? 401 : 200)
    if (rotating) expect(refresh(again.body.refreshToken).status).toBe(401)

    const revoke = 'DELETE /api/v2/webdeployments/token/revoke'
    expect(call(service, revoke, { bearer: again.body.jwt }).status).toBe(204)
    expect(one.classes()).toContain('LogoutEvent')
  })
})

test('[GE9] over a real socket and HTTP it is the same', async () => {
  const genesys = await startGenesys({ origins: ['https://shop.example'] })
  const { WebSocket } = await import('ws')
  const url = `${genesys.endpoints.messaging}/v1?deploymentId=${genesys.deploymentId}`
  const refused = new WebSocket(url, { origin: 'https://evil.example' })
  await new Promise<void>((resolve) => refused.on('error', () => resolve()))
  const socket = new WebSocket(url, { origin: 'https://shop.example' })
  const next = () => new Promise<string>((resolve) => socket.once('message', (data) => resolve(String(data))))
  await new Promise((resolve) => socket.once('open', resolve))
  const { deploymentId } = genesys
  const configured = next()
  socket.send(JSON.stringify({ action: 'configureSession', token: 't', tracingId: '1', deploymentId }))
  expect(JSON.parse(await configured)).toMatchObject({ class: 'SessionResponse', tracingId: '1' })
  const config = await fetch(`${genesys.endpoints.cdn}/webdeployments/v1/deployments/${deploymentId}/config.json`)
  expect(await config.json()).toMatchObject({ status: 'Active', auth: { enabled: true } })
  const placed = next()
  const attachmentId = 'a1'
  socket.send(JSON.stringify({ action: 'onAttachment', token: 't', attachmentId, fileName: 'a.png', fileSize: 1 }))
  const { body } = JSON.parse(await placed) as { body: { url: string; headers: { [name: string]: string } } }
  const uploaded = next()
  expect((await fetch(body.url, { method: 'PUT', body: 'x' })).status).toBe(403)
  await fetch(body.url, { method: 'PUT', body: 'x', headers: body.headers })
  expect(JSON.parse(await uploaded)).toMatchObject({ class: 'UploadSuccessEvent', body: { attachmentId } })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  genesys.cut()
  await closed
  await genesys.close()
})
