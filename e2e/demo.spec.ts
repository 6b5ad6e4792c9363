// The demo as a visitor and an agent use it, in real pages.
import { type Browser, type BrowserContext, expect, type Page } from '@playwright/test'
import { lowContrast } from './contrast.ts'
import {
  ARRIVED,
  answer,
  choose,
  expectSent,
  FOUND_MS,
  fieldOf,
  look,
  markOf,
  messageOf,
  openConsole,
  openShop,
  phaseOf,
  press,
  saidAt,
  say,
  test,
} from './demo.ts'
import { everythingIn } from './residue.ts'

test('[MK10] one tick, two ticks, "Read": for visitor and agent, and for who was away', async ({
  browser,
  context,
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  await say(page, 'one')
  await expect(markOf(page, 'one')).toHaveText('Sent')
  const agent = await openConsole(browser, demo.url)
  // It is in the list of an agent who has not opened it.
  await expect(markOf(page, 'one')).toHaveText('Delivered')
  await choose(agent)
  await expect(markOf(page, 'one')).toHaveText('Read')

  await look(agent, 'hidden')
  await say(page, 'two')
  await expect(markOf(page, 'two')).toHaveText('Delivered')
  await look(agent, 'visible')
  await expect(markOf(page, 'two')).toHaveText('Read')
  await expect(markOf(page, 'one')).toHaveText('Read')

  await answer(agent, 'on an open panel')
  await expect(markOf(agent, 'on an open panel')).toHaveText('Read')
  await press(page, 'Close the chat')
  await answer(agent, 'on a closed panel')
  await expect(page.getByRole('button', { name: 'Open the chat, 1 unread message' })).toBeVisible()
  await expect(markOf(agent, 'on a closed panel')).toHaveText('Sent')
  await page.getByRole('button', { name: /^Open the chat/ }).click()
  await expect(markOf(agent, 'on a closed panel')).toHaveText('Read')

  await look(agent, 'hidden')
  await say(page, 'three')
  await expect(markOf(page, 'three')).toHaveText('Delivered')
  await page.close()
  await look(agent, 'visible')
  await expect(messageOf(agent, 'three')).toHaveCount(1)
  const next = await context.newPage()
  await openShop(next, demo.url)
  await expect(markOf(next, 'three')).toHaveText('Read')
  await expect(markOf(next, 'one')).toHaveText('Read')
})

async function everyFault(browser: Browser, page: Page, url: string, hasTokens = true): Promise<void> {
  test.setTimeout(240_000)
  const agent = await openConsole(browser, url)
  await openShop(page, url)
  await say(page, 'one')
  await expectSent(page, 'one')
  await choose(agent)

  await press(page, 'Kill the worker')
  await say(page, 'two')
  await expectSent(page, 'two')

  await press(page, 'Cut the answer')
  await say(page, 'three')
  await expectSent(page, 'three')
  await expect(page.getByRole('button', { name: 'Cut the answer' })).toBeVisible()

  if (hasTokens) {
    const seen = await page.locator('.timeline').getByText('Phase: live →').count()
    await press(page, 'Expire the token')
    // The newest is above: a token that was asked for after the press.
    await expect(page.locator('.timeline li').first()).toHaveText(/Lease: a new token$/)
    await expect(page.locator('.timeline').getByText('Phase: live →')).toHaveCount(seen)
  } else await expect(page.getByRole('button', { name: 'Expire the token' })).toBeDisabled()
  await say(page, 'four')
  await expectSent(page, 'four')

  await press(page, 'Go offline')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  await say(page, 'five')
  await say(page, 'six')
  await expect(messageOf(page, 'six').locator('.delivery')).toHaveText('Waiting for a connection')
  await expect(page.getByText('You are offline. 2 messages are kept and go out when you are back.')).toBeVisible()
  await press(page, 'Come back')
  await expectSent(page, 'six')

  await press(page, 'Restart the server')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  await say(page, 'seven')
  await expectSent(page, 'seven')
  await expect(phaseOf(page)).toHaveText('live', { timeout: FOUND_MS })

  await press(page, 'Half-open the socket')
  await expect(page.getByRole('button', { name: 'Let go' })).toBeVisible()
  await agent.getByRole('textbox', { name: 'Your answer' }).fill('Aye')
  await agent.getByRole('button', { name: 'Send' }).click()
  await expect(messageOf(page, 'Aye')).toHaveCount(1, { timeout: FOUND_MS })

  const all = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'Aye']
  await expect(saidAt(agent)).toHaveText(all)
  await expect(page.locator('#chat .bubble')).toHaveText(all)
}

test('[DM16] every fault on one conversation: the agent reads each message once and in order', ({
  browser,
  page,
  demo,
}) => everyFault(browser, page, demo.url))

test.describe('on Genesys', () => {
  test.use({ platform: 'genesys' })

  test('[DM49] every fault there is felt, or cannot be pressed; the agent reads each message once and in order', ({
    browser,
    page,
    demo,
  }) => everyFault(browser, page, demo.url, false))

  test('[DM49] an ended conversation is followed by a new one; at 390 px nothing scrolls sideways', async ({
    browser,
    page,
    demo,
  }) => {
    await page.setViewportSize({ width: 390, height: 844 })
    await openShop(page, demo.url)
    await say(page, 'hello')
    await expectSent(page, 'hello')
    const agent = await openConsole(browser, demo.url)
    await choose(agent)
    await press(agent, 'Close')
    await press(page, 'Start a new conversation')
    await say(page, 'again')
    await expectSent(page, 'again')
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
  })
})

test('[DM17] the agent sees the cart change; it survives a reload and is the same in a second tab', async ({
  browser,
  context,
  page,
  demo,
}) => {
  const agent = await openConsole(browser, demo.url)
  await openShop(page, demo.url)
  await choose(agent)
  const known = agent.getByRole('complementary', { name: 'About the customer' })
  await expect(known).toContainText('Empty')

  await press(page, 'Add Storm lantern to the cart')
  await press(page, 'Add Enamel mug to the cart')
  await expect(known).toContainText('Enamel mug')
  await expect(known).toContainText('€78.00')
  await expect(known.locator('.changed')).toHaveCount(1)

  await page.reload()
  await expect(page.getByRole('button', { name: 'Cart, 2 pieces, €78.00' })).toBeVisible()
  const second = await context.newPage()
  await second.goto(demo.url)
  await expect(second.getByRole('button', { name: 'Cart, 2 pieces, €78.00' })).toBeVisible()

  await press(second, 'Cart, 2 pieces, €78.00')
  await press(second, 'One less: Enamel mug')
  await expect(page.getByRole('button', { name: 'Cart, 1 piece, €64.00' })).toBeVisible()
  await expect(known).toContainText('€64.00')
  await press(second, 'One less: Storm lantern')
  await expect(known).toContainText('Empty')
})

test('[DM18] a draft survives a reload; after the end, one press begins a new conversation', async ({
  browser,
  page,
  demo,
}) => {
  const agent = await openConsole(browser, demo.url)
  await openShop(page, demo.url)
  await say(page, 'Is anyone there?')
  await expectSent(page, 'Is anyone there?')
  await fieldOf(page).fill('half a thou')
  await page.waitForFunction(() => Object.values({ ...sessionStorage }).some((item) => item.includes('"box":[')))
  await page.reload()
  await expect(fieldOf(page)).toHaveValue('half a thou')
  await expect(messageOf(page, 'Is anyone there?')).toHaveCount(1)

  await choose(agent)
  await press(agent, 'Close')
  await expect(page.getByText('This conversation has ended. You can still read it.')).toBeVisible()
  await expect(fieldOf(page)).toBeDisabled()
  await press(page, 'Start a new conversation')
  await expect(phaseOf(page)).toHaveText('live')
  await say(page, 'Hello again')
  await expectSent(page, 'Hello again')
  await choose(agent)
  await expect(saidAt(agent)).toHaveText(['Hello again'])
  await expect(agent.getByRole('complementary', { name: 'About the customer' })).toContainText('Continues')
})

test('[DM30] after the end, what was said before can be shown above the new conversation; what was parked waits for a word', async ({
  browser,
  page,
  demo,
}) => {
  const agent = await openConsole(browser, demo.url)
  await openShop(page, demo.url)
  for (let number = 1; number <= 23; number++) await say(page, `line ${number}`)
  await expectSent(page, 'line 23')
  await press(page, 'Go offline')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  await say(page, 'too late')
  await choose(agent)
  await press(agent, 'Close')
  await expect(agent.getByText('This conversation is closed.')).toBeVisible()
  await press(page, 'Come back')
  const late = messageOf(page, 'too late')
  await expect(late.locator('.delivery')).toHaveText(/^Not sent: .* in a new one\.$/)
  await expect(late.getByRole('button')).toHaveText(['Discard'])

  await press(page, 'Start a new conversation')
  await expect(phaseOf(page)).toHaveText('live')
  await expect(late.getByRole('button')).toHaveText(['Send', 'Discard'])
  await late.getByRole('button', { name: 'Send' }).click()
  await expectSent(page, 'too late')

  const earlier = page.getByRole('region', { name: 'Earlier conversations' })
  await press(page, 'Show the earlier conversation')
  await expect(earlier.locator('.bubble')).toHaveCount(20)
  await press(page, 'Show more')
  await expect(earlier.locator('.bubble')).toHaveText(Array.from({ length: 23 }, (_, at) => `line ${at + 1}`))
  await expect(earlier.getByRole('button')).toBeHidden()
})

/** Runs in the page: what the service refuses, and what waited for longer than a day, as they are on the disk. */
async function spoil([refused, old]: readonly [string, string]): Promise<void> {
  for (const { name = '' } of await indexedDB.databases()) {
    const database = await new Promise<IDBDatabase>((resolve) => {
      const request = indexedDB.open(name)
      request.onsuccess = () => resolve(request.result)
    })
    if (database.objectStoreNames.contains('outbox')) {
      const transaction = database.transaction(['outbox', 'slots'], 'readwrite')
      const [outbox, slots] = [transaction.objectStore('outbox'), transaction.objectStore('slots')]
      const read = (store: IDBObjectStore) =>
        new Promise<never[]>((resolve) => {
          const request = store.getAll()
          request.onsuccess = () => resolve(request.result as never[])
        })
      const [entries, [state]] = [await read(outbox), await read(slots)] as never as [
        { text: string; at: number; live?: string }[],
        { outbox: { dead: number; lanes: Record<string, { size: number }> } }[],
      ]
      for (const entry of entries) {
        const { live = '', ...left } = entry
        if (entry.text === old) outbox.put({ ...entry, at: entry.at - 25 * 3_600_000 })
        if (entry.text !== refused || state === undefined) continue
        outbox.put({ ...left, held: { status: 'dead', code: 'SERVICE_REFUSED', reason: 'no' } })
        state.outbox.dead += 1
        ;(state.outbox.lanes[live] as { size: number }).size -= 1
        slots.put(state, 'state')
      }
      await new Promise((resolve) => {
        transaction.oncomplete = resolve
      })
    }
    database.close()
  }
}

test('[DM3] what was refused, and what is too old, says so in every tab and on a phone, and goes each way that is offered', async ({
  context,
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  const other = await context.newPage()
  await other.setViewportSize({ width: 390, height: 844 })
  await openShop(other, demo.url)
  await press(page, 'Go offline')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  for (const text of ['refused', 'refused too', 'old', 'old too', 'fresh']) await say(page, text)
  for (const [refused, old] of [
    ['refused', 'old'],
    ['refused too', 'old too'],
  ] as const)
    await page.evaluate(spoil, [refused, old] as const)
  await press(page, 'Come back')
  await expectSent(page, 'fresh')
  for (const one of [page, other]) {
    for (const text of ['refused', 'refused too']) {
      await expect(markOf(one, text)).toHaveText('Not sent: the shop could not accept it')
      await expect(messageOf(one, text).getByRole('button')).toHaveText(['Try again', 'Edit', 'Discard'])
    }
    for (const text of ['old', 'old too']) {
      await expect(markOf(one, text)).toHaveText('Held back: it is over a day old. Still send it?')
      await expect(messageOf(one, text).getByRole('button')).toHaveText(['Send', 'Edit', 'Discard'])
    }
    expect(await one.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0)
  }
  const choice = (one: Page, text: string, name: string) => messageOf(one, text).getByRole('button', { name }).click()
  await fieldOf(other).fill('half a thought')
  await choice(other, 'refused', 'Edit')
  await expect(fieldOf(other)).toHaveValue('refused')
  await fieldOf(other).fill('said otherwise')
  await fieldOf(other).press('Enter')
  // What was being written when the change began is not lost to it.
  await expect(fieldOf(other)).toHaveValue('half a thought')
  await choice(page, 'refused too', 'Try again')
  await choice(other, 'old', 'Send')
  await choice(page, 'old too', 'Discard')
  for (const one of [page, other]) {
    for (const text of ['said otherwise', 'refused too', 'old']) await expectSent(one, text)
    for (const text of ['refused', 'old too']) await expect(messageOf(one, text)).toHaveCount(0)
  }
})

test('[DM18] an answer to a closed chat is counted on the launcher, and read when it is opened', async ({
  browser,
  page,
  demo,
}) => {
  const agent = await openConsole(browser, demo.url)
  await openShop(page, demo.url)
  await say(page, 'Hello')
  await expectSent(page, 'Hello')
  await press(page, 'Close the chat')
  await choose(agent)
  await agent.getByRole('textbox', { name: 'Your answer' }).fill('Good morning')
  await agent.getByRole('textbox', { name: 'Your answer' }).press('Enter')
  await press(page, 'Open the chat, 1 unread message')
  await expect(messageOf(page, 'Good morning')).toBeInViewport()
  await press(page, 'Close the chat')
  await expect(page.getByRole('button', { name: 'Open the chat', exact: true })).toBeVisible()
})

test('[DM19] Enter sends, Shift+Enter breaks the line, Escape closes and gives the focus back', async ({
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  // Measured while the panel was closed, the field would have no height.
  expect((await fieldOf(page).boundingBox())?.height).toBeGreaterThan(30)
  await fieldOf(page).pressSequentially('first line')
  await fieldOf(page).press('Shift+Enter')
  await fieldOf(page).pressSequentially('second line')
  await fieldOf(page).press('Enter')
  await expect(page.locator('#chat .bubble')).toHaveText(['first line\nsecond line'])
  await expect(fieldOf(page)).toHaveValue('')

  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog', { name: 'Chat with Leeward' })).toBeHidden()
  await expect(page.getByRole('button', { name: 'Open the chat', exact: true })).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(fieldOf(page)).toBeFocused()

  await page.getByRole('button', { name: 'Storm lantern', exact: true }).press('Enter')
  await page.keyboard.press('Escape')
  await expect(page.getByRole('button', { name: 'Storm lantern', exact: true })).toBeFocused()
})

const isWide = (page: Page): Promise<boolean> =>
  page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)

test('[DM20] on a phone the chat is a full sheet, the panel a drawer, and nothing scrolls sideways', async ({
  page,
  demo,
}) => {
  await page.setViewportSize({ width: 390, height: 844 })
  await openShop(page, demo.url)
  expect(await page.getByRole('dialog', { name: 'Chat with Leeward' }).boundingBox()).toEqual({
    x: 0,
    y: 0,
    width: 390,
    height: 844,
  })
  await expect(page.getByRole('button', { name: 'Go offline' })).toBeHidden()
  await page.locator('#chat').getByRole('button', { name: 'Make it suffer' }).click()
  await expect(page.getByRole('button', { name: 'Go offline' })).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('button', { name: 'Go offline' })).toBeHidden()
  await expect(page.locator('#chat').getByRole('button', { name: 'Make it suffer' })).toBeFocused()
  expect(await isWide(page)).toBe(false)
  await page.goto(`${demo.url}/agent`)
  await choose(page)
  expect(await isWide(page)).toBe(false)
})

for (const colorScheme of ['light', 'dark'] as const) {
  test(`[DM20] text keeps a contrast of 4.5 in ${colorScheme}`, async ({ browser, demo }) => {
    const context: BrowserContext = await browser.newContext({ colorScheme, reducedMotion: 'reduce' })
    const page = await context.newPage()
    await openShop(page, demo.url)
    await say(page, 'sent')
    await expectSent(page, 'sent')
    await press(page, 'Go offline')
    await expect(phaseOf(page)).toHaveText('reconnecting')
    await say(page, 'waiting')
    await expect(page.getByText(/^You are offline/)).toBeVisible()
    expect(await lowContrast(page)).toEqual([])
    await press(page, 'Come back')

    const agent = await context.newPage()
    await agent.goto(`${demo.url}/agent`)
    await choose(agent)
    await expect(saidAt(agent)).toHaveText(['sent', 'waiting'])
    expect(await lowContrast(agent)).toEqual([])
    await context.close()
  })
}

test('[DM45] who signs out says what becomes of the unsent, and then nothing of them is in any view of any tab', async ({
  context,
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  await press(page, 'Add Storm lantern to the cart')
  await say(page, 'Is it waterproof?')
  await expectSent(page, 'Is it waterproof?')
  const other = await context.newPage()
  await openShop(other, demo.url)
  await fieldOf(other).fill('half a thought')
  await press(page, 'Go offline')
  await expect(phaseOf(page)).toHaveText('reconnecting')
  await say(page, 'And in salt water?')

  await press(page, 'Sign out')
  const asked = page.getByRole('alertdialog', { name: 'Sign out' })
  await expect(asked).toContainText('Something you wrote has not been sent.')
  await asked.getByRole('button', { name: 'Stay' }).click()
  await expect(asked).toBeHidden()
  await expect(messageOf(page, 'And in salt water?')).toHaveCount(1)
  await press(page, 'Sign out')
  await asked.getByRole('button', { name: 'Discard it' }).click()

  for (const tab of [page, other]) {
    await expect(tab.getByText('You are signed out. Nothing of this chat is left on this device.')).toBeVisible()
    await expect(tab.getByRole('button', { name: 'Cart, 0 pieces, €0.00' })).toBeVisible()
    await expect(fieldOf(tab)).toHaveValue('')
    const everything = await everythingIn(tab)
    for (const word of ['waterproof', 'salt water', 'half a thought', 'lantern:1'])
      expect(everything).not.toContain(word)
  }
  await press(page, 'Come back')
  await press(page, 'Begin anew')
  await expect(phaseOf(page)).toHaveText('live')
  await expect(page.locator('#chat .bubble')).toHaveCount(0)
})

test('[AT11] a file is chosen, goes with its words, and shows its name and size; another is taken out again', async ({
  page,
  demo,
}) => {
  await openShop(page, demo.url)
  const files = page.getByLabel('Attach files')
  await files.setInputFiles({ name: 'cat.png', mimeType: 'image/png', buffer: Buffer.alloc(300_000, 7) })
  await expect(page.getByText('cat.png, 293 kB')).toBeVisible()
  await press(page, 'Take out')
  await expect(page.getByText('cat.png, 293 kB')).toBeHidden()
  await files.setInputFiles({ name: 'dog.png', mimeType: 'image/png', buffer: Buffer.alloc(300_000, 7) })
  await fieldOf(page).fill('my dog')
  await press(page, 'Send')
  const row = page.locator('.message.customer')
  await expect(row.locator('.delivery')).toHaveText(ARRIVED)
  await expect(row.locator('.files li')).toHaveText('dog.png, 293 kB')
  await expect(row.locator('progress')).toBeHidden()
})
