// Signing in, seen from the engine: who is adopted, who is wiped first, and what comes late.

import { describe, expect, test, vi } from 'vitest'
import type { Outcome, PlainGrant, Platform } from '../../core/ports.ts'
import { newSession, type Opened } from '../../core/session.ts'
import type { Slots } from '../../core/state.ts'
import { failure, MINUTE, NOW, opening, SECOND, UNREACHABLE } from '../core/fixtures.ts'
import { conversation } from '../core/fixtures.ts'
import { liveRig, type Options, type Rig, rig, watchedStore } from './engine-fixtures.ts'

type Answer = Outcome<{ opened: Opened; grant: PlainGrant }>

const grant: PlainGrant = { accessToken: 'access-user', expiresInMs: 20 * MINUTE }
const signedIn = (change: Partial<Opened> = {}): Answer => ({
  ok: true,
  value: { opened: opening({ isAuthenticated: true, conversation: conversation(), ...change }), grant },
})
const another = (change: Partial<Opened> = {}) => signedIn({ sessionId: 's2', conversation: null, ...change })

/** A platform that answers one after the other, the last one again and again. */
function answering(...answers: (Answer | Promise<Answer>)[]) {
  const asked: Parameters<NonNullable<Platform['authenticate']>>[0][] = []
  const authenticate: Platform['authenticate'] = async (request) => {
    asked.push(request)
    return (answers.length > 1 ? answers.shift() : answers[0]) as Answer
  }
  return { asked, authenticate }
}

async function ended<T>(one: Rig, work: Promise<T>): Promise<T> {
  let isOver = false
  const over = () => {
    isOver = true
  }
  work.then(over, over)
  while (!isOver) await one.clock.advance(100)
  return work
}

const signIn = (one: Rig, epoch = '') => ended(one, one.run({ type: 'authenticate', token: 'jwt' }, { epoch }))
const stored = async (one: Rig) => JSON.stringify(await one.disk.store.tail(9, 9))
const epochOf = async (one: Rig) => (await one.pull()).snapshot.epoch
const live = (authenticate: Platform['authenticate'], options: Options = {}) =>
  liveRig({ platform: { authenticate: authenticate as NonNullable<typeof authenticate> }, ...options })

describe('signing in', () => {
  test('[ID1] a guest goes on: same identity, same conversation, everything kept', async () => {
    const { asked, authenticate } = answering(signedIn())
    const one = await live(authenticate)
    await one.run({ type: 'set-context', key: 'k', delta: { cart: 'full' } })
    const epoch = await epochOf(one)
    await signIn(one)
    expect(asked).toEqual([{ token: 'access-1', identity: 'jwt', conversationId: 'c1' }])
    const { snapshot } = await one.pull()
    expect(snapshot).toMatchObject({ epoch, context: { cart: 'full' }, conversation: { id: 'c1' } })
    expect(snapshot.session?.authenticated).toBe(true)
    expect(await stored(one)).not.toContain('jwt')
  })

  test('[ID2] a refusal, and a service that does not answer, change nothing', async () => {
    for (const answer of [failure('refuse', { code: 'IDENTITY_REFUSED' }), UNREACHABLE]) {
      const one = await live(answering(answer).authenticate)
      const { rev: _, lease: __, ...before } = (await one.pull()).snapshot
      await expect(signIn(one)).rejects.toMatchObject({ code: answer.code })
      await one.clock.advance(MINUTE)
      expect((await one.pull()).snapshot).toMatchObject(before)
    }
  })

  test('[ID11] a service that asks for patience is not asked at once whose the session is', async () => {
    const { authenticate } = answering(failure('retry-at', { retryAfterMs: 20_000 }), signedIn())
    const one = await live(authenticate)
    const opens = () => one.log.filter((line) => line.startsWith('open')).length
    const before = opens()
    await expect(signIn(one)).rejects.toMatchObject({ code: 'SERVICE_UNREACHABLE' })
    await one.run({ type: 'nudge', wake: true, online: true })
    await one.clock.advance(15_000)
    expect(opens()).toBe(before)
    await one.clock.advance(10_000)
    expect(opens()).toBe(before + 1)
  })

  test('[ID10] two at once are done one after the other, and a repeated one is one', async () => {
    let answer = (_: Answer) => {}
    const held = new Promise<Answer>((resolve) => {
      answer = resolve
    })
    const { asked, authenticate } = answering(held)
    const one = await live(authenticate)
    const epoch = await epochOf(one)
    const first = one.run({ type: 'authenticate', token: 'jwt' }, { epoch })
    const again = one.run({ type: 'authenticate', token: 'jwt' }, { epoch })
    const second = one.run({ type: 'authenticate', token: 'other' }, { epoch })
    while (asked.length === 0) await one.clock.advance(100)
    await one.clock.advance(1_000)
    answer(signedIn())
    await Promise.all([ended(one, first), again])
    await ended(one, second)
    expect(asked.map(({ identity }) => identity)).toEqual(['jwt', 'other'])
  })

  test.each([false, true])('[ID2] a platform that signs visitors in otherwise says so (bare: %s)', async (isPlain) => {
    const one = await liveRig({ isPlain })
    await expect(signIn(one)).rejects.toMatchObject({ code: 'SERVICE_REFUSED' })
  })

  test('[ID6] while there is no session yet, it waits for one, for a bounded time', async () => {
    let isUp = false
    const open: Platform['open'] = async () =>
      isUp ? { ok: true, value: { opened: opening(), grant: { accessToken: 'a', expiresInMs: MINUTE } } } : UNREACHABLE
    const { asked, authenticate } = answering(signedIn())
    const one = rig({ platform: { open, authenticate: authenticate as NonNullable<typeof authenticate> } })
    await one.pull()
    await expect(signIn(one)).rejects.toMatchObject({ code: 'SERVICE_UNREACHABLE' })
    expect(asked).toEqual([])
    isUp = true
    const signing = signIn(one)
    await signing
    expect(asked).toHaveLength(1)
  })

  test('[ID6] a spent access token is refreshed first', async () => {
    const { asked, authenticate } = answering(failure('refresh', { code: 'LEASE_EXPIRED' }), signedIn())
    const one = await live(authenticate, { mode: 'persistent' })
    await signIn(one)
    expect(asked).toHaveLength(2)
    expect(one.log.find((line) => /^(open|refresh) /.test(line))).toMatch(/^refresh /)
  })

  test('[ID7] an answer that comes after a logout is about nobody', async () => {
    let answer = (_: Answer) => {}
    const held = new Promise<Answer>((resolve) => {
      answer = resolve
    })
    const one = await live(answering(held).authenticate)
    const signing = one.run({ type: 'authenticate', token: 'jwt' })
    const refused = expect(signing).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
    await ended(one, one.run({ type: 'logout', unsent: 'discard' }))
    answer(signedIn())
    await refused
    expect(await stored(one)).not.toContain('access-user')
    expect((await one.pull()).snapshot.phase).toBe('signed-out')
  })

  test('[ID7] a tab that believes in another identity signs nobody in', async () => {
    const { asked, authenticate } = answering(signedIn())
    const one = await live(authenticate)
    await expect(signIn(one, 'another')).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
    expect(asked).toEqual([])
  })
})

describe('another user', () => {
  test.each(['broker', 'persistent'] as const)('[ID4] %s: begins with nothing of the one before', async (mode) => {
    const { authenticate } = answering(signedIn(), another())
    const one = await live(authenticate, { mode })
    await signIn(one)
    await one.run({ type: 'set-context', key: 'k', delta: { cart: 'of the first' } })
    const epoch = await epochOf(one)
    await signIn(one)
    expect(await epochOf(one)).not.toBe(epoch)
    expect(await stored(one)).not.toMatch(/of the first|"s1"/)
    expect(one.log.filter((line) => line.startsWith('revoke'))).toEqual([])
    expect((await one.pull()).snapshot.session).toMatchObject({ id: 's2', authenticated: true })
    // What refreshes this browser's tokens went over the wipe, sealed anew.
    const boxes = [...one.disk.boxes.values()]
    expect(boxes).toEqual(mode === 'broker' ? ['access-user'] : expect.arrayContaining(['access-user', 'refresh-1']))
  })

  test('[ID13] a tab that comes meanwhile waits for who takes over, and begins nobody of its own', async () => {
    const { authenticate } = answering(signedIn(), another())
    const one = await live(authenticate, { mode: 'persistent' })
    await signIn(one)
    const opened = () => one.log.filter((line) => line.startsWith('open')).length
    const [before, wiped] = [opened(), one.log.filter((line) => line === 'shred').length]
    const switching = one.run({ type: 'authenticate', token: 'jwt' })
    while (one.log.filter((line) => line === 'shred').length === wiped) await one.clock.advance(1)
    const came = one.run({ type: 'pull', keys: [] }, { tab: 'tab-2' })
    await ended(one, Promise.all([switching, came]))
    expect((await came).snapshot.session).toMatchObject({ id: 's2', authenticated: true })
    expect(opened()).toBe(before)
  })

  test.each([
    { who: 'a guest', mode: 'broker', answers: [signedIn()] },
    { who: 'another user', mode: 'broker', answers: [signedIn(), another()] },
    { who: 'a guest', mode: 'persistent', answers: [signedIn()] },
    { who: 'another user', mode: 'persistent', answers: [signedIn(), another()] },
  ] as const)('[ID12] $mode: a refresh that was lost is repeated under its key behind $who', async (one) => {
    const keys: string[] = []
    let isUp = false
    const refresh: Platform['refresh'] = async ({ key }) => {
      keys.push(key)
      return isUp ? { ok: true, value: { accessToken: 'a', expiresInMs: 20 * MINUTE } } : UNREACHABLE
    }
    const { authenticate } = answering(...one.answers)
    const opens: Answer = { ok: true, value: { opened: opening(), grant } }
    const byCookie = one.mode === 'broker' && { open: async () => opens }
    const platform = { refresh, authenticate: authenticate as NonNullable<typeof authenticate>, ...byCookie }
    const page = await liveRig({ mode: one.mode, platform })
    if (one.who === 'another user') await signIn(page)
    while (keys.length < 2) {
      await page.pull()
      await page.clock.advance(10_000)
    }
    await signIn(page)
    const before = keys.length
    isUp = true
    await page.clock.advance(MINUTE)
    expect(keys.length).toBeGreaterThan(before)
    expect(new Set(keys).size).toBe(1)
  })

  test('[ID5] what the one before had not sent is discarded, and told', async () => {
    const send: Platform['send'] = async () => UNREACHABLE
    const { authenticate } = answering(signedIn(), another())
    const one = await liveRig({ platform: { send, authenticate: authenticate as NonNullable<typeof authenticate> } })
    await signIn(one)
    await one.enqueue('unsent')
    await signIn(one)
    expect(await one.run({ type: 'list-outbox' })).toEqual([])
    expect(one.told('problem')).toContainEqual(expect.objectContaining({ code: 'OUTBOX_UNSENT' }))
  })

  test('[ID8] also where the session of the one before was lost, and a guest has begun since', async () => {
    const { authenticate } = answering(signedIn(), another())
    const one = await live(authenticate)
    await signIn(one)
    await one.run({ type: 'set-context', key: 'k', delta: { cart: 'of the first' } })
    one.hear({ type: 'ended', claim: { key: '', count: 0 }, verdict: 'auth-required', reason: '' })
    await one.clock.advance(100)
    await one.run({ type: 'start-new', key: 'n' })
    await one.clock.advance(MINUTE)
    await signIn(one)
    expect(await stored(one)).not.toContain('of the first')
  })

  test.each(['the answer is lost', 'the worker is killed'])(
    '[ID9] is not mixed with the one before where %s',
    async (how) => {
      const disk = watchedStore([])
      const answer = how === 'the answer is lost' ? UNREACHABLE : new Promise<Answer>(() => {})
      const { authenticate } = answering(signedIn(), answer)
      const open = async () => opens
      let opens: Answer = { ok: true, value: { opened: opening({ conversation: null }), grant } }
      const platform = { open, authenticate: authenticate as NonNullable<typeof authenticate> }
      const one = await liveRig({ disk, platform })
      await signIn(one)
      await one.run({ type: 'set-context', key: 'k', delta: { cart: 'of the first' } })
      // The service has joined the session to another user, and nobody here knows.
      opens = another()
      const signing = one.run({ type: 'authenticate', token: 'jwt' }).catch(() => {})
      await one.clock.advance(MINUTE)
      if (how === 'the worker is killed') {
        const next = rig({ disk, incarnation: 'w2', platform })
        next.clock.time = one.clock.time
        await next.pull()
        await next.clock.advance(MINUTE)
      } else await signing
      expect(await stored(one)).not.toMatch(/of the first|"s1"/)
    },
  )

  test.each([
    { mode: 'broker', first: /^open / },
    { mode: 'persistent', first: /^refresh / },
  ] as const)(
    '[ID15] $mode: behind a sign-in of a worker that was killed the token is another before it is asked whose the session is',
    async ({ mode, first }) => {
      const disk = watchedStore([])
      const { asked, authenticate } = answering(new Promise<Answer>(() => {}))
      const one = await live(authenticate, { disk, mode })
      void one.run({ type: 'authenticate', token: 'jwt' }).catch(() => {})
      while (asked.length === 0) await one.clock.advance(SECOND)
      const next = rig({ disk, mode, incarnation: 'w2' })
      next.clock.time = one.clock.time
      await next.pull()
      await next.clock.advance(SECOND)
      const calls = next.log.filter((line) => /^(open|refresh|send|make|push|connect)/.test(line))
      expect(calls[0]).toMatch(first)
      expect((await next.pull()).snapshot.phase).toBe('live')
    },
  )

  test('[ID15] where it had been answered, and the one before is wiped, whoever comes next waits for nothing', async () => {
    const disk = watchedStore([])
    await live(answering().authenticate, { disk })
    const wanted = { keys: [], runEntries: 0, isDurable: true }
    await disk.store.turn(wanted, ({ slots }) => {
      const { session, rev } = slots as Slots
      const tombstone = { ...newSession('e9'), isSignedOut: true, joiner: 'j', joiningUntil: NOW + SECOND }
      const writes = { putEntries: [], dropEntries: [], putRows: [], wipe: false }
      return {
        writes: { ...writes, slots: { ...(slots as Slots), rev: rev + 1, session: { ...session, ...tombstone } } },
      }
    })
    const next = rig({ disk, incarnation: 'w2' })
    const shown = vi.fn()
    void next.pull().then(({ snapshot }) => shown(snapshot.phase))
    await next.clock.advance(0)
    expect(shown).toHaveBeenCalledOnce()
    await next.clock.advance(SECOND)
    expect((await next.pull()).snapshot.phase).toBe('live')
  })
})
