// `npm test`: everything, also on a machine with Node and npm and nothing else.
// The last line is `N passed, N failed`; the exit code is 0 only when something passed and nothing failed.
import { ensureInstalled } from './install.mjs'

/** It takes about twelve minutes on two cores; this ends what hangs, and not what is slow because the machine is busy. */
const TOTAL_MS = 60 * 60_000

const startedAt = performance.now()
ensureInstalled()
const { PARTS, runPart } = await import('./parts.mjs')
const { ensureBrowser } = await import('./get-browser.mjs')
const { ensureServers } = await import('./get-servers.mjs')

const chosen = process.argv.slice(2)
const names = Object.keys(PARTS).filter((name) => chosen.length === 0 || chosen.includes(name))
const results = []
for (const name of names) {
  console.log(`\n── ${name}`)
  results.push(await attempt(name))
}
summarise(results)

async function attempt(name) {
  const leftMs = TOTAL_MS - (performance.now() - startedAt)
  try {
    if (leftMs <= 0) return { name, passed: 0, failed: 1, note: 'not run: out of time' }
    if (name === 'e2e' && !(await ensureBrowser())) return { name, passed: 0, failed: 1, note: 'not run: no browser' }
    // Without them the tests that need them fail by name; the others still run.
    if (name === 'unit') await ensureServers()
    return await runPart(name, [], leftMs)
  } catch (error) {
    return { name, passed: 0, failed: 1, note: `crashed: ${error.message}` }
  }
}

function summarise(results) {
  const sum = (key) => results.reduce((total, result) => total + result[key], 0)
  console.log('')
  for (const { name, passed, failed, note } of results) {
    const counts = `${String(passed).padStart(5)} passed ${String(failed).padStart(4)} failed`
    console.log(`${name.padEnd(8)}${counts}${note ? `  ${note}` : ''}`)
  }
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
  process.exitCode = sum('passed') > 0 && sum('failed') === 0 ? 0 : 1
}
