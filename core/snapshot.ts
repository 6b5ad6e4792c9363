// What a tab sees: one immutable picture made from what is stored. It carries no token, and a bounded number of messages.

import { viewOf } from './attach.ts'
import { lossOf } from './advice.ts'
import { isUsable } from './lease.ts'
import { lostOf } from './leases.ts'
import { type AllMarks, statusOf } from './marks.ts'
import { countsOf, type Entry, isClaimed, laneOf } from './outbox.ts'
import type { Tail } from './ports.ts'
import { isLaneOpen, isPresentOver, needsOpening, type Session } from './session.ts'
import type { Slots } from './state.ts'
import type { Row } from './transcript.ts'
import type { EpochMs, Message, Outcome, OutboxItem, Phase, Snapshot } from './wire.ts'

/** Confirmed and unconfirmed messages in a snapshot: a screen or two of each. The rest is history, or the outbox list. */
export const SNAPSHOT_ROWS_MAX = 50
export const SNAPSHOT_ENTRIES_MAX = 100

/** Where the session stands, derived from the machines: nothing stores it. */
export function phaseOf(slots: Slots, now: EpochMs): Phase {
  const { session, lease } = slots
  const { stream, opening, making, farewell, will } = session
  if (session.isSignedOut) return 'signed-out'
  if (lostOf(slots) !== undefined) return 'auth-required'
  if (session.refusal !== null) return 'ended'
  if (isPresentOver(session) && session.isValidated) return 'ended'
  if (stream.isOpen) return stream.isMerged ? 'live' : 'merging'
  if (session.tabs === 0) return session.id === null ? 'starting' : 'dormant'
  // A second try is still the same trouble: it would only flicker.
  const isRetrying = [opening, making, stream.attempt, will === null ? farewell : null].some(
    (attempt) => attempt?.status === 'waiting' || (attempt?.status === 'running' && attempt.count > 1),
  )
  if (isRetrying || (lease.status === 'held' && lease.refresh.status === 'waiting' && !isUsable(lease, now)))
    return 'reconnecting'
  if (opening.status === 'running') return 'validating'
  if (needsOpening(session, now)) return 'discovering'
  return 'merging'
}

export function snapshotOf(tail: Tail & { slots: Slots }, storage: 'durable' | 'memory', now: EpochMs): Snapshot {
  const { slots, rows, entries } = tail
  const { session, lease } = slots
  const lost = lostOf(slots)
  const isRefreshing = lease.status === 'held' && lease.refresh.status !== 'idle'
  return {
    rev: slots.rev,
    epoch: session.epoch,
    phase: phaseOf(slots, now),
    storage,
    session:
      session.id === null
        ? null
        : { id: session.id, authenticated: session.isAuthenticated, expiresAt: session.expiresAt },
    conversation: conversationOf(session),
    lease: {
      status: lost?.status ?? (isRefreshing ? 'refreshing' : lease.status),
      ...(lease.status === 'held' ? { expiresAt: lease.grant.expiresAt } : {}),
      ...(lost && lossOf(lost.code)),
    },
    outbox: countsIn(slots),
    context: slots.context.values,
    messages: messagesOf(slots, rows, entries),
    unread: slots.transcript.unread,
    agentTyping: slots.typingUntil > now,
    tabs: session.tabs,
    online: session.isOnline,
    ...(slots.shared && { shared: true as const }),
  }
}

export const countsIn = ({ outbox, session }: Slots): Snapshot['outbox'] =>
  countsOf(outbox, (lane) => isLaneOpen(session, lane))

function conversationOf({ conversation }: Session): Snapshot['conversation'] {
  if (conversation === null) return null
  const { id, state, previousId, resumedFrom, previousState, isJoined = false } = conversation
  return {
    id,
    state,
    ...(previousId === undefined ? {} : { previousId }),
    ...(resumedFrom === undefined ? {} : { resumedFrom }),
    ...(previousState && { previousState }),
    ...(isJoined && { joined: true as const }),
  }
}

/** Confirmed ones in server order, then what this visitor has said since, in order of commit. */
export function messagesOf(slots: Slots, rows: readonly Row[], entries: readonly Entry[]): readonly Message[] {
  const present = slots.session.conversation?.id
  const own = rows.filter((row) => row.conversationId === present && row.epoch === slots.session.epoch)
  const confirmed = own.map((row, index) => {
    const before = own[index - 1]
    return messageOf(row, slots.marks, before !== undefined && before.seq + 1 !== row.seq)
  })
  const known = new Set(own.map((row) => row.key))
  const waiting = entries.filter((entry) => entry.epoch === slots.session.epoch && !known.has(entry.key))
  const heads = headsOf(slots, waiting)
  return [
    ...confirmed,
    ...waiting.map((entry) => ({ ...itemOf(slots, entry, heads), role: 'customer' as const, ...withMetadata(entry) })),
  ]
}

const withMetadata = ({ metadata }: Pick<Entry, 'metadata'>) => (metadata === undefined ? {} : { metadata })

export const messageOf = (row: Row, marks?: AllMarks, isAfterGap = false): Message => ({
  id: row.id,
  seq: row.seq,
  role: row.role,
  text: row.text,
  at: row.at,
  status: statusOf(row, marks?.[row.conversationId]),
  ...(row.key === undefined ? {} : { key: row.key }),
  ...withMetadata(row),
  ...(row.attachments === undefined ? {} : { attachments: row.attachments }),
  ...(isAfterGap ? { afterGap: true as const } : {}),
})

/** The oldest live entry of each lane, where `entries` reach back that far: while its lane is sending, it is on the wire. */
export function headsOf(slots: Slots, entries: readonly Entry[]): ReadonlySet<number> {
  const lanes = new Map<string, { head: number; size: number }>()
  for (const { live, seq } of entries) {
    if (live === undefined) continue
    const lane = lanes.get(live)
    lanes.set(live, { head: lane?.head ?? seq, size: (lane?.size ?? 0) + 1 })
  }
  const whole = [...lanes].filter(([name, { size }]) => size === laneOf(slots.outbox, name).size)
  return new Set(whole.map(([, { head }]) => head))
}

export function itemOf(slots: Slots, entry: Entry, heads: ReadonlySet<number>): OutboxItem {
  const { key, text, at, held } = entry
  const item = { key, text, at, ...(entry.attachments && { attachments: entry.attachments.map(viewOf) }) }
  if (held !== undefined) return { ...item, status: held.status, code: held.code }
  if (!isLaneOpen(slots.session, entry.lane)) return { ...item, status: 'parked', code: 'CONVERSATION_OVER' }
  return { ...item, status: heads.has(entry.seq) && isClaimed(slots.outbox, entry) ? 'inflight' : 'queued' }
}

/** What became of a key: nothing while its entry still waits. */
export function outcomeOf(entry: Entry | undefined, row: Row | undefined): Outcome | undefined {
  if (row !== undefined) return { status: 'acked', messageId: row.id }
  if (entry === undefined) return { status: 'cancelled' }
  return entry.held === undefined ? undefined : { status: entry.held.status, code: entry.held.code }
}
