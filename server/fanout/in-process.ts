// The fan-out of a service with one node: a set of listeners. There are no gaps, because there is no wire.
import type { Fanout, Notice } from './fanout.ts'

export function inProcessFanout(): Fanout {
  const listeners = new Set<(notice: Notice) => void>()
  return {
    isConnected: true,
    publish: (notice) => {
      for (const listener of listeners) listener(notice)
    },
    subscribe: (onNotice) => {
      listeners.add(onNotice)
      return () => void listeners.delete(onNotice)
    },
    close: async () => listeners.clear(),
  }
}
