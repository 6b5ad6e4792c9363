// The leases of a deployment beside the one of its session: each with a name, a place of use and a source of its own.
// One lease by itself is the business of lease.ts; which of them is due in a turn, and who is asked, is decided here.

import { type Claim, type Env, hurry, type Plan } from './attempt.ts'
import { isUsable, type Lease, NO_LEASE, plan, type RefreshAction } from './lease.ts'
import type { Outcome, PlainGrant, Platform } from './ports.ts'
import type { EpochMs } from './wire.ts'

/** The lease that opening a session grants. A spec of this name gives it another source than the platform's opening. */
export const SESSION_LEASE = 'session'

/** Of a token that does not say how long it lives. */
export const LIFETIME_DEFAULT_MS = 60 * 60_000
/** No token is believed to live longer, and no timer is set further ahead. */
export const LIFETIME_MAX_MS = 30 * 24 * 60 * 60_000

export interface LeaseSpec {
  readonly name: string
  /**
   * Where it is used: `connect`, to open the stream; `configure`, in the first frames on it; `request`, in calls beside
   * the stream.
   */
  readonly neededAt: 'connect' | 'configure' | 'request'
  /**
   * Where its tokens come from: `grant`, by a refresh token, the first of which a tab supplies; `reissue`, from the
   * platform as often as it is asked, with nothing to lose; `callback`, from a tab each time.
   */
  readonly refresh: 'grant' | 'reissue' | 'callback'
  /** Fetched when something needs it and not before: for lifetimes of a minute. */
  readonly isOnDemand?: boolean
  /**
   * A visitor who has not signed in goes on without it: a tab is asked for the first one when it offers to supply it. Once
   * signed in, nobody goes on without.
   */
  readonly isOptional?: boolean
}

/** Where the tokens of one lease come from, if not from the platform. */
export interface TokenSource {
  readonly kind: LeaseSpec['refresh']
  refresh?: Platform['refresh']
  /** Nothing for what is a token already. */
  exchange?(request: Parameters<NonNullable<Platform['exchange']>>[0]): Promise<Outcome<PlainGrant> | undefined>
  revoke?: Platform['revoke']
  /** Where tokens are bound to a key (RFC 9449): what shows it with a call. */
  readonly binding?: Binding
}

/** Shows with each call that whoever makes it holds the key of the token. */
export interface Binding {
  /** The headers of a call, authorization included. */
  headers(call: {
    readonly method: string
    readonly url: string
    readonly token: string
  }): Promise<{ [name: string]: string }>
  /** Takes what an answer says of it. True when the same call may now succeed. */
  hear(answer: { readonly url: string; readonly headers: { get(name: string): string | null } }): boolean
}

interface Kept {
  readonly lease: Lease
  /** Without it nobody can go on but the site. */
  readonly isVital: boolean
}

export type Leases = { readonly [name: string]: Kept }

interface Holder {
  lease: Lease
  leases?: Leases
}

export const leaseOf = ({ lease, leases }: Readonly<Holder>, name = SESSION_LEASE): Lease =>
  name === SESSION_LEASE ? lease : (leases?.[name]?.lease ?? NO_LEASE)

/** Puts a lease into its place. Nothing changes if it was there. */
export function putLease(holder: Holder, lease: Lease, name = SESSION_LEASE, isVital?: boolean): void {
  const isKept = isVital === undefined || name === SESSION_LEASE || holder.leases?.[name]?.isVital === isVital
  if (leaseOf(holder, name) === lease && (isKept || lease === NO_LEASE)) return
  if (name === SESSION_LEASE) holder.lease = lease
  else {
    const kept = { lease, isVital: isVital ?? holder.leases?.[name]?.isVital ?? false }
    holder.leases = { ...holder.leases, [name]: kept }
  }
}

/** For another identity: nothing is held, and generations go on counting, so that a late word of a former token is none. */
export const emptied = (leases: Leases = {}): Leases =>
  Object.fromEntries(
    Object.entries(leases).map(([name, { lease, isVital }]) => [
      name,
      { isVital, lease: { ...NO_LEASE, generation: lease.generation } },
    ]),
  )

/** One that is lost, and without which nobody can go on. */
export const lostOf = ({ lease, leases = {} }: Readonly<Holder>): (Lease & { readonly status: 'lost' }) | undefined =>
  [lease, ...Object.values(leases).map((kept) => (kept.isVital ? kept.lease : NO_LEASE))].find(
    (one) => one.status === 'lost',
  )

export const isVital = ({ neededAt, isOptional }: LeaseSpec, isSignedIn: boolean): boolean =>
  neededAt !== 'request' && (!isOptional || isSignedIn)

/** Has every lease that the stream needs a token to go on with? */
export const canConnect = (
  holder: Holder & { readonly session: { readonly isAuthenticated: boolean } },
  specs: readonly LeaseSpec[],
  now: EpochMs,
): boolean =>
  specs.every((spec) => !isVital(spec, holder.session.isAuthenticated) || isUsable(leaseOf(holder, spec.name), now))

/** A tab is to supply the next token: who offers first is to answer. */
export interface AskAction {
  readonly type: 'ask'
  readonly lease: string
  readonly claim: Claim
}

export type LeasePlan = Plan<Lease, RefreshAction | AskAction>

/** A tab that offers has so long to supply. */
const ASK_TIMEOUT_MS = 15_000

/** Says what is due for one lease. Without a tab nobody can be asked, and it waits. */
export function planLease(spec: LeaseSpec, lease: Lease, env: Env, isNeeded: boolean, hasTab: boolean): LeasePlan {
  const hasGrant = lease.status === 'held' && lease.grant.refresh !== undefined
  const asks = spec.refresh === 'callback' || (spec.refresh === 'grant' && !hasGrant)
  const isIdle = spec.isOnDemand || (asks && spec.isOptional)
  if ((asks && !hasTab) || (isIdle && !isNeeded)) return { state: lease }
  const planned = plan(lease, env, true, asks ? ASK_TIMEOUT_MS : undefined)
  const { action } = planned
  const named = action && { ...action, lease: spec.name }
  return { ...planned, action: asks && named ? { type: 'ask', lease: spec.name, claim: named.claim } : named }
}

/** A tab offers to supply what is asked for. The first offer of each try is taken; a repeat of it is, too. */
export function offer(lease: Lease, by: string, now: EpochMs): { readonly state: Lease; readonly claim: Claim | null } {
  // Lost, and here is somebody who may have something new.
  if (lease.status === 'lost') return { state: { ...NO_LEASE, generation: lease.generation }, claim: null }
  const { refresh, answerer } = lease
  if (refresh?.status === 'waiting') return { state: { ...lease, refresh: hurry(refresh, now) }, claim: null }
  if (refresh?.status !== 'running') return { state: lease, claim: null }
  const claim: Claim = { key: refresh.key, count: refresh.count }
  if (answerer?.count === claim.count) return { state: lease, claim: answerer.by === by ? claim : null }
  return { state: { ...lease, answerer: { by, count: claim.count } }, claim }
}
