// The live half of the Platform contract: connections, polls, and what comes of it when nobody answers.
import { afterEach, describe, expect, test } from 'vitest'
import {
  type Connection,
  type Outcome,
  type Platform,
  type StreamEvent,
  type StreamReport,
  TIMINGS,
} from '../../core/ports.ts'
import { UNREACHABLE as UNMARKED } from '../core/fixtures.ts'
import { createStream } from '../../sw/stream.ts'
import { freshKey, listener, must, type PlatformWorld, visitor } from './platform-world.ts'

export function streamContract(world: () => PlatformWorld): void {
  const connections: Connection[] = []
  afterEach(() => {
    for (const connection of connections.splice(0)) connection.close()
  })

  function connect(at: { platform: Platform; token: string; conversationId: string }, afterSeq = 0) {
    const heard = listener()
    const connection = at.platform.connect({ conversationId: at.conversationId, token: at.token, afterSeq }, heard.emit)
    connections.push(connection)
    return { ...heard, connection }
  }

  describe('stream', () => {
    test('[PL9] a connection catches up after its cursor, then tells what is new', async () => {
      const at = await visitor(world())
      for (const text of ['one', 'two']) must(await at.send(text))
      const { events, texts, until } = connect(at, 1)
      await until(() => texts().length === 1)
      expect(events[0]).toEqual({ type: 'ready', headSeq: 2 })
      await world().agentSays(at.conversationId, 'three')
      must(await at.send('four'))
      await until(() => texts().length === 3)
      expect(texts()).toEqual(['two', 'three', 'four'])
    })

    test('[PL9] it tells the state and the attributes, at first and when they change', async () => {
      const at = await visitor(world(), { a: '1' })
      const { events, until } = connect(at)
      const states = () => events.flatMap((event) => (event.type === 'conversation' ? [event] : []))
      await until(() => states().length === 1)
      expect(states()[0]).toMatchObject({ attributes: { a: '1' }, version: at.version })
      await world().agentCloses(at.conversationId)
      await until(() => states().at(-1)?.state === 'closed')
    })

    test('[PL9] it answers pings, and takes a new token in place', async () => {
      const at = await visitor(world())
      const { connection, until, has, events } = connect(at)
      await until(() => has('ready'))
      const refreshToken = at.grant.refreshToken ?? ''
      connection.reauth(must(await at.platform.refresh({ key: freshKey(), refreshToken })).accessToken)
      connection.ping('p-1')
      await until(() => has('pong'))
      expect(events).toContainEqual({ type: 'pong', id: 'p-1' })
      expect(has('closed')).toBe(false)
    })

    test('[PL60] by connection and by poll it says what was read, at first and when it changes', async () => {
      const at = await visitor(world())
      for (const text of ['one', 'two']) must(await at.send(text))
      const { token, conversationId, platform } = at
      expect(platform.capabilities.marks).toBe(true)
      await world().agentReads?.(conversationId, 1)
      const live = connect(at)
      const marksIn = (events: readonly StreamEvent[]) => events.flatMap((one) => (one.type === 'marks' ? [one] : []))
      await live.until(() => marksIn(live.events).length === 1)
      const none = { delivered: 0, read: 0 }
      expect(marksIn(live.events)).toEqual([{ type: 'marks', others: { delivered: 1, read: 1 }, own: none }])
      const poll = async () => must(await platform.poll({ conversationId, token, afterSeq: 2, waitMs: 25_000 }))
      expect(marksIn(await poll())).toMatchObject([{ others: { read: 1 } }])
      // What it has heard it does not hear again: this one waits for what comes.
      const next = poll()
      for (const _ of [1, 2]) must((await platform.mark?.({ token, conversationId, seq: 2 })) ?? UNMARKED)
      await live.until(() => marksIn(live.events).length === 2)
      expect(marksIn(live.events).at(-1)).toMatchObject({ own: { delivered: 2, read: 2 } })
      expect(marksIn([...(await next), ...(marksIn(await next).length > 0 ? [] : await poll())])).toHaveLength(1)
    })

    test('[PL9] a poll gives the same, at once what is there and later what is new', async () => {
      const at = await visitor(world())
      must(await at.send('one'))
      const heard = listener()
      const poll = async (afterSeq: number, waitMs: number) => {
        const request = { conversationId: at.conversationId, token: at.token, afterSeq, waitMs }
        for (const event of must(await at.platform.poll(request))) heard.emit(event)
      }
      await poll(0, 0)
      await poll(0, 25_000)
      expect(heard.texts()).toContain('one')
      expect(heard.has('ready')).toBe(true)
      const waiting = (async () => {
        while (!heard.texts().includes('two')) await poll(1, 25_000)
      })()
      await world().agentSays(at.conversationId, 'two')
      await waiting
      await world().agentCloses(at.conversationId)
      const isOver = () => heard.events.some((event) => event.type === 'conversation' && event.state === 'closed')
      while (!isOver()) await poll(2, 25_000)
    })

    test('[PL12] a token that is not accepted ends the connection, to be refreshed', async () => {
      const at = await visitor(world())
      const { until, has, events } = connect({ ...at, token: 'not-a-token' })
      await until(() => has('closed'))
      expect(events).toEqual([expect.objectContaining({ type: 'closed', verdict: 'refresh' })])
      const request = { conversationId: at.conversationId, token: 'not-a-token', afterSeq: 0, waitMs: 0 }
      expect(await at.platform.poll(request)).toMatchObject({ ok: false, verdict: 'refresh' })
      const message = { key: freshKey(), text: 'x' }
      const sent = await at.platform.send({ token: 'not-a-token', conversation: at.conversation, message })
      expect(sent).toMatchObject({ ok: false, verdict: 'refresh' })
    })

    test('[PL6] a connection to a conversation that is not ours ends, as over', async () => {
      const { conversationId } = await visitor(world())
      const other = await visitor(world())
      const { until, has, events } = connect({ ...other, conversationId })
      await until(() => has('closed'))
      expect(events.at(-1)).toMatchObject({ type: 'closed', verdict: 'read-only' })
    })

    test('[PL22] after our own close nothing follows', async () => {
      const at = await visitor(world())
      const { connection, until, has, events } = connect(at)
      await until(() => has('ready'))
      connection.close()
      const heard = events.length
      const second = connect(at)
      await world().agentSays(at.conversationId, 'hello?')
      await second.until(() => second.texts().length === 1)
      expect(events).toHaveLength(heard)
    })
  })

  describe('under the stream', () => {
    test.each([true, false])('[SN50] with sockets: %s, what is said arrives once and in order', async (hasSockets) => {
      const at = await visitor(world(), {}, hasSockets)
      must(await at.send('one'))
      const { events, emit, texts, until } = listener<StreamReport>()
      const clock = {
        now: Date.now,
        alarm(instant: number, ring: () => void) {
          const timer = setTimeout(ring, instant - Date.now())
          return () => clearTimeout(timer)
        },
      }
      const stream = createStream({ platform: at.platform, clock, random: { key: freshKey }, timings: TIMINGS }, emit)
      stream.connect({ conversationId: at.conversationId, token: at.token, afterSeq: 0, claim: { key: 'k', count: 1 } })
      await until(() => texts().length === 1)
      await world().agentSays(at.conversationId, 'two')
      must(await at.send('three'))
      await until(() => texts().length === 3)
      stream.close()
      expect(texts()).toEqual(['one', 'two', 'three'])
      expect(events[0]).toMatchObject({ type: 'opened', claim: { key: 'k', count: 1 } })
    })
  })

  describe('faults', () => {
    const everyCall = (platform: Platform): [string, Promise<Outcome<unknown>>][] => {
      const token = 'token-x'
      const conversationId = 'c'
      const conversation = { id: 'c', participantId: 'p', state: 'active' } as const
      return [
        ['open', platform.open({ key: freshKey(), wantsRefreshToken: true, conversationId: null })],
        ['refresh', platform.refresh({ key: freshKey(), refreshToken: token })],
        ['make', platform.make({ key: freshKey(), token, previousId: null, routing: {}, attributes: {} })],
        ['send', platform.send({ token, conversation, message: { key: freshKey(), text: 'x' } })],
        ['push', platform.push({ token, conversationId, delta: {}, version: 1 })],
        ['backfill', platform.backfill({ token, conversationId, afterId: '' })],
        ['poll', platform.poll({ token, conversationId, afterSeq: 0, waitMs: 0 })],
        ['revoke', platform.revoke({ token })],
      ]
    }
    const unreachable = { ok: false, verdict: 'retry', code: 'SERVICE_UNREACHABLE', isUnreachable: true }

    test('[PL13] where nobody listens, every call is unreachable', async () => {
      for (const [call, outcome] of everyCall(world().nowhere()))
        expect([call, await outcome]).toMatchObject([call, unreachable])
    })

    test('[PL13] where nobody answers, every call is unreachable at its deadline', async () => {
      for (const [call, outcome] of everyCall(world().silent()))
        expect([call, await outcome]).toMatchObject([call, unreachable])
    })

    test('[PL13] a connection to where nobody listens ends, to be tried again', async () => {
      const { until, has, events } = connect({ platform: world().nowhere(), token: 't', conversationId: 'c' })
      await until(() => has('closed'))
      expect(events).toMatchObject([{ type: 'closed', verdict: 'retry' }])
    })
  })
}
