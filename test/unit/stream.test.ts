// The stream over a virtual clock, a socket and polls that do what the test says, and nothing by themselves.
import { describe, expect, test } from 'vitest'
import type { Connection, Outcome, StreamEvent, StreamReport, StreamRequest, Timings } from '../../core/ports.ts'
import type { Row } from '../../core/transcript.ts'
import { CONNECT_DEADLINE_MS, createStream, POLL_PAUSE_MS, POLL_WAIT_MS } from '../../sw/stream.ts'

const TIMINGS: Timings = { beatMs: 20_000, pingMs: 25_000, pongMs: 5_000, pingMissesMax: 3, climbMs: 60_000 }

const CLAIM = { key: 'attempt', count: 1 }
const ENDED = { type: 'ended', claim: CLAIM }

type Alarm = { at: number; ring: () => void }
type Socket = { request: StreamRequest; emit: (event: StreamEvent) => void; said: string[]; isClosed: boolean }
type Poll = {
  request: StreamRequest & { waitMs: number }
  answer: (outcome: Outcome<readonly StreamEvent[]>) => Promise<void>
}

/** Lets everything that waits for a promise go on. No time passes. */
const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

function world() {
  const alarms = new Set<Alarm>()
  const sockets: Socket[] = []
  const polls: Poll[] = []
  const reports: StreamReport[] = []
  let now = 1_000_000
  let keys = 0

  const clock = {
    now: () => now,
    alarm(at: number, ring: () => void) {
      const alarm = { at, ring }
      alarms.add(alarm)
      return () => void alarms.delete(alarm)
    },
  }
  const platform = {
    connect(request: StreamRequest, emit: (event: StreamEvent) => void): Connection {
      const said: string[] = []
      const socket: Socket = { request, emit, said, isClosed: false }
      sockets.push(socket)
      return {
        ping: (id) => said.push(`ping ${id}`),
        pong: (id) => said.push(`pong ${id}`),
        reauth: (token) => said.push(`reauth ${token}`),
        typing: (on) => said.push(`typing ${on}`),
        close: () => {
          socket.isClosed = true
        },
      }
    },
    poll(request: StreamRequest & { waitMs: number }) {
      return new Promise<Outcome<readonly StreamEvent[]>>((resolve) => {
        polls.push({
          request,
          answer: (outcome) => {
            resolve(outcome)
            return settle()
          },
        })
      })
    },
  }
  const random = { key: () => `${++keys}` }
  const stream = createStream({ platform, clock, random, timings: TIMINGS }, (report) => reports.push(report))
  const connect = (afterSeq = 0, token = 't1') => stream.connect({ conversationId: 'c', token, afterSeq, claim: CLAIM })

  /** Moves time to where the alarms want it, one by one. */
  async function pass(ms: number): Promise<void> {
    const end = now + ms
    for (;;) {
      const due = [...alarms].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      alarms.delete(due)
      now = Math.max(now, due.at)
      due.ring()
      await settle()
    }
    now = end
  }
  return { stream, sockets, polls, reports, connect, pass, alarms, now: () => now }
}

const row = (seq: number): Row => ({ conversationId: 'c', seq, id: `m${seq}`, role: 'agent', text: 'hi', at: seq })
const rows = (...seqs: number[]): StreamEvent & { type: 'rows' } => ({ type: 'rows', rows: seqs.map(row) })
const ready = (headSeq: number): StreamEvent => ({ type: 'ready', headSeq })
const closed: StreamEvent = { type: 'closed', verdict: 'retry', reason: 'cut' }
const came = (...events: StreamEvent[]): Outcome<readonly StreamEvent[]> => ({ ok: true, value: events })
const unreachable = { ok: false, verdict: 'retry', code: 'SERVICE_UNREACHABLE', reason: 'no answer' } as const
const opened = (headSeq: number) => ({ type: 'opened', claim: CLAIM, headSeq })

/** As far as an open attempt that polls. */
async function polling(afterSeq = 0) {
  const all = world()
  all.connect(afterSeq)
  all.sockets[0]?.emit(closed)
  await all.polls[0]?.answer(came(ready(afterSeq)))
  return all
}

describe('one attempt', () => {
  test('[SN50] a ready socket opens the attempt, and what comes on it is reported', () => {
    const { connect, sockets, reports, polls } = world()
    connect(3)
    expect(sockets[0]?.request).toEqual({ conversationId: 'c', token: 't1', afterSeq: 3 })
    sockets[0]?.emit(ready(5))
    sockets[0]?.emit(rows(4, 5))
    sockets[0]?.emit({ type: 'typing', on: true })
    sockets[0]?.emit({ type: 'conversation', state: 'active', attributes: { a: 'b' }, version: 2 })
    expect(reports).toEqual([
      opened(5),
      rows(4, 5),
      { type: 'typing', on: true },
      { type: 'conversation', state: 'active', attributes: { a: 'b' }, version: 2 },
    ])
    expect(polls).toHaveLength(0)
  })

  test('[SN50] a socket that is cut before it is ready gives way to polling', async () => {
    const { connect, sockets, reports, polls } = world()
    connect(3)
    sockets[0]?.emit(closed)
    expect(polls[0]?.request).toEqual({ conversationId: 'c', token: 't1', afterSeq: 3, waitMs: 0 })
    expect(reports).toEqual([])
    await polls[0]?.answer(came(ready(4), rows(4)))
    expect(reports).toEqual([opened(4), rows(4)])
    expect(polls[1]?.request).toMatchObject({ afterSeq: 4, waitMs: POLL_WAIT_MS })
  })

  test('[SN50] a socket that stays silent is given up at the deadline, and not before', async () => {
    const { connect, sockets, polls, pass } = world()
    connect()
    await pass(CONNECT_DEADLINE_MS - 1)
    expect([sockets[0]?.isClosed, polls.length]).toEqual([false, 0])
    await pass(1)
    expect([sockets[0]?.isClosed, polls.length]).toEqual([true, 1])
  })

  test('[SN50] a ready socket has no deadline any more', async () => {
    const { connect, sockets, polls, pass } = world()
    connect()
    sockets[0]?.emit(ready(0))
    await pass(CONNECT_DEADLINE_MS)
    expect([sockets[0]?.isClosed, polls.length]).toEqual([false, 0])
  })

  test('[SN51] the attempt ends when polling fails too', async () => {
    const { connect, sockets, reports, polls, alarms } = world()
    connect()
    sockets[0]?.emit(closed)
    await polls[0]?.answer({ ...unreachable, verdict: 'retry-at', retryAfterMs: 7_000, isUnreachable: true })
    expect(reports).toMatchObject([
      {
        ...ENDED,
        verdict: 'retry-at',
        reason: 'no answer',
        code: 'SERVICE_UNREACHABLE',
        retryAfterMs: 7_000,
        isUnreachable: true,
      },
    ])
    expect([polls.length, sockets.length, alarms.size]).toEqual([1, 1, 0])
  })

  test('[SN51] an open socket that is lost ends the attempt', async () => {
    const { connect, sockets, reports, alarms } = world()
    connect()
    sockets[0]?.emit(ready(0))
    sockets[0]?.emit({ ...closed, retryAfterMs: 900 } as StreamEvent)
    expect(reports.at(-1)).toEqual({ type: 'ended', claim: CLAIM, verdict: 'retry', reason: 'cut', retryAfterMs: 900 })
    expect([sockets.length, alarms.size]).toEqual([1, 0])
  })

  test.each(['refresh', 'read-only', 'retry-at', 'session-lost'] as const)(
    '[SN51] a socket that is sent away (%s) ends the attempt without a poll',
    (verdict) => {
      const { connect, sockets, reports, polls } = world()
      connect()
      sockets[0]?.emit({ type: 'closed', verdict, reason: 'go' })
      expect(reports).toEqual([{ type: 'ended', claim: CLAIM, verdict, reason: 'go' }])
      expect(polls).toHaveLength(0)
    },
  )

  test('[SN51] a poll that is told to go ends the attempt after what came before it', async () => {
    const { polls, reports } = await polling()
    await polls[1]?.answer(
      came(rows(1), { type: 'closed', verdict: 'retry-at', reason: 'bye', retryAfterMs: 5 }, rows(2)),
    )
    expect(reports.slice(1)).toEqual([
      rows(1),
      { type: 'ended', claim: CLAIM, verdict: 'retry-at', reason: 'bye', retryAfterMs: 5 },
    ])
  })
})

describe('climbing back', () => {
  test('[SN52] each interval a socket is tried beside the polls', async () => {
    const { polls, sockets, pass } = await polling()
    await pass(TIMINGS.climbMs - 1)
    expect(sockets).toHaveLength(1)
    await pass(1)
    expect(sockets).toHaveLength(2)
    sockets[1]?.emit(closed)
    await pass(TIMINGS.climbMs)
    expect(sockets).toHaveLength(3)
    await pass(CONNECT_DEADLINE_MS)
    expect(sockets[2]?.isClosed).toBe(true)
    await pass(TIMINGS.climbMs)
    expect(sockets).toHaveLength(4)
    expect(polls.length).toBeGreaterThan(1)
  })

  test('[SN52] the socket takes over: nothing twice, nothing lost, no poll any more', async () => {
    const { polls, sockets, reports, pass } = await polling()
    await pass(TIMINGS.climbMs)
    expect(sockets[1]?.request.afterSeq).toBe(0)
    await polls.at(-1)?.answer(came(rows(1, 2)))
    const waiting = polls.length
    sockets[1]?.emit(ready(3))
    sockets[1]?.emit(rows(1))
    sockets[1]?.emit(rows(2, 3))
    await polls.at(-1)?.answer(came(rows(3)))
    await pass(POLL_WAIT_MS - 1)
    expect(reports).toEqual([opened(0), rows(1, 2), rows(3)])
    expect(polls).toHaveLength(waiting)
  })

  test('[SN52] on one socket an older message after a newer one is no double', () => {
    const { connect, sockets, reports } = world()
    connect()
    sockets[0]?.emit(ready(2))
    sockets[0]?.emit(rows(2))
    sockets[0]?.emit(rows(1))
    expect(reports).toEqual([opened(2), rows(2), rows(1)])
  })

  test('[SN52] a probe tries a socket now, and one at a time', async () => {
    const { stream, sockets, pass } = await polling()
    await pass(TIMINGS.climbMs - 1)
    stream.probe()
    stream.probe()
    expect(sockets).toHaveLength(2)
    await pass(1)
    expect(sockets).toHaveLength(2)
    sockets[1]?.emit(closed)
    await pass(TIMINGS.climbMs)
    expect(sockets).toHaveLength(3)
  })
})

describe('heartbeat', () => {
  test('[SN53] a half-open socket is found after the pings that nobody answers', async () => {
    const { connect, sockets, reports, pass } = world()
    connect()
    sockets[0]?.emit(ready(0))
    await pass(TIMINGS.pingMs)
    expect(sockets[0]?.said).toEqual(['ping 1'])
    await pass(2 * TIMINGS.pongMs)
    expect(sockets[0]?.said).toEqual(['ping 1', 'ping 2', 'ping 3'])
    await pass(TIMINGS.pongMs - 1)
    expect(reports).toHaveLength(1)
    await pass(1)
    expect(reports[1]).toMatchObject({ type: 'ended', claim: CLAIM, verdict: 'retry' })
    expect(sockets[0]?.isClosed).toBe(true)
    expect(sockets[0]?.said).toHaveLength(3)
  })

  test.each<[string, StreamEvent]>([
    ['its pong', { type: 'pong', id: '1' }],
    ['a message', rows(1)],
    ['a ping', { type: 'ping', id: 'x' }],
  ])('[SN54] %s is a sign of life: misses are counted anew', async (_, event) => {
    const { connect, sockets, reports, pass } = world()
    connect()
    sockets[0]?.emit(ready(0))
    await pass(TIMINGS.pingMs + 2 * TIMINGS.pongMs)
    sockets[0]?.emit(event)
    await pass(TIMINGS.pingMs + 3 * TIMINGS.pongMs - 1)
    expect(reports.filter(({ type }) => type === 'ended')).toEqual([])
    await pass(1)
    expect(reports.at(-1)?.type).toBe('ended')
  })

  test('[SN54] a socket that talks is not asked', async () => {
    const { connect, sockets, pass } = world()
    connect()
    sockets[0]?.emit(ready(0))
    for (let seq = 1; seq < 5; seq++) {
      await pass(TIMINGS.pingMs - 1)
      sockets[0]?.emit(rows(seq))
    }
    expect(sockets[0]?.said).toEqual([])
  })

  test('[SN54] a ping of the service is answered with its id', () => {
    const { connect, sockets } = world()
    connect()
    sockets[0]?.emit(ready(0))
    sockets[0]?.emit({ type: 'ping', id: 'server-7' })
    expect(sockets[0]?.said).toEqual(['pong server-7'])
  })

  test('[SN54] a probe asks now, once, and its misses count', async () => {
    const { stream, connect, sockets, reports, pass } = world()
    connect()
    sockets[0]?.emit(ready(0))
    stream.probe()
    stream.probe()
    expect(sockets[0]?.said).toEqual(['ping 1'])
    await pass(3 * TIMINGS.pongMs)
    expect(reports.at(-1)?.type).toBe('ended')
  })
})

describe('tokens, typing and the end', () => {
  test('[SN55] a new token goes to the open socket in place', () => {
    const { stream, connect, sockets, reports } = world()
    connect()
    sockets[0]?.emit(ready(0))
    stream.reauth('t2')
    stream.typing(true)
    expect(sockets[0]?.said).toEqual(['reauth t2', 'typing true'])
    expect(reports).toEqual([opened(0)])
  })

  test('[SN55] while polling it goes to the next poll and to the socket that is tried', async () => {
    const { stream, polls, sockets, pass } = await polling()
    await pass(TIMINGS.climbMs)
    stream.reauth('t2')
    stream.typing(true)
    expect(sockets[1]?.said).toEqual(['reauth t2'])
    await polls.at(-1)?.answer(came(rows(1)))
    expect(polls.at(-1)?.request.token).toBe('t2')
    sockets[1]?.emit(closed)
    await pass(TIMINGS.climbMs)
    expect(sockets[2]?.request.token).toBe('t2')
  })

  test('[SN56] a second connect takes the place of the first: nothing late of it is heard', async () => {
    const { connect, sockets, reports, polls, pass } = world()
    connect()
    sockets[0]?.emit(ready(0))
    connect(0, 't2')
    expect(sockets[0]?.isClosed).toBe(true)
    sockets[0]?.emit(rows(1))
    sockets[0]?.emit(closed)
    sockets[1]?.emit(ready(0))
    await pass(CONNECT_DEADLINE_MS)
    expect(reports).toEqual([opened(0), opened(0)])
    expect(polls).toHaveLength(0)
  })

  test('[SN56] close is silent, and nothing is left behind', async () => {
    const { stream, polls, sockets, reports, alarms, pass } = await polling()
    await pass(TIMINGS.climbMs)
    stream.close()
    expect(sockets[1]?.isClosed).toBe(true)
    sockets[1]?.emit(ready(9))
    await polls.at(-1)?.answer(came(rows(1)))
    stream.probe()
    stream.reauth('t3')
    expect(reports).toEqual([opened(0)])
    expect(alarms.size).toBe(0)
  })

  test('[SN56] a poll that was under way when another attempt began reports nothing', async () => {
    const { connect, polls, sockets, reports } = await polling()
    connect()
    await polls.at(-1)?.answer(unreachable)
    sockets[1]?.emit(ready(0))
    expect(reports).toEqual([opened(0), opened(0)])
  })

  test('[TR34] a poll whose log ends below what it has given ends the attempt, so that the cursor is asked about', async () => {
    const { polls, reports } = await polling(4)
    await polls[1]?.answer(came(ready(5), rows(5)))
    await polls[2]?.answer(came(ready(3)))
    expect(reports).toMatchObject([opened(4), rows(5), { ...ENDED, verdict: 'retry' }])
    expect(polls).toHaveLength(3)
  })

  test('[TR34] the first poll only says where the log ends', async () => {
    const all = world()
    all.connect(4)
    all.sockets[0]?.emit(closed)
    await all.polls[0]?.answer(came(ready(3)))
    expect([all.reports, all.polls.length]).toEqual([[opened(3)], 2])
  })

  test('[SN57] empty polls keep their distance, and those with messages do not wait', async () => {
    const { polls, pass } = await polling()
    expect(polls).toHaveLength(2)
    await polls[1]?.answer(came())
    await pass(POLL_PAUSE_MS - 1)
    expect(polls).toHaveLength(2)
    await pass(1)
    expect(polls).toHaveLength(3)
    await polls[2]?.answer(came(rows(1)))
    expect(polls).toHaveLength(4)
    await pass(POLL_PAUSE_MS)
    await polls[3]?.answer(came())
    await pass(0)
    expect(polls).toHaveLength(5)
  })
})
