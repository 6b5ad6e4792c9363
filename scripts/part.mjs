// Runs one part by itself, installing and building first what it needs: `node scripts/part.mjs e2e outbox`.
// `npm run check`, `test:unit`, `test:sim` and `test:e2e` are this; further arguments go to the tool.
import { ensureInstalled } from './install.mjs'

const NEEDS_BUILD = ['e2e', 'size', 'package']

const [wanted, ...args] = process.argv.slice(2)
ensureInstalled()
const { PARTS, runPart } = await import('./parts.mjs')
const names = wanted === 'check' ? ['types', 'lint'] : [wanted]
if (!names.every((name) => name in PARTS)) {
  console.error(`Usage: node scripts/part.mjs check|${Object.keys(PARTS).join('|')} [arguments]`)
  process.exit(1)
}
if (wanted === 'e2e') {
  const { ensureBrowser } = await import('./get-browser.mjs')
  if (!(await ensureBrowser())) process.exit(1)
}
if (wanted === 'unit') {
  const { ensureServers } = await import('./get-servers.mjs')
  await ensureServers()
}
const first = NEEDS_BUILD.includes(wanted) ? ['build'] : []
for (const name of [...first, ...names]) {
  const { failed, note } = await runPart(name, name === 'build' ? [] : args, Number.POSITIVE_INFINITY)
  if (note) console.error(`${name}: ${note}`)
  if (failed > 0) process.exit(1)
}
