// The conformance command: any service that speaks the session wire, seen from outside only.
import { GRANT_CHECKS } from './grants.ts'
import { MESSAGE_CHECKS } from './messages.ts'
import { type Check, type Lab, linesOf, outcomeOf, type Report } from './report.ts'
import { STREAM_CHECKS } from './streams.ts'

/** A protocol ping has to come within this time: below the idle limit of common proxies. */
const PING_WAIT_MS = 55_000
const FRAME_WAIT_MS = 5000

export const CHECKS: readonly Check[] = [...MESSAGE_CHECKS, ...GRANT_CHECKS, ...STREAM_CHECKS]

/** Runs the checks beside each other: each has a session of its own, and one waits long for a ping. */
export async function checkService(
  lab: Pick<Lab, 'url' | 'deployment'> & Partial<Lab>,
  checks: readonly Check[] = CHECKS,
): Promise<Report> {
  const { url, deployment, pingWaitMs = PING_WAIT_MS, frameWaitMs = FRAME_WAIT_MS } = lab
  const at = new Date().toISOString()
  const outcomes = await Promise.all(
    checks.map((check) => outcomeOf(check, { url, deployment, pingWaitMs, frameWaitMs })),
  )
  const failed = outcomes.filter(({ holds }) => !holds).length
  return { url, deployment, at, passed: outcomes.length - failed, failed, checks: outcomes }
}

export { linesOf }
