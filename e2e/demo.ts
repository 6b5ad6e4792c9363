// The demo as the tests use it: the built demo server in a process of its own, and the few things that people do in it.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, test as base, expect, type Locator, type Page } from '@playwright/test'

const ENTRY = join(import.meta.dirname, '../dist/demo-server/main.js')
/** A half-open socket is found within 8 + 3 × 2 s, and another may be tried 30 s later; the rest is for a slow machine. */
export const FOUND_MS = 60_000

export const test = base.extend<{ demo: { readonly url: string }; platform: string }>({
  platform: ['session-service', { option: true }],
  demo: async ({ platform }, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
    const server = spawn(process.execPath, [ENTRY, '--port', '0', '--data', folder, '--platform', platform], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await use({ url: await addressOf(server) })
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  },
})

function addressOf(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    server.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const address = /Shop\s+(http:\/\/localhost:\d+)\//.exec(said)?.[1]
      if (address !== undefined) resolve(address)
    })
    server.once('exit', (code) => reject(new Error(`The demo ended at its start with code ${code}.`)))
  })
}

/** The shop, live, with the chat open. */
export async function openShop(page: Page, url: string): Promise<void> {
  await page.goto(url)
  await expect(phaseOf(page)).toHaveText('live')
  const launcher = page.getByRole('button', { name: /^Open the chat/ })
  if (await launcher.isVisible()) await launcher.click()
  await expect(fieldOf(page)).toBeFocused()
}

/** The console in a browser context of its own, as on another machine. */
export async function openConsole(browser: Browser, url: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`${url}/agent`)
  await expect(page.getByText('Connected')).toBeVisible()
  return page
}

export const phaseOf = (page: Page): Locator => page.locator('.phase')
export const fieldOf = (page: Page): Locator => page.getByRole('textbox', { name: 'Your message' })
export const press = (page: Page, name: string): Promise<void> =>
  page.getByRole('button', { name, exact: true }).click()

export async function say(page: Page, text: string): Promise<void> {
  await fieldOf(page).fill(text)
  await fieldOf(page).press('Enter')
  await expect(messageOf(page, text)).toHaveCount(1)
}

export const messageOf = (page: Page, text: string): Locator =>
  page.locator('.message', { has: page.getByText(text, { exact: true }) })

/** Whether an agent has it by now depends on whether one is there. */
export const ARRIVED = /^(Sent|Delivered|Read)$/

export async function expectSent(page: Page, text: string): Promise<void> {
  await expect(messageOf(page, text).locator('.delivery')).toHaveText(ARRIVED, { timeout: FOUND_MS })
}

export async function choose(agent: Page): Promise<void> {
  await agent.getByRole('navigation', { name: 'Conversations' }).locator('.inbox-row').first().click()
}

export const saidAt = (agent: Page): Locator => agent.getByRole('log').locator('.bubble')

export const markOf = (page: Page, text: string): Locator => messageOf(page, text).locator('.delivery')

/** As when the agent looks at another tab. */
export async function look(page: Page, visibility: 'hidden' | 'visible'): Promise<void> {
  await page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state })
    document.dispatchEvent(new Event('visibilitychange'))
  }, visibility)
}

export async function answer(agent: Page, text: string): Promise<void> {
  await agent.getByRole('textbox', { name: 'Your answer' }).fill(text)
  await agent.getByRole('button', { name: 'Send' }).click()
  await expect(messageOf(agent, text)).toHaveCount(1)
}
