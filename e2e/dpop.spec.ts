// Tokens that are bound to a key, in a real browser: the key is made in the worker, stays on the disk, and nobody reads it.

import { calculateJwkThumbprint, EmbeddedJWK, type JWK, jwtVerify } from 'jose'
import { CLIENT, strictIssuer } from '../test/servers/strict-issuer.ts'
import { DIST, expect, test } from './fixtures.ts'
import { callMany, connectOwn, serveOwnWorker, startApi } from './token-world.ts'

test('[OA10] a code in, calls with proofs out: one key for all tokens, also of a worker that comes after a kill', async ({
  world,
}) => {
  const [issuer, api] = [await strictIssuer({ dpop: 'nonce' }), await startApi()]
  try {
    const source = `oauth({ issuer: '${issuer.issuer}', clientId: '${CLIENT}', dpop: dpop() })`
    serveOwnWorker(world.site, { dist: DIST, serviceUrl: world.proxy.url, source, origins: [api.url] })
    const { page } = await world.tab({ isBare: true })
    await page.evaluate(connectOwn, await issuer.code('v'.repeat(43)))
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
    expect(await page.evaluate(callMany, [`${api.url}/v1?page=2`, 3] as const)).toMatchObject({ good: 3 })

    await world.killWorker(page)
    const spent = new Set(api.calls.map(({ authorization }) => authorization))
    api.accepts = (token) => !spent.has(`DPoP ${token}`)
    expect(await page.evaluate(callMany, [`${api.url}/v1?page=2`, 3] as const)).toMatchObject({ good: 3 })
    expect(await page.evaluate(() => globalThis.asked)).toBe(1)

    const keys = new Set<string>()
    for (const { authorization, proof } of api.calls) {
      const token = authorization?.replace(/^DPoP /, '') ?? ''
      const { payload, protectedHeader } = await jwtVerify(proof ?? '', EmbeddedJWK, { typ: 'dpop+jwt' })
      expect(payload).toMatchObject({ htm: 'GET', htu: `${api.url}/v1` })
      const thumbprint = await calculateJwkThumbprint(protectedHeader.jwk as JWK)
      expect(await issuer.boundTo(token)).toBe(thumbprint)
      keys.add(thumbprint)
    }
    expect(keys.size).toBe(1)
    expect(new Set(api.calls.map(({ authorization }) => authorization)).size).toBe(2)
  } finally {
    await Promise.all([issuer.end(), api.close()])
  }
})
