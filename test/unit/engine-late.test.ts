// A claim whose time is over before what it names is on the wire: a laptop slept, or a browser froze the worker.

import { expect, test } from 'vitest'
import type { Attachments, Platform } from '../../core/ports.ts'
import { failure, LIMITS, SETUP } from '../core/fixtures.ts'
import { drained, liveRig, type Options, type Rig } from './engine-fixtures.ts'

const NAP_MS = 60_000
const WISH_MS = 5_000
const ANSWER_MS = 100

/** Says what was asked when, and gives its answers a little later. */
async function napping(answer: Platform['send'], more: Partial<Platform> = {}, options: Options = {}) {
  const asked: { key: string; at: number }[] = []
  const send: Platform['send'] = async (request) => {
    asked.push({ key: request.message.key, at: one.clock.now() })
    await new Promise<void>((resolve) => one.clock.alarm(one.clock.now() + ANSWER_MS, resolve))
    return answer(request)
  }
  const one: Rig = await liveRig({ ...options, platform: { ...more, send } })
  /** The next commit is behind the sleep. */
  const sleepAtCommit = () => {
    const { store } = one.disk
    const turn = store.turn.bind(store)
    store.turn = async (wanted, decide) => {
      store.turn = turn
      const result = await turn(wanted, decide)
      one.clock.time += NAP_MS
      return result
    }
  }
  return { ...one, asked, sleepAtCommit }
}

const taken = async () => ({ ok: true, value: { id: 'm1', seq: 1, at: 1 } }) as const

test('[OB52] what slept while it was committed goes out once, and not again within the wish of the answer', async () => {
  let answers = 0
  const one = await napping(async () => (answers++ === 0 ? failure('retry', { retryAfterMs: WISH_MS }) : taken()))
  one.sleepAtCommit()
  await one.enqueue('a')
  await one.clock.advance(10_000)
  const [first, second] = one.asked
  expect(one.asked).toHaveLength(2)
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(WISH_MS)
})

test('[OB52] of a run that slept between two entries, the rest goes out once', async () => {
  const one = await napping(async (request) => {
    if (request.message.key === 'a') one.clock.time += NAP_MS
    return taken()
  })
  await one.enqueue('a', 'b', 'c')
  await one.clock.advance(NAP_MS + 10_000)
  expect(one.asked.map(({ key }) => key)).toEqual(['a', 'b', 'c'])
  expect((await one.pull()).snapshot.outbox).toMatchObject({ queued: 0, inflight: 0 })
})

test('[OB52] a file whose steps slept is reserved under the next claim only', async () => {
  let reserved = 0
  const attachments = {
    async reserve() {
      reserved += 1
      await new Promise<void>((resolve) => one.clock.alarm(one.clock.now() + ANSWER_MS, resolve))
      return { ok: true, value: { id: 'f1' } }
    },
    upload: async () => ({ ok: true, value: { sent: 4 } }),
    confirm: async () => ({ ok: true, value: null }),
    discard: async () => ({ ok: true, value: null }),
  } as unknown as Attachments
  const limits = { ...LIMITS, attachments: { bytesMax: 1_000, countMax: 2, types: ['image/png'] } }
  const one = await napping(taken, { attachments, capabilities: { ...SETUP.capabilities, limits } })
  const { store } = one.disk
  const find = store.find.bind(store)
  store.find = async (keys) => {
    store.find = find
    const found = await find(keys)
    one.clock.time += 11 * NAP_MS
    return found
  }
  const file = { name: 'cat.png', type: 'image/png', size: 4, content: 'meow' }
  await one.run({ type: 'enqueue', messages: [{ key: 'a', text: 'a cat', attachments: [file] }] })
  await one.clock.advance(11 * NAP_MS + 10_000)
  await drained()
  expect([reserved, one.asked.map(({ key }) => key)]).toEqual([1, ['a']])
})
