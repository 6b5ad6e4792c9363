// Tokens that only the holder of a key can use: what a proof says, where its key is, and what a strict issuer makes of it.

import { EmbeddedJWK, calculateJwkThumbprint, type JWK, jwtVerify } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { TokenSource } from '../../core/leases.ts'
import type { Supplied } from '../../core/wire.ts'
import { memoryStore } from '../../sw/memory-store.ts'
import { dpop } from '../../sw/platforms/dpop.ts'
import { oauth } from '../../sw/platforms/oauth.ts'
import type { KeyStore } from '../../sw/vault.ts'
import { CLIENT, strictIssuer } from '../servers/strict-issuer.ts'
import { bench } from './store-fixtures.ts'

const URL_OF_CALL = 'https://api.example/v1/orders?page=2#top'
const answer = (headers: { [name: string]: string } = {}, url = URL_OF_CALL) => ({ url, headers: new Headers(headers) })

function prover(keys: KeyStore = memoryStore().keys, now = Date.now) {
  const made = dpop()({ now, lease: 'api', keys })
  /** As a server reads it. */
  const proof = async (token?: string) => {
    const text = await made.proof({ method: 'POST', url: URL_OF_CALL, ...(token !== undefined && { token }) })
    return jwtVerify(text, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'], currentDate: new Date(now()) })
  }
  return { ...made, proof }
}

async function issuerWith(dpopMode: boolean | 'nonce') {
  const issuer = await strictIssuer({ dpop: dpopMode })
  onTestFinished(() => issuer.end())
  return issuer
}

const sourceAt = (issuer: string, keys: KeyStore, now = Date.now): TokenSource =>
  oauth({ issuer, clientId: CLIENT, dpop: dpop() })({ now, lease: 'api', keys })

/** The bound tokens of a sign-in by code. */
async function signIn(source: TokenSource, supplied: Supplied) {
  const outcome = await source.exchange?.({ key: 'k0', lease: 'api', supplied })
  if (!outcome?.ok) throw new Error(outcome?.reason ?? 'There is no exchange.')
  return outcome.value
}

describe('a proof', () => {
  test('[OA10] names the method, the address without its query, the token by its hash, and itself once', async () => {
    const { proof } = prover()
    const [one, two] = [await proof('token-1'), await proof('token-1')]
    const ath = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from('token-1'))).toString('base64url')
    expect(one.payload).toMatchObject({ htm: 'POST', htu: 'https://api.example/v1/orders', ath })
    expect(one.payload.jti).not.toBe(two.payload.jti)
    expect(Object.keys(one.protectedHeader.jwk ?? {}).sort()).toEqual(['crv', 'kty', 'x', 'y'])
    expect((await proof()).payload).not.toHaveProperty('ath')
  })

  test("[OA11] has the nonce that its origin asked for last, and no other origin's", async () => {
    const { proof, hear } = prover()
    expect(hear(answer({ 'dpop-nonce': 'n1' }))).toBe(true)
    expect(hear(answer({ 'dpop-nonce': 'n1' }))).toBe(false)
    hear(answer({ 'dpop-nonce': 'n2' }, 'https://other.example/'))
    expect((await proof()).payload.nonce).toBe('n1')
  })

  test('[OA11] has the time of the server, where that is told', async () => {
    const tenYears = 10 * 365 * 24 * 3_600_000
    const { proof, hear } = prover(undefined, () => Date.now() - tenYears)
    const date = new Date().toUTCString()
    expect([hear(answer({ date })), hear(answer({ date }))]).toEqual([true, false])
    const { iat = 0 } = (await proof()).payload
    expect(Math.abs(iat - Date.now() / 1_000)).toBeLessThan(60)
  })

  test('[OA10] its key cannot be read, is one for two workers at once and for the next, and a wipe takes it', async () => {
    const on = bench()
    const [first, second] = [await on.open(), await on.open()]
    const jwks = await Promise.all([prover(first.keys).proof(), prover(second.keys).proof()])
    expect(jwks[0]?.protectedHeader.jwk).toEqual(jwks[1]?.protectedHeader.jwk)
    const pair = await first.keys.get<CryptoKeyPair>('dpop:api')
    await expect(crypto.subtle.exportKey('jwk', pair!.privateKey)).rejects.toThrow()
    await first.keys.clear()
    expect((await prover(second.keys).proof()).protectedHeader.jwk).not.toEqual(jwks[0]?.protectedHeader.jwk)
  })
})

describe('oidc-provider with DPoP', () => {
  test.each([true, 'nonce'] as const)(
    '[OA9] a code becomes tokens that are bound to the key, and rotate (%s)',
    async (mode) => {
      const issuer = await issuerWith(mode)
      const { keys } = memoryStore()
      const source = sourceAt(issuer.issuer, keys)
      let { accessToken, refreshToken = '' } = await signIn(source, await issuer.code('v'.repeat(43)))
      const { protectedHeader } = await prover(keys).proof()
      const thumbprint = await calculateJwkThumbprint(protectedHeader.jwk as JWK)
      for (let turn = 0; turn < 3; turn++) {
        expect(await issuer.boundTo(accessToken)).toBe(thumbprint)
        // Another worker each time: the key is where the tokens are.
        const outcome = await sourceAt(issuer.issuer, keys).refresh?.({ key: `k${turn}`, refreshToken })
        if (!outcome?.ok) throw new Error(outcome?.reason)
        ;({ accessToken, refreshToken = '' } = outcome.value)
      }
      expect(issuer.revoked()).toBe(0)
    },
  )

  test('[OA11] a nonce costs one repeat the first time, and none as long as it is good', async () => {
    const issuer = await issuerWith('nonce')
    const source = sourceAt(issuer.issuer, memoryStore().keys)
    const { refreshToken = '' } = await signIn(source, await issuer.code('v'.repeat(43)))
    expect(issuer.posts.map(({ status }) => status)).toEqual([400, 200])
    await source.refresh?.({ key: 'k', refreshToken })
    expect(issuer.posts.map(({ status }) => status)).toEqual([400, 200, 200])
  })

  test('[OA10] the refresh token is of no use without the key', async () => {
    const issuer = await issuerWith(true)
    const { refreshToken = '' } = await signIn(
      sourceAt(issuer.issuer, memoryStore().keys),
      await issuer.code('v'.repeat(43)),
    )
    const thief = sourceAt(issuer.issuer, memoryStore().keys)
    expect(await thief.refresh?.({ key: 'k', refreshToken })).toMatchObject({ verdict: 'auth-required' })
  })

  test('[OA11] with a clock ten years off the tokens are bound all the same', async () => {
    const issuer = await issuerWith(true)
    const source = sourceAt(issuer.issuer, memoryStore().keys, () => Date.now() - 10 * 365 * 24 * 3_600_000)
    expect(await signIn(source, await issuer.code('v'.repeat(43)))).toMatchObject({ accessToken: expect.any(String) })
  })

  test('[OA12] an issuer that binds nothing gives nothing to use', async () => {
    const issuer = await issuerWith(false)
    const source = sourceAt(issuer.issuer, memoryStore().keys)
    const outcome = await source.refresh?.({ key: 'k', refreshToken: await issuer.signIn() })
    expect(outcome).toMatchObject({ ok: false, verdict: 'auth-required', code: 'LEASE_BAD_TOKEN' })
  })

  test('[OA11] a proof that is wrong whatever is done is tried again later, and ends no lease', async () => {
    const refused = async () =>
      Response.json({ error: 'invalid_dpop_proof' }, { status: 400, headers: { 'dpop-nonce': crypto.randomUUID() } })
    let asked = 0
    const fetcher: typeof fetch = () => {
      asked += 1
      return refused()
    }
    const options = { tokenEndpoint: 'https://issuer.example/token', clientId: CLIENT, dpop: dpop() }
    const source = oauth(options)({ fetch: fetcher, now: Date.now })
    expect(await source.refresh?.({ key: 'k', refreshToken: 'r' })).toMatchObject({ ok: false, verdict: 'retry' })
    expect(asked).toBe(2)
  })
})
