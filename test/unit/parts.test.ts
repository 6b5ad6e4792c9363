// How `npm test` counts: silence, a crash and a hang are failures.
import { expect, test } from 'vitest'

interface Counts {
  readonly passed: number
  readonly failed: number
}
interface Parts {
  judge(
    counts: Counts,
    ended: { status: number | string; timedOut: boolean },
    limitMs: number,
  ): Counts & { note: string }
}

// A script has no declarations; its name is put together so that the compiler does not look for them.
const { judge } = (await import(new URL('../../scripts/parts.mjs', import.meta.url).href)) as Parts

const LIMIT_MS = 60_000
const ended = { status: 0, timedOut: false }

test.each([
  { says: 'passed tests are passed', counts: { passed: 3, failed: 0 }, end: ended, failed: 0 },
  { says: 'failed tests are failed', counts: { passed: 3, failed: 2 }, end: { ...ended, status: 1 }, failed: 2 },
  { says: 'no test at all is a failure', counts: { passed: 0, failed: 0 }, end: ended, failed: 1 },
  {
    says: 'a crash after passed tests is a failure',
    counts: { passed: 3, failed: 0 },
    end: { ...ended, status: 1 },
    failed: 1,
  },
  { says: 'a kill is a failure', counts: { passed: 3, failed: 0 }, end: { ...ended, status: 'SIGKILL' }, failed: 1 },
  {
    says: 'a part over its time is a failure',
    counts: { passed: 3, failed: 0 },
    end: { status: 0, timedOut: true },
    failed: 1,
  },
])('[BD12] $says', ({ counts, end, failed }) => {
  expect(judge(counts, end, LIMIT_MS)).toMatchObject({ passed: counts.passed, failed })
})
