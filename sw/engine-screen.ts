// What a tab wants stored, looked at before it becomes an input: the shape of that look, and its answers put together again.
// What is looked for, and what is done about it, is the business of guard.ts.

import type { WireError } from '../core/errors.ts'
import type { Change } from '../core/inputs.ts'
import type { Enqueued } from '../core/wire.ts'

/** A command as it may go on, and for each message of an `enqueue` that may not, why. */
export interface Screened {
  readonly command: Change
  readonly refused: ReadonlyMap<number, WireError>
}

/** Answers at once where nothing must be waited for: then no command overtakes another. */
export type Screen = (command: Change) => Screened | Promise<Screened>

/** The outcomes of an `enqueue`, each again in the place of its message. */
export function withRefused(value: unknown, refused: ReadonlyMap<number, WireError> | undefined): unknown {
  if (refused === undefined || refused.size === 0) return value
  const accepted = [...(value as readonly Enqueued[])]
  return Array.from({ length: accepted.length + refused.size }, (_, index) => {
    const error = refused.get(index)
    return error === undefined ? accepted.shift() : { error }
  })
}
