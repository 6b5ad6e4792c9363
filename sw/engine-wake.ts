// When to look again. Timers are hints: ours may die with this incarnation, so the tabs are told when to ring, too.

import type { Channel, Clock } from '../core/ports.ts'
import type { EpochMs } from '../core/wire.ts'

/** After the store failed, what is due is looked at again so much later. */
const STORE_RETRY_MS = 1_000
/** Tabs are not told of what is nearer, or of what they know about as well. */
const TOLD_MS_MIN = 1_000

export interface Waker {
  /** Takes the place of what was set before; without an hour nothing is due. */
  at(hour: EpochMs | undefined): void
  afterFailure(): void
}

export function waker(
  { clock, channel }: { readonly clock: Clock; readonly channel: Channel },
  ring: () => void,
): Waker {
  let told = 0
  let cancel = () => {}
  const set = (hour: EpochMs) => {
    cancel()
    cancel = clock.alarm(hour, ring)
  }
  return {
    at(hour) {
      cancel()
      if (hour === undefined) return
      set(hour)
      if (Math.abs(hour - told) < TOLD_MS_MIN || hour < clock.now() + TOLD_MS_MIN) return
      told = hour
      channel.publish({ v: 1, type: 'wake-at', at: hour })
    },
    afterFailure: () => set(clock.now() + STORE_RETRY_MS),
  }
}
