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
  authorizeFetch({ lend: lent }, ROUTES)
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
      ['acme', 'api', undefined],
      ['acme', 'api', 1],
    ])
  })

  test('[FH3] a second refusal is the answer: no loop', async () => {
    const { page, sent } = worker(() => new Response('no', { status: 401 }))
    const response = await page(`${API}/v1/x`)
    expect([response?.status, await response?.text(), sent.length]).toEqual([401, 'no', 2])
  })

  test('[FH4] an upload streams through once: it is neither kept nor repeated', async () => {
    const { page, sent } = worker(() => new Response('', { status: 401 }))
    const body = new ReadableStream({ pull: (to) => to.close() })
    const init = {
      method: 'PUT',
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/octet-stream' },
    } as const
    expect((await page(`${API}/v1/x`, init))?.status).toBe(401)
    expect(sent).toHaveLength(1)
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

  test('[FH6] one that leaves the list gets nothing more', async () => {
    const { page, sent } = worker(() => redirected('https://elsewhere.example/a', 401))
    expect((await page(`${API}/v1/x`))?.status).toBe(401)
    expect(sent).toHaveLength(1)
  })
})
