// What the page client uses of the browser, in one place, so that tests can bring a clock, locks and tabs of their own.
// Nothing here decides anything.

import type { EpochMs } from '../core/wire.ts'

export interface Browser {
  now(): EpochMs
  /** Runs `task` once, later. Returns the function that prevents it. */
  after(ms: number, task: () => void): () => void
  /** Calls `granted` when the lock is free, and holds it no longer than that. */
  whenFree(lock: string, granted: () => void): void
  channel(name: string): Pick<BroadcastChannel, 'close' | 'onmessage' | 'postMessage'>
  listen(type: string, listener: (event: Event) => void): () => void
  isVisible(): boolean
  isOnline(): boolean
  /** Asks that the browser clears nothing of ours by itself. It may refuse, or ask the visitor. */
  persist?(): void
  /** Throws where the browser blocks storage. */
  storage(): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
}

/** The longest that a browser's timer can count; more would ring at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

export const browser: Browser = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, Math.min(ms, TIMER_MS_MAX))
    return () => clearTimeout(timer)
  },
  whenFree(lock, granted) {
    // Shared, so that all tabs are granted together. Without locks, deadlines alone must do.
    void navigator.locks?.request(lock, { mode: 'shared' }, granted)
  },
  channel: (name) => new BroadcastChannel(name),
  listen(type, listener) {
    // These two are the document's own and need not bubble.
    const target = type === 'visibilitychange' || type === 'resume' ? document : window
    target.addEventListener(type, listener)
    return () => target.removeEventListener(type, listener)
  },
  isVisible: () => document.visibilityState === 'visible',
  isOnline: () => navigator.onLine,
  persist: () => void navigator.storage?.persist?.().catch(() => {}),
  storage: () => sessionStorage,
}
