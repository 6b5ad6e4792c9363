// Builds dist/: page, worker, server, testing, declarations and the demo.
// Everything is built beside dist/ and swapped in at the end, so a running demo never sees half a build.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, ROOT } from './install.mjs'

ensureInstalled()
const { bundleBrowser, bundleNode, bundlePages } = await import('./bundle.mjs')

const FINAL = join(ROOT, 'dist')
const WORK = join(ROOT, '.build', `dist-${process.pid}`)
const OLD = join(ROOT, '.build', `old-${process.pid}`)
const TYPED = ['core', 'sw', 'src', 'server', 'testing']

/** The worker's modules: what they share is a chunk of its own. */
const MODULES = {
  sw: 'sw/worker.ts',
  'platforms/session-service': 'sw/platforms/session-service.ts',
  'platforms/genesys': 'sw/platforms/genesys.ts',
  oauth: 'sw/platforms/oauth.ts',
  dpop: 'sw/platforms/dpop.ts',
  fetch: 'sw/fetch.ts',
  encryption: 'sw/encryption.ts',
}

/** What few pages need is loaded by them alone. */
const APART = { './local-host.ts': './holdfast-local-host.js', './more.ts': './holdfast-more.js' }

/** Every bundle: the function, its entries (name in dist/ → source), and its options. */
const BUNDLES = [
  [bundleBrowser, { holdfast: 'src/index.ts' }, { apart: APART }],
  [bundleBrowser, { hub: 'src/hub.ts' }, { apart: APART }],
  [bundleBrowser, { 'holdfast-hub': 'src/hub-page.ts' }, { apart: APART }],
  [bundleBrowser, { tokens: 'src/tokens.ts' }, {}],
  [bundleBrowser, { 'genesys-messenger': 'src/genesys-messenger.ts' }, {}],
  [bundleBrowser, { 'holdfast-local-host': 'src/local-host.ts' }, {}],
  [bundleBrowser, { 'holdfast-more': 'src/more.ts' }, { apart: APART }],
  [bundleBrowser, MODULES, {}],
  [bundleBrowser, { 'holdfast-sw': 'sw/prebuilt.ts' }, { format: 'iife' }],
  [bundleBrowser, { 'holdfast-sw-genesys': 'sw/prebuilt-genesys.ts' }, { format: 'iife' }],
  [bundleBrowser, { 'holdfast-encryption': 'sw/prebuilt-encryption.ts' }, { format: 'iife' }],
  [bundleNode, { index: 'server/index.ts', main: 'server/main.ts' }, { folder: 'server' }],
  [bundleNode, { index: 'testing/index.ts' }, { folder: 'testing' }],
  [bundleNode, { main: 'public/serve.ts' }, { folder: 'demo-server' }],
]

const missing = BUNDLES.flatMap(([, entries]) => Object.values(entries)).filter((file) => !existsSync(join(ROOT, file)))

// Vite leaves a promise of its own unheard when a page names a script that is not there.
process.on('unhandledRejection', (error) => fail(error.message))
mkdirSync(WORK, { recursive: true })
try {
  const results = await Promise.allSettled([...BUNDLES.map(bundle), demo()])
  for (const { reason } of results.filter(({ status }) => status === 'rejected')) fail(reason.message)
  cpSync(join(ROOT, 'src/hub.html'), join(WORK, 'hub.html'))
  if (!process.argv.includes('--no-types')) declarations()
  swap()
} finally {
  rmSync(WORK, { recursive: true, force: true })
  rmSync(OLD, { recursive: true, force: true })
}
if (missing.length > 0) fail(`Not built, because the source is missing: ${missing.join(', ')}`)

/** What can be built is built all the same, so that work on one part does not wait for another. */
function fail(message) {
  console.error(message)
  process.exitCode = 1
}

async function bundle([make, entries, { folder = '', ...options }]) {
  const present = Object.entries(entries).filter(([, file]) => existsSync(join(ROOT, file)))
  if (present.length > 0) await make({ entries: Object.fromEntries(present), outDir: join(WORK, folder), ...options })
}

async function demo() {
  const root = join(ROOT, 'public')
  const pages = readdirSync(root).filter((name) => name.endsWith('.html'))
  if (pages.length === 0) return missing.push('public/*.html')
  const staticDir = join(root, 'static')
  await bundlePages({
    root,
    pages: pages.map((name) => join(root, name)),
    outDir: join(WORK, 'demo'),
    staticDir: existsSync(staticDir) ? staticDir : false,
  })
}

/** The declarations are the compiler's; a type error is reported by `npm run check`, and here only mentioned. */
function declarations() {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-b', '--quiet'], { cwd: ROOT })
  if (status !== 0) console.error('The declarations have type errors: see `npm run check`.')
  for (const part of TYPED) {
    const from = join(ROOT, '.build/types', part)
    const isWanted = (path) => !path.endsWith('.tsbuildinfo')
    if (existsSync(from)) cpSync(from, join(WORK, 'types', part), { recursive: true, filter: isWanted })
  }
}

function swap() {
  const cli = join(WORK, 'server/main.js')
  if (existsSync(cli)) chmodSync(cli, 0o755)
  try {
    if (existsSync(FINAL)) renameSync(FINAL, OLD)
  } catch {
    // A folder from a lower layer of a container image cannot be renamed, only removed.
    rmSync(FINAL, { recursive: true, force: true })
  }
  renameSync(WORK, FINAL)
}
