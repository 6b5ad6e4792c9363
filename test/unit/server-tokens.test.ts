// Sessions and grants over HTTP: opening, resuming, refreshing, revoking, and what a thief gets.
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { freshKey, type Opened, type Problem, times, Visitor } from './server-visitor.ts'

const DAY_MS = 24 * 3600_000
let clock: number
let service: SessionService

beforeEach(async () => {
  clock = 1_900_000_000_000
  service = await createSessionService({ now: () => clock, deployments: { demo: {}, other: {} } })
  return () => service.close()
})

const works = async (visitor: Visitor, token = visitor.token) =>
  (await visitor.call('/api/v2/messaging/conversations', { headers: { Authorization: `Bearer ${token}` } })).status

const count = async (name: string) => {
  const metrics = (await new Visitor(service).call<string>('/metrics')).body
  return Number(new RegExp(`^holdfast_${name} (\\d+)$`, 'm').exec(metrics)?.[1])
}

describe('opening', () => {
  test('[SV3] the refresh token is in an HttpOnly cookie and nowhere else', async () => {
    const { status, headers, body } = await new Visitor(service).open()
    expect(status).toBe(201)
    expect(headers.get('Set-Cookie')).toMatch(/^holdfast_session\.demo=rt1\..+; Path=\/; HttpOnly; SameSite=Lax$/)
    expect(JSON.stringify(body)).not.toContain('rt1.')
    expect(body).toMatchObject({ epoch: 1, authenticated: false, conversation: null, activeElsewhere: false })
    expect(body.expiresAt).toBe(clock + 7 * DAY_MS)
    expect(body.persistentSessionId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/)
  })

  test('[SV3] body delivery puts the refresh token in the grant and sets no cookie', async () => {
    const { headers, body } = await new Visitor(service).open(freshKey(), { tokenDelivery: 'body' })
    expect(headers.get('Set-Cookie')).toBeNull()
    expect(body.grant.refresh_token).toMatch(/^rt1\./)
  })

  test('[SV88] a visitor of two deployments keeps both sessions, and signs out of one', async () => {
    const two = await createSessionService({ deployments: { a: {}, 'b b': {} } })
    const [a, b] = [new Visitor(two, 'a'), new Visitor(two, 'b b')]
    const opened = [await a.open(), await b.open()]
    const ids = opened.map(({ body }) => body.persistentSessionId)
    const Cookie = `${a.cookieName}=${a.cookie}; ${b.cookieName}=${b.cookie}`
    const ask = (path: string, form: Record<string, string>) =>
      new Visitor(two).call<{ error?: string }>(`/api/v2/widget/${path}`, { form, headers: { Cookie } })
    const again = await Promise.all(
      ['a', 'b b'].map((deploymentId) =>
        new Visitor(two).call<Opened>('/api/v2/widget/sessions', {
          body: { deploymentId, refreshKey: freshKey() },
          headers: { Cookie },
        }),
      ),
    )
    expect(again.map(({ body }) => body.persistentSessionId)).toEqual(ids)
    const refreshed = (client_id: string) => ask('auth/refresh', { grant_type: 'refresh_token', client_id })
    expect((await ask('auth/refresh', { grant_type: 'refresh_token' })).body.error).toBe('invalid_request')
    expect((await refreshed('b b')).headers.get('Set-Cookie')).toMatch(/^holdfast_session\.\.YiBi=rt1/)
    const revoked = await ask('auth/revoke', { client_id: 'a' })
    expect(revoked.headers.getSetCookie()).toEqual([expect.stringMatching(/^holdfast_session\.a=;/)])
    expect((await refreshed('a')).body.error).toBe('invalid_grant')
    expect((await refreshed('b b')).status).toBe(200)
    await two.close()
  })

  test('[SV88] a cookie from the time of one deployment still leads to its session, also behind a forged one', async () => {
    const visitor = new Visitor(service)
    const { body } = await visitor.open()
    visitor.cookieName = 'holdfast_session'
    expect((await visitor.refresh(freshKey())).status).toBe(200)
    expect(visitor.cookieName).toBe('holdfast_session.demo')
    visitor.cookie = `forged; ${visitor.cookieName}=${visitor.cookie}`
    expect((await visitor.open()).body.persistentSessionId).toBe(body.persistentSessionId)
  })

  test('[SV3] over https the cookie is Secure with the __Host- prefix', async () => {
    const secure = await createSessionService({ cookie: { secure: true } })
    const { headers } = await new Visitor(secure).open()
    expect(headers.get('Set-Cookie')).toMatch(/^__Host-holdfast_session=.*; Secure;/)
    await secure.close()
  })

  test('[SV1] the same key without a cookie gets the same session and generation, until it moved on', async () => {
    const visitor = new Visitor(service)
    const first = await visitor.open('the-same-key')
    const { cookie } = visitor
    visitor.cookie = undefined
    const again = await visitor.open('the-same-key')
    expect(again.status).toBe(200)
    expect(again.body.persistentSessionId).toBe(first.body.persistentSessionId)
    expect(visitor.cookie).toBe(cookie)

    await visitor.refresh(freshKey())
    visitor.cookie = undefined
    const late = await visitor.open('the-same-key')
    expect(late.status).toBe(201)
    expect(late.body.persistentSessionId).not.toBe(first.body.persistentSessionId)
    visitor.cookie = undefined
    expect((await visitor.open('the-same-key')).body.persistentSessionId).toBe(late.body.persistentSessionId)
  })

  test('[SV1] 100 opens with one key at the same instant make one session', async () => {
    const answers = await Promise.all(times(100, () => new Visitor(service).open('one-key-for-all')))
    expect(new Set(answers.map((answer) => answer.body.persistentSessionId)).size).toBe(1)
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1)
    expect(new Set(answers.map((answer) => answer.headers.get('Set-Cookie'))).size).toBe(1)
  })

  test('[SV1] a key means nothing in another deployment', async () => {
    const first = await new Visitor(service).open('the-same-key')
    const other = await new Visitor(service, 'other').open('the-same-key')
    expect(other.body.persistentSessionId).not.toBe(first.body.persistentSessionId)
  })

  test('[SV2] a cookie resumes the session and is rotated; a lost answer is repeated to the same key', async () => {
    const visitor = new Visitor(service)
    const first = await visitor.open()
    const before = visitor.cookie
    const resumed = await visitor.open('resume-key')
    expect(resumed.status).toBe(200)
    expect(resumed.body.persistentSessionId).toBe(first.body.persistentSessionId)
    const after = visitor.cookie
    expect(after).not.toBe(before)
    visitor.cookie = before
    await visitor.open('resume-key')
    expect(visitor.cookie).toBe(after)
    expect(await count('rotations_total')).toBe(1)
  })

  test('[SV2] a cookie of another deployment does not count', async () => {
    const visitor = new Visitor(service)
    const first = await visitor.open()
    const other = new Visitor(service, 'other')
    other.cookie = visitor.cookie
    const answer = await other.open()
    expect(answer.status).toBe(201)
    expect(answer.body.persistentSessionId).not.toBe(first.body.persistentSessionId)
  })

  test('[SV2] an access token resumes with a new access token and no rotation', async () => {
    const visitor = new Visitor(service)
    const first = await visitor.open(freshKey(), { tokenDelivery: 'body' })
    const call = { body: { deploymentId: 'demo', refreshKey: freshKey(), tokenDelivery: 'body' } }
    const resumed = await visitor.call<Opened>('/api/v2/widget/sessions', call)
    expect(resumed.body.persistentSessionId).toBe(first.body.persistentSessionId)
    expect(resumed.body.grant.refresh_token).toBeUndefined()
    expect(await works(visitor, resumed.body.grant.access_token)).toBe(200)
    expect(await count('rotations_total')).toBe(0)
  })

  test('[SV5] an expired session leads to a new one that keeps the archive', async () => {
    const visitor = new Visitor(service)
    const old = await visitor.begin()
    await visitor.say(old, 'hello')
    clock += 8 * DAY_MS
    const { status, body } = await visitor.open()
    expect(status).toBe(201)
    expect(body.conversation).toEqual({ id: old.id, state: 'expired' })
    expect((await visitor.list(old.id)).body.messages.map((message) => message.text)).toEqual(['hello'])
    expect((await visitor.start()).body).toMatchObject({ previousId: old.id, state: 'pending' })
    expect((await visitor.say(old, 'too late')).body).toMatchObject({ code: 'conversation-closed' })
  })

  test('[SV93] the heir of an expired session names it to its holder, and nobody else has one', async () => {
    const visitor = new Visitor(service)
    const first = await visitor.open()
    expect(first.body).not.toHaveProperty('succeeds')
    clock += 8 * DAY_MS
    const heir = await visitor.open()
    expect(heir.body).toMatchObject({ succeeds: first.body.persistentSessionId })
    expect((await visitor.open()).body).not.toHaveProperty('succeeds')
  })

  test('[SV94] a session that lives for years has a cookie that a browser takes', async () => {
    const longLived = await createSessionService({ now: () => clock, sessionMs: 1_000 * DAY_MS })
    const { status, headers } = await new Visitor(longLived).open()
    expect([status, headers.get('Set-Cookie')]).toEqual([201, expect.stringContaining('Max-Age=34560000')])
    await longLived.close()
  })

  test.each([
    {
      is: 'unknown deployment',
      body: { deploymentId: 'nope', refreshKey: 'k2345678' },
      status: 404,
      code: 'unknown-deployment',
    },
    { is: 'no key', body: { deploymentId: 'demo' }, status: 400, code: 'invalid-request' },
    { is: 'a short key', body: { deploymentId: 'demo', refreshKey: 'k' }, status: 400, code: 'invalid-request' },
    { is: 'not JSON', body: '{"deploymentId"', status: 400, code: 'malformed-json' },
    { is: 'an array', body: [], status: 400, code: 'invalid-request' },
  ])('[SV41] $is: $code', async ({ body, status, code }) => {
    const answer = await new Visitor(service).call<Problem>('/api/v2/widget/sessions', { body })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json')
    expect(answer.body).toMatchObject({ code, status })
  })
})

describe('refreshing', () => {
  test('[SV6] by cookie: a new access token, a new cookie, no refresh token in the body', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const before = visitor.cookie
    const { status, body } = await visitor.refresh(freshKey())
    expect(status).toBe(200)
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 900, scope: 'chat' })
    expect(body.refresh_token).toBeUndefined()
    expect(visitor.cookie).not.toBe(before)
    expect(await works(visitor, body.access_token)).toBe(200)
  })

  test('[SV6] the same token and key get the same successor: at once, an hour later, and 30 s after its use', async () => {
    const { visitor, token } = await bearer()
    const first = (await visitor.refresh('key-of-attempt', token)).body
    clock += 3600_000
    const again = await visitor.refresh('key-of-attempt', token)
    expect(again.body.refresh_token).toBe(first.refresh_token)
    expect(again.headers.get('Idempotent-Replayed')).toBe('true')
    expect(await works(visitor, again.body.access_token)).toBe(200)
    clock += 29_000
    expect((await visitor.refresh('key-of-attempt', token)).body.refresh_token).toBe(first.refresh_token)
    clock += 2000
    expect((await visitor.refresh('key-of-attempt', token)).body).toMatchObject({ error: 'invalid_grant' })
    expect((await visitor.refresh(freshKey(), first.refresh_token)).status).toBe(200)
  })

  test('[SV7] six keys race for one token: one successor; the seventh waits and the family lives', async () => {
    const { visitor, token } = await bearer()
    const answers = await Promise.all(times(6, () => visitor.refresh(freshKey(), token)))
    expect(new Set(answers.map((answer) => answer.body.refresh_token)).size).toBe(1)
    const seventh = await visitor.refresh(freshKey(), token)
    expect(seventh.status).toBe(429)
    expect(Number(seventh.headers.get('Retry-After'))).toBeGreaterThan(0)
    expect(await count('refresh_waits_total')).toBe(1)
    expect((await visitor.refresh(freshKey(), answers[0]?.body.refresh_token)).status).toBe(200)
  })

  test('[SV7] 50 refreshes of one token and key at the same instant: one rotation, one successor', async () => {
    const { visitor, token } = await bearer()
    const answers = await Promise.all(times(50, () => visitor.refresh('key-of-attempt', token)))
    expect(answers.map((answer) => answer.status)).toEqual(times(50, () => 200))
    expect(new Set(answers.map((answer) => answer.body.refresh_token)).size).toBe(1)
    expect(await count('rotations_total')).toBe(1)
    expect(await count('refresh_requests_total')).toBe(50)
  })

  test.each([
    { by: 'a resumption', resumes: true },
    { by: 'the opening itself', resumes: false },
  ])('[SV95] a late copy of $by behind a refresh is told to wait; with another key it is a thief', async (row) => {
    const visitor = new Visitor(service)
    await visitor.open('opening-key')
    const early = visitor.cookie
    if (row.resumes) await visitor.open('resuming-key')
    const { body } = await visitor.refresh(freshKey())
    expect(await works(visitor, body.access_token)).toBe(200)
    const now = visitor.cookie
    visitor.cookie = early
    const late = await visitor.open(row.resumes ? 'resuming-key' : 'opening-key')
    expect([late.status, Number(late.headers.get('Retry-After')) > 0]).toEqual([429, true])
    expect(late.headers.get('Set-Cookie')).toBeNull()
    expect(await works(visitor, body.access_token)).toBe(200)
    visitor.cookie = now
    expect((await visitor.refresh(freshKey())).status).toBe(200)
    visitor.cookie = early
    expect((await visitor.open(freshKey())).status).toBe(201)
    expect(await works(visitor, body.access_token)).toBe(401)
  })

  test('[SV8] a token whose successor was used revokes the family, with all its tokens', async () => {
    const { visitor, token } = await bearer()
    const successor = (await visitor.refresh(freshKey(), token)).body
    expect(await works(visitor, successor.access_token)).toBe(200)
    const stolen = await visitor.refresh(freshKey(), token)
    expect(stolen.status).toBe(400)
    expect(stolen.body.error).toBe('invalid_grant')
    expect(await works(visitor, successor.access_token)).toBe(401)
    expect((await visitor.refresh(freshKey(), successor.refresh_token)).body.error).toBe('invalid_grant')
    expect(await count('reuse_detected_total')).toBe(1)
  })

  test('[SV10] presenting the successor is use: the grandparent revokes', async () => {
    const { visitor, token } = await bearer()
    const second = (await visitor.refresh(freshKey(), token)).body
    const third = (await visitor.refresh(freshKey(), second.refresh_token)).body
    expect((await visitor.refresh(freshKey(), token)).body.error).toBe('invalid_grant')
    expect((await visitor.refresh(freshKey(), third.refresh_token)).body.error).toBe('invalid_grant')
  })

  test('[SV9] a forged token changes nothing', async () => {
    const { visitor, token } = await bearer()
    await visitor.refresh(freshKey(), token)
    const [head, family, , mac] = token.split('.')
    for (const forged of [
      `${head}.${family}.1.${'A'.repeat(43)}`,
      `${head}.${family}.9.${mac}`,
      'rt1.x',
      '',
      `${token}x`,
    ]) {
      const answer = await visitor.refresh(freshKey(), forged)
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_grant'])
    }
    expect((await visitor.refresh(freshKey(), token)).status).toBe(200)
    expect(await count('reuse_detected_total')).toBe(0)
  })

  test.each([
    { is: 'no grant type', form: {}, status: 400 },
    { is: 'another grant type', form: { grant_type: 'password' }, error: 'unsupported_grant_type', status: 400 },
    { is: 'no token at all', form: { grant_type: 'refresh_token' }, error: 'invalid_grant', status: 400 },
  ])('[SV41] $is is refused in the form of RFC 6749', async ({ form, error = 'invalid_request', status }) => {
    const answer = await new Visitor(service).call('/api/v2/widget/auth/refresh', {
      form: form as Record<string, string>,
    })
    expect(answer.status).toBe(status)
    expect(answer.body).toMatchObject({ error })
  })

  test('[SV11] revoking ends the family, its access tokens and the cookie; a second time is fine too', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const { cookie, token } = visitor
    expect((await visitor.call('/api/v2/widget/auth/revoke', { form: {} })).status).toBe(200)
    expect(visitor.cookie).toBeUndefined()
    expect(await works(visitor, token)).toBe(401)
    visitor.cookie = cookie
    expect((await visitor.refresh(freshKey())).body.error).toBe('invalid_grant')
    expect((await visitor.call('/api/v2/widget/auth/revoke', { form: { token: 'nonsense' } })).status).toBe(200)
    expect((await visitor.open()).status).toBe(201)
  })

  test('[SV12] access tokens are signed by the published keys and say whose they are', async () => {
    const visitor = new Visitor(service)
    const { body } = await visitor.open()
    const jwks = (await visitor.call<JSONWebKeySet>('/.well-known/jwks.json')).body
    expect(JSON.stringify(jwks)).not.toContain('"d"')
    const { payload, protectedHeader } = await jwtVerify(body.grant.access_token, createLocalJWKSet(jwks), {
      currentDate: new Date(clock),
    })
    expect(protectedHeader).toMatchObject({ alg: 'ES256', typ: 'at+jwt' })
    expect(payload).toMatchObject({ sid: body.persistentSessionId, gen: 1, did: 'demo', role: 'customer' })
    expect(payload.exp).toBe(Math.ceil((clock + 900_000) / 1000))
  })

  test('[SV12] an access token ends with its life, or when all are called back', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    service.expireAccessTokens()
    expect((await visitor.call<Problem>('/api/v2/messaging/conversations')).body.code).toBe('token-expired')
    const fresh = (await visitor.refresh(freshKey())).body.access_token
    expect(await works(visitor, fresh)).toBe(200)
    clock += 902_000
    expect(await works(visitor, fresh)).toBe(401)
    expect(await works(visitor, 'nonsense')).toBe(401)
    expect(await works(visitor, `${fresh}x`)).toBe(401)
  })

  async function bearer() {
    const visitor = new Visitor(service)
    const { body } = await visitor.open(freshKey(), { tokenDelivery: 'body' })
    return { visitor, token: body.grant.refresh_token ?? '' }
  }
})
