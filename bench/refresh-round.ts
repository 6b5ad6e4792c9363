// What the races over tokens have in common: a latency, a round of calls from all pages at once, and what came of it.

import type { Page } from '@playwright/test'
import type { Api } from '../e2e/token-world.ts'

const LATENCY_MS = 150

export interface Round {
  readonly posts: number
  readonly good: number
  readonly ms: number
}

export const late = () => new Promise<void>((resolve) => setTimeout(resolve, LATENCY_MS))

export type Run = (how: readonly [string, number]) => Promise<{ good: number; at: number }>

export async function round(
  pages: readonly Page[],
  calls: number,
  api: Api,
  posts: () => number,
  run: Run,
): Promise<Round> {
  const before = posts()
  const began = Date.now()
  const all = await Promise.all(pages.map((page) => page.evaluate(run, [`${api.url}/v1`, calls] as const)))
  const good = all.reduce((sum, one) => sum + one.good, 0) / (pages.length * calls)
  return { posts: posts() - before, good, ms: Math.max(...all.map(({ at }) => at)) - began }
}

export const report = (name: string, tabs: number, calls: number, { posts, good, ms }: Round): void => {
  if (process.argv.includes('--json')) return
  console.log(`  ${name}, ${tabs} × ${calls}: ${posts} POST, ${(100 * good).toFixed(0)} % succeed, ${ms.toFixed(0)} ms`)
}
