// The bridge beside the vendor's widget, with a stand-in for that widget and a chat in the test's hand.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Chat, ChatEvents, State } from '../../src/api.ts'
import { bindMessenger, type MessengerOptions } from '../../src/genesys-messenger.ts'
import { standInMessenger } from '../../testing/genesys-messenger.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function chatOf(context: { [name: string]: string | boolean } = {}) {
  let state = { phase: 'starting', context, session: null, conversation: null, online: true } as unknown as State
  const listeners = new Set<(state: State) => void>()
  const offs = new Map<string, () => void>()
  const logouts: unknown[] = []
  const chat = {
    get state() {
      return state
    },
    subscribe(listener: (state: State) => void) {
      listeners.add(listener)
      listener(state)
      return () => listeners.delete(listener)
    },
    on(event: keyof ChatEvents, listener: () => void) {
      offs.set(event, listener)
      return () => offs.delete(event)
    },
    async logout(options: unknown) {
      logouts.push(options)
      return { verified: true as const }
    },
  }
  const set = (next: { [name: string]: string | boolean }) => {
    state = { ...state, context: next }
    for (const listener of listeners) listener(state)
  }
  return { chat: chat as unknown as Chat, set, logouts, tell: (event: string) => offs.get(event)?.(), listeners }
}

function bound(options: MessengerOptions = {}, context = {}, hangs: readonly string[] = []) {
  const vendor = standInMessenger(hangs)
  const window = { Genesys: vendor.vendor as unknown }
  const held = chatOf(context)
  const messenger = bindMessenger(held.chat, { window, ...options })
  const problems: { code: string; message: string }[] = []
  messenger.onProblem((problem) => problems.push(problem))
  return { ...held, vendor, window, messenger, problems }
}

const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms)

describe('attributes', () => {
  test('[GM1] what is held is pushed after Database.ready, on every page, and not before', async () => {
    const { vendor } = bound({}, { cart: '12', vip: true })
    await passes(5_000)
    expect(vendor.commands).toEqual([])
    vendor.say('Database.ready')
    await passes(300)
    expect(vendor.commands.map(({ name }) => name)).toEqual(['Database.set'])
    expect(vendor.attributes()).toEqual({ cart: '12', vip: 'true' })
  })

  test('[GM2] a burst is one update of what has changed, and there is at most one a second', async () => {
    const { vendor, set } = bound({}, { cart: '1' })
    vendor.say('Database.ready')
    await passes(300)
    for (let n = 2; n <= 20; n++) {
      set({ cart: `${n}`, page: '/' })
      await passes(100)
    }
    await passes(2_000)
    const updates = vendor.commands.filter(({ name }) => name === 'Database.update')
    expect(updates.length).toBeLessThanOrEqual(3)
    expect(updates.at(-1)?.options).toMatchObject({ messaging: { customAttributes: { cart: '20' } } })
    expect(vendor.attributes()).toEqual({ cart: '20', page: '/' })
    set({ cart: '20' })
    await passes(2_000)
    expect(vendor.attributes()).toEqual({ cart: '20' })
  })

  test('[GM3] more bytes than the organisation allows are told and not pushed, and what fits again is', async () => {
    const { vendor, set, problems } = bound({ dataBytesMax: 10 }, { käse: '123456' })
    vendor.say('Database.ready')
    await passes(2_000)
    expect(vendor.commands).toEqual([])
    expect(problems).toMatchObject([{ code: 'CONTEXT_TOO_LARGE', message: expect.stringContaining('11 bytes') }])
    set({ cart: '1' })
    await passes(2_000)
    expect(vendor.attributes()).toEqual({ cart: '1' })
  })
})

describe('the vendor’s script', () => {
  test('[GM4] it may come late, and again, and each is bound', async () => {
    const { window, vendor, messenger } = bound({}, { cart: '1' })
    const second = standInMessenger()
    window.Genesys = second.vendor
    await passes(0)
    second.say('Database.ready')
    vendor.say('MessagingService.offline')
    await passes(300)
    expect(second.attributes()).toEqual({ cart: '1' })
    expect(messenger.state.online).toBe(true)
    expect(window.Genesys).toBe(second.vendor)
  })

  test('[GM4] it may never come: commands reject and nothing else happens', async () => {
    const held = chatOf({ cart: '1' })
    const messenger = bindMessenger(held.chat, { window: {} })
    await expect(messenger.command('Messenger.open')).rejects.toMatchObject({ code: 'SERVICE_UNREACHABLE' })
    await passes(10_000)
    expect(messenger.state.context).toEqual({ cart: '1' })
  })

  test('[GM4] a name that cannot be watched is looked at', async () => {
    const window = {}
    let vendor: unknown
    Object.defineProperty(window, 'Genesys', { configurable: false, get: () => vendor })
    const held = chatOf({ cart: '1' })
    bindMessenger(held.chat, { window })
    const late = standInMessenger()
    vendor = late.vendor
    await passes(1_000)
    late.say('Database.ready')
    await passes(300)
    expect(late.attributes()).toEqual({ cart: '1' })
  })

  test('[GM5] a command that never ends is given up', async () => {
    const { messenger } = bound({ commandTimeoutMs: 100 }, {}, ['MessagingService.sendTyping'])
    const typing = expect(messenger.command('MessagingService.sendTyping')).rejects.toMatchObject({
      message: expect.stringContaining('within 100 ms'),
    })
    await passes(100)
    await typing
    await expect(messenger.command('Messenger.open')).resolves.toEqual({})
  })

  test('[GM6] after unbind nothing is pushed or heard, and the page’s own function is back', async () => {
    const { messenger, window, vendor, set, listeners } = bound()
    messenger.unbind()
    vendor.say('Database.ready')
    set({ cart: '1' })
    await passes(3_000)
    expect(vendor.commands).toEqual([])
    expect(listeners.size).toBe(0)
    expect(Object.getOwnPropertyDescriptor(window, 'Genesys')).toMatchObject({ value: vendor.vendor, writable: true })
  })
})

test('[GM7] what Messenger says of session and conversation is in the state', () => {
  const { vendor, messenger, problems } = bound()
  const phases: string[] = []
  messenger.subscribe(({ phase }) => phases.push(phase))
  vendor.say('MessagingService.started', { newSession: true, authenticated: false, durationSeconds: 60 })
  expect(messenger.state).toMatchObject({ phase: 'live', conversation: { state: 'active' } })
  expect(messenger.state.session?.expiresAt).toBe(Date.now() + 60_000)
  vendor.say('MessagingService.offline')
  expect(messenger.state).toMatchObject({ phase: 'reconnecting', online: false })
  vendor.say('MessagingService.reconnected')
  vendor.say('MessagingService.sessionWarning')
  vendor.say('MessagingService.error', { error: { errorKey: 'x.y' } })
  vendor.say('MessagingService.conversationDisconnected', { readOnly: true })
  expect(messenger.state).toMatchObject({ phase: 'ended', conversation: { state: 'closed' } })
  expect(problems.map(({ code }) => code)).toEqual(['SESSION_EXPIRING', 'SERVICE_REFUSED'])
  expect(new Set(phases)).toEqual(new Set(['starting', 'live', 'reconnecting', 'ended']))
  expect(Object.isFrozen(messenger.state)).toBe(true)
})

test('[GM7] what has ended stays so until another begins, and a sign-in shows', () => {
  const { vendor, messenger } = bound()
  vendor.say('MessagingService.started', { authenticated: false, readOnly: true, durationSeconds: 60 })
  for (const event of ['restored', 'offline', 'reconnected']) vendor.say(`MessagingService.${event}`)
  expect(messenger.state).toMatchObject({ phase: 'ended', online: true, conversation: { state: 'closed' } })
  vendor.say('MessagingService.conversationReset')
  expect(messenger.state).toMatchObject({ phase: 'live', conversation: { state: 'active' } })
  for (const error of ['authError', 'tokenError', 'authProviderError']) {
    vendor.say(`Auth.${error}`)
    expect(messenger.state).toMatchObject({ phase: 'auth-required', session: { authenticated: false } })
    vendor.say('MessagingService.steppedUpConversation')
    expect(messenger.state).toMatchObject({ phase: 'validating', session: { authenticated: true } })
    vendor.say('MessagingService.started', { authenticated: false, durationSeconds: 60 })
    expect(messenger.state.phase).toBe('live')
  }
})

test('[GM8] the site is told when what it gave was not accepted', async () => {
  const { vendor } = bound({ authCode: async (isAgain) => ({ idToken: isAgain ? 'second' : 'first' }) })
  expect(await vendor.ask('AuthProvider', 'getAuthCode')).toEqual({ idToken: 'first' })
  expect(await vendor.ask('AuthProvider', 'reAuthenticate')).toEqual({ idToken: 'second' })
})

test('[GM8] codes for the sign-in come from the site; two that ask at once share one', async () => {
  let count = 0
  const authCode = async () => ({ authCode: `code ${++count}`, redirectUri: 'https://shop.example' })
  const { vendor } = bound({ authCode })
  expect(vendor.plugins.has('AuthProvider')).toBe(true)
  const asked = [vendor.ask('AuthProvider', 'getAuthCode'), vendor.ask('AuthProvider', 'reAuthenticate')]
  expect(await Promise.all(asked)).toEqual([
    { authCode: 'code 1', redirectUri: 'https://shop.example' },
    expect.anything(),
  ])
  expect(await vendor.ask('AuthProvider', 'getAuthCode')).toMatchObject({ authCode: 'code 2' })
  const refused = bound({ authCode: () => Promise.reject(new Error('no')) })
  await expect(refused.vendor.ask('AuthProvider', 'getAuthCode')).rejects.toThrow('no')
})

test('[GM5] a sign-in that never ends is given up, and the next one asks anew', async () => {
  let count = 0
  const authCode = () => (++count === 1 ? new Promise<never>(() => {}) : Promise.resolve({ authCode: 'code' }))
  const { vendor } = bound({ authCode })
  const first = expect(vendor.ask('AuthProvider', 'getAuthCode')).rejects.toThrow('120000 ms')
  await passes(120_000)
  await first
  expect(await vendor.ask('AuthProvider', 'getAuthCode')).toEqual({ authCode: 'code' })
})

describe('logout', () => {
  test.each([true, false])('[GM9] signs out of the widget, then wipes ours; signed in: %s', async (authenticated) => {
    const { vendor, messenger, logouts } = bound()
    vendor.say('MessagingService.started', { authenticated })
    await messenger.logout()
    expect(vendor.commands.map(({ name }) => name)).toEqual([
      authenticated ? 'Auth.logout' : 'MessagingService.clearSession',
    ])
    expect(logouts).toEqual([{ unsent: 'discard' }])
  })

  test('[GM9] one that the widget begins wipes ours; one that another tab begins empties the widget', async () => {
    const { vendor, logouts, tell } = bound()
    vendor.say('MessagingService.conversationCleared')
    await passes(0)
    expect(logouts).toHaveLength(1)
    expect(vendor.commands).toEqual([])
    tell('signed-out')
    await passes(0)
    expect(vendor.commands.map(({ name }) => name)).toEqual(['MessagingService.clearSession'])
  })

  test('[GM9] a widget that does not answer keeps nobody from our wipe', async () => {
    const { messenger, logouts } = bound({ commandTimeoutMs: 50 }, {}, ['MessagingService.clearSession'])
    const done = messenger.logout()
    await passes(50)
    await done
    expect(logouts).toHaveLength(1)
  })
})
