// The fetch handler over requests and a network in the test's hand. What only a browser can show is in e2e/tokens.spec.ts.

import { afterEach, describe, expect, test, vi } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import { authorizeFetch, type TokenRoute } from '../../sw/fetch.ts'
import type { Lent } from '../../sw/engine-leases.ts'
import type { Lender } from '../../sw/worker.ts'

const API = 'https://api.example'
const ROUTES: readonly TokenRoute[] = [
  { origin: API, deployment: 'acme', lease: 'api', path: '/v1/' },
  { origin: 'https://files.example', deployment: 'acme', lease: 'files' },
]

afterEach(() => vi.unstubAllGlobals())

type Seen = Request & { body: ReadableStream | null }

function worker(
  answer: (request: Seen, nth: number) => Response,
  lend: Lender['lend'] = async (_, lease, spent) => ({
    value: `${lease}-${(spent ?? 0) + 1}`,
    generation: (spent ?? 0) + 1,
    expiresAt: 0,
    worked: () => {},
  }),
  routes = ROUTES,
) {
  const self = new EventTarget()
  const sent: Seen[] = []
  vi.stubGlobal('self', self)
  vi.stubGlobal('fetch', async (input: Request, init: RequestInit) => {
    const request = new Request(input, init) as Seen
    sent.push(request)
    return answer(request, sent.length)
  })
  const lent = vi.fn(lend)
  authorizeFetch({ lend: lent }, routes)
  const page = (url: string, init: RequestInit & { duplex?: 'half' } = {}, mode?: string) => {
    const request = new Request(url, init)
    if (mode) Object.defineProperty(request, 'mode', { value: mode })
    let answered: Promise<Response> | undefined
    const event = Object.assign(new Event('fetch'), {
      request,
      respondWith: (response: Promise<Response>) => {
        answered = response
      },
    })
    self.dispatchEvent(event)
    return answered
  }
  return { page, sent, lent }
}

const ok = () => new Response('ok')
const tokenOf = (request: Request | undefined) => request?.headers.get('authorization')

describe('what is left alone', () => {
  test.each([
    { what: 'another origin', url: 'https://api.example.evil.test/v1/x' },
    { what: 'the same host on another port', url: 'https://api.example:8443/v1/x' },
    { what: 'the same host without TLS', url: 'http://api.example/v1/x' },
    { what: 'another path', url: `${API}/v2/x` },
    {
      what: 'a call with a header of its own',
      url: `${API}/v1/x`,
      init: { headers: { authorization: 'Bearer mine' } },
    },
    { what: 'a navigation', url: `${API}/v1/x`, mode: 'navigate' },
    { what: 'an image', url: `${API}/v1/x`, mode: 'no-cors' },
  ])('[FH1] $what, before anything is awaited', ({ url, init, mode }) => {
    const { page, lent } = worker(ok)
    expect(page(url, init ?? {}, mode)).toBeUndefined()
    expect(lent).not.toHaveBeenCalled()
  })

  test.each([
    { origin: 'https://api.example/' },
    { origin: 'http://api.example' },
    { origin: 'https://api.example/v1' },
    { origin: '*' },
    { origin: 'https://api.example', path: '.evil.test/' },
  ])('[FH1] $origin with $path is no origin of a list', (route) => {
    vi.stubGlobal('self', new EventTarget())
    const lend = async () => ({ value: '', generation: 1, expiresAt: 0, worked: () => {} })
    expect(() => authorizeFetch({ lend }, [{ ...route, deployment: 'acme' }])).toThrow(TypeError)
  })
})

describe('what is authorized', () => {
  test('[FH2] a call to an origin on the list has the token of its lease, and everything else as it was', async () => {
    const { page, sent } = worker(ok)
    const init = {
      method: 'POST',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
    }
    await page(`${API}/v1/x?y=1`, init)
    await page('https://files.example/a')
    expect(sent.map(tokenOf)).toEqual(['Bearer api-1', 'Bearer files-1'])
    expect(sent[0]?.url).toBe(`${API}/v1/x?y=1`)
    expect(sent[0]?.headers.get('idempotency-key')).toBe('k')
    expect(await sent[0]?.text()).toBe('{"a":1}')
  })

  test.each(['GET', 'POST'])('[FH9] a %s is on its way at once where the token is at hand', (method) => {
    const { page, sent } = worker(ok, () => ({ value: 'here', generation: 1, expiresAt: 0, worked: () => {} }))
    void page(`${API}/v1/x`, { method, ...(method === 'POST' && { body: '{}' }) })
    expect(sent.map(tokenOf)).toEqual(['Bearer here'])
  })

  test('[FH3] a refused token is followed by one repeat with the next, same body and key', async () => {
    const { page, sent, lent } = worker((_, nth) => new Response('', { status: nth === 1 ? 401 : 200 }))
    const init = {
      method: 'POST',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
    }
    expect((await page(`${API}/v1/x`, init))?.status).toBe(200)
    expect(sent.map(tokenOf)).toEqual(['Bearer api-1', 'Bearer api-2'])
    expect(await sent[1]?.text()).toBe('{"a":1}')
    expect(sent[1]?.headers.get('idempotency-key')).toBe('k')
    expect(lent.mock.calls).toEqual([
      ['acme', 'api', undefined, undefined],
      ['acme', 'api', 1, undefined],
    ])
  })

  test('[FH3] a second refusal is the answer: no loop', async () => {
    const { page, sent } = worker(() => new Response('no', { status: 401 }))
    const response = await page(`${API}/v1/x`)
    expect([response?.status, await response?.text(), sent.length]).toEqual([401, 'no', 2])
  })

  test('[FH4] an upload streams through once: it is neither kept nor repeated', async () => {
    const { page, sent, lent } = worker(() => new Response('', { status: 401 }))
    const body = new ReadableStream({ pull: (to) => to.close() })
    const init = {
      method: 'PUT',
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/octet-stream' },
    } as const
    expect((await page(`${API}/v1/x`, init))?.status).toBe(401)
    expect(sent).toHaveLength(1)
    expect(lent).toHaveBeenLastCalledWith('acme', 'api', 1, undefined)
  })

  test.each(['DELETE', 'POST'])('[FH3] a %s without a body is repeated', async (method) => {
    const { page, sent } = worker((_, nth) => new Response('', { status: nth === 1 ? 401 : 200 }))
    expect((await page(`${API}/v1/x`, { method }))?.status).toBe(200)
    expect(sent.map(({ method }) => method)).toEqual([method, method])
  })

  test.each(['LEASE_EXPIRED', 'LEASE_REVOKED'] as const)(
    '[FH5] without a lease (%s) nothing is sent, and the answer says why',
    async (code) => {
      const { page, sent } = worker(ok, async () => {
        throw new HoldfastError(code, 'There is none.')
      })
      const response = await page(`${API}/v1/x`)
      expect(response?.status).toBe(401)
      expect(response?.headers.get('content-type')).toBe('application/problem+json')
      expect(await response?.json()).toMatchObject({ status: 401, code })
      expect(sent).toEqual([])
    },
  )
})

test('[FH8] of very many calls at once so many are under way, and every one is answered', async () => {
  const held: (() => void)[] = []
  const { page } = worker(ok)
  const sent = vi.fn(async () => {
    await new Promise<void>((resolve) => held.push(resolve))
    return ok()
  })
  vi.stubGlobal('fetch', sent)
  const calls = Array.from({ length: 2_400 }, (_, nth) => page(`${API}/v1/${nth}`))
  await vi.waitFor(() => expect(held).toHaveLength(1_000))
  while (held.length > 0) {
    for (const answer of held.splice(0)) answer()
    await new Promise((resolve) => setImmediate(resolve))
    expect(held.length).toBeLessThanOrEqual(1_000)
  }
  expect((await Promise.all(calls)).filter((response) => response?.ok)).toHaveLength(2_400)
})

describe('tokens that are bound to a key', () => {
  /** What the API asks of proofs comes with its answers. */
  function bound(answer: (request: Seen, nth: number) => Response) {
    let nonce = 'none'
    const binding: NonNullable<Lent['binding']> = {
      headers: async ({ method, url, token }) => ({
        authorization: `DPoP ${token}`,
        dpop: `${method} ${url} ${nonce}`,
      }),
      hear({ headers }) {
        const said = headers.get('dpop-nonce')
        const isNew = said !== null && said !== nonce
        nonce = said ?? nonce
        return isNew
      },
    }
    return worker(answer, async (_, lease, spent) => ({
      value: `${lease}-${(spent ?? 0) + 1}`,
      generation: (spent ?? 0) + 1,
      expiresAt: 0,
      worked: () => {},
      binding,
    }))
  }
  const wanting = (error: string) =>
    new Response('', { status: 401, headers: { 'dpop-nonce': 'n1', 'www-authenticate': `DPoP error="${error}"` } })
  const proofs = (sent: Seen[]) => sent.map((request) => [tokenOf(request), request.headers.get('dpop')])

  test('[FH7] go with a proof for the call; a nonce is followed by one repeat, and no token is spent', async () => {
    const { page, sent, lent } = bound((_, nth) => (nth === 1 ? wanting('use_dpop_nonce') : ok()))
    const init = { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }
    expect((await page(`${API}/v1/x`, init))?.status).toBe(200)
    expect(proofs(sent)).toEqual([
      ['DPoP api-1', `POST ${API}/v1/x none`],
      ['DPoP api-1', `POST ${API}/v1/x n1`],
    ])
    expect(await sent[1]?.text()).toBe('{"a":1}')
    expect(lent).toHaveBeenCalledTimes(1)
  })

  test('[FH7] a token that has run out is followed by the next, with the nonce that came', async () => {
    const { page, sent } = bound((_, nth) => (nth === 1 ? wanting('invalid_token') : ok()))
    expect((await page(`${API}/v1/x`))?.status).toBe(200)
    expect(proofs(sent)).toEqual([
      ['DPoP api-1', `GET ${API}/v1/x none`],
      ['DPoP api-2', `GET ${API}/v1/x n1`],
    ])
  })

  test('[FH7] an API that is never content is asked three times at most', async () => {
    const { page, sent } = bound((_, nth) => {
      const headers = { 'dpop-nonce': `n${nth}`, 'www-authenticate': 'DPoP error="use_dpop_nonce"' }
      return new Response('', { status: 401, headers })
    })
    expect((await page(`${API}/v1/x`))?.status).toBe(401)
    expect(sent).toHaveLength(3)
  })
})

describe('redirects', () => {
  const redirected = (url: string, status: number) =>
    Object.defineProperties(new Response('', { status }), { redirected: { value: true }, url: { value: url } })

  test('[FH6] one that ends at another origin of the list is asked there with its own token', async () => {
    const { page, sent } = worker((_, nth) => (nth === 1 ? redirected('https://files.example/a', 401) : ok()))
    expect((await page(`${API}/v1/x`))?.status).toBe(200)
    expect(sent.map((request) => [new URL(request.url).origin, tokenOf(request)])).toEqual([
      [API, 'Bearer api-1'],
      ['https://files.example', 'Bearer files-1'],
    ])
  })

  test('[FH10] a refusal at the end of one within the origin is followed by one repeat with the next token', async () => {
    const { page, sent } = worker((_, nth) => (nth === 1 ? redirected(`${API}/v1/x/`, 401) : ok()))
    expect((await page(`${API}/v1/x`))?.status).toBe(200)
    expect(sent.map(({ url }) => url)).toEqual([`${API}/v1/x`, `${API}/v1/x`])
    expect(sent.map(tokenOf)).toEqual(['Bearer api-1', 'Bearer api-2'])
  })

  test('[FH6] one that leaves the list gets nothing more', async () => {
    const { page, sent } = worker(() => redirected('https://elsewhere.example/a', 401))
    expect((await page(`${API}/v1/x`))?.status).toBe(401)
    expect(sent).toHaveLength(1)
  })
})

describe('an address that has nothing against the token', () => {
  /** Tokens that are known by their generation; each refusal makes another. */
  function counting(answer: (request: Seen) => Response) {
    let generation = 1
    const lend: Lender['lend'] = (_, lease, spent) => {
      if (spent === generation) generation += 1
      return { value: `${lease}-${generation}`, generation, expiresAt: 0, worked: () => {} }
    }
    return { ...worker(answer, lend), generation: () => generation }
  }
  const closedAt = (path: string) => (request: Seen) =>
    new Response('', { status: new URL(request.url).pathname === path ? 401 : 200 })

  test('[FH12] and refuses all, while others take them: one refresh, and no further one', async () => {
    const { page, generation } = counting(closedAt('/v1/closed'))
    for (let nth = 0; nth < 20; nth++) {
      expect((await page(`${API}/v1/open`))?.status).toBe(200)
      expect((await page(`${API}/v1/closed?nth=${nth}`))?.status).toBe(401)
    }
    expect(generation()).toBe(2)
  })

  test('[FH12] and takes one, is believed again', async () => {
    let path = '/v1/x'
    const { page, generation } = counting((request) => closedAt(path)(request))
    await page(`${API}/v1/open`)
    await page(`${API}/v1/x`)
    path = ''
    await page(`${API}/v1/x`)
    path = '/v1/x'
    await page(`${API}/v1/x`)
    expect(generation()).toBe(3)
  })

  test('[FH12] where nothing was ever taken, each call tells of its refusal: the lease ends', async () => {
    const { page, generation } = counting(closedAt('/v1/x'))
    for (let nth = 0; nth < 3; nth++) await page(`${API}/v1/x`)
    expect(generation()).toBe(4)
  })
})

test('[FH13] of two routes the longer one counts, in whatever order they stand', async () => {
  const { page, sent } = worker(ok, undefined, [
    { origin: API, deployment: 'acme', lease: 'all' },
    { origin: API, deployment: 'acme', lease: 'admin', path: '/admin/' },
  ])
  for (const path of ['/admin/x', '/administrators', '/']) await page(`${API}${path}`)
  expect(sent.map(tokenOf)).toEqual(['Bearer admin-1', 'Bearer all-1', 'Bearer all-1'])
})

test('[FH11] who stood in line goes with the token of now, of the visitor who was here, or not at all', async () => {
  const held: (() => void)[] = []
  let present = { epoch: 'e1', generation: 1 }
  const lend: Lender['lend'] = (_, lease, __, epoch = present.epoch) => {
    if (epoch !== present.epoch) return Promise.reject(new HoldfastError('EPOCH_CHANGED', 'Another is here.'))
    return { value: `${lease}-${present.generation}`, ...present, expiresAt: 0, worked: () => {} }
  }
  const { page } = worker(ok, lend)
  const sent: (string | null)[] = []
  vi.stubGlobal('fetch', async (_: Request, { headers }: { headers: Headers }) => {
    sent.push(headers.get('authorization'))
    await new Promise<void>((resolve) => held.push(resolve))
    return ok()
  })
  const calls = Array.from({ length: 1_002 }, (_, nth) => page(`${API}/v1/${nth}`))
  await vi.waitFor(() => expect(held).toHaveLength(1_000))
  present = { epoch: 'e1', generation: 2 }
  held[0]?.()
  await vi.waitFor(() => expect(held).toHaveLength(1_001))
  expect(sent.at(-1)).toBe('Bearer api-2')
  present = { epoch: 'e2', generation: 3 }
  held[1]?.()
  const last = await calls.at(-1)
  expect([last?.status, await last?.json()]).toMatchObject([401, { code: 'EPOCH_CHANGED' }])
  expect(sent).toHaveLength(1_001)
  for (const answer of held) answer()
  await Promise.all(calls)
})
