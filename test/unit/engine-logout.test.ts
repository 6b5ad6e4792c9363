// How a visitor leaves, seen from the engine: who is waited for, who is told, and what comes late.

import { describe, expect, test } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import type { Outcome, PlainGrant } from '../../core/ports.ts'
import type { Snapshot } from '../../core/wire.ts'
import { HOUR, MINUTE, SECOND, UNREACHABLE } from '../core/fixtures.ts'
import { drained, liveRig, plainGrant, type Rig, rig } from './engine-fixtures.ts'

describe('who is gone', () => {
  const leave = async (one: Rig, key = 'leave', epoch = ''): Promise<unknown> => {
    const leaving = one.run({ type: 'logout', unsent: 'discard', key }, { epoch })
    let isOver = false
    const over = () => {
      isOver = true
    }
    leaving.then(over, over)
    while (!isOver) await one.clock.advance(100)
    return leaving
  }

  test('[WI3] is named to the service by a will, until it answers, also by the next incarnation', async () => {
    const revoked: unknown[] = []
    let answer: Outcome<null> = UNREACHABLE
    const revoke = async (tokens: unknown) => {
      revoked.push(tokens)
      return answer
    }
    const one = await liveRig({ mode: 'persistent', platform: { revoke } })
    expect(await leave(one)).toEqual({ verified: true })
    const { slots } = await one.disk.store.tail(1, 1)
    expect(JSON.stringify(slots)).not.toMatch(/access-|refresh-/)
    expect(one.disk.boxes.size).toBe(0)
    const next = rig({ disk: one.disk, incarnation: 'w2', mode: 'persistent', platform: { revoke } })
    next.clock.time = one.clock.time
    await next.pull()
    await next.clock.advance(MINUTE)
    expect(revoked.length).toBeGreaterThan(2)
    // The next visitor does not wait for that.
    expect((await next.pull()).snapshot.phase).toBe('live')
    answer = { ok: true, value: null }
    await next.clock.advance(MINUTE)
    const said = revoked.length
    await next.clock.advance(HOUR)
    expect(revoked).toHaveLength(said)
    for (const tokens of revoked) expect(tokens).toMatchObject({ token: 'access-1', refreshToken: 'refresh-1' })
    expect((await one.disk.store.tail(1, 1)).slots?.session).toMatchObject({ farewell: null, will: null })
  })

  test('[WI9] nobody new begins before the wipe is done', async () => {
    const one = await liveRig()
    const { store } = one.disk
    const shred = store.shred.bind(store)
    let go = () => {}
    const held = new Promise<void>((resolve) => {
      go = resolve
    })
    store.shred = () => held.then(shred)
    const leaving = leave(one)
    while ((await store.tail(1, 1)).slots?.session.wipe !== 'due') await drained()
    let snapshot: Snapshot | undefined
    const coming = one.run({ type: 'pull', keys: [] }, { tab: one.newTab() }).then((answer) => {
      snapshot = answer.snapshot
    })
    await one.clock.advance(SECOND)
    expect(snapshot).toBeUndefined()
    go()
    await coming
    expect(snapshot?.phase).not.toBe('signed-out')
    expect(await leaving).toEqual({ verified: true })
  })

  test('[WI14] a wipe that failed is tried again when somebody comes', async () => {
    const one = await liveRig()
    const { store } = one.disk
    const shred = store.shred.bind(store)
    store.shred = () => Promise.reject(new HoldfastError('STORE_FAILED', 'The database could not be deleted.'))
    await expect(leave(one)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await one.clock.advance(SECOND)
    store.shred = shred
    const { snapshot } = await one.run({ type: 'pull', keys: [] }, { tab: one.newTab() })
    expect(snapshot.phase).not.toBe('signed-out')
    expect((await store.tail(1, 1)).slots?.session.wipe).toBeNull()
  })

  test('[WI10] a grant that comes late is kept by nobody', async () => {
    let answer = (_: Outcome<PlainGrant>) => {}
    const refresh = () => new Promise<Outcome<PlainGrant>>((resolve) => (answer = resolve))
    const one = await liveRig({ mode: 'persistent', platform: { refresh } })
    await one.clock.advance(16 * MINUTE)
    await leave(one)
    answer({ ok: true, value: plainGrant('late') })
    await one.clock.advance(SECOND)
    expect([...one.disk.boxes.values()]).toEqual([])
  })

  test('[WI17] one that is repeated when somebody new is here is done, and ends nothing of theirs', async () => {
    const one = await liveRig({ mode: 'persistent' })
    const { epoch } = (await one.pull()).snapshot
    expect(await leave(one, 'leave', epoch)).toEqual({ verified: true })
    await one.run({ type: 'pull', keys: [] }, { tab: 'next' })
    await one.clock.advance(2 * SECOND)
    const before = [(await one.pull()).snapshot, [...one.disk.boxes.values()], one.streamCalls.length]
    expect(before[0]).toMatchObject({ phase: 'live' })
    expect(await leave(one, 'leave', epoch)).toEqual({ verified: true })
    expect([(await one.pull()).snapshot, [...one.disk.boxes.values()], one.streamCalls.length]).toEqual(before)
    // Another one was not heard by who is gone, and is not for who is here.
    await expect(leave(one, 'other', epoch)).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
  })

  test('[WI13] nothing can be set for an identity that ended', async () => {
    const one = await liveRig()
    await leave(one)
    const { epoch } = (await one.pull()).snapshot
    const set = one.run({ type: 'set-context', key: 'k', delta: { cart: 'full' } }, { epoch })
    await expect(set).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
    await expect(one.run({ type: 'start-new', key: 'n' }, { epoch })).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
  })

  test('[WI2] a logout waits for the tabs that can answer, and not for one that is frozen', async () => {
    const one = await liveRig()
    const { epoch } = (await one.pull()).snapshot
    for (const tab of ['tab-1', 'awake']) await one.run({ type: 'pull', keys: [] }, { tab, epoch })
    let isOver = false
    const leaving = one.run({ type: 'logout', unsent: 'discard' }, { epoch }).then(() => {
      isOver = true
    })
    while (!one.log.includes('forget')) await drained()
    const next = (await one.pull()).snapshot.epoch
    one.engine.ping(one.caller({ epoch: next }))
    await drained()
    expect(isOver).toBe(false)
    one.engine.ping(one.caller({ tab: 'awake', epoch: next }))
    await drained()
    expect(isOver).toBe(true)
    await leaving
  })
})
