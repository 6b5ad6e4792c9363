// How long to wait after a failure. Who waits, and for what, is the business of attempt.ts and the machines.

export const BACKOFF_BASE_MS = 1_000
export const BACKOFF_CAP_MS = 30_000
/** A hint of more than a day is a broken header, not a wish. */
export const RETRY_AFTER_MAX_MS = 24 * 60 * 60 * 1_000

/**
 * How long to wait after failed attempt number `count` (1 for the first): full jitter over a doubling ceiling.
 *
 * @param random one draw from [0, 1); the caller draws it, so tests choose it
 * @param retryAfterMs the server's own hint, already in milliseconds; a floor, never shortened
 * @returns milliseconds
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 (Retry-After)
 */
export function backoffMs(count: number, random: number, retryAfterMs = 0): number {
  const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(count - 1, 30))
  const wishMs = floorMs(retryAfterMs)
  // What is wished of everybody at the same moment would bring them all back at the same moment.
  const spread = wishMs > 0 ? wishMs + random * BACKOFF_BASE_MS : 0
  return Math.floor(Math.max(spread, random * ceiling))
}

/** A hint as far as it makes sense. What is no number is no hint. */
export const floorMs = (retryAfterMs: number): number =>
  retryAfterMs > 0 ? Math.min(retryAfterMs, RETRY_AFTER_MAX_MS) : 0
