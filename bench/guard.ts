// What the guard costs for a value of 2 000 characters. The floor is one look at each of its characters.

import { findKnown } from '../core/guard.ts'
import { GUARD_CORPUS, measureGuard } from '../testing/guard-corpus.ts'
import { atMost, type Figure } from './lab.ts'

const CHARS = 2_000
const US_MAX = 20
const ROUNDS = 300
const CALLS = 20

const TEXTS: { readonly [name: string]: string } = {
  prose: 'The blue one is out of stock until Thursday, and the red one is not. ',
  'numbers of a shop': 'Order 1234 of 2024-11-21: 3 pieces at 12.50 EUR, call +49 170 1234567. ',
}

export async function guard(): Promise<readonly Figure[]> {
  const figures = Object.entries(TEXTS).map(([name, piece]) => {
    // Through JSON, as values come: not a rope of pieces.
    const text = JSON.parse(JSON.stringify(piece.repeat(CHARS).slice(0, CHARS))) as string
    return {
      ...atMost(
        `a value of ${CHARS} characters, ${name}, beside ${US_MAX} us`,
        'us',
        usOf(() => findKnown(text)),
        US_MAX,
        1,
      ),
    }
  })
  const { recall, precision, size } = measureGuard(findKnown)
  return [
    ...figures,
    { name: `recall over ${size} texts`, ours: recall, floor: 1, unit: '', ratio: recall, limit: 1, isMinimum: true },
    {
      name: `precision over ${GUARD_CORPUS.length} texts`,
      ours: precision,
      floor: 1,
      unit: '',
      ratio: precision,
      limit: 0.99,
      isMinimum: true,
    },
  ]
}

function usOf(work: () => unknown): number {
  const all = Array.from({ length: ROUNDS }, () => {
    const before = performance.now()
    for (let call = 0; call < CALLS; call++) work()
    return ((performance.now() - before) / CALLS) * 1_000
  })
  return all.sort((a, b) => a - b)[ROUNDS / 2] as number
}
