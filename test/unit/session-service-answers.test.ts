// What the session service's answers mean, row by row, and the guards that tell its answers from anybody else's.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Platform } from '../../core/ports.ts'
import { retryAfterOf } from '../../sw/platforms/http.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import {
  ackOf,
  ANSWERS,
  closedBy,
  eventOf,
  failureOf,
  framesOf,
  grantOf,
  openedOf,
  pageOf,
  viewOf,
} from '../../sw/platforms/session-wire.ts'

const NOW = Date.UTC(2026, 0, 1)
const UTC = (ms: number): string => new Date(ms).toUTCString()
const DAY_MS = 24 * 60 * 60 * 1_000

const TABLE = [
  { status: 408, body: undefined, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 425, body: undefined, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 429, body: { code: 'too-many-replays' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 429, body: { error: 'temporarily_unavailable' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 500, body: undefined, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 502, body: undefined, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 503, body: { code: 'store-unavailable' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 500, body: { error: 'invalid_grant' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 429, body: { error: 'invalid_grant' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
  { status: 400, body: { error: 'invalid_grant' }, verdict: 'auth-required', code: 'LEASE_REVOKED' },
  { status: 401, body: { error: 'invalid_grant' }, verdict: 'auth-required', code: 'LEASE_REVOKED' },
  { status: 400, body: { error: 'invalid_request' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
  { status: 401, body: { error: 'invalid_client' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
  { status: 400, body: { error: 'invalid_scope' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
  { status: 400, body: { error: 'unauthorized_client' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
  { status: 400, body: { error: 'unsupported_grant_type' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
  { status: 401, body: undefined, verdict: 'refresh', code: 'LEASE_EXPIRED' },
  { status: 401, body: { code: 'token-expired' }, verdict: 'refresh', code: 'LEASE_EXPIRED' },
  { status: 401, body: { code: 'session-revoked' }, verdict: 'refresh', code: 'LEASE_EXPIRED' },
  { status: 401, body: { error: 'invalid_token' }, verdict: 'refresh', code: 'LEASE_EXPIRED' },
  { status: 403, body: { code: 'identity-refused' }, verdict: 'refuse', code: 'IDENTITY_REFUSED' },
  { status: 403, body: { code: 'identity-expired' }, verdict: 'refuse', code: 'IDENTITY_REFUSED' },
  { status: 400, body: { code: 'identity-not-configured' }, verdict: 'refuse', code: 'IDENTITY_REFUSED' },
  { status: 404, body: { code: 'unknown-attachment' }, verdict: 'refuse', code: 'ATTACHMENT_REFUSED' },
  { status: 413, body: { code: 'attachment-quota' }, verdict: 'refuse', code: 'ATTACHMENT_REFUSED' },
  { status: 413, body: { code: 'attachment-too-large' }, verdict: 'refuse', code: 'ATTACHMENT_REFUSED' },
  { status: 404, body: { code: 'unknown-conversation' }, verdict: 'read-only', code: 'CONVERSATION_OVER' },
  { status: 409, body: { code: 'conversation-closed' }, verdict: 'read-only', code: 'CONVERSATION_OVER' },
  { status: 404, body: { code: 'unknown-deployment' }, verdict: 'refuse', code: 'DEPLOYMENT_UNKNOWN' },
  { status: 400, body: { code: 'metadata-too-large' }, verdict: 'refuse', code: 'METADATA_TOO_LARGE' },
  { status: 400, body: { code: 'message-too-long' }, verdict: 'refuse', code: 'MESSAGE_TOO_LONG' },
  { status: 400, body: { code: 'attribute-too-long' }, verdict: 'drop-attributes', code: 'CONTEXT_TOO_LARGE' },
  { status: 400, body: { code: 'too-many-attributes' }, verdict: 'drop-attributes', code: 'CONTEXT_TOO_LARGE' },
  { status: 400, body: { code: 'routing-data-too-large' }, verdict: 'drop-attributes', code: 'CONTEXT_TOO_LARGE' },
  { status: 409, body: undefined, verdict: 'wait-unchanged', code: 'SERVICE_UNREACHABLE' },
  { status: 409, body: { code: 'still-running' }, verdict: 'wait-unchanged', code: 'SERVICE_UNREACHABLE' },
  { status: 400, body: { code: 'message-empty' }, verdict: 'refuse', code: 'SERVICE_REFUSED' },
  { status: 403, body: { code: 'not-your-participant' }, verdict: 'refuse', code: 'SERVICE_REFUSED' },
  { status: 403, body: { code: 'origin-not-allowed' }, verdict: 'refuse', code: 'SERVICE_REFUSED' },
  { status: 413, body: { code: 'body-too-large' }, verdict: 'refuse', code: 'SERVICE_REFUSED' },
  { status: 422, body: { code: 'idempotency-key-reused' }, verdict: 'refuse', code: 'SERVICE_REFUSED' },
] as const

const failure = (status: number, body: unknown, retryAfterMs?: number) =>
  failureOf('POST /x', { status, body, retryAfterMs })

describe('the table', () => {
  test.each(TABLE)('[PL14] $status $body.code$body.error means $verdict, $code', ({ status, body, verdict, code }) => {
    expect(failure(status, body)).toMatchObject({ ok: false, verdict, code })
    expect(failure(status, body)).not.toHaveProperty('isUnreachable')
  })

  test('[PL14] every row of it is met by one of these answers', () => {
    const answers = TABLE.map(({ status, body }) => `${status} ${Object.values(body ?? {}).join('')}`)
    const met = answers.map((answer) => ANSWERS.findIndex(([pattern]) => pattern.test(answer)))
    expect(ANSWERS.map((_, index) => index).filter((index) => !met.includes(index))).toEqual([])
  })

  test.each([200, 201, 204, 206, 302, 304, 402, 404, 405, 406, 407, 410, 412, 418, 426, 451])(
    '[PL14] %d where it was not expected is strange, and asked again',
    (status) => {
      expect(failure(status, undefined)).toMatchObject({ verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' })
      expect(failure(status, {})).toMatchObject({ verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' })
    },
  )

  test('[PL14] no answer at all is unreachable', () => {
    expect(failureOf('POST /x', undefined)).toMatchObject({
      verdict: 'retry',
      code: 'SERVICE_UNREACHABLE',
      isUnreachable: true,
    })
  })

  test.each([400, 403, 404, 413, 422])('[PL15] a page with status %d refuses nothing', (status) => {
    for (const body of [undefined, null, 'Forbidden', {}, { code: 403 }, { code: 'Access Denied!' }]) {
      expect(failure(status, body)).toMatchObject({ verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' })
    }
  })

  test('[PL15] a success that names a code means nothing by it', () => {
    for (const code of ['unknown-conversation', 'unknown-deployment', 'invalid_grant']) {
      expect(failure(200, { code, error: code })).toMatchObject({ verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' })
    }
  })

  test('[PL17] a wish of the service makes a retry one at its time, and leaves other verdicts', () => {
    expect(failure(503, undefined, 7_000)).toMatchObject({ verdict: 'retry-at', retryAfterMs: 7_000 })
    expect(failure(429, undefined, 0)).toMatchObject({ verdict: 'retry-at', retryAfterMs: 0 })
    expect(failure(409, undefined, 2_000)).toMatchObject({ verdict: 'wait-unchanged', retryAfterMs: 2_000 })
    expect(failure(503, undefined)).not.toHaveProperty('retryAfterMs')
  })

  test('[PL20] a reason names the call, the status and the code, and nothing else that came', () => {
    expect(failure(403, { code: 'origin-not-allowed', detail: 'secret' })).toMatchObject({
      reason: 'POST /x: 403 origin-not-allowed.',
    })
    const token = 'eyJhbGciOi.eyJzdWIi.c2ln'
    for (const body of [{ code: token }, { error: token }, { code: 'a'.repeat(41) }, { error: { token } }]) {
      expect(failure(400, body).reason).toBe('POST /x: 400 .')
    }
  })
})

describe('Retry-After', () => {
  test.each([
    { says: '120', date: undefined, ms: 120_000 },
    { says: '0', date: undefined, ms: 0 },
    { says: UTC(NOW + 90_000), date: undefined, ms: 90_000 },
    { says: UTC(NOW + 90_000), date: UTC(NOW + 60_000), ms: 30_000 },
    { says: UTC(NOW + 600_000), date: UTC(NOW + 590_000), ms: 10_000 },
    { says: UTC(NOW - 90_000), date: undefined, ms: 0 },
    { says: UTC(NOW - 90_000), date: 'no date', ms: 0 },
    { says: '99999999999', date: undefined, ms: DAY_MS },
    { says: UTC(NOW + 40 * DAY_MS), date: undefined, ms: DAY_MS },
    { says: 'in a while', date: undefined, ms: undefined },
    { says: '-5', date: undefined, ms: 0 },
    { says: '', date: undefined, ms: undefined },
  ])('[PL17] "$says", dated $date, is $ms ms', ({ says, date, ms }) => {
    const headers = new Headers({ 'retry-after': says, ...(date !== undefined && { date }) })
    expect(retryAfterOf(headers, NOW)).toBe(ms)
  })

  test('[PL17] without it there is no wish', () => {
    expect(retryAfterOf(new Headers({ date: UTC(NOW) }), NOW)).toBeUndefined()
  })
})

describe('grants', () => {
  const grant = { access_token: 'a', token_type: 'Bearer', expires_in: 900, refresh_token: 'r', scope: 'chat' }

  test.each([
    { what: 'a number', expires_in: 900, ms: 900_000 },
    { what: 'digits', expires_in: '900', ms: 900_000 },
    { what: 'a fraction', expires_in: 0.5, ms: 500 },
    { what: 'more than a month', expires_in: 1e12, ms: 30 * DAY_MS },
  ])('[PL19] a lifetime may be $what', ({ expires_in, ms }) => {
    expect(grantOf({ ...grant, expires_in })).toEqual({ accessToken: 'a', refreshToken: 'r', expiresInMs: ms })
  })

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, null, undefined, true, '', 'soon', {}, []])(
    '[PL19] a lifetime of %j is none',
    (expires_in) => {
      expect(grantOf({ ...grant, expires_in })).toBeUndefined()
    },
  )

  test('[PL19] its type is bearer in any case, and nothing else', () => {
    expect(grantOf({ ...grant, token_type: 'bEARER' })).toBeDefined()
    for (const token_type of ['DPoP', 'mac', 'Bearer x', undefined, 1])
      expect(grantOf({ ...grant, token_type })).toBeUndefined()
  })

  test('[PL19] without an access token there is none, without a refresh token it is in a cookie', () => {
    for (const access_token of ['', undefined, 7, null]) expect(grantOf({ ...grant, access_token })).toBeUndefined()
    expect(grantOf({ ...grant, refresh_token: undefined })).toEqual({ accessToken: 'a', expiresInMs: 900_000 })
  })
})

describe('shapes', () => {
  const message = {
    id: 'm1',
    seq: 1,
    conversationId: 'c',
    participantId: 'p',
    role: 'agent',
    text: 'hi',
    contentType: 'text/plain',
    at: 5,
  }
  const session = {
    persistentSessionId: 's',
    epoch: 1,
    authenticated: false,
    expiresAt: NOW + DAY_MS,
    conversation: null,
    activeElsewhere: false,
    grant: { access_token: 'a', token_type: 'Bearer', expires_in: 900 },
  }
  const without = (value: object, name: string) =>
    Object.fromEntries(Object.entries(value).filter(([key]) => key !== name))

  test.each([
    undefined,
    null,
    'OK',
    7,
    [],
    {},
    { id: 'm', seq: 1 },
    { id: 'm', seq: 0, at: 1 },
    { id: 'm', seq: '1', at: 1 },
    { id: '', seq: 1, at: 1 },
    { id: 'm', seq: 1.5, at: 1 },
    { id: 1, seq: 1, at: 1 },
  ])('[PL16] %j is no acknowledgement', (body) => {
    expect(ackOf(body)).toBeUndefined()
  })

  test.each(['persistentSessionId', 'authenticated', 'activeElsewhere', 'expiresAt', 'conversation', 'grant'])(
    '[PL16] an opened session without its %s is none',
    (name) => {
      expect(openedOf(session, NOW)).toBeDefined()
      expect(openedOf(without(session, name), NOW)).toBeUndefined()
    },
  )

  test('[PL16] a session outlives the grant that comes with it, whatever the clock of the service says', () => {
    expect(openedOf({ ...session, expiresAt: 0 }, NOW)?.opened.expiresAt).toBe(NOW + 900_000)
    expect(openedOf(session, NOW)?.opened.expiresAt).toBe(NOW + DAY_MS)
  })

  test('[PL16] a page with one message that is not ours is no page', () => {
    expect(pageOf({ messages: [message], lastSeq: 1 }, 'c')?.rows).toHaveLength(1)
    for (const wrong of [
      { ...message, conversationId: 'd' },
      { ...message, seq: 0 },
      without(message, 'text'),
      null,
      'x',
    ]) {
      expect(pageOf({ messages: [message, wrong], lastSeq: 2 }, 'c')).toBeUndefined()
    }
    expect(pageOf({ messages: [] }, 'c')).toBeUndefined()
    expect(pageOf({ messages: {}, lastSeq: 1 }, 'c')).toBeUndefined()
  })

  test('[PL21] a message becomes a row without what is not ours to keep', () => {
    const frame = { type: 'message', message: { ...message, key: 'k', metadata: { a: 1 } } }
    const row = {
      conversationId: 'c',
      id: 'm1',
      seq: 1,
      role: 'agent',
      text: 'hi',
      at: 5,
      key: 'k',
      metadata: { a: 1 },
    }
    expect(eventOf(frame, 'c')).toEqual({ type: 'rows', rows: [row] })
  })

  test.each<unknown>([
    undefined,
    null,
    'hello',
    7,
    [],
    {},
    { type: 'surprise' },
    { type: 'constructor' },
    { type: 'ready' },
    { type: 'ready', lastSeq: '3' },
    { type: 'message' },
    { type: 'message', message: { ...message, conversationId: 'd' } },
    { type: 'message', message: { ...message, at: 'now' } },
    { type: 'state', conversation: { id: 'c', state: 'active', version: 1 } },
    { type: 'state', conversation: { id: 'd', state: 'active', version: 1, customAttributes: {} } },
    { type: 'typing', on: true, role: 'customer' },
    { type: 'event', event: { type: 'joined' } },
    { type: 'error' },
    { type: 'error', code: 'invalid-frame' },
  ])('[PL21] the frame %j says nothing', (frame) => {
    expect(eventOf(frame, 'c')).toBeUndefined()
  })

  test.each([
    { what: 'of 1 MB', text: 'x'.repeat(2 ** 20) },
    { what: 'of control characters', text: '\u0000\u0007\u001b[31m\r\n\u2028' },
    { what: 'with a direction turned around', text: '\u202edesrever\u2066' },
    { what: 'with half a surrogate pair', text: 'half \ud83d' },
    { what: 'of one character and a hundred marks', text: `a${'\u0301'.repeat(100)}` },
    { what: 'that looks like one of ours', text: '{"type":"error","code":"session-revoked"}' },
    { what: 'without a word', text: '' },
  ])('[PL21] a message $what is a message as it is', ({ text }) => {
    const message = { id: 'm1', seq: 1, at: 5, conversationId: 'c1', role: 'agent', text }
    expect(eventOf(JSON.parse(JSON.stringify({ type: 'message', message })), 'c1')).toMatchObject({
      type: 'rows',
      rows: [{ id: 'm1', seq: 1, text }],
    })
  })

  test('[PL21] attributes that we cannot hold are left out, not the rest', () => {
    const conversation = {
      id: 'c',
      state: 'active',
      version: 3,
      customAttributes: { a: 'x', b: true, c: { d: 1 }, e: null },
    }
    expect(eventOf({ type: 'state', conversation }, 'c')).toMatchObject({
      attributes: { a: 'x', b: true },
      version: 3,
      state: 'active',
    })
  })

  test.each([
    { frame: { type: 'error', code: 'invalid-token' }, verdict: 'refresh' },
    { frame: { type: 'error', code: 'session-revoked' }, verdict: 'refresh' },
    { frame: { type: 'error', code: 'unknown-conversation' }, verdict: 'read-only' },
    { frame: { type: 'error', code: 'auth-expected' }, verdict: 'retry' },
    { frame: { type: 'reconnect', afterMs: 1_500 }, verdict: 'retry-at', retryAfterMs: 1_500 },
    { frame: { type: 'reconnect', afterMs: -1 }, verdict: 'retry-at', retryAfterMs: 0 },
    { frame: { type: 'reconnect' }, verdict: 'retry-at', retryAfterMs: 0 },
    { frame: { type: 'reconnect', afterMs: 9e15 }, verdict: 'retry-at', retryAfterMs: DAY_MS },
  ])('[PL22] the frame $frame ends a connection: $verdict', ({ frame, ...ending }) => {
    expect(eventOf(frame, 'c')).toMatchObject({ type: 'closed', ...ending })
  })

  test.each([
    { frame: { type: 'error', code: 'token-expired' }, type: 'expired' },
    { frame: { type: 'reauthed', expiresAt: 1 }, type: 'reauthed' },
  ])('[LE47] the frame $frame is about the token of a connection that stays open', ({ frame, type }) => {
    expect(eventOf(frame, 'c')).toEqual({ type })
  })

  test.each([
    { status: 401, code: 'token-expired', verdict: 'refresh' },
    { status: 401, code: '', verdict: 'refresh' },
    { status: 401, code: 'auth-expected', verdict: 'retry' },
    { status: 499, code: 'unknown-conversation', verdict: 'read-only' },
    { status: 499, code: '', verdict: 'retry' },
    { status: 499, code: 'going away', verdict: 'retry' },
  ] as const)('[PL22] a stream that ends with $status "$code" means $verdict', ({ status, code, verdict }) => {
    expect(closedBy(status, { code })).toMatchObject({ type: 'closed', verdict })
  })
})

describe('whatever comes', () => {
  const members = {
    type: fc.constantFrom('ready', 'message', 'state', 'typing', 'ping', 'reconnect', 'error'),
    ...Object.fromEntries(
      [
        'code',
        'error',
        'id',
        'seq',
        'at',
        'grant',
        'conversation',
        'message',
        'messages',
        'frames',
        'lastSeq',
        'afterMs',
      ]
        .concat(['expires_in', 'access_token', 'token_type', 'customAttributes', 'version', 'metadata', 'present'])
        .map((name) => [name, fc.oneof(fc.jsonValue(), fc.constant({ toString: 1, valueOf: null }))]),
    ),
  }
  const bodies = fc.oneof(fc.jsonValue(), fc.record(members, { requiredKeys: [] }))

  test('[PL13] no JSON makes a guard throw, or a failure without a verdict', () => {
    fc.assert(
      fc.property(bodies, fc.integer({ min: 100, max: 599 }), (body, status) => {
        for (const guard of [grantOf, ackOf, viewOf]) guard(body)
        for (const guard of [pageOf, framesOf, eventOf]) guard(body, 'c')
        openedOf(body, NOW)
        closedBy(status, body)
        expect(failure(status, body).verdict).toEqual(expect.any(String))
      }),
      { seed: 20_260_101, numRuns: 500 },
    )
  })
})

describe('the OAuth calls', () => {
  const service = (status: number, body: unknown): Platform =>
    sessionService({ url: 'https://chat.test' })({
      deployment: 'demo',
      now: () => NOW,
      fetch: async () => new Response(JSON.stringify(body), { status }),
    })

  test.each([
    { status: 400, body: { error: 'invalid_grant' }, verdict: 'auth-required', code: 'LEASE_REVOKED' },
    { status: 400, body: { error: 'invalid_request' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
    { status: 400, body: { code: 'invalid-request' }, verdict: 'refuse', code: 'SERVICE_REFUSED' },
    { status: 401, body: 'Unauthorized', verdict: 'refresh', code: 'LEASE_EXPIRED' },
    { status: 429, body: { error: 'temporarily_unavailable' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
    { status: 200, body: { error: 'invalid_grant' }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 201, body: { access_token: 'a', token_type: 'Bearer' }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
  ])('[PL18] a refresh answered $status $body means $verdict', async ({ status, body, verdict, code }) => {
    const { refresh } = service(status, body)
    expect(await refresh({ key: 'refresh-1', refreshToken: 'r1' })).toMatchObject({ ok: false, verdict, code })
  })

  test('[PL18] where the service does not rotate, the refresh token stays', async () => {
    const grant = { access_token: 'a', token_type: 'bearer', expires_in: 60 }
    expect(await service(200, grant).refresh({ key: 'refresh-1', refreshToken: 'r1' })).toEqual({
      ok: true,
      value: { accessToken: 'a', refreshToken: 'r1', expiresInMs: 60_000 },
    })
    expect(await service(200, grant).refresh({ key: 'refresh-1' })).toEqual({
      ok: true,
      value: { accessToken: 'a', expiresInMs: 60_000 },
    })
  })
})
