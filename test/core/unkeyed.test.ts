// Platforms without keys and numbers: what becomes of a message whose outcome nobody knows, turn by turn.
import { describe, expect, test } from 'vitest'
import type { Input } from '../../core/inputs.ts'
import { openAt, spend } from '../../core/rates.ts'
import type { Row } from '../../core/transcript.ts'
import { unkeyed } from '../../core/unkeyed.ts'
import { failure, HOUR, LIMITS, MINUTE, NOW, Play, SECOND, SETUP, UNREACHABLE } from './fixtures.ts'

const RATES = { connect: { burst: 1, everyMs: SECOND }, fetch: { burst: 5, everyMs: 6 * SECOND } }
const UNKEYED = {
  ...SETUP,
  isBroker: false,
  unkeyed: unkeyed(RATES),
  capabilities: {
    ...SETUP.capabilities,
    delivery: 'content-match' as const,
    sendWithoutStream: false,
    limits: { ...LIMITS, dataBytesMax: 64 },
  },
}
const UNKNOWN = failure('reconcile')

class Unkeyed extends Play {
  override setup = UNKEYED

  override async live(): Promise<this> {
    await this.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await this.opened({}, 400 * 24 * HOUR)
    await this.made()
    await this.connected()
    await this.read()
    return this
  }

  /** The history is read: its ids, with `id: text` for what a customer said. */
  read(rows: readonly Row[] = [], isWhole = true) {
    const headSeq = isWhole ? rows.length : rows.length + 1
    return this.backfilled({ ok: true, value: { resync: false, rows, headSeq } })
  }

  backfilled(outcome: (Input & { type: 'backfilled' })['outcome']) {
    const conversationId = this.slots.session.conversation?.id ?? ''
    const claim = this.claimOf('backfill')
    return this.turn({ type: 'backfilled', claim, outcome, generation: this.generation(), conversationId })
  }

  async lost(): Promise<void> {
    const claim = this.claimOf('connect')
    await this.heard({ type: 'ended', claim, verdict: 'retry', reason: 'cut' })
    this.now += MINUTE
    await this.tick()
    await this.connected()
  }

  /** The connection is cut with a message on the wire, and the next one stands a moment later. */
  async cut(sent: ReturnType<Play['claimOf']>): Promise<void> {
    const claim = this.claimOf('connect')
    await this.turn(this.sent('1', sent, UNKNOWN))
    await this.heard({ type: 'ended', claim, verdict: 'retry', reason: 'cut' })
    this.now += SECOND
    await this.tick()
    await this.connected()
  }

  async unknown(key: string): Promise<void> {
    await this.enqueue(key)
    await this.isLost()
  }

  /** The message on the wire is not heard of again. */
  isLost() {
    this.now += 2 * SECOND
    return this.turn(this.sent('1', this.claimOf('send'), UNKNOWN))
  }

  ids(): Promise<readonly (string | undefined)[]> {
    return this.store.rows('c1', Number.MAX_SAFE_INTEGER, 100).then((rows) => rows.map(({ id }) => id))
  }
}

const said = (id: string, text: string, role: Row['role'] = 'customer'): Row => ({
  conversationId: 'c1',
  seq: 0,
  id,
  role,
  text,
  at: NOW,
})

const set = (delta: { [name: string]: string | boolean | null }) => ({
  type: 'set-context' as const,
  key: `set-${JSON.stringify(delta)}`,
  delta,
})

describe('sending', () => {
  test('[OB80] one message is on the wire at a time, and that it may be is on the disk', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a', 'b')
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(['a'])
    expect(play.isDurable).toBe(true)
    expect((await play.entries()).map(({ sentAt }) => sentAt)).toEqual([NOW, undefined])
    await play.turn(play.ack('a', 0), play.sent('1', play.claimOf('send')))
    expect(play.the('send').entries.map(({ key }) => key)).toEqual(['b'])
    expect(play.isDurable).toBe(true)
  })

  test('[OB81] an unknown outcome is looked for in the history, and what is there is settled', async () => {
    const play = await new Unkeyed().live()
    await play.unknown('a')
    expect(play.types()).toEqual(['backfill'])
    await play.read([said('m1', 'text of a')])
    expect(await play.keys()).toEqual([])
    expect(await play.ids()).toEqual(['m1'])
    expect(play.find('send')).toBeUndefined()
  })

  test('[OB81] what is not in the history is sent again, under its key', async () => {
    const play = await new Unkeyed().live()
    await play.unknown('a')
    await play.read([said('m1', 'something else'), said('m2', 'text of a', 'agent')])
    await play.after(MINUTE)
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })

  test('[OB81] while the history cannot be read it is not sent, however long that takes', async () => {
    const play = await new Unkeyed().live()
    await play.unknown('a')
    for (let n = 0; n < 20; n++) {
      if (play.find('backfill')) await play.backfilled(UNREACHABLE)
      await play.after(MINUTE)
      expect(play.find('send')).toBeUndefined()
    }
  })

  test('[OB81] nor is what an incarnation had on the wire when it died', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a', 'b')
    await play.restart('w2')
    await play.after(2 * SECOND)
    expect(play.types()).toEqual(['connect'])
    await play.connected()
    expect(play.types()).toEqual(['backfill'])
    await play.read([said('m1', 'text of a')])
    expect(play.the('send').entries).toMatchObject([{ key: 'b' }])
  })

  test('[OB81] a connection that is lost makes the history be read, and then what was on the wire be judged', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.isLost()
    await play.lost()
    expect(play.types()).toEqual(['backfill'])
  })

  test('[OB81] what was on the wire may still arrive: the history is read a moment later', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.turn(play.sent('1', play.claimOf('send'), UNKNOWN))
    expect(play.types()).toEqual([])
    await play.after(1_500)
    expect(play.types()).toEqual(['backfill'])
  })

  test('[OB81] the history may name the key: then words do not matter', async () => {
    const play = await new Unkeyed().live()
    await play.unknown('a')
    await play.read([{ ...said('m1', 'TEXT OF A'), key: 'a' }])
    expect(await play.keys()).toEqual([])
  })

  test('[OB89] the next connection looks at once for what was on the wire: found, the next one goes', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a', 'b')
    await play.cut(play.the('send').claim)
    expect(play.types()).toEqual(['backfill'])
    await play.read([said('m1', 'text of a')])
    if (play.find('send') === undefined) await play.again()
    expect(play.the('send').entries).toMatchObject([{ key: 'b' }])
    expect(play.slots.session.stream.isMerged).toBe(true)
  })

  test('[OB89] not found, it may still arrive: it is looked for once more before it is sent again', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.cut(play.the('send').claim)
    await play.read([])
    expect(play.types()).toEqual([])
    expect((await play.entries())[0]).toHaveProperty('sentAt')
    expect(play.seen.wakeAt).toBe(NOW + 1_500)
    await play.after(600)
    expect(play.types()).toEqual(['backfill'])
    await play.read([])
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })

  test('[OB82] two identical texts stay two: a message that is somebody else’s already settles nothing', async () => {
    const play = await new Unkeyed().live()
    const message = (key: string) => ({ key, text: 'yes' })
    const enqueue = { type: 'enqueue' as const, messages: [message('a'), message('b')] }
    await play.command(enqueue)
    await play.turn(play.ack('a', 1), play.sent('1', play.claimOf('send')))
    await play.isLost()
    await play.read([said('m1', 'yes')])
    await play.after(5 * SECOND)
    expect(play.the('send').entries).toMatchObject([{ key: 'b' }])
    await play.isLost()
    await play.after(10 * SECOND)
    await play.read([said('m1', 'yes'), said('m2', 'yes')])
    expect(await play.keys()).toEqual([])
    expect(await play.ids()).toEqual(['m1', 'm2'])
  })

  test('[OB81] a history that was read for an earlier try says nothing', async () => {
    const play = await new Unkeyed().live()
    await play.unknown('a')
    const late = play.claimOf('backfill')
    await play.backfilled(UNREACHABLE)
    await play.after(10 * SECOND)
    const value = { resync: false as const, rows: [], headSeq: 0 }
    const about = { conversationId: 'c1', generation: play.generation(), outcome: { ok: true as const, value } }
    await play.turn({ type: 'backfilled', claim: late, ...about })
    expect((await play.entries())[0]).toHaveProperty('sentAt')
  })

  test.each(['retry-at', 'refresh', 'wait-unchanged'] as const)(
    '[OB83] after the answer "%s" it is certain that it did not arrive: no history is read',
    async (verdict) => {
      const play = await new Unkeyed().live()
      await play.enqueue('a')
      await play.turn(play.sent('1', play.claimOf('send'), failure(verdict, { retryAfterMs: SECOND })))
      expect((await play.entries())[0]).not.toHaveProperty('sentAt')
      expect(play.find('backfill')).toBeUndefined()
    },
  )

  test('[OB84] the history is not read while a message is on its way, nor anything sent while it is read', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.heard({ type: 'opened', claim: play.claimOf('connect'), headSeq: 0 })
    expect(play.find('backfill')).toBeUndefined()
    await play.turn(play.ack('a', 0), play.sent('1', play.claimOf('send')))
    expect(play.types()).toEqual(['backfill'])
    await play.enqueue('b')
    expect(play.find('send')).toBeUndefined()
    await play.read([said('m0', 'text of a')])
    expect(play.the('send').entries).toMatchObject([{ key: 'b' }])
  })

  test('[OB84] where the history cannot be read, what was never sent goes all the same', async () => {
    const play = new Unkeyed()
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await play.opened({}, 400 * 24 * HOUR)
    await play.made()
    await play.connected()
    await play.backfilled(UNREACHABLE)
    await play.enqueue('a')
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })

  test('[OB85] what may have been sent is neither cancelled nor edited', async () => {
    const play = await new Unkeyed().live()
    await play.unknown('a')
    const refused = { refusal: { code: 'OUTBOX_INFLIGHT' } }
    expect(await play.command({ type: 'cancel', key: 'a' })).toMatchObject(refused)
    expect(await play.command({ type: 'edit', key: 'a', message: { key: 'b', text: 'x' } })).toMatchObject(refused)
    await play.heard({ type: 'conversation', state: 'closed', attributes: {}, version: -1 })
    expect(await play.command({ type: 'cancel', key: 'a' })).toEqual({ value: null })
  })

  test('[OB86] a history that holds nothing of what is known is another conversation: messages are parked', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.turn(play.ack('a', 1), play.sent('1', play.claimOf('send')))
    await play.unknown('b')
    await play.read([])
    expect(play.slots.session.conversation).toMatchObject({ state: 'expired' })
    await play.after(MINUTE)
    expect(play.find('send')).toBeUndefined()
    expect(await play.keys()).toEqual(['b'])
  })

  test('[OB86] a history that comes so late that its connection has told more is none of them', async () => {
    const play = new Unkeyed()
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await play.opened({}, 400 * 24 * HOUR)
    await play.made()
    await play.connected()
    await play.heard({ type: 'rows', rows: [said('m1', 'hello', 'agent')] })
    await play.read([])
    expect(play.slots.session.conversation).toMatchObject({ state: 'active' })
    expect(await play.ids()).toEqual(['m1'])
  })

  test('[OB87] a step that begins too early waits, through restarts, and never longer than its bucket', async () => {
    const play = await new Unkeyed().live()
    await play.restart('w2')
    expect(play.types()).toEqual([])
    expect(play.seen.wakeAt).toBe(NOW + SECOND)
    await play.after(SECOND)
    expect(play.types()).toEqual(['connect'])
    play.now -= 10 * MINUTE
    await play.restart('w3')
    expect(play.types()).toEqual(['connect'])
  })
})

test('[OB88] a connection takes so much, and the next one as much again', async () => {
  const play = new Unkeyed()
  play.setup = { ...UNKEYED, unkeyed: unkeyed({ call: { burst: 2, everyMs: SECOND } }) }
  await play.live()
  await play.enqueue('a', 'b')
  await play.turn(play.ack('a', 1), play.sent('1', play.claimOf('send')))
  expect(play.types()).toEqual([])
  expect(play.seen.wakeAt).toBe(NOW + SECOND)
  expect((await play.entries())[0]).not.toHaveProperty('sentAt')
  await play.lost()
  await play.read([said('m1', 'text of a')])
  if (play.find('send') === undefined) await play.again()
  expect(play.the('send').entries).toMatchObject([{ key: 'b' }])
})

describe('the transcript', () => {
  test('[TR80] messages are numbered as they come, and each is known by its id', async () => {
    const play = await new Unkeyed().live()
    await play.heard({ type: 'rows', rows: [said('m1', 'hi', 'agent'), said('m2', 'you', 'agent')] })
    await play.heard({ type: 'rows', rows: [said('m2', 'you', 'agent'), said('m3', 'there', 'agent')] })
    await play.lost()
    await play.read(['m1', 'm2', 'm3', 'm4'].map((id) => said(id, id, 'agent')))
    expect(await play.ids()).toEqual(['m1', 'm2', 'm3', 'm4'])
    expect(play.slots.transcript).toMatchObject({ cursor: { seq: 4, id: 'm4' }, unread: 4 })
    expect(play.slots.session.stream.isMerged).toBe(true)
  })

  test('[TR81] after each connection it is in doubt until the history was read', async () => {
    const play = await new Unkeyed().live()
    await play.lost()
    expect(play.slots.session.stream).toMatchObject({ isOpen: true, isMerged: false })
    await play.backfilled(UNREACHABLE)
    expect(play.slots.session.stream.isMerged).toBe(false)
    await play.after(MINUTE)
    await play.read()
    expect(play.slots.session.stream.isMerged).toBe(true)
  })

  test('[TR80] what was said before this browser first heard of the conversation is not unread', async () => {
    const play = new Unkeyed()
    await play.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await play.opened({}, 400 * 24 * HOUR)
    await play.made()
    await play.connected()
    await play.read([said('m1', 'old', 'agent')])
    expect(play.slots.transcript).toMatchObject({ unread: 0, cursor: { seq: 1 } })
  })
})

describe('attributes', () => {
  test('[CX80] the next message carries what has changed, as text, and the one after that nothing', async () => {
    const play = await new Unkeyed().live()
    await play.command(set({ cart: '12', vip: true }))
    expect(play.types()).toEqual([])
    await play.enqueue('a')
    expect(play.the('send').attributes).toEqual({ cart: '12', vip: 'true' })
    await play.turn(play.ack('a', 1), play.sent('1', play.claimOf('send')))
    await play.enqueue('b')
    expect(play.the('send')).not.toHaveProperty('attributes')
    await play.turn(play.ack('b', 2), play.sent('1', play.claimOf('send')))
    await play.command(set({ vip: null }))
    await play.enqueue('c')
    expect(play.the('send').attributes).toEqual({ vip: '' })
  })

  test('[CX81] after a failure and after each connection they go along once more', async () => {
    const play = await new Unkeyed().live()
    await play.command(set({ cart: '12' }))
    await play.enqueue('a')
    await play.turn(play.sent('1', play.claimOf('send'), failure('retry')))
    await play.after(MINUTE)
    expect(play.the('send').attributes).toEqual({ cart: '12' })
    await play.turn(play.ack('a', 1), play.sent('1', play.claimOf('send')))
    await play.lost()
    await play.read([said('m1', 'text of a')])
    await play.enqueue('b')
    expect(play.the('send').attributes).toEqual({ cart: '12' })
  })

  test('[CX82] too many bytes are refused by the name of the greatest, before anything is stored', async () => {
    const play = await new Unkeyed().live()
    const refusal = await play.command(set({ ok: '1', käse: 'ü'.repeat(30) }))
    expect(refusal).toMatchObject({
      refusal: { code: 'CONTEXT_TOO_LARGE', message: expect.stringMatching(/"käse" \(65 bytes\).*reference/) },
    })
    expect(play.slots.context.values).toEqual({})
    expect(await play.command(set({ k: 'ü'.repeat(31) }))).toMatchObject({ value: {} })
  })

  test('[CX82] the platform says at run time what it takes', async () => {
    const play = await new Unkeyed().live()
    await play.command(set({ cart: '12' }))
    await play.heard({ type: 'session', limits: { ...LIMITS, dataBytesMax: 4 } })
    expect(await play.command(set({ page: '/' }))).toMatchObject({ refusal: { code: 'CONTEXT_TOO_LARGE' } })
    await play.enqueue('a')
    expect(play.the('send')).not.toHaveProperty('attributes')
  })

  test('[CX83] attributes that the platform will not take are told and dropped; the message goes without them', async () => {
    const play = await new Unkeyed().live()
    await play.command(set({ cart: '12' }))
    await play.enqueue('a')
    const refused = failure('drop-attributes', { code: 'CONTEXT_TOO_LARGE' })
    await play.turn(play.sent('1', play.claimOf('send'), refused))
    expect(play.seen.problems).toMatchObject([{ code: 'CONTEXT_TOO_LARGE' }])
    expect(play.the('send')).not.toHaveProperty('attributes')
    expect(play.the('send').entries).toMatchObject([{ key: 'a' }])
  })
})

describe('what the stream says of the session', () => {
  test('[SN90] how long it lives and who it is are taken over', async () => {
    const play = await new Unkeyed().live()
    await play.heard({ type: 'session', expiresAt: NOW + HOUR, isAuthenticated: true })
    expect(play.slots.session).toMatchObject({ expiresAt: NOW + HOUR, isAuthenticated: true })
    await play.heard({ type: 'session', limits: LIMITS })
    expect(play.slots.session).toMatchObject({ expiresAt: NOW + HOUR, isAuthenticated: true })
  })

  test('[SN91] a sign-out elsewhere leaves nothing of the identity', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.heard({ type: 'signed-out' })
    expect(play.slots.session.isSignedOut).toBe(true)
    expect(await play.keys()).toEqual([])
  })

  test('[SN92] a refusal holds until a tab comes or the visitor is here; a definite one of the token ends the lease', async () => {
    const play = await new Unkeyed().live()
    const ended = { type: 'ended' as const, claim: play.claimOf('connect'), reason: 'evicted' }
    await play.heard({ ...ended, verdict: 'refuse', code: 'SERVICE_REFUSED' })
    await play.after(HOUR)
    expect(play.types()).toEqual([])
    expect(play.slots.session.refusal).toBe('SERVICE_REFUSED')
    await play.turn({ type: 'woken', isOnline: true })
    await play.again()
    const other = await new Unkeyed().live()
    await other.heard({ ...ended, claim: other.claimOf('connect'), verdict: 'auth-required', code: 'LEASE_REVOKED' })
    expect(other.slots.lease).toMatchObject({ status: 'lost', code: 'LEASE_REVOKED' })
  })
})

describe('what a platform says beside messages', () => {
  test('[GC31] what Join has taken along is not told again; what was changed since is', async () => {
    const play = await new Unkeyed().live()
    await play.command(set({ cart: '12', page: '/' }))
    await play.heard({ type: 'carried', attributes: { cart: '12', page: '/old' } })
    await play.enqueue('a')
    expect(play.the('send').attributes).toEqual({ page: '/' })
  })

  test('[GC33] what was cleared leaves no message, and nothing that was still to be said', async () => {
    const play = await new Unkeyed().live()
    await play.read([said('m1', 'hello')])
    await play.heard({ type: 'rows', rows: [said('m2', 'again')] })
    await play.enqueue('a', 'b')
    await play.heard({ type: 'cleared' })
    expect(await play.ids()).toEqual([])
    expect(await play.keys()).toEqual([])
    expect(play.slots.session.conversation?.state).toBe('expired')
    expect(play.slots.outbox).toMatchObject({ bytes: 0 })
    await play.turn(play.sent('1', play.claimOf('send'), UNKNOWN))
    expect(play.types()).toEqual([])
  })

  test('[GC34] every page of a history counts, and clocks that were set back hold nobody', async () => {
    const rate = { burst: 3, everyMs: 6 * SECOND, over: 2 }
    let fullAt = 0
    for (let call = 0; call < 5; call++) fullAt = spend(rate, fullAt, NOW)
    expect(openAt(rate, fullAt, NOW) - NOW).toBe(18 * SECOND)
    expect(openAt(rate, fullAt + SECOND, NOW)).toBe(NOW)
    const play = await new Unkeyed().live()
    await play.lost()
    const conversationId = play.slots.session.conversation?.id ?? ''
    const value = { resync: false as const, rows: [], headSeq: 0, calls: 2 }
    const read = { claim: play.claimOf('backfill'), outcome: { ok: true as const, value } }
    const before = play.slots.spent?.fetch ?? 0
    await play.turn({ type: 'backfilled', ...read, generation: play.generation(), conversationId })
    expect((play.slots.spent?.fetch ?? 0) - before).toBe(6 * SECOND)
  })

  test('[GC35] attributes that are too many by a limit that comes late are told, once, with the greatest by name', async () => {
    const play = await new Unkeyed().live()
    await play.command(set({ cart: '12', page: '/shoes/blue' }))
    for (let n = 0; n < 2; n++) {
      await play.heard({ type: 'session', limits: { ...LIMITS, dataBytesMax: 16 } })
      const told = n === 0 ? [{ code: 'CONTEXT_TOO_LARGE', message: expect.stringContaining('"page"') }] : []
      expect(play.seen.problems).toMatchObject(told)
    }
  })

  test('[GC38] what is overdue is looked for once: found, the next one goes, and a late word changes nothing', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a', 'b')
    const { claim } = play.the('send')
    await play.after(999)
    expect(play.types()).not.toContain('backfill')
    await play.after(1)
    expect(play.types()).toContain('backfill')
    await play.read([said('m1', 'text of a')])
    if (play.find('send') === undefined) await play.after(SECOND)
    expect(play.the('send').entries).toMatchObject([{ key: 'b' }])
    for (const late of [UNKNOWN, undefined]) {
      await play.turn(play.sent('1', claim, late))
      expect(play.types()).not.toContain('send')
      expect((await play.entries()).map(({ key, sentAt }) => [key, sentAt !== undefined])).toEqual([['b', true]])
    }
    expect(await play.ids()).toEqual(['m1'])
  })

  test('[GC38] what is overdue and not there is waited for, and not looked for again meanwhile', async () => {
    const play = await new Unkeyed().live()
    await play.enqueue('a')
    await play.after(SECOND)
    await play.read([])
    await play.after(10 * SECOND)
    expect(play.types()).toEqual([])
    expect((await play.entries())[0]?.sentAt).toBeDefined()
  })

  test('[GC38] the last two histories are not for looking: it waits until there is another', async () => {
    const play = new Unkeyed()
    play.setup = { ...UNKEYED, unkeyed: unkeyed({ fetch: { burst: 3, everyMs: 6 * SECOND } }) }
    await play.live()
    await play.enqueue('a')
    await play.after(SECOND)
    expect(play.types()).toEqual([])
    expect(play.seen.wakeAt).toBe(NOW + 6 * SECOND)
    await play.after(5 * SECOND)
    expect(play.types()).toEqual(['backfill'])
  })

  test('[GC39] what was read for a former connection is dropped, and the history read again', async () => {
    const play = await new Unkeyed().live()
    await play.lost()
    const former = play.claimOf('backfill')
    await play.lost()
    const conversationId = play.slots.session.conversation?.id ?? ''
    const value = { resync: false as const, rows: [], headSeq: 0 }
    const late = { claim: former, outcome: { ok: true as const, value }, generation: play.generation(), conversationId }
    await play.turn({ type: 'backfilled', ...late })
    expect(play.slots.transcript.isDoubtful).toBe(true)
    await play.read([said('m1', 'hello', 'agent')])
    expect(await play.ids()).toEqual(['m1'])
  })

  test('[GC29] files that expired before their message went out are uploaded again', async () => {
    const play = await new Unkeyed().live()
    const attachments = [{ name: 'a.png', type: 'image/png', size: 4, content: 'bytes' }]
    await play.heard({
      type: 'session',
      limits: { ...LIMITS, attachments: { bytesMax: 9, countMax: 1, types: ['image/*'] } },
    })
    await play.command({ type: 'enqueue', messages: [{ key: 'a', text: 'look', attachments }] })
    if (play.find('attach') === undefined) await play.again()
    const { claim } = play.the('attach')
    await play.turn({ type: 'attached', key: 'a', index: 0, step: { id: 'f1', sent: 4, isConfirmed: true } })
    await play.turn(play.sent('1', claim))
    expect(play.the('send').entries).toMatchObject([{ attachments: [{ id: 'f1', isConfirmed: true }] }])
    await play.turn(play.sent('1', play.claimOf('send'), failure('upload-again')))
    await play.after(MINUTE)
    if (play.find('attach') === undefined) await play.again()
    expect(play.the('attach').entry.attachments).toEqual([{ name: 'a.png', type: 'image/png', size: 4 }])
  })
})

test('[OB87] a bucket lets its burst go at once, and then one in each interval', () => {
  const rate = { burst: 3, everyMs: 100 }
  let fullAt = 0
  const starts: number[] = []
  for (let now = 1_000; now < 1_600; now += 10) {
    if (openAt(rate, fullAt, now) > now) continue
    starts.push(now)
    fullAt = spend(rate, fullAt, now)
  }
  expect(starts).toEqual([1_000, 1_010, 1_020, 1_100, 1_200, 1_300, 1_400, 1_500])
})
