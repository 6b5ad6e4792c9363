// What happened between two snapshots, as the events a site hears. Pure: the same two pictures give the same events.
// Leaves to others: when a snapshot is news (mirror.ts) and who listens.

import type { Snapshot } from '../core/wire.ts'
import type { ChatEvents } from './api.ts'

export type Change = { [E in keyof ChatEvents]: readonly [E, ChatEvents[E]] }[keyof ChatEvents]

/** The events there are. */
export const EVENTS: { readonly [E in keyof ChatEvents]: true } = {
  message: true,
  delivery: true,
  'auth-required': true,
  resumed: true,
  ended: true,
  'signed-out': true,
  problem: true,
  'token-wanted': true,
}

/** Messages remembered as told. A snapshot holds far fewer, so one that comes back after a resync is still known. */
export const TOLD_MAX = 2_000

/**
 * @param told ids and keys of the messages that were told before; the new ones are added
 * @param isGuest whether another tab was here before this one
 */
export function changesOf(before: Snapshot, after: Snapshot, told: Set<string>, isGuest = false): Change[] {
  const changes: Change[] = []
  const turnedTo = (phase: Snapshot['phase']): boolean => after.phase === phase && before.phase !== phase
  const conversation = after.conversation
  const former = before.conversation?.id

  // A tab that slept may see the next identity without ever seeing the phase between.
  if (turnedTo('signed-out') || (before.epoch !== after.epoch && before.phase !== 'signed-out'))
    changes.push(['signed-out', {}])
  const isOther = conversation && conversation.id !== former
  if (isOther || (conversation?.joined && !before.conversation?.joined)) {
    const { id: conversationId, resumedFrom, previousId, joined = isGuest && !former } = conversation
    const from = isOther && (resumedFrom ?? previousId ?? (before.epoch === after.epoch && former))
    if (from || joined)
      changes.push([
        'resumed',
        { conversationId, ...(from && { from }), ...(joined && { joined, activeElsewhere: joined }) },
      ])
  }
  const known = new Map(before.messages.map((message) => [message.key, message]))
  for (const message of after.messages) {
    const { key, status, code } = message
    if (note(told, message)) changes.push(['message', message])
    const previous = key && known.get(key)
    if (previous && (previous.status !== status || previous.code !== code)) {
      changes.push(['delivery', code === undefined ? { key, status } : { key, status, code }])
    }
  }
  if (turnedTo('ended')) {
    changes.push(['ended', conversation ? { conversationId: conversation.id, state: conversation.state } : {}])
  }
  const { code = '', message = '' } = after.lease
  if (turnedTo('auth-required')) changes.push(['auth-required', { code, message }])
  return changes
}

/** Remembers a message by all its names; true when none of them was known. */
export function note(told: Set<string>, { id, key }: { readonly id?: string; readonly key?: string }): boolean {
  const isNew = !told.has(id ?? '') && !told.has(key ?? '')
  for (const name of [id, key]) if (name) told.add(name)
  for (const name of told) {
    if (told.size <= TOLD_MAX) break
    told.delete(name)
  }
  return isNew
}
