// The page's part: a callback is run when the worker asks, and what it gives is passed on.

import { afterEach, describe, expect, test, vi } from 'vitest'
import { accessToken, SUPPLY_TIMEOUT_MS, type Supplier, supplyTokens } from '../../src/tokens.ts'
import type { Chat } from '../../src/api.ts'
import type { Command } from '../../core/wire.ts'

afterEach(() => vi.useRealTimers())

/** A chat whose worker wants a token of "api" whenever it is offered one. */
function page(claim: { key: string; count: number } | null = { key: 'claim', count: 1 }) {
  const asked: Command[] = []
  let want: ((detail: { lease: string }) => void) | undefined
  const chat = {
    async ask(command: Command) {
      asked.push(command)
      return command.type === 'offer' ? claim : command.type === 'borrow' ? { token: 't', generation: 1 } : null
    },
    on(_: string, listener: typeof want) {
      want = listener
      return () => {
        want = undefined
      }
    },
  } as unknown as Chat
  const supplied = () => asked.filter((command) => command.type === 'supply')
  return { chat, asked, supplied, want: (lease = 'api') => want?.({ lease }) }
}
const jwt = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`
/** A busy machine may be slow; what never comes is ended by this. */
const PATIENCE = { timeout: 20_000 }
const settled = () => vi.waitFor(() => new Promise<void>((resolve) => setImmediate(resolve)), PATIENCE)

async function given(supplier: Supplier) {
  const one = page()
  supplyTokens(one.chat, { api: supplier })
  await vi.waitFor(() => expect(one.supplied()).toHaveLength(1), PATIENCE)
  return one.supplied()[0]
}

describe('supplying', () => {
  test('[LE41] a tab offers at once and whenever a token is wanted, until it is ended', async () => {
    const one = page()
    const off = supplyTokens(one.chat, { api: () => 't' })
    await vi.waitFor(() => expect(one.supplied()).toHaveLength(1), PATIENCE)
    one.want()
    await vi.waitFor(() => expect(one.supplied()).toHaveLength(2), PATIENCE)
    one.want('another')
    one.want('__proto__')
    off()
    one.want()
    await settled()
    expect(one.supplied()).toHaveLength(2)
  })

  test('[LE41] where another tab was chosen, the callback is not run', async () => {
    const one = page(null)
    const supplier = vi.fn(() => 't')
    supplyTokens(one.chat, { api: supplier })
    await vi.waitFor(() => expect(one.asked).toHaveLength(1), PATIENCE)
    await settled()
    expect(supplier).not.toHaveBeenCalled()
  })

  test.each([
    { gives: 'a string', value: 't', supplied: { token: 't' } },
    { gives: 'an object', value: { token: 't', expiresIn: 9 }, supplied: { token: 't', expiresIn: 9 } },
    { gives: 'a code', value: { code: 'c' }, supplied: { code: 'c' } },
    { gives: 'a JWT', value: jwt({ iat: 100, exp: 400 }), supplied: { expiresIn: 300 } },
    { gives: 'a JWT that never was', value: jwt({ iat: 400, exp: 100 }), supplied: {} },
    { gives: 'a promise', value: Promise.resolve('t'), supplied: { token: 't' } },
  ])('[LE41] a callback that gives $gives', async ({ value, supplied }) => {
    const command = await given(() => value as never)
    expect(command).toMatchObject({ lease: 'api', claim: { key: 'claim', count: 1 }, supplied })
  })

  test('[LE41] a callback that throws has given nothing, and the site hears of it', async () => {
    const report = vi.fn()
    vi.stubGlobal('reportError', report)
    expect(await given(() => Promise.reject(new Error('no')))).not.toHaveProperty('supplied')
    expect(report).toHaveBeenCalledOnce()
    vi.unstubAllGlobals()
  })

  test('[LE41] a callback that never settles has given nothing, and is told to stop', async () => {
    vi.useFakeTimers()
    const one = page()
    let signal: AbortSignal | undefined
    supplyTokens(one.chat, {
      api: (given) => {
        signal = given
        return new Promise(() => {})
      },
    })
    await vi.advanceTimersByTimeAsync(SUPPLY_TIMEOUT_MS)
    expect(one.supplied()).toEqual([{ type: 'supply', lease: 'api', claim: { key: 'claim', count: 1 } }])
    expect(signal?.aborted).toBe(true)
  })
})

test('[LE40] a page borrows by name, and says what was refused', async () => {
  const one = page()
  expect(await accessToken(one.chat, 'api')).toMatchObject({ token: 't' })
  await accessToken(one.chat, 'api', 3)
  expect(one.asked).toEqual([
    { type: 'borrow', lease: 'api' },
    { type: 'borrow', lease: 'api', spent: 3 },
  ])
})
