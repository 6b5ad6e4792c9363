// Clock, Random, Channel and Pump over the globals that workers and pages share.
// They hold no state of ours: what must survive the worker is in the store.

import type { Channel, Clock, Pump, Random } from '../core/ports.ts'
import { channelOf, type Notice, tabLockOf } from '../core/wire.ts'
import { isNotice } from '../core/wire-guards.ts'
import type { TabLocks } from './engine-shared.ts'

/** A longer timer rings at once, in every browser. */
const TIMER_MS_MAX = 2 ** 31 - 1

export const clock: Clock = {
  now: () => Date.now(),
  alarm(at, ring) {
    let timer: ReturnType<typeof setTimeout>
    const arm = (): void => {
      const ms = at - Date.now()
      timer = ms > TIMER_MS_MAX ? setTimeout(arm, TIMER_MS_MAX) : setTimeout(ring, ms)
    }
    arm()
    return () => clearTimeout(timer)
  },
}

const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, '0')

let keyMs = 0
let keyCount = 0

export const random: Random = {
  draw: () => Math.random(),
  /**
   * Later keys sort behind earlier ones, also within a millisecond and when the clock is set back: keys of one batch
   * lie together in an index.
   *
   * @see https://www.rfc-editor.org/rfc/rfc9562#section-6.2 (method 1: a counter of 12 bits)
   */
  key() {
    const now = Date.now()
    keyCount += 1
    if (now > keyMs || keyCount > 0xfff) {
      keyMs = Math.max(now, keyMs + 1)
      keyCount = 0
    }
    const [a = 0, b = 0] = crypto.getRandomValues(new Uint32Array(2))
    // Two fixed bits, the variant, and 62 random ones.
    const [time, rest] = [hex(keyMs, 12), hex(2 ** 31 + (a >>> 2), 8) + hex(b, 8)]
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(keyCount, 3)}-${rest.slice(0, 4)}-${rest.slice(4)}`
  },
}

/** The channel of a deployment, with its other end. */
export interface OpenChannel extends Channel {
  /** Hears what other tabs and workers publish, never what this channel published itself. */
  listen(hear: (notice: Notice) => void): () => void
  close(): void
}

export function openChannel(deployment: string): OpenChannel {
  const channel = new BroadcastChannel(channelOf(deployment))
  return {
    publish: (notice) => channel.postMessage(notice),
    listen(hear) {
      const onMessage = ({ data }: MessageEvent<unknown>): void => {
        if (isNotice(data)) hear(data)
      }
      channel.addEventListener('message', onMessage)
      return () => channel.removeEventListener('message', onMessage)
    },
    close: () => channel.close(),
  }
}

/** The pump as a Web Lock, which the browser takes back when the incarnation dies, however it dies. */
export function pumpOf(deployment: string): Pump {
  const name = `holdfast:pump:${deployment}`
  return {
    request: (granted) =>
      new Promise((known) => {
        const keep = (): Promise<never> => {
          granted()
          known()
          return new Promise(() => {})
        }
        const locks = globalThis.navigator?.locks as LockManager | undefined
        const first = locks?.request(name, { ifAvailable: true }, (lock) => {
          if (lock !== null) return keep()
          known()
          // It fails only when this context is going away, and then nobody here needs the pump.
          return void locks.request(name, keep).catch(() => {})
        })
        // Without locks (an opaque origin) every incarnation pumps: twice the work, and the keys of the attempts make
        // it one effect. Pages without HTTPS elect one instead (election.ts).
        if (first === undefined) keep()
        else first.catch(keep)
      }),
  }
}

/** Where there are no locks, nobody is seen to be here. */
export function tabLocksOf(deployment: string): TabLocks {
  const locks = globalThis.navigator?.locks as LockManager | undefined
  return {
    async here() {
      const { held = [] } = (await locks?.query()) ?? {}
      return held.flatMap(({ name = '' }) => {
        const [, , tab = ''] = name.split(':')
        return name === tabLockOf(tab, deployment) ? tab : []
      })
    },
    // It fails only when this context is going away.
    whenFree: (tab, free) => void locks?.request(tabLockOf(tab, deployment), free).catch(() => {}),
  }
}
