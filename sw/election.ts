// The pump of pages that have no Web Locks, which is every page without HTTPS: elected over a channel.
// A page that is frozen while it holds the pump is outvoted; when it wakes there are two for a while, whose keys make
// the work of both one effect.

import type { Pump } from '../core/ports.ts'

/** Whoever holds the pump, and whoever asks with a smaller number, says so within this. */
const ANSWER_MS = 250
/** So often the others ask whether it is still held. */
const ASK_MS = 3_000

interface Word {
  /** `free`: a page that holds the pump is going away. */
  readonly type: 'who' | 'mine' | 'free'
  readonly number: number
}

/** @param number tells the pages apart; the smallest of those that ask at the same time wins */
export function electedPump(deployment: string, number = Math.random()): Pump {
  return {
    request: (granted) =>
      new Promise((known) => {
        const channel = new BroadcastChannel(`holdfast:pump:${deployment}`)
        const say = (type: Word['type']) => channel.postMessage({ type, number } satisfies Word)
        let isMine = false
        let isAsking = false
        let timer: ReturnType<typeof setTimeout> | undefined

        const set = (ms: number, task: () => void) => {
          clearTimeout(timer)
          timer = setTimeout(task, ms)
        }
        const take = () => {
          isMine = true
          say('mine')
          granted()
          known()
        }
        const ask = () => {
          isAsking = true
          say('who')
          set(ANSWER_MS, take)
        }
        const wait = (ms: number) => {
          isAsking = false
          set(ms, ask)
        }
        channel.onmessage = ({ data }: MessageEvent<Word>) => {
          if (isMine) {
            if (data.type === 'who') say('mine')
          } else if (data.type === 'mine') {
            known()
            wait(ASK_MS)
          } else if (data.type === 'free') {
            ask()
          } else if (data.number < number) {
            wait(2 * ANSWER_MS)
          } else if (isAsking) {
            // A larger number must hear of ours before its time is over.
            say('who')
          } else {
            ask()
          }
        }
        globalThis.addEventListener('pagehide', () => isMine && say('free'))
        ask()
      }),
  }
}
