// Machine, second half: which entries of the outbox are sent now. The states and what changes them are in outbox.ts.

import { ATTACH_TIMEOUT_MS, type AttachAction, isReady } from './attach.ts'
import { begin, type Claim, claimOf, type Env, IDLE, isDue, nextAt } from './attempt.ts'
import { type Entry, type Lane, laneOf, type Outbox, setAside, withLane } from './outbox.ts'
import type { EpochMs } from './wire.ts'

export interface SendAction {
  readonly type: 'send'
  readonly lane: string
  readonly claim: Claim
  readonly entries: readonly Entry[]
  /** What they carry of the attributes, where only messages do. */
  readonly attributes?: { readonly [name: string]: string }
}

/** Entries claimed by one attempt: enough to hide the commit between two sends, few enough to give back soon. */
export const RUN_ENTRIES_MAX = 64
/** Each entry of a run has this long before the run counts as lost. The sender itself has the shorter deadline. */
export const SEND_TIMEOUT_MS = 15_000
export const STALE_AFTER_MS = 24 * 60 * 60 * 1_000
/** Connected, and nothing acknowledged for so long: then the connection is made anew. */
export const WATCHDOG_MS = 60_000

export interface OutboxPlan {
  readonly state: Outbox
  readonly puts: readonly Entry[]
  readonly actions: readonly (SendAction | AttachAction)[]
  readonly wakeAt?: EpochMs | undefined
}

/**
 * Says what is to be sent now: for each open lane the oldest run of live entries. Old text is set aside instead.
 * The lane of a conversation that is over is never open: its entries are parked until the site moves them.
 *
 * @param runs the first entries of each lane, oldest first, as they are after this turn's changes; none for a lane of
 * which nothing is known. One that is known to be empty corrects its counter: else the search would never end.
 * @param isOpen whether the lane's conversation takes messages now
 */
export function plan(
  outbox: Outbox,
  runs: ReadonlyMap<string, readonly Entry[]>,
  isOpen: (lane: string) => boolean,
  env: Env,
): OutboxPlan {
  let state = outbox
  let wakeAt: EpochMs | undefined
  const puts: Entry[] = []
  const actions: (SendAction | AttachAction)[] = []
  for (const name of Object.keys(outbox.lanes)) {
    const lane = laneOf(state, name)
    if (lane.size === 0 || !isOpen(name)) {
      // Nobody awaits its answer any more, and what is parked may be cancelled or moved.
      if (lane.attempt.status === 'running' && isDue(lane.attempt, env))
        state = withLane(state, name, { attempt: IDLE })
      continue
    }
    if (!isDue(lane.attempt, env)) {
      wakeAt = earliest(wakeAt, nextAt(lane.attempt))
      continue
    }
    const run = runs.get(name)
    const { fresh, ...held } = freshOf(state, run ?? [], env.now)
    state = held.state
    puts.push(...held.puts)
    const last = fresh.at(-1)
    if (last === undefined) {
      // The lane was not read, or a whole page of old text was set aside: look at it, or at the next page, at once.
      if (run?.length === 0) state = withLane(state, name, { size: 0 })
      else if (laneOf(state, name).size > 0) wakeAt = env.now
      continue
    }
    const [first] = fresh
    if (first !== undefined && !isReady(first)) {
      // What it brings along goes first. Nothing of the lane is on the wire meanwhile: it may be cancelled at each step.
      const attempt = begin(laneOf(state, name).attempt, env, ATTACH_TIMEOUT_MS)
      state = withLane(state, name, { attempt, upTo: 0 })
      actions.push({ type: 'attach', lane: name, claim: claimOf(attempt), entry: first })
      wakeAt = earliest(wakeAt, attempt.retryAt)
      continue
    }
    const attempt = begin(laneOf(state, name).attempt, env, SEND_TIMEOUT_MS * (1 + fresh.length))
    state = withLane(state, name, { attempt, upTo: last.seq })
    actions.push({ type: 'send', lane: name, claim: claimOf(attempt), entries: fresh })
    wakeAt = earliest(wakeAt, attempt.retryAt)
  }
  return { state, puts, actions, wakeAt }
}

/** What may be sent of a run, in one attempt, and the entries that are too old for it, set aside. */
function freshOf(before: Outbox, run: readonly Entry[], now: EpochMs) {
  let state = before
  const puts: Entry[] = []
  const fresh: Entry[] = []
  for (const entry of run) {
    // It ends before what is not ready: the order is the order of commit.
    if (fresh.length === RUN_ENTRIES_MAX || (fresh.length > 0 && !isReady(entry))) break
    if (now - entry.at < STALE_AFTER_MS) fresh.push(entry)
    else {
      const reason = 'It waited longer than 24 hours: send it again or discard it.'
      const held = setAside(state, entry, 'stale', 'OUTBOX_STALE', reason)
      state = held.state
      if (held.put) puts.push(held.put)
    }
  }
  return { state, fresh, puts }
}

/** Nothing comes back into the lane of a former conversation: once empty, and with nothing on the wire, it is forgotten. */
export function withoutEmpty(outbox: Outbox, present: string): Outbox {
  const isKept = ([name, { size, attempt }]: [string, Lane]) =>
    name === present || size > 0 || attempt.status === 'running'
  const all = Object.entries(outbox.lanes)
  const kept = all.filter(isKept)
  return kept.length === all.length ? outbox : { ...outbox, lanes: Object.fromEntries(kept) }
}

/** Does the lane wait for a word of the platform? Not while the platform itself has asked for patience. */
export const isOwed = (outbox: Outbox, lane: string, now: EpochMs): boolean => {
  const { size, attempt } = laneOf(outbox, lane)
  return size > 0 && !(attempt.status === 'waiting' && attempt.floorAt > now)
}

export const earliest = (a: EpochMs | undefined, b: EpochMs | undefined): EpochMs | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b)
