// One listener's feed, with the tables in the test's hand: what comes at whatever instant is told.
import { expect, test } from 'vitest'
import { Feed, type Sink } from '../../server/feed.ts'
import type { Caller } from '../../server/session.ts'
import type { SqlStore } from '../../server/store.ts'

const caller: Caller = { role: 'agent', deploymentId: 'demo', agentId: 'kim', name: 'Kim' }
const message = (seq: number) => ({
  seq,
  id: `m${seq}`,
  conversationId: 'c',
  role: 'customer',
  body: { text: '' },
  at: 0,
})

/** So many steps of the event loop's own queue later. */
async function later(steps: number): Promise<void> {
  for (let step = 0; step < steps; step++) await undefined
}

test.each(Array.from({ length: 16 }, (_, steps) => ({ steps })))(
  '[SV30] a hint that comes $steps steps after the last message was told is not lost',
  async ({ steps }) => {
    let last = 1
    const told: number[] = []
    const hint = () => ({ conversationId: 'c', deploymentId: 'demo', seq: last, version: 1 })
    const messages = { after: async (_: string, seq: number) => (seq < last ? [message(seq + 1)] : []) }
    const reads = { read: (_: string, read: () => unknown) => read() }
    const sink: Sink = {
      send(frame) {
        if (frame.type !== 'message') return
        told.push(frame.message.seq)
        if (last === 1)
          void later(steps).then(() => {
            last = 2
            feed.wake(hint())
          })
      },
      drained: async () => {},
      idle() {},
      failed(error) {
        throw error
      },
    }
    const feed = new Feed('f', caller, 'c', { messages, reads } as unknown as SqlStore, sink, 0)
    void feed.start({ seq: 0, version: 1, marks: 0 }, { seq: 1, version: 1, marks: 0 })
    await new Promise((resolve) => setImmediate(resolve))
    expect(told).toEqual([1, 2])
  },
)
