// One tab of the test site, driven from outside: the page's own chat object, by its public names.

import type { Page } from '@playwright/test'
import type { Chat, State } from '../src/index.ts'

declare global {
  // What the test page and the tests share.
  var holdfast: typeof import('../src/index.ts')
  var chat: Chat
  var problems: { code: string; message: string }[]
}

export interface Tab {
  readonly page: Page
  state(): Promise<State>
  send(text: string): Promise<string>
  /** Resolves when the tab's state satisfies the predicate. It runs in the page, and sees nothing of the test. */
  until(predicate: (state: State, argument: never) => boolean, argument?: unknown): Promise<void>
  texts(): Promise<string[]>
  close(): Promise<void>
}

/** @param deployment connects to it; without it the page only has the library */
export async function openTab(page: Page, url: string, deployment?: string): Promise<Tab> {
  await page.goto(url)
  await page.waitForFunction(() => globalThis.holdfast !== undefined)
  if (deployment !== undefined) await page.evaluate(connectHere, deployment)
  return {
    page,
    state: () => page.evaluate(() => globalThis.chat.state),
    send: (text) => page.evaluate(async (said) => (await globalThis.chat.send(said)).key, text),
    until: async (predicate, argument) => {
      await page.waitForFunction(
        ([source, value]) => (0, eval)(`(${source})`)(globalThis.chat.state, value) as boolean,
        [predicate.toString(), argument] as const,
      )
    },
    texts: () => page.evaluate(() => globalThis.chat.state.messages.map((message) => message.text)),
    close: () => page.close(),
  }
}

/** It shows so many messages, and each is acknowledged. */
export const allAcked = (tab: Tab, count: number) =>
  tab.until(
    (state, wanted) => state.messages.length === wanted && state.messages.every(({ status }) => status === 'acked'),
    count,
  )

/** Runs in the page. */
export async function connectHere(deployment: string): Promise<void> {
  globalThis.chat = await globalThis.holdfast.connect({
    worker: '/holdfast/sw.js?config=/holdfast/config.json',
    deployment,
  })
  globalThis.problems = []
  globalThis.chat.on('problem', (problem) => globalThis.problems.push(problem))
}

/** Begins a message, and waits until the tab has stored it: to seal it takes a moment. */
export async function draft(page: Page, text: string, deployment = 'demo'): Promise<void> {
  const stored = await page.evaluate(
    ([item, said]) => {
      const before = sessionStorage.getItem(item)
      globalThis.chat.draft.text = said
      return [item, before] as const
    },
    [`holdfast:draft:${deployment}`, text] as const,
  )
  await page.waitForFunction(([item, before]) => sessionStorage.getItem(item) !== before, stored)
}

/** Connects again after a reload of the page. */
export async function reconnect(tab: Tab, deployment = 'demo'): Promise<void> {
  await tab.page.waitForFunction(() => globalThis.holdfast !== undefined)
  await tab.page.evaluate(connectHere, deployment)
}
