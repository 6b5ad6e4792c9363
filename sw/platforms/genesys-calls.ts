// What is asked over an open connection to Genesys Cloud Web Messaging and answered by name: a message is taken, the
// history is read. Attachments are in genesys-uploads.ts.

import type { Backfilled, Calls, Outcome } from '../../core/ports.ts'
import { textsOf } from '../../core/texts.ts'
import type { Frame } from './genesys-asks.ts'
import { type HttpDeps, history } from './genesys-http.ts'
import { type Asked, idOf, rowOf } from './genesys-wire.ts'

/** No acknowledgement by then: nobody knows whether it arrived. */
export const ACK_TIMEOUT_MS = 12_000
const JWT_TIMEOUT_MS = 8_000

export type Ask = (asked: Asked, action: string, rest: object, id: string, timeoutMs: number) => Promise<Outcome<Frame>>

interface Deps extends HttpDeps {
  uuid(): string
}

type Sent = Parameters<NonNullable<Calls['send']>>[0]

export async function send(deps: Deps, ask: Ask, conversationId: string, { message, attachments, attributes }: Sent) {
  const { key, text, metadata } = message
  const channel = attributes && { channel: { metadata: { customAttributes: attributes } } }
  const content = attachments?.map((id) => ({ contentType: 'Attachment', attachment: { id } }))
  // Nobody outside knows whether the history keeps it; where it does, nothing need be guessed.
  const named = { ...textsOf(metadata ?? {}), id: key }
  const frame = { message: { type: 'Text', text, ...(content && { content }), metadata: named, ...channel } }
  const outcome = await ask('message', 'onMessage', frame, key, ACK_TIMEOUT_MS)
  if (!outcome.ok) return outcome
  const row = rowOf(outcome.value, conversationId, deps.now())
  return { ok: true as const, value: { id: idOf(outcome.value), seq: 0, at: row?.at ?? deps.now() } }
}

export async function backfill(
  deps: Deps,
  ask: Ask,
  conversationId: string,
  afterId: string,
): Promise<Outcome<Backfilled>> {
  const asked = await ask('call', 'getJwt', {}, deps.uuid(), JWT_TIMEOUT_MS)
  return asked.ok ? history(deps, String(asked.value['jwt']), conversationId, afterId) : asked
}
