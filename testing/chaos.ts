// `npm run chaos -- --minutes N [--seed S] [--vault broker|persistent]`: a real browser, a real service, real kills, then
// the audit. The last line is JSON for programs; the exit code is 1 when anything was found.

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findBrowser } from '../scripts/browsers.mjs'
import { runChaos } from './chaos-run.ts'

const FINDINGS_SHOWN = 20

const { values } = parseArgs({
  options: { minutes: { type: 'string' }, seed: { type: 'string' }, vault: { type: 'string' } },
})
const minutes = Number(values.minutes ?? 1)
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const vault = values.vault ?? 'persistent'
if (!(minutes > 0) || !Number.isSafeInteger(seed) || (vault !== 'broker' && vault !== 'persistent')) {
  console.error('Usage: npm run chaos -- --minutes N [--seed S] [--vault broker|persistent]')
  process.exit(2)
}
const browser = await findBrowser('chromium')
if (browser === undefined) {
  console.error('There is no Chromium: `npx playwright install chromium`, or the package of your system.')
  process.exit(2)
}

// Then what was started is ended, too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

console.log(`seed ${seed}: ${minutes} min of chaos`)
const { findings, ...result } = await runChaos({
  executable: browser.path,
  dist: join(process.cwd(), 'dist'),
  vault,
  seed,
  ms: minutes * 60_000,
  log: (line) => console.log(line),
})
for (const finding of findings.slice(0, FINDINGS_SHOWN)) console.log(`  ${finding}`)
if (findings.length > FINDINGS_SHOWN) console.log(`  and ${findings.length - FINDINGS_SHOWN} more`)
if (findings.length > 0) console.log(`  again: npm run chaos -- --minutes ${minutes} --seed ${seed}`)
console.log(JSON.stringify(result))
process.exitCode = findings.length > 0 ? 1 : 0
