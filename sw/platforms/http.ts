// One request, one answer as a value: the deadline, the JSON and the Retry-After of it. It never throws.
// Knows no platform: what a status or a body means is in each adapter's table.

import { RETRY_AFTER_MAX_MS } from '../../core/backoff.ts'

export const REQUEST_TIMEOUT_MS = 15_000

export interface Reply {
  readonly status: number
  /** Undefined when it was not JSON. */
  readonly body: unknown
  readonly retryAfterMs: number | undefined
}

/**
 * Asks once. Nothing means that nobody answered: refused, cut off, or silent until the deadline.
 *
 * A redirect is not followed: it leads to a login page, or takes a refresh token to another origin.
 */
export async function ask(
  fetcher: typeof fetch,
  url: string,
  init: RequestInit,
  timeoutMs: number,
  now: () => number,
): Promise<Reply | undefined> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const response = await fetcher(url, {
      credentials: 'include',
      redirect: 'manual',
      // Only where there is something to be cached: with it, Chromium asks for permission (CORS) before every request.
      cache: init.method === 'GET' ? 'no-store' : 'default',
      ...init,
      signal,
    })
    const { status, headers } = response
    return { status, body: parse(await response.text()), retryAfterMs: retryAfterOf(headers, now()) }
  } catch {
    // fetch tells every failure by a TypeError or an abort, with texts that differ by browser: all mean silence.
    return undefined
  }
}

export function parse(text: unknown): unknown {
  try {
    return JSON.parse(text as string)
  } catch {
    // A page of a captive portal, most likely. The guards of the caller refuse what is undefined.
    return undefined
  }
}

/**
 * Seconds, or a date by the server's own clock: that one is measured against the answer's Date.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const ms = Number(value) * 1_000 || Date.parse(value) - (Date.parse(headers.get('date') ?? '') || now)
  return value === '0' ? 0 : clampMs(ms)
}

/** Within what anybody may ask of us; nothing for what is no number. */
export const clampMs = (ms: number): number | undefined =>
  Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), RETRY_AFTER_MAX_MS)
