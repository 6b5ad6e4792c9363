// One refresher: N tabs make M calls each over a token that has run out, at a strict issuer 150 ms away. Ours beside the
// packages that sites use for it today, as published, each in the set-up its documentation has for several tabs.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { BrowserContext, Page } from '@playwright/test'
import { type Api, connectOwn, oauthSource, serveOwnWorker, startApi } from '../e2e/token-world.ts'
import { startProxy } from '../testing/proxy.ts'
import { type Site, startSite } from '../testing/site.ts'
import { CLIENT, type StrictIssuer, strictIssuer } from '../test/servers/strict-issuer.ts'
import { atLeast, atMost, compared, type Figure, type Lab, median, openLab } from './lab.ts'
import './page.ts'
import { simulateDays } from './refresh-days.ts'
import { peers } from './refresh-peers.ts'
import { late, report, type Round, round } from './refresh-round.ts'

const DIST = join(process.cwd(), 'dist')
const ACCESS_SECONDS = 3_000
const TABS = [1, 6, 12, 24]
const CALLS = [1, 10, 100]

declare global {
  /** A page without a worker, which has to see to its token itself. */
  var bare: { token(): Promise<string>; isTriedFirst?: boolean }
}

/**
 * Playwright has the browser report every request that a worker makes, which costs as much again as the request. Without
 * it a worker is as visitors have it; pages are watched the same, with a worker and without.
 */
const UNWATCHED = 'PLAYWRIGHT_DISABLE_SERVICE_WORKER_NETWORK'

export async function refresh(): Promise<readonly Figure[]> {
  const watched = await overhead()
  process.env[UNWATCHED] = '1'
  try {
    const figures = [...(await ours()), ...(await peers()), ...(await hardships()), ...(await overhead())]
    return [
      ...figures,
      ...watched.map(({ name, unit, ours, floor }) => compared(`${name}, worker watched`, unit, ours, floor)),
      ...days(),
    ]
  } finally {
    delete process.env[UNWATCHED]
  }
}

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

async function controlled(context: BrowserContext, site: Site, refreshToken: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(site.url)
  await page.waitForFunction(() => globalThis.holdfast !== undefined)
  await page.evaluate(connectOwn, { token: `stale-${refreshToken}`, refreshToken, expiresIn: 3_000 })
  return page
}

async function ours(): Promise<readonly Figure[]> {
  const lab = await openLab()
  const issuer = await strictIssuer({ accessSeconds: ACCESS_SECONDS })
  issuer.hold.before = late
  const api = await startApi()
  try {
    serveOwnWorker(lab.site, {
      dist: DIST,
      serviceUrl: lab.service.url,
      source: oauthSource(issuer),
      origins: [api.url],
    })
    const own = lab.site.overrides.get('/sw.js')
    if (own) lab.site.overrides.set('/sw.js', { ...own, body: own.body + SLEEP })
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
    const six = pages.slice(0, 6)
    await Promise.all(pages.slice(6).map((page) => page.close()))
    return [
      atMost('refresh requests at the worst N and M, beside one', 'POST', worst, 1, 1),
      atLeast('calls that succeed at the worst N and M, beside all', '', least, 1, 1),
      ...(await sixByTen(lab, issuer, api, six, 'run out by its time')),
      ...(await sixByTen(lab, issuer, api, six, 'refused though it seemed good')),
    ]
  } finally {
    await Promise.all([lab.close(), issuer.end(), api.close()])
  }
}

/** What has become of the token: the worker knows it by the clock and sends nothing with it, or hears it from the API. */
type End = 'run out by its time' | 'refused though it seemed good'

/** Runs in the page: what cannot be avoided. A token takes one latency, then every call is made. */
async function waitAndCall([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const token = new Promise<void>((resolve) => setTimeout(resolve, 150))
  const once = () => token.then(() => fetch(url, { headers: { authorization: 'Bearer fresh' } })).then(({ ok }) => ok)
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

/** Runs in the page: every call is refused, a token takes one latency, every call is made again. */
async function callWaitAndCall([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
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

/** Runs in a page: what it needs to ask the issuer itself, or to be told by the page that does. */
function prepare(own: { readonly endpoint: string; readonly clientId: string; readonly refreshToken: string }): void {
  const channel = new BroadcastChannel('bare')
  globalThis.bare = {
    async token() {
      if (own.refreshToken === '')
        return new Promise((resolve) => {
          channel.onmessage = ({ data }) => resolve(data)
        })
      const form = { grant_type: 'refresh_token', refresh_token: own.refreshToken, client_id: own.clientId }
      const answer = await fetch(own.endpoint, { method: 'POST', body: new URLSearchParams(form) })
      const { access_token: token, refresh_token: refreshToken } = await answer.json()
      own = { ...own, refreshToken }
      channel.postMessage(token)
      return token
    },
  }
}

/** Runs in the page: one page asks the issuer and tells the others, then every call is made, again where it was before. */
async function askAndTell([url, calls]: readonly [string, number]): Promise<{ good: number; at: number }> {
  const token = globalThis.bare.token()
  const as = (name: string) => fetch(url, { headers: { authorization: `Bearer ${name}` } })
  const once = async () => {
    if (globalThis.bare.isTriedFirst) await as('stale')
    return (await as(await token)).ok
  }
  const all = await Promise.all(Array.from({ length: calls }, () => once().catch(() => false)))
  return { good: all.filter(Boolean).length, at: performance.timeOrigin + performance.now() }
}

/** The laptop slept: the worker's clock has gone on, and no alarm has rung. */
const SLEEP = `
const awake = Date.now
let slept = 0
Date.now = () => awake() + slept
addEventListener('message', ({ data, ports }) => {
  if (data.type !== 'sleep') return
  slept += data.ms
  ports[0].postMessage(null)
})`

const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => resolve()
    navigator.serviceWorker.controller?.postMessage({ type: 'sleep', ms }, [port2])
  })

/** Interleaved with pages that need nobody, so that a busy machine is busy for both. */
async function sixByTen(
  lab: Lab,
  issuer: StrictIssuer,
  api: Api,
  pages: readonly Page[],
  end: End,
): Promise<readonly Figure[]> {
  const isOut = end === 'run out by its time'
  const bare = await startSite({ dist: DIST, serviceUrl: lab.service.url })
  const others = await Promise.all(pages.map(() => lab.context.newPage()))
  for (const [tab, page] of others.entries()) {
    await page.goto(bare.url)
    const refreshToken = tab === 0 ? await issuer.signIn() : ''
    await page.evaluate(prepare, { endpoint: issuer.tokenEndpoint, clientId: CLIENT, refreshToken })
    await page.evaluate((isTriedFirst) => Object.assign(globalThis.bare, { isTriedFirst }), !isOut)
  }
  const times = { ours: [] as number[], waiting: [] as number[], asking: [] as number[] }
  const gone: number[] = []
  for (let pass = 0; pass < 9; pass++) {
    const old = new Set(api.calls.map(({ authorization }) => authorization))
    api.accepts = (token) => token === 'fresh' || (!token.startsWith('stale') && !old.has(`Bearer ${token}`))
    if (isOut) await pages[0]?.evaluate(sleep, 1_000 * ACCESS_SECONDS)
    const before = api.calls.length
    times.ours.push((await round(pages, 10, api, () => 0, call)).ms)
    gone.push(api.calls.length - before)
    times.waiting.push((await round(others, 10, api, () => 0, isOut ? waitAndCall : callWaitAndCall)).ms)
    times.asking.push((await round(others, 10, api, () => 0, askAndTell)).ms)
  }
  await Promise.all([bare.close(), ...others.map((page) => page.close())])
  if (!process.argv.includes('--json')) {
    const [mine, plain, asking] = [times.ours, times.waiting, times.asking].map((one) => median(one).toFixed(0))
    console.log(`  6 × 10, ${end}: ${mine} ms with ${median(gone)} calls; pages without a worker that wait`)
    console.log(`    one latency ${plain} ms, that have one of them ask and tell the others ${asking} ms`)
  }
  const beyond = (theirs: readonly number[]) =>
    Math.max(0, median(times.ours.map((ms, pass) => ms - (theirs[pass] ?? 0))))
  const what = `until the last of 6 × 10 calls over a token (${end}) succeeds, beyond pages without a worker`
  return [
    atMost(`${what} that wait one latency, beside 50 ms`, 'ms', beyond(times.waiting), 50, 1),
    compared(`${what} of which one asks the issuer, beside 50 ms`, 'ms', beyond(times.asking), 50),
  ]
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
      for (let count = 0; count < 12; count++) {
        const began = performance.now()
        await (await fetch(url, header === '' ? {} : { headers: { authorization: header } })).text()
        times.push(performance.now() - began)
      }
      return times
    }
    const gaps = { ours: [] as number[], others: [] as number[] }
    /** The two beside each other, and now the one first, now the other: what else the machine does falls on both. */
    const gap = async (pass: number, url: string): Promise<number> => {
      const mine = async () => median(await withWorker.evaluate(time, [url, ''] as const))
      const bare = async () => median(await without.evaluate(time, [url, url === ours ? 'Bearer x' : ''] as const))
      const first = await (pass % 2 === 0 ? mine() : bare())
      const second = await (pass % 2 === 0 ? bare() : mine())
      return pass % 2 === 0 ? first - second : second - first
    }
    const ours = `${api.url}/v1`
    for (let pass = 0; pass < 50; pass++) {
      const [mine, passed] = [await gap(pass, ours), await gap(pass, `${other.url}/v1`)]
      if (pass < 2) continue
      gaps.ours.push(mine)
      gaps.others.push(passed)
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
