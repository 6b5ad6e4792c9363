// The attributes of the conversation: merging, limits, bursts, conflicts.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE, TRY_MS } from '../../core/attempt.ts'
import { bytesOf, type Context, EMPTY_CONTEXT, merge, plan, reduce, refusalOf } from '../../core/context.ts'
import type { AttributeDelta, Attributes } from '../../core/wire.ts'
import { asJson, env, HOUR, LIMITS, MINUTE, NOW, SECOND } from './fixtures.ts'

const claim = { key: 'a', count: 1 }
const running: Attempt = { status: 'running', ...claim, owner: 'w1', retryAt: NOW + 10 * SECOND }
const context = (change: Partial<Context> = {}): Context => ({ ...EMPTY_CONTEXT, version: 4, ...change })
const set = (state: Context, delta: AttributeDelta, now = NOW): Context =>
  reduce(state, { type: 'context-set', delta }, env({ now }))

describe('merging', () => {
  test.each<{ values: Attributes; delta: AttributeDelta; merged: string }>([
    { values: {}, delta: { b: 'x', a: true }, merged: '{"a":true,"b":"x"}' },
    { values: { a: '1', b: '2' }, delta: { a: null }, merged: '{"b":"2"}' },
    { values: { b: '2' }, delta: { a: null, c: false }, merged: '{"b":"2","c":false}' },
    { values: { a: '1' }, delta: { a: '' }, merged: '{"a":""}' },
    {
      values: Object.fromEntries([['toString', 'x']]),
      delta: Object.fromEntries([['constructor', 'y']]),
      merged: '{"constructor":"y","toString":"x"}',
    },
  ])('[CX1] $delta onto $values is $merged, byte for byte', ({ values, delta, merged }) => {
    expect(JSON.stringify(merge(values, delta))).toBe(merged)
  })

  test('[CX1] no name is special', () => {
    const delta = JSON.parse('{"__proto__":"x"}') as AttributeDelta
    expect(JSON.stringify(set(context(), delta).values)).toBe('{"__proto__":"x"}')
  })

  test.each([
    { delta: { a: '1' }, dirty: {} },
    { delta: { a: '2' }, dirty: { a: '2' } },
    { delta: { a: null, b: null }, dirty: { a: null } },
    { delta: { a: '1', b: true }, dirty: { b: true } },
  ])('[CX2] of $delta onto a=1 only $dirty travels', ({ delta, dirty }) => {
    const before = context({ values: { a: '1' } })
    const after = set(before, delta)
    expect(after.dirty).toEqual(dirty)
    if (Object.keys(dirty).length === 0) expect(after).toBe(before)
  })
})

describe('limits', () => {
  test.each([
    { delta: { a: 'x'.repeat(2_000) }, code: undefined },
    { delta: { a: 'x'.repeat(2_001) }, code: 'CONTEXT_TOO_LARGE' },
    { delta: { a: null }, code: undefined },
  ])('[CX3] a value is refused beyond its limit and never cut', ({ delta, code }) => {
    expect(refusalOf({}, delta, LIMITS)?.code).toBe(code)
  })

  test('[CX3] so is the sum of all, in bytes as they travel', () => {
    const values = { a: 'é'.repeat(10) }
    const bytes = bytesOf(values)
    expect(bytes).toBe(new TextEncoder().encode(JSON.stringify(values)).length)
    expect(refusalOf(values, {}, { ...LIMITS, routingBytesMax: bytes })).toBeUndefined()
    const refusal = refusalOf(values, { b: '' }, { ...LIMITS, routingBytesMax: bytes })
    expect(refusal).toMatchObject({ code: 'CONTEXT_TOO_LARGE', message: expect.stringContaining('keep references') })
    expect(refusalOf({ b: 'x' }, { b: null, ...values }, { ...LIMITS, routingBytesMax: bytes })).toBeUndefined()
  })

  test('[CX3] the limits are those that the platform reports', () => {
    expect(refusalOf({}, { a: 'four' }, { ...LIMITS, attributeCharsMax: 3 })?.code).toBe('CONTEXT_TOO_LARGE')
  })

  test('[CX30] a name beyond its limit is refused, and its message shows only the beginning', () => {
    expect(refusalOf({}, { ['n'.repeat(100)]: '1' }, LIMITS)).toBeUndefined()
    const refusal = refusalOf({}, { ['n'.repeat(101)]: '1' }, LIMITS)
    expect(refusal).toMatchObject({
      code: 'CONTEXT_TOO_LARGE',
      message: expect.stringMatching(/"n{20}….* 101 .* 100:/),
    })
  })

  test('[CX30] so is one attribute too many; what makes too many fewer is accepted', () => {
    const some = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, '1']))
    expect(refusalOf(some(99), { x: true }, LIMITS)).toBeUndefined()
    const refusal = refusalOf(some(100), { x: true }, LIMITS)
    expect(refusal).toMatchObject({ code: 'CONTEXT_TOO_LARGE', message: expect.stringMatching(/101 .* 100: remove/) })
    expect(refusalOf(some(100), { n1: '2' }, LIMITS)).toBeUndefined()
    expect(refusalOf(some(105), { n1: null }, LIMITS)).toBeUndefined()
    expect(refusalOf(some(2), { x: true }, { ...LIMITS, attributesMax: 2 })?.code).toBe('CONTEXT_TOO_LARGE')
    const large = { a: 'x'.repeat(50), b: 'x'.repeat(50) }
    expect(refusalOf(large, { a: null }, { ...LIMITS, routingBytesMax: 20 })).toBeUndefined()
  })

  test('[CX3] the bytes are those of an encoder, whatever the characters', () => {
    const attributes = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(attributes, (values) => {
        expect(bytesOf(values)).toBe(new TextEncoder().encode(JSON.stringify(merge(values, {}))).length)
      }),
    )
  })
})

describe('pushing', () => {
  const quiet = context({ pushedAt: NOW - MINUTE })

  test('[CX4] a burst shares one update at the end of its window', () => {
    const burst = set(set(quiet, { a: '1' }), { a: '2', b: true }, NOW + 200)
    expect(plan(burst, true, env({ now: NOW + 200 }))).toEqual({ state: burst, wakeAt: NOW + 250 })
    const { state, action, wakeAt } = plan(asJson(burst), true, env({ now: NOW + 250 }))
    expect(action).toMatchObject({
      type: 'push',
      claim: { key: 'k1', count: 1 },
      delta: { a: '2', b: true },
      version: 4,
    })
    expect(state).toMatchObject({ dirty: {}, sending: { a: '2', b: true }, pushedAt: NOW + 250 })
    expect(wakeAt).toBe(NOW + 250 + TRY_MS)
  })

  test('[CX4] there is at most one update a second', () => {
    const state = set(context({ pushedAt: NOW - 100 }), { a: '1' })
    expect(plan(state, true, env({ now: NOW + 300 }))).toEqual({ state, wakeAt: NOW + 900 })
    expect(plan(state, true, env({ now: NOW + 900 })).action).toBeDefined()
  })

  test.each([
    { jump: 'before the change', change: { changedAt: NOW + HOUR } },
    { jump: 'after a push', change: { changedAt: NOW, pushedAt: NOW + HOUR } },
  ])('[CX4] a clock that was set back $jump holds no update', ({ change }) => {
    const state = context({ dirty: { a: '1' }, ...change })
    expect(plan(state, true, env({ now: NOW + 250 })).action).toBeDefined()
  })

  test('[CX5] what changes offline is pushed once, merged', () => {
    let state = quiet
    for (const [index, value] of ['1', '2', '3'].entries()) state = set(state, { a: value }, NOW + index * MINUTE)
    expect(plan(state, false, env({ now: NOW + HOUR }))).toEqual({ state })
    expect(plan(state, true, env({ now: NOW + HOUR })).action?.delta).toEqual({ a: '3' })
  })

  test('[CX6] while an update is on the wire, changes wait for its outcome', () => {
    const state = set(context({ sending: { a: '1' }, attempt: running, pushedAt: NOW }), { b: '2' })
    expect(plan(state, true, env({ now: NOW + 5 * SECOND }))).toEqual({ state, wakeAt: running.retryAt })
    const pushed = reduce(state, { type: 'pushed', claim, version: 5 }, env())
    expect(pushed).toMatchObject({ sending: null, dirty: { b: '2' }, version: 5, attempt: IDLE })
    expect(plan(pushed, true, env({ now: NOW + SECOND })).action?.delta).toEqual({ b: '2' })
  })

  test('[CX6] a retry carries what has changed since, a newer value above an older', () => {
    const sending = context({ sending: { a: '1', b: '1' }, attempt: running, pushedAt: NOW })
    const failed = reduce(set(sending, { b: null, c: true }), { type: 'push-failed', claim }, env())
    expect(plan(failed, true, env({ now: NOW + SECOND })).action).toMatchObject({
      claim: { key: 'a', count: 2 },
      delta: { a: '1', c: true },
    })
  })

  test.each([
    { of: 'an older try', attempt: { ...running, count: 2 } },
    { of: 'another push', attempt: { ...running, key: 'b' } },
    { of: 'a push that has failed', attempt: { status: 'waiting' as const, ...claim, retryAt: NOW, floorAt: 0 } },
    { of: 'no push', attempt: IDLE },
  ])('[CX7] the late answer of $of changes nothing', ({ attempt }) => {
    const state = context({ sending: { a: '1', b: '2' }, attempt })
    const values = { z: '9' }
    expect(reduce(state, { type: 'pushed', claim, version: 9 }, env())).toBe(state)
    expect(reduce(state, { type: 'push-conflict', claim, version: 9, values }, env())).toBe(state)
    expect(reduce(state, { type: 'push-refused', claim }, env())).toBe(state)
    expect(reduce(state, { type: 'push-failed', claim, retryAfterMs: HOUR }, env())).toBe(state)
  })

  test('[CX8] what the platform will never take is not offered again', () => {
    const state = context({ values: { a: '1' }, sending: { a: '1' }, attempt: running })
    const refused = reduce(state, { type: 'push-refused', claim }, env())
    expect(refused).toMatchObject({ values: { a: '1' }, sending: null, attempt: IDLE })
    expect(plan(refused, true, env({ now: NOW + HOUR }))).toEqual({ state: refused })
  })

  test('[CX9] a Retry-After holds the next update, also through a restart and a wake-up', () => {
    const state = context({ sending: { a: '1' }, attempt: running })
    const failed = reduce(state, { type: 'push-failed', claim, retryAfterMs: MINUTE }, env())
    const woken = asJson(reduce(failed, { type: 'woken' }, env({ now: NOW + SECOND })))
    const again = (now: number) => plan(woken, true, env({ now, owner: 'w2' })).action
    expect([again(NOW + MINUTE - 1), again(NOW + MINUTE)?.claim.count]).toEqual([undefined, 2])
  })
})

describe('others', () => {
  test('[CX10] after a conflict ours go on top of theirs, and only what differs travels again', () => {
    const state = context({
      values: { a: '1', b: '2', c: '3' },
      sending: { a: '1', d: null },
      dirty: { b: '2' },
      attempt: running,
      pushedAt: NOW,
    })
    const theirs = { a: '0', b: '2', d: 'x', e: 'y' }
    const merged = reduce(state, { type: 'push-conflict', claim, values: theirs, version: 7 }, env())
    expect(merged).toMatchObject({ values: { a: '1', b: '2', e: 'y' }, dirty: { a: '1', d: null }, version: 7 })
    expect(plan(merged, true, env({ now: NOW + SECOND })).action).toMatchObject({
      delta: { a: '1', d: null },
      version: 7,
    })
  })

  test('[CX11] a platform that finds a conflict each time is asked less and less often', () => {
    let state = context({ dirty: { a: '1' }, values: { a: '1' } })
    const at: number[] = []
    let now = NOW
    while (at.length < 8) {
      const { state: next, action, wakeAt } = plan(state, true, env({ now }))
      state = next
      if (action) {
        at.push(now)
        const conflict = { type: 'push-conflict' as const, claim: action.claim, values: {}, version: 9 }
        state = reduce(state, conflict, env({ now }))
      } else now = Math.max(now + 1, wakeAt ?? now)
    }
    const gaps = at.slice(1).map((one, index) => one - (at[index] as number))
    expect(gaps.every((gap) => gap >= SECOND)).toBe(true)
    expect(gaps.at(-1)).toBe(15 * SECOND)
  })

  test.each([
    { version: 3, values: { a: '1' }, result: { a: 'mine' } },
    { version: 4, values: { a: '1', b: '2' }, result: { a: 'mine', b: '2' } },
    { version: 9, values: { c: '3' }, result: { a: 'mine', c: '3' } },
  ])('[CX12] version $version of the platform is seen under what is unsent', ({ version, values, result }) => {
    const state = context({ values: { a: 'mine' }, dirty: { a: 'mine' } })
    const seen = reduce(state, { type: 'remote-context', values, version }, env())
    expect([seen.values, seen.version]).toEqual([result, Math.max(4, version)])
  })

  test('[CX12] an answer that comes after later news does not set the version back', () => {
    const state = context({ sending: { a: '1' }, attempt: running })
    const heard = reduce(state, { type: 'remote-context', values: { a: '1', b: '2' }, version: 6 }, env())
    expect(reduce(heard, { type: 'pushed', claim, version: 5 }, env())).toMatchObject({
      version: 6,
      values: { b: '2' },
    })
  })

  test.each([
    { is: 'new and empty', values: {}, all: { a: '1', b: '2' }, dirty: { a: '1', b: '2', c: null } },
    { is: 'made with everything', values: { a: '1', b: '2', c: '3' }, all: { a: '1', b: '2' }, dirty: { c: null } },
    { is: 'not known yet', values: null, all: { a: '1', b: '2' }, dirty: { a: '1', b: '2', c: null } },
    { is: 'joined', values: { a: '0', d: '4' }, all: { a: '1', b: '2', d: '4' }, dirty: { a: '1', b: '2', c: null } },
  ])(
    '[CX13] a conversation that is $is is told what it lacks, and keeps what others said',
    ({ values, all, dirty }) => {
      const state = context({ values: { a: '1', b: '2' }, sending: { c: null }, dirty: { b: '2' }, attempt: running })
      const made = reduce(state, { type: 'conversation-made', version: 2, values }, env())
      expect(made).toMatchObject({ values: all, version: 2, sending: null, attempt: IDLE })
      const isHeld = (name: string) => values === null || Object.hasOwn(values, name)
      const wanted = Object.entries(dirty).filter(([name, value]) => value !== null || isHeld(name))
      expect(made.dirty).toEqual(Object.fromEntries(wanted))
    },
  )
})

describe('in any order', () => {
  const value = fc.oneof(fc.constantFrom('x', 'y', 'z'), fc.boolean(), fc.constant(null))
  const delta: fc.Arbitrary<AttributeDelta> = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), value)
  const step = fc.oneof(
    fc.record({ do: fc.constant('set' as const), delta }),
    fc.record({ do: fc.constant('agent' as const), delta }),
    fc.record({ do: fc.constantFrom('push', 'lose', 'deliver', 'stream') }),
  )

  test('[CX14] two tabs, an agent and lost answers: platform and browser end equal, our last word per key on top', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let state: Context = { ...EMPTY_CONTEXT }
        let now = NOW
        const platform = { values: {} as Attributes, version: 0 }
        const said: { [name: string]: string | boolean | null } = {}
        let onWire: ReturnType<typeof plan>['action']
        const push = () => {
          now += MINUTE
          const planned = plan(state, true, env({ now, key: () => `push ${now}` }))
          state = asJson(planned.state)
          onWire = planned.action ?? onWire
        }
        const deliver = (isAnswered: boolean) => {
          if (!onWire) return
          const conflict = onWire.version !== platform.version
          if (!conflict) {
            platform.values = merge(platform.values, onWire.delta)
            platform.version += 1
          }
          const { values, version } = platform
          const answer = conflict ? { type: 'push-conflict' as const, values } : { type: 'pushed' as const }
          if (isAnswered) state = asJson(reduce(state, { ...answer, claim: onWire.claim, version }, env({ now })))
          onWire = undefined
        }
        const hear = () => {
          const { values, version } = platform
          state = reduce(state, { type: 'remote-context', values, version }, env({ now }))
        }
        for (const one of steps) {
          if (one.do === 'set') {
            // To say what one believes to be so already is to say nothing.
            for (const [name, word] of Object.entries(one.delta)) {
              if ((state.values[name] ?? null) !== word) said[name] = word
            }
            state = set(state, one.delta, now)
          } else if (one.do === 'agent') {
            platform.values = merge(platform.values, one.delta)
            platform.version += 1
            for (const name of Object.keys(one.delta)) delete said[name]
          } else if (one.do === 'push') push()
          else if (one.do === 'stream') hear()
          else deliver(one.do === 'deliver')
        }
        for (let rest = 0; rest < 4; rest++) {
          push()
          deliver(true)
        }
        hear()
        expect(state.values).toEqual(platform.values)
        for (const [name, word] of Object.entries(said)) expect(state.values[name] ?? null).toBe(word)
      }),
      { numRuns: 400 },
    )
  })
})
