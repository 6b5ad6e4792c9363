// Runs the races, side by side in one run: `npm run bench`, `npm run bench -- accept drain`, `npm run bench -- --json`.
// Machines are noisy: figures are medians of alternating runs, and what counts is the ratio.

import { accept } from './accept.ts'
import { cold } from './cold.ts'
import { costs } from './costs.ts'
import { drain } from './drain.ts'
import { encryption } from './encryption.ts'
import { genesys } from './genesys.ts'
import { guard } from './guard.ts'
import type { Figure } from './lab.ts'
import { nodes } from './nodes.ts'
import { queue, wholeQueue } from './queue.ts'
import { service } from './service.ts'
import { tabs } from './tabs.ts'
import { wipe } from './wipe.ts'

const BENCHES: { readonly [name: string]: () => Promise<readonly Figure[]> } = {
  accept,
  drain,
  cold,
  tabs,
  service,
  nodes,
  costs,
  guard,
  encryption,
  queue,
  // The issuer that it brings along complains about this Node as soon as it is loaded.
  refresh: async () => (await import('./refresh.ts')).refresh(),
  wipe,
  genesys,
}

const args = process.argv.slice(2)
const isJson = args.includes('--json')
const asked = args.filter((arg) => arg !== '--json')
const unknown = asked.filter((name) => !Object.hasOwn(BENCHES, name))
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}.`)
  process.exit(1)
}

const results: { readonly bench: string; readonly figures: readonly (Figure & { readonly holds: boolean })[] }[] = []
for (const [bench, run] of Object.entries(BENCHES)) {
  if (asked.length > 0 && !asked.includes(bench)) continue
  if (!isJson) console.log(`${bench} …`)
  const figures = (await (asked.includes('queue') && bench === 'queue' ? wholeQueue : run)()).map((figure) => ({
    ...figure,
    holds: holds(figure),
  }))
  results.push({ bench, figures })
  if (!isJson) for (const figure of figures) console.log(`  ${lineOf(figure)}`)
}
if (isJson) console.log(JSON.stringify({ node: process.version, results }, null, 2))
process.exitCode = results.every(({ figures }) => figures.every((figure) => figure.holds)) ? 0 : 1

function holds({ ratio, limit, isMinimum }: Figure): boolean {
  if (limit === undefined) return true
  return isMinimum ? ratio >= limit : ratio <= limit
}

function lineOf(figure: Figure & { readonly holds: boolean }): string {
  const { name, ours, floor, unit, ratio, limit, isMinimum } = figure
  const [word, bound] =
    limit === undefined
      ? ['     ', '']
      : [figure.holds ? 'holds' : 'FAILS', ` (${isMinimum ? 'at least' : 'at most'} ${limit})`]
  return `${word}  ${name}: ${ours.toFixed(2)} ${unit} beside ${floor.toFixed(2)} ${unit}, ratio ${ratio.toFixed(2)}${bound}`
}
