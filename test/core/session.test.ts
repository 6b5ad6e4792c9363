// The session: what is opened, resumed, made and let go, and which of the phases is due.

import { describe, expect, test } from 'vitest'
import { type Attempt, IDLE } from '../../core/attempt.ts'
import { BACKOFF_CAP_MS } from '../../core/backoff.ts'
import { after as following } from '../../core/behind.ts'
import { type Gate, plan } from '../../core/phases.ts'
import {
  CLOSED,
  isConversationOpen,
  laneNameOf,
  needsOpening,
  newSession,
  reduce,
  type Session,
  type SessionInput,
} from '../../core/session.ts'
import type { ConversationState } from '../../core/wire.ts'
import { asJson, conversation, env, HOUR, MINUTE, NOW, opening, SECOND } from './fixtures.ts'

const claim = { key: 'a', count: 1 }
const running: Attempt = { status: 'running', ...claim, owner: 'w1', retryAt: NOW + 15 * SECOND }
const wished: Attempt = { status: 'waiting', ...claim, retryAt: NOW + MINUTE, floorAt: NOW + MINUTE }
const OPEN = { isOpen: true, isMerged: true, owedSince: 0, attempt: { ...running, retryAt: NOW - 1 } }

const session = (change: Partial<Session> = {}): Session => ({
  ...newSession('e'),
  id: 's1',
  conversation: conversation(),
  activeAt: NOW,
  isValidated: true,
  tabs: 1,
  ...change,
})
const ALL: Gate = { isWanted: true, canOpen: true, canCall: true, attributes: {} }
const fold = (state: Session, input: SessionInput, now = NOW): Session => asJson(reduce(state, input, env({ now })))

describe('the phases', () => {
  test.each([
    { is: 'new', state: newSession('e'), due: { type: 'open', conversationId: null } },
    { is: 'not validated', state: session({ isValidated: false }), due: { type: 'open', conversationId: 'c1' } },
    {
      is: 'quiet for long',
      state: session({ activeAt: NOW - 16 * MINUTE }),
      due: { type: 'open', conversationId: 'c1' },
    },
    {
      is: 'quiet for long, said a clock set back',
      state: session({ activeAt: NOW + HOUR }),
      due: { type: 'open', conversationId: 'c1' },
    },
    { is: 'without a conversation', state: session({ conversation: null }), due: { type: 'make', previousId: null } },
    {
      is: 'to begin anew',
      state: session({ isNewWanted: true, conversation: conversation('c0', { state: 'expired' }) }),
      due: { type: 'make', previousId: 'c0' },
    },
    { is: 'validated', state: session(), due: { type: 'connect', conversationId: 'c1' } },
    { is: 'live', state: session({ stream: OPEN, activeAt: NOW - HOUR }), due: undefined },
    { is: 'ended', state: session({ conversation: conversation('c1', { state: 'closed' }) }), due: undefined },
    { is: 'without a tab', state: session({ tabs: 0 }), due: undefined },
    { is: 'signed out', state: { ...newSession('e'), isSignedOut: true }, due: undefined },
    { is: 'refused', state: { ...newSession('e'), refusal: 'DEPLOYMENT_UNKNOWN' as const }, due: undefined },
  ])('[SN7] a session that is $is has due: $due.type', ({ state, due }) => {
    const { action } = plan(state, ALL, env())
    if (due === undefined) expect(action).toBeUndefined()
    else expect(action).toMatchObject({ ...due, claim: { key: 'k1', count: 1 } })
  })

  test.each([
    { stream: OPEN, state: 'active' },
    { stream: CLOSED, state: 'pending' },
  ] as const)('[ID16] behind a sign-in the conversation is $state, as who spoke last has it', ({ stream, state }) => {
    const before = session({ stream, conversation: conversation('c1', { state: 'active' }) })
    const opened = opening({ conversation: conversation('c1', { state: 'pending' }) })
    expect(fold(before, { type: 'identified', opened }).conversation?.state).toBe(state)
  })

  test.each([1e16, Number.POSITIVE_INFINITY])(
    '[ST50] a session that lasts until %s is one that is read again',
    (expiresAt) => {
      const opened = opening({ expiresAt, conversation: conversation() })
      expect(reduce(session(), { type: 'identified', opened }, env()).expiresAt).toBe(8.64e15)
    },
  )

  test('[SN3] a conversation is asked for again as it was at first, whatever was changed meanwhile', () => {
    const first = plan(session({ conversation: null }), { ...ALL, attributes: { plan: 'a' } }, env())
    const changed = { ...first.state, routing: { queue: 'sales' } }
    const again = plan(changed, { ...ALL, attributes: { plan: 'b' } }, env({ now: NOW + MINUTE }))
    expect(again.action).toMatchObject({ ...first.action, claim: { key: 'k1', count: 2 } })
  })

  test.each([
    { what: 'nobody wants it', gate: { ...ALL, isWanted: false }, state: newSession('e') },
    { what: 'it cannot be opened with what we hold', gate: { ...ALL, canOpen: false }, state: newSession('e') },
    {
      what: 'there is no token to make a conversation with',
      gate: { ...ALL, canCall: false },
      state: session({ conversation: null }),
    },
    { what: 'there is no token to connect with', gate: { ...ALL, canCall: false }, state: session() },
  ])('[SN7] nothing is due while $what', ({ gate, state }) => {
    expect(plan(state, gate, env())).toEqual({ state })
  })

  test.each([
    { part: 'opening' as const, state: newSession('e') },
    { part: 'making' as const, state: session({ conversation: null }) },
  ])(
    '[SN8] $part is in the state before it is sent, once, and again after its time with the same key',
    ({ part, state }) => {
      const first = plan(state, ALL, env())
      expect(first.state[part]).toMatchObject({ status: 'running', key: 'k1', count: 1, owner: 'w1' })
      expect(plan(asJson(first.state), ALL, env())).toEqual({ state: first.state, wakeAt: first.wakeAt })
      const again = plan(asJson(first.state), ALL, env({ now: first.wakeAt ?? 0, key: () => 'other' }))
      expect(again.action?.claim).toMatchObject({ key: 'k1', count: 2 })
    },
  )

  test('[SN8] without the pump nothing is due', () => {
    for (const state of [newSession('e'), session({ conversation: null }), session()]) {
      expect(plan(state, ALL, env({ pump: false })).action).toBeUndefined()
    }
  })

  test.each([
    { quietMs: 15 * MINUTE, isOpen: false, needs: false },
    { quietMs: 15 * MINUTE + 1, isOpen: false, needs: true },
    { quietMs: HOUR, isOpen: true, needs: false },
    { quietMs: -15 * MINUTE - 1, isOpen: false, needs: true },
  ])(
    '[SN9] after $quietMs ms without a word, stream open: $isOpen, the platform is asked: $needs',
    ({ quietMs, isOpen, needs }) => {
      const state = session({ activeAt: NOW - quietMs, stream: isOpen ? OPEN : CLOSED })
      expect(needsOpening(state, NOW)).toBe(needs)
    },
  )
})

describe('opening', () => {
  const asking = (change: Partial<Session> = {}) =>
    session({ opening: running, isValidated: false, activeAt: 0, ...change })
  const opened = (state: Session, change: Parameters<typeof opening>[0]) =>
    fold(state, { type: 'opened', claim, opened: opening(change) })

  test('[SN10] adopts the session, and with it the word of the platform', () => {
    const state = opened(asking({ id: null, conversation: null, refusal: 'SERVICE_REFUSED' }), {
      isAuthenticated: true,
    })
    expect(state).toMatchObject({
      id: 's1',
      isAuthenticated: true,
      expiresAt: opening().expiresAt,
      isValidated: true,
      activeAt: NOW,
      opening: IDLE,
      refusal: null,
    })
  })

  test.each([
    { when: 'nothing was asked', attempt: IDLE },
    { when: 'another identity asked', attempt: { ...running, key: 'b' } },
  ])('[SN11] the answer changes nothing when $when', ({ attempt }) => {
    const state = asking({ opening: attempt })
    expect(opened(state, { conversation: conversation('c9') })).toEqual(state)
    expect(fold(state, { type: 'open-failed', claim, retryAfterMs: HOUR })).toEqual(state)
    expect(fold(state, { type: 'open-refused', claim, code: 'DEPLOYMENT_UNKNOWN' })).toEqual(state)
  })

  const closed = conversation('c1', { state: 'closed' })
  test.each([
    { ours: null, theirs: null, former: undefined, id: undefined, lane: '1', wanted: false, from: undefined },
    { ours: null, theirs: conversation('c1'), former: undefined, id: 'c1', lane: '1', wanted: false, from: undefined },
    {
      ours: conversation(),
      theirs: conversation(),
      former: undefined,
      id: 'c1',
      lane: '1',
      wanted: false,
      from: undefined,
    },
    { ours: closed, theirs: conversation(), former: undefined, id: 'c1', lane: '1', wanted: false, from: undefined },
    {
      ours: conversation(),
      theirs: conversation('c2'),
      former: 'expired',
      id: 'c2',
      lane: '2',
      wanted: false,
      from: 'c1',
    },
    { ours: closed, theirs: conversation('c2'), former: 'closed', id: 'c2', lane: '2', wanted: false, from: 'c1' },
    { ours: conversation(), theirs: null, former: 'expired', id: 'c1', lane: '2', wanted: true, from: undefined },
    { ours: conversation(), theirs: null, former: 'archived', id: 'c1', lane: '2', wanted: true, from: undefined },
    { ours: conversation(), theirs: null, former: undefined, id: 'c1', lane: '2', wanted: true, from: undefined },
    { ours: conversation(), theirs: null, former: 'closed', id: 'c1', lane: '1', wanted: false, from: undefined },
    { ours: closed, theirs: null, former: undefined, id: 'c1', lane: '1', wanted: false, from: undefined },
    { ours: closed, theirs: null, former: 'expired', id: 'c1', lane: '2', wanted: true, from: undefined },
  ])(
    '[SN12] ours $ours.state, theirs $theirs.id, ours became $former: conversation $id, lane $lane, a new one wanted: $wanted',
    (row) => {
      const former = row.former as ConversationState | undefined
      const state = opened(asking({ conversation: row.ours }), {
        conversation: row.theirs,
        ...(former && { formerState: former }),
      })
      expect([state.conversation?.id, laneNameOf(state), state.isNewWanted]).toEqual([row.id, row.lane, row.wanted])
      expect(state.conversation?.resumedFrom).toBe(row.from)
      if (row.theirs === null) expect(isConversationOpen(state)).toBe(false)
    },
  )

  test.each([
    { theirs: null, id: 'c1', wanted: true, from: undefined },
    { theirs: conversation('c2'), id: 'c2', wanted: false, from: 'c1' },
  ])(
    '[SN13] a new one that was asked for takes what the platform has ($theirs.id), in the lane it was asked in',
    (row) => {
      const state = opened(asking({ conversation: closed, isNewWanted: true, laneNumber: 4 }), {
        conversation: row.theirs,
      })
      expect([state.conversation?.id, laneNameOf(state), state.isNewWanted]).toEqual([row.id, '4', row.wanted])
      expect(state.conversation?.resumedFrom).toBe(row.from)
    },
  )

  test('[SN95] a conversation that comes back is not behind itself', () => {
    const first = following(conversation('c1'), conversation('c2'))
    expect(first.behind).toEqual(['c1'])
    expect(following(first, conversation('c1')).behind).toEqual(['c2'])
  })

  test.each([
    { ours: conversation(), is: 'expired', id: 'c1', behind: undefined, lane: '2' },
    { ours: closed, is: 'archived', id: 'c1', behind: undefined, lane: '2' },
    { ours: conversation('c0'), is: 'archived', id: 'c1', behind: ['c0'], lane: '2' },
    { ours: null, is: 'expired', id: 'c1', behind: undefined, lane: '1' },
  ] as const)(
    '[SN93] found $is, ours $ours.id: a new one follows it, in lane $lane',
    ({ ours, is, id, behind, lane }) => {
      const state = opened(asking({ conversation: ours }), { conversation: conversation('c1', { state: is }) })
      expect([state.conversation?.id, state.conversation?.state, state.conversation?.behind]).toEqual([id, is, behind])
      expect([laneNameOf(state), state.isNewWanted, isConversationOpen(state)]).toEqual([lane, true, false])
      expect(plan(state, ALL, env()).action).toMatchObject({ type: 'make', previousId: id })
    },
  )

  test('[SN14] a platform that refuses is asked again when a tab comes or the visitor is here, not before', () => {
    const refused = fold(asking(), { type: 'open-refused', claim, code: 'DEPLOYMENT_UNKNOWN' })
    expect(plan(refused, ALL, env({ now: NOW + HOUR }))).toEqual({ state: refused })
    for (const input of [{ type: 'woken' }, { type: 'tabs-changed', count: 2 }] as const) {
      expect(plan(fold(refused, input), ALL, env()).action?.type).toBe('open')
    }
  })

  test('[SN15] a lost session is opened again, and its stream let go', () => {
    const state = fold(session({ stream: OPEN }), { type: 'session-lost' })
    expect(state).toMatchObject({ isValidated: false, stream: CLOSED, conversation: { id: 'c1' } })
    expect(plan(state, ALL, env()).action?.type).toBe('open')
  })
})

describe('making', () => {
  const asking = (change: Partial<Session> = {}) => session({ making: running, conversation: null, ...change })
  const made = (state: Session, id = 'c2') => fold(state, { type: 'made', claim, conversation: conversation(id) })

  test.each([
    { what: 'its session knows it no more', of: 's1', opens: {}, behind: undefined },
    { what: 'the heir of its session knows it no more', of: 's0', opens: { succeeds: 's0' }, behind: undefined },
    { what: 'it was of another session', of: 's0', opens: {}, behind: ['c1', 'c0'] },
  ])('[SN94] where $what, the new one has behind it: $behind', ({ of, opens, behind }) => {
    const ours = conversation('c1', { sessionId: of, behind: ['c0'] })
    const answer = { conversation: null, formerState: 'gone' as const, ...opens }
    const asking = session({ opening: running, conversation: ours })
    const found = fold(asking, { type: 'opened', claim, opened: opening(answer) })
    const making = { ...found, making: running }
    const next = conversation('c2', { previousState: 'gone' })
    const state = fold(making, { type: 'made', claim, conversation: next })
    expect(state.conversation).toMatchObject({ id: 'c2', previousState: 'gone' })
    expect(state.conversation?.behind).toEqual(behind)
    expect(state.conversation?.previousId).toBe(behind?.[0])
  })

  test.each([
    { former: null, expected: conversation('c2', { sessionId: 's1' }) },
    {
      former: conversation('c1', { state: 'expired' }),
      expected: conversation('c2', { sessionId: 's1', previousId: 'c1', resumedFrom: 'c1', behind: ['c1'] }),
    },
    {
      former: conversation('c2', { resumedFrom: 'c1' }),
      expected: conversation('c2', { sessionId: 's1', resumedFrom: 'c1' }),
    },
  ])('[SN16] the new conversation names the one it replaces ($former.id), and never itself', ({ former, expected }) => {
    const state = made(asking({ conversation: former, isNewWanted: true }))
    expect(state).toMatchObject({ making: IDLE, isNewWanted: false, stream: CLOSED })
    expect(state.conversation).toEqual(expected)
  })

  test.each([{ attempt: IDLE }, { attempt: { ...running, key: 'b' } }])(
    '[SN11] a late answer changes nothing: $attempt.status',
    ({ attempt }) => {
      const state = asking({ making: attempt })
      expect(made(state)).toEqual(state)
      expect(fold(state, { type: 'make-failed', claim })).toEqual(state)
    },
  )

  test.each([
    { state: 'closed', lane: '2', wanted: true },
    { state: 'expired', lane: '2', wanted: true },
    { state: 'active', lane: '1', wanted: false },
  ] as const)('[SN17] asked for a new one, a conversation that is $state is replaced: $wanted', (row) => {
    const before = session({ conversation: conversation('c1', { state: row.state }), making: wished })
    const state = fold(before, { type: 'new-wanted', routing: { queue: 'sales' } })
    expect([laneNameOf(state), state.isNewWanted]).toEqual([row.lane, row.wanted])
    if (row.wanted) expect([state.making, state.routing]).toEqual([IDLE, { queue: 'sales' }])
    const twice = fold(state, { type: 'new-wanted', routing: {} })
    expect(laneNameOf(twice)).toBe(row.lane)
  })
})

describe('the conversation', () => {
  test.each([
    { says: 'closed', open: false, stream: CLOSED },
    { says: 'expired', open: false, stream: CLOSED },
    { says: 'archived', open: false, stream: CLOSED },
    { says: 'pending', open: true, stream: OPEN },
  ] as const)('[SN18] when it becomes $says, messages flow: $open', ({ says, open, stream }) => {
    const state = fold(session({ stream: OPEN }), { type: 'conversation-changed', id: 'c1', state: says })
    expect([isConversationOpen(state), state.stream, state.isNewWanted]).toEqual([open, stream, false])
  })

  test('[SN18] news of another conversation, and no news, change nothing', () => {
    const state = session({ stream: OPEN })
    expect(reduce(state, { type: 'conversation-changed', id: 'c9', state: 'closed' }, env())).toBe(state)
    expect(reduce(state, { type: 'conversation-changed', id: 'c1', state: 'active' }, env())).toBe(state)
  })
})

describe('the stream', () => {
  const connecting = (change: Partial<Session> = {}) => session({ stream: { ...CLOSED, attempt: running }, ...change })

  test('[SN19] opens for its own attempt only', () => {
    expect(fold(connecting(), { type: 'stream-opened', claim }).stream).toMatchObject({ isOpen: true, isMerged: false })
    for (const attempt of [IDLE, wished, { ...running, key: 'b' }, { ...running, count: 2 }]) {
      const state = session({ stream: { ...CLOSED, attempt } })
      expect(fold(state, { type: 'stream-opened', claim })).toEqual(state)
      expect(fold(state, { type: 'stream-closed', claim })).toEqual(state)
    }
  })

  test.each([
    { tries: 5, lasted: 0, count: 5, retryAt: 8_000 },
    { tries: 5, lasted: 15_999, count: 5, retryAt: 8_000 },
    { tries: 5, lasted: 16_000, count: 1, retryAt: 500 },
    { tries: 9, lasted: BACKOFF_CAP_MS - 1, count: 9, retryAt: 15_000 },
    { tries: 9, lasted: BACKOFF_CAP_MS, count: 1, retryAt: 500 },
  ])('[SN20] after $tries tries, one that ends after $lasted ms is tried again in $retryAt ms', (row) => {
    const { tries, lasted, count, retryAt } = row
    const last = { key: 'a', count: tries }
    const opened = fold(session({ stream: { ...CLOSED, attempt: { ...running, count: tries } } }), {
      type: 'stream-opened',
      claim: last,
    })
    const closed = fold(opened, { type: 'stream-closed', claim: last }, NOW + lasted)
    expect(closed.stream).toEqual({
      ...CLOSED,
      attempt: { status: 'waiting', key: 'a', count, retryAt: NOW + lasted + retryAt, floorAt: 0 },
    })
  })

  test.each([
    { what: 'a restart', input: { type: 'started' } },
    { what: 'the last tab', input: { type: 'tabs-changed', count: 0 } },
    { what: 'the loss of the session', input: { type: 'session-lost' } },
  ] as const)('[SN21] $what lets an open stream go, and keeps the wish how long to wait', ({ input }) => {
    expect(fold(session({ stream: OPEN }), input).stream).toEqual(CLOSED)
    expect(fold(connecting(), input).stream).toEqual(CLOSED)
    expect(fold(session({ stream: { ...CLOSED, attempt: wished } }), input).stream).toEqual({
      ...CLOSED,
      attempt: wished,
    })
  })

  test('[SN21] tabs that come and go beside another leave it alone', () => {
    expect(fold(session({ stream: OPEN }), { type: 'tabs-changed', count: 2 })).toMatchObject({ stream: OPEN, tabs: 2 })
  })

  test('[SN22] a wake-up tries everything at once, but never below a wish', () => {
    const waits: Attempt = { ...wished, floorAt: 0 }
    const state = session({ opening: waits, making: wished, stream: { ...CLOSED, attempt: waits } })
    const woken = fold(state, { type: 'woken' })
    expect([woken.opening, woken.making, woken.stream.attempt]).toEqual([
      { ...waits, retryAt: NOW },
      wished,
      { ...waits, retryAt: NOW },
    ])
  })
})

test.each([
  { isOnline: true, activeAt: NOW },
  { isOnline: false, activeAt: NOW - MINUTE },
])('[SN9] being reached ($isOnline) is activity, not being reached is none', ({ isOnline, activeAt }) => {
  const state = fold(session({ activeAt: NOW - MINUTE }), { type: 'reached', isOnline })
  expect(state).toMatchObject({ isOnline, activeAt })
})
