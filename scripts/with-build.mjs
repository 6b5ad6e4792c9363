// Installs, builds, gets a browser, then runs a TypeScript file: `node scripts/with-build.mjs bench/main.ts --json`.
// Only the file itself writes to standard output, so that its output can be piped.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensureInstalled, ROOT } from './install.mjs'
import { runTs } from './run-ts.mjs'

const [file, ...args] = process.argv.slice(2)
ensureInstalled()
const { status } = spawnSync(process.execPath, [join(ROOT, 'scripts/build.mjs'), '--no-types'], {
  cwd: ROOT,
  stdio: ['ignore', 2, 2],
})
if (status !== 0) process.exit(1)
const { ensureBrowser } = await import('./get-browser.mjs')
if (!(await ensureBrowser())) process.exit(1)
await runTs(file, args)
