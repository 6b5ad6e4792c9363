// A visitor who comes back late: the conversation has expired, is in the archive, or is kept no more. What the widget and
// the agent console say of that, and where words go that were still unsent. The service's clock is moved, nobody waits.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, test as base, expect, type Locator, type Page } from '@playwright/test'
import { type Demo, startDemo } from '../public/serve-demo.ts'
import { DIST, killWorker } from './fixtures.ts'
import { everythingIn } from './residue.ts'

const DAY_MS = 24 * 60 * 60_000

interface Clocked extends Demo {
  /** Lets days pass at the service, with all that time does there meanwhile. */
  pass(days: number): Promise<void>
}

const test = base.extend<{ sessionDays: number; demo: Clocked }>({
  sessionDays: [7, { option: true }],
  demo: async ({ sessionDays }, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
    let ahead = 0
    const service = { now: () => Date.now() + ahead, sessionMs: sessionDays * DAY_MS }
    const demo = await startDemo({ port: 0, data: folder, dist: DIST, service })
    await use({
      ...demo,
      pass: async (days) => {
        ahead += days * DAY_MS
        await demo.sweep()
      },
    })
    await demo.close()
    rmSync(folder, { recursive: true, force: true })
  },
})

const phaseOf = (page: Page): Locator => page.locator('.phase')
const earlierOf = (page: Page): Locator => page.getByRole('region', { name: 'Earlier conversations' })
const messageOf = (page: Page, text: string): Locator =>
  page.locator('.message', { has: page.getByText(text, { exact: true }) })
const saidAt = (agent: Page): Locator => agent.getByRole('log').locator('.bubble')
const press = (page: Page, name: string): Promise<void> => page.getByRole('button', { name, exact: true }).click()

async function openShop(page: Page, { url }: Demo): Promise<void> {
  await page.goto(url)
  await expect(phaseOf(page)).not.toHaveText('starting')
  const launcher = page.getByRole('button', { name: /^Open the chat/ })
  if (await launcher.isVisible()) await launcher.click()
  await expect(page.getByRole('dialog', { name: 'Chat with Leeward' })).toBeVisible()
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Your message' }).fill(text)
  await page.getByRole('textbox', { name: 'Your message' }).press('Enter')
  await expect(messageOf(page, text)).toHaveCount(1)
}

/** Or further on its way, where the agent is there. */
const sent = (page: Page, text: string) =>
  expect(messageOf(page, text).locator('.delivery')).toHaveText(/^(Sent|Delivered|Read)$/)

async function openConsole(browser: Browser, { url }: Demo): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`${url}/agent`)
  await expect(page.getByText('Connected')).toBeVisible()
  return page
}

const choose = (agent: Page): Promise<void> =>
  agent.getByRole('navigation', { name: 'Conversations' }).locator('.inbox-row').first().click()

/** What is said before the visitor goes, and what they could not send any more. */
async function leave(browser: Browser, page: Page, demo: Demo): Promise<void> {
  await openShop(page, demo)
  await say(page, 'Is it waterproof?')
  await sent(page, 'Is it waterproof?')
  const agent = await openConsole(browser, demo)
  await choose(agent)
  await agent.getByRole('textbox', { name: 'Your answer' }).fill('To ten metres')
  await press(agent, 'Send')
  await expect(messageOf(page, 'To ten metres')).toHaveCount(1)
  await agent.context().close()
  await press(page, 'Go offline')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  await say(page, 'And in salt water?')
}

/** Nobody can move a browser's clock: so all that it has written down is made so much older. */
async function age(page: Page, ms: number): Promise<void> {
  await page.evaluate(async (ms) => {
    const open = indexedDB.open('holdfast:demo')
    await new Promise((resolve) => {
      open.onsuccess = resolve
    })
    const older = (value: unknown): unknown => {
      if (typeof value === 'number') return value > 1.5e12 ? value - ms : value
      if (Array.isArray(value)) return value.map(older)
      if (Object.prototype.toString.call(value) !== '[object Object]') return value
      return Object.fromEntries(Object.entries(value as object).map(([name, one]) => [name, older(one)]))
    }
    const tx = open.result.transaction(['slots', 'outbox', 'transcript'], 'readwrite')
    for (const name of tx.objectStoreNames) {
      const cursor = tx.objectStore(name).openCursor()
      cursor.onsuccess = () => {
        cursor.result?.update(older(cursor.result.value))
        cursor.result?.continue()
      }
    }
    await new Promise((resolve) => {
      tx.oncomplete = resolve
    })
    open.result.close()
  }, ms)
}

/** In days without a page the browser has long ended the worker. */
async function returnAfter(
  days: readonly number[],
  context: BrowserContext,
  before: Page,
  demo: Clocked,
): Promise<Page> {
  const page = await context.newPage()
  await before.close()
  await killWorker(context, page)
  for (const some of days) await demo.pass(some)
  // A page of the origin that connects nothing.
  await page.goto(`${demo.url}/favicon.svg`)
  await age(page, days.reduce((sum, some) => sum + some, 0) * DAY_MS)
  await openShop(page, demo)
  return page
}

const LATE = [
  {
    what: 'has expired',
    days: [8],
    visitor: 'This is a new conversation. In the one before nobody had written for a long time.',
    agent: /^Resumed from expired conversation .+: nobody had written there for a long time\./,
  },
  {
    what: 'is in the archive',
    days: [8, 2],
    visitor: 'This is a new conversation. The one before is in the archive.',
    agent: /^Resumed from archived conversation .+: it had ended, and rests in the archive\./,
  },
] as const

for (const { what, days, visitor, agent: told } of LATE) {
  test(`[DM43] a conversation that ${what}: the visitor is in a new one and reads the old, the agent sees why, nothing goes astray`, async ({
    browser,
    context,
    page: before,
    demo,
  }) => {
    test.setTimeout(150_000)
    await leave(browser, before, demo)
    const page = await returnAfter(days, context, before, demo)
    await press(page, 'Come back')
    await expect(phaseOf(page)).toHaveText('live')
    await expect(earlierOf(page)).toContainText(visitor)
    const late = messageOf(page, 'And in salt water?')
    await expect(late.locator('.delivery')).toHaveText('Held back: that conversation is over. Send it in this one?')
    await say(page, 'I am back')
    await sent(page, 'I am back')
    await press(page, 'Show the earlier conversation')
    await expect(earlierOf(page).locator('.bubble')).toHaveText(['Is it waterproof?', 'To ten metres'])

    const agent = await openConsole(browser, demo)
    await choose(agent)
    await expect(agent.getByRole('log')).toContainText('Resumed from')
    await expect(agent.locator('.resumed span')).toHaveText(told)
    await expect(saidAt(agent)).toHaveText(['I am back'])
    await press(agent, 'Read it')
    await expect(saidAt(agent)).toHaveText(['Is it waterproof?', 'To ten metres'])
    await late.getByRole('button', { name: 'Send' }).click()
    await sent(page, 'And in salt water?')
    await expect(saidAt(agent)).toHaveText(['Is it waterproof?', 'To ten metres'])
    await choose(agent)
    await expect(saidAt(agent)).toHaveText(['I am back', 'And in salt water?'])
  })
}

test.describe('a visitor whose session lives on', () => {
  test.use({ sessionDays: 200 })

  test('[DM43] a conversation that is kept no more: visitor and agent are told, and nothing of it is left in the browser', async ({
    browser,
    context,
    page: before,
    demo,
  }) => {
    test.setTimeout(150_000)
    await leave(browser, before, demo)
    const page = await returnAfter([8, 2, 91], context, before, demo)
    await press(page, 'Come back')
    await expect(phaseOf(page)).toHaveText('live')
    await expect(earlierOf(page).locator('.earlier-end')).toHaveText(
      'This is a new conversation. The one before is no longer kept.',
    )
    await expect(earlierOf(page).getByRole('button')).toBeHidden()
    await expect(messageOf(page, 'And in salt water?').getByRole('button')).toHaveText(['Send', 'Discard'])
    await say(page, 'I am back')
    await sent(page, 'I am back')
    const kept = await everythingIn(page)
    expect(kept).toContain('I am back')
    for (const text of ['Is it waterproof?', 'To ten metres']) expect(kept).not.toContain(text)

    const agent = await openConsole(browser, demo)
    await choose(agent)
    await expect(agent.locator('.resumed span')).toHaveText(
      'Resumed from an earlier conversation: it is not kept any more.',
    )
    await expect(agent.locator('.resumed').getByRole('button')).toBeHidden()
    await expect(saidAt(agent)).toHaveText(['I am back'])
  })

  test('[DM44] a conversation that expires while it is on the screen says so, and one press begins the next', async ({
    browser,
    page,
    demo,
  }) => {
    await openShop(page, demo)
    await say(page, 'Is it waterproof?')
    await sent(page, 'Is it waterproof?')
    await demo.pass(8)
    await expect(page.getByText('Nobody wrote here for a long time, so this conversation has ended.')).toBeVisible()
    await expect(page.getByRole('textbox', { name: 'Your message' })).toBeDisabled()
    await press(page, 'Start a new conversation')
    await expect(phaseOf(page)).toHaveText('live')
    await expect(earlierOf(page)).toContainText(LATE[0].visitor)
    await say(page, 'I am back')
    await sent(page, 'I am back')

    const agent = await openConsole(browser, demo)
    await choose(agent)
    await expect(agent.locator('.resumed span')).toHaveText(LATE[0].agent)
    await expect(saidAt(agent)).toHaveText(['I am back'])
  })
})
