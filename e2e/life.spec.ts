// How long a worker lives when nobody holds it, and that it is held where it should be: without a debugger attached.

import { findBrowser } from '../scripts/browsers.mjs'
import { type RawChromium, type RawTab, rawChromium } from '../testing/raw-chromium.ts'
import { test as base, expect, startWorld } from './fixtures.ts'

type RawWorld = Awaited<ReturnType<typeof startWorld>> & { browser: RawChromium; tab(): Promise<RawTab> }

/** Hidden tabs are throttled at once instead of after five minutes. */
const THROTTLE = '--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1'

const test = base.extend<{ raw: RawWorld; timings: Record<string, number> }>({
  timings: [{}, { option: true }],
  raw: async ({ timings }, use) => {
    const world = await startWorld({ site: { timings } })
    const browser = await rawChromium((await findBrowser('chromium'))?.path ?? 'chromium', [THROTTLE])
    const tab = async () => {
      const opened = await browser.open(world.site.url)
      await opened.evaluate(
        `new Promise((resolve) => { const look = () => globalThis.holdfast ? resolve() : requestAnimationFrame(look); look() })`,
      )
      await opened.evaluate(`(async () => {
        globalThis.chat = await holdfast.connect({ worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' })
        globalThis.until = (test) => new Promise((resolve) => { let stop = () => {}; stop = chat.subscribe((state) => { if (test(state)) { resolve(true); queueMicrotask(() => stop()) } }) })
        await until((state) => state.phase === 'live')
      })()`)
      return opened
    }
    await use({ ...world, browser, tab })
    await browser.close()
    await world.close()
  },
})

const ALIVE = `chat.diagnose().then((report) => report.incarnation)`
/** Resolves when that incarnation has died: its life lock is granted. */
const deathOf = (incarnation: string) =>
  `navigator.locks.request('holdfast:life:${incarnation}', { mode: 'shared' }, () => true)`

test.describe('a worker that nobody beats for', () => {
  test.use({ timings: { beatMs: 3_600_000 } })

  test('[LK3] dies by itself after 30 s idle, and a call afterwards finds everything again', async ({ raw }) => {
    test.setTimeout(120_000)
    const tab = await raw.tab()
    await tab.evaluate(`chat.send('before').then((receipt) => receipt.settled)`)
    const first = await tab.evaluate<string>(ALIVE)
    await tab.evaluate(`chat.disconnect()`)
    await tab.evaluate(deathOf(first))
    const texts = await tab.evaluate<string[]>(`(async () => {
      globalThis.chat = await holdfast.connect({ worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' })
      await (await chat.send('after')).settled
      return chat.state.messages.map((message) => message.text)
    })()`)
    expect(texts).toEqual(['before', 'after'])
    expect(await tab.evaluate<string>(ALIVE)).not.toBe(first)
    expect((await raw.record()).map((message) => message.text)).toEqual(['before', 'after'])
  })
})

test('[LK7] a hidden, throttled tab keeps its worker and receives an answer of the agent', async ({ raw }) => {
  test.setTimeout(150_000)
  const tab = await raw.tab()
  const first = await tab.evaluate<string>(ALIVE)
  const cover = await raw.browser.open('about:blank')
  await cover.activate()
  expect(await tab.evaluate<string>(`document.visibilityState`)).toBe('hidden')
  // Longer than an unheld worker lives: it is the beat that keeps it. A throttled timer of the page marks the time.
  const lived = await tab.evaluate<boolean>(`Promise.race([
    ${deathOf(first)}.then(() => false),
    new Promise((resolve) => setTimeout(() => resolve(true), 45_000)),
  ])`)
  expect(lived).toBe(true)
  await raw.service.say(await raw.conversationId(), 'are you still there?')
  await tab.evaluate(`until((state) => state.messages.some((message) => message.text === 'are you still there?'))`)
  expect(await tab.evaluate<string>(ALIVE)).toBe(first)
  expect(await tab.evaluate<string>(`document.visibilityState`)).toBe('hidden')
})
