// What a tab can tell from a picture of the state alone about the messages whose end it awaits.

import type { Outcome, Snapshot } from './wire.ts'

/** What those that are shown have come to. One that still waits is not among them. */
export function outcomesIn({ messages }: Snapshot): ReadonlyMap<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  for (const { key, id, status, code = '' } of messages) {
    if (key === undefined) continue
    if (id !== undefined) outcomes.set(key, { status: 'acked', messageId: id })
    else if (status === 'dead' || status === 'stale') outcomes.set(key, { status, code })
  }
  return outcomes
}

/** Fewer wait without being shown than are awaited: some have ended unseen, and must be asked for. */
export function hidesEnds({ messages, outbox }: Snapshot, awaited: Iterable<string>): boolean {
  const shown = new Set(messages.map(({ key }) => key))
  const unseen = [...awaited].filter((key) => !shown.has(key)).length
  const waiting = messages.filter(({ status }) => status === 'queued' || status === 'inflight').length
  return unseen > outbox.queued + outbox.inflight - waiting
}
