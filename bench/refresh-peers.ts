// The packages that sites use today, as published, each in the set-up its documentation has for several tabs.

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { BrowserContext, Page } from '@playwright/test'
import type { Supplied } from '../core/wire.ts'
import { startApi } from '../e2e/token-world.ts'
import { type Site, startSite } from '../testing/site.ts'
import { CLIENT, type StrictIssuer, strictIssuer } from '../test/servers/strict-issuer.ts'
import { compared, type Figure, killWorkers, launch } from './lab.ts'
import { late, report, type Round, round } from './refresh-round.ts'

const DIST = join(process.cwd(), 'dist')
const AXA_WORKER = join(process.cwd(), 'node_modules/@axa-fr/oidc-client-service-worker/dist/OidcServiceWorker.js')

interface Peer {
  readonly name: string
  readonly file: string
  /** It keeps its tokens in a service worker, which a code has to be exchanged in. */
  readonly hasWorker?: boolean
}

const PEERS: readonly Peer[] = [
  { name: 'oidc-client-ts', file: 'oidc-client-ts' },
  { name: 'auth0-spa-js', file: 'auth0-spa-js' },
  { name: '@axa-fr/oidc-client', file: 'axa-oidc-client' },
  { name: '@axa-fr/oidc-client with its worker', file: 'axa-oidc-client', hasWorker: true },
]

declare global {
  var peer: {
    /** @param signIn where tokens are kept in a worker: the code of a sign-in, in the tab that has made it */
    setUp(issuer: string, clientId: string, refreshToken: string, signIn: Supplied | null): Promise<void>
    token(): Promise<string>
    /** Its token has run out, as far as it knows. */
    isOut?(): boolean
  }
}

type Fault = 'none' | 'one answer lost' | 'worker killed'

/** Runs in the page: so many calls at once with a package that hands out a token. */
async function askAndCall([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const once = async (): Promise<boolean> => {
    const token = await globalThis.peer.token()
    return (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).ok
  }
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

/** One browser profile for each run, so that none finds what another has left. */
export async function peers(): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  const outDir = join(process.cwd(), '.build', 'peers')
  mkdirSync(outDir, { recursive: true })
  // Found at run time: it builds what lies beside it, and must not be built into this file.
  const bundler = pathToFileURL(join(process.cwd(), 'scripts/bundle.mjs')).href
  const { bundleBrowser } = (await import(bundler)) as typeof import('../scripts/bundle.mjs')
  const files = [...new Set(PEERS.map(({ file }) => file))]
  await bundleBrowser({ entries: Object.fromEntries(files.map((file) => [file, `bench/peers/${file}.ts`])), outDir })
  const site = await startSite({ dist: DIST, serviceUrl: 'http://127.0.0.1:9' })
  for (const file of files) serve(site, `/peer/${file}.js`, readFileSync(join(outDir, `${file}.js`), 'utf8'))
  serve(site, '/OidcServiceWorker.js', readFileSync(AXA_WORKER, 'utf8'))
  const browser = await launch()
  try {
    for (const peer of PEERS) {
      const faults: readonly Fault[] = [
        'none',
        'one answer lost',
        ...(peer.hasWorker ? (['worker killed'] as const) : []),
      ]
      for (const fault of faults) {
        const six = await peerRound(await browser.newContext(), site, peer, fault)
        const after = fault === 'none' ? '' : `, ${fault}`
        report(peer.name + after, 6, 10, six)
        if (fault === 'none') figures.push(compared(`refresh requests of ${peer.name} at 6 × 10`, 'POST', six.posts, 1))
        figures.push(compared(`calls of ${peer.name} that succeed at 6 × 10${after}`, '', six.good, 1))
      }
    }
  } finally {
    await Promise.all([browser.close(), site.close()])
  }
  return figures
}

const serve = (site: Site, path: string, body: string): void =>
  void site.overrides.set(path, { status: 200, type: 'text/javascript', body })

async function peerRound(context: BrowserContext, site: Site, peer: Peer, fault: Fault): Promise<Round> {
  // Tokens that a worker has exchanged live a second, so that they run out; those that follow live on.
  let accessSeconds = peer.hasWorker ? 1 : 3_000
  // auth0-spa-js expects an issuer that ends in a slash.
  const path = peer.name === 'auth0-spa-js' ? '/' : ''
  const issuer = await strictIssuer({ accessSeconds: () => accessSeconds, path })
  const api = await startApi()
  api.accepts = issuer.accepts
  const trusted = { default: [issuer.issuer, api.url] }
  serve(site, '/OidcTrustedDomains.js', `const trustedDomains = ${JSON.stringify(trusted)}`)
  try {
    const pages: Page[] = []
    for (let tab = 0; tab < 6; tab++) pages.push(await peerTab(context, site, peer, issuer, tab === 0))
    for (const page of pages) await page.waitForFunction(() => globalThis.peer.isOut?.() !== false)
    accessSeconds = 3_000
    issuer.hold.before = late
    if (fault === 'one answer lost') issuer.hold.after = loseOne(issuer)
    const again = () => round(pages, 10, api, () => issuer.posts.length, askAndCall)
    const first = await again()
    if (fault === 'worker killed') await killWorkers(pages[0] as Page)
    return fault === 'none' ? first : await again()
  } finally {
    await Promise.all([context.close(), issuer.end(), api.close()])
  }
}

async function peerTab(
  context: BrowserContext,
  site: Site,
  { file, hasWorker }: Peer,
  issuer: StrictIssuer,
  isFirst: boolean,
): Promise<Page> {
  const page = await context.newPage()
  await page.goto(site.url)
  const refreshToken = isFirst && !hasWorker ? await issuer.signIn() : ''
  const code = isFirst ? await issuer.code('v'.repeat(43)) : {}
  await page.evaluate(
    async ([path, ...setUp]) => {
      globalThis.peer = await import(path)
      await globalThis.peer.setUp(...setUp)
    },
    [`/peer/${file}.js`, issuer.issuer, CLIENT, refreshToken, hasWorker ? code : null] as const,
  )
  return page
}

const loseOne = (issuer: StrictIssuer) => (answer: { destroy(): unknown }) => {
  delete issuer.hold.after
  answer.destroy()
  return undefined
}
