// The tab as alarm clock and life support: what wakes the worker, what keeps it, what starts it again.
import { describe, expect, test } from 'vitest'
import { type Command, lifeLockOf, type Phase } from '../../core/wire.ts'
import { openChat } from '../../src/client.ts'
import { RESTART_MS_MIN } from '../../src/presence.ts'
import { setUp, snapshotOf, until } from './client-fixtures.ts'

async function open(phase: Phase = 'live') {
  const parts = setUp()
  parts.worker.snapshot = snapshotOf({ phase })
  const chat = await openChat(parts.link, { deployment: 'acme', routing: undefined }, parts.browser)
  const said = (): Command[] => parts.worker.calls.map(({ command }) => command).filter(({ type }) => type !== 'pull')
  return { ...parts, chat, said }
}

describe('life support', () => {
  test('[LK7] a beat is answered by an event, hidden or not', async () => {
    const { browser, worker, said } = await open()
    browser.visible = false
    browser.publish({ v: 1, type: 'beat', incarnation: 'i1' })
    await until(() => expect(worker.pings).toMatchObject([{ deployment: 'acme', epoch: 'e1', visible: false }]))
    expect(said()).toEqual([])
  })

  test('[LK8] a worker that died while it was wanted is started again, and looked at', async () => {
    const { browser, worker, said, chat } = await open()
    worker.incarnation = 'i2'
    worker.snapshot = snapshotOf({ rev: 2, unread: 1 })
    browser.release(lifeLockOf('i1'))
    await until(() => expect(said()).toEqual([{ type: 'nudge', wake: false, online: true }]))
    await until(() => expect(chat.state.unread).toBe(1))
  })

  test.each(['dormant', 'auth-required', 'ended', 'signed-out'] as const)(
    '[LK8] in phase %s the worker is left to sleep',
    async (phase) => {
      const { browser, chat, said } = await open(phase)
      browser.release(lifeLockOf('i1'))
      await chat.diagnose()
      expect(said()).toEqual([{ type: 'diagnose' }])
    },
  )

  test('[LK8] a worker that dies at once is started again at most once a second', async () => {
    const { browser, worker, said, chat } = await open()
    const restarts = () => said().filter(({ type }) => type === 'nudge')
    const die = async (incarnation: string) => {
      await until(() => expect(browser.awaited).toContain(lifeLockOf(worker.incarnation)))
      const dead = worker.incarnation
      worker.incarnation = incarnation
      browser.release(lifeLockOf(dead))
    }
    await die('i2')
    await until(() => expect(restarts()).toHaveLength(1))
    await die('i3')
    await chat.diagnose()
    expect(restarts()).toHaveLength(1)
    browser.advance(RESTART_MS_MIN - 1)
    await chat.diagnose()
    expect(restarts()).toHaveLength(1)
    browser.advance(1)
    await until(() => expect(restarts()).toHaveLength(2))
  })

  test('[LK8] a tab that has let go starts nothing', async () => {
    const { browser, chat, said } = await open()
    chat.disconnect()
    browser.release(lifeLockOf('i1'))
    await until(() => expect(said()).toEqual([{ type: 'bye' }]))
    expect(browser.timers.filter((ms) => ms <= RESTART_MS_MIN)).toEqual([])
  })
})

describe('alarm clock', () => {
  test('[LK9] the hour the worker names is when it is nudged, and a new hour replaces the old', async () => {
    const { browser, said } = await open()
    browser.publish({ v: 1, type: 'wake-at', at: browser.time + 5_000 })
    browser.publish({ v: 1, type: 'wake-at', at: browser.time + 9_000 })
    browser.advance(8_999)
    expect(said()).toEqual([])
    browser.advance(1)
    await until(() => expect(said()).toEqual([{ type: 'nudge', wake: false, online: true }]))
  })
})

describe('the visitor', () => {
  test.each(['visibilitychange', 'pageshow', 'resume', 'focus', 'online'])(
    '[LK10] %s wakes the worker and looks for news',
    async (type) => {
      const { browser, worker, said, chat } = await open()
      worker.snapshot = snapshotOf({ rev: 2, unread: 4 })
      browser.fire(type)
      await until(() => expect(said()).toEqual([{ type: 'nudge', wake: true, online: true }]))
      await until(() => expect(chat.state.unread).toBe(4))
    },
  )

  test('[LK10] a tab that becomes hidden says so, and wakes nothing', async () => {
    const { browser, worker, said } = await open()
    browser.visible = false
    browser.fire('visibilitychange')
    await until(() => expect(worker.pings).toMatchObject([{ visible: false }]))
    expect(said()).toEqual([])
  })

  test('[LK10] being offline is passed on as a hint', async () => {
    const { browser, said } = await open()
    browser.online = false
    browser.fire('offline')
    await until(() => expect(said()).toEqual([{ type: 'nudge', wake: false, online: false }]))
  })

  test('[LK11] a page that goes away says goodbye, and does not count itself again when it becomes hidden', async () => {
    const { browser, worker, said, chat } = await open()
    browser.fire('pagehide')
    browser.visible = false
    browser.fire('visibilitychange')
    await until(() => expect(said()).toEqual([{ type: 'bye' }]))
    await chat.diagnose()
    expect(worker.pings).toEqual([])
  })

  test('[LK11] a page that comes back from the back/forward cache is there again', async () => {
    const { browser, worker, said } = await open()
    browser.fire('pagehide')
    browser.fire('pageshow')
    browser.publish({ v: 1, type: 'beat', incarnation: 'i1' })
    await until(() => expect(said().map(({ type }) => type)).toEqual(['bye', 'nudge']))
    await until(() => expect(worker.pings).toHaveLength(1))
  })
})
