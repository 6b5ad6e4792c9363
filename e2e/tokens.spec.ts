// Tokens in a real browser: the site's own worker that imports us, its calls, its pages, and what lies on the disk.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from '@playwright/test'
import { type StrictIssuer, strictIssuer } from '../test/servers/strict-issuer.ts'
import { DIST, expect, test as base, type World } from './fixtures.ts'
import { type Api, callMany, connectOwn, oauthSource, serveOwnWorker, startApi } from './token-world.ts'

const test = base.extend<{ api: Api; issuer: StrictIssuer }>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of fixtures from the pattern
  api: async ({}, use) => {
    const api = await startApi()
    await use(api)
    await api.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of fixtures from the pattern
  issuer: async ({}, use) => {
    const issuer = await strictIssuer()
    await use(issuer)
    await issuer.end()
  },
})

async function own(world: World, issuer: StrictIssuer, api: Api, vault = 'persistent'): Promise<void> {
  const origins = [api.url]
  serveOwnWorker(world.site, { dist: DIST, serviceUrl: world.proxy.url, source: oauthSource(issuer), origins, vault })
}

/** A tab that is controlled by the site's own worker, with a lease that the API refuses until it was refreshed. */
async function controlled(
  world: World,
  issuer: StrictIssuer,
  supplied?: Parameters<typeof connectOwn>[0],
): Promise<Page> {
  const { page } = await world.tab({ isBare: true })
  const first =
    supplied === undefined ? { token: 'stale', refreshToken: await issuer.signIn(), expiresIn: 300 } : supplied
  await page.evaluate(connectOwn, first)
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
  return page
}

const bearers = (api: Api) => api.calls.map(({ authorization }) => authorization)

test('[FH2] the calls of a page get the token in the worker; one refused token makes one refresh for all of them', async ({
  world,
  api,
  issuer,
}) => {
  api.accepts = issuer.accepts
  await own(world, issuer, api)
  const page = await controlled(world, issuer)
  const { good } = await page.evaluate(callMany, [`${api.url}/v1`, 20] as const)
  expect([good, issuer.posts.length]).toEqual([20, 1])
  expect(bearers(api).every((header) => header?.startsWith('Bearer '))).toBe(true)
})

test('[FH3] a post whose token is refused is made again with the next, and the same body', async ({
  world,
  api,
  issuer,
}) => {
  api.accepts = issuer.accepts
  await own(world, issuer, api)
  const page = await controlled(world, issuer)
  const status = await page.evaluate(async (url) => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': 'key-1' }
    return (await fetch(url, { method: 'POST', body: '{"a":1}', headers })).status
  }, `${api.url}/v1`)
  expect([status, issuer.posts.length]).toEqual([200, 1])
  expect(api.calls.map(({ body }) => body)).toEqual(['{"a":1}', '{"a":1}'])
  expect(new Set(bearers(api)).size).toBe(2)
})

test('[FH5] without a lease the page reads a typed 401, and nothing was sent', async ({ world, api, issuer }) => {
  await own(world, issuer, api)
  const page = await controlled(world, issuer, null)
  const answer = await page.evaluate(async (url) => {
    const response = await fetch(url)
    return [response.status, (await response.json()).code]
  }, `${api.url}/v1`)
  expect(answer).toEqual([401, 'LEASE_EXPIRED'])
  expect(api.calls).toEqual([])
})

test('[FH6] a redirect to another origin takes no token along', async ({ world, api, issuer }) => {
  const elsewhere = await startApi()
  api.instead = (_, response) => {
    response.writeHead(302, { location: `${elsewhere.url}/there` }).end()
    return true
  }
  await own(world, issuer, api)
  const page = await controlled(world, issuer)
  expect(await page.evaluate(callMany, [`${api.url}/v1`, 1] as const)).toMatchObject({ good: 1 })
  expect(bearers(api)).toEqual(['Bearer stale'])
  expect(elsewhere.calls.map(({ authorization }) => authorization)).toEqual([undefined])
  await elsewhere.close()
})

test('[FH4] an upload arrives whole, and what is not on the list is untouched', async ({ world, api, issuer }) => {
  const other = await startApi()
  await own(world, issuer, api)
  const page = await controlled(world, issuer)
  const size = 3_000_000
  const status = await page.evaluate(
    async ([url, bytes]) =>
      (await fetch(url as string, { method: 'POST', body: new Blob([new Uint8Array(bytes as number).fill(65)]) }))
        .status,
    [`${api.url}/up`, size],
  )
  expect([status, api.calls.at(-1)?.body.length]).toEqual([200, size])
  const progress = await page.evaluate(
    ([url, bytes]) =>
      new Promise<number>((resolve) => {
        const request = new XMLHttpRequest()
        let events = 0
        request.upload.onprogress = () => {
          events += 1
        }
        request.onloadend = () => resolve(events)
        request.open('POST', url as string)
        request.send(new Blob([new Uint8Array(bytes as number)]))
      }),
    [`${other.url}/up`, size],
  )
  expect(progress).toBeGreaterThan(0)
  expect(other.calls.map(({ authorization }) => authorization)).toEqual([undefined])
  await other.close()
})

test('[OA7] a lost answer at a strict issuer ends the lease once, with a code, and the chat and its outbox go on', async ({
  world,
  api,
  issuer,
}) => {
  api.accepts = issuer.accepts
  await own(world, issuer, api)
  const page = await controlled(world, issuer)
  issuer.hold.after = (answer) => {
    delete issuer.hold.after
    answer.destroy()
    return undefined
  }
  expect(await page.evaluate(callMany, [`${api.url}/v1`, 5] as const)).toMatchObject({ good: 0 })
  await page.waitForFunction(() => globalThis.problems.some(({ code }) => code === 'LEASE_REVOKED'))
  const posts = issuer.posts.length
  const answer = await page.evaluate(async (url) => (await (await fetch(url)).json()).code, `${api.url}/v1`)
  expect([answer, issuer.posts.length, posts]).toEqual(['LEASE_REVOKED', 2, 2])
  const receipt = await page.evaluate(async () => (await (await globalThis.chat.send('still here')).settled).status)
  expect(receipt).toBe('acked')
})

test('[LE32] of six tabs with a callback, one runs it for each token', async ({ world, api, issuer }) => {
  serveOwnWorker(world.site, { dist: DIST, serviceUrl: world.proxy.url, source: "'page'", origins: [api.url] })
  const pages: Page[] = []
  for (let count = 0; count < 6; count++)
    pages.push(await controlled(world, issuer, { token: 'from a tab'.replace(/ /g, '-') }))
  const results = await Promise.all(pages.map((page) => page.evaluate(callMany, [`${api.url}/v1`, 5] as const)))
  expect(results.every(({ good }) => good === 5)).toBe(true)
  const asked = await Promise.all(pages.map((page) => page.evaluate(() => globalThis.asked)))
  expect(asked.reduce((sum, count) => sum + count)).toBe(1)
})

test('[LE38] a worker that is killed in memory mode is given the token again by a tab', async ({
  world,
  api,
  issuer,
}) => {
  const source = "'page'"
  serveOwnWorker(world.site, { dist: DIST, serviceUrl: world.proxy.url, source, origins: [api.url], vault: 'memory' })
  const page = await controlled(world, issuer, { token: 'again' })
  expect(await page.evaluate(callMany, [`${api.url}/v1`, 2] as const)).toMatchObject({ good: 2 })
  await world.killWorker(page)
  expect(await page.evaluate(callMany, [`${api.url}/v1`, 2] as const)).toMatchObject({ good: 2 })
  expect(await page.evaluate(() => globalThis.chat.state.phase)).not.toBe('auth-required')
})

test.describe('tokens that rotate every second', () => {
  test.use({ serviceConfig: { accessTokenMs: 1_500 } })

  test('[LE16] typing, focus, draft, stream and messages go on undisturbed', async ({ world }) => {
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'live')
    const { page } = tab
    await page.evaluate(() => {
      const field = document.body.appendChild(document.createElement('textarea'))
      field.oninput = () => {
        globalThis.chat.draft.text = field.value
        globalThis.chat.typing()
      }
      field.focus()
    })
    const generation = () => page.evaluate(async () => (await globalThis.chat.diagnose()).figures.generation as number)
    const before = await generation()
    const sockets = world.proxy.count(/GET .*\/stream$/)
    const said: string[] = []
    let typed = ''
    while ((await generation()) < before + 6) {
      const words = `word ${said.length} `
      await page.keyboard.type(words)
      typed += words
      said.push(`message ${said.length}`)
      await tab.send(said.at(-1) ?? '')
    }
    expect(await page.evaluate(() => (document.activeElement as HTMLTextAreaElement).value)).toBe(typed)
    expect(await page.evaluate(() => globalThis.chat.draft.text)).toBe(typed)
    await tab.until((state) => state.outbox.queued + state.outbox.inflight === 0)
    expect((await world.record()).map(({ text }) => text)).toEqual(said)
    // A token of a second may run out on a busy machine before the next is there; the connection is the same all the same.
    await tab.until((state) => state.phase === 'live')
    expect(world.proxy.count(/GET .*\/stream$/)).toBe(sockets)
  })
})

test.describe('what lies on the disk', () => {
  for (const vault of ['broker', 'persistent', 'memory'] as const) {
    test.describe(vault, () => {
      test.use({ site: { vault }, serviceConfig: { accessTokenMs: 600_000 } })

      test(`[ST24] ${vault}: no token in any file of the profile`, async ({ world, playwright, browserName }, info) => {
        const profile = mkdtempSync(join(tmpdir(), 'holdfast-profile-'))
        const { launchOptions } = info.project.use
        const context = await playwright[browserName].launchPersistentContext(profile, { ...launchOptions })
        const seen: string[] = []
        context.on('response', async (response) => {
          const body = await response.text().catch(() => '')
          for (const [, token = ''] of body.matchAll(/"(?:access|refresh)_token":"([^"]+)"/g)) seen.push(token)
        })
        const page = await context.newPage()
        await page.goto(world.site.url)
        await page.waitForFunction(() => globalThis.holdfast !== undefined)
        await page.evaluate(async () => {
          const worker = '/holdfast/sw.js?config=/holdfast/config.json'
          globalThis.chat = await globalThis.holdfast.connect({ worker, deployment: 'demo' })
          await (await globalThis.chat.send('hello disk')).settled
        })
        await context.close()
        const bytes = filesIn(profile).filter((path) =>
          /IndexedDB|CacheStorage|Local Storage|Session Storage/.test(path),
        )
        const text = bytes.map((path) => readFileSync(path, 'latin1')).join('\n')
        const wide = Buffer.from(text, 'latin1').toString('utf16le')
        expect(text.includes('hello disk') || wide.includes('hello disk')).toBe(true)
        // The signature of a JWT, the prefix of a refresh token, and every one that was seen on the wire.
        expect(text).not.toMatch(/eyJ[\w-]{10,}\.eyJ[\w-]{10,}|rt1\.[\w-]+/)
        for (const token of seen) expect(text.includes(token)).toBe(false)
        rmSync(profile, { recursive: true, force: true })
      })
    })
  }
})

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
