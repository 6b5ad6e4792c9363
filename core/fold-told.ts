// What a platform says on the stream beside messages: of the session, of attributes, of a conversation that was cleared.

import { reduce as reduceContext } from './context.ts'
import { IDLE } from './attempt.ts'
import { type Draft, followConversation, outbox } from './draft.ts'
import { expiryOf } from './expiry.ts'
import { withLane } from './outbox.ts'
import type { Limits, StreamReport } from './ports.ts'
import { laneNameOf, reduce as reduceSession } from './session.ts'
import { emptyTranscript } from './transcript.ts'

type Told = Extract<StreamReport, { type: 'session' | 'carried' | 'cleared' }>

export function told(draft: Draft, report: Told, conversationId: string): void {
  if (report.type === 'carried') return carried(draft, report.attributes)
  if (report.type === 'cleared') return cleared(draft, conversationId)
  const { session: state } = draft.slots
  const { expiresAt = state.expiresAt, isAuthenticated = state.isAuthenticated, limits } = report
  if (limits) learnLimits(draft, limits)
  const expiry = expiryOf(state.expiry, expiresAt === state.expiresAt, expiresAt, draft.env.now)
  draft.slots.session = { ...state, expiresAt, isAuthenticated, expiry }
}

/** What was taken before the limits were known may be too much by them: the site is told, and nothing is cut. */
function learnLimits(draft: Draft, limits: Limits): void {
  const { slots, unkeyed, problems } = draft
  const isNews = slots.limits?.dataBytesMax !== limits.dataBytesMax
  slots.limits = limits
  const problem = isNews ? unkeyed?.refusal({}, slots.context.values, limits) : undefined
  if (problem !== undefined) problems.push(problem)
}

/** What was changed since is still to be told. */
function carried({ slots }: Draft, attributes: { readonly [name: string]: string }): void {
  const { context } = slots
  const left = Object.entries(context.dirty).filter(([name, value]) => attributes[name] !== `${value ?? ''}`)
  slots.context = { ...context, dirty: Object.fromEntries(left) }
}

/** Nothing of it stays here, what was still to be said in it no more than what was said. */
function cleared(draft: Draft, id: string): void {
  const { slots, env, view } = draft
  const lane = laneNameOf(slots.session)
  if (slots.outbox.lanes[lane]) slots.outbox = withLane(slots.outbox, lane, { attempt: IDLE, upTo: 0 })
  for (const entry of view.runs.get(lane) ?? []) outbox(draft, { type: 'cancelled', entry })
  slots.transcript = emptyTranscript(id)
  draft.rows.length = 0
  draft.endSeq = 0
  slots.session = reduceSession(slots.session, { type: 'conversation-changed', id, state: 'expired' }, env)
  slots.context = reduceContext(slots.context, { type: 'conversation-made', version: 0, values: null }, env)
  followConversation(draft)
}
