// How soon a change made in one tab is seen in twenty others. The floor is one broadcast from tab to tab.

import { connected } from './accept.ts'
import { atMost, type Figure, openLab, quantile } from './lab.ts'
import './page.ts'

const OTHERS = 20
const CHANGES = 15
const P95_MS_MAX = 50

export async function tabs(): Promise<readonly Figure[]> {
  const lab = await openLab()
  try {
    const pages = []
    for (let index = 0; index <= OTHERS; index++) pages.push(await connected(lab))
    const [first, ...others] = pages
    if (first === undefined) return []
    const delays: number[] = []
    for (let change = 1; change <= CHANGES; change++) {
      const seen = others.map((page) =>
        page.evaluate(
          (value) =>
            new Promise<number>((resolve) => {
              const stop = globalThis.chat.subscribe((state) => {
                if (state.context['change'] !== value) return
                resolve(performance.timeOrigin + performance.now())
                queueMicrotask(() => stop())
              })
            }),
          `${change}`,
        ),
      )
      const madeAt = await first.evaluate((value) => {
        const at = performance.timeOrigin + performance.now()
        void globalThis.chat.context.set({ change: value })
        return at
      }, `${change}`)
      for (const seenAt of await Promise.all(seen)) delays.push(seenAt - madeAt)
    }
    return [
      atMost(
        `p95 until ${OTHERS} other tabs see a change, beside ${P95_MS_MAX} ms`,
        'ms',
        quantile(delays, 0.95),
        P95_MS_MAX,
        1,
      ),
    ]
  } finally {
    await lab.close()
  }
}
