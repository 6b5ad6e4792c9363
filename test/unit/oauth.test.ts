// A lease against issuers of other makers: what is asked, what each answer means, and what a strict issuer makes of it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TokenSource } from '../../core/ports.ts'
import type { Supplied } from '../../core/wire.ts'
import { LIFETIME_DEFAULT_MS, LIFETIME_MAX_MS } from '../../core/leases.ts'
import { oauth, type OAuthOptions } from '../../sw/platforms/oauth.ts'
import { CLIENT, type StrictIssuer, strictIssuer } from '../servers/strict-issuer.ts'

const TOKEN = 'https://issuer.example/token'
const jwt = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`

function stub(answers: (() => Response | Promise<Response>)[], options: Partial<OAuthOptions> = {}) {
  const asked: { url: string; init: RequestInit }[] = []
  const fetcher: typeof fetch = async (url, init = {}) => {
    asked.push({ url: String(url), init })
    const answer = answers[Math.min(asked.length, answers.length) - 1]
    if (answer === undefined) throw new TypeError('Nobody is there.')
    return answer()
  }
  const source = oauth({ tokenEndpoint: TOKEN, clientId: 'site', ...options })({ fetch: fetcher, now: () => 0 })
  return { source, asked, refresh: () => refresh(source) }
}

const refresh = (source: TokenSource, refreshToken = 'r1', key = 'k1') => {
  if (source.refresh === undefined) throw new Error('The source cannot refresh.')
  return source.refresh({ key, refreshToken })
}
const json =
  (status: number, body: object, headers = {}) =>
  () =>
    Response.json(body, { status, headers })
const good = { access_token: 'a2', token_type: 'Bearer', expires_in: 600 }

describe('what is asked', () => {
  test('[OA1] a form without a cookie, with token, client and key, and no redirect is followed', async () => {
    const { asked, refresh } = stub([json(200, good)], { scope: 'chat' })
    await refresh()
    const [{ url, init }] = asked as [(typeof asked)[0]]
    expect(url).toBe(TOKEN)
    expect(Object.fromEntries(init.body as URLSearchParams)).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'r1',
      client_id: 'site',
      scope: 'chat',
    })
    expect(init).toMatchObject({ credentials: 'omit', redirect: 'manual', headers: { 'Idempotency-Key': 'k1' } })
  })

  test('[OA2] an issuer is looked up once, in either kind of metadata, and only its own are believed', async () => {
    const issuer = 'https://issuer.example/tenant'
    const mine = { issuer, token_endpoint: TOKEN }
    const { asked, refresh } = stub(
      [json(200, { ...mine, issuer: 'https://thief.example' }), json(200, mine), json(200, good)],
      { issuer, tokenEndpoint: undefined as never },
    )
    expect(await refresh()).toMatchObject({ ok: true })
    await refresh()
    expect(asked.map(({ url }) => url)).toEqual([
      'https://issuer.example/.well-known/oauth-authorization-server/tenant',
      'https://issuer.example/tenant/.well-known/openid-configuration',
      TOKEN,
      TOKEN,
    ])
  })

  test('[OA2] where no metadata are to be had it is like a network that fails', async () => {
    const { refresh } = stub([json(404, {})], { issuer: 'https://issuer.example', tokenEndpoint: undefined as never })
    expect(await refresh()).toMatchObject({ ok: false, verdict: 'retry' })
  })

  test('[OA1] options that are missing are a TypeError', () => {
    expect(() => oauth({ clientId: 'site' })).toThrow(TypeError)
    expect(() => oauth({ tokenEndpoint: TOKEN } as never)).toThrow(TypeError)
  })
})

describe('what an answer means', () => {
  test.each([
    { status: 400, body: { error: 'invalid_grant' }, verdict: 'auth-required', code: 'LEASE_REVOKED' },
    { status: 401, body: { error: 'invalid_grant' }, verdict: 'auth-required', code: 'LEASE_REVOKED' },
    { status: 401, body: { error: 'invalid_client' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
    { status: 400, body: { error: 'invalid_scope' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
    { status: 400, body: { error: 'invalid_dpop_proof' }, verdict: 'retry', code: 'SERVICE_REFUSED' },
    { status: 400, body: { error: 'unauthorized_client' }, verdict: 'auth-required', code: 'SERVICE_REFUSED' },
    { status: 400, body: {}, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 401, body: { error: 'Log in to the wireless network' }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 403, body: {}, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 404, body: {}, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 500, body: { error: 'invalid_grant' }, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
    { status: 503, body: {}, verdict: 'retry', code: 'SERVICE_UNREACHABLE' },
    { status: 200, body: {}, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 200, body: { ...good, access_token: '' }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 200, body: { ...good, access_token: 'a\nb' }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 200, body: { ...good, access_token: 7 }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 200, body: { ...good, token_type: 'mac' }, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
    { status: 201, body: good, verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' },
  ])('[OA3] $status $body is $verdict', async ({ status, body, verdict, code }) => {
    const outcome = await stub([json(status, body)]).refresh()
    expect(outcome).toMatchObject({ ok: false, verdict, code })
    expect(JSON.stringify(outcome)).not.toMatch(/r1|a2|wireless/)
  })

  test('[OA3] a page of HTML and silence are asked again; a 429 names its time', async () => {
    const page = () => new Response('<html>Log in</html>', { headers: { 'content-type': 'text/html' } })
    expect(await stub([page]).refresh()).toMatchObject({ verdict: 'retry', code: 'SERVICE_BAD_RESPONSE' })
    expect(await stub([]).refresh()).toMatchObject({ verdict: 'retry', isUnreachable: true })
    const busy = json(429, {}, { 'retry-after': '90' })
    expect(await stub([busy]).refresh()).toMatchObject({ verdict: 'retry-at', retryAfterMs: 90_000 })
  })

  test.each([
    { says: 'seconds', expires_in: 600, token: 'opaque', ms: 600_000 },
    { says: 'digits', expires_in: '600', token: 'opaque', ms: 600_000 },
    { says: 'nothing', expires_in: undefined, token: 'opaque', ms: LIFETIME_DEFAULT_MS },
    { says: 'a negative', expires_in: -1, token: 'opaque', ms: LIFETIME_DEFAULT_MS },
    { says: 'zero', expires_in: 0, token: 'opaque', ms: LIFETIME_DEFAULT_MS },
    { says: 'a word', expires_in: 'soon', token: 'opaque', ms: LIFETIME_DEFAULT_MS },
    { says: 'a huge one', expires_in: 1e12, token: 'opaque', ms: LIFETIME_MAX_MS },
    { says: 'nothing, but the JWT does', expires_in: undefined, token: jwt({ iat: 100, exp: 400 }), ms: 300_000 },
    { says: 'nothing, and the JWT nonsense', expires_in: undefined, token: jwt({ iat: 400, exp: 100 }), ms: 3_600_000 },
    { says: 'nothing, and no JWT it is', expires_in: undefined, token: 'a.b.c', ms: LIFETIME_DEFAULT_MS },
    { says: 'nothing, and the JWT is null', expires_in: undefined, token: 'a.bnVsbA.c', ms: LIFETIME_DEFAULT_MS },
  ])('[OA4] where expires_in says $says, it lives $ms ms', async ({ expires_in, token, ms }) => {
    const outcome = await stub([json(200, { ...good, access_token: token, expires_in })]).refresh()
    expect(outcome).toEqual({ ok: true, value: { accessToken: token, expiresInMs: ms } })
  })

  test.each([
    { aud: 'api', ok: true },
    { aud: ['other', 'api'], ok: true },
    { aud: 'other', ok: false },
    { aud: undefined, ok: false },
  ])('[OA5] a token for $aud, where "api" is expected', async ({ aud, ok }) => {
    const token = jwt({ aud })
    const outcome = await stub([json(200, { ...good, access_token: token })], { audience: 'api' }).refresh()
    expect(outcome).toMatchObject(ok ? { ok } : { ok, verdict: 'auth-required', code: 'LEASE_BAD_TOKEN' })
  })

  test('[OA6] an issuer that does not rotate leaves the refresh token in force', async () => {
    const outcome = await stub([json(200, good)]).refresh()
    expect(outcome).toEqual({ ok: true, value: { accessToken: 'a2', expiresInMs: 600_000 } })
  })
})

describe('oidc-provider, a strict issuer', () => {
  let issuer: StrictIssuer
  beforeAll(async () => {
    issuer = await strictIssuer()
  })
  afterAll(() => issuer.end())
  const source = () => oauth({ issuer: issuer.issuer, clientId: CLIENT })({ now: Date.now })

  test('[OA6] rotates with every refresh; a chain of refreshes goes on', async () => {
    const one = source()
    let token = await issuer.signIn()
    for (let turn = 0; turn < 3; turn++) {
      const outcome = await refresh(one, token, `k${turn}`)
      if (!outcome.ok) throw new Error(outcome.reason)
      expect(outcome.value.refreshToken).not.toBe(token)
      token = outcome.value.refreshToken ?? ''
    }
  })

  test('[OA7] an answer that is lost after the rotation ends in a definite refusal, and in no other way', async () => {
    const one = source()
    const token = await issuer.signIn()
    issuer.hold.after = (answer) => {
      issuer.hold.after = undefined as never
      answer.destroy()
      return undefined
    }
    expect(await refresh(one, token)).toMatchObject({ ok: false, verdict: 'retry', isUnreachable: true })
    expect(await refresh(one, token)).toMatchObject({ ok: false, verdict: 'auth-required', code: 'LEASE_REVOKED' })
    expect(issuer.revoked()).toBeGreaterThan(0)
  })

  test('[OA7] one that is lost before it costs nothing', async () => {
    const one = source()
    const token = await issuer.signIn()
    const broken = oauth({ issuer: issuer.issuer, clientId: CLIENT })({
      now: Date.now,
      fetch: async () => Promise.reject(new TypeError('offline')),
    })
    expect(await refresh(broken, token)).toMatchObject({ ok: false, verdict: 'retry' })
    expect(await refresh(one, token)).toMatchObject({ ok: true })
  })

  test('[OA9] the code of a sign-in is exchanged in the worker, with its verifier, and once', async () => {
    const one = source()
    const supplied = await issuer.code('v'.repeat(43))
    const exchange = (what: Supplied) => one.exchange?.({ key: 'k', lease: 'api', supplied: what })
    expect(await exchange({ token: 'a', refreshToken: 'r' })).toBeUndefined()
    expect(await exchange({ ...supplied, codeVerifier: 'another' })).toMatchObject({ ok: false })
    const good = await exchange(await issuer.code('w'.repeat(43)))
    expect(good).toMatchObject({ ok: true, value: { refreshToken: expect.any(String) } })
    expect(await exchange({ code: 'never-issued' })).toMatchObject({ ok: false, verdict: 'auth-required' })
  })

  test('[OA8] a logout that nobody heard says so', async () => {
    const silent = oauth({ tokenEndpoint: TOKEN, revocationEndpoint: TOKEN, clientId: 'site' })({
      now: Date.now,
      fetch: async () => Promise.reject(new TypeError('offline')),
    })
    expect(await silent.revoke?.({ refreshToken: 'r' })).toMatchObject({ ok: false, verdict: 'retry' })
  })

  test('[OA8] a logout revokes at the issuer', async () => {
    const one = source()
    const refreshToken = await issuer.signIn()
    expect(await one.revoke?.({ refreshToken })).toEqual({ ok: true, value: null })
    expect(await refresh(one, refreshToken)).toMatchObject({ ok: false, code: 'LEASE_REVOKED' })
  })
})
