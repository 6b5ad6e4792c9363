// One refresher: N tabs make M calls each over a token that has run out, at a strict issuer 150 ms away. Ours beside the
// packages that sites use for it today, as published, each in the set-up its documentation has for several tabs.

import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { BrowserContext, Page } from '@playwright/test'
import { type Api, connectOwn, oauthSource, serveOwnWorker, startApi } from '../e2e/token-world.ts'
import { startProxy } from '../testing/proxy.ts'
import { type Site, startSite } from '../testing/site.ts'
import { CLIENT, type StrictIssuer, strictIssuer } from '../test/servers/strict-issuer.ts'
import { atLeast, atMost, compared, type Figure, type Lab, launch, median, openLab } from './lab.ts'
import './page.ts'
import { simulateDays } from './refresh-days.ts'

const DIST = join(process.cwd(), 'dist')
const LATENCY_MS = 150
const TABS = [1, 6, 12, 24]
const CALLS = [1, 10, 100]
const PEERS = ['oidc-client-ts', 'auth0-spa-js'] as const

interface Round {
  readonly posts: number
  readonly good: number
  readonly ms: number
}

declare global {
  var peer: { setUp(issuer: string, clientId: string, refreshToken: string): Promise<void>; token(): Promise<string> }
}

export async function refresh(): Promise<readonly Figure[]> {
  return [...(await ours()), ...(await peers()), ...(await hardships()), ...(await overhead()), ...days()]
}

const late = () => new Promise<void>((resolve) => setTimeout(resolve, LATENCY_MS))

/** Runs in the page: so many calls at once by the page's own hand, each with at most one repeat after a refusal. */
async function borrowAndCall([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const once = async (): Promise<boolean> => {
    let borrowed = await globalThis.tokens.accessToken(globalThis.chat, 'api')
    const call = () => fetch(url, { headers: { authorization: `Bearer ${borrowed.token}` } })
    const first = await call()
    if (first.status !== 401) return first.ok
    borrowed = await globalThis.tokens.accessToken(globalThis.chat, 'api', borrowed.generation)
    return (await call()).ok
  }
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

/** Runs in the page: so many calls at once, which the fetch handler authorizes. */
async function call([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const once = () => fetch(url).then(({ ok }) => ok)
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

/** Runs in the page: the same with a package that hands out a token. */
async function askAndCall([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const once = async (): Promise<boolean> => {
    const token = await globalThis.peer.token()
    return (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).ok
  }
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

async function round(
  pages: readonly Page[],
  calls: number,
  api: Api,
  posts: () => number,
  run: typeof borrowAndCall,
): Promise<Round> {
  const before = posts()
  const began = Date.now()
  const all = await Promise.all(pages.map((page) => page.evaluate(run, [`${api.url}/v1`, calls] as const)))
  const good = all.reduce((sum, one) => sum + one.good, 0) / (pages.length * calls)
  return { posts: posts() - before, good, ms: Math.max(...all.map(({ at }) => at)) - began }
}

async function controlled(context: BrowserContext, site: Site, refreshToken: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(site.url)
  await page.waitForFunction(() => globalThis.holdfast !== undefined)
  await page.evaluate(connectOwn, { token: `stale-${refreshToken}`, refreshToken, expiresIn: 3_000 })
  return page
}

async function ours(): Promise<readonly Figure[]> {
  const lab = await openLab()
  const issuer = await strictIssuer({ accessSeconds: 3_000 })
  issuer.hold.before = late
  const api = await startApi()
  try {
    serveOwnWorker(lab.site, {
      dist: DIST,
      serviceUrl: lab.service.url,
      source: oauthSource(issuer),
      origins: [api.url],
    })
    const first = await issuer.signIn()
    const pages: Page[] = []
    const rounds: { tabs: number; calls: number; round: Round }[] = []
    for (const tabs of TABS) {
      while (pages.length < tabs) pages.push(await controlled(lab.context, lab.site, first))
      for (const calls of CALLS) {
        // Every token of before counts as run out.
        const old = new Set(api.calls.map(({ authorization }) => authorization))
        api.accepts = (token) => !token.startsWith('stale') && !old.has(`Bearer ${token}`)
        api.calls.length = 0
        const result = await round(pages, calls, api, () => issuer.posts.length, call)
        report('holdfast', tabs, calls, result)
        rounds.push({ tabs, calls, round: result })
      }
    }
    const worst = Math.max(...rounds.map(({ round: { posts } }) => posts))
    const least = Math.min(...rounds.map(({ round: { good } }) => good))
    const beyond = await sixByTen(lab, api, pages.slice(0, 6))
    return [
      atMost('refresh requests at the worst N and M, beside one', 'POST', worst, 1, 1),
      atLeast('calls that succeed at the worst N and M, beside all', '', least, 1, 1),
      atMost(
        'until the last of 6 × 10 calls succeeds, beyond pages without a worker that wait one latency, beside 50 ms',
        'ms',
        Math.max(beyond, 0),
        50,
        1,
      ),
    ]
  } finally {
    await Promise.all([lab.close(), issuer.end(), api.close()])
  }
}

/** Runs in the page: what cannot be avoided. Every call is refused, a token takes one latency, every call is made again. */
async function waitAndCall([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const token = new Promise<void>((resolve) => setTimeout(resolve, 150))
  const as = (name: string) => fetch(url, { headers: { authorization: `Bearer ${name}` } })
  const once = () =>
    as('stale')
      .then(() => token)
      .then(() => as('fresh'))
      .then(({ ok }) => ok)
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

/** Interleaved with pages that need nobody, so that a busy machine is busy for both. */
async function sixByTen(lab: Lab, api: Api, pages: readonly Page[]): Promise<number> {
  const bare = await startSite({ dist: DIST, serviceUrl: lab.service.url })
  const others = await Promise.all(pages.map(() => lab.context.newPage()))
  await Promise.all(others.map((page) => page.goto(bare.url)))
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let pass = 0; pass < 7; pass++) {
    const old = new Set(api.calls.map(({ authorization }) => authorization))
    api.accepts = (token) => token === 'fresh' || (!token.startsWith('stale') && !old.has(`Bearer ${token}`))
    ours.push((await round(pages, 10, api, () => 0, call)).ms)
    theirs.push((await round(others, 10, api, () => 0, waitAndCall)).ms)
  }
  await bare.close()
  if (!process.argv.includes('--json'))
    console.log(`  6 × 10: ${median(ours).toFixed(0)} ms, pages without a worker ${median(theirs).toFixed(0)} ms`)
  return median(ours.map((ms, pass) => ms - (theirs[pass] ?? 0)))
}

const report = (name: string, tabs: number, calls: number, { posts, good, ms }: Round): void => {
  if (process.argv.includes('--json')) return
  console.log(`  ${name}, ${tabs} × ${calls}: ${posts} POST, ${(100 * good).toFixed(0)} % succeed, ${ms.toFixed(0)} ms`)
}

/** One browser profile for each run, so that none finds what another has left. */
async function peers(): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  const outDir = join(process.cwd(), '.build', 'peers')
  mkdirSync(outDir, { recursive: true })
  // Found at run time: it builds what lies beside it, and must not be built into this file.
  const bundler = pathToFileURL(join(process.cwd(), 'scripts/bundle.mjs')).href
  const { bundleBrowser } = (await import(bundler)) as typeof import('../scripts/bundle.mjs')
  await bundleBrowser({ entries: Object.fromEntries(PEERS.map((name) => [name, `bench/peers/${name}.ts`])), outDir })
  const site = await startSite({ dist: DIST, serviceUrl: 'http://127.0.0.1:9' })
  const browser = await launch()
  try {
    for (const name of PEERS) {
      const code = readFileSync(join(outDir, `${name}.js`), 'utf8')
      site.overrides.set(`/peer/${name}.js`, { status: 200, type: 'text/javascript', body: code })
      for (const isLost of [false, true]) {
        const six = await peerRound(await browser.newContext(), site, name, isLost)
        report(`${name}${isLost ? ', one answer lost' : ''}`, 6, 10, six)
        if (isLost) figures.push(compared(`calls of ${name} that succeed after one lost answer`, '', six.good, 1))
        else figures.push(compared(`refresh requests of ${name} at 6 × 10`, 'POST', six.posts, 1))
      }
    }
  } finally {
    await Promise.all([browser.close(), site.close()])
  }
  return figures
}

async function peerRound(context: BrowserContext, site: Site, name: string, isLost: boolean): Promise<Round> {
  // auth0-spa-js expects an issuer that ends in a slash.
  const issuer = await strictIssuer({ accessSeconds: 3_000, path: name === 'auth0-spa-js' ? '/' : '' })
  const api = await startApi()
  api.accepts = issuer.accepts
  issuer.hold.before = late
  if (isLost) issuer.hold.after = loseOne(issuer)
  try {
    const pages: Page[] = []
    for (let tab = 0; tab < 6; tab++) {
      const page = await context.newPage()
      await page.goto(site.url)
      const refreshToken = tab === 0 ? await issuer.signIn() : ''
      await page.evaluate(
        async ([path, ...setUp]) => {
          globalThis.peer = await import(path)
          await globalThis.peer.setUp(...setUp)
        },
        [`/peer/${name}.js`, issuer.issuer, CLIENT, refreshToken] as const,
      )
      pages.push(page)
    }
    const first = await round(pages, 10, api, () => issuer.posts.length, askAndCall)
    return isLost ? await round(pages, 10, api, () => issuer.posts.length, askAndCall) : first
  } finally {
    await Promise.all([context.close(), issuer.end(), api.close()])
  }
}

const loseOne = (issuer: StrictIssuer) => (answer: { destroy(): unknown }) => {
  delete issuer.hold.after
  answer.destroy()
  return undefined
}

/** A graceful issuer, our session service, and everything that can happen between a request and its answer. */
async function hardships(): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const what of ['killed', 'frozen', 'lost'] as const) {
    const lab = await openLab()
    const proxy = await startProxy(lab.service.port)
    const api = await startApi()
    try {
      const refreshToken = await bodyToken(proxy.url)
      const source = `oauth({ tokenEndpoint: '${proxy.url}/api/v2/widget/auth/refresh', clientId: 'site' })`
      serveOwnWorker(lab.site, { dist: DIST, serviceUrl: lab.service.url, source })
      const pages: Page[] = []
      for (let tab = 0; tab < 6; tab++) pages.push(await controlled(lab.context, lab.site, refreshToken))
      api.accepts = (token) => !token.startsWith('stale')
      const awake = await hardship(what, proxy, lab, pages)
      const result = await round(awake, 10, api, () => proxy.count(/auth\/refresh/), borrowAndCall)
      proxy.clear()
      report(`holdfast, the holder ${what}`, 6, 10, result)
      const used = new Set(api.calls.map(({ authorization }) => authorization).filter((one) => !one?.includes('stale')))
      figures.push(atMost(`successors in use, ${what}, beside one`, '', used.size, 1, 1))
      figures.push(atLeast(`calls that succeed, ${what}, beside all`, '', result.good, 1, 1))
    } finally {
      await Promise.all([lab.close(), proxy.close(), api.close()])
    }
  }
  return figures
}

/** Gives the tabs that make calls: one that sleeps makes none, and nobody may wait for it. */
async function hardship(
  what: 'killed' | 'frozen' | 'lost',
  proxy: Awaited<ReturnType<typeof startProxy>>,
  lab: Awaited<ReturnType<typeof openLab>>,
  pages: readonly Page[],
): Promise<readonly Page[]> {
  const match = /POST .*auth\/refresh/
  const [first, ...others] = pages as [Page, ...Page[]]
  if (what === 'lost') proxy.rule({ match, action: { type: 'cut-answer' }, times: 1 })
  if (what === 'frozen') {
    // It was the first: whatever one tab can hold that others need, it holds.
    const session = await lab.context.newCDPSession(first)
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    return others
  }
  if (what === 'killed') {
    proxy.rule({ match, action: { type: 'swallow-answer' }, times: 1 })
    void proxy.seen(match, 1, true).then(() => lab.killWorkers(first))
  }
  return pages
}

/** A refresh token in the body, as a site's own backend would hand it to its page. */
async function bodyToken(url: string): Promise<string> {
  const body = { deploymentId: 'demo', refreshKey: randomUUID(), tokenDelivery: 'body' }
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const answer = (await (await fetch(`${url}/api/v2/widget/sessions`, init)).json()) as {
    grant: { refresh_token: string }
  }
  return answer.grant.refresh_token
}

/** Paired and interleaved: the same call from a page with the handler and from one without any worker. */
async function overhead(): Promise<readonly Figure[]> {
  const lab = await openLab()
  const [api, other, plainSite] = [
    await startApi(),
    await startApi(),
    await startSite({ dist: DIST, serviceUrl: lab.service.url }),
  ]
  try {
    serveOwnWorker(lab.site, { dist: DIST, serviceUrl: lab.service.url, source: "'page'", origins: [api.url] })
    const withWorker = await controlled(lab.context, lab.site, 'x')
    await withWorker.waitForFunction(() => navigator.serviceWorker.controller !== null)
    const without = await lab.context.newPage()
    await without.goto(plainSite.url)
    const time = async ([url, header]: readonly [string, string]): Promise<number[]> => {
      const times: number[] = []
      for (let count = 0; count < 40; count++) {
        const began = performance.now()
        await (await fetch(url, header === '' ? {} : { headers: { authorization: header } })).text()
        times.push(performance.now() - began)
      }
      return times
    }
    const gaps = { ours: [] as number[], others: [] as number[] }
    for (let pass = 0; pass < 8; pass++) {
      const mine = await withWorker.evaluate(time, [`${api.url}/v1`, ''] as const)
      const bare = await without.evaluate(time, [`${api.url}/v1`, 'Bearer x'] as const)
      const passed = await withWorker.evaluate(time, [`${other.url}/v1`, ''] as const)
      const free = await without.evaluate(time, [`${other.url}/v1`, ''] as const)
      if (pass === 0) continue
      gaps.ours.push(median(mine) - median(bare))
      gaps.others.push(median(passed) - median(free))
    }
    return [
      atMost(
        'fetch handler: what a request that is ours costs more, beside 1.2 ms',
        'ms',
        Math.max(median(gaps.ours), 0),
        1.2,
        1,
      ),
      atMost(
        'fetch handler: what another request costs more, beside 0.7 ms',
        'ms',
        Math.max(median(gaps.others), 0),
        0.7,
        1,
      ),
    ]
  } finally {
    await Promise.all([lab.close(), api.close(), other.close(), plainSite.close()])
  }
}

/** Of one visitor, with kills, sleeps and losses. */
const DAYS = 10_000

function days(): readonly Figure[] {
  const { rotations, generations, lost, posts } = simulateDays(DAYS)
  if (!process.argv.includes('--json')) {
    console.log(`  ${DAYS} days: ${rotations} rotations, ${posts} requests (a fifth of them lost, killed or put off)`)
  }
  return [
    atMost('simulated days: rotations per generation that was held', '', rotations / generations, 1, 1.05),
    atLeast('simulated days that end in the session they began with, graceful issuer', '', DAYS - lost, DAYS, 1),
  ]
}
