// Everything small that is stored as one record: the machines' states side by side. Entries and rows have stores of their own.

import { IDLE } from './attempt.ts'
import { type Context, EMPTY_CONTEXT } from './context.ts'
import { type Lease, NO_LEASE } from './lease.ts'
import type { Leases } from './leases.ts'
import type { AllMarks } from './marks.ts'
import type { Limits } from './ports.ts'
import type { Spent } from './rates.ts'
import { EMPTY_LANE, EMPTY_OUTBOX, type Entry, type Outbox, restore } from './outbox.ts'
import { newSession, type Session } from './session.ts'
import type { Presence } from './shared.ts'
import { emptyTranscript, type Transcript } from './transcript.ts'
import type { EpochMs } from './wire.ts'

/** Raised by every change that an older worker could misread; sw/store-schema.ts migrates. */
export const SCHEMA_VERSION = 2

export interface Slots {
  readonly schema: number
  /** Grows by one with every turn that changed something. */
  readonly rev: number
  readonly session: Session
  readonly lease: Lease
  /** Those beside the session's own. */
  readonly leases?: Leases
  readonly context: Context
  readonly outbox: Outbox
  readonly transcript: Transcript
  readonly typingUntil: EpochMs
  /** Keys of the last commands that changed something, newest last: a repeat is recognised. */
  readonly recent: readonly string[]
  /** What the platform said it takes, where it says so at run time. */
  readonly limits?: Limits
  /** Where the device is shared: whether the visitor is still there. */
  readonly shared?: Presence
  /** What was delivered and read, where the platform says so. */
  readonly marks?: AllMarks
  /** Until when each step is spent, where the platform limits it (rates.ts). */
  readonly spent?: Spent
}

export const RECENT_KEYS_MAX = 64

/**
 * A new identity. Entries found on the disk without their counters are counted again, none is lost: they can only be of
 * the visitor who was here, who therefore stays, and the last lane that was begun is the present one.
 *
 * @param rev where revisions begin: for a visitor who stays, above all that the tabs have seen
 */
export const newSlots = (epoch: string, orphans: readonly Entry[], rev = 1): Slots => ({
  schema: SCHEMA_VERSION,
  rev,
  session: {
    ...newSession(orphans.at(-1)?.epoch ?? epoch),
    laneNumber: orphans.reduce((last, { lane }) => Math.max(last, Number(lane) || 1), 1),
  },
  lease: NO_LEASE,
  leases: {},
  context: EMPTY_CONTEXT,
  outbox: orphans.length === 0 ? EMPTY_OUTBOX : restore(orphans),
  transcript: emptyTranscript(''),
  typingUntil: 0,
  recent: [],
})

/** Of a logout that is committed, the slots once the database is made anew; nothing where none is under way. */
export const afterWipe = (slots: Slots): Slots | undefined =>
  slots.session.wipe === 'due' ? { ...slots, rev: slots.rev + 1, session: { ...slots.session, wipe: null } } : undefined

/** Is nothing of a former visitor in here? Of one who has begun since, everything is their own. */
export const isBlank = ({ session, lease, context, outbox, transcript, recent, marks }: Slots): boolean =>
  !session.isSignedOut ||
  (session.id === null &&
    session.conversation === null &&
    lease.status === 'none' &&
    Object.keys({ ...context.values, ...context.dirty, ...context.sending, ...context.ends }).length === 0 &&
    Object.values(outbox.lanes).every(({ size }) => size === 0) &&
    transcript.conversationId === '' &&
    marks === undefined &&
    recent.length === 0)

const TRY = { key: '', count: 0, retryAt: 0 }
/** What comes with each status, of an attempt and of a lease. */
const WITH_STATUS: { readonly [status: string]: object } = {
  idle: {},
  running: TRY,
  waiting: { ...TRY, floorAt: 0 },
  none: {},
  held: {
    grant: { access: {}, expiresAt: 0, lifetimeMs: 0 },
    refreshAt: 0,
    receivedAt: 0,
    rejections: 0,
    isSpent: false,
    refresh: IDLE,
  },
  lost: {},
}
/** What is there where it is not null, by its name. Everything else is a text. */
const NOT_NULL: { readonly [name: string]: unknown } = {
  conversation: { id: '', participantId: '', state: '' },
  asked: { routing: {}, attributes: {} },
  farewell: IDLE,
  will: {},
  sending: {},
}

/** Has it every part that the sample has, of the same types? */
function isLike(value: unknown, sample: unknown): boolean {
  if (typeof value !== typeof sample || value === null || Array.isArray(value) !== Array.isArray(sample)) return false
  // No clock that went mad shows more, and nobody counts that far.
  if (typeof value === 'number') return Math.abs(value) < 2 ** 53
  if (typeof value !== 'object') return true
  const own = value as { readonly [name: string]: unknown }
  // A status that there is not has a part that nobody has.
  const form = Object(sample).status && (WITH_STATUS[own['status'] as string] ?? [0])
  return Object.entries({ ...Object(sample), ...form }).every(([name, part]) =>
    part === null ? own[name] === null || isLike(own[name], NOT_NULL[name] ?? '') : isLike(own[name], part),
  )
}

const { leases: _, ...SAMPLE } = newSlots('', [])

/** What the sample has and the value has not, added: whoever wrote it knew nothing of it. */
function filled(value: unknown, sample: unknown): unknown {
  const isRecord = (one: unknown): one is object => typeof one === 'object' && one !== null && !Array.isArray(one)
  if (!isRecord(value) || !isRecord(sample)) return value
  const added = Object.entries(sample).map(([name, part]) => {
    const own = (value as Record<string, unknown>)[name]
    return [name, own === undefined ? part : filled(own, part)]
  })
  return { ...value, ...Object.fromEntries(added) }
}

/** The record of an older version, as this one has it. What was never ours stays as it is, and is not read. */
export function migrated(value: unknown): unknown {
  const { schema } = Object(value) as Record<string, unknown>
  const isOlder = typeof schema === 'number' && schema >= 1 && schema < SCHEMA_VERSION
  return isOlder ? { ...(filled(value, SAMPLE) as object), schema: SCHEMA_VERSION } : value
}

/** Was this written by us, in this schema? */
export const isSlots = (value: unknown): value is Slots =>
  isLike(value, SAMPLE) &&
  (value as Slots).schema === SCHEMA_VERSION &&
  Object.values((value as Slots).outbox.lanes).every((lane) => isLike(lane, EMPTY_LANE))
