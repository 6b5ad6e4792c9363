// The chaos run, short: everything is killed and cut off while four tabs speak, and nothing that was accepted is lost.
// `npm run chaos -- --minutes N` is the long one.

import { findBrowser } from '../scripts/browsers.mjs'
import { runChaos } from '../testing/chaos-run.ts'
import { DIST, expect, test } from './fixtures.ts'

test('[HN6] a minute of kills and faults: nothing is lost, doubled or out of order, and every tab recovers', async () => {
  test.setTimeout(300_000)
  const lines: string[] = []
  const result = await runChaos({
    executable: (await findBrowser('chromium'))?.path ?? 'chromium',
    dist: DIST,
    seed: 7,
    ms: 60_000,
    log: (line) => lines.push(line),
  })
  expect(result.findings, lines.join('\n')).toEqual([])
  // It was chaos, and there was something to lose.
  expect(result.accepted).toBeGreaterThan(20)
  expect(Object.values(result.kills).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(3)
})
