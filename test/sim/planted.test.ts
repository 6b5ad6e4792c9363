import { expect, test } from 'vitest'
import { drawExtras } from '../../testing/extras.ts'
import { simulate } from '../../testing/sim.ts'
import { PLANTED } from './planted.ts'
import { PLANTED_IDENTITY } from './planted-identity.ts'
import { PLANTED_MORE } from './planted-more.ts'

const SEEDS_MAX = 500

test.each([...PLANTED, ...PLANTED_MORE])('[SIM5] a machine that $is is noticed', async ({ plant, needs, found }) => {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    if (needs?.(drawExtras(seed)) === false) continue
    const { findings } = await simulate(seed, plant)
    if (findings.some((finding) => found.test(finding))) return
  }
  expect.fail(`no finding of it in ${SEEDS_MAX} seeds`)
})

test.each(PLANTED_IDENTITY)('[SIM10] a machine that $is is noticed', async ({ plant, found }) => {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    if (!drawExtras(seed).signIns) continue
    const { findings } = await simulate(seed, plant)
    if (findings.some((finding) => found.test(finding))) return
  }
  expect.fail(`no finding of it in ${SEEDS_MAX} seeds`)
})
