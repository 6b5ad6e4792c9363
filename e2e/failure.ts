// What a call in the page was refused with: Playwright's own errors drop the code. Runs the call in the page, and sees
// nothing of the test.

import type { Page } from '@playwright/test'

export interface Failure {
  readonly name: string
  readonly code?: string
  readonly message: string
}

/** Resolves with what `work` threw, or with nothing if it did not. */
export function failureOf(page: Page, work: (argument: never) => unknown, argument?: unknown): Promise<Failure | null> {
  return page.evaluate(
    async ([source, value]) => {
      try {
        await (0, eval)(`(${source})`)(value)
        return null
      } catch (error) {
        const { name, code, message } = error as { name: string; code?: string; message: string }
        return { name, message, ...(code !== undefined && { code }) }
      }
    },
    [work.toString(), argument] as const,
  )
}

/** Runs in the page: connects and keeps every problem from the first on. */
export async function connectAs(options: { worker: string; deployment: string }): Promise<void> {
  globalThis.problems = []
  globalThis.chat = await globalThis.holdfast.connect(options)
  globalThis.chat.on('problem', (problem) => globalThis.problems.push(problem))
}
