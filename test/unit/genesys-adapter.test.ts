// The Genesys adapter, row by row: what answers and closes mean, and the flows of a session, against the emulator.
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import type { AddressInfo } from 'node:net'
import type { Platform } from '../../core/ports.ts'
import type { Conversation } from '../../core/session.ts'
import { GENESYS_ANSWERS, GENESYS_CLOSES, genesys } from '../../sw/platforms/genesys.ts'
import { endingOf, errorOf, judge, rowOf } from '../../sw/platforms/genesys-wire.ts'
import { type GenesysSettings, startGenesys } from '../../testing/genesys.ts'
import { must } from '../contract/platform-world.ts'
import { ACTIVE, adapterFor, lines as openLines, PENDING, sessionOf, world as openWorld } from './genesys-lines.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const world = (settings: Partial<GenesysSettings> = {}) => openWorld((end) => ends.push(end), settings)
const lines = (platform: Platform) => openLines((end) => ends.push(end), platform)

const never = (): never => {
  throw new Error('Nothing was to be asked.')
}

describe('the tables', () => {
  test.each([
    ['configure', 429, '', 'retry-at', 'SERVICE_UNREACHABLE'],
    ['message', 4_029, '', 'retry-at', 'SERVICE_UNREACHABLE'],
    ['configure', 4_006, '', 'session-lost', 'CONVERSATION_OVER'],
    ['message', 4_007, '', 'session-lost', 'CONVERSATION_OVER'],
    ['configure', 4_017, '', 'auth-required', 'LEASE_REVOKED'],
    ['configure', 401, '', 'refresh', 'LEASE_EXPIRED'],
    ['configure', 403, 'Session authentication failed', 'auth-required', 'LEASE_REVOKED'],
    ['configure', 403, 'Try to authenticate again', 'auth-required', 'LEASE_REVOKED'],
    ['configure', 403, 'Not allowed', 'refuse', 'SERVICE_REFUSED'],
    ['configure', 400, 'Deployment not found', 'refuse', 'DEPLOYMENT_UNKNOWN'],
    ['configure', 503, '', 'retry', 'SERVICE_UNREACHABLE'],
    ['configure', 5_000, '', 'retry', 'SERVICE_UNREACHABLE'],
    ['message', 5_000, '', 'reconcile', 'SERVICE_UNREACHABLE'],
    ['message', 502, '', 'reconcile', 'SERVICE_UNREACHABLE'],
    ['message', 302, '', 'reconcile', 'SERVICE_UNREACHABLE'],
    ['message', 4_011, '', 'refuse', 'MESSAGE_TOO_LONG'],
    ['message', 4_013, '', 'drop-attributes', 'CONTEXT_TOO_LARGE'],
    ['message', 4_020, '', 'refuse', 'SERVICE_REFUSED'],
    ['message', 4_000, '', 'refuse', 'SERVICE_REFUSED'],
    ['message', 403, 'Conversation Clear', 'refuse', 'SERVICE_REFUSED'],
    ['message', 400, 'The session is read-only', 'read-only', 'CONVERSATION_OVER'],
    ['message', 9_999, '', 'reconcile', 'SERVICE_BAD_RESPONSE'],
    ['call', 400, '', 'retry', 'SERVICE_UNREACHABLE'],
  ] as const)('[GC1] %s, %i "%s" means %s', (asked, code, text, verdict, means) => {
    expect(judge(asked, code, text)).toMatchObject({ verdict, code: means })
  })

  test.each([4_000, 4_001, 4_002, 4_003, 4_004, 4_005, 4_009, 4_010, 4_020, 4_102, 403])(
    '[GC1] attachment, %i refuses the file alone',
    (code) => {
      expect(judge('attachment', code)).toMatchObject({ verdict: 'refuse', code: 'ATTACHMENT_REFUSED' })
    },
  )

  test.each([4_008, 4_030, 40_010, 500, 5_000, 0])('[GC1] attachment, %i is tried again', (code) => {
    expect(judge('attachment', code)).toMatchObject({ verdict: 'retry' })
  })

  test('[GC1] every row of the table is one that something falls into', () => {
    expect(GENESYS_ANSWERS).toHaveLength(16)
    expect(judge('message', 4_029, '', 3)).toMatchObject({ retryAfterMs: 3_000 })
    expect(JSON.stringify(judge('message', 400, 'my card is 4111'))).not.toContain('4111')
  })

  test.each([
    ['ConnectionClosedEvent signedIn', 'auth-required'],
    ['ConnectionClosedEvent ', 'refuse'],
    ['close 1000', 'refuse'],
    ['close 1006', 'retry'],
    ['close 1012', 'retry'],
  ])('[GC2] the end "%s" means %s', (what, verdict) => {
    expect(endingOf(what).verdict).toBe(verdict)
    expect(GENESYS_CLOSES).toHaveLength(4)
  })

  test('[GC3] errors come in several forms, and what is none is none', () => {
    expect(errorOf({ class: 'string', code: 4_011, body: 'too long' })).toEqual({ code: 4_011, text: 'too long' })
    const body = { errorCode: 4_029, errorMessage: 'x', retryAfter: 3 }
    const tooMany = { class: 'TooManyRequestsErrorMessage', code: 429, body }
    expect(errorOf(tooMany)).toEqual({ code: 4_029, text: 'x', retryAfterS: 3 })
    expect(errorOf({ class: 'Error', body: { errorCode: 5_000 } })).toMatchObject({ code: 5_000 })
    for (const frame of [{}, { class: 'Unheard' }, { class: 'StructuredMessage', body: null }])
      expect(errorOf(frame)).toBeUndefined()
  })

  test('[GC4] structured content is shown as text and kept as it is; misshapen messages are nothing', () => {
    const content = [
      { contentType: 'QuickReply', quickReply: { text: 'Yes' } },
      { contentType: 'Card', card: { title: 'Ship' } },
      { contentType: 'Attachment', attachment: { filename: 'a.png' } },
      { contentType: 'Unheard', unheard: {} },
    ]
    const body = { id: 'm1', type: 'Structured', direction: 'Outbound', originatingEntity: 'Bot', content }
    const row = rowOf(body, 'c1', 5)
    expect(row).toMatchObject({ text: 'Yes · Ship · a.png', role: 'bot', at: 5 })
    expect(JSON.parse(String(row?.metadata?.['content']))).toEqual(content)
    expect(rowOf({ ...body, channel: { time: null, messageId: 'x' } }, 'c1', 5)).toMatchObject({ id: 'x', at: 5 })
    for (const odd of [{}, { type: 'Text' }, { id: 'm', type: 'Receipt' }, { id: 'm', type: 'Event', text: 'x' }])
      expect(rowOf(odd, 'c1', 5)).toBeUndefined()
  })
})

describe('a session', () => {
  test('[GC5] the first connection begins it, the next resumes it with the same token', async () => {
    const { connect, emulator } = await world()
    const first = connect()
    await first.state('active')
    const session = first.events.find((event) => event.type === 'session')
    expect(session).toMatchObject({ isAuthenticated: false, limits: { dataBytesMax: 2_048 } })
    expect(first.endsAt()).toBeGreaterThan(Date.now() + 71 * 3_600_000)
    first.connection.close()
    await connect(ACTIVE).ready()
    expect(emulator.service.sessions.size).toBe(1)
  })

  test('[GC6] what was to be resumed and is new to the platform is another conversation', async () => {
    const { connect, emulator } = await world()
    await connect().ready()
    emulator.service.forget(sessionOf(emulator))
    const again = connect(ACTIVE)
    await again.state('expired')
    expect(again.events[0]).toMatchObject({ type: 'ready' })
  })

  test.each(['expired', 'purged'])('[GC6] a session that is %s is over, and told so', async (how) => {
    const { connect, emulator, token } = await world()
    const first = connect()
    await first.ready()
    if (how === 'expired') emulator.service.expire(sessionOf(emulator))
    else emulator.service.purged.add(token)
    if (how === 'expired') await first.state('expired')
    await connect(ACTIVE).state('expired')
  })

  test('[GC7] a new conversation closes the one that is read-only, and starts anew under its token', async () => {
    const { connect, emulator } = await world()
    const first = connect()
    await first.ready()
    emulator.service.agentCloses(sessionOf(emulator))
    await first.backfill()
    await first.state('closed')
    const next = connect({ ...PENDING, id: 'c2' })
    await next.state('active')
    expect(sessionOf(emulator).isReadOnly).toBe(false)
    expect(emulator.service.sessions.size).toBe(1)
  })

  test('[GC7] the conversation after one that expired has a token of its own', async () => {
    const { platform } = await world()
    const make = (former: Conversation | null) =>
      platform.make({ key: 'k2', token: 't', previousId: 'c1', routing: {}, attributes: {}, former })
    expect(must(await make({ ...ACTIVE, state: 'expired' })).conversation).toMatchObject({ participantId: 'k2' })
    expect(must(await make({ ...ACTIVE, state: 'closed' })).conversation).toMatchObject({ participantId: '' })
  })

  test('[GC8] what is said while the history is read comes behind it', async () => {
    const { connect, emulator } = await world()
    const line = connect()
    await line.ready()
    emulator.service.agentSays(sessionOf(emulator), 'early')
    const read = await line.backfill()
    expect(line.texts()).toEqual([])
    expect(read).toMatchObject({ ok: true, value: { rows: [{ text: 'early' }], headSeq: 1 } })
    await line.until(() => line.texts().length === 1)
  })

  test('[GC9] Join is said once, where the deployment starts by itself', async () => {
    const { connect, emulator } = await world({ autoStart: true })
    const watcher: unknown[] = []
    const line = connect()
    await line.ready()
    const session = sessionOf(emulator)
    const tell = session.tell.bind(session)
    await new Promise<void>((resolve) => {
      session.tell = (frame, without) => {
        watcher.push(frame)
        tell(frame, without)
        resolve()
      }
    })
    expect(watcher).toMatchObject([{ body: { events: [{ presence: { type: 'Join' } }] } }])
  })

  test('[GC10] attributes are carried by a message, in the inner place', async () => {
    const { connect, emulator } = await world()
    const line = connect()
    await line.ready()
    await line.send('hi', 'k', { attributes: { cart: '12' } })
    expect(sessionOf(emulator).attributes).toEqual({ cart: '12' })
  })

  test('[GC11] too many attributes, requests, or a cut: each says whether the message arrived', async () => {
    const { connect, emulator } = await world({ maxCustomDataBytes: 4 })
    const line = connect()
    await line.ready()
    expect(await line.send('a', 'ka', { attributes: { cart: '12345' } })).toMatchObject({
      ok: false,
      verdict: 'drop-attributes',
    })
    emulator.service.fault('throttled')
    expect(await line.send('b')).toMatchObject({ ok: false, verdict: 'retry-at', retryAfterMs: 1_000 })
    emulator.service.fault('throttled')
    emulator.service.fault('untraced')
    expect(await line.send('c')).toMatchObject({ ok: false, verdict: 'retry-at' })
    emulator.service.fault('unexpected')
    expect(await line.send('d')).toMatchObject({ ok: false, verdict: 'reconcile' })
    emulator.service.fault('ack-cut')
    expect(await line.send('e')).toMatchObject({ ok: false, verdict: 'reconcile' })
    expect(await line.send('f')).toMatchObject({ ok: false, verdict: 'retry' })
    expect(sessionOf(emulator).log.map(({ text }) => text)).toEqual(['e'])
  })

  test('[GC12] too many configures end the connection with the platform’s wish', async () => {
    const { connect, emulator } = await world()
    emulator.service.fault('configure-throttled')
    const line = connect()
    await line.until(() => line.has('closed'))
    expect(line.events).toMatchObject([{ type: 'closed', verdict: 'retry-at', retryAfterMs: 1_000 }])
  })

  test('[GC2] being evicted, or signed in elsewhere, ends it for good', async () => {
    const { connect } = await world()
    const first = connect()
    await first.ready()
    for (let n = 0; n < 3; n++) await connect(ACTIVE).until(() => true)
    await first.until(() => first.has('closed'))
    expect(first.events.at(-1)).toMatchObject({ type: 'closed', verdict: 'refuse', code: 'SERVICE_REFUSED' })
  })

  test('[GC13] a deployment that is unknown is refused; a domain that is not allowed, after three sockets', async () => {
    const unknown = await startGenesys()
    ends.push(() => unknown.close())
    const line = lines(adapterFor({ ...unknown, deploymentId: 'nobody' })).connect()
    await line.until(() => line.has('closed'))
    expect(line.events).toMatchObject([{ type: 'closed', verdict: 'refuse', code: 'DEPLOYMENT_UNKNOWN' }])
    const inactive = (await world({ isActive: false })).connect()
    await inactive.until(() => inactive.has('closed'))
    expect(inactive.events).toMatchObject([{ type: 'closed', verdict: 'refuse', code: 'DEPLOYMENT_UNKNOWN' }])
    const { connect } = await world({ origins: ['https://shop.example'] })
    const verdicts: unknown[] = []
    for (let n = 0; n < 3; n++) {
      const tried = connect()
      await tried.until(() => tried.has('closed'))
      verdicts.push(Object(tried.events[0]).verdict)
    }
    expect(verdicts).toEqual(['retry', 'retry', 'refuse'])
  })

  test('[GC14] pings are echoes where they may be, and a sign of life in any case', async () => {
    const { connect, emulator } = await world()
    const line = connect()
    await line.ready()
    for (const id of ['p1', 'p2', 'p3', 'p4']) {
      line.connection.ping(id)
      await line.until(() => line.events.some((event) => event.type === 'pong' && event.id === id))
    }
    expect(emulator.service.throttled).toEqual([])
  })

  test('[GC26] beside the vendor’s widget the connection is there, and nothing is asked of the platform', async () => {
    const deps = { deployment: 'd', now: Date.now, fetch: never, WebSocket: class {} as never }
    const platform = genesys({ domain: 'example', isBeside: true })(deps)
    const line = lines(platform).connect()
    await line.ready()
    expect(await line.backfill()).toMatchObject({ ok: true, value: { rows: [] } })
    expect(await line.send('x')).toMatchObject({ ok: false, verdict: 'refuse' })
    line.connection.ping('p')
    expect(line.has('pong')).toBe(true)
    expect(must(await platform.open({ key: 'k', wantsRefreshToken: true, conversationId: null }))).toBeDefined()
  })

  test('[GC15] frames that nobody knows, or that are misshapen, harm nothing', async () => {
    const server = new WebSocketServer({ port: 0 })
    ends.push(() => server.close())
    const frames = ['nonsense', '[]', '{}', '{"class":"Unheard"}', '{"class":"StructuredMessage","body":null}']
    server.on('connection', (socket) => {
      let count = 0
      socket.on('message', () => {
        if (++count > 1) return socket.send(JSON.stringify({ class: 'string', code: 500, body: 'no' }))
        for (const frame of frames) socket.send(frame)
        const body = { connected: true, newSession: true, readOnly: false }
        socket.send(JSON.stringify({ type: 'response', class: 'SessionResponse', code: 200, body }))
        const event = { type: 'Event', direction: 'Outbound', events: 'none' }
        socket.send(JSON.stringify({ class: 'StructuredMessage', body: event }))
        const said = { id: 'm', type: 'Text', text: 'hi', direction: 'Outbound', channel: { time: null } }
        for (let n = 0; n < 2; n++) socket.send(JSON.stringify({ class: 'StructuredMessage', body: said }))
      })
    })
    const messaging = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
    const gone = 'http://127.0.0.1:1'
    const line = lines(adapterFor({ deploymentId: 'd', endpoints: { messaging, api: gone, cdn: gone } })).connect()
    await line.state('active')
    expect(await line.backfill()).toMatchObject({ ok: false, verdict: 'retry' })
    await line.until(() => line.texts().length === 2)
    expect(line.has('closed')).toBe(false)
  })
})

describe('signing in', () => {
  async function signedIn(settings: Partial<GenesysSettings> = {}) {
    const at = await world(settings)
    const { service, endpoints, deploymentId } = at.emulator
    const oauth = { code: service.authorize('ada'), redirectUri: 'https://shop.example' }
    const url = `${endpoints.api}/api/v2/webdeployments/token/oauthcodegrantjwtexchange`
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify({ deploymentId, oauth }) })
    const { jwt, refreshToken } = (await answer.json()) as { jwt: string; refreshToken: string }
    return { ...at, jwt, refreshToken }
  }

  test('[GC16] a guest who signs in steps up on the open connection', async () => {
    const { connect, jwt, emulator, token } = await signedIn()
    const line = connect()
    await line.ready()
    line.connection.reauth(token, { auth: jwt })
    await line.until(() => line.events.some((event) => event.type === 'session' && event.isAuthenticated === true))
    expect(sessionOf(emulator).user).toBe('ada')
    expect(line.has('closed')).toBe(false)
  })

  test('[GC17] an auth JWT that has expired is refreshed; a guest cannot take such a session back', async () => {
    const { connect, jwt, emulator, platform, refreshToken } = await signedIn()
    await connect(PENDING, jwt).ready()
    emulator.service.expireAuth()
    const late = connect(ACTIVE, jwt)
    await late.until(() => late.has('closed'))
    expect(late.events).toMatchObject([{ verdict: 'refresh', code: 'LEASE_EXPIRED', lease: 'auth' }])
    const { accessToken, expiresInMs } = must(await platform.refresh({ key: 'k', refreshToken, lease: 'auth' }))
    expect(expiresInMs).toBeLessThanOrEqual(900_000)
    await connect(ACTIVE, accessToken).ready()
    const guest = connect(ACTIVE)
    await guest.until(() => guest.has('closed'))
    expect(guest.events).toMatchObject([{ verdict: 'auth-required', lease: 'auth' }])
  })

  test.each([false, true])('[GC18] a refresh keeps its token, or takes the next; rotating: %s', async (rotates) => {
    const { platform, refreshToken } = await signedIn({ rotatesRefreshTokens: rotates })
    const first = must(await platform.refresh({ key: 'k1', refreshToken, lease: 'auth' }))
    expect(first.refreshToken === undefined).toBe(!rotates)
    const again = await platform.refresh({ key: 'k2', refreshToken, lease: 'auth' })
    expect(again.ok).toBe(!rotates)
    if (!again.ok) expect(again).toMatchObject({ verdict: 'auth-required', code: 'LEASE_REVOKED' })
  })

  test('[GC19] a logout is told to every connection; a guest’s conversation is cleared, or closed', async () => {
    const { connect, jwt, platform, refreshToken } = await signedIn()
    const line = connect(PENDING, jwt)
    await line.ready()
    await line.backfill()
    must(await platform.revoke({ token: jwt, refreshToken, lease: 'auth' }))
    await line.until(() => line.has('signed-out'))
    for (const conversationClear of [true, false]) {
      const guest = await world({ conversationClear })
      const first = guest.connect()
      await first.ready()
      const session = sessionOf(guest.emulator)
      first.connection.close()
      must(await guest.platform.revoke({ token: guest.token, conversation: ACTIVE }))
      expect(conversationClear ? guest.emulator.service.sessions.size : session.isReadOnly).toBe(
        conversationClear ? 0 : true,
      )
    }
  })
})
