// What comes of a call, in our own words: the value, or what its failure means and what is known of it.
// Which answer of which platform means what is in the tables of sw/platforms/.

import type { ErrorCode } from './errors.ts'

export type Verdict =
  | 'retry'
  | 'retry-at'
  | 'wait-unchanged'
  | 'reconcile'
  | 'refresh'
  | 'auth-required'
  | 'refuse'
  | 'drop-attributes'
  | 'upload-again'
  | 'read-only'
  | 'session-lost'

/** What came of a call. A platform never throws: an expected failure is a value. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false
      readonly verdict: Verdict
      readonly code: ErrorCode
      /** For people: which call, what was expected, what came. Never a token, never a text. */
      readonly reason: string
      readonly retryAfterMs?: number
      /** No answer at all: the network, not the service. */
      readonly isUnreachable?: boolean
      /** Whose token was refused, where it was not that of the session. */
      readonly lease?: string
      /** Of that token; the engine fills it in. */
      readonly generation?: number
      /** There was no token to call with, because the memory that held it is gone. */
      readonly isForgotten?: boolean
      /** Nothing left, and nothing is wrong: its time was over, or its token had run out. */
      readonly isUnsent?: boolean
    }
