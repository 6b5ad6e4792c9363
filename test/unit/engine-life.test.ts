// The engine and its tabs: who is there, what they are told and may ask, tokens, and how a visitor leaves.

import { describe, expect, test } from 'vitest'
import type { Outcome, PlainGrant, Pump } from '../../core/ports.ts'
import { TIMINGS } from '../../core/ports.ts'
import { CONNECT_TIMEOUT_MS } from '../../core/phases.ts'
import type { Snapshot } from '../../core/wire.ts'
import { failure, MINUTE, NOW, row, SECOND, UNREACHABLE } from '../core/fixtures.ts'
import { drained, liveRig, plainGrant, type Rig, rig } from './engine-fixtures.ts'

const BEAT = TIMINGS.beatMs

/** Time passes beat by beat, and these tabs answer. */
async function beats(one: Rig, times: number, ...tabs: string[]): Promise<void> {
  for (let beat = 0; beat < times; beat++) {
    await one.clock.advance(BEAT)
    for (const tab of tabs) one.engine.ping(one.caller({ tab }))
    await drained()
  }
}
type Ack = Outcome<{ id: string; seq: number; at: number }>
const ack: Ack = { ok: true, value: { id: 'm1', seq: 1, at: NOW } }

describe('tabs', () => {
  test('[EN8] while a tab is there a beat is published, and the stream lives as long as it is answered', async () => {
    const one = await liveRig()
    await beats(one, 5, 'tab-1')
    expect(one.told('beat')).toEqual(Array.from({ length: 5 }, () => ({ v: 1, type: 'beat', incarnation: 'w1' })))
    expect(one.streamCalls.filter((call) => call === 'close')).toEqual([])
  })

  test('[EN8] a tab that answers no beat is gone, and with the last one the stream', async () => {
    const one = await liveRig()
    one.engine.ping(one.caller({ tab: 'tab-2' }))
    await beats(one, 4, 'tab-1')
    expect((await one.pull()).snapshot.tabs).toBe(1)
    await beats(one, 4)
    expect(one.streamCalls.at(-1)).toBe('close')
    one.notices.length = 0
    await beats(one, 5)
    expect(one.told('beat')).toEqual([])
  })

  test('[EN8] a night of sleep loses no tab', async () => {
    const one = await liveRig()
    one.engine.ping(one.caller({ tab: 'tab-2' }))
    await one.clock.sleep(8 * 60 * MINUTE)
    await one.clock.advance(BEAT)
    expect((await one.pull()).snapshot.tabs).toBe(2)
  })

  test('[EN8] a tab that says goodbye is gone at once', async () => {
    const one = await liveRig()
    await one.run({ type: 'bye' })
    await drained()
    expect(one.streamCalls.at(-1)).toBe('close')
    await one.run({ type: 'bye' }, { tab: 'nobody' })
  })

  test('[EN20] who holds the pump counts the tabs of the other incarnations, and says for them what they type', async () => {
    const holder = await liveRig()
    const other = rig({ disk: holder.disk, pump: { request: async () => {} }, incarnation: 'w2', log: [] })
    const pass = () => {
      for (const notice of other.notices.splice(0)) holder.engine.hear(notice)
      return drained()
    }
    const theirs = { tab: 'tab-2' }
    const tabs = async () => (await holder.pull()).snapshot.tabs
    await other.run({ type: 'pull', keys: [] }, theirs)
    await pass()
    expect(await tabs()).toBe(2)
    await other.run({ type: 'typing', on: true }, theirs)
    await pass()
    expect(holder.streamCalls.at(-1)).toBe('typing true')
    for (let beat = 0; beat < 5; beat++) {
      await holder.clock.advance(BEAT)
      holder.engine.ping(holder.caller())
      other.engine.ping(other.caller(theirs))
      await pass()
    }
    expect(await tabs()).toBe(2)
    await other.run({ type: 'bye' }, theirs)
    await pass()
    expect([await tabs(), holder.streamCalls.includes('close')]).toEqual([1, false])
  })

  test('[EN9] a change is told at once, a burst of them once more at its end', async () => {
    const one = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    await one.enqueue('a')
    const atOnce = one.told('changed').length
    for (const key of ['b', 'c', 'd', 'e']) await one.enqueue(key)
    expect([atOnce, one.told('changed').length]).toEqual([1, 1])
    await one.clock.advance(100)
    expect(one.told('changed')).toHaveLength(2)
    expect(one.told('changed').at(-1)).toEqual({ v: 1, type: 'changed', rev: (await one.pull()).snapshot.rev })
  })

  test('[EN22] a tab that asked is shown each change: one at a time, the newest when it has taken in the one before', async () => {
    const one = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    const pictures: { readonly waiting: number; readonly taken: () => void }[] = []
    const show = ({ outbox }: Snapshot) =>
      new Promise<void>((taken) => pictures.push({ waiting: outbox.queued + outbox.inflight, taken }))
    await one.engine.run(one.caller(), { type: 'pull', keys: [] }, show)
    await one.enqueue('a')
    for (const key of ['b', 'c', 'd']) {
      await one.clock.advance(100)
      await one.enqueue(key)
    }
    await one.clock.advance(1_000)
    expect(pictures.map(({ waiting }) => waiting)).toEqual([1])
    pictures[0]?.taken()
    await one.clock.advance(1_000)
    expect(pictures.map(({ waiting }) => waiting)).toEqual([1, 4])
    pictures[1]?.taken()
    await one.run({ type: 'bye' })
    await one.enqueue('e')
    await one.clock.advance(1_000)
    expect(pictures).toHaveLength(2)
  })

  test('[EN9] a quiet turn tells nothing', async () => {
    const one = await liveRig()
    await one.engine.nudge()
    expect(one.told('changed')).toEqual([])
  })

  test('[EN9] they are told when to ring, because the alarm may die with the worker', async () => {
    const one = await liveRig({ platform: { send: async () => failure('retry-at', { retryAfterMs: 5 * MINUTE }) } })
    await one.enqueue('a')
    await drained()
    expect(one.told('wake-at').at(-1)).toEqual({ v: 1, type: 'wake-at', at: one.clock.now() + 5 * MINUTE + 500 })
  })

  test('[EN10] no notice holds a token, a text or an attribute', async () => {
    const one = await liveRig()
    one.notices.push(...(await liveRig()).notices)
    await one.enqueue('a')
    await one.run({ type: 'set-context', key: 'c', delta: { cart: 'twelve' } })
    one.hear({ type: 'rows', rows: [row(2, { text: 'the words' })] })
    await one.clock.advance(20 * MINUTE)
    expect(one.notices.length).toBeGreaterThan(5)
    expect(JSON.stringify(one.notices)).not.toMatch(/access|refresh|text of|twelve|the words/)
  })

  test('[EN16] typing goes to the stream, and to no disk', async () => {
    const one = await liveRig()
    await one.run({ type: 'typing', on: true })
    expect([one.streamCalls.at(-1), one.log]).toEqual(['typing true', []])
  })

  test('[EN6] being here tries at once what waited, being told of a network does so only when it is lost', async () => {
    const one = await liveRig()
    one.streamCalls.length = 0
    await one.run({ type: 'nudge', wake: false, online: true })
    expect(one.streamCalls).toEqual([])
    await one.run({ type: 'nudge', wake: true, online: true })
    expect(one.streamCalls).toEqual(['probe'])
    await one.run({ type: 'nudge', wake: false, online: false })
    expect((await one.pull()).snapshot).toMatchObject({ online: false, phase: 'live' })
  })
})

describe('reads', () => {
  test('[EN7] tabs that ask at the same time share a read', async () => {
    const one = await liveRig()
    const before = one.disk.tails()
    const answers = await Promise.all(Array.from({ length: 50 }, () => one.pull()))
    expect(new Set(answers.map(({ snapshot }) => snapshot.rev)).size).toBe(1)
    expect(one.disk.tails() - before).toBeLessThanOrEqual(2)
  })

  test('[EN7] who asks after a change sees it, also while a read is under way', async () => {
    const one = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    const early = one.pull()
    await one.enqueue('a')
    const late = await one.pull()
    await early
    expect(late.snapshot.messages).toMatchObject([{ key: 'a' }])
  })

  test('[EN17] a message is answered with its outcome when a tab asks', async () => {
    const send = async ({ message: { key } }: { message: { key: string } }) =>
      key === 'a' ? ack : failure(key === 'b' ? 'refuse' : 'retry', { code: 'SERVICE_REFUSED' })
    const one = await liveRig({ platform: { send } })
    await one.enqueue('a', 'b', 'c')
    await one.clock.advance(100)
    expect((await one.pull('a', 'b', 'c', 'nobody')).outcomes).toEqual({
      a: { status: 'acked', messageId: 'm1' },
      b: { status: 'dead', code: 'SERVICE_REFUSED' },
      nobody: { status: 'cancelled' },
    })
  })

  test('[EN17] the outbox and the history can be listed', async () => {
    const one = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    one.hear({ type: 'rows', rows: [row(1), row(2), row(3)] })
    await one.enqueue('a', 'b')
    const items = await one.run({ type: 'list-outbox' })
    expect(items.map(({ key, status }) => [key, status])).toEqual([
      ['a', 'inflight'],
      ['b', 'queued'],
    ])
    const history = await one.run({ type: 'history', before: 3, limit: 1 })
    expect(history.map(({ seq }) => seq)).toEqual([2])
    const report = await one.run({ type: 'diagnose' })
    expect(report).toMatchObject({ incarnation: 'w1', phase: 'live', figures: { queued: 1, inflight: 1, pump: true } })
    expect(JSON.stringify(report)).not.toMatch(/access-|text of/)
  })

  test('[OB36] a command that is refused rejects with its code', async () => {
    const one = await liveRig()
    await expect(one.run({ type: 'cancel', key: 'nobody' })).rejects.toMatchObject({ code: 'OUTBOX_UNKNOWN' })
    await expect(one.run({ type: 'mark-read' }, { epoch: 'other' })).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
  })
})

describe('tokens', () => {
  test('[EN11] a new token reaches the open stream in place', async () => {
    const one = await liveRig()
    one.streamCalls.length = 0
    await beats(one, (15 * MINUTE) / BEAT, 'tab-1')
    expect(one.streamCalls).toEqual(['reauth access-2'])
  })

  test('[LE14] six tabs with ten calls each over a spent token cause one refresh', async () => {
    let isSpent = true
    const refreshes: string[] = []
    const refresh = async ({ key }: { key: string }): Promise<Outcome<PlainGrant>> => {
      refreshes.push(key)
      await drained()
      isSpent = false
      return { ok: true, value: plainGrant('2') }
    }
    let seq = 0
    const send = async (): Promise<Ack> => {
      if (isSpent) return failure('refresh', { code: 'LEASE_EXPIRED' })
      seq += 1
      return { ok: true, value: { id: `m${seq}`, seq, at: NOW } }
    }
    const one = await liveRig({ platform: { refresh, send } })
    const calls = Array.from({ length: 60 }, (_, index) => index)
    await Promise.all(
      calls.map((index) =>
        one.run({ type: 'enqueue', messages: [{ key: `k${index}`, text: 'x' }] }, { tab: `t${index % 6}` }),
      ),
    )
    await one.clock.advance(SECOND)
    expect([refreshes.length, seq, (await one.pull()).snapshot.outbox.queued]).toEqual([1, 60, 0])
  })

  test('[LE7] a refresh whose answer is lost is repeated with the same token and key', async () => {
    const asked: object[] = []
    const refresh = (request: object): Promise<Outcome<PlainGrant>> => {
      asked.push(request)
      return Promise.resolve(asked.length === 1 ? UNREACHABLE : { ok: true, value: plainGrant('2') })
    }
    const one = await liveRig({ platform: { refresh } })
    await beats(one, (16 * MINUTE) / BEAT, 'tab-1')
    expect(asked).toHaveLength(2)
    expect(asked[1]).toEqual(asked[0])
    expect(asked[0]).toMatchObject({ refreshToken: 'refresh-1' })
  })

  test('[EN12] an access token that cannot be opened makes one refresh due, and the work goes on', async () => {
    const one = await liveRig()
    const next = rig({ disk: one.disk, incarnation: 'w2' })
    for (const [box, secret] of one.disk.boxes) if (secret.startsWith('access')) one.disk.boxes.delete(box)
    await next.pull()
    await next.clock.advance(5 * SECOND)
    expect(next.log.filter((line) => line.startsWith('refresh'))).toHaveLength(1)
    expect((await next.pull()).snapshot.phase).toBe('live')
  })

  test('[EN12] a refresh token that cannot be opened ends the lease, and the platform is not asked', async () => {
    const one = await liveRig()
    one.disk.boxes.clear()
    const next = rig({ disk: one.disk, incarnation: 'w2' })
    await next.pull()
    await next.clock.advance(5 * SECOND)
    expect(next.log.filter((line) => line.startsWith('refresh'))).toEqual([])
    expect((await next.pull()).snapshot).toMatchObject({ phase: 'auth-required', lease: { code: 'LEASE_EXPIRED' } })
  })
})

describe('leaving', () => {
  /** Time passes until it is settled: these tabs do not say what they show, so they are waited for. */
  const outlast = async <T>(one: Rig, work: Promise<T>): Promise<T> => {
    let isOver = false
    const over = () => {
      isOver = true
    }
    work.then(over, over)
    while (!isOver) await one.clock.advance(100)
    return work
  }
  const logout = (one: Rig, unsent: 'send' | 'discard' | 'refuse' = 'refuse') =>
    outlast(one, one.run({ type: 'logout', unsent }))

  test.each([
    { mode: 'persistent', steps: ['commit', 'shred', 'revoke access-1 refresh-1', 'forget', 'commit'] },
    // The cookie is ended from the state, and that it was ended is a turn of its own.
    { mode: 'broker', steps: ['commit', 'shred', 'revoke undefined undefined', 'forget', 'commit'] },
  ] as const)(
    '[EN14] $mode: everything is emptied before the service is told, "verified" is said after a second look',
    async (of) => {
      const one = await liveRig({ mode: of.mode })
      one.hear({ type: 'rows', rows: [row(1)] })
      await one.clock.advance(100)
      one.log.length = 0
      expect(await logout(one)).toEqual({ verified: true })
      expect(one.log.filter((line) => /commit|forget|revoke|shred/.test(line))).toEqual(of.steps)
      expect(one.streamCalls).toContain('close')
      expect((await one.pull()).snapshot).toMatchObject({ phase: 'signed-out', messages: [], session: null })
    },
  )

  test('[EN14] a service that does not answer leaves nothing behind here', async () => {
    const one = await liveRig({ platform: { revoke: async () => UNREACHABLE } })
    expect(await logout(one)).toEqual({ verified: true })
    expect(one.disk.boxes.size).toBe(0)
  })

  test('[EN14] what is still there is not called verified', async () => {
    const one = await liveRig()
    const { store } = one.disk
    store.shred = async () => 1
    await expect(logout(one)).rejects.toMatchObject({ code: 'STORE_FAILED' })
  })

  test('[EN14] refused, it leaves everything as it was, and nothing is told', async () => {
    const one = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    await one.enqueue('a')
    await expect(logout(one)).rejects.toMatchObject({ code: 'OUTBOX_UNSENT' })
    expect(one.log.filter((line) => /forget|revoke/.test(line))).toEqual([])
    expect((await one.pull()).snapshot).toMatchObject({ phase: 'live', outbox: { inflight: 1 } })
  })

  test('[EN15] sending first, it waits until all is sent', async () => {
    const one = await liveRig({
      platform: {
        send: async () => {
          await drained()
          return ack
        },
      },
    })
    await one.enqueue('a')
    const leaving = logout(one, 'send')
    await one.clock.advance(SECOND)
    expect(await leaving).toEqual({ verified: true })
  })

  test('[EN15] but not for ever', async () => {
    const one = await liveRig({ platform: { send: () => new Promise(() => {}) } })
    await one.enqueue('a')
    const leaving = logout(one, 'send').catch((error: unknown) => error)
    await one.clock.advance(11 * SECOND)
    expect(await leaving).toMatchObject({ code: 'OUTBOX_UNSENT' })
  })

  test('[EN13] a run stops when the identity changes, and its late answer is nobody’s', async () => {
    const sent: string[] = []
    let answer = (_: Ack) => {}
    const send = ({ message: { key } }: { message: { key: string } }): Promise<Ack> => {
      sent.push(key)
      return new Promise((resolve) => {
        answer = resolve
      })
    }
    const one = await liveRig({ platform: { send } })
    await one.enqueue('a', 'b')
    await drained()
    await logout(one, 'discard')
    answer(ack)
    await one.clock.advance(SECOND)
    expect(sent).toEqual(['a'])
    const tail = await one.disk.store.tail(9, 9)
    expect([tail.rows, tail.entries]).toEqual([[], []])
  })

  test('[SN44] the next tab begins as somebody new, with another identity', async () => {
    const one = await liveRig()
    const { epoch } = (await one.pull()).snapshot
    await logout(one)
    const { snapshot } = await one.run({ type: 'pull', keys: [] }, { tab: one.newTab() })
    expect(snapshot.epoch).not.toBe(epoch)
    await one.clock.advance(SECOND)
    expect((await one.pull()).snapshot.phase).toBe('live')
  })

  test('[SN44] a tab that comes while the service is being told does not make the wipe fail', async () => {
    let answer = (_: Outcome<null>) => {}
    const one = await liveRig({ platform: { revoke: () => new Promise((resolve) => (answer = resolve)) } })
    const leaving = logout(one)
    while (!one.log.includes('forget')) await drained()
    await one.run({ type: 'pull', keys: [] }, { tab: one.newTab() })
    await one.clock.advance(SECOND)
    answer({ ok: true, value: null })
    expect(await leaving).toEqual({ verified: true })
  })
})

test('[SN21] another incarnation does not inherit a stream, but the wish how long to wait', async () => {
  const one = await liveRig()
  const { session } = (await one.disk.store.tail(1, 1)).slots ?? {}
  const { attempt } = session?.stream ?? {}
  if (attempt?.status !== 'running') throw new Error('The stream is not open.')
  one.hear({ type: 'ended', claim: attempt, verdict: 'retry-at', reason: '', retryAfterMs: MINUTE })
  await drained()
  const never: Pump = { request: async (grant) => queueMicrotask(grant) }
  const next = rig({ disk: one.disk, incarnation: 'w2', pump: never })
  next.clock.time = one.clock.time
  await next.pull()
  await next.clock.advance(59 * SECOND)
  expect(next.streamCalls.filter((call) => call.startsWith('connect'))).toEqual([])
  await next.clock.advance(2 * SECOND)
  expect(next.streamCalls.filter((call) => call.startsWith('connect'))).toHaveLength(1)
})

test('[SN56] a wish for a connection that was held up takes nothing from the one that stands', async () => {
  const former = await liveRig()
  // A worker that has just begun has to open its token first.
  const one = rig({ disk: former.disk, incarnation: 'w2' })
  one.clock.time = former.clock.time
  const { open } = one.vault
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let asked = 0
  one.vault.open = async (sealed) => {
    if (++asked === 1) await held
    return open(sealed)
  }
  const connects = () => one.streamCalls.filter((call) => call.startsWith('connect')).length
  await one.pull()
  await one.clock.advance(CONNECT_TIMEOUT_MS + 5_000)
  expect(connects()).toBe(1)
  release()
  await one.clock.advance(1_000)
  expect(connects()).toBe(1)
  expect((await one.pull()).snapshot.phase).toBe('live')
})
