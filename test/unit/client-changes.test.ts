// What happened between two snapshots, row by row.
import { describe, expect, test } from 'vitest'
import type { Message, Snapshot } from '../../core/wire.ts'
import { type Change, changesOf, note, TOLD_MAX } from '../../src/changes.ts'
import { snapshotOf } from './client-fixtures.ts'

const own = (key: string, part: Partial<Message> = {}): Message => ({
  ...{ key, role: 'customer', text: 'hello', at: 1, status: 'queued' },
  ...part,
})
const theirs = (id: string, seq: number): Message => ({ id, seq, role: 'agent', text: 'hi', at: 1, status: 'acked' })

interface Row {
  readonly says: string
  readonly before: Partial<Snapshot>
  readonly after: Partial<Snapshot>
  readonly changes: readonly Change[]
}

const TABLE: readonly Row[] = [
  {
    says: '[PG4] nothing happened',
    before: { messages: [own('k')] },
    after: { rev: 2, messages: [own('k')] },
    changes: [],
  },
  {
    says: "[PG4] the agent's message is told",
    before: {},
    after: { messages: [theirs('m1', 1)] },
    changes: [['message', theirs('m1', 1)]],
  },
  {
    says: '[PG4] a message of this visitor is told when it is queued',
    before: {},
    after: { messages: [own('k')] },
    changes: [['message', own('k')]],
  },
  {
    says: '[PG4] its confirmation is a delivery, and no second message',
    before: { messages: [own('k')] },
    after: { messages: [own('k', { id: 'm1', seq: 1, status: 'acked' })] },
    changes: [['delivery', { key: 'k', status: 'acked' }]],
  },
  {
    says: '[PG4] a refusal is a delivery with its code',
    before: { messages: [own('k', { status: 'inflight' })] },
    after: { messages: [own('k', { status: 'dead', code: 'OUTBOX_REFUSED' })] },
    changes: [['delivery', { key: 'k', status: 'dead', code: 'OUTBOX_REFUSED' }]],
  },
  {
    says: '[PG33] a first conversation that another device was in is told as joined',
    before: { conversation: null },
    after: { conversation: { id: 'c1', state: 'active', joined: true } },
    changes: [['resumed', { conversationId: 'c1', joined: true, activeElsewhere: true }]],
  },
  {
    says: '[PG33] so is a known one, when another device turns up in it',
    before: {},
    after: { rev: 2, conversation: { id: 'c1', state: 'active', joined: true } },
    changes: [['resumed', { conversationId: 'c1', joined: true, activeElsewhere: true }]],
  },
  {
    says: '[PG33] it is told once',
    before: { conversation: { id: 'c1', state: 'active', joined: true } },
    after: { rev: 2, conversation: { id: 'c1', state: 'closed', joined: true } },
    changes: [],
  },
  {
    says: '[PG33] a first conversation of its own is nothing to tell',
    before: { conversation: null },
    after: { conversation: { id: 'c1', state: 'active' } },
    changes: [],
  },
  {
    says: '[PG5] a lost lease is told with its code and what to do',
    before: {},
    after: { phase: 'auth-required', lease: { status: 'lost', code: 'LEASE_REVOKED', message: 'Sign in.' } },
    changes: [['auth-required', { code: 'LEASE_REVOKED', message: 'Sign in.' }]],
  },
  {
    says: '[PG5] a lease that stays lost is not told again',
    before: { phase: 'auth-required', lease: { status: 'lost', code: 'LEASE_REVOKED' } },
    after: { rev: 2, phase: 'auth-required', lease: { status: 'lost', code: 'LEASE_REVOKED' } },
    changes: [],
  },
  {
    says: '[PG5] the end of a conversation is told',
    before: {},
    after: { phase: 'ended', conversation: { id: 'c1', state: 'closed' } },
    changes: [['ended', { conversationId: 'c1', state: 'closed' }]],
  },
  {
    says: '[PG5] a conversation in the place of another is told with the other',
    before: {},
    after: { conversation: { id: 'c2', state: 'pending', previousId: 'c1', resumedFrom: 'c0' } },
    changes: [['resumed', { conversationId: 'c2', from: 'c0' }]],
  },
  {
    says: '[PG5] the other is known from before if nobody names it',
    before: {},
    after: { conversation: { id: 'c2', state: 'pending' } },
    changes: [['resumed', { conversationId: 'c2', from: 'c1' }]],
  },
  {
    says: '[PG5] the first conversation replaces none',
    before: { conversation: null },
    after: { conversation: { id: 'c1', state: 'pending' } },
    changes: [],
  },
  {
    says: '[PG5] signing out is told',
    before: {},
    after: { phase: 'signed-out', conversation: null },
    changes: [['signed-out', {}]],
  },
  {
    says: '[PG5] a tab that slept through it is told by the new identity',
    before: {},
    after: { epoch: 'e2', conversation: { id: 'c9', state: 'pending' } },
    changes: [['signed-out', {}]],
  },
  {
    says: '[PG5] the identity after signing out is no second signing out',
    before: { phase: 'signed-out' },
    after: { epoch: 'e2', phase: 'starting' },
    changes: [],
  },
]

describe('the changes between two snapshots', () => {
  test.each(TABLE)('$says', ({ before, after, changes }) => {
    const told = new Set<string>()
    const from = snapshotOf(before)
    for (const message of from.messages) note(told, message)
    expect(changesOf(from, snapshotOf(after), told)).toEqual(changes)
  })

  test('[PG4] a message that went and came back after a resync is not told twice', () => {
    const told = new Set<string>()
    const full = snapshotOf({ messages: [theirs('m1', 1), own('k', { id: 'm2', seq: 2, status: 'acked' })] })
    changesOf(snapshotOf(), full, told)
    changesOf(full, snapshotOf(), told)
    expect(changesOf(snapshotOf(), full, told)).toEqual([])
  })

  test('[PG4] the memory of what was told has a limit, and forgets the oldest', () => {
    const told = new Set<string>()
    for (let index = 0; index <= TOLD_MAX; index++) note(told, { id: `m${index}` })
    expect(told.size).toBe(TOLD_MAX)
    expect(told.has('m0')).toBe(false)
    expect(told.has(`m${TOLD_MAX}`)).toBe(true)
  })
})

test('[PG33] a tab that was not the first is told that it joined the first conversation, and no other', () => {
  const before = snapshotOf({ conversation: null, tabs: 2 })
  const first = snapshotOf({ rev: 2, tabs: 2 })
  const next = snapshotOf({ rev: 3, tabs: 2, conversation: { id: 'c2', state: 'active', previousId: 'c1' } })
  expect(changesOf(before, first, new Set(), true)).toEqual([
    ['resumed', { conversationId: 'c1', joined: true, activeElsewhere: true }],
  ])
  expect(changesOf(first, next, new Set(), true)).toEqual([['resumed', { conversationId: 'c2', from: 'c1' }]])
})
