// How long things are kept in the browser, by kind: some attributes end so long after they were last set, and what was said
// so long after the visitor was last here. What is due comes from the disk. Pure.

import { reduce } from './context.ts'
import type { Draft } from './draft.ts'
import type { Input, Reply } from './inputs.ts'
import { behind } from './session.ts'
import { earliest } from './sends.ts'
import { emptyTranscript } from './transcript.ts'
import type { EpochMs } from './wire.ts'

export interface Lifetimes {
  /** In milliseconds since an attribute was last set, by its name or by how that begins (`crm_*`). */
  readonly attributes: { readonly [name: string]: number }
  /** In milliseconds since the service was last heard. */
  readonly transcriptMs: number
}

const DAY_MS = 24 * 60 * 60_000

/** Who a visitor says they are: a day. What they agreed to: half a year. What was said: as long as the service keeps it. */
export const LIFETIMES: Lifetimes = {
  attributes: { 'identity_*': DAY_MS, 'consent_*': 180 * DAY_MS },
  transcriptMs: 97 * DAY_MS,
}

function lifeOf(name: string, { attributes }: Lifetimes): number | undefined {
  if (Object.hasOwn(attributes, name)) return attributes[name]
  const kind = Object.keys(attributes).find((one) => one.endsWith('*') && name.startsWith(one.slice(0, -1)))
  return kind === undefined ? undefined : attributes[kind]
}

/** What was set, and not refused. */
const namesIn = (input: Input, reply: Reply | undefined): string[] =>
  input.type === 'command' && input.command.type === 'set-context' && reply !== undefined && 'value' in reply
    ? Object.keys(input.command.delta)
    : []

/**
 * Removes what has outlived its time, here and at the platform, and says when the next of it is due.
 *
 * @param replies to the inputs: what was set in this turn begins anew, what was refused does not
 */
export function expire(
  draft: Draft,
  inputs: readonly Input[],
  replies: readonly (Reply | undefined)[],
  lifetimes = LIFETIMES,
): EpochMs | undefined {
  const { slots, env, view } = draft
  const isStart = inputs.some(({ type }) => type === 'started')
  if (isStart) forgetSaid(draft, lifetimes.transcriptMs)
  const { values, ends = {} } = slots.context
  const set = inputs.flatMap((input, at) => namesIn(input, replies[at]))
  const isNews = isStart || set.length > 0 || values !== view.slots?.context.values
  if (isNews || Object.values(ends).some((end) => end <= env.now)) renew(draft, set, lifetimes)
  // Nobody is woken for what is further off than a day: there are turns enough until then.
  const soon = Object.values(slots.context.ends ?? {}).filter((end) => end <= env.now + DAY_MS)
  return soon.reduce<EpochMs | undefined>(earliest, undefined)
}

function renew({ slots, env }: Draft, set: readonly string[], lifetimes: Lifetimes): void {
  const before = new Map(Object.entries(slots.context.ends ?? {}))
  const ends = new Map<string, EpochMs>()
  const gone = new Map<string, null>()
  for (const name of Object.keys(slots.context.values)) {
    const life = lifeOf(name, lifetimes)
    if (life === undefined) continue
    // Nothing ends later than a lifetime from now, by whatever hour it was set.
    const end = Math.min((!set.includes(name) && before.get(name)) || Infinity, env.now + life)
    if (end > env.now) ends.set(name, end)
    else gone.set(name, null)
  }
  if (before.size + ends.size === 0) return
  const context = reduce(slots.context, { type: 'context-set', delta: Object.fromEntries(gone) }, env)
  slots.context = { ...context, ends: Object.fromEntries(ends) }
}

/** The service has it, as long as that keeps it. What was not sent is no transcript, and stays. */
function forgetSaid(draft: Draft, transcriptMs: number): void {
  const { slots, env } = draft
  const { conversation, activeAt } = slots.session
  if (conversation === null || activeAt === 0 || env.now < activeAt + transcriptMs) return
  draft.gone.push(conversation.id, ...behind(conversation))
  slots.transcript = emptyTranscript(conversation.id)
}
