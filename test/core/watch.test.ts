// What is watched while nothing seems wrong: a connection on which nothing is answered, a session that comes to its end,
// lanes and rows that nobody needs any more.

import { describe, expect, test } from 'vitest'
import { WATCHDOG_MS } from '../../core/sends.ts'
import { EXPIRY_WARNING_MS } from '../../core/expiry.ts'
import { phaseOf } from '../../core/snapshot.ts'
import { failure, HOUR, MINUTE, NOW, Play, row, SECOND, UNREACHABLE } from './fixtures.ts'

const codes = (play: Play) => play.seen.problems.map(({ code }) => code)
const phase = (play: Play) => phaseOf(play.slots, play.now)

describe('connected, and nothing is acknowledged', () => {
  async function silent(): Promise<Play> {
    const play = await new Play().live()
    await play.enqueue('k1', 'k2')
    return play
  }

  test('[SN80] for a minute: it shows, is told, and the connection is made anew', async () => {
    const play = await silent()
    expect(play.slots.session.stream.owedSince).toBe(NOW)
    await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
    expect(phase(play)).toBe('live')
    await play.after(WATCHDOG_MS)
    expect([phase(play), codes(play)]).toEqual(['reconnecting', ['SERVICE_UNREACHABLE']])
    expect(play.slots.session.stream).toMatchObject({ isOpen: false, owedSince: 0 })
    await play.after(30 * SECOND)
    expect(play.types()).toContain('connect')
    await play.connected()
    expect([phase(play), play.slots.session.stream.owedSince]).toEqual(['live', play.now])
  })

  test('[SN80] an acknowledgement begins the time anew, and the last one ends it', async () => {
    const play = await silent()
    play.now += WATCHDOG_MS - 1
    await play.turn(play.ack('k1', 1))
    expect(play.slots.session.stream.owedSince).toBe(play.now)
    await play.after(WATCHDOG_MS - 1)
    expect(phase(play)).toBe('live')
    await play.turn(play.ack('k2', 2), play.sent('1', play.claimOf('send')))
    await play.after(2 * WATCHDOG_MS)
    expect([phase(play), play.slots.session.stream.owedSince, codes(play)]).toEqual(['live', 0, []])
  })

  test('[SN80] a service that asks for patience is not silent', async () => {
    const play = await silent()
    const outcome = failure('retry-at', { retryAfterMs: 5 * MINUTE })
    await play.turn(play.sent('1', play.claimOf('send'), outcome))
    await play.after(2 * WATCHDOG_MS)
    expect([phase(play), codes(play)]).toEqual(['live', []])
  })

  test('[SN80] a clock that is set back makes nobody wait for longer', async () => {
    const play = await silent()
    await play.after(-HOUR)
    await play.after(WATCHDOG_MS)
    expect(phase(play)).toBe('reconnecting')
  })
})

describe('the end of the session', () => {
  const lifeMs = 30 * 60 * SECOND
  async function ending(): Promise<Play> {
    const play = new Play()
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await play.opened({ expiresAt: NOW + lifeMs }, HOUR)
    await play.made()
    await play.connected()
    return play
  }
  /** A quarter of a life of 30 min is shorter than ten minutes. */
  const warnAfterMs = lifeMs - Math.min(EXPIRY_WARNING_MS, lifeMs / 4)

  test('[SN81] is told once and in time, after the platform was asked whether it is so', async () => {
    const play = await ending()
    expect(play.slots.session.expiry.warnAt).toBe(NOW + warnAfterMs)
    await play.after(warnAfterMs - 1)
    expect([play.types(), codes(play)]).toEqual([[], []])
    await play.after(1)
    expect([play.types(), codes(play), phase(play)]).toEqual([['open'], [], 'live'])
    await play.opened({ expiresAt: NOW + lifeMs }, HOUR)
    expect(play.seen.problems).toEqual([{ code: 'SESSION_EXPIRING', message: expect.stringContaining('8 min') }])
    await play.after(SECOND)
    expect([play.types(), codes(play)]).toEqual([[], []])
  })

  test('[SN81] is not told when the platform has moved it, and told when that one is near', async () => {
    const play = await ending()
    await play.after(warnAfterMs)
    await play.opened({ expiresAt: play.now + 7 * 24 * HOUR }, HOUR)
    expect(codes(play)).toEqual([])
    await play.after(7 * 24 * HOUR - EXPIRY_WARNING_MS)
    expect(play.types()).toContain('open')
    await play.opened({ expiresAt: play.slots.session.expiresAt }, HOUR)
    expect(codes(play)).toEqual(['SESSION_EXPIRING'])
  })

  test('[SN81] nobody is asked or told without a tab', async () => {
    const play = await ending()
    await play.turn({ type: 'tabs', count: 0, isArrival: false })
    await play.after(warnAfterMs)
    expect([play.types(), codes(play)]).toEqual([[], []])
  })
})

describe('what nobody needs any more', () => {
  test('[OB60] the lane of a former conversation is forgotten when it is empty, the present one never', async () => {
    const play = await new Play().live()
    await play.enqueue('k1')
    await play.turn(play.ack('k1', 1), play.sent('1', play.claimOf('send')))
    expect(Object.keys(play.slots.outbox.lanes)).toEqual(['1'])
    for (const lane of ['2', '3', '4']) {
      await play.heard({ type: 'conversation', state: 'closed', attributes: {}, version: 2 }, `c${Number(lane) - 1}`)
      await play.command({ type: 'start-new', key: `new-${lane}` })
      await play.made(`c${lane}`)
      await play.enqueue(`k${lane}`)
      expect(Object.keys(play.slots.outbox.lanes)).toEqual([lane])
      await play.turn(play.ack(`k${lane}`, 1, `c${lane}`), play.sent(lane, play.claimOf('send')))
    }
  })

  test('[OB60] parked entries keep their lane', async () => {
    const play = await new Play().live()
    await play.enqueue('k1')
    await play.turn(play.sent('1', play.claimOf('send'), UNREACHABLE))
    await play.heard({ type: 'conversation', state: 'closed', attributes: {}, version: 2 })
    await play.command({ type: 'start-new', key: 'new' })
    await play.made('c2')
    expect(play.slots.outbox.lanes).toMatchObject({ 1: { size: 1 } })
    await play.command({ type: 'cancel', key: 'k1' })
    expect(play.slots.outbox.lanes).toEqual({})
  })

  test('[TR30] after a service came back from an older copy, rows that it has not are no longer shown or believed', async () => {
    const play = await new Play().live()
    await play.heard({ type: 'rows', rows: [1, 2, 3, 4].map((seq) => row(seq, { key: `k${seq}` })) })
    await play.heard({
      type: 'ended',
      claim: play.slots.session.stream.attempt as never,
      verdict: 'retry',
      reason: 'cut',
    })
    await play.after(MINUTE)
    await play.connected(2)
    await play.after(SECOND)
    const { conversationId } = play.the('backfill')
    const answer = (value: object) => ({
      ...{
        type: 'backfilled' as const,
        claim: play.claimOf('backfill'),
        generation: play.generation(),
        conversationId,
      },
      outcome: { ok: true as const, value: value as { resync: true } },
    })
    await play.turn(answer({ resync: true }))
    await play.again()
    await play.turn(answer({ resync: false, rows: [row(1), row(2, { text: 'another' })], headSeq: 2 }))
    const rows = await play.store.rows('c1', Number.MAX_SAFE_INTEGER, 9)
    expect(rows.map(({ seq, text }) => [seq, text])).toEqual([
      [1, 'text 1'],
      [2, 'another'],
    ])
    expect((await play.store.find(['k3', 'k4'])).rows.size).toBe(0)
    expect(play.slots.transcript).toMatchObject({ cursor: { seq: 2 }, headSeq: 2 })
  })
})
