// Tells the other side that this visitor types: seldom enough to cost nothing. Lossy by nature.

import type { Browser } from './browser.ts'

export const TYPING_MS = 5_000

export interface Typing {
  /** A key was pressed. */
  press(): void
  /** The message was sent, or the tab lets go. */
  stop(): void
}

export function typing(browser: Browser, say: (isOn: boolean) => void): Typing {
  // Each is there while its timer runs, and stops it.
  let silence: (() => void) | undefined
  let pause: (() => void) | undefined
  const stop = () => {
    if (!silence) return
    silence()
    pause?.()
    silence = pause = undefined
    say(false)
  }
  return {
    press() {
      silence?.()
      silence = browser.after(TYPING_MS, stop)
      if (pause) return
      pause = browser.after(TYPING_MS, () => {
        pause = undefined
      })
      say(true)
    },
    stop,
  }
}
