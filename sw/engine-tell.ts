// When the tabs are told that something changed. What has changed they read themselves.

import type { Channel, Clock } from '../core/ports.ts'

/** Changes are told at once, and then at most so often. */
export const CHANGED_INTERVAL_MS = 75

/** Says that something changed: at once, and once more after a burst. */
export function teller({
  clock,
  channel,
}: {
  readonly clock: Clock
  readonly channel: Channel
}): (rev: number) => void {
  let newest = 0
  let toldAt = 0
  let isWaiting = false
  const publish = () => {
    isWaiting = false
    toldAt = clock.now()
    channel.publish({ v: 1, type: 'changed', rev: newest })
  }
  return (rev) => {
    newest = rev
    if (isWaiting) return
    const waitMs = toldAt + CHANGED_INTERVAL_MS - clock.now()
    if (waitMs <= 0 || waitMs > CHANGED_INTERVAL_MS) return publish()
    isWaiting = true
    clock.alarm(clock.now() + waitMs, publish)
  }
}
