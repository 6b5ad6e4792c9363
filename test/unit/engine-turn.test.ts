// The turn of the engine: commit, then tell, then act; what shares a turn, and what happens when one fails.

import { describe, expect, test } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import type { Outcome, Pump } from '../../core/ports.ts'
import { failure, NOW, row } from '../core/fixtures.ts'
import { drained, granted, liveRig, rig, watchedStore } from './engine-fixtures.ts'

const FULL = new HoldfastError('STORE_FULL', 'The disk is full.')

describe('a turn', () => {
  test('[EN1] is committed before anybody is told, and told before the network is touched', async () => {
    const { log, enqueue, clock } = await liveRig()
    await enqueue('a')
    await clock.advance(0)
    expect(log.filter((line) => line !== 'wake-at').slice(0, 3)).toEqual(['commit', 'changed', 'send a with access-1'])
  })

  test('[EN1] answers only what is on the disk', async () => {
    const { disk, enqueue } = await liveRig()
    const answer = await enqueue('a')
    expect(answer).toEqual([{ seq: 1 }])
    expect(
      (await disk.store.find(['a'])).entries.get('a') ?? (await disk.store.find(['a'])).rows.get('a'),
    ).toBeDefined()
  })

  test('[EN2] a hundred simultaneous messages share at most two turns', async () => {
    const { log, enqueue } = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    const keys = Array.from({ length: 100 }, (_, index) => `k${index}`)
    const answers = await Promise.all(keys.map((key) => enqueue(key)))
    expect(answers.map(([one]) => one)).toEqual(keys.map((_, index) => ({ seq: index + 1 })))
    expect(log.filter((line) => line === 'commit').length).toBeLessThanOrEqual(2)
  })

  test('[EN2] so do a hundred from tabs that have just come', async () => {
    const one = rig({ platform: { open: () => new Promise(() => {}) } })
    const keys = Array.from({ length: 100 }, (_, index) => `k${index}`)
    const messages = (key: string) => [{ key, text: 'x' }]
    await Promise.all(keys.map((key) => one.run({ type: 'enqueue', messages: messages(key) }, { tab: key })))
    expect(one.log.filter((line) => line === 'commit').length).toBeLessThanOrEqual(3)
    expect((await one.pull()).snapshot).toMatchObject({ tabs: 101, outbox: { queued: 100 } })
  })

  test('[EN5] whatever is submitted at whatever instant is looked at', async () => {
    for (let hops = 0; hops < 40; hops++) {
      const { enqueue } = await liveRig()
      const first = enqueue('a')
      for (let hop = 0; hop < hops; hop++) await Promise.resolve()
      const second = enqueue('b')
      await Promise.all([first, second])
    }
  })

  test('[SN47] tabs that come at the same moment make one session and one conversation', async () => {
    const one = rig()
    await Promise.all(['x', 'y', 'z'].map((tab) => one.run({ type: 'pull', keys: [] }, { tab })))
    await one.clock.advance(1_000)
    expect(one.log.filter((line) => /^(open|make|connect)/.test(line))).toEqual([
      'open key-2',
      'make with access-1',
      'connect',
    ])
    expect((await one.pull()).snapshot).toMatchObject({ phase: 'live', tabs: 4 })
  })

  test('[EN18] is over when no turn and no call is in hand', async () => {
    let answer = (_: Outcome<{ id: string; seq: number; at: number }>) => {}
    const { enqueue, engine, clock } = await liveRig({
      platform: { send: () => new Promise((resolve) => (answer = resolve)) },
    })
    let isSettled = false
    await enqueue('a')
    const settled = engine.settled().then(() => {
      isSettled = true
    })
    await clock.advance(10_000)
    expect(isSettled).toBe(false)
    answer({ ok: true, value: { id: 'm1', seq: 1, at: NOW } })
    await clock.advance(100)
    await settled
    expect(isSettled).toBe(true)
  })
})

describe('a turn that fails', () => {
  test('[EN3] writes nothing, tells its callers with a code, and the next one works', async () => {
    const { disk, enqueue, told, pull } = await liveRig()
    disk.fail(FULL)
    await expect(enqueue('a')).rejects.toMatchObject({ code: 'STORE_FULL' })
    expect(told('problem')).toMatchObject([{ code: 'STORE_FULL', message: 'The disk is full.' }])
    expect((await pull()).snapshot.messages).toEqual([])
    expect(await enqueue('b')).toEqual([{ seq: 1 }])
  })

  test('[EN3] so does one whose decision throws, and what it says is kept from the tabs', async () => {
    const one = await liveRig()
    one.disk.fail(new RangeError('A secret reason.'))
    await expect(one.enqueue('a')).rejects.toThrow('A secret reason.')
    expect(one.told('problem')).toMatchObject([{ code: 'STORE_FAILED' }])
    expect(JSON.stringify(one.notices)).not.toContain('secret')
    expect(await one.enqueue('a')).toEqual([{ seq: 1 }])
  })

  test('[EN4] owes the next one what came from outside', async () => {
    const { disk, hear, clock, pull } = await liveRig()
    disk.fail(FULL, FULL)
    hear({ type: 'rows', rows: [row(1)] })
    await drained()
    hear({ type: 'rows', rows: [row(2)] })
    await clock.advance(1_000)
    expect((await pull()).snapshot.messages.map(({ seq }) => seq)).toEqual([1, 2])
  })

  test('[EN4] also the very first: the stream of the incarnation before is not believed to be open', async () => {
    const before = await liveRig()
    const next = rig({ disk: before.disk, incarnation: 'w2' })
    before.disk.fail(FULL)
    await next.pull().catch(() => {})
    await next.clock.advance(2_000)
    expect(next.streamCalls).toEqual(['connect c1 after 0 with access-1'])
    expect((await next.pull()).snapshot.phase).toBe('live')
  })

  test('[EN4] commands are refused and not owed: a message that was refused is not sent', async () => {
    const { disk, enqueue, clock, log } = await liveRig()
    disk.fail(FULL)
    await enqueue('a').catch(() => {})
    await clock.advance(60_000)
    expect(log.filter((line) => line.startsWith('send'))).toEqual([])
  })

  test('[OB30] a claim that was committed by a turn said to have failed is done soon, not at its deadline', async () => {
    const { disk, enqueue, clock, log } = await liveRig()
    const { store } = disk
    const turn = store.turn.bind(store)
    store.turn = async (wanted, decide) => {
      await turn(wanted, decide)
      store.turn = turn
      throw FULL
    }
    await enqueue('a').catch(() => {})
    await clock.advance(3_000)
    expect(log.filter((line) => line.startsWith('send'))).toEqual(['send a with access-1'])
  })
})

describe('the pump', () => {
  /** Held by somebody else until the test gives it. */
  function heldPump() {
    let give = () => {}
    const pump: Pump = {
      async request(grant) {
        give = grant
      },
    }
    return { pump, give: () => give() }
  }

  test('[EN6] without it a change is committed and its holder nudged, and nothing is sent', async () => {
    const { pump } = heldPump()
    const one = rig({ pump })
    await one.enqueue('a')
    await one.clock.advance(60_000)
    expect(one.log.filter((line) => !['commit', 'turn', 'changed'].includes(line))).toEqual(['here', 'nudge'])
    expect((await one.pull()).snapshot).toMatchObject({ outbox: { queued: 1 }, messages: [{ status: 'queued' }] })
  })

  test('[EN6] granted later, everything that waits is done, for the tabs that are there', async () => {
    const { pump, give } = heldPump()
    const one = rig({ pump })
    await one.enqueue('a')
    give()
    await one.clock.advance(1_000)
    expect(one.log.filter((line) => /^(open|make|connect|send)/.test(line))).toHaveLength(4)
    expect((await one.pull()).snapshot).toMatchObject({ phase: 'live', tabs: 1, outbox: { queued: 0 } })
  })

  test('[EN6] granted at once, before the request returns, it works the same', async () => {
    let requests = 0
    const pump: Pump = {
      async request(grant) {
        requests += 1
        grant()
      },
    }
    const { pull } = await liveRig({ pump })
    expect([requests, (await pull()).snapshot.phase]).toEqual([1, 'live'])
  })

  test('[EN6] a nudge makes the holder do what another incarnation has committed', async () => {
    const holder = await liveRig()
    const other = rig({ disk: holder.disk, pump: heldPump().pump, incarnation: 'w2', log: [] })
    await other.enqueue('a')
    await holder.engine.nudge()
    await holder.clock.advance(100)
    expect(holder.log).toContain('send a with access-1')
  })

  test('[OB30] a worker killed at any step of a drain: each message goes out under its key until it is acknowledged', async () => {
    for (let kill = 0; kill < 12; kill++) {
      const disk = watchedStore([])
      const seen: string[] = []
      const log = new Map<string, number>()
      let calls = 0
      let isAlive = true
      const send = async ({
        message: { key },
      }: {
        message: { key: string }
      }): Promise<Outcome<{ id: string; seq: number; at: number }>> => {
        calls += 1
        // Killed before the request, or after the service has it and before the answer.
        if (isAlive && calls > kill / 2) {
          isAlive = false
          if (kill % 2 === 1) log.set(key, log.get(key) ?? log.size + 1)
          return new Promise(() => {})
        }
        seen.push(key)
        log.set(key, log.get(key) ?? log.size + 1)
        const seq = log.get(key) as number
        return { ok: true, value: { id: `m${seq}`, seq, at: NOW } }
      }
      const first = rig({ disk, platform: { send } })
      await first.enqueue('a', 'b', 'c', 'd')
      await first.clock.advance(100)
      const second = rig({ disk, platform: { send }, incarnation: 'w2', pump: granted })
      await second.pull()
      await second.clock.advance(1_000)
      expect([...log.keys()]).toEqual(['a', 'b', 'c', 'd'])
      expect((await second.pull()).snapshot.outbox).toEqual({ queued: 0, inflight: 0, dead: 0, stale: 0 })
    }
  })
})

describe('a run', () => {
  test('[OB5] is sent one after the other', async () => {
    let open = 0
    let most = 0
    const send = async (): Promise<Outcome<{ id: string; seq: number; at: number }>> => {
      open += 1
      most = Math.max(most, open)
      await drained()
      open -= 1
      return failure('refuse', { code: 'SERVICE_REFUSED' })
    }
    const { enqueue, clock, pull } = await liveRig({ platform: { send } })
    await enqueue('a', 'b', 'c')
    await enqueue('d')
    for (let turn = 0; turn < 5; turn++) await clock.advance(100)
    expect(most).toBe(1)
    expect((await pull()).snapshot.outbox).toMatchObject({ dead: 4, queued: 0 })
  })

  test('[OB29] stops at the first message that has no definite answer, and goes on from there', async () => {
    const sent: string[] = []
    const send = async ({
      message: { key },
    }: {
      message: { key: string }
    }): Promise<Outcome<{ id: string; seq: number; at: number }>> => {
      sent.push(key)
      if (key === 'b' && sent.length < 3) return failure('retry', { isUnreachable: true })
      return { ok: true, value: { id: key, seq: new Set(sent).size, at: NOW } }
    }
    const { enqueue, clock } = await liveRig({ platform: { send } })
    await enqueue('a', 'b', 'c')
    await clock.advance(2_000)
    expect(sent).toEqual(['a', 'b', 'b', 'c'])
  })

  test.each([
    { crowd: 0, waitMs: 200 },
    { crowd: 3, waitMs: 600 },
    { crowd: 10, waitMs: 1_000 },
  ])('[EN24] its answers share a turn after $waitMs ms while $crowd deployments look', async ({ crowd, waitMs }) => {
    const open: (() => void)[] = []
    const send = ({ message: { key } }: { message: { key: string } }) =>
      new Promise<Outcome<{ id: string; seq: number; at: number }>>((resolve) => {
        open.push(() => resolve({ ok: true, value: { id: key, seq: open.length, at: NOW } }))
      })
    const { enqueue, clock, log, hear } = await liveRig({ platform: { send }, crowd: { size: crowd } })
    await enqueue('a', 'b', 'c')
    // The tab has been told.
    await clock.advance(100)
    log.length = 0
    for (const answer of [1, 2]) {
      open.at(-1)?.()
      await clock.advance(answer)
    }
    expect(log).toEqual([])
    await clock.advance(waitMs - 4)
    expect(log).toEqual([])
    await clock.advance(2)
    expect(log.filter((line) => line === 'commit')).toHaveLength(1)

    // Somebody else says something: with it comes whatever is gathered.
    log.length = 0
    open.at(-1)?.()
    await drained()
    hear({ type: 'rows', rows: [row(9, { role: 'agent' })] })
    await clock.advance(0)
    expect(log.filter((line) => line === 'commit').length).toBeGreaterThan(0)
  })
})
