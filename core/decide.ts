// One turn of the machines together: fold in what happened, then say what is due. Pure and synchronous, so that a whole
// turn fits in one transaction. The engine only supplies the view and carries out the result.

import { type Attempt, claimOf, type Env, isDue } from './attempt.ts'
import { command } from './commands.ts'
import { plan as planContext } from './context.ts'
import { expiring, SILENT } from './advice.ts'
import { type Draft, newDraft, runsOf, type Spare, writesOf } from './draft.ts'
import { fold, TYPING_SHOWN_MS } from './fold.ts'
import { joining } from './fold-joining.ts'
import { planMarks } from './fold-marks.ts'
import type { Action, Input, Problem, Reply } from './inputs.ts'
import { isUsable, keyed, plan as planOwn } from './lease.ts'
import { expire, type Lifetimes } from './lifetimes.ts'
import { canConnect, isVital, leaseOf, type LeasePlan, type LeaseSpec, putLease, SESSION_LEASE } from './leases.ts'
import { laneOf } from './outbox.ts'
import { earliest, isOwed, plan as planOutbox, RUN_ENTRIES_MAX, WATCHDOG_MS, withoutEmpty } from './sends.ts'
import type { Capabilities, View, Wanted, Writes } from './ports.ts'
import { isBeingOpened, plan as planSession, planFarewell } from './phases.ts'
import { planPresence, type SharedDevice } from './shared.ts'
import { isConversationOpen, laneNameOf, needsOpening, reduce as reduceSession } from './session.ts'
import type { Slots } from './state.ts'
import { isComplete, plan as planTranscript } from './transcript.ts'
import type { Traffic, Unkeyed } from './unkeyed.ts'
import type { EpochMs } from './wire.ts'

/** What a deployment is made of, as far as decisions depend on it. */
export interface Setup extends Spare {
  readonly capabilities: Capabilities
  /** The refresh token is an HttpOnly cookie: opening needs no token of ours, and grants a new one. */
  readonly isBroker: boolean
  readonly unkeyed?: Unkeyed | undefined
  /** Leases of the site's own, beside those of the platform. */
  readonly leases?: readonly LeaseSpec[]
  /** Strangers use the device, one after the other. */
  readonly shared?: SharedDevice | undefined
  /** How long what is stored here is kept. */
  readonly lifetimes?: Lifetimes | undefined
}

const platformLeases = ({ capabilities }: Setup): readonly LeaseSpec[] => capabilities.leases ?? []

/** The session's own lease, where its tokens do not come from opening it. */
const ownSource = (setup: Setup): LeaseSpec | undefined =>
  [...platformLeases(setup), ...(setup.leases ?? [])].find(({ name }) => name === SESSION_LEASE)

export interface Decision {
  readonly writes: Writes
  readonly slots: Slots
  /** One for each input, in order; nothing for what is no command. */
  readonly replies: readonly (Reply | undefined)[]
  readonly actions: readonly Action[]
  readonly problems: readonly Problem[]
  readonly wakeAt?: EpochMs | undefined
  /** The visitor is gone: nothing else is to be done for them than the wipe. */
  readonly isGone?: true | undefined
}

const DURABLE: readonly Input['type'][] = ['opened', 'identified', 'joining', 'refreshed']

/** What the turn must read, judged from the inputs and from the slots as they were last seen: a hint that costs nothing. */
export function wantedBy(inputs: readonly Input[], last: Slots | undefined, env: Env, isUnkeyed = false): Wanted {
  const keys = new Set<string>()
  const leases = last === undefined ? [] : [last.lease, ...Object.values(last.leases ?? {}).map(({ lease }) => lease)]
  let isDurable = leases.some((lease) => planOwn(lease, env).action !== undefined)
  // What goes on the wire without a key is on the disk first, whatever happens.
  isDurable ||= isUnkeyed && last !== undefined && laneOf(last.outbox, laneNameOf(last.session)).size > 0
  let settled = 0
  for (const input of inputs) {
    for (const key of keysOf(input)) {
      keys.add(key)
      settled += input.type === 'command' ? 0 : 1
    }
    isDurable ||=
      input.type === 'command' ? !['mark-read', 'route'].includes(input.command.type) : DURABLE.includes(input.type)
  }
  return { runEntries: mayPlan(inputs, last, env) ? RUN_ENTRIES_MAX + settled : 0, keys: [...keys], isDurable }
}

/**
 * A lane that is already being sent needs no reading until its run has ended, nor does one that cannot be sent: should the
 * turn find otherwise, the next one looks at once.
 */
function mayPlan(inputs: readonly Input[], last: Slots | undefined, env: Env): boolean {
  if (!env.pump) return false
  if (last === undefined || !inputs.every(isTraffic)) return true
  return isFlowing({ slots: last, env }) && isDue(laneOf(last.outbox, laneNameOf(last.session)).attempt, env)
}

/** What comes while a run is being sent, and does not end it. */
const isTraffic = (input: Input): boolean =>
  input.type === 'command' ||
  input.type === 'acked' ||
  input.type === 'attached' ||
  (input.type === 'stream' && input.report.type === 'rows')

function keysOf(input: Input): readonly string[] {
  if (input.type === 'acked' || input.type === 'refused' || input.type === 'attached') return [input.key]
  if (input.type === 'stream')
    return input.report.type === 'rows' ? input.report.rows.flatMap((row) => row.key ?? []) : []
  if (input.type === 'backfilled')
    return input.outcome.ok && !input.outcome.value.resync
      ? input.outcome.value.rows.flatMap((row) => row.key ?? [])
      : []
  if (input.type !== 'command') return []
  const { command } = input
  if (command.type === 'enqueue') return command.messages.map((message) => message.key)
  if (command.type === 'edit') return [command.key, command.message.key]
  return command.type === 'retry' || command.type === 'cancel' ? [command.key] : []
}

/** Folds in what happened, says what is due, and lists what is to be written, told and done. */
export function decide(view: View, inputs: readonly Input[], wanted: Wanted, setup: Setup, env: Env): Decision {
  const draft = newDraft(view, env, setup)
  const replies = inputs.map((input) => {
    const limits = draft.slots.limits ?? setup.capabilities.limits
    if (input.type === 'command') return command(draft, input, limits)
    if (input.type === 'joining') return joining(draft, input)
    fold(draft, input)
    return undefined
  })
  const endsAt = expire(draft, inputs, replies, setup.lifetimes)
  const presence = env.pump && setup.shared ? planPresence(draft, inputs, setup.shared) : {}
  const { isGone } = presence
  const wakeAt = env.pump
    ? earliest(earliest(presence.wakeAt, endsAt), isGone ? undefined : plan(draft, wanted, setup))
    : undefined
  const writes = writesOf(draft)
  const { actions, problems } = draft
  return { writes, slots: writes.slots, replies, actions, problems, wakeAt, isGone }
}

function plan(draft: Draft, wanted: Wanted, setup: Setup): EpochMs | undefined {
  const wakes = [
    planPhases(draft, setup),
    planLeases(draft, wanted, setup),
    planTraffic(draft, wanted, setup),
    planMarks(draft, setup.capabilities.marks === true && isFlowing(draft)),
    planTyping(draft),
    planExpiry(draft),
  ]
  return wakes.reduce(earliest, undefined)
}

/** A tab is open, or messages wait that may be sent. */
const isWanted = ({ session, outbox }: Slots): boolean =>
  session.tabs > 0 || laneOf(outbox, laneNameOf(session)).size > 0

function planPhases(draft: Draft, setup: Setup): EpochMs | undefined {
  const { slots } = draft
  const isOpening = setup.isBroker && needsOpening(slots.session, draft.env.now)
  const env = isOpening ? keyed(draft.env, slots.lease) : draft.env
  const canCall = isUsable(slots.lease, env.now)
  const isGranted = ownSource(setup) === undefined
  const isOpenable = slots.lease.status === 'none' || (slots.lease.status === 'held' && setup.isBroker)
  const canOpen = canCall || (isGranted && isOpenable)
  const { farewell } = slots.session
  const part = farewell === null ? undefined : planFarewell({ ...slots.session, farewell }, env)
  if (part !== undefined) {
    slots.session = part.state
    if (part.action !== undefined) draft.actions.push(part.action)
    // The cookie would open the session of who is gone. A token is taken out already, and in nobody's way.
    if (setup.isBroker) return part.wakeAt
  }
  const isBlocked = !canConnect(slots, platformLeases(setup), env.now)
  const gate = { isWanted: isWanted(slots), canOpen, canCall, isBlocked, attributes: slots.context.values }
  const { state, action, wakeAt } = planSession(slots.session, gate, env)
  const heldUntil = action?.type === 'connect' ? draft.unkeyed?.admit(draft, 'connect') : undefined
  if (heldUntil !== undefined) return earliest(part?.wakeAt, heldUntil)
  slots.session = state
  if (action !== undefined) draft.actions.push(action)
  return earliest(part?.wakeAt, wakeAt)
}

/** A cookie that was used already, answer unknown, is used again under the same key: for the service it is one use. */
function sharingKey(env: Env, former: Attempt): Env {
  return former.status === 'idle' ? env : { ...env, key: () => former.key }
}

function planLeases(draft: Draft, wanted: Wanted, setup: Setup): EpochMs | undefined {
  const { slots, env } = draft
  if (slots.session.isSignedOut) return undefined
  const others = [...platformLeases(setup), ...(setup.leases ?? [])].map((spec) =>
    planOther(draft, spec, wanted, setup),
  )
  // To be opened by cookie or joined to a user grants a token: to ask for another beside it would be a second rotation.
  const isHeldUp = slots.session.joiningUntil !== undefined || (setup.isBroker && isBeingOpened(slots.session, env))
  if (isHeldUp || !isWanted(slots) || ownSource(setup) !== undefined) return others.reduce(earliest, undefined)
  const own = keyed(env, slots.lease)
  const shared = setup.isBroker ? sharingKey(own, slots.session.opening) : own
  return [...others, start(draft, planOwn(slots.lease, shared), wanted)].reduce(earliest, undefined)
}

function planOther(draft: Draft, spec: LeaseSpec, wanted: Wanted, setup: Setup): EpochMs | undefined {
  const { slots, env, needed } = draft
  const isFetching = () =>
    planTranscript(slots.transcript, isFlowing(draft) && slots.session.stream.isOpen, env).action !== undefined
  const isAwaited = spec.isOptional && (slots.session.isAuthenticated || draft.offered.has(spec.name))
  const isNeeded =
    isAwaited ||
    needed.has(spec.name) ||
    (spec.neededAt === 'request' && platformLeases(setup).includes(spec) && isFetching())
  if (!isNeeded && !isWanted(slots)) return undefined
  const planned = setup.planLease?.(spec, leaseOf(slots, spec.name), env, isNeeded, slots.session.tabs > 0)
  return planned && start(draft, planned, wanted, spec)
}

function start(draft: Draft, planned: LeasePlan, { isDurable }: Wanted, spec?: LeaseSpec): EpochMs | undefined {
  const { state, action, wakeAt } = planned
  // A key that a power cut could take back would be followed by another, and that is theft to the service: the next turn
  // sees what is due, and asks for the disk.
  const isAtStake = action?.type === 'refresh' && state.status === 'held' && action.claim.count === 1
  if (isAtStake && !isDurable) return draft.env.now
  putLease(draft.slots, state, spec?.name, spec && isVital(spec, draft.slots.session.isAuthenticated))
  if (action !== undefined) draft.actions.push(action)
  return wakeAt
}

/** Is there an open conversation and a token? */
const isFlowing = ({ slots: { session, lease }, env }: Pick<Draft, 'slots' | 'env'>): boolean =>
  isConversationOpen(session) && !session.isNewWanted && !needsOpening(session, env.now) && isUsable(lease, env.now)

/** Everything that needs both. */
function planTraffic(draft: Draft, wanted: Wanted, setup: Setup): EpochMs | undefined {
  const { slots, env } = draft
  const { session } = slots
  const isOpen = isFlowing(draft)
  const maySend = isOpen && (setup.capabilities.sendWithoutStream || session.stream.isOpen)
  const present = laneNameOf(session)
  const canFetch = platformLeases(setup).every(
    ({ name, neededAt }) => neededAt !== 'request' || isUsable(leaseOf(slots, name), env.now),
  )
  const traffic = { canFetch, isOpen, maySend, runs: runsOf(draft, wanted.runEntries), isDurable: wanted.isDurable }
  const wakeAt = draft.unkeyed ? draft.unkeyed.plan(draft, traffic) : planKeyed(draft, traffic)
  slots.outbox = withoutEmpty(slots.outbox, present)
  if (session.stream.isOpen && !session.stream.isMerged && isComplete(slots.transcript)) {
    slots.session = { ...session, stream: { ...session.stream, isMerged: true } }
  }
  return earliest(wakeAt, planWatch(draft, maySend && isOwed(slots.outbox, present, env.now)))
}

function planKeyed(draft: Draft, { isOpen, maySend, runs, canFetch }: Traffic): EpochMs | undefined {
  const { slots, env } = draft
  const { session } = slots
  const present = laneNameOf(session)
  const sends = planOutbox(slots.outbox, runs, (lane) => maySend && lane === present, env)
  slots.outbox = sends.state
  for (const put of sends.puts) draft.puts.set(put.seq, put)
  const context = planContext(slots.context, isOpen, env)
  slots.context = context.state
  const transcript = planTranscript(slots.transcript, isOpen && session.stream.isOpen && canFetch, env)
  slots.transcript = transcript.state
  for (const action of [...sends.actions, context.action, transcript.action])
    if (action !== undefined) draft.actions.push(action)
  return [sends.wakeAt, context.wakeAt, transcript.wakeAt].reduce(earliest, undefined)
}

/** A connection that seems to stand, while nothing gets through: what stays so for long is ended and made anew. */
function planWatch({ slots, env, problems }: Draft, isOwedNow: boolean): EpochMs | undefined {
  const { session } = slots
  const { stream } = session
  if (!stream.isOpen || stream.attempt.status !== 'running') return undefined
  // A clock that was set back knows nothing of how long that was.
  const since = isOwedNow ? Math.min(stream.owedSince || env.now, env.now) : 0
  if (since !== stream.owedSince) slots.session = { ...session, stream: { ...stream, owedSince: since } }
  if (since === 0 || env.now < since + WATCHDOG_MS) return since === 0 ? undefined : since + WATCHDOG_MS
  problems.push(SILENT)
  slots.session = reduceSession(slots.session, { type: 'stream-closed', claim: claimOf(stream.attempt) }, env)
  return env.now
}

/** The visitor is told in time; before, the platform is asked whether it is still so (session.ts). */
function planExpiry({ slots, env, problems }: Draft): EpochMs | undefined {
  const { session } = slots
  const { expiresAt, expiry } = session
  const { warnAt, isWarned } = expiry
  if (warnAt === 0 || isWarned || session.tabs === 0 || session.isSignedOut) return undefined
  if (env.now < warnAt) return warnAt
  if (needsOpening(session, env.now) || expiresAt <= env.now) return undefined
  problems.push(expiring(Math.ceil((expiresAt - env.now) / 60_000)))
  slots.session = { ...session, expiry: { ...expiry, isWarned: true } }
  return undefined
}

function planTyping({ slots, env }: Draft): EpochMs | undefined {
  if (slots.typingUntil === 0) return undefined
  // Longer than that it never shows: the clock was set back.
  if (env.now < slots.typingUntil && slots.typingUntil <= env.now + TYPING_SHOWN_MS) return slots.typingUntil
  slots.typingUntil = 0
  return undefined
}
