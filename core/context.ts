// Machine: attributes of the conversation. Owns merging, limits, coalescing and what is still to be told to the platform.
// Leaves to others: how a platform carries them, and the guard for personal data.

import {
  type Attempt,
  type Claim,
  due,
  type Env,
  fail,
  hurry,
  IDLE,
  isDue,
  isRunning,
  type Plan,
  TRY_MS,
} from './attempt.ts'
import type { ErrorCode } from './errors.ts'
import type { Limits } from './ports.ts'
import type { AttributeDelta, Attributes, EpochMs } from './wire.ts'

export interface Context {
  readonly values: Attributes
  /** Changed here and not yet known to the platform. */
  readonly dirty: AttributeDelta
  /** On the wire, outcome unknown. */
  readonly sending: AttributeDelta | null
  /** The platform's version of the attributes, for If-Match. */
  readonly version: number
  readonly attempt: Attempt
  /** When the oldest unsent change was made. */
  readonly changedAt: EpochMs
  readonly pushedAt: EpochMs
  /** When those that have a lifetime end. */
  readonly ends?: { readonly [name: string]: EpochMs }
}

export type ContextInput =
  | { readonly type: 'context-set'; readonly delta: AttributeDelta }
  | { readonly type: 'pushed'; readonly claim: Claim; readonly version: number }
  | { readonly type: 'push-failed'; readonly claim: Claim; readonly retryAfterMs?: number }
  /** The platform will never take these changes: stop offering them. */
  | { readonly type: 'push-refused'; readonly claim: Claim }
  /** Somebody else changed them in between: ours go on top, key by key. */
  | { readonly type: 'push-conflict'; readonly claim: Claim; readonly values: Attributes; readonly version: number }
  /** What the platform holds now: on the stream, or at a reconnect. */
  | { readonly type: 'remote-context'; readonly values: Attributes; readonly version: number }
  /** A new conversation carries everything that is known. What it holds is null while nobody has told us. */
  | { readonly type: 'conversation-made'; readonly version: number; readonly values: Attributes | null }
  | { readonly type: 'woken' }

export interface PushAction {
  readonly type: 'push'
  readonly claim: Claim
  readonly delta: AttributeDelta
  readonly version: number
}

/** How many attributes there are at most, and how long their names, where the platform does not say. */
export const ATTRIBUTES_MAX = 100
export const ATTRIBUTE_NAME_CHARS_MAX = 100
export const CONTEXT_WINDOW_MS = 250
export const CONTEXT_INTERVAL_MS = 1_000

export const EMPTY_CONTEXT: Context = {
  values: {},
  dirty: {},
  sending: null,
  version: 0,
  attempt: IDLE,
  changedAt: 0,
  pushedAt: 0,
}

const isEmpty = (delta: AttributeDelta): boolean => Object.keys(delta).length === 0

/** Keys sorted, `null` removes: equal content has equal bytes. */
export function merge(values: Attributes, delta: AttributeDelta): Attributes {
  const sorted = Object.entries({ ...values, ...delta }).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(sorted.filter((pair): pair is [string, string | boolean] => pair[1] !== null))
}

/** Only what differs from what we already hold. */
function changesOf(values: Attributes, delta: AttributeDelta): AttributeDelta {
  const present = (name: string) => (Object.hasOwn(values, name) ? values[name] : null)
  return Object.fromEntries(Object.entries(delta).filter(([name, value]) => present(name) !== value))
}

/** How many bytes the values take as UTF-8 JSON with sorted keys. */
export const bytesOf = (values: Attributes): number =>
  encodeURIComponent(JSON.stringify(merge(values, {}))).replace(/%../g, '.').length

/** Says what is wrong with a change, before anything is stored. Nothing is ever truncated. */
export function refusalOf(
  values: Attributes,
  delta: AttributeDelta,
  { attributeCharsMax, attributesMax = ATTRIBUTES_MAX, routingBytesMax }: Limits,
): { code: ErrorCode; message: string } | undefined {
  const tooLarge = (message: string) => ({ code: 'CONTEXT_TOO_LARGE' as const, message })
  for (const [name, value] of Object.entries(delta)) {
    if (name.length > ATTRIBUTE_NAME_CHARS_MAX) {
      const start = name.slice(0, 20)
      return tooLarge(
        `The name of the attribute "${start}…" has ${name.length} characters, the limit is ${ATTRIBUTE_NAME_CHARS_MAX}: give it a shorter one.`,
      )
    }
    if (typeof value === 'string' && value.length > attributeCharsMax) {
      return tooLarge(
        `The attribute "${name}" has ${value.length} characters, the limit is ${attributeCharsMax}: store the value elsewhere and keep a reference here.`,
      )
    }
  }
  const after = merge(values, delta)
  const [before, count] = [Object.keys(values).length, Object.keys(after).length]
  // Others may have made it too many: then whatever makes it fewer is right.
  if (count > attributesMax && count > before) {
    return tooLarge(
      `There would be ${count} attributes, the limit is ${attributesMax}: remove some first, or store several values as one.`,
    )
  }
  const bytes = bytesOf(after)
  if (bytes <= routingBytesMax || bytes < bytesOf(values)) return undefined
  return tooLarge(
    `The attributes would take ${bytes} bytes together, the limit is ${routingBytesMax}: store large values elsewhere and keep references here.`,
  )
}

export function reduce(context: Context, input: ContextInput, env: Env): Context {
  switch (input.type) {
    case 'context-set': {
      const delta = changesOf(context.values, input.delta)
      if (isEmpty(delta)) return context
      const changedAt = isEmpty(context.dirty) ? env.now : context.changedAt
      return { ...context, values: merge(context.values, delta), dirty: { ...context.dirty, ...delta }, changedAt }
    }
    case 'pushed':
      if (!isMine(context, input.claim)) return context
      return { ...context, sending: null, attempt: IDLE, version: Math.max(context.version, input.version) }
    case 'push-conflict': {
      if (!isMine(context, input.claim)) return context
      const ours: AttributeDelta = { ...context.sending, ...context.dirty }
      const dirty = changesOf(input.values, ours)
      return {
        ...context,
        values: merge(input.values, ours),
        dirty,
        sending: null,
        // A platform that finds a conflict each time is asked less and less often.
        attempt: isEmpty(dirty) ? IDLE : fail(context.attempt, input.claim, env),
        version: input.version,
      }
    }
    case 'push-refused':
      return isMine(context, input.claim) ? { ...context, sending: null, attempt: IDLE } : context
    case 'push-failed': {
      const attempt = fail(context.attempt, input.claim, env, input.retryAfterMs)
      return attempt === context.attempt ? context : { ...context, attempt }
    }
    case 'remote-context': {
      if (input.version < context.version) return context
      const ours: AttributeDelta = { ...context.sending, ...context.dirty }
      return { ...context, values: merge(input.values, ours), version: input.version }
    }
    case 'conversation-made': {
      const ours: AttributeDelta = { ...context.values, ...context.sending, ...context.dirty }
      const values = merge(input.values ?? {}, ours)
      // A removal is a change only to somebody who may hold the name.
      const dirty = input.values === null ? ours : changesOf(input.values, ours)
      return { ...context, values, dirty, sending: null, attempt: IDLE, version: input.version, changedAt: env.now }
    }
    case 'woken':
      return { ...context, attempt: hurry(context.attempt, env.now) }
  }
}

/** Each try may carry more than the one before: only its own answer speaks for it. */
const isMine = ({ attempt }: Context, claim: Claim): boolean => isRunning(attempt, claim)

/** An instant in the future is from before the clock was set back, and holds nobody. */
const after = (at: EpochMs, waitMs: number, now: EpochMs): EpochMs => (at > now ? now : at + waitMs)

/** Says what is to be pushed now. A burst shares one update; a retry sends what has come since, too. */
export function plan(context: Context, isOpen: boolean, env: Env): Plan<Context, PushAction> {
  const delta: AttributeDelta = { ...context.sending, ...context.dirty }
  if (!isOpen || isEmpty(delta)) return { state: context }
  const { attempt, version } = context
  const windowEndsAt = after(context.changedAt, CONTEXT_WINDOW_MS, env.now)
  const openAt = Math.max(windowEndsAt, after(context.pushedAt, CONTEXT_INTERVAL_MS, env.now))
  if (isDue(attempt, env) && env.now < openAt) return { state: context, wakeAt: openAt }
  return due(context, attempt, env, TRY_MS, (next, claim) => ({
    state: { ...context, sending: delta, dirty: {}, attempt: next, pushedAt: env.now },
    action: { type: 'push', claim, delta, version },
  }))
}
