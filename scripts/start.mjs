// `npm start`: installs, builds, and runs the demo shop with its session service. Arguments go to the demo server.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensureInstalled, ROOT } from './install.mjs'

ensureInstalled()
const { status } = spawnSync(process.execPath, [join(ROOT, 'scripts/build.mjs'), '--no-types'], {
  cwd: ROOT,
  stdio: 'inherit',
})
if (status !== 0) process.exit(1)

// In this process and not below it, so that every signal and every key reaches the demo once.
process.argv.splice(1, 1, join(ROOT, 'dist/demo-server/main.js'))
await import(pathToFileURL(process.argv[1]).href)
