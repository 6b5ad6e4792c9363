// What could be wrong, judged from what is stored: findings with codes, no text, no attribute value, no token.

import { countsIn, phaseOf } from './snapshot.ts'
import type { Slots } from './state.ts'
import { isComplete } from './transcript.ts'
import { type EpochMs, type Finding, PROTOCOL_VERSION, type Report } from './wire.ts'

export const VERSION = '0.1.0'

export interface Circumstances {
  readonly now: EpochMs
  readonly incarnation: string
  readonly storage: 'durable' | 'memory'
  readonly hasPump: boolean
}

export function reportOf(slots: Slots, at: Circumstances): Report {
  const { session, lease, transcript, context } = slots
  const findings = CHECKS.flatMap((check) => check(slots, at) ?? [])
  return {
    at: at.now,
    version: VERSION,
    protocol: PROTOCOL_VERSION,
    incarnation: at.incarnation,
    phase: phaseOf(slots, at.now),
    findings:
      findings.length > 0
        ? findings
        : [{ code: 'HEALTHY', severity: 'ok', text: 'Nothing that is stored points to a problem.' }],
    figures: {
      ...countsIn(slots),
      bytes: slots.outbox.bytes,
      generation: lease.generation,
      leaseMsLeft: lease.status === 'held' ? lease.grant.expiresAt - at.now : 0,
      cursor: transcript.cursor.seq,
      head: transcript.headSeq,
      attributes: Object.keys(context.values).length,
      attributesUnsent: Object.keys({ ...context.sending, ...context.dirty }).length,
      tabs: session.tabs,
      online: session.isOnline,
      storage: at.storage,
      pump: at.hasPump,
    },
  }
}

type Check = (slots: Slots, at: Circumstances) => Finding | undefined

const warning = (code: string, text: string): Finding => ({ code, severity: 'warning', text })
const error = (code: string, text: string): Finding => ({ code, severity: 'error', text })

const CHECKS: readonly Check[] = [
  (_, at) =>
    at.storage === 'memory'
      ? warning('STORAGE_MEMORY', 'Storage is blocked or failed: messages do not survive the end of the worker.')
      : undefined,
  (_, at) =>
    at.hasPump
      ? undefined
      : warning('PUMP_ELSEWHERE', 'Another worker or tab holds the right to use the network for this deployment.'),
  ({ lease }) =>
    lease.status === 'lost'
      ? error('LEASE_LOST', 'The service refused the session: authenticate again or start anew. The outbox is kept.')
      : undefined,
  ({ session }) =>
    session.refusal === null
      ? undefined
      : error(session.refusal, 'The service refuses to open a session: check the deployment name and the service URL.'),
  ({ outbox }) =>
    outbox.dead > 0
      ? warning('OUTBOX_DEAD', `${outbox.dead} messages were refused: retry, edit or discard them.`)
      : undefined,
  ({ outbox }) =>
    outbox.stale > 0
      ? warning('OUTBOX_STALE', `${outbox.stale} messages are held because they are old: retry or discard them.`)
      : undefined,
  (slots) => {
    const { parked = 0 } = countsIn(slots)
    return parked > 0
      ? warning('OUTBOX_PARKED', `${parked} messages wait for a conversation that is over: retry or discard them.`)
      : undefined
  },
  ({ session, transcript }) =>
    session.stream.isOpen && !isComplete(transcript)
      ? warning('TRANSCRIPT_GAP', 'Messages are missing in the transcript and are being fetched.')
      : undefined,
  ({ session }) =>
    session.tabs > 0 && !session.stream.isOpen
      ? warning('STREAM_DOWN', 'There is no live connection at the moment.')
      : undefined,
]
