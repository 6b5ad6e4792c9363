import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Notice } from '../../core/wire.ts'
import { clock, openChannel, pumpOf, random } from '../../sw/browser.ts'

const TIMER_MS_MAX = 2 ** 31 - 1

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('clock', () => {
  test('[ST26] an alarm rings once when its time has come, and never at once', () => {
    vi.useFakeTimers()
    const ring = vi.fn()
    clock.alarm(clock.now() + 1_000, ring)
    clock.alarm(clock.now() - 1_000, ring)
    expect(ring).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(999)
    expect(ring).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(1)
    expect(ring).toHaveBeenCalledTimes(2)
    vi.advanceTimersByTime(10_000)
    expect(ring).toHaveBeenCalledTimes(2)
  })

  test('[ST26] an alarm that was cancelled does not ring', () => {
    vi.useFakeTimers()
    const ring = vi.fn()
    clock.alarm(clock.now() + 1_000, ring)()
    vi.advanceTimersByTime(2_000)
    expect(ring).not.toHaveBeenCalled()
  })

  test('[ST26] an alarm beyond the longest timer rings at its time, and can be cancelled on the way', () => {
    vi.useFakeTimers()
    const [ring, never] = [vi.fn(), vi.fn()]
    clock.alarm(clock.now() + 2 * TIMER_MS_MAX + 5, ring)
    const cancel = clock.alarm(clock.now() + 2 * TIMER_MS_MAX, never)
    vi.advanceTimersByTime(TIMER_MS_MAX + 1)
    cancel()
    vi.advanceTimersByTime(TIMER_MS_MAX)
    expect(ring).not.toHaveBeenCalled()
    vi.advanceTimersByTime(4)
    expect(ring).toHaveBeenCalledTimes(1)
    expect(never).not.toHaveBeenCalled()
  })
})

describe('random', () => {
  test('[ST27] a key is a UUID v7 of the present millisecond', () => {
    vi.useFakeTimers({ now: Date.now() + 1_000 })
    const key = random.key()
    expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(Number.parseInt(key.replace('-', '').slice(0, 12), 16)).toBe(Date.now())
  })

  test('[ST27] keys sort in the order in which they were made, also when the clock stands still or goes back', () => {
    vi.useFakeTimers({ now: Date.now() + 2_000 })
    const keys = Array.from({ length: 10_000 }, () => random.key())
    vi.setSystemTime(Date.now() - 60_000)
    keys.push(random.key(), random.key())
    expect([...keys].sort()).toEqual(keys)
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('[ST27] a draw is at least 0 and below 1', () => {
    const draws = Array.from({ length: 1_000 }, () => random.draw())
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true)
  })
})

describe('channel', () => {
  const changed = (rev: number): Notice => ({ v: 1, type: 'changed', rev })

  test('[ST28] a notice reaches the other ends of the deployment, and nothing else does', async () => {
    const [mine, yours, others, raw] = [
      openChannel('a'),
      openChannel('a'),
      openChannel('b'),
      new BroadcastChannel('holdfast:a'),
    ]
    const heard: Notice[] = []
    const misheard = vi.fn()
    others.listen(misheard)
    mine.listen(misheard)
    const last = new Promise((resolve) => {
      yours.listen((notice) => {
        heard.push(notice)
        if (notice.type === 'changed' && notice.rev === 2) resolve(null)
      })
    })
    const stop = yours.listen(misheard)
    stop()
    mine.publish(changed(1))
    raw.postMessage({ v: 99, type: 'changed', rev: 7 })
    raw.postMessage('noise')
    mine.publish(changed(2))
    await last
    for (const channel of [mine, yours, others, raw]) channel.close()
    expect(heard.filter((notice) => notice.v === 1)).toEqual([changed(1), changed(2)])
    expect(heard).toHaveLength(2)
    expect(misheard).not.toHaveBeenCalled()
  })
})

describe('pump', () => {
  type Callback = (lock: object | null) => unknown

  /** Exclusive locks as a browser gives them; `release` is the death of the holder. */
  function locks() {
    const queues = new Map<string, (() => void)[]>()
    const held = new Set<string>()
    const request = async (name: string, options: { ifAvailable?: boolean } | Callback, after?: Callback) => {
      const callback = (after ?? options) as Callback
      if (held.has(name) && after !== undefined) return callback(null)
      if (held.has(name)) await new Promise<void>((go) => queues.set(name, [...(queues.get(name) ?? []), go]))
      held.add(name)
      return callback({})
    }
    const release = (name: string): void => {
      held.delete(name)
      queues.get(name)?.shift()?.()
    }
    return { request, release, held }
  }

  test('[ST29] the first that asks is granted the pump before it knows, and keeps it', async () => {
    const fake = locks()
    vi.stubGlobal('navigator', { locks: fake })
    const granted = vi.fn()
    await pumpOf('a').request(granted)
    expect(granted).toHaveBeenCalledTimes(1)
    expect([...fake.held]).toEqual(['holdfast:pump:a'])
  })

  test('[ST29] the second knows at once that it has to wait, and is granted when the first dies', async () => {
    const fake = locks()
    vi.stubGlobal('navigator', { locks: fake })
    const granted = vi.fn()
    await pumpOf('a').request(() => {})
    await pumpOf('a').request(granted)
    expect(granted).not.toHaveBeenCalled()
    const now = new Promise<void>((resolve) => granted.mockImplementation(resolve))
    fake.release('holdfast:pump:a')
    await now
    expect(granted).toHaveBeenCalledTimes(1)
  })

  test('[ST29] deployments do not share a pump', async () => {
    vi.stubGlobal('navigator', { locks: locks() })
    const granted = vi.fn()
    await pumpOf('a').request(() => {})
    await pumpOf('b').request(granted)
    expect(granted).toHaveBeenCalledTimes(1)
  })

  test.each([
    { name: 'absent', navigator: {} },
    {
      name: 'forbidden',
      navigator: { locks: { request: () => Promise.reject(new DOMException('', 'SecurityError')) } },
    },
  ])('[ST29] where locks are $name the pump is granted at once', async ({ navigator }) => {
    vi.stubGlobal('navigator', navigator)
    const granted = vi.fn()
    await pumpOf('a').request(granted)
    expect(granted).toHaveBeenCalledTimes(1)
  })
})
