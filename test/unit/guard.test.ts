import { describe, expect, test } from 'vitest'
import type { GuardConfig } from '../../core/guard.ts'
import type { Change } from '../../core/inputs.ts'
import { parseConfig } from '../../sw/config.ts'
import type { Screened } from '../../sw/engine-screen.ts'
import type { OutboundMessage } from '../../core/wire.ts'
import { screenOf } from '../../sw/guard.ts'
import { liveRig } from './engine-fixtures.ts'

const CARD = '4111 1111 1111 1111'
const SSN = '457-55-5462'
const HASH_KEY = 'a key of the site, kept for years'

const screened = async (command: Change, config?: GuardConfig): Promise<Screened> => {
  const screen = screenOf(config)
  if (screen === undefined) throw new Error('No guard.')
  return screen(command)
}
const setting = (delta: Record<string, string | boolean | null>): Change => ({ type: 'set-context', key: 'k', delta })
const cleaned = async (delta: Record<string, string | boolean | null>, config: GuardConfig) =>
  (await screened(setting(delta), config)).command as Change & { type: 'set-context' }
const enqueuing = (message: OutboundMessage): Change => ({ type: 'enqueue', messages: [message] })
const FILE = { name: 'bill.pdf', type: 'application/pdf', size: 1, content: null }
const failure = (work: Promise<unknown>): Promise<{ code?: string; message: string }> =>
  work.then(
    () => ({ message: 'It was not refused.' }),
    (error: { code?: string; message: string }) => error,
  )

/** Of the first message, where there are messages, else of the call. */
const refusedBy = async (command: Change, config?: GuardConfig): Promise<{ code?: string; message: string }> =>
  failure(
    screened(command, config).then(({ refused }) => {
      if (refused.get(0) !== undefined) throw refused.get(0)
    }),
  )

describe('refuse', () => {
  test.each([
    { what: 'an attribute', command: setting({ order: '1', note: `it is ${CARD}` }), names: '"note"', kind: '"card"' },
    {
      what: 'routing data',
      command: { type: 'start-new', key: 'k', routing: { ssn: SSN } },
      names: '"ssn"',
      kind: '"ssn"',
    },
    {
      what: 'the metadata of an edited message',
      command: { type: 'edit', key: 'k', message: { key: 'm', text: 'x', metadata: { pan: 4111111111111111 } } },
      names: '"pan"',
      kind: '"card"',
    },
    {
      what: 'the name of an attachment',
      command: enqueuing({ key: 'm', text: 'my bill', attachments: [{ ...FILE, name: `${CARD}.pdf` }] }),
      names: 'name of an attachment',
      kind: '"card"',
      config: { text: 'refuse' },
    },
  ] as const)(
    '[GU6] $what is refused by name and kind, and the error holds nothing of the value',
    async ({ command, names, kind, ...rest }) => {
      const { code, message } = await refusedBy(command as Change, 'config' in rest ? rest.config : undefined)
      expect(code).toBe('GUARD_REFUSED')
      expect(message).toContain(names)
      expect(message).toContain(kind)
      for (const part of ['4111', '1111', '457', '5462']) expect(message).not.toContain(part)
    },
  )

  test('[GU6] a name that is itself personal is refused and not said', async () => {
    const { code, message } = await failure(screened(setting({ [CARD]: 'x' }), { default: 'allow' }))
    expect(code).toBe('GUARD_REFUSED')
    expect(message).not.toContain('1111')
  })

  test('[GU7] of several messages only the one that is refused stays behind', async () => {
    const messages = [CARD, 'hello', `again ${CARD}`].map((text, index) => ({ key: `m${index}`, text }))
    const { command, refused } = await screened({ type: 'enqueue', messages }, { text: 'refuse' })
    expect(command).toEqual({ type: 'enqueue', messages: [{ key: 'm1', text: 'hello' }] })
    expect([...refused].map(([index, { code }]) => [index, code])).toEqual([
      [0, 'GUARD_REFUSED'],
      [2, 'GUARD_REFUSED'],
    ])
  })

  test('[GU8] what holds nothing, and what is allowed, passes as it is and at once', () => {
    for (const [command, config] of [
      [setting({ cart: '12.00', vip: true, gone: null }), {}],
      [setting({ card: CARD }), { keys: { card: 'allow' } }],
      [{ type: 'enqueue', messages: [{ key: 'm', text: CARD }] }, {}],
      [{ type: 'mark-read' }, {}],
    ] as readonly (readonly [Change, GuardConfig])[])
      expect(screenOf(config)?.(command)).toMatchObject({ command: { ...command } })
    expect(screenOf(false)).toBeUndefined()
  })
})

describe('hash', () => {
  test('[GU9] the same number has the same hash however it is written, and nothing of it is left', async () => {
    const config: GuardConfig = { default: 'hash', hashKey: HASH_KEY }
    const { delta } = await cleaned({ a: CARD, b: '4111-1111-1111-1111', c: `paid with ${CARD}.`, d: SSN }, config)
    expect(delta['a']).toMatch(/^card:[a-p]{32}$/)
    expect(delta['b']).toBe(delta['a'])
    expect(delta['c']).toBe(`paid with ${delta['a']}.`)
    expect(delta['d']).toMatch(/^ssn:[a-p]{32}$/)
    const wide = await cleaned({ a: '４１１１ １１１１ １１１１ １１１１', b: '٤١١١١١١١١١١١١١١١' }, config)
    expect([wide.delta['a'], wide.delta['b']]).toEqual([delta['a'], delta['a']])
    const named = enqueuing({ key: 'm', text: 'x', attachments: [{ ...FILE, name: `${CARD}.pdf` }] })
    const { command } = await screened(named, { text: 'hash', hashKey: HASH_KEY })
    expect(command).toMatchObject({ messages: [{ attachments: [{ ...FILE, name: `${delta['a']}.pdf` }] }] })
    const other = await cleaned({ a: CARD }, { ...config, hashKey: 'the key of another site' })
    expect(other.delta['a']).not.toBe(delta['a'])
    expect((await cleaned(delta as Record<string, string>, config)).delta).toEqual(delta)
  })
})

describe('in the worker', () => {
  test('[GU10] what is refused is neither stored nor sent, and the others of the call are', async () => {
    const one = await liveRig({ screen: screenOf({ text: 'refuse' }) })
    const refused = await failure(one.run({ type: 'set-context', key: 'k', delta: { note: CARD } }))
    expect(refused.code).toBe('GUARD_REFUSED')
    const answers = await one.run({
      type: 'enqueue',
      messages: [CARD, 'hello'].map((text, index) => ({ key: `m${index}`, text })),
    })
    expect(answers).toMatchObject([{ error: { code: 'GUARD_REFUSED' } }, { seq: expect.any(Number) }])
    await one.clock.advance(2_000)
    const { snapshot } = await one.pull()
    expect(snapshot.context).toEqual({})
    expect(snapshot.messages.map(({ text }) => text)).toEqual(['hello'])
    expect(JSON.stringify([one.log, one.notices])).not.toContain('1111')
  })

  test('[GU5] the guard is part of the JSON configuration, and a wrong one is refused', () => {
    const make = () => (): never => {
      throw new Error('Nobody makes a platform here.')
    }
    const parse = (guard: unknown) =>
      parseConfig({ deployments: { d: { platform: { type: 't', url: 'u' }, guard } } }, { t: make })
    expect(parse({ text: 'refuse' }).deployments['d']?.guard).toEqual({ text: 'refuse' })
    expect(parse(false).deployments['d']?.guard).toBe(false)
    expect(() => parse('strict')).toThrow(/"guard"/)
    expect(() => screenOf({ default: 'drop' as 'allow' })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})
