// What a tab asks for and the engine stores: each command as one change to the draft, and its answer.
// Commands that only read never come here.

import { refusalOf as attachmentRefusal } from './attach.ts'
import { IDLE } from './attempt.ts'
import { merge, reduce as reduceContext, refusalOf } from './context.ts'
import { type Draft, entryOf, outbox, rowOf, wipe } from './draft.ts'
import { type ErrorCode, HoldfastError, toWire } from './errors.ts'
import { read } from './fold-marks.ts'
import type { Change, Input, Legacy, Reply } from './inputs.ts'
import { heirOf } from './joining.ts'
import { NO_LEASE } from './lease.ts'
import { emptied, leaseOf, lostOf, offer, putLease } from './leases.ts'
import { isClaimed, type Change as OutboxChange } from './outbox.ts'
import type { Limits } from './ports.ts'
import { isPresentOver, laneNameOf, newSession, reduce as reduceSession, type Session } from './session.ts'
import { countsIn } from './snapshot.ts'
import { newSlots, RECENT_KEYS_MAX } from './state.ts'
import type { Attributes, Enqueued, OutboundMessage } from './wire.ts'

type Commanded = Extract<Input, { type: 'command' }>

const refuse = (code: ErrorCode, message: string): Reply => ({ refusal: { code, message } })
const DONE: Reply = { value: null }
const replyTo = ({ refusal }: OutboxChange): Reply => (refusal === undefined ? DONE : { refusal })

export function command(draft: Draft, input: Commanded, limits: Limits): Reply {
  const { command: change, epoch } = input
  const { session } = draft.slots
  // A logout that is repeated, its answer lost, finds what it wanted.
  const isDone = change.type === 'logout' && (session.isSignedOut || isLeft(session, change.key))
  if (epoch !== '' && epoch !== session.epoch && !isDone) {
    return refuse(
      'EPOCH_CHANGED',
      'Another identity is signed in by now: this tab must read the state again before it may change it.',
    )
  }
  if (session.isSignedOut && (change.type === 'set-context' || change.type === 'start-new'))
    return refuse('EPOCH_CHANGED', 'This visitor has signed out: connect again first.')
  switch (change.type) {
    case 'enqueue':
      return { value: change.messages.map((message) => enqueue(draft, message, limits)) }
    case 'set-context':
      return setContext(draft, change, limits)
    case 'retry':
      return onEntry(draft, change.key, (entry) => {
        if (isPresentOver(draft.slots.session)) {
          return refuse(
            'CONVERSATION_OVER',
            'The conversation has ended: start a new one first, then send this message in it.',
          )
        }
        return replyTo(outbox(draft, { type: 'retried', entry, lane: laneNameOf(draft.slots.session) }))
      })
    case 'cancel':
      return isRepeat(draft, change.key) ? DONE : onEntry(draft, change.key, (entry) => cancel(draft, entry))
    case 'edit':
      return edit(draft, change.key, change.message, limits)
    case 'mark-read':
      read(draft)
      return DONE
    case 'route':
      return route(draft, change.routing, limits)
    case 'start-new':
      return startNew(draft, change, limits)
    case 'logout':
      return logout(draft, change.unsent, input, change.key)
    case 'offer': {
      const { state, claim } = offer(leaseOf(draft.slots, change.lease), change.key, draft.env.now)
      putLease(draft.slots, state, change.lease)
      if (claim === null) draft.offered.add(change.lease)
      return { value: claim }
    }
  }
}

/** Characters of a message's metadata as JSON, where the platform does not say. */
export const METADATA_CHARS_MAX = 8_192

/** Is this the repeat of a command that was carried out, its answer lost? */
const isRepeat = (draft: Draft, key: string): boolean => draft.slots.recent.includes(key)

function remember(draft: Draft, key: string): void {
  draft.slots.recent = [...draft.slots.recent.slice(1 - RECENT_KEYS_MAX), key]
}

function enqueue(draft: Draft, message: OutboundMessage, limits: Limits): Enqueued {
  const error = (code: ErrorCode, text: string): Enqueued => ({ error: toWire(new HoldfastError(code, text)) })
  const known = entryOf(draft, message.key) ?? rowOf(draft, message.key)
  if (known !== undefined) return { seq: known.seq }
  // Cancelled before the repeat of its first call came: it stays so.
  if (isRepeat(draft, message.key)) return { seq: 0 }
  const { session } = draft.slots
  if (message.text.length > limits.messageCharsMax) {
    return error(
      'MESSAGE_TOO_LONG',
      `The message has ${message.text.length} characters, the limit is ${limits.messageCharsMax}: send it in parts.`,
    )
  }
  const metadataChars = JSON.stringify(message.metadata ?? '').length
  const { metadataCharsMax = METADATA_CHARS_MAX } = limits
  if (metadataChars > metadataCharsMax) {
    return error(
      'METADATA_TOO_LARGE',
      `The metadata have ${metadataChars} characters as JSON, the limit is ${metadataCharsMax}: store them elsewhere and send a reference.`,
    )
  }
  const unattachable = attachmentRefusal(message, limits)
  if (unattachable !== undefined) return error(unattachable.code, unattachable.message)
  if (session.isSignedOut) return error('EPOCH_CHANGED', 'This visitor has signed out: connect again before you send.')
  if (isPresentOver(draft.slots.session))
    return error('CONVERSATION_OVER', 'The conversation has ended: start a new one, then send the message.')
  const { put, refusal } = outbox(draft, { type: 'enqueued', message, lane: laneNameOf(session), epoch: session.epoch })
  if (put === undefined) return error(refusal?.code ?? 'OUTBOX_FULL', refusal?.message ?? '')
  if (message.attachments !== undefined) {
    draft.files.set(
      put.key,
      message.attachments.map(({ content }) => content),
    )
  }
  return { seq: put.seq }
}

function setContext(draft: Draft, change: Change & { type: 'set-context' }, limits: Limits): Reply {
  if (isRepeat(draft, change.key)) return { value: draft.slots.context.values }
  const { values } = draft.slots.context
  const refusal = refusalOf(values, change.delta, limits) ?? draft.unkeyed?.refusal(values, change.delta, limits)
  if (refusal !== undefined) return { refusal }
  remember(draft, change.key)
  draft.slots.context = reduceContext(draft.slots.context, { type: 'context-set', delta: change.delta }, draft.env)
  return { value: draft.slots.context.values }
}

type Known = NonNullable<ReturnType<typeof entryOf>>

function onEntry(draft: Draft, key: string, use: (entry: Known) => Reply): Reply {
  const entry = entryOf(draft, key)
  if (entry !== undefined) return use(entry)
  return refuse(
    'OUTBOX_UNKNOWN',
    'No message with this key is in the outbox: it was sent, or cancelled, or never accepted.',
  )
}

/** Where no key protects it: sent, and nobody knows whether it arrived. In a conversation that is over it may be let go. */
const isUncertain = (draft: Draft, { sentAt, live }: Known): boolean =>
  sentAt !== undefined && live === laneNameOf(draft.slots.session) && !isPresentOver(draft.slots.session)

function cancel(draft: Draft, entry: Known): Reply {
  if (isUncertain(draft, entry))
    return refuse('OUTBOX_INFLIGHT', 'The message may have been sent: wait until that is known.')
  const { refusal } = outbox(draft, { type: 'cancelled', entry })
  if (refusal !== undefined) return { refusal }
  remember(draft, entry.key)
  return DONE
}

/** Other content is another message: a new key, at the end of the queue. */
function edit(draft: Draft, key: string, message: OutboundMessage, limits: Limits): Reply {
  const known = entryOf(draft, message.key) ?? rowOf(draft, message.key)
  if (known !== undefined) return { value: { seq: known.seq } }
  return onEntry(draft, key, (entry) => {
    if (isClaimed(draft.slots.outbox, entry) || isUncertain(draft, entry))
      return refuse('OUTBOX_INFLIGHT', 'The message is being sent right now: wait for its outcome.')
    const added = enqueue(draft, message, limits)
    if ('error' in added) return refuse(added.error.code ?? 'OUTBOX_REFUSED', added.error.message)
    cancel(draft, entry)
    return { value: added }
  })
}

/** Said by every tab that comes: what is known already changes nothing. */
function route({ slots }: Draft, wanted: Attributes, limits: Limits): Reply {
  const refusal = refusalOf({}, wanted, limits)
  if (refusal !== undefined) return { refusal }
  const routing = merge({}, wanted)
  const isNews = JSON.stringify(routing) !== JSON.stringify(slots.session.routing)
  if (isNews) slots.session = { ...slots.session, routing }
  return DONE
}

function startNew(draft: Draft, change: Change & { type: 'start-new' }, limits: Limits): Reply {
  if (isRepeat(draft, change.key)) return DONE
  const { slots } = draft
  const routing = change.routing ?? slots.session.routing
  const refusal = refusalOf({}, routing, limits)
  if (refusal !== undefined) return { refusal }
  remember(draft, change.key)
  // A lost lease cannot be mended: the visitor begins again as somebody new to the platform, the outbox stays.
  if (lostOf(slots) !== undefined) {
    slots.lease = { ...NO_LEASE, generation: slots.lease.generation }
    slots.leases = emptied(slots.leases)
    const { epoch, laneNumber, tabs, conversation, userSession } = slots.session
    const former = conversation === null ? null : { ...conversation, state: 'expired' as const }
    slots.session = {
      ...newSession(epoch),
      laneNumber,
      tabs,
      conversation: former,
      ...(userSession && { userSession }),
    }
  }
  slots.session = reduceSession(slots.session, { type: 'new-wanted', routing: merge({}, routing) }, draft.env)
  return DONE
}

const isLeft = ({ leftBy }: Session, key = ''): boolean => leftBy === key

/** Nothing of this identity stays. What is unsent is the site's decision, made before. */
export function logout(
  draft: Draft,
  unsent: 'send' | 'discard' | 'refuse',
  { will, heir }: Legacy = {},
  leftBy?: string,
): Reply {
  const { session } = draft.slots
  if (session.isSignedOut) return DONE
  // Whoever has begun since stays.
  if (isLeft(session, leftBy)) return { value: true }
  if (heir !== undefined && heir !== session.joiner) return refuse('EPOCH_CHANGED', 'Another sign-in came in between.')
  const { queued, inflight, parked = 0, dead, stale } = countsIn(draft.slots)
  // What is parked cannot be sent first, and was never refused: it is not given up without a word of the site.
  const waiting = queued + inflight + parked
  const left = unsent === 'discard' ? 0 : unsent === 'refuse' ? waiting + dead + stale : waiting
  if (left > 0) {
    const text = `${left} messages have not been sent: log out with unsent "send" or "discard", or wait.`
    return refuse('OUTBOX_UNSENT', text)
  }
  // Also where the answer to the first opening was lost: the cookie may have come with it.
  const hasNobody = session.id === null && session.opening.status === 'idle' && session.farewell === null
  const isTold = will === undefined ? hasNobody : will === null && session.farewell === null
  forget(draft, {
    isSignedOut: true,
    leftBy,
    farewell: isTold ? null : IDLE,
    will: will ?? session.will ?? null,
    ...(heir && heirOf(heir, draft.env.now)),
  })
  return DONE
}

/** Another identity from here on, and nothing of the one before. The database is deleted when this is committed. */
export function forget(draft: Draft, session: Partial<Session>): void {
  const fresh = newSlots(draft.env.key(), [])
  const { rev, lease, leases, session: former } = draft.slots
  Object.assign(draft.slots, fresh, {
    rev,
    // Generations go on counting, so that a late word about a former token is no word about the next one.
    lease: { ...NO_LEASE, generation: lease.generation },
    leases: emptied(leases),
    session: { ...fresh.session, tabs: former.tabs, wipe: 'due', ...session },
  })
  delete draft.slots.shared
  delete draft.slots.marks
  wipe(draft)
}
