// A customer's site as small as it can be: one page, the prebuilt page module and worker, the configuration. Loopback only.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export interface Site {
  readonly port: number
  readonly url: string
  /** Raised to make the worker's script another version: a browser that updates replaces the running worker. */
  version: number
  /** Answers in the place of a file, as long as it is set. */
  readonly overrides: Map<
    string,
    { readonly status: number; readonly type: string; readonly body: string; readonly headers?: Record<string, string> }
  >
  close(): Promise<void>
}

export interface SiteOptions {
  /** The folder of the built package, `dist`. */
  readonly dist: string
  /** Where the worker finds the session service. */
  readonly serviceUrl: string
  readonly deployments?: readonly string[]
  readonly vault?: 'broker' | 'persistent' | 'memory'
  /** Intervals in milliseconds, as in the worker's configuration. */
  readonly timings?: Record<string, number>
  /** What else the worker's configuration says of each deployment. */
  readonly deployment?: Record<string, unknown>
  /** Names of the deployments of which the worker seals what it stores. Default: none. */
  readonly encrypted?: readonly string[]
}

/** All that its pages hold. */
export const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>site</title><link rel="icon" href="data:,">
<script type="module">import * as holdfast from '/holdfast/holdfast.js'; globalThis.holdfast = holdfast</script>`

/** Serves the site. Every page of it is the same and does nothing until a test asks. */
export async function startSite({
  dist,
  serviceUrl,
  deployments = ['demo'],
  vault = 'broker',
  timings = {},
  deployment = {},
  encrypted = [],
}: SiteOptions): Promise<Site> {
  const overrides: Site['overrides'] = new Map()
  const platform = { type: 'session-service', url: serviceUrl }
  const configOf = (name: string) => ({ platform, vault, timings, encryption: encrypted.includes(name), ...deployment })
  const config = { deployments: Object.fromEntries(deployments.map((name) => [name, configOf(name)])) }
  const worker = encrypted.length > 0 ? ['holdfast-encryption.js', 'holdfast-sw.js'] : ['holdfast-sw.js']
  const site = { version: 1 }
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://site').pathname
    const send = (status: number, type: string, body: string | Buffer, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...headers }).end(body)
    const other = overrides.get(path)
    if (other !== undefined) return send(other.status, other.type, other.body, other.headers)
    if (path === '/holdfast/config.json') return send(200, 'application/json', JSON.stringify(config))
    if (path === '/holdfast/sw.js') {
      return send(
        200,
        'text/javascript',
        `${worker.map((file) => readFileSync(join(dist, file), 'utf8')).join('\n')}\n// version ${site.version}`,
      )
    }
    if (/^\/holdfast\/[\w./-]+\.js$/.test(path) && !path.includes('..')) {
      return send(200, 'text/javascript', readFileSync(join(dist, path.slice('/holdfast/'.length))))
    }
    return send(200, 'text/html', PAGE)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return Object.assign(site, {
    port,
    url: `http://localhost:${port}`,
    overrides,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}
