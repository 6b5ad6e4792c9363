// How much memory the process of the service lets its garbage take. Node's default for a large machine grows to
// 32 MB of young objects and twice the old ones before it clears up: half of what the service holds at all.
import { setFlagsFromString } from 'node:v8'

/**
 * Young objects get no more room than at the start, and old ones are collected after half as much again. V8 reads both
 * whenever it decides, so they may be set while it runs; the limit itself (`--max-semi-space-size`) may not.
 */
const SMALL = ['--semi-space-growth-factor=1', '--heap-growing-percent=50'] as const
/** Whoever has set one of these has measured for themselves. */
const OWN_CHOICE = /--(min|max)[-_]semi[-_]space[-_]size|--semi[-_]space[-_]growth|--heap[-_]growing/

/** Keeps the heap of this process small, unless its operator has said how it should grow. */
export function keepHeapSmall(nodeOptions: readonly string[]): void {
  if (nodeOptions.some((option) => OWN_CHOICE.test(option))) return
  for (const flag of SMALL) setFlagsFromString(flag)
}
