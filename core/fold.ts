// What happened, folded onto the machines: answers of the platform, frames of the stream, tabs that come and go.
// Leaves to others: what is due next (decide.ts), what a tab asks for (commands.ts).

import { problemOf } from './advice.ts'
import { viewOf } from './attach.ts'
import { answers, type Claim, hurry, isRunning } from './attempt.ts'
import { forget, logout } from './commands.ts'
import { type Draft, entryOf, outbox, receive, rowOf, transcript } from './draft.ts'
import { attached } from './fold-attach.ts'
import { identified } from './fold-joining.ts'
import { answered, marked } from './fold-marks.ts'
import type { Input } from './inputs.ts'
import { denied, foldLease, lease, proved, reject } from './fold-lease.ts'
import { context, heard, hurryAll, isAnother, SIGNED_OUT, session } from './fold-parts.ts'
import { isInherited } from './joining.ts'
import { leaseOf } from './leases.ts'
import { laneOf } from './outbox.ts'
import type { Outcome } from './ports.ts'
import { newSession } from './session.ts'
import type { Row } from './transcript.ts'

type Failure = Outcome<never> & { ok: false }
type Happening = Exclude<Input, { type: 'command' | 'joining' }>

export function fold(draft: Draft, input: Happening): void {
  switch (input.type) {
    case 'tick':
    case 'used':
      return
    case 'started':
      return session(draft, { type: 'started' })
    case 'woken':
      return wake(draft, input.isOnline)
    case 'tabs':
      return tabs(draft, input.count, input.isArrival)
    case 'rejected':
    case 'proved':
    case 'needed':
      return foldLease(draft, input)
    case 'opened':
      return opened(draft, input)
    case 'identified':
      return identified(draft, input)
    case 'parted':
      return parted(draft, input)
    case 'refreshed':
      return refreshed(draft, input)
    case 'made':
      return made(draft, input)
    case 'acked':
      return acked(draft, input)
    case 'attached':
      return attached(draft, input)
    case 'marked':
      return answered(draft, input)
    case 'refused':
      return refused(draft, input.key, input.code, input.reason)
    case 'sent':
      return sent(draft, input)
    case 'pushed':
      return pushed(draft, input)
    case 'backfilled':
      return backfilled(draft, input)
    case 'held':
      return transcript(draft, input)
    case 'stream':
      return stream(draft, input)
  }
}

function wake(draft: Draft, isOnline: boolean): void {
  // Being told "offline" is a hint and changes nothing but what is shown; only calls judge.
  if (!isOnline) {
    draft.slots.session = { ...draft.slots.session, isOnline: false }
    return
  }
  hurryAll(draft)
  draft.actions.push({ type: 'probe' })
}

function tabs(draft: Draft, count: number | undefined, isArrival: boolean): void {
  const { epoch, farewell, will, isSignedOut, wipe, leftBy } = draft.slots.session
  // After a logout the next tab that comes begins as somebody new.
  if (isArrival && isSignedOut && wipe === null && !isInherited(draft.slots.session, draft.env.now))
    draft.slots.session = { ...newSession(epoch), farewell, will, leftBy }
  if (count !== undefined) session(draft, { type: 'tabs-changed', count })
}

/** What a failed call says beyond the call itself: about the network, the token, the conversation. */
function learn(draft: Draft, failure: Failure, generation: number, conversationId?: string): void {
  if (failure.isUnreachable) session(draft, { type: 'reached', isOnline: false })
  if (failure.verdict === 'refresh' || failure.verdict === 'auth-required') {
    reject(draft, { generation, ...failure })
  }
  if (failure.verdict === 'session-lost' && generation === draft.slots.lease.generation)
    session(draft, { type: 'session-lost' })
  if (failure.verdict === 'read-only' && conversationId !== undefined) {
    session(draft, { type: 'conversation-changed', id: conversationId, state: 'closed' })
  }
}

function reached(draft: Draft, generation: number): void {
  lease(draft, { type: 'accepted', generation })
  heard(draft)
}

const later = (claim: Claim, failure: Failure) => ({ claim, retryAfterMs: failure.retryAfterMs ?? 0 })

/** Said once for a row of failures, so that a site learns why nothing comes, and is not told every few seconds. */
function tellFirst({ slots, problems }: Draft, claim: Claim, outcome: Failure, isFinal = false): void {
  const isFirst = claim.count === 1 || slots.session.isUntold
  if (isFinal || (isFirst && !outcome.isUnsent)) problems.push(problemOf(outcome))
  slots.session = { ...slots.session, isUntold: isFirst && outcome.isUnsent }
}

function opened(draft: Draft, { claim, outcome, generation }: Input & { type: 'opened' }): void {
  if (!answers(draft.slots.session.opening, claim)) return
  if (outcome.ok) {
    const { grant, opened: found } = outcome.value
    // Another user signed in, and the answer was lost: nothing of the one before is theirs.
    if (isAnother(draft.slots.session, found)) return forget(draft, SIGNED_OUT)
    if (grant !== undefined) lease(draft, { type: 'granted', grant })
    session(draft, { type: 'opened', claim, opened: outcome.value.opened })
    return heard(draft)
  }
  if (outcome.verdict === 'auth-required') lease(draft, { type: 'denied', code: outcome.code })
  else learn(draft, outcome, generation)
  const isFinal = outcome.verdict === 'refuse'
  tellFirst(draft, claim, outcome, isFinal)
  if (isFinal) session(draft, { type: 'open-refused', claim, code: outcome.code })
  else session(draft, { type: 'open-failed', ...later(claim, outcome) })
}

function parted(draft: Draft, { claim, outcome }: Input & { type: 'parted' }): void {
  if (outcome.ok) return session(draft, { type: 'parted', claim })
  session(draft, { type: 'part-failed', ...later(claim, outcome) })
  if (outcome.isUnreachable) session(draft, { type: 'reached', isOnline: false })
}

function refreshed(draft: Draft, { claim, outcome, lease: name }: Input & { type: 'refreshed' }): void {
  if (outcome.ok) {
    lease(draft, { type: 'refreshed', claim, grant: outcome.value }, name)
    // A token says nothing of the conversation: how long that was quiet stays as it is.
    draft.slots.session = { ...draft.slots.session, isOnline: true }
    return
  }
  if (outcome.isUnreachable) session(draft, { type: 'reached', isOnline: false })
  const { code, isForgotten = false } = outcome
  // Nobody else waits for it: a site learns here why its tokens are not taken.
  if (name !== undefined) tellFirst(draft, claim, outcome)
  // What the first token came from is asked again: for the session's own that is opening.
  if (isForgotten && name === undefined) session(draft, { type: 'session-lost' })
  if (outcome.verdict === 'auth-required') lease(draft, { type: 'refresh-refused', claim, code, isForgotten }, name)
  else lease(draft, { type: 'refresh-failed', ...later(claim, outcome) }, name)
}

function made(draft: Draft, { claim, outcome, generation }: Input & { type: 'made' }): void {
  if (outcome.ok) {
    if (!answers(draft.slots.session.making, claim)) return
    const { conversation, joined: isJoined = false } = outcome.value
    session(draft, { type: 'made', claim, conversation: { ...conversation, isJoined } })
    context(draft, { type: 'conversation-made', version: outcome.value.version, values: outcome.value.attributes })
    return reached(draft, generation)
  }
  learn(draft, outcome, generation)
  session(draft, { type: 'make-failed', ...later(claim, outcome) })
  const { session: state } = draft.slots
  if (outcome.verdict === 'refresh') draft.slots.session = { ...state, making: hurry(state.making, draft.env.now) }
  if (outcome.verdict === 'refuse') draft.problems.push(problemOf(outcome))
}

function acked(draft: Draft, { key, conversationId, id, seq, at, generation }: Input & { type: 'acked' }): void {
  const entry = entryOf(draft, key)
  reached(draft, generation)
  if (entry === undefined) return
  outbox(draft, { type: 'settled', entry })
  if (rowOf(draft, key) !== undefined) return
  const { text, metadata, epoch, attachments } = entry
  const more = { epoch, ...(metadata && { metadata }), ...(attachments && { attachments: attachments.map(viewOf) }) }
  const row: Row = { conversationId, seq, id, role: 'customer', text, at, key, ...more }
  const { conversationId: present, cursor } = draft.slots.transcript
  // Is its place taken? The platform may have come back from an older copy.
  const said = seq && seq < cursor.seq ? { type: 'head' as const, seq } : { type: 'received' as const, rows: [row] }
  if (conversationId === present) transcript(draft, said)
  // Without a number of the platform's, and in no log here: its time keeps it apart from others.
  if (conversationId !== present || said.type === 'head') draft.rows.push({ ...row, seq: seq || at })
}

function refused(draft: Draft, key: string, code: string, reason: string): void {
  const entry = entryOf(draft, key)
  if (entry?.live === undefined) return
  outbox(draft, { type: 'refused', entry, code, reason })
  draft.problems.push(problemOf({ code: 'OUTBOX_REFUSED', reason }))
}

function sent(draft: Draft, input: Input & { type: 'sent' }): void {
  const { lane, claim, outcome, generation, conversationId } = input
  // A late word about a run that was given up says nothing of the one that is under way.
  const unkeyed = isRunning(laneOf(draft.slots.outbox, lane).attempt, claim) ? draft.unkeyed : undefined
  if (outcome.ok) {
    reached(draft, generation)
    outbox(draft, { type: 'run-ended', lane, claim })
    return unkeyed?.ended(draft, input)
  }
  learn(draft, outcome, generation, conversationId)
  outbox(draft, { type: 'send-failed', lane, ...later(claim, outcome) })
  unkeyed?.ended(draft, input)
  // The token was at fault, not the message: the same call again as soon as there is another token.
  if (outcome.verdict === 'refresh') outbox(draft, { type: 'lane-hurried', lane })
  // Nothing was heard while the stream says it is open: ask it for a sign of life.
  if (outcome.isUnreachable && draft.slots.session.stream.isOpen) draft.actions.push({ type: 'probe' })
}

function pushed(draft: Draft, { claim, outcome, generation, conversationId }: Input & { type: 'pushed' }): void {
  const isPresent = draft.slots.session.conversation?.id === conversationId
  if (!outcome.ok) {
    learn(draft, outcome, generation, conversationId)
    const isFinal = outcome.verdict === 'refuse' || outcome.verdict === 'drop-attributes'
    context(draft, isFinal ? { type: 'push-refused', claim } : { type: 'push-failed', ...later(claim, outcome) })
    if (isFinal) draft.problems.push(problemOf(outcome))
    if (outcome.verdict === 'refresh') context(draft, { type: 'woken' })
    return
  }
  reached(draft, generation)
  if (!isPresent) return
  const { conflict, attributes: values, version } = outcome.value
  if (conflict) context(draft, { type: 'push-conflict', claim, values, version })
  else context(draft, { type: 'pushed', claim, version })
}

function backfilled(draft: Draft, input: Input & { type: 'backfilled' }): void {
  const { claim, outcome, generation, conversationId } = input
  if (draft.slots.transcript.conversationId !== conversationId) return
  if (!outcome.ok) {
    learn(draft, outcome, generation, conversationId)
    transcript(draft, { type: 'backfill-failed', ...later(claim, outcome) })
    if (outcome.verdict === 'refresh') transcript(draft, { type: 'woken' })
    return
  }
  reached(draft, generation)
  if (outcome.value.resync) return transcript(draft, { type: 'resync', claim })
  const rows = draft.unkeyed?.matched(draft, claim, outcome.value) ?? outcome.value.rows
  // A page that nobody awaits any more is not stored, and what is neither here nor there would count as cancelled.
  if (answers(draft.slots.transcript.fetch, claim)) for (const row of rows) settleEcho(draft, row)
  transcript(draft, { type: 'backfilled', claim, rows, headSeq: outcome.value.headSeq })
  if (outcome.value.marks) marked(draft, conversationId, outcome.value.marks)
}

const settleEcho = (draft: Draft, row: Row): void => {
  const entry = row.key === undefined ? undefined : entryOf(draft, row.key)
  if (entry !== undefined) outbox(draft, { type: 'settled', entry })
}

/** The agent's typing shows at most so long after the last word of it. */
export const TYPING_SHOWN_MS = 8_000

function stream(draft: Draft, { report, generation, conversationId }: Input & { type: 'stream' }): void {
  if (draft.slots.session.conversation?.id !== conversationId) return
  switch (report.type) {
    case 'opened':
      session(draft, { type: 'stream-opened', claim: report.claim })
      transcript(draft, { type: 'head', seq: report.headSeq })
      proved(draft)
      return reached(draft, generation)
    case 'rows':
      draft.slots.typingUntil = 0
      return receive(draft, report.rows)
    case 'conversation':
      context(draft, { type: 'remote-context', values: report.attributes, version: report.version })
      return session(draft, { type: 'conversation-changed', id: conversationId, state: report.state })
    case 'typing':
      draft.slots.typingUntil = report.on ? draft.env.now + TYPING_SHOWN_MS : 0
      return
    case 'marks':
      return marked(draft, conversationId, report)
    case 'session':
    case 'carried':
    case 'cleared':
      return draft.told?.(draft, report, conversationId)
    case 'signed-out':
      return void logout(draft, 'discard')
    case 'expired':
      return reject(draft, { generation })
    case 'reauthed':
      return reached(draft, generation)
    case 'ended': {
      const { claim, verdict, reason, code = 'SERVICE_UNREACHABLE', retryAfterMs = 0, lease: name } = report
      const { isForgotten = false, isUnreachable = false } = report
      session(draft, { type: 'stream-closed', claim, retryAfterMs })
      // The platform itself says that no other try will do.
      if (verdict === 'auth-required') return denied(draft, code, name)
      if (name !== undefined) return reject(draft, { generation: leaseOf(draft.slots, name).generation, lease: name })
      if (verdict === 'refuse') {
        draft.slots.session = { ...draft.slots.session, refusal: code }
        return void draft.problems.push(problemOf({ code, reason }))
      }
      return learn(draft, { ok: false, verdict, code, reason, isForgotten, isUnreachable }, generation, conversationId)
    }
  }
}
