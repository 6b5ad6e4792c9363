// Tables over server/session.ts: every state against every event, and each way a refresh token can come back.
import { describe, expect, test } from 'vitest'
import {
  admit,
  advance,
  advanceSession,
  type Caller,
  type ConversationEvent,
  type ConversationState,
  confirm,
  type Family,
  LATE_OPENING_MS,
  mayEnter,
  mergeAttributes,
  newFamily,
  openConversation,
  openSession,
  REPLAY_GRACE_MS,
  REPLAY_WINDOW_MS,
  REPLAYS_MAX,
  revoke,
  rotate,
  type SessionEvent,
  type SessionState,
} from '../../server/session.ts'

const LIFE_MS = 7 * 24 * 3600_000
const T0 = 1_000_000
const first = newFamily('f', 's', T0, LIFE_MS)

function present(family: Family, generation: number, keyHash: string | null, now = T0) {
  return rotate(family, { generation, keyHash }, now, LIFE_MS)
}

/** The family after its first token was rotated with key `k1`. */
function rotated(now = T0): Family {
  const verdict = present(first, 1, 'k1', now)
  if (verdict.type !== 'rotated') throw new Error(verdict.type)
  return verdict.family
}

describe('token families', () => {
  test('[SV6] the current token is rotated, and its life slides', () => {
    const family = rotated(T0 + 5)
    expect(family).toMatchObject({ generation: 2, keyHash: 'k1', confirmedAt: null, replays: 0 })
    expect(family.expiresAt).toBe(T0 + 5 + LIFE_MS)
  })

  const used = confirm(rotated(), 2, T0)
  const third = present(used, 2, 'k2')
  const grandchild = third.type === 'rotated' ? third.family : first
  const worn = { ...rotated(), replays: REPLAYS_MAX }
  const rows = [
    {
      rule: 'SV6',
      is: 'lost answer, same key',
      family: rotated(),
      generation: 1,
      key: 'k1',
      at: T0 + 1,
      gets: 'replayed',
    },
    {
      rule: 'SV6',
      is: 'lost answer, same key, an hour later',
      family: rotated(),
      generation: 1,
      key: 'k1',
      at: T0 + 3600_000,
      gets: 'replayed',
    },
    {
      rule: 'SV6',
      is: 'same key, after the limit of others',
      family: worn,
      generation: 1,
      key: 'k1',
      at: T0 + 1,
      gets: 'replayed',
    },
    {
      rule: 'SV6',
      is: 'same key, just after use',
      family: used,
      generation: 1,
      key: 'k1',
      at: T0 + REPLAY_GRACE_MS - 1,
      gets: 'replayed',
    },
    {
      rule: 'SV6',
      is: 'same key, long after use',
      family: used,
      generation: 1,
      key: 'k1',
      at: T0 + REPLAY_GRACE_MS,
      gets: 'invalid',
    },
    { rule: 'SV7', is: 'other key, unused', family: rotated(), generation: 1, key: 'k9', at: T0 + 1, gets: 'replayed' },
    { rule: 'SV7', is: 'no key, unused', family: rotated(), generation: 1, key: null, at: T0 + 1, gets: 'replayed' },
    { rule: 'SV7', is: 'other key, too often', family: worn, generation: 1, key: 'k9', at: T0 + 1, gets: 'wait' },
    {
      rule: 'SV7',
      is: 'other key, too often but long ago',
      family: worn,
      generation: 1,
      key: 'k9',
      at: T0 + REPLAY_WINDOW_MS,
      gets: 'replayed',
    },
    { rule: 'SV8', is: 'other key, after use', family: used, generation: 1, key: 'k9', at: T0 + 1, gets: 'reuse' },
    { rule: 'SV8', is: 'no key, after use', family: used, generation: 1, key: null, at: T0 + 1, gets: 'reuse' },
    {
      rule: 'SV6',
      is: 'grandparent, key of the last rotation',
      family: { ...grandchild, keyHash: 'k1' },
      generation: 1,
      key: 'k1',
      at: T0 + 1,
      gets: 'invalid',
    },
    { rule: 'SV8', is: 'grandparent', family: grandchild, generation: 1, key: 'k1', at: T0 + 1, gets: 'reuse' },
    {
      rule: 'SV8',
      is: 'revoked family',
      family: revoke(first, 'reuse', T0),
      generation: 1,
      key: 'k1',
      at: T0 + 1,
      gets: 'invalid',
    },
    { rule: 'SV6', is: 'expired family', family: first, generation: 1, key: 'k1', at: T0 + LIFE_MS, gets: 'invalid' },
    {
      rule: 'SV6',
      is: 'token from after a restored backup',
      family: first,
      generation: 4,
      key: 'k1',
      at: T0 + 1,
      gets: 'rotated',
    },
  ]
  test.each(rows)('[$rule] $is: $gets', ({ family, generation, key, at, gets }) => {
    const verdict = present(family, generation, key, at)
    expect(verdict.type).toBe(gets)
    if (verdict.type === 'replayed') expect(verdict.family.generation).toBe(family.generation)
    if (verdict.type === 'rotated') expect(verdict.family.generation).toBe(generation + 1)
    if (verdict.type === 'reuse') expect(verdict.family).toMatchObject({ revokedAt: at, revokeReason: 'reuse' })
    if (verdict.type === 'wait') expect(verdict.retryAfterMs).toBe(REPLAY_WINDOW_MS - 1)
  })

  test('[SV7] six callers race with six keys: one rotation, five answers, one successor', () => {
    let family = first
    const verdicts = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => {
      const verdict = present(family, 1, key)
      if ('family' in verdict) family = verdict.family
      return verdict
    })
    expect(verdicts.map((verdict) => verdict.type)).toEqual(['rotated', ...Array(5).fill('replayed')])
    expect(family.generation).toBe(2)
    expect(present(family, 1, 'g').type).toBe('wait')
  })

  test('[SV10] only the newest generation is confirmed, and only once', () => {
    const family = rotated()
    expect(confirm(family, 1, T0)).toBe(family)
    const confirmed = confirm(family, 2, T0 + 1)
    expect(confirmed.confirmedAt).toBe(T0 + 1)
    expect(confirm(confirmed, 2, T0 + 9)).toBe(confirmed)
  })

  test('[SV10] presenting the successor makes its parent a grandparent', () => {
    const verdict = present(rotated(), 2, 'k2')
    expect(verdict.type).toBe('rotated')
    if (verdict.type === 'rotated') expect(present(verdict.family, 1, 'k1').type).toBe('reuse')
  })
})

describe('opening a session', () => {
  const late = T0 + LIFE_MS
  test.each([
    { rule: 'SV1', is: 'nothing known', input: {}, now: T0, gets: 'created' },
    { rule: 'SV1', is: 'the key opened it before', input: { opened: first }, now: T0, gets: 'repeated' },
    {
      rule: 'SV1',
      is: 'the key opened it, but the family moved on',
      input: { opened: rotated() },
      now: T0,
      gets: 'created',
    },
    { rule: 'SV1', is: 'the key opened what has expired', input: { opened: first }, now: late, gets: 'created' },
    {
      rule: 'SV2',
      is: 'the current cookie',
      input: { presented: { family: first, generation: 1 } },
      now: T0,
      gets: 'rotated',
    },
    {
      rule: 'SV2',
      is: 'the parent cookie, unused',
      input: { presented: { family: rotated(), generation: 1 } },
      now: T0,
      gets: 'replayed',
    },
    {
      rule: 'SV5',
      is: 'the cookie of an expired session',
      input: { presented: { family: first, generation: 1 } },
      now: late,
      gets: 'created',
    },
    {
      rule: 'SV8',
      is: 'a spent cookie',
      input: { presented: { family: confirm(rotated(), 2, T0), generation: 1 } },
      now: T0,
      gets: 'created',
    },
  ])('[$rule] $is: $gets', ({ input, now, gets }) => {
    const verdict = openSession({ keyHash: 'k0', ...input }, now, LIFE_MS)
    expect(verdict.type).toBe(gets)
  })

  test('[SV5] the archive goes to the session that follows, once', () => {
    const verdict = openSession({ keyHash: 'k0', presented: { family: first, generation: 1 } }, late, LIFE_MS)
    if (verdict.type !== 'created' || verdict.revoked === undefined) throw new Error(verdict.type)
    expect(verdict.succeeds).toBe(first)
    expect(verdict.revoked.revokeReason).toBe('succeeded')
    const again = openSession({ keyHash: 'k1', presented: { family: verdict.revoked, generation: 1 } }, late, LIFE_MS)
    expect(again).toEqual({ type: 'created' })
  })

  test.each([
    { is: 'of the opening, behind a refresh', generation: 2, from: 1, by: 'opened', afterMs: 0, gets: 'wait' },
    { is: 'of a resumption, behind a refresh', generation: 3, from: 1, by: 'opened', afterMs: 0, gets: 'wait' },
    { is: 'behind two refreshes', generation: 4, from: 1, by: 'opened', afterMs: 0, gets: 'created' },
    { is: 'hours later', generation: 2, from: 1, by: 'opened', afterMs: LATE_OPENING_MS, gets: 'created' },
    { is: 'of another family', generation: 2, from: 1, by: 'other', afterMs: 0, gets: 'created' },
    { is: 'by a key that opened nothing', generation: 2, from: 1, by: 'nobody', afterMs: 0, gets: 'created' },
  ])('[SV95] a late copy $is: $gets', ({ generation, from, by, afterMs, gets }) => {
    const family: Family = { ...rotated(), generation, keyHash: 'of the refresh', confirmedAt: T0 }
    const opened = { opened: family, other: { ...family, id: 'other' }, nobody: undefined }[by]
    const input = { keyHash: 'of the opening', presented: { family, generation: from }, ...(opened && { opened }) }
    const verdict = openSession(input, T0 + afterMs, LIFE_MS)
    expect(verdict.type).toBe(gets)
    expect('revoked' in verdict).toBe(gets === 'created')
  })

  test('[SV8] a spent cookie revokes its family and inherits nothing', () => {
    const family = confirm(rotated(), 2, T0)
    const verdict = openSession({ keyHash: 'k0', presented: { family, generation: 1 } }, T0, LIFE_MS)
    expect(verdict).toMatchObject({ type: 'created', revoked: { revokeReason: 'reuse' } })
    expect(verdict).not.toHaveProperty('succeeds')
  })
})

describe('lives', () => {
  const sessions: Record<SessionState, Record<SessionEvent, SessionState | null>> = {
    active: { seen: 'active', lapsed: 'expired', 'signed-out': 'ended', retired: null },
    expired: { seen: null, lapsed: 'expired', 'signed-out': 'ended', retired: 'archived' },
    ended: { seen: null, lapsed: 'ended', 'signed-out': 'ended', retired: 'archived' },
    archived: { seen: null, lapsed: 'archived', 'signed-out': 'archived', retired: 'archived' },
  }
  test.each(pairs(sessions))('[SV4] a session that is $state, $event: $next', ({ state, event, next }) => {
    expect(advanceSession(state, event)).toBe(next)
  })

  type Row = Record<ConversationEvent, ConversationState | null>
  const none: Row = {
    'customer-message': null,
    'agent-message': null,
    change: null,
    close: null,
    idle: null,
    retire: null,
  }
  const conversations: Record<ConversationState, Row> = {
    pending: {
      'customer-message': 'active',
      'agent-message': 'pending',
      change: 'pending',
      close: 'closed',
      idle: 'expired',
      retire: null,
    },
    active: {
      'customer-message': 'active',
      'agent-message': 'active',
      change: 'active',
      close: 'closed',
      idle: 'expired',
      retire: null,
    },
    closed: { ...none, close: 'closed', retire: 'archived' },
    expired: { ...none, close: 'expired', retire: 'archived' },
    archived: { ...none, close: 'archived', retire: 'archived' },
  }
  test.each(pairs(conversations))('[SV13] a conversation that is $state, $event: $next', ({ state, event, next }) => {
    expect(advance(state, event)).toBe(next)
  })

  function pairs<S extends string, E extends string>(table: Record<S, Record<E, S | null>>) {
    const rows: { state: S; event: E; next: S | null }[] = []
    for (const [state, events] of Object.entries<Record<E, S | null>>(table)) {
      for (const [event, next] of Object.entries<S | null>(events))
        rows.push({ state: state as S, event: event as E, next })
    }
    return rows
  }
})

describe('conversations and messages', () => {
  test.each([
    {
      rule: 'SV14',
      is: 'the first',
      own: [],
      asked: undefined,
      gets: { type: 'create', previousId: null, resumedFrom: null, previousState: null },
    },
    {
      rule: 'SV14',
      is: 'one is open',
      own: [
        { id: 'b', state: 'closed' },
        { id: 'a', state: 'pending' },
      ],
      asked: 'b',
      gets: { type: 'join', conversationId: 'a' },
    },
    {
      rule: 'SV15',
      is: 'the last has ended',
      own: [
        { id: 'b', state: 'expired' },
        { id: 'a', state: 'closed' },
      ],
      asked: undefined,
      gets: { type: 'create', previousId: 'b', resumedFrom: 'b', previousState: 'expired' },
    },
    {
      rule: 'SV15',
      is: 'an older one is asked for',
      own: [
        { id: 'b', state: 'closed' },
        { id: 'a', state: 'archived' },
      ],
      asked: 'a',
      gets: { type: 'create', previousId: 'a', resumedFrom: 'a', previousState: 'archived' },
    },
    {
      rule: 'SV15',
      is: "someone else's is asked for",
      own: [{ id: 'b', state: 'closed' }],
      asked: 'x',
      gets: { type: 'create', previousId: 'b', resumedFrom: null, previousState: 'closed' },
    },
    {
      rule: 'SV92',
      is: 'one is asked for that was purged, is of another or never was, and there is no other',
      own: [],
      asked: 'x',
      gets: { type: 'create', previousId: null, resumedFrom: null, previousState: 'gone' },
    },
  ] as const)('[$rule] beginning a conversation when $is', ({ own, asked, gets }) => {
    expect(openConversation(own, asked)).toEqual(gets)
  })

  test.each([
    {
      rule: 'SV25',
      is: 'first of the customer',
      state: 'pending',
      role: 'customer',
      earlier: undefined,
      gets: { type: 'append', state: 'active' },
    },
    {
      rule: 'SV25',
      is: 'of the agent, before any',
      state: 'pending',
      role: 'agent',
      earlier: undefined,
      gets: { type: 'append', state: 'pending' },
    },
    { rule: 'SV20', is: 'a retry', state: 'active', role: 'customer', earlier: 'h', gets: { type: 'replay' } },
    {
      rule: 'SV20',
      is: 'a retry after the close',
      state: 'closed',
      role: 'customer',
      earlier: 'h',
      gets: { type: 'replay' },
    },
    {
      rule: 'SV21',
      is: 'another body',
      state: 'active',
      role: 'customer',
      earlier: 'other',
      gets: { type: 'refuse', code: 'idempotency-key-reused' },
    },
    {
      rule: 'SV21',
      is: 'another body after the close',
      state: 'expired',
      role: 'agent',
      earlier: 'other',
      gets: { type: 'refuse', code: 'idempotency-key-reused' },
    },
    {
      rule: 'SV19',
      is: 'new after the close',
      state: 'closed',
      role: 'customer',
      earlier: undefined,
      gets: { type: 'refuse', code: 'conversation-closed' },
    },
    {
      rule: 'SV19',
      is: 'new in the archive',
      state: 'archived',
      role: 'agent',
      earlier: undefined,
      gets: { type: 'refuse', code: 'conversation-closed' },
    },
  ] as const)('[$rule] a message that is $is', ({ state, role, earlier, gets }) => {
    expect(admit(state, role, 'h', earlier)).toEqual(gets)
  })

  const customer: Caller = { role: 'customer', deploymentId: 'd', sessionId: 's', familyId: 'f', generation: 1 }
  const agent: Caller = { role: 'agent', deploymentId: 'd', agentId: 'a', name: 'Kim' }
  test.each([
    { who: 'its customer', caller: customer, place: { deploymentId: 'd', sessionId: 's' }, may: true },
    { who: 'another session', caller: customer, place: { deploymentId: 'd', sessionId: 'z' }, may: false },
    {
      who: 'the same session id in another deployment',
      caller: customer,
      place: { deploymentId: 'x', sessionId: 's' },
      may: false,
    },
    { who: 'an agent of the deployment', caller: agent, place: { deploymentId: 'd', sessionId: 's' }, may: true },
    { who: 'an agent of another deployment', caller: agent, place: { deploymentId: 'x', sessionId: 's' }, may: false },
  ])('[SV27] $who enters: $may', ({ caller, place, may }) => {
    expect(mayEnter(caller, place)).toBe(may)
  })

  test('[SV16] attributes merge key by key, null removes, and no change is the same object', () => {
    const now = { a: '1', b: '2' }
    expect(mergeAttributes(now, { b: null, c: '3' })).toEqual({ a: '1', c: '3' })
    expect(mergeAttributes(now, { a: '1', z: null })).toBe(now)
    const odd = mergeAttributes({}, JSON.parse('{"__proto__":"x"}') as Record<string, unknown>)
    expect(Object.getPrototypeOf(odd)).toBe(Object.prototype)
  })
})
