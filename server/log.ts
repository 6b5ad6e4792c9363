// The structured log: one entry per event, fields by name. No token, key, cookie or message text is ever a
// field, and errors are reduced to their name, code and place, because their messages may quote input.

export type LogEntry = { at: number; level: 'info' | 'warn' | 'error'; event: string } & Record<string, unknown>
export type Log = (level: LogEntry['level'], event: string, fields?: Record<string, unknown>) => void

export function logTo(write: ((entry: LogEntry) => void) | undefined, now: () => number): Log {
  if (write === undefined) return () => {}
  return (level, event, fields) => write({ at: now(), level, event, ...fields })
}

/**
 * For what a whole load of requests meets at the same moment, as a full disk, which a line for each would fill further:
 * says whether this one is written down, and how many were not since the last.
 */
export function rarely(everyMs: number): (now: number) => { left: number } | undefined {
  let [toldAt, left] = [Number.NEGATIVE_INFINITY, 0]
  return (now) => {
    if (now - toldAt < everyMs) {
      left++
      return undefined
    }
    const told = { left }
    ;[toldAt, left] = [now, 0]
    return told
  }
}

/** The part of an error that is safe to write down. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: typeof error }
  const { code } = error as { code?: unknown }
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  return {
    error: error.name,
    ...(typeof code === 'string' && { code }),
    place: frames.slice(0, 3).map((line) => line.trim()),
  }
}
