// When the tabs are told that something changed, and to which of them it is shown at once.
// The notice on the channel names a revision and no more; what a tab sees travels on the port of its own call.

import type { Channel, Clock } from '../core/ports.ts'
import type { Snapshot } from '../core/wire.ts'

/** Changes are told at once, and then at most so often. */
export const CHANGED_INTERVAL_MS = 20
/** The pause is so many times as long as the look before it took: on a busy machine the work comes first. */
const PAUSE_FACTOR = 5
export const PAUSE_MS_MAX = 1_000

/** How many engines of one worker are looking again and again: each pauses for all of them. */
export interface Crowd {
  size: number
}

/** Hands a tab a picture of the state; resolves when the tab has taken it in. Never, if it is gone. */
export type Show = (snapshot: Snapshot) => Promise<void>

interface Watcher {
  readonly show: Show
  rev: number
  isBusy: boolean
}

export interface Teller {
  /** Something was committed. */
  changed(rev: number): void
  /** The tab wants to be shown every change from now on. One that is slow, or sleeps, is never sent a second picture. */
  watch(tab: string, show: Show): void
  forget(tab: string): void
}

interface Told {
  readonly clock: Clock
  readonly channel: Channel
  readonly crowd?: Crowd | undefined
}

/** @param look reads the state as it is now */
export function teller({ clock, channel, crowd = { size: 0 } }: Told, look: () => Promise<Snapshot>): Teller {
  const watchers = new Map<string, Watcher>()
  let newest = 0
  let told = 0
  let isTelling = false

  const behind = (): Watcher[] => [...watchers.values()].filter(({ rev, isBusy }) => !isBusy && rev < newest)

  /** At once, and once more after a burst. */
  async function tell(): Promise<void> {
    if (isTelling) return
    isTelling = true
    crowd.size += 1
    for (let late = behind(); late.length > 0 || told !== newest; late = behind()) {
      const startedAt = clock.now()
      // A picture that cannot be had is asked for by the tabs themselves, and they hear why not.
      if (late.length > 0)
        await look().then(
          (snapshot) => showAll(late, snapshot),
          () => watchers.clear(),
        )
      told = newest
      channel.publish({ v: 1, type: 'changed', rev: told })
      const restMs = (clock.now() - startedAt) * PAUSE_FACTOR * crowd.size ** 2
      const pauseMs = Math.min(Math.max(CHANGED_INTERVAL_MS, restMs), PAUSE_MS_MAX)
      await new Promise<void>((resolve) => clock.alarm(clock.now() + pauseMs, resolve))
    }
    crowd.size -= 1
    isTelling = false
  }

  function showAll(late: readonly Watcher[], snapshot: Snapshot): void {
    for (const watcher of late) {
      Object.assign(watcher, { isBusy: true, rev: snapshot.rev })
      void watcher.show(snapshot).then(() => {
        watcher.isBusy = false
        if (watcher.rev < newest) void tell()
      })
    }
  }

  return {
    changed(rev) {
      newest = rev
      void tell()
    },
    watch(tab, show) {
      watchers.set(tab, { show, rev: newest, isBusy: false })
    },
    forget: (tab) => watchers.delete(tab),
  }
}
