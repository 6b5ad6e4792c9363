// The parts of `npm test`: what each runs, how long it may take, and how its result is counted.
// A part that crashes, hangs or finds no test counts as one failure, so that silence is never success.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './install.mjs'

const MINUTE_MS = 60_000
const KILL_AFTER_MS = 10_000
const RESULTS = join(ROOT, '.build/results')

const bin = (path) => join(ROOT, 'node_modules', path)
const VITEST = bin('vitest/vitest.mjs')
const TSC = bin('typescript/bin/tsc')
const BIOME = bin('@biomejs/biome/bin/biome')
const PLAYWRIGHT = bin('@playwright/test/cli.js')
const script = (name) => join(ROOT, 'scripts', name)

const vitest = (project) => (out) => [
  VITEST,
  'run',
  '--project',
  project,
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${out}`,
]

/** In the order in which they run. Without `read`, a part is one check that passes or fails. `minutes` end what hangs. */
export const PARTS = {
  types: { minutes: 8, command: () => [TSC, '-b'] },
  lint: { minutes: 5, command: () => [BIOME, 'check', '--error-on-warnings'] },
  build: { minutes: 8, command: () => [script('build.mjs')] },
  size: { minutes: 2, command: () => [script('size.mjs')] },
  package: { minutes: 8, command: vitest('package'), read: readVitest },
  unit: { minutes: 20, command: vitest('unit'), read: readVitest },
  sim: { minutes: 15, command: vitest('sim'), read: readVitest },
  e2e: { minutes: 35, command: () => [PLAYWRIGHT, 'test', '--reporter=list,json'], read: readPlaywright },
}

/** @returns {Promise<{ name: string, passed: number, failed: number, note: string }>} */
export async function runPart(name, args = [], limitMs = Number.POSITIVE_INFINITY) {
  const part = PARTS[name]
  const out = join(RESULTS, `${name}-${process.pid}.json`)
  mkdirSync(RESULTS, { recursive: true })
  const env = { ...process.env, PLAYWRIGHT_JSON_OUTPUT_FILE: out }
  const timeoutMs = Math.min(part.minutes * MINUTE_MS, limitMs)
  const ended = await run([...part.command(out), ...args], timeoutMs, env)
  const counts = part.read === undefined ? { passed: ended.status === 0 ? 1 : 0, failed: 0 } : read(part, out)
  rmSync(out, { force: true })
  return { name, ...judge(counts, ended, timeoutMs) }
}

/** A part fails when it says so, and also when it crashes, hangs, or says nothing. */
export function judge({ passed, failed }, { status, timedOut }, timeoutMs) {
  if (timedOut) return { passed, failed: failed + 1, note: `stopped after ${Math.round(timeoutMs / 1000)} s` }
  if (status !== 0 && failed === 0) return { passed, failed: 1, note: `ended with exit code ${status}` }
  if (passed + failed === 0) return { passed, failed: 1, note: 'no test ran' }
  return { passed, failed, note: '' }
}

/** A report that is missing or broken counts nothing; `judge` makes a failure of that. */
function read(part, out) {
  try {
    return part.read(JSON.parse(readFileSync(out, 'utf8')))
  } catch {
    return { passed: 0, failed: 0 }
  }
}

/** A file that does not load has no tests, and is a failure all the same. */
function readVitest(report) {
  const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0)
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length }
}

function readPlaywright({ stats, errors }) {
  return { passed: stats.expected, failed: stats.unexpected + stats.flaky + errors.length }
}

/** Runs Node on a file, in a process group of its own so that a part that hangs can be ended whole. */
function run(command, timeoutMs, env) {
  const child = spawn(process.execPath, command, {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  })
  const kill = (signal) => {
    try {
      process.kill(-child.pid, signal)
    } catch {
      // The group has ended by itself.
    }
  }
  let timedOut = false
  const stop = () => {
    kill('SIGTERM')
    setTimeout(() => kill('SIGKILL'), KILL_AFTER_MS).unref()
  }
  const timer = setTimeout(() => {
    timedOut = true
    stop()
  }, timeoutMs)
  const interrupted = () => {
    stop()
    child.once('exit', () => process.exit(130))
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  return new Promise((resolve) => {
    child.once('exit', (status, signal) => {
      clearTimeout(timer)
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
      kill('SIGKILL')
      resolve({ status: status ?? signal, timedOut })
    })
  })
}
