// The tab as alarm clock and life support of the worker. Owns when the worker is woken; holds nothing others need.
// Leaves to others: what a woken worker does (the engine finds that on the disk), and the pulling of state (mirror.ts).

import type { Caller, Command, Notice } from '../core/wire.ts'
import type { Browser } from './browser.ts'
import type { Host } from './link.ts'

/** A worker that dies as soon as it starts is not started more often. */
export const RESTART_MS_MIN = 1_000

/** The visitor is here, or the network may be back: `navigator.onLine` is a hint, and the worker finds out. */
const WAKERS = ['visibilitychange', 'pageshow', 'resume', 'focus', 'online']

export interface Presence {
  hear(notice: Notice): void
  /** Without a goodbye, if nobody can have heard of the tab. */
  stop(isKnown: boolean): void
}

/** What presence needs of the chat. */
export interface Tended {
  readonly host: Host
  readonly browser: Browser
  caller(): Caller
  /** Is there work that only a running worker can do, such as listening to the stream? */
  wantsWorker(): boolean
  /** Runs a command of which nobody awaits the end, then looks what is new. While the tab connects it does nothing. */
  wake(command: Command): void
  /** The tab hears and holds nothing any more. */
  release(): void
  /** The page goes away, or into the back/forward cache: another visitor may bring it back from there. */
  hide(): void
  /** It is back from there. */
  resume(): void
}

export function attend({ host, browser, caller, wantsWorker, wake, release, hide, resume }: Tended): Presence {
  let unalarm = () => {}
  let unrest = () => {}
  let isRecent = false
  let isDue = false
  let isGone = false
  const nudge = (isVisitorHere: boolean) => wake({ type: 'nudge', wake: isVisitorHere, online: browser.isOnline() })
  const ping = () => {
    if (!isGone) host.ping(caller())
  }
  // Nobody waits for it: the worker counts the tabs that answer its beat.
  const bye = () => void host.run(caller(), { type: 'bye' }).catch(() => {})

  const restart = () => {
    isDue = isRecent
    if (isRecent) return
    isRecent = true
    unrest = browser.after(RESTART_MS_MIN, () => {
      isRecent = false
      if (isDue) restart()
    })
    nudge(false)
  }
  host.onDeath = () => {
    if (wantsWorker()) restart()
  }
  const offs = [
    browser.listen('offline', () => nudge(false)),
    // It becomes hidden only after this, and saying that would count it again.
    browser.listen('pagehide', () => {
      isGone = true
      bye()
      release()
      hide()
    }),
    browser.listen('pageshow', () => {
      if (isGone) resume()
      isGone = false
    }),
    ...WAKERS.map((type) =>
      browser.listen(type, () => (browser.isVisible() || type === 'online' ? nudge(true) : ping())),
    ),
  ]

  return {
    hear(notice) {
      if (notice.type === 'beat') ping()
      if (notice.type === 'wake-at') {
        unalarm()
        unalarm = browser.after(notice.at - browser.now(), () => nudge(false))
      }
    },
    stop(isKnown) {
      for (const off of [unalarm, unrest, ...offs]) off()
      delete host.onDeath
      release()
      if (isKnown) bye()
    },
  }
}
