// Personal data in real pages: what is refused reaches neither disk nor wire, what is hashed is matched by the agent's side,
// and what a site gets wrong about attributes is an error of its own that changes nothing.

import { createHmac } from 'node:crypto'
import { failureOf } from './failure.ts'
import { expect, test, type World, liveTab } from './fixtures.ts'
import { everythingIn } from './residue.ts'

const CARD = '4111 1111 1111 1111'
const OTHER_CARD = '5555-5555-5555-4444'
const ALLOWED_CARD = '3782 822463 10005'
const HASH_KEY = 'a key of at least sixteen characters'
const GUARD = { keys: { customer_card: 'hash', test_card: 'allow' }, hashKey: HASH_KEY, text: 'refuse' }

/** What docs/privacy.md tells the agent's side to compute. */
function hashOf(kind: string, value: string): string {
  const hex = createHmac('sha256', HASH_KEY).update(`${kind}:${value}`).digest('hex').slice(0, 32)
  return `${kind}:${hex.replace(/./g, (digit) => 'abcdefghijklmnop'[Number.parseInt(digit, 16)] ?? '')}`
}

const known = async (world: World) => (await world.service.conversations())[0]?.customAttributes

test.describe('the guard', () => {
  test.use({ site: { deployment: { guard: GUARD } } })

  test('[GU10] refused, hashed or allowed by name: nothing that is refused is on the disk, on the wire or in an error', async ({
    world,
  }) => {
    const tab = await liveTab(world)
    const refused = await failureOf(tab.page, (card: string) => globalThis.chat.context.set({ note: card }), CARD)
    expect(refused).toMatchObject({ name: 'HoldfastError', code: 'GUARD_REFUSED' })
    expect(refused?.message).toContain('"note"')
    const said = await failureOf(tab.page, (card: string) => globalThis.chat.send(`my card is ${card}`), CARD)
    expect(said).toMatchObject({ code: 'GUARD_REFUSED' })
    expect(JSON.stringify([refused, said])).not.toContain('1111')

    await tab.page.evaluate(
      ([hashed, allowed]) =>
        globalThis.chat.context.set({ customer_card: hashed as string, test_card: allowed as string }),
      [OTHER_CARD, ALLOWED_CARD],
    )
    await expect.poll(async () => Object.keys((await known(world)) ?? {})).toEqual(['customer_card', 'test_card'])
    const attributes = (await known(world)) as { customer_card: string; test_card: string }
    expect(attributes.test_card).toBe(ALLOWED_CARD)
    // As whoever has the key computes it from the number that they know.
    expect(attributes.customer_card).toBe(hashOf('card', '5555555555554444'))
    const everything = await everythingIn(tab.page)
    for (const card of [CARD, OTHER_CARD]) expect(everything).not.toContain(card)
    expect(await world.record()).toEqual([])
  })
})

test('[PG30] attributes that make no sense, or are too much, are errors, and nothing of them is kept or sent', async ({
  world,
}) => {
  const tab = await liveTab(world)
  await tab.page.evaluate(() => globalThis.chat.context.set({ cart: '12.00' }))
  const wrong: readonly (() => unknown)[] = [
    () => globalThis.chat.context.set({ a: { b: 'nested' } } as never),
    () => globalThis.chat.context.set({ a: ['list'] } as never),
    () => globalThis.chat.context.set({ a: () => 'function' } as never),
    () => globalThis.chat.context.set({ a: Symbol('symbol') } as never),
    () => globalThis.chat.context.set({ a: 5 } as never),
    () => globalThis.chat.context.set({ a: undefined } as never),
    () => globalThis.chat.context.set(new Map([['a', 'map']]) as never),
    () => {
      const cycle: { [name: string]: unknown } = {}
      cycle['a'] = cycle
      return globalThis.chat.context.set(cycle as never)
    },
  ]
  for (const call of wrong)
    expect(await failureOf(tab.page, call), call.toString()).toMatchObject({ name: 'TypeError' })
  const large = await failureOf(tab.page, () => globalThis.chat.context.set({ a: 'x'.repeat(1_048_576), b: 'small' }))
  expect(large).toMatchObject({ name: 'HoldfastError', code: 'CONTEXT_TOO_LARGE' })
  expect(large?.message.length).toBeLessThan(300)
  await expect.poll(() => known(world)).toEqual({ cart: '12.00' })
  expect((await tab.state()).context).toEqual({ cart: '12.00' })

  // Names that other programs stumble over are names, and half of a character harms nothing.
  await tab.page.evaluate(() =>
    globalThis.chat.context.set(JSON.parse('{"__proto__":"1","constructor":"2","toString":"3","half":"\\ud83d"}')),
  )
  await expect
    .poll(async () => JSON.stringify(await known(world)))
    .toMatch(/^\{"__proto__":"1","cart":"12.00","constructor":"2","half":"[^"]+","toString":"3"\}$/)
  expect(await tab.page.evaluate(() => ({}).toString())).toBe('[object Object]')
  expect((await tab.state()).outbox).toEqual({ queued: 0, inflight: 0, dead: 0, stale: 0 })
})
