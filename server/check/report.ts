// What a conformance check is, and how its outcome is told: to people line by line, to programs as JSON.

export type Check = {
  /** Stable, for programs. */
  id: string
  /** A true sentence about a service that conforms. */
  says: string
  /** What a client suffers where it is not so. */
  because: string
  run: (lab: Lab) => Promise<void>
}
export type Outcome = { id: string; says: string; holds: boolean; found?: string; because: string; ms: number }
export type Report = { url: string; deployment: string; at: string; passed: number; failed: number; checks: Outcome[] }

/** Where the checks run: the service, how long to wait for a protocol ping, and how long for anything else. */
export type Lab = { url: string; deployment: string; pingWaitMs: number; frameWaitMs: number }

/** What was found instead; the message is for the report. */
export class Finding extends Error {}

export function must(holds: boolean, found: string): asserts holds {
  if (!holds) throw new Finding(found)
}

export async function outcomeOf(check: Check, lab: Lab): Promise<Outcome> {
  const startedAt = performance.now()
  const { id, says, because } = check
  const outcome = (holds: boolean, found?: string): Outcome => {
    const ms = Math.round(performance.now() - startedAt)
    return { id, says, holds, ...(found !== undefined && { found }), because, ms }
  }
  try {
    await check.run(lab)
    return outcome(true)
  } catch (error) {
    if (error instanceof Finding) return outcome(false, error.message)
    return outcome(false, `The check could not be made: ${error instanceof Error ? reasonOf(error) : String(error)}`)
  }
}

function reasonOf(error: Error): string {
  const { code } = Object(error.cause) as { code?: unknown }
  return typeof code === 'string' ? `${error.message} (${code})` : error.message
}

export function linesOf(report: Report): string[] {
  const lines = report.checks.flatMap(({ id, says, holds, found, because }) =>
    holds ? [`ok    ${id}: ${says}`] : [`FAIL  ${id}: ${says}`, `        found: ${found}`, `        so: ${because}`],
  )
  return [...lines, '', `${report.passed} passed, ${report.failed} failed at ${report.url}`]
}
