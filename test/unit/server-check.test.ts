// The conformance command: the service passes it, and each line of it finds the service that is wrong there.
import { afterEach, expect, test, vi } from 'vitest'
import { CHECKS, checkService, linesOf } from '../../server/check/index.ts'
import { BENDS, STREAM_BENDS, wrongService } from './wrong-service.ts'

// Some checks wait for what must not happen.
vi.setConfig({ testTimeout: 60_000 })
/** As long as a busy machine may need, where what is waited for comes; short where it never does. */
const [PATIENT, BRIEF] = [
  { pingWaitMs: 40_000, frameWaitMs: 10_000 },
  { pingWaitMs: 5000, frameWaitMs: 4000 },
]

let close = async () => {}
afterEach(() => close())

const checked = async (wrong: string | undefined, checks = CHECKS) => {
  const service = await wrongService(wrong)
  close = service.close
  const waits = wrong === undefined ? PATIENT : BRIEF
  return checkService({ url: service.url, deployment: 'demo', ...waits }, checks)
}

test('[SV70] the service passes every check, also through a proxy', async () => {
  const report = await checked(undefined)
  expect(report.checks.filter(({ holds }) => !holds)).toEqual([])
  expect(report).toMatchObject({ passed: CHECKS.length, failed: 0, deployment: 'demo' })
  expect(linesOf(report).at(-1)).toBe(`${CHECKS.length} passed, 0 failed at ${report.url}`)
})

test('[SV70] for every check there is a service that is wrong there', () => {
  expect([...Object.keys(BENDS), ...STREAM_BENDS].sort()).toEqual(CHECKS.map(({ id }) => id).sort())
})

test.each(CHECKS.map(({ id }) => id))('[SV70] a service that is wrong in %s fails that check', async (id) => {
  const only = CHECKS.filter((check) => check.id === id)
  const report = await checked(id, only)
  expect(report).toMatchObject({ passed: 0, failed: 1 })
  // A finding, and not a check that could not be made.
  expect(report.checks[0]?.found).not.toContain('could not be made')
  expect(linesOf(report).join('\n')).toMatch(/^FAIL {2}[\w-]+: .*\n {8}found: .*\n {8}so: /)
})

test('[SV70] nobody there is a failure of every check, not of the command', async () => {
  const report = await checkService({ url: 'http://127.0.0.1:9', deployment: 'demo' }, CHECKS.slice(0, 2))
  expect(report).toMatchObject({ passed: 0, failed: 2 })
  expect(report.checks[0]?.found).toContain('could not be made')
})
