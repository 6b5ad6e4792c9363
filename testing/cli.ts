// `npm run sim -- --seeds N [--seed S] [--trace]`: runs seeds one after the other and prints what they found.
// The last line is JSON for programs; the exit code is 1 when anything was found.

import { parseArgs } from 'node:util'
import { report, simulate as simulateService } from './sim.ts'
import { simulateGenesys } from './sim-genesys.ts'

const SEEDS_DEFAULT = 200
/** So many failing seeds are shown in full. */
const SHOWN_MAX = 3

const { values } = options()
const simulate = values.platform === 'genesys' ? simulateGenesys : simulateService
const first = Number(values.seed ?? 1)
const count = Number(values.seeds ?? (values.seed === undefined ? SEEDS_DEFAULT : 1))
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  fail()
}

function options() {
  try {
    return parseArgs({
      options: {
        seeds: { type: 'string' },
        seed: { type: 'string' },
        trace: { type: 'boolean' },
        platform: { type: 'string' },
      },
    })
  } catch {
    // What is not known is misspelt, or a question how it is spelt.
    return fail()
  }
}

function fail(): never {
  console.error('Usage: npm run sim -- --seeds N [--seed S] [--platform genesys] [--trace]')
  process.exit(2)
}

const startedAt = performance.now()
let steps = 0
let findings = 0
let shown = 0
for (let seed = first; seed < first + count; seed++) {
  const run = await simulate(seed, {}, values.trace === true ? console.log : undefined)
  steps += run.steps
  findings += run.findings.length
  if (run.findings.length === 0) continue
  console.log(++shown <= SHOWN_MAX ? report(run) : `npm run sim -- --seed ${seed}\n  ${run.findings.join('\n  ')}`)
}
const seconds = Math.round((performance.now() - startedAt) / 10) / 100
console.log(JSON.stringify({ seeds: count, findings, steps, seconds }))
process.exitCode = findings > 0 ? 1 : 0
