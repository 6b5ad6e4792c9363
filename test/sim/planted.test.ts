import { expect, test } from 'vitest'
import { drawExtras } from '../../testing/extras.ts'
import { simulate } from '../../testing/sim.ts'
import { PLANTED, type Planted } from './planted.ts'
import { PLANTED_IDENTITY } from './planted-identity.ts'
import { PLANTED_MORE } from './planted-more.ts'

/** So many runs in which it can show at all. */
const RUNS_MAX = 500

async function isNoticed(
  { plant, found }: Pick<Planted, 'plant' | 'found'>,
  needs: Planted['needs'],
): Promise<boolean> {
  for (let seed = 1, runs = 0; runs < RUNS_MAX; seed++) {
    if (needs?.(drawExtras(seed)) === false) continue
    runs += 1
    const { findings } = await simulate(seed, plant)
    if (findings.some((finding) => found.test(finding))) return true
  }
  return false
}

test.each([...PLANTED, ...PLANTED_MORE])('[SIM5] a machine that $is is noticed', async (planted) => {
  expect(await isNoticed(planted, planted.needs)).toBe(true)
})

test.each(PLANTED_IDENTITY)('[SIM10] a machine that $is is noticed', async (planted) => {
  expect(await isNoticed(planted, ({ signIns }) => signIns)).toBe(true)
})
