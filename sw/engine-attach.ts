// Carries out the steps of what a message brings along, from wherever they stood. Each is committed before the next, and
// each is only done while somebody still wants the message. It decides nothing, and never throws.

import type { AttachAction, Attachment, AttachedInput } from '../core/attach.ts'
import { isHoldfastError } from '../core/errors.ts'
import type { Input } from '../core/inputs.ts'
import type { Attachments, Outcome, Store } from '../core/ports.ts'
import { LATE } from './engine-tokens.ts'

export interface AttachDeps {
  readonly store: Store
  readonly attachments?: Attachments | undefined
  readonly token: string
  readonly conversationId: string
  /** Commits what came of a step. */
  submit(input: Input): Promise<unknown>
  /** The same visitor is still here. */
  isCurrent(): boolean
  /** The attempt does not last long enough for one more step. */
  isLate(): boolean
}

type Step = AttachedInput['step']
const DONE: Outcome<null> = { ok: true, value: null }
const GONE = {
  ok: false,
  verdict: 'refuse',
  code: 'ATTACHMENT_REFUSED',
  reason: 'What was attached is no longer on the disk.',
} as const satisfies Outcome<never>

/** Resolves with what ends the attempt: a refusal is the end of the message alone, and has been committed as such. */
export async function attach(action: AttachAction, deps: AttachDeps): Promise<Outcome<null>> {
  try {
    return await steps(action, deps)
  } catch (error) {
    // The disk: told by whoever met it. What is stored says where to go on.
    if (!isHoldfastError(error)) throw error
    return { ok: false, verdict: 'retry', code: error.code, reason: 'A step could not be stored.' }
  }
}

async function steps({ entry }: AttachAction, deps: AttachDeps): Promise<Outcome<null>> {
  const { key } = entry
  for (const index of (entry.attachments ?? []).keys()) {
    for (;;) {
      const now = await stateOf(key, index, deps)
      if (now === undefined) return DONE
      if (now.isConfirmed) break
      const outcome = await next(now, key, index, deps)
      if (outcome.ok) await deps.submit({ type: 'attached', key, index, step: outcome.value })
      else if (outcome.verdict !== 'refuse') return outcome
      else {
        await deps.submit({ type: 'refused', key, code: outcome.code, reason: outcome.reason })
        return DONE
      }
      if ((await stateOf(key, index, deps)) === undefined) await discard(now, outcome, deps)
    }
  }
  return DONE
}

/** As it is on the disk: nothing when the message was cancelled, set aside, or belongs to somebody who has left. */
async function stateOf(key: string, index: number, { store, isCurrent }: AttachDeps): Promise<Attachment | undefined> {
  if (!isCurrent()) return undefined
  const { entries } = await store.find([key])
  const entry = entries.get(key)
  return entry?.live === undefined ? undefined : entry.attachments?.[index]
}

async function next(now: Attachment, key: string, index: number, deps: AttachDeps): Promise<Outcome<Step>> {
  const { store, attachments, token, conversationId } = deps
  if (attachments === undefined) return GONE
  if (deps.isLate()) return LATE
  const { id, name, type, size, sent = 0 } = now
  if (id === undefined)
    return attachments.reserve({ key: `${key}.${index}`, token, conversationId, file: { name, type, size } })
  const request = { token, conversationId, id }
  if (sent >= size) {
    const confirmed = await attachments.confirm(request)
    return confirmed.ok ? { ok: true, value: { isConfirmed: true } } : confirmed
  }
  const content = await store.file(key, index)
  return content === undefined ? GONE : attachments.upload({ ...request, content, sent, file: { name, type, size } })
}

/** Cancelled in the middle: what is there already is nobody's. The service also forgets by itself. */
async function discard({ id }: Attachment, outcome: Outcome<Step>, deps: AttachDeps): Promise<void> {
  const known = id ?? (outcome.ok ? outcome.value.id : undefined)
  const { token, conversationId, attachments } = deps
  if (known !== undefined && deps.isCurrent()) await attachments?.discard({ token, conversationId, id: known })
}
