// The demo for who uses no mouse, no eyes, another script, or their own colours; and what its sentences are good for.
import { expect, type Page } from '@playwright/test'
import {
  answer,
  choose,
  expectSent,
  FOUND_MS,
  fieldOf,
  markOf,
  messageOf,
  openConsole,
  openShop,
  phaseOf,
  press,
  say,
  test,
} from './demo.ts'

/** Remembers whether each message, at the moment when it was put into the log, was one to be read out. */
function listen(): void {
  const heard: Record<string, string | null> = {}
  Object.assign(globalThis, { heard })
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const node of addedNodes)
        if (node instanceof Element && node.matches('.message'))
          heard[node.querySelector('.bubble')?.textContent ?? ''] =
            node.closest('[aria-live]')?.getAttribute('aria-live') ?? null
  }).observe(document, { childList: true, subtree: true })
}

const heardBy = (page: Page): Promise<Record<string, string | null>> =>
  page.evaluate(() => (globalThis as unknown as { heard: Record<string, string | null> }).heard)

const logOf = (page: Page) => page.getByRole('log')

test('[DM50] what was said before is not read out again; what comes is, and that something did not get out', async ({
  browser,
  page,
  demo,
}) => {
  await page.addInitScript(listen)
  await openShop(page, demo.url)
  await say(page, 'before')
  await expectSent(page, 'before')
  await page.reload()
  await expect(messageOf(page, 'before')).toHaveCount(1)
  await expect(logOf(page)).toHaveAttribute('aria-live', 'polite')
  const agent = await openConsole(browser, demo.url)
  await agent.evaluate(listen)
  await choose(agent)
  await expect(messageOf(agent, 'before')).toHaveCount(1)
  await expect(logOf(agent)).toHaveAttribute('aria-live', 'polite')
  await answer(agent, 'after')
  await expect(messageOf(page, 'after')).toHaveCount(1)
  expect(await heardBy(page)).toEqual({ before: 'off', after: 'polite' })
  expect(await heardBy(agent)).toEqual({ before: 'off', after: 'polite' })
  await expect(messageOf(page, 'before').locator('.delivery')).toHaveAttribute('aria-live', 'off')

  await press(page, 'Go offline')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  await say(page, 'too late')
  await press(agent, 'Close')
  await expect(agent.getByText('This conversation is closed.')).toBeVisible()
  await press(page, 'Come back')
  const trouble = page.getByRole('status').filter({ hasText: /^“too late” Not sent: / })
  await expect(trouble).toHaveCount(1, { timeout: FOUND_MS })
})

test('[DM51] what vanishes hands the focus on: in the chat, in the cart, at the desk', async ({
  browser,
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  await page
    .getByLabel('Attach files')
    .setInputFiles({ name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('a') })
  await page.getByRole('button', { name: 'Take out' }).press('Enter')
  await expect(fieldOf(page)).toBeFocused()

  const leave = page.getByRole('button', { name: 'Sign out', exact: true })
  await leave.press('Enter')
  await expect(page.getByRole('button', { name: 'Yes, sign out' })).toBeFocused()
  await page.keyboard.press('Escape')
  await expect(leave).toBeFocused()
  await expect(fieldOf(page)).toBeVisible()

  for (const name of ['Add Storm lantern to the cart', 'Add Enamel mug to the cart']) await press(page, name)
  await page.getByRole('button', { name: /^Cart, / }).press('Enter')
  await page.getByRole('button', { name: 'One less: Storm lantern' }).press('Enter')
  await expect(page.getByRole('button', { name: 'One less: Enamel mug' })).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('button', { name: 'Close the cart' })).toBeFocused()
  await page.keyboard.press('Escape')

  const agent = await openConsole(browser, demo.url)
  await agent.setViewportSize({ width: 390, height: 844 })
  const row = agent.locator('.inbox-row').first()
  await row.press('Enter')
  const back = agent.getByRole('button', { name: 'Back to the list' })
  await expect(back).toBeFocused()
  await agent.keyboard.press('Enter')
  await expect(row).toBeFocused()
  await agent.keyboard.press('Enter')
  await fieldOf(page).focus()
  await agent.getByRole('button', { name: 'Close' }).press('Enter')
  await expect(logOf(agent)).toBeFocused()
  // The field that the visitor stood in is closed to them: what they can do now is to begin anew.
  await expect(fieldOf(page)).toBeDisabled()
  await expect(page.getByRole('button', { name: 'Start a new conversation' })).toBeFocused()
})

test('[DM51] on a phone nothing behind the sheet of the chat can be reached', async ({ page, demo }) => {
  await page.setViewportSize({ width: 390, height: 844 })
  await openShop(page, demo.url)
  const behind = page.locator('.skip, .shop, .suffer-toggle')
  const areInert = () => behind.evaluateAll((all) => all.map((one) => (one as HTMLElement).inert))
  await expect.poll(areInert).toEqual([true, true, true])
  await page.keyboard.press('Escape')
  await expect.poll(areInert).toEqual([false, false, false])
  await page.keyboard.press('Enter')
  await expect.poll(areInert).toEqual([true, true, true])
  await page.setViewportSize({ width: 1280, height: 800 })
  await expect.poll(areInert).toEqual([false, false, false])
})

const fiveThousand = 'many words '.repeat(455)

test('[DM52] what is refused says what to do, to the visitor and to the agent, and is gone when it is overcome', async ({
  browser,
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  await fieldOf(page).fill(fiveThousand)
  await fieldOf(page).press('Enter')
  const problem = page.locator('#chat').getByRole('alert').locator('p')
  await expect(problem).toHaveText(/the limit is 4096: send it in parts\./)
  await expect(fieldOf(page)).toHaveValue(fiveThousand)
  await say(page, 'shorter')
  await expect(problem).toBeHidden()

  const big = { name: 'big.png', mimeType: 'image/png', buffer: Buffer.alloc(11 * 1024 * 1024) }
  await page.getByLabel('Attach files').setInputFiles(big)
  await press(page, 'Send')
  await expect(problem).toHaveText(/^The shop cannot take that file: .* Choose another one\.$/)

  const agent = await openConsole(browser, demo.url)
  await choose(agent)
  const own = agent.getByRole('textbox', { name: 'Your answer' })
  await own.fill(fiveThousand)
  await own.press('Enter')
  await expect(agent.getByRole('alert')).toHaveText(
    'Not sent. A text has at most 4096 characters. Your words are still here: change them.',
  )
  await expect(own).toHaveValue(fiveThousand)
  await answer(agent, 'shorter, too')
  await expect(agent.getByRole('alert')).toBeHidden()

  await press(page, 'Sign out')
  await expect(page.getByRole('alertdialog')).toContainText('taken off this device')
  await press(page, 'Yes, sign out')
  await expect(page.getByText('You are signed out. Nothing of this chat is left on this device.')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Begin anew' })).toBeFocused()
})

test('[DM53] each text runs in its own direction, in the field and in the log, on both sides', async ({
  browser,
  page,
  demo,
}) => {
  const text = 'هل المصباح مقاوم للماء؟'
  const direction = (of: Page, selector: string) =>
    of.locator(selector).evaluate((element) => getComputedStyle(element).direction)
  await openShop(page, demo.url)
  await fieldOf(page).fill(text)
  expect(await direction(page, '#chat textarea')).toBe('rtl')
  await fieldOf(page).press('Enter')
  await expectSent(page, text)
  expect(await direction(page, '#chat .bubble')).toBe('rtl')
  const agent = await openConsole(browser, demo.url)
  await choose(agent)
  expect(await direction(agent, '.desk .bubble')).toBe('rtl')
  expect(await direction(agent, '.inbox-last')).toBe('rtl')
})

test('[DM54] the agent sees and saves a file, and finds half an answer again where it was begun', async ({
  browser,
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  await page
    .getByLabel('Attach files')
    .setInputFiles({ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('the words of the file') })
  await fieldOf(page).fill('see the file')
  await fieldOf(page).press('Enter')
  await expectSent(page, 'see the file')
  const agent = await openConsole(browser, demo.url)
  await choose(agent)
  const [saved] = await Promise.all([
    agent.waitForEvent('download'),
    agent.getByRole('button', { name: 'Save note.txt, 1 kB' }).click(),
  ])
  expect(saved.suggestedFilename()).toBe('note.txt')
  const chunks = await (await saved.createReadStream()).toArray()
  expect(Buffer.concat(chunks as Buffer[]).toString()).toBe('the words of the file')

  const own = agent.getByRole('textbox', { name: 'Your answer' })
  const low = (await own.boundingBox())?.height ?? 0
  await own.fill('one\ntwo\nthree\nfour')
  expect((await own.boundingBox())?.height).toBeGreaterThan(2 * low)
  const other = await (await browser.newContext()).newPage()
  await openShop(other, demo.url)
  await say(other, 'I am another')
  await agent.locator('.inbox-row', { hasText: 'I am another' }).click()
  await expect(own).toHaveValue('')
  await agent.locator('.inbox-row', { hasText: 'see the file' }).click()
  await expect(own).toHaveValue('one\ntwo\nthree\nfour')
  await expect(markOf(page, 'see the file')).toHaveText('Read')
})

test('[DM55] with the visitor’s own colours every control still has an outline, and the focus shows', async ({
  browser,
  demo,
}) => {
  const context = await browser.newContext({ forcedColors: 'active' })
  const page = await context.newPage()
  await openShop(page, demo.url)
  const lines = await page.evaluate(() =>
    ['#chat', '#open-cart', '.chip', '.field', '.fault button', '.card-foot .button'].filter((selector) => {
      const { borderTopWidth, borderTopColor } = getComputedStyle(document.querySelector(selector) as Element)
      return borderTopWidth === '0px' || borderTopColor === 'rgba(0, 0, 0, 0)'
    }),
  )
  expect(lines).toEqual([])
  expect(await page.locator('#chat .field').evaluate((field) => getComputedStyle(field).outlineStyle)).toBe('solid')
  await context.close()
})

test('[DM20] at 320 px, and at 400 % of a screen, nothing scrolls sideways and the agent can still answer', async ({
  page,
  demo,
}) => {
  await page.setViewportSize({ width: 320, height: 256 })
  await openShop(page, demo.url)
  await say(page, 'small')
  await expectSent(page, 'small')
  const isWide = () => page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
  expect(await isWide()).toBe(false)
  await page.goto(`${demo.url}/agent`)
  await choose(page)
  expect(await isWide()).toBe(false)
  await answer(page, 'read and answered')
  const { x, width } = (await page.getByText('Connected').boundingBox()) ?? { x: 0, width: 400 }
  expect(x + width).toBeLessThanOrEqual(320)
})

test('[DM56] a page that went away shows nothing of the chat until it has looked who is there, and then what was typed, too', async ({
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  await say(page, 'mine')
  await expectSent(page, 'mine')
  await fieldOf(page).fill('half a sentence')
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })))
  await expect(page.locator('.is-away')).toBeHidden()
  await expect(fieldOf(page)).toHaveCount(0)
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })))
  await expect(messageOf(page, 'mine')).toBeVisible()
  await expect(fieldOf(page)).toHaveValue('half a sentence')
})
