// Which entries are sent now, and what holds whatever the order of answers.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE } from '../../core/attempt.ts'
import { countsOf, EMPTY_OUTBOX, type Entry, laneOf, type Outbox, reduce, restore } from '../../core/outbox.ts'
import { plan, RUN_ENTRIES_MAX, SEND_TIMEOUT_MS, STALE_AFTER_MS } from '../../core/sends.ts'
import { asJson, env, HOUR, MINUTE, NOW, SECOND } from './fixtures.ts'

const entry = (seq: number, change: Partial<Entry> = {}): Entry => {
  const lane = change.lane ?? '1'
  return { seq, key: `k${seq}`, lane, text: 'hello', at: NOW, epoch: 'e', bytes: 210, live: lane, ...change }
}
const many = (count: number, change: Partial<Entry> = {}): Entry[] =>
  Array.from({ length: count }, (_, index) => entry(index + 1, change))
const holding = (entries: readonly Entry[], attempt: Attempt = IDLE, upTo = 0): Outbox => {
  const outbox = restore(entries)
  const lanes = Object.fromEntries(
    Object.entries(outbox.lanes).map(([name, { size }]) => [name, { size, attempt, upTo }]),
  )
  return { ...outbox, lanes }
}
const runsOf = (entries: readonly Entry[]): Map<string, Entry[]> => {
  const runs = new Map<string, Entry[]>()
  for (const one of entries) if (one.live) runs.set(one.live, [...(runs.get(one.live) ?? []), one])
  return runs
}
const isOpen = () => true
const running: Attempt = { status: 'running', key: 'a', count: 1, owner: 'w1', retryAt: NOW + MINUTE }
const waiting: Attempt = { status: 'waiting', key: 'a', count: 1, retryAt: NOW + SECOND, floorAt: NOW + SECOND }

describe('what is sent', () => {
  test('[OB17] one attempt covers the oldest run of a lane, and is in the state before anything is sent', () => {
    const entries = many(RUN_ENTRIES_MAX + 4)
    const { state, actions, puts, wakeAt } = plan(holding(entries), runsOf(entries), isOpen, env())
    const claim = { key: 'k1', count: 1 }
    expect(actions).toMatchObject([{ type: 'send', lane: '1', claim, entries: entries.slice(0, RUN_ENTRIES_MAX) }])
    const retryAt = NOW + SEND_TIMEOUT_MS * (1 + RUN_ENTRIES_MAX)
    expect(laneOf(state, '1')).toMatchObject({
      upTo: RUN_ENTRIES_MAX,
      attempt: { status: 'running', ...claim, retryAt },
    })
    expect([puts, wakeAt]).toEqual([[], retryAt])
  })

  test('[OB18] conversations do not wait for each other', () => {
    const entries = [entry(1), entry(2, { lane: '2' })]
    const outbox = restore(entries)
    const lanes = { ...outbox.lanes, 1: { ...laneOf(outbox, '1'), attempt: waiting } }
    const { actions, wakeAt } = plan({ ...outbox, lanes }, runsOf(entries), isOpen, env())
    expect(actions.map(({ lane }) => lane)).toEqual(['2'])
    expect(wakeAt).toBe(NOW + SECOND)
  })

  test.each([
    { is: 'on the wire', attempt: running, now: NOW, sends: 0 },
    { is: 'on the wire of a worker that is gone', attempt: { ...running, owner: 'w0' }, now: NOW, sends: 1 },
    { is: 'on the wire for too long', attempt: running, now: NOW + MINUTE, sends: 1 },
    { is: 'waiting', attempt: waiting, now: NOW, sends: 0 },
    { is: 'waiting long enough', attempt: waiting, now: NOW + SECOND, sends: 1 },
  ])('[OB5] a lane that is $is sends $sends run', ({ attempt, now, sends }) => {
    const { actions } = plan(holding([entry(1)], attempt, 1), runsOf([entry(1)]), isOpen, env({ now }))
    expect(actions).toHaveLength(sends)
    for (const { claim } of actions) expect(claim).toMatchObject({ key: 'a', count: 2 })
  })

  test('[OB17] without the pump nothing is sent', () => {
    const outbox = holding([entry(1)])
    expect(plan(outbox, runsOf([entry(1)]), isOpen, env({ pump: false }))).toMatchObject({ state: outbox, actions: [] })
  })

  test('[OB19] a lane whose conversation takes no messages is parked, and no run of it stays claimed', () => {
    const outbox = holding([entry(1)], { ...running, owner: 'w0' }, 1)
    const parked = plan(outbox, runsOf([entry(1)]), () => false, env())
    expect(parked).toEqual({ state: holding([entry(1)], IDLE, 1), actions: [], puts: [] })
    expect(reduce(parked.state, { type: 'cancelled', entry: entry(1) }, env()).refusal).toBeUndefined()
    const live = holding([entry(1)], running, 1)
    expect(plan(live, runsOf([entry(1)]), () => false, env()).state).toBe(live)
    const waits = holding([entry(1)], waiting, 1)
    expect(plan(waits, runsOf([entry(1)]), () => false, env({ now: NOW + HOUR })).state).toBe(waits)
  })
})

describe('old text', () => {
  const old = NOW - STALE_AFTER_MS

  test('[OB20] what waited a day is held for the site, and the rest goes on', () => {
    const entries = [entry(1, { at: old }), entry(2, { at: old + 1 }), entry(3, { at: old })]
    const { state, puts, actions } = plan(holding(entries), runsOf(entries), isOpen, env())
    expect(puts.map(({ seq, live, held }) => [seq, live, held?.status, held?.code])).toEqual([
      [1, undefined, 'stale', 'OUTBOX_STALE'],
      [3, undefined, 'stale', 'OUTBOX_STALE'],
    ])
    expect(actions.map((action) => action.type === 'send' && action.entries)).toEqual([[entries[1]]])
    expect(countsOf(state)).toEqual({ queued: 0, inflight: 1, dead: 0, stale: 2 })
  })

  test('[OB20] a clock that was ahead when the message was accepted makes it no older', () => {
    const entries = [entry(1, { at: NOW + HOUR })]
    expect(plan(holding(entries), runsOf(entries), isOpen, env()).actions).toHaveLength(1)
  })

  test('[OB21] a page of old text is followed by the next one, and the search ends', () => {
    let entries = many(2 * RUN_ENTRIES_MAX + 8, { at: old })
    let state = holding(entries)
    for (let turn = 1; turn <= 3; turn++) {
      const page = runsOf(entries.filter(({ live }) => live).slice(0, RUN_ENTRIES_MAX))
      const planned = plan(state, page, isOpen, env())
      expect([planned.actions, planned.wakeAt]).toEqual([[], turn < 3 ? NOW : undefined])
      const held = new Map(planned.puts.map((one) => [one.seq, one]))
      entries = entries.map((one) => held.get(one.seq) ?? one)
      state = planned.state
    }
    expect(countsOf(state)).toEqual({ queued: 0, inflight: 0, dead: 0, stale: 2 * RUN_ENTRIES_MAX + 8 })
  })

  test('[OB21] a lane that was not read is looked at again at once', () => {
    expect(plan(holding([entry(1)]), new Map(), isOpen, env()).wakeAt).toBe(NOW)
  })

  test('[OB21] a counter without entries is corrected, so that nobody looks for them for ever', () => {
    const { state, wakeAt } = plan(holding([entry(1)]), new Map([['1', []]]), isOpen, env())
    expect(countsOf(state).queued).toBe(0)
    expect(wakeAt).toBeUndefined()
  })
})

/** What a platform and a site may do to one outbox, in any order. */
type Step =
  | { do: 'enqueue'; lane: string }
  | { do: 'plan' }
  | { do: 'ack' | 'refuse' | 'fail' | 'end' | 'late' | 'cancel' | 'retry' | 'move'; pick: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('enqueue' as const), lane: fc.constantFrom('1', '2') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('plan' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('ack', 'refuse', 'fail', 'end', 'late', 'cancel', 'retry', 'move'),
      pick: fc.nat(1_000),
    }),
  },
)

class Model {
  outbox = EMPTY_OUTBOX
  disk = new Map<number, Entry>()
  now = NOW
  count = 0
  /** Each run as it was handed out: its entries are sent one after the other. */
  runs: { lane: string; claim: { key: string; count: number }; entries: Entry[] }[] = []
  readonly sent: Entry[] = []

  change(input: Parameters<typeof reduce>[1]): void {
    const { state, put, drop } = reduce(this.outbox, input, env({ now: this.now }))
    this.outbox = asJson(state)
    if (drop) this.disk.delete(drop.seq)
    if (put) this.disk.set(put.seq, asJson(put))
  }

  plan(): void {
    this.now += MINUTE * 6
    const live = [...this.disk.values()].sort((a, b) => a.seq - b.seq)
    const runs = new Map(
      ['1', '2'].map((lane) => [lane, live.filter((one) => one.live === lane).slice(0, RUN_ENTRIES_MAX)]),
    )
    const { state, actions } = plan(this.outbox, runs, isOpen, env({ now: this.now, key: () => `run ${++this.count}` }))
    this.outbox = asJson(state)
    for (const action of actions)
      if (action.type === 'send')
        this.runs.push({ lane: action.lane, claim: action.claim, entries: [...action.entries] })
  }

  run(input: Step): void {
    if (input.do === 'plan') return this.plan()
    if (input.do === 'enqueue') {
      const message = { key: `m${++this.count}`, text: 'x' }
      return this.change({ type: 'enqueued', message, lane: input.lane, epoch: 'e' })
    }
    const all = [...this.disk.values()]
    const entry = all[input.pick % Math.max(1, all.length)]
    const run = this.runs[input.pick % Math.max(1, this.runs.length)]
    const next = run?.entries[0]
    const stored = next && all.find(({ key }) => key === next.key)
    if (input.do === 'ack' && run && next) {
      run.entries.shift()
      this.sent.push(next)
      if (stored) this.change({ type: 'settled', entry: stored })
    }
    if (input.do === 'refuse' && run && next) {
      run.entries.shift()
      if (stored) this.change({ type: 'refused', entry: stored, code: 'C', reason: 'why' })
    }
    if ((input.do === 'fail' || input.do === 'end') && run) {
      this.runs = this.runs.filter((one) => one !== run)
      this.change({ type: input.do === 'fail' ? 'send-failed' : 'run-ended', lane: run.lane, claim: run.claim })
    }
    if (input.do === 'late') this.change({ type: 'send-failed', lane: '1', claim: { key: 'nobody', count: 1 } })
    if (input.do === 'cancel' && entry) this.change({ type: 'cancelled', entry })
    if (input.do === 'retry' && entry) this.change({ type: 'retried', entry, lane: entry.lane })
    if (input.do === 'move' && entry) this.change({ type: 'retried', entry, lane: '2' })
  }
}

describe('in any order', () => {
  test('[OB22] the counters are those of the entries after every step', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const model = new Model()
        for (const input of steps) {
          model.run(input)
          const counted = restore([...model.disk.values()].sort((a, b) => a.seq - b.seq))
          const sizes = (box: Outbox) => ['1', '2'].map((lane) => laneOf(box, lane).size)
          expect(sizes(model.outbox)).toEqual(sizes(counted))
          const { bytes, dead, stale } = model.outbox
          expect({ bytes, dead, stale }).toEqual({ bytes: counted.bytes, dead: counted.dead, stale: counted.stale })
        }
      }),
      { numRuns: 300 },
    )
  })

  test('[OB23] what the platform sees first of each lane is in the order of commit', () => {
    const honest = step.filter((input) => !['retry', 'move'].includes(input.do))
    fc.assert(
      fc.property(fc.array(honest, { maxLength: 80 }), (steps) => {
        const model = new Model()
        for (const input of steps) model.run(input)
        for (const lane of ['1', '2']) {
          const seen = [...new Set(model.sent.filter((one) => one.lane === lane).map(({ seq }) => seq))]
          expect(seen).toEqual([...seen].sort((a, b) => a - b))
        }
      }),
      { numRuns: 300 },
    )
  })
})
