// How long things are kept, seen from the engine: what a tab is shown, what is on the disk, what the platform is told.

import { describe, expect, test } from 'vitest'
import { LIFETIMES } from '../../core/lifetimes.ts'
import type { AttributeDelta } from '../../core/wire.ts'
import { parseConfig } from '../../sw/config.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import { HOUR, MINUTE, row, SECOND } from '../core/fixtures.ts'
import { liveRig, type Options, type Rig, rig } from './engine-fixtures.ts'

const DAY = 24 * HOUR

let count = 0
const set = (one: Rig, delta: AttributeDelta) =>
  one.run({ type: 'set-context', key: `set ${++count}`, delta }, {}).catch((error: { code: string }) => error.code)

/** The same browser, so much later, with another worker: what its first tab is shown. */
async function later(one: Rig, ms: number, options: Options = {}) {
  const next = rig({ disk: one.disk, incarnation: `w${++count}`, ...options })
  next.clock.time = one.clock.time + ms
  return { next, snapshot: (await next.pull()).snapshot }
}

const shown = async (one: Rig) => (await one.pull()).snapshot.context
const stored = async (one: Rig) => JSON.stringify((await one.disk.store.tail(99, 99)).slots)

describe('attributes', () => {
  test.each([
    { kind: 'who the visitor says they are', name: 'identity_email', life: DAY, lifetimes: undefined },
    { kind: 'what they agreed to', name: 'consent_recording', life: 180 * DAY, lifetimes: undefined },
    {
      kind: 'what the site names',
      name: 'crm_case',
      life: MINUTE,
      lifetimes: { ...LIFETIMES, attributes: { 'crm_*': MINUTE } },
    },
    {
      kind: 'one name of a kind',
      name: 'identity_email',
      life: MINUTE,
      lifetimes: { ...LIFETIMES, attributes: { 'identity_*': DAY, identity_email: MINUTE } },
    },
  ])('[CX90] $kind ends: on the screen, on the disk and at the platform', async ({ name, life, lifetimes }) => {
    const one = await liveRig({ lifetimes })
    await set(one, { cart: '12.00', [name]: 'marked' })
    await one.clock.advance(2 * SECOND)
    expect(one.log).toContain(`push {"cart":"12.00","${name}":"marked"}`)
    const { next, snapshot } = await later(one, life - 3 * SECOND, { lifetimes })
    expect(snapshot.context).toEqual({ cart: '12.00', [name]: 'marked' })
    await next.clock.advance(10 * SECOND)
    expect(await shown(next)).toEqual({ cart: '12.00' })
    expect(await stored(next)).not.toMatch(/marked/)
    expect(next.log).toContain(`push {"${name}":null}`)
    expect(next.told('changed').length).toBeGreaterThan(0)
  })

  test('[CX91] to set it again begins its time anew, also to the same value; a refused change does not', async () => {
    const one = await liveRig()
    await set(one, { identity_name: 'Ann', identity_phone: '1' })
    const { next } = await later(one, DAY - HOUR)
    await set(next, { identity_name: 'Ann' })
    expect(await set(next, { identity_phone: '1', note: 'x'.repeat(3_000) })).toBe('CONTEXT_TOO_LARGE')
    const { next: last, snapshot } = await later(next, 2 * HOUR)
    expect(snapshot.context).toEqual({ identity_name: 'Ann' })
    expect((await later(last, 22 * HOUR)).snapshot.context).toEqual({})
  })

  test('[CX91] a clock that is set back keeps nothing for longer than its time by the new hour', async () => {
    const one = await liveRig()
    await set(one, { identity_name: 'Ann' })
    const { next, snapshot } = await later(one, -30 * DAY)
    expect(snapshot.context).toEqual({ identity_name: 'Ann' })
    expect((await later(next, DAY)).snapshot.context).toEqual({})
  })

  test('[CX92] what ended while nothing ran is not shown to the first tab, and not told to a new conversation', async () => {
    const one = await liveRig()
    await set(one, { identity_name: 'Ann', cart: '1' })
    const { next, snapshot } = await later(one, 8 * DAY)
    expect(snapshot.context).toEqual({ cart: '1' })
    await next.clock.advance(10 * SECOND)
    expect(next.log.join()).not.toContain('Ann')
  })

  test('[CX90] one that came from elsewhere has its time from when it was first seen here', async () => {
    const one = await liveRig()
    one.hear({ type: 'conversation', state: 'active', attributes: { identity_name: 'Ann' }, version: 5 })
    await one.clock.advance(SECOND)
    expect(await shown(one)).toEqual({ identity_name: 'Ann' })
    expect((await later(one, DAY)).snapshot.context).toEqual({})
  })

  test('[WI1] a logout leaves no name of an attribute behind', async () => {
    const one = await liveRig()
    await set(one, { identity_name: 'Ann' })
    let isOut = false
    const leaving = one.run({ type: 'logout', key: 'bye', unsent: 'discard' }).then(() => {
      isOut = true
    })
    while (!isOut) await one.clock.advance(100)
    await leaving
    expect(await stored(one)).not.toContain('identity_')
  })
})

describe('the transcript', () => {
  test('[TR33] what was said goes 97 days after the service was last heard; what is unsent stays', async () => {
    const one = await liveRig()
    one.hear({ type: 'rows', rows: [row(1)] })
    await one.clock.advance(SECOND)
    const rows = async (of: Rig) => (await of.disk.store.rows('c1', 99, 9)).length
    const { next } = await later(one, 97 * DAY - MINUTE, { platform: { open: () => new Promise(() => {}) } })
    await next.enqueue('unsent')
    expect(await rows(next)).toBe(1)
    const { next: last, snapshot } = await later(next, 2 * MINUTE, { platform: { open: () => new Promise(() => {}) } })
    expect(await rows(last)).toBe(0)
    expect(snapshot.messages.map(({ key }) => key)).toEqual(['unsent'])
  })
})

describe('the configuration', () => {
  const parsed = (lifetimes: unknown) =>
    parseConfig(
      { deployments: { acme: { platform: { type: 'session-service', url: '/' }, lifetimes } } },
      { 'session-service': sessionService },
    ).deployments['acme']?.lifetimes

  test('[CX93] lifetimes are taken as they are given', () => {
    const lifetimes = { attributes: { 'crm_*': 60_000 }, transcriptMs: 1_000 }
    expect(parsed(lifetimes)).toEqual(lifetimes)
    expect(parsed(undefined)).toBeUndefined()
  })

  test.each([
    { attribute: { a: 1 } },
    { attributes: { a: 0 } },
    { attributes: { a: '1' } },
    { attributes: 5 },
    { transcriptMs: -1 },
    { transcriptMs: Number.NaN },
    5,
    null,
  ])('[CX93] %o is refused', (lifetimes) => {
    expect(() => parsed(lifetimes)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})
