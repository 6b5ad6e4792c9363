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
  return {
    at: at.now,
    version: VERSION,
    protocol: PROTOCOL_VERSION,
    incarnation: at.incarnation,
    phase: phaseOf(slots, at.now),
    findings: findingsIn(slots, at),
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

/** What is looked at: is it so, and what is it then? Without a severity it is a warning. */
function findingsIn(slots: Slots, { storage, hasPump }: Circumstances): readonly Finding[] {
  const { session, lease, transcript, outbox } = slots
  const { dead, stale } = outbox
  const { parked = 0 } = countsIn(slots)
  const { isOpen } = session.stream
  const looks: readonly [isSo: boolean, code: string, text: string, severity?: Finding['severity']][] = [
    [
      storage === 'memory',
      'STORAGE_MEMORY',
      'Storage is blocked or failed: messages do not survive the end of the worker.',
    ],
    [!hasPump, 'PUMP_ELSEWHERE', 'Another worker or tab holds the right to use the network for this deployment.'],
    [
      lease.status === 'lost',
      'LEASE_LOST',
      'The service refused the session: authenticate again or start anew. The outbox is kept.',
      'error',
    ],
    [
      session.refusal !== null,
      session.refusal ?? '',
      'The service refuses to open a session: check the deployment name and the service URL.',
      'error',
    ],
    [dead > 0, 'OUTBOX_DEAD', `${dead} messages were refused: retry, edit or discard them.`],
    [stale > 0, 'OUTBOX_STALE', `${stale} messages are held because they are old: retry or discard them.`],
    [parked > 0, 'OUTBOX_PARKED', `${parked} messages wait for a conversation that is over: retry or discard them.`],
    [
      isOpen && !isComplete(transcript),
      'TRANSCRIPT_GAP',
      'Messages are missing in the transcript and are being fetched.',
    ],
    [session.tabs > 0 && !isOpen, 'STREAM_DOWN', 'There is no live connection at the moment.'],
  ]
  const found = looks.filter(([isSo]) => isSo)
  return found.length > 0
    ? found.map(([, code, text, severity = 'warning']) => ({ code, severity, text }))
    : [{ code: 'HEALTHY', severity: 'ok', text: 'Nothing that is stored points to a problem.' }]
}
