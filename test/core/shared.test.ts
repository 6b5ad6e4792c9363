// Shared devices, turn by turn: who counts as gone, and when.

import { describe, expect, test } from 'vitest'
import type { Decision } from '../../core/decide.ts'
import { MINUTE, Play, SECOND, SETUP } from './fixtures.ts'

const DEVICE = { graceMs: 5 * SECOND, idleMs: 15 * MINUTE }

class SharedPlay extends Play {
  override setup = { ...SETUP, shared: DEVICE }

  tabs(count: number, isArrival = false): Promise<Decision> {
    return this.turn({ type: 'tabs', count, isArrival })
  }

  /** The engine has wiped whoever was here. */
  async wiped(): Promise<void> {
    await this.command({ type: 'logout', unsent: 'discard' })
    await this.shredded()
  }
}

const live = () => new SharedPlay().live()
const isGone = (decision: Decision): boolean => decision.isGone === true && decision.actions.length === 0

describe('a shared device', () => {
  test('[SD1] the visitor is gone when nobody has come for the time of a reload, and not before', async () => {
    const play = await live()
    const left = await play.tabs(0)
    expect(left.isGone).toBeUndefined()
    expect(left.wakeAt).toBe(play.now + DEVICE.graceMs)
    expect(isGone(await play.after(DEVICE.graceMs - 1))).toBe(false)
    expect(isGone(await play.after(1))).toBe(true)
  })

  test('[SD1] a tab that comes in time keeps everything', async () => {
    const play = await live()
    await play.tabs(0)
    play.now += DEVICE.graceMs - 1
    await play.tabs(1, true)
    expect(isGone(await play.after(MINUTE))).toBe(false)
    expect(play.slots.session.conversation?.id).toBe('c1')
  })

  test('[SD2] the visitor is gone after the idle time, and every act begins it anew', async () => {
    const play = await live()
    play.now += 10 * MINUTE
    await play.turn({ type: 'used' })
    expect(isGone(await play.after(10 * MINUTE))).toBe(false)
    expect(isGone(await play.after(5 * MINUTE))).toBe(true)
    // And an act that comes too late is another visitor's.
    expect(isGone(await play.turn({ type: 'used' }))).toBe(true)
  })

  test('[SD3] what is overdue is so whoever comes, until it is done; then somebody new begins', async () => {
    const play = await live()
    await play.tabs(0)
    play.now += DEVICE.graceMs
    expect(isGone(await play.tabs(1, true))).toBe(true)
    expect(isGone(await play.after(SECOND))).toBe(true)
    const { epoch } = play.slots.session
    await play.wiped()
    const next = await play.tabs(1, true)
    expect(next.isGone).toBeUndefined()
    expect(next.slots.session).toMatchObject({ isSignedOut: false, conversation: null })
    expect(next.slots.session.epoch).not.toBe(epoch)
    expect(isGone(await play.after(MINUTE))).toBe(false)
  })

  test('[SD4] a worker that finds no tab of before, though none had left, does nothing but wipe', async () => {
    const play = await live()
    await play.enqueue('a')
    play.owner = 'w2'
    expect(isGone(await play.turn({ type: 'started', isAbandoned: true }))).toBe(true)
    // Killed before the wipe: the next one finds the same.
    expect(isGone(await play.turn({ type: 'started' }))).toBe(true)
  })

  test('[SD4] a worker that begins while a tab reloads waits for it', async () => {
    const play = await live()
    await play.tabs(0)
    expect(isGone(await play.turn({ type: 'started', isAbandoned: true }))).toBe(false)
    expect(isGone(await play.after(DEVICE.graceMs))).toBe(true)
  })

  test('[SD4] at the very first start there is nobody to wipe', async () => {
    const play = new SharedPlay()
    const first = await play.turn({ type: 'started', isAbandoned: true }, { type: 'tabs', count: 1, isArrival: true })
    expect(first.isGone).toBeUndefined()
    expect(play.find('open')).toBeDefined()
  })

  test('[SD6] without the option nobody is watched', async () => {
    const play = await new Play().live()
    await play.turn({ type: 'tabs', count: 0, isArrival: false })
    const later = await play.after(24 * 60 * MINUTE)
    expect(later.isGone).toBeUndefined()
    expect(later.slots.shared).toBeUndefined()
    expect((await play.turn({ type: 'started', isAbandoned: true })).isGone).toBeUndefined()
  })

  test('[SD8] a clock that is set back wipes nobody early, and the times count anew from there', async () => {
    const play = await live()
    play.now -= 60 * MINUTE
    expect(isGone(await play.tick())).toBe(false)
    await play.tabs(0)
    expect(isGone(await play.after(DEVICE.graceMs))).toBe(true)
  })
})
