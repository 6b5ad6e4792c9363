// Signing in where several pages run the engine over one disk: what one of them has begun, the others find there.

import { describe, expect, test } from 'vitest'
import type { Outcome, PlainGrant, Platform, Pump } from '../../core/ports.ts'
import type { Opened } from '../../core/session.ts'
import { conversation, MINUTE, opening } from '../core/fixtures.ts'
import { liveRig, type Rig, rig } from './engine-fixtures.ts'

type Answer = Outcome<{ opened: Opened; grant: PlainGrant }>

const grant: PlainGrant = { accessToken: 'access-user', expiresInMs: 20 * MINUTE }
const signedIn = (change: Partial<Opened> = {}): Answer => ({
  ok: true,
  value: { opened: opening({ isAuthenticated: true, conversation: conversation(), ...change }), grant },
})
const another = () => signedIn({ sessionId: 's2', conversation: null })
const elsewhere: Pump = { async request() {} }

/** Two pages, of which the first holds the pump. The answer to each sign-in is in the test's hand. */
async function pages() {
  const asked = new Map<string, (answer: Answer) => void>()
  const authenticate: Platform['authenticate'] = ({ identity }) =>
    new Promise((resolve) => void asked.set(identity, resolve))
  const platform = { authenticate }
  const one = await liveRig({ platform })
  const two = rig({ disk: one.disk, incarnation: 'w2', pump: elsewhere, platform })
  two.clock.time = one.clock.time
  await two.pull()
  return { asked, one, two, answer: (token: string, what: Answer) => asked.get(token)?.(what) }
}

const signIn = (page: Rig, token: string) => page.run({ type: 'authenticate', token })
const sessionOf = async ({ disk }: Rig) => (await disk.store.tail(0, 0)).slots?.session

async function until(isSo: () => boolean, ...moving: Rig[]): Promise<void> {
  while (!isSo()) for (const { clock } of moving) await clock.advance(10)
}

async function ended<T>(work: Promise<T>, ...moving: Rig[]): Promise<T> {
  let isOver = false
  const over = () => {
    isOver = true
  }
  work.then(over, over)
  await until(() => isOver, ...moving)
  return work
}

describe('signing in, in several pages', () => {
  test('[ID14] the second waits for the answer of the first, and is another user then', async () => {
    const { asked, one, two, answer } = await pages()
    await one.run({ type: 'set-context', key: 'k', delta: { cart: 'of the first' } })
    const first = signIn(two, 'first')
    await until(() => asked.has('first'), two)
    const second = signIn(one, 'second')
    await one.clock.advance(1_000)
    expect([...asked.keys()]).toEqual(['first'])
    answer('first', signedIn())
    await ended(first, two)
    await until(() => asked.has('second'), one, two)
    answer('second', another())
    await ended(second, one, two)
    expect(await sessionOf(one)).toMatchObject({ id: 's2', isSignedOut: false })
    expect(JSON.stringify(await one.disk.store.tail(9, 9))).not.toMatch(/of the first|"s1"/)
  })

  test('[ID14] the second gives up where the first has no answer', async () => {
    const { asked, one, two } = await pages()
    void signIn(two, 'first')
    await until(() => asked.has('first'), two)
    await expect(ended(signIn(one, 'second'), one)).rejects.toMatchObject({ code: 'SERVICE_UNREACHABLE' })
    expect([...asked.keys()]).toEqual(['first'])
  })

  test('[ID14] an answer that comes after another user has been asked for is about nobody', async () => {
    const { asked, one, two, answer } = await pages()
    const first = signIn(two, 'first')
    await until(() => asked.has('first'), two)
    await one.clock.advance(2 * MINUTE)
    const second = signIn(one, 'second')
    await until(() => asked.has('second'), one)
    answer('second', another())
    await ended(second, one)
    const before = await sessionOf(one)
    answer('first', signedIn())
    await expect(ended(first, two)).rejects.toMatchObject({ code: 'EPOCH_CHANGED' })
    expect(await sessionOf(one)).toEqual(before)
  })

  test('[ID14] an answer that comes late, nobody else asked for, is taken', async () => {
    const { asked, one, two, answer } = await pages()
    const first = signIn(two, 'first')
    await until(() => asked.has('first'), two)
    await one.clock.advance(2 * MINUTE)
    answer('first', signedIn())
    await ended(first, two)
    expect(await sessionOf(one)).toMatchObject({ id: 's1', isAuthenticated: true })
  })
})

describe('another user takes over in one page', () => {
  /** The first user is wiped, and the second is still to be adopted. */
  async function between() {
    const all = await pages()
    const { asked, one, two, answer } = all
    const first = signIn(two, 'first')
    await until(() => asked.has('first'), two)
    answer('first', signedIn())
    await ended(first, two)
    const switching = signIn(two, 'second')
    await until(() => asked.has('second'), two, one)
    answer('second', another())
    const opened = () => one.log.filter((line) => line.startsWith('open')).length
    const before = opened()
    while (!(await sessionOf(one))?.isSignedOut) await two.clock.advance(1)
    const came = one.run({ type: 'pull', keys: [] }, { tab: 'tab-2' })
    return { ...all, switching, came, opens: () => opened() - before }
  }

  test('[ID13] a tab that comes in another page waits for them, and begins nobody of its own', async () => {
    const { one, two, switching, came, opens } = await between()
    await one.clock.advance(500)
    await ended(Promise.all([switching, came]), two, one)
    expect((await came).snapshot.session).toMatchObject({ id: 's2', authenticated: true })
    expect(opens()).toBe(0)
  })

  test('[ID13] a page that dies in between keeps nobody out for good', async () => {
    const { one, came } = await between()
    const { snapshot } = await ended(came, one)
    expect(snapshot.phase).not.toBe('signed-out')
    await one.clock.advance(MINUTE)
    expect(await sessionOf(one)).toMatchObject({ isSignedOut: false, isAuthenticated: false })
  })
})
