// A site with a worker of its own that imports us, an API of its own, and an issuer that knows no mercy.

import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Supplied } from '../src/tokens.ts'
import type { Site } from '../testing/site.ts'
import { CLIENT, type StrictIssuer } from '../test/servers/strict-issuer.ts'

/** An API on another origin than the site. It takes what `accepts` says, and writes down what it got. */
export interface Api {
  readonly url: string
  readonly calls: {
    readonly path: string
    readonly authorization: string | undefined
    readonly proof: string | undefined
    readonly body: string
  }[]
  accepts: (token: string) => boolean | Promise<boolean>
  /** Answers in the place of the API. */
  instead: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  close(): Promise<void>
}

export async function startApi(): Promise<Api> {
  const calls: Api['calls'] = []
  const api = { calls, accepts: (_: string): boolean | Promise<boolean> => true, instead: undefined as Api['instead'] }
  const server = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', '*, authorization')
    response.setHeader('access-control-allow-methods', '*')
    response.setHeader('access-control-expose-headers', '*')
    response.setHeader('access-control-max-age', '600')
    if (request.method === 'OPTIONS') return void response.end()
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { authorization, dpop } = request.headers
      const proof = typeof dpop === 'string' ? dpop : undefined
      calls.push({ path: request.url ?? '', authorization, proof, body: Buffer.concat(chunks).toString('latin1') })
      if (api.instead?.(request, response)) return
      void Promise.resolve(api.accepts(authorization?.replace(/^(Bearer|DPoP) /, '') ?? '')).then((isGood) => {
        response.statusCode = isGood ? 200 : 401
        response.end(isGood ? 'yes' : 'no')
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(api, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

export interface OwnWorker {
  readonly dist: string
  readonly serviceUrl: string
  /** The source of the lease "api", as code. */
  readonly source: string
  /** Origins for the fetch handler; none: no handler. */
  readonly origins?: readonly string[]
  readonly vault?: string
}

export const oauthSource = ({ issuer }: Pick<StrictIssuer, 'issuer'>): string =>
  `oauth({ issuer: '${issuer}', clientId: '${CLIENT}' })`

/** Serves the modules under /lib/ and the site's own worker as /sw.js. */
export function serveOwnWorker(
  site: Site,
  { dist, serviceUrl, source, origins = [], vault = 'persistent' }: OwnWorker,
): void {
  const code = (path: string, body: string) => site.overrides.set(path, { status: 200, type: 'text/javascript', body })
  const names = ['sw.js', 'fetch.js', 'oauth.js', 'dpop.js', 'tokens.js', 'platforms/session-service.js']
  const chunks = readdirSync(join(dist, 'chunks')).map((name) => `chunks/${name}`)
  for (const name of [...names, ...chunks]) code(`/lib/${name}`, readFileSync(join(dist, name), 'utf8'))
  const routes = origins.map((origin) => ({ origin, deployment: 'demo', lease: 'api' }))
  code(
    '/sw.js',
    `import { startWorker } from '/lib/sw.js'
import { authorizeFetch } from '/lib/fetch.js'
import { oauth } from '/lib/oauth.js'
import { dpop } from '/lib/dpop.js'
import { sessionService } from '/lib/platforms/session-service.js'
const worker = startWorker({ deployments: { demo: {
  platform: sessionService({ url: '${serviceUrl}' }), vault: '${vault}', leases: { api: { source: ${source}, lent: true } },
} } })
if (${routes.length} > 0) authorizeFetch(worker, ${JSON.stringify(routes)})
addEventListener('activate', (event) => event.waitUntil(clients.claim()))`,
  )
}

declare global {
  var tokens: typeof import('../src/tokens.ts')
  var asked: number
}

/** Runs in the page: connects through the site's own worker, and supplies what the test says. */
export async function connectOwn(supplied: Supplied | null): Promise<void> {
  globalThis.asked = 0
  globalThis.problems = []
  globalThis.chat = await globalThis.holdfast.connect({
    worker: '/sw.js',
    type: 'module',
    scope: '/',
    deployment: 'demo',
  })
  globalThis.chat.on('problem', (problem) => globalThis.problems.push(problem))
  const lib = new URL('/lib/tokens.js', location.href).href
  globalThis.tokens = await import(lib)
  if (supplied === null) return
  globalThis.tokens.supplyTokens(globalThis.chat, {
    api: () => {
      globalThis.asked += 1
      return supplied
    },
  })
}

/** Runs in the page: so many calls at once; how many were answered 200, and how long the last took. */
export async function callMany([url, calls]: readonly [string, number]): Promise<{ good: number; ms: number }> {
  const began = performance.now()
  const all = await Promise.all(
    Array.from({ length: calls }, () =>
      fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ),
    ),
  )
  return { good: all.filter(Boolean).length, ms: performance.now() - began }
}
