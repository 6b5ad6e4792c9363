// Messages through whole turns: accepted, sent, acknowledged, echoed, refused, parked, edited.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { METADATA_CHARS_MAX } from '../../core/commands.ts'
import { decide } from '../../core/decide.ts'
import { reportOf } from '../../core/diagnose.ts'
import { countsOf } from '../../core/outbox.ts'
import { RUN_ENTRIES_MAX } from '../../core/sends.ts'
import { messagesOf, snapshotOf } from '../../core/snapshot.ts'
import type { DeliveryStatus } from '../../core/wire.ts'
import { conversation, env, failure, HOUR, MINUTE, NOW, Play, row, SECOND, SETUP, UNREACHABLE } from './fixtures.ts'

const live = () => new Play().live()
const echo = (key: string, seq: number) => ({ type: 'rows' as const, rows: [row(seq, { role: 'customer', key })] })
const counts = (play: Play) => countsOf(play.slots.outbox)
const NONE = { queued: 0, inflight: 0, dead: 0, stale: 0 }

async function messages(play: Play): Promise<[string | undefined, DeliveryStatus][]> {
  const tail = await play.store.tail(50, 100)
  return messagesOf(play.slots, tail.rows, tail.entries).map(({ key, status }) => [key, status])
}

describe('one message', () => {
  test('[OB24] is on the disk and claimed before it is handed to the wire', async () => {
    const play = await live()
    await play.enqueue('a')
    expect(play.seen.replies).toEqual([{ value: [{ seq: 1 }] }])
    expect(play.the('send')).toMatchObject({ lane: '1', entries: [{ key: 'a', text: 'text of a' }] })
    expect([await play.keys(), counts(play)]).toEqual([['a'], { ...NONE, inflight: 1 }])
    expect(await messages(play)).toEqual([['a', 'inflight']])
  })

  test('[OB25] that is given twice is one, while it waits and after it was sent', async () => {
    const play = await live()
    await play.enqueue('a', 'a')
    await play.enqueue('a')
    expect(play.seen.replies).toEqual([{ value: [{ seq: 1 }] }])
    expect(await play.keys()).toEqual(['a'])
    await play.turn(play.ack('a', 7))
    await play.enqueue('a')
    expect([play.seen.replies, await play.keys(), play.types()]).toEqual([[{ value: [{ seq: 7 }] }], [], []])
  })

  test.each([{ first: 'acknowledgement' }, { first: 'echo' }, { first: 'both in one turn' }])(
    '[OB26] whichever comes first, acknowledgement or echo, it is one message: $first',
    async ({ first }) => {
      const play = await live()
      await play.enqueue('a')
      const { claim } = play.the('send')
      const ack = play.ack('a', 1)
      const heard = { type: 'stream' as const, report: echo('a', 1), generation: 1, conversationId: 'c1' }
      if (first === 'both in one turn') await play.turn(ack, heard)
      else for (const input of first === 'echo' ? [heard, ack] : [ack, heard]) await play.turn(input)
      await play.turn(play.sent('1', claim))
      expect([await play.keys(), counts(play)]).toEqual([[], NONE])
      expect(await messages(play)).toEqual([['a', 'acked']])
      expect(play.slots.transcript).toMatchObject({ cursor: { seq: 1, id: 'm1' }, unread: 0 })
      await play.turn(ack, heard)
      expect([counts(play), await messages(play)]).toEqual([NONE, [['a', 'acked']]])
    },
  )

  test.each([
    { what: 'the cursor means nothing any more: everything is read again', resync: true, known: [] },
    { what: 'the cursor is known: nothing has changed', resync: false, known: [1, 2, 3] },
  ])('[TR34] acknowledged with a place that was taken already, $what', async ({ resync, known }) => {
    const play = await live()
    await play.heard({ type: 'rows', rows: [row(1), row(2), row(3)] })
    await play.enqueue('a')
    await play.turn(play.ack('a', 2))
    expect([await play.keys(), play.slots.transcript.cursor.seq]).toEqual([[], 3])
    const shown = (await play.store.tail(9, 9)).rows
    expect(shown.map(({ key }) => key)).toEqual([undefined, 'a', undefined])
    play.now += SECOND
    await play.tick()
    const { claim, afterId } = play.the('backfill')
    expect(afterId).toBe('m3')
    const value = { resync, rows: [], headSeq: resync ? 0 : 3 }
    await play.turn({ type: 'backfilled', claim, conversationId: 'c1', generation: 1, outcome: { ok: true, value } })
    if (resync) {
      const again = play.the('backfill')
      expect(again.afterId).toBe('')
      const rows = [row(1), row(2, { role: 'customer', key: 'a' })]
      const read = { resync: false, rows, headSeq: 2 }
      await play.turn({
        type: 'backfilled',
        claim: again.claim,
        conversationId: 'c1',
        generation: 1,
        outcome: { ok: true, value: read },
      })
      expect((await play.store.tail(9, 9)).rows.map(({ seq, key }) => [seq, key])).toEqual([
        [1, undefined],
        [2, 'a'],
      ])
    } else expect((await play.store.tail(9, 9)).rows.map(({ seq }) => seq)).toEqual(known)
  })

  test('[OB27] leaves the disk even when its row is known already: it is not sent for ever', async () => {
    const play = await live()
    await play.heard({ type: 'rows', rows: [row(1, { role: 'customer', key: 'a' })] })
    const orphan = { key: 'a', text: 'x', seq: 1, lane: '1', at: NOW, epoch: 'e', bytes: 202, live: '1' }
    const lanes = { 1: { size: 1, attempt: { status: 'idle' as const }, upTo: 0 } }
    const slots = { ...play.slots, outbox: { ...play.slots.outbox, bytes: 202, lanes } }
    await play.store.turn({ runEntries: 0, keys: [], isDurable: true }, () => ({
      writes: { slots, putEntries: [orphan], dropEntries: [], putRows: [] },
    }))
    await play.turn(play.ack('a', 1))
    expect([await play.keys(), counts(play)]).toEqual([[], NONE])
  })

  test('[OB28] waits on the disk while nobody can send it, and goes when somebody can', async () => {
    const play = new Play()
    await play.enqueue('a')
    expect([play.types(), counts(play)]).toEqual([['open'], { ...NONE, queued: 1 }])
    await play.opened()
    await play.made()
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })

  test('[OB28] is neither claimed nor sent without the pump', async () => {
    const play = await live()
    play.pump = false
    await play.enqueue('a')
    expect([play.seen.actions, play.seen.wakeAt, counts(play)]).toEqual([[], undefined, { ...NONE, queued: 1 }])
    play.pump = true
    await play.tick()
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })

  test('[OB28] waits for the stream where the platform needs one', async () => {
    const play = await live()
    play.setup = { ...SETUP, capabilities: { ...SETUP.capabilities, sendWithoutStream: false } }
    await play.heard({ type: 'ended', claim: play.claimOf('connect'), verdict: 'retry', reason: '' })
    await play.enqueue('a')
    expect(play.find('send')).toBeUndefined()
    await play.after(MINUTE)
    await play.connected()
    expect(play.the('send').entries).toHaveLength(1)
  })
})

describe('a run', () => {
  test('[OB29] what comes while a run is on the wire goes after it, in order', async () => {
    const play = await live()
    await play.enqueue('a', 'b')
    const first = play.the('send')
    await play.enqueue('c')
    expect(play.find('send')).toBeUndefined()
    await play.turn(play.ack('a', 1))
    await play.turn(play.ack('b', 2), play.sent('1', first.claim))
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(['c'])
  })

  test('[OB29] a refused entry is set aside with its reason, and the rest goes on', async () => {
    const play = await live()
    await play.enqueue('a', 'b', 'c')
    const { claim } = play.the('send')
    const refused = { type: 'refused' as const, key: 'b', code: 'MESSAGE_TOO_LONG', reason: 'why' }
    await play.turn(play.ack('a', 1), refused)
    expect(play.seen.problems).toEqual([{ code: 'OUTBOX_REFUSED', message: expect.stringMatching(/discard it.*why/) }])
    await play.turn(refused)
    await play.turn(play.ack('c', 2), play.sent('1', claim))
    expect(counts(play)).toEqual({ ...NONE, dead: 1 })
    expect(await messages(play)).toEqual([
      ['a', 'acked'],
      ['c', 'acked'],
      ['b', 'dead'],
    ])
    expect((await play.entries())[0]?.held).toEqual({ status: 'dead', code: 'MESSAGE_TOO_LONG', reason: 'why' })
    await play.command({ type: 'retry', key: 'b' })
    expect(play.the('send').entries).toMatchObject([{ key: 'b', seq: 2 }])
  })

  test('[OB30] the run of a worker that died is due at once, in the same order and with the same keys', async () => {
    const play = await live()
    await play.enqueue('a', 'b')
    const before = play.the('send')
    await play.restart('w2')
    expect(play.the('send')).toEqual({ ...before, claim: { ...before.claim, count: 2 } })
    await play.turn(play.sent('1', before.claim, failure('retry', { retryAfterMs: HOUR })))
    expect(play.slots.outbox.lanes[1]?.attempt).toMatchObject({ status: 'running', count: 2 })
  })

  test.each([
    { outcome: failure('retry'), waitMs: 500 },
    { outcome: UNREACHABLE, waitMs: 500 },
    { outcome: failure('retry-at', { retryAfterMs: 90 * SECOND }), waitMs: 90 * SECOND },
    { outcome: failure('wait-unchanged', { retryAfterMs: 2 * SECOND }), waitMs: 2 * SECOND },
  ])(
    '[OB31] after $outcome.verdict ($outcome.retryAfterMs) the run waits, also through a wake-up and a restart',
    async ({ outcome, waitMs }) => {
      const play = await live()
      await play.enqueue('a')
      await play.turn(play.sent('1', play.the('send').claim, outcome))
      const isWish = outcome.retryAfterMs !== undefined
      expect([play.find('send'), counts(play).queued]).toEqual([undefined, 1])
      if (isWish) await play.turn({ type: 'woken', isOnline: true })
      if (isWish) await play.restart('w2')
      await play.after(waitMs - 1)
      expect(play.find('send')).toBeUndefined()
      await play.after(1)
      expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
    },
  )

  test('[OB31] cancelling one message does not cut the wait of the others short', async () => {
    const play = await live()
    await play.enqueue('a', 'b')
    await play.turn(play.sent('1', play.the('send').claim, failure('retry-at', { retryAfterMs: HOUR })))
    await play.command({ type: 'cancel', key: 'b' })
    await play.after(HOUR - 1)
    expect(play.find('send')).toBeUndefined()
  })

  test('[OB32] a long queue is sent page by page, and a turn reads no more than a page', async () => {
    const play = await live()
    const keys = Array.from({ length: 2 * RUN_ENTRIES_MAX + 5 }, (_, index) => `k${index}`)
    await play.enqueue(...keys)
    const sent: string[] = []
    while (counts(play).queued + counts(play).inflight > 0) {
      const { claim, entries } = play.the('send')
      expect(entries.length).toBeLessThanOrEqual(RUN_ENTRIES_MAX)
      const acks = entries.map(({ key }, index) => play.ack(key, sent.length + index + 1))
      sent.push(...entries.map(({ key }) => key))
      await play.turn(...acks, play.sent('1', claim))
    }
    expect(sent).toEqual(keys)
  })

  test('[OB32] what comes while others are cancelled does not overtake those that were not read', async () => {
    const play = await live()
    const keys = Array.from({ length: RUN_ENTRIES_MAX + 20 }, (_, index) => `k${index}`)
    play.pump = false
    await play.enqueue(...keys)
    play.pump = true
    const commands = [
      ...keys.slice(0, 5).map((key) => ({ type: 'cancel' as const, key })),
      { type: 'enqueue' as const, messages: [{ key: 'late', text: 'x' }] },
    ]
    await play.turn(...commands.map((command) => ({ type: 'command' as const, command, epoch: '' })))
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(keys.slice(5, RUN_ENTRIES_MAX))
  })

  test('[OB32] many cancelled at once lose none of the others', async () => {
    const play = await live()
    await play.turn({
      type: 'stream',
      report: { type: 'conversation', state: 'active', attributes: {}, version: 1 },
      generation: 1,
      conversationId: 'c1',
    })
    const keys = Array.from({ length: RUN_ENTRIES_MAX + 20 }, (_, index) => `k${index}`)
    play.pump = false
    await play.enqueue(...keys)
    play.pump = true
    const cancels = keys.slice(0, RUN_ENTRIES_MAX + 10).map((key) => ({ type: 'cancel' as const, key }))
    await play.turn(...cancels.map((command) => ({ type: 'command' as const, command, epoch: '' })))
    await play.tick()
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(keys.slice(RUN_ENTRIES_MAX + 10))
  })
})

describe('old text and full boxes', () => {
  test('[OB33] what waited a day is held as stale until the site sends it again', async () => {
    const play = await live()
    play.pump = false
    await play.enqueue('a')
    play.pump = true
    await play.turn({ type: 'stream', report: { type: 'rows', rows: [row(1)] }, generation: 1, conversationId: 'c1' })
    await play.turn(play.sent('1', play.the('send').claim, UNREACHABLE))
    await play.after(24 * HOUR)
    expect(play.the('refresh')).toBeDefined()
    const outcome = {
      ok: true as const,
      value: { access: { sealed: 'x' }, expiresAt: play.now + HOUR, lifetimeMs: HOUR },
    }
    await play.turn({ type: 'refreshed', claim: play.the('refresh').claim, outcome })
    expect([play.find('send'), counts(play)]).toEqual([undefined, { ...NONE, stale: 1 }])
    await play.command({ type: 'retry', key: 'a' })
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })

  test.each([
    { message: { key: 'a', text: 'x'.repeat(4_097) }, code: 'MESSAGE_TOO_LONG' },
    { message: { key: 'a', text: 'x'.repeat(4_096) }, code: undefined },
  ])('[OB34] one message of a call is refused with $code, and the others are accepted', async ({ message, code }) => {
    const play = await live()
    const messages = [{ key: 'first', text: 'x' }, message, { key: 'last', text: 'x' }]
    const reply = (await play.command({ type: 'enqueue', messages })) as { value: { error?: { code: string } }[] }
    expect(reply.value.map(({ error }) => error?.code)).toEqual([undefined, code, undefined])
    expect(await play.keys()).toEqual(code ? ['first', 'last'] : ['first', 'a', 'last'])
  })
})

describe('what the site does', () => {
  test('[OB35] an edit is a new message at the end, with its own key, and a repeat changes nothing', async () => {
    const play = new Play()
    await play.enqueue('a', 'b')
    const edit = { type: 'edit' as const, key: 'a', message: { key: 'a2', text: 'better' } }
    expect(await play.command(edit)).toEqual({ value: { seq: 3 } })
    expect(await play.command(edit)).toEqual({ value: { seq: 3 } })
    expect((await play.entries()).map(({ key, text }) => [key, text])).toEqual([
      ['b', 'text of b'],
      ['a2', 'better'],
    ])
    expect(counts(play)).toEqual({ ...NONE, queued: 2 })
  })

  test('[OB46] a repeated cancel is done, and a late repeat of the first call does not bring the message back', async () => {
    const play = new Play()
    await play.enqueue('a', 'b')
    for (let times = 0; times < 2; times++) {
      expect(await play.command({ type: 'cancel', key: 'a' })).toEqual({ value: null })
      await play.enqueue('a')
    }
    await play.command({ type: 'edit', key: 'b', message: { key: 'b2', text: 'better' } })
    await play.enqueue('b')
    expect([await play.keys(), counts(play).queued]).toEqual([['b2'], 1])
  })

  test.each(['cancel', 'edit', 'retry'] as const)('[OB36] to %s what is not in the outbox is refused', async (type) => {
    const play = await live()
    const command = { type, key: 'a', message: { key: 'b', text: 'x' } }
    expect(await play.command(command)).toMatchObject({ refusal: { code: 'OUTBOX_UNKNOWN' } })
    expect(await play.keys()).toEqual([])
  })

  test.each(['cancel', 'edit'] as const)('[OB36] to %s what is on the wire is refused', async (type) => {
    const play = await live()
    await play.enqueue('a')
    const command = { type, key: 'a', message: { key: 'b', text: 'x' } }
    expect(await play.command(command)).toMatchObject({ refusal: { code: 'OUTBOX_INFLIGHT' } })
    expect(await play.keys()).toEqual(['a'])
  })

  test('[OB37] a forced try of a waiting lane is made at once', async () => {
    const play = await live()
    play.draw = 0.9
    await play.enqueue('a')
    await play.turn(play.sent('1', play.the('send').claim, UNREACHABLE))
    expect(await play.command({ type: 'retry', key: 'a' })).toEqual({ value: null })
    // The turn had not read the lane: the next one is due now.
    expect(play.seen.wakeAt).toBe(NOW)
    await play.tick()
    expect(play.the('send').claim.count).toBe(2)
  })
})

test('[OB51] metadata over the limit are refused alone, with both numbers and a hint', async () => {
  const play = await live()
  const metadata = (chars: number) => ({ note: 'x'.repeat(chars - '{"note":""}'.length) })
  const messages = [
    { key: 'a', text: 'a', metadata: metadata(METADATA_CHARS_MAX) },
    { key: 'b', text: 'b', metadata: metadata(METADATA_CHARS_MAX + 1) },
  ]
  const answer = await play.command({ type: 'enqueue', messages })
  const error = { code: 'METADATA_TOO_LARGE', message: expect.stringMatching(/8193 .* 8192: .* a reference/) }
  expect(answer).toMatchObject({ value: [{ seq: 1 }, { error }] })
  expect(await play.keys()).toEqual(['a'])
  const edit = { type: 'edit' as const, key: 'a', message: { ...messages[1], key: 'c', text: 'c' } }
  await play.turn(play.sent('1', play.the('send').claim, UNREACHABLE))
  expect(await play.command(edit)).toMatchObject({ refusal: { code: 'METADATA_TOO_LARGE' } })
  expect(await play.keys()).toEqual(['a'])
})

describe('a conversation that takes no messages', () => {
  const over = { type: 'conversation' as const, state: 'closed' as const, attributes: {}, version: 2 }

  async function parked(): Promise<Play> {
    const play = await live()
    await play.enqueue('a', 'b')
    await play.turn(play.sent('1', play.the('send').claim, failure('read-only')))
    return play
  }

  test('[OB38] parks its entries, and takes no new ones', async () => {
    const play = await parked()
    expect([play.slots.session.conversation?.state, play.types()]).toEqual(['closed', []])
    expect(await messages(play)).toEqual([
      ['a', 'parked'],
      ['b', 'parked'],
    ])
    await play.enqueue('c')
    expect(play.seen.replies).toMatchObject([{ value: [{ error: { code: 'CONVERSATION_OVER' } }] }])
    expect(await play.command({ type: 'retry', key: 'a' })).toMatchObject({ refusal: { code: 'CONVERSATION_OVER' } })
    await play.after(HOUR)
    expect([play.find('send'), await play.keys()]).toEqual([undefined, ['a', 'b']])
  })

  test('[OB50] counts them as parked, not as queued, before and after a new conversation has begun', async () => {
    const play = await parked()
    const shown = async () => {
      const { slots, rows, entries } = await play.store.tail(50, 50)
      return snapshotOf({ slots: slots ?? play.slots, rows, entries }, 'durable', play.now).outbox
    }
    const held = { queued: 0, inflight: 0, parked: 2, dead: 0, stale: 0 }
    expect(await shown()).toEqual(held)
    await play.command({ type: 'start-new', key: 'n' })
    await play.made('c2')
    expect(await shown()).toEqual(held)
    await play.enqueue('c')
    expect(await shown()).toEqual({ ...held, inflight: 1 })
    await play.turn(play.ack('c', 1, 'c2'), play.sent('2', play.the('send').claim))
    await play.command({ type: 'retry', key: 'a' })
    expect(await shown()).toEqual({ ...held, inflight: 1, parked: 1 })
    const report = reportOf(play.slots, { now: NOW, incarnation: 'w1', storage: 'durable', hasPump: true })
    expect(report.findings).toContainEqual(expect.objectContaining({ code: 'OUTBOX_PARKED' }))
    expect(report.figures).toMatchObject({ parked: 1, queued: 0, inflight: 1 })
  })

  test.each([
    { unsent: 'send' as const, answer: { refusal: { code: 'OUTBOX_UNSENT' } } },
    { unsent: 'refuse' as const, answer: { refusal: { code: 'OUTBOX_UNSENT' } } },
    { unsent: 'discard' as const, answer: { value: null } },
  ])('[OB50] a logout with unsent "$unsent" meets a parked message', async ({ unsent, answer }) => {
    const play = await parked()
    expect(await play.command({ type: 'logout', unsent })).toMatchObject(answer)
  })

  test('[OB39] nothing of it flows into the next one but what the site sends again, with its key', async () => {
    const play = await parked()
    await play.command({ type: 'start-new', key: 'n' })
    await play.enqueue('c')
    await play.made('c2')
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(['c'])
    await play.turn(play.ack('c', 1, 'c2'), play.sent('2', play.the('send').claim))
    expect(await messages(play)).toEqual([
      ['c', 'acked'],
      ['a', 'parked'],
      ['b', 'parked'],
    ])
    await play.command({ type: 'retry', key: 'b' })
    expect(play.the('send').entries).toMatchObject([{ key: 'b', lane: '2', seq: 4 }])
    expect((await play.entries()).map(({ key, lane }) => [key, lane])).toEqual([
      ['a', '1'],
      ['b', '2'],
    ])
  })

  test('[OB40] the acknowledgement of a message that was moved meanwhile settles it', async () => {
    const play = await parked()
    await play.command({ type: 'start-new', key: 'n' })
    await play.made('c2')
    await play.command({ type: 'retry', key: 'a' })
    await play.turn(play.ack('a', 9, 'c1'))
    expect([await play.keys(), counts(play)]).toEqual([['b'], { ...NONE, queued: 1 }])
    expect(play.slots.transcript).toMatchObject({ conversationId: 'c2', cursor: { seq: 0 } })
  })

  test('[OB41] what was on the wire of a worker that died can be cancelled once it is parked', async () => {
    const play = await live()
    await play.enqueue('a')
    await play.heard(over)
    expect(await play.command({ type: 'cancel', key: 'a' })).toMatchObject({ refusal: { code: 'OUTBOX_INFLIGHT' } })
    await play.restart('w2')
    expect(await play.command({ type: 'cancel', key: 'a' })).toEqual({ value: null })
    expect([await play.keys(), counts(play)]).toEqual([[], NONE])
  })

  test('[OB42] an unexpectedly new conversation parks what waited for the old one', async () => {
    const play = await live()
    play.pump = false
    await play.enqueue('a')
    play.pump = true
    play.now += 16 * MINUTE
    await play.restart('w2')
    expect(play.types()).toEqual(['open'])
    await play.opened({ conversation: conversation('c2'), formerState: 'expired' })
    expect([play.find('send'), await messages(play)]).toEqual([undefined, [['a', 'parked']]])
  })
})

describe('a damaged disk', () => {
  test('[OB43] without its counters every entry is counted again and sent, by the same visitor, in its lane', async () => {
    const play = await live()
    play.pump = false
    await play.enqueue('a', 'b')
    const entries = await play.entries()
    const damaged = new Play()
    await damaged.store.turn({ runEntries: 0, keys: [], isDurable: true }, () => ({
      writes: { slots: undefined as never, putEntries: entries, dropEntries: [], putRows: [] },
    }))
    await damaged.tick()
    expect(damaged.slots.session.epoch).toBe(play.slots.session.epoch)
    expect(await messages(damaged)).toEqual([
      ['a', 'queued'],
      ['b', 'queued'],
    ])
    await damaged.opened({ conversation: conversation() })
    expect(damaged.the('send').entries.map(({ key }) => key)).toEqual(['a', 'b'])
  })

  test('[OB43] the last lane that was begun is the present one', async () => {
    const play = new Play()
    const entry = (seq: number, lane: string) => ({
      seq,
      key: `k${seq}`,
      lane,
      text: 'x',
      at: NOW,
      epoch: 'e',
      bytes: 202,
      live: lane,
    })
    await play.store.turn({ runEntries: 0, keys: [], isDurable: true }, () => ({
      writes: { slots: undefined as never, putEntries: [entry(1, '1'), entry(2, '3')], dropEntries: [], putRows: [] },
    }))
    await play.tick()
    await play.opened({ conversation: conversation() })
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(['k2'])
    expect(await messages(play)).toEqual([
      ['k1', 'parked'],
      ['k2', 'inflight'],
    ])
  })

  test('[OB43] what could not be understood is told as a problem', async () => {
    const play = await live()
    const wanted = { runEntries: 0, keys: [], isDurable: false }
    const view = { slots: play.slots, orphans: [], runs: new Map(), entries: new Map(), rows: new Map(), corrupt: 2 }
    const { problems, writes } = decide(view, [{ type: 'tick' }], wanted, SETUP, env())
    expect(problems).toEqual([{ code: 'STORE_CORRUPT', message: expect.stringContaining('2 stored records') }])
    expect(writes.slots).toBe(play.slots)
  })
})

test('[OB44] whatever fails and whoever dies, each message is acknowledged once and in order', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('say' as const), count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constantFrom('ack', 'echo', 'end', 'fail', 'die', 'wake', 'wait'), count: fc.constant(1) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const play = await live()
      const log: string[] = []
      const said: string[] = []
      let run = play.find('send')
      let next = 0
      let owner = 1
      const look = () => {
        const found = play.find('send')
        if (found) [run, next] = [found, 0]
      }
      const post = (key: string): number => {
        if (!log.includes(key)) log.push(key)
        return log.indexOf(key) + 1
      }
      const act = async (what: string, count: number): Promise<unknown> => {
        const entry = run?.entries[next]
        if (what === 'say') {
          const keys = Array.from({ length: count }, (_, index) => `m${said.length + index}`)
          said.push(...keys)
          return play.enqueue(...keys)
        }
        if (what === 'die') return play.restart(`w${++owner}`)
        if (what === 'wake') return play.turn({ type: 'woken', isOnline: true })
        if (what === 'wait') return play.after(MINUTE)
        if (!run) return
        if (what === 'fail') return play.turn(play.sent('1', run.claim, UNREACHABLE))
        if (what === 'end') return entry ? undefined : play.turn(play.sent('1', run.claim))
        if (!entry) return
        const seq = post(entry.key)
        if (what === 'echo') return play.heard(echo(entry.key, seq))
        next += 1
        return play.turn(play.ack(entry.key, seq))
      }
      for (const one of steps) {
        await act(one.do, one.count)
        look()
      }
      for (let rest = 0; rest < 200 && counts(play).queued + counts(play).inflight > 0; rest++) {
        await act(rest % 9 === 0 ? 'wait' : run?.entries[next] ? 'ack' : 'end', 1)
        look()
      }
      expect(log).toEqual(said)
      expect([counts(play), play.slots.outbox.bytes, await play.keys()]).toEqual([NONE, 0, []])
      expect(play.slots.transcript.cursor.seq).toBe(said.length)
    }),
    { numRuns: 60 },
  )
})
