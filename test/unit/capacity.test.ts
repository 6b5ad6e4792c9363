// The capacity model behind docs/operations.md: the document shows what the model says, and the model's storm
// behaves as the client's waiting rule does.
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { capacityTables, needOf, storms, VISITORS } from '../../testing/capacity.ts'

const ROOT = resolve(import.meta.dirname, '../..')

test('[SV73] the document shows the tables that the model computes', async () => {
  const text = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
  const { needs, storms: peaks } = capacityTables()
  expect(text).toContain(needs)
  expect(text).toContain(peaks)
})

test('[SV73] after an outage our clients spread over the wait, and equal waits would bring them all at once', () => {
  const [ours, , equal] = storms()
  for (const share of ours?.peakShares ?? [1]) expect(share).toBeLessThan(0.25)
  for (const share of equal?.peakShares ?? [0]) expect(share).toBe(1)
})

test('[SV73] what is needed grows with the visitors, and no cell asks more of its broker than was measured', () => {
  const needs = VISITORS.map(needOf)
  for (const [index, need] of needs.entries()) {
    expect(need.noticesPerSecondPerCell).toBeLessThan(34_900)
    const former = needs[index - 1]
    if (former) expect(need.cells * need.nodesPerCell).toBeGreaterThan(former.cells * former.nodesPerCell)
  }
})
