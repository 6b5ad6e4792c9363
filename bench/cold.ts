// The first call after a worker was killed, with everything restored, beside the first answer of an empty worker.

import { connected } from './accept.ts'
import { atMost, type Figure, median, openLab } from './lab.ts'
import './page.ts'

const KILLS = 25

export async function cold(): Promise<readonly Figure[]> {
  const lab = await openLab()
  try {
    const page = await connected(lab)
    await page.evaluate(async () => {
      for (let index = 0; index < 20; index++) await globalThis.chat.send(`message ${index}`)
    })
    const ours: number[] = []
    const floor: number[] = []
    for (let kill = 0; kill < KILLS; kill++) {
      await lab.killWorkers(page)
      ours.push(
        await page.evaluate(async () => {
          const start = performance.now()
          await globalThis.chat.outbox.list()
          return performance.now() - start
        }),
      )
      await page.waitForFunction(() => globalThis.chat.state.phase === 'live')
      await lab.killWorkers(page)
      floor.push(
        await page.evaluate(async () => {
          const start = performance.now()
          await globalThis.floor('nothing')
          return performance.now() - start
        }),
      )
      await page.waitForFunction(() => globalThis.chat.state.phase === 'live')
    }
    return [atMost('first call after a kill beside an empty worker', 'ms', median(ours), median(floor), 2)]
  } finally {
    await lab.close()
  }
}
