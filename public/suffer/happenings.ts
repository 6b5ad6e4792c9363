// What happened between two states, in words for the timeline. Pure. It tells what changed, and leaves it to the
// widget and the shop to show what is.

import type { State } from 'holdfast'
import { quote } from '../chat/words.ts'

export interface Happening {
  readonly tone: 'good' | 'busy' | 'bad' | 'plain'
  readonly text: string
}

type Message = State['messages'][number]

const TONE_OF_PHASE: Partial<Record<State['phase'], Happening['tone']>> = {
  live: 'good',
  reconnecting: 'busy',
  'auth-required': 'bad',
}

export function happeningsOf(before: State, after: State): Happening[] {
  return [
    ...phases(before, after),
    ...leases(before.lease, after.lease),
    ...conversations(before, after),
    ...after.messages.flatMap((message) => messageHappenings(find(before.messages, message), message)),
    ...contexts(before.context, after.context),
    ...(before.tabs === after.tabs ? [] : [plain(`Tabs: ${before.tabs} → ${after.tabs}`)]),
  ]
}

function phases({ phase: from, online: wasOnline }: State, { phase: to, online }: State): Happening[] {
  const told: Happening[] = []
  if (from !== to) told.push({ tone: TONE_OF_PHASE[to] ?? 'plain', text: `Phase: ${from} → ${to}` })
  if (wasOnline !== online)
    told.push(online ? { tone: 'good', text: 'Network is back' } : { tone: 'busy', text: 'Network is gone' })
  return told
}

function leases(from: State['lease'], to: State['lease']): Happening[] {
  if (from.status !== to.status && to.status === 'lost') return [{ tone: 'bad', text: 'Lease lost' }]
  if (from.status !== to.status && to.status === 'refreshing') return [{ tone: 'busy', text: 'Lease: refreshing' }]
  if (to.status === 'held' && (from.status !== 'held' || from.expiresAt !== to.expiresAt)) {
    return [{ tone: 'good', text: 'Lease: a new token' }]
  }
  return []
}

function conversations({ conversation: from }: State, { conversation: to }: State): Happening[] {
  if (to === null || from?.id === to.id) return []
  return [plain(to.previousId === undefined ? 'A conversation began' : 'A new conversation, which names the old one')]
}

function messageHappenings(before: Message | undefined, { role, status, text }: Message): Happening[] {
  if (role !== 'customer') return before === undefined ? [{ tone: 'good', text: `The shop wrote ${quote(text)}` }] : []
  if (before?.status === status) return []
  switch (status) {
    case 'queued':
      return [plain(`${quote(text)} is kept and waits`)]
    case 'inflight':
      return [{ tone: 'busy', text: `${quote(text)} is on its way` }]
    case 'acked':
      return [{ tone: 'good', text: `${quote(text)} has arrived` }]
    case 'delivered':
    case 'read':
      return [{ tone: 'good', text: `${quote(text)} ${status === 'read' ? 'was read' : 'has reached an agent'}` }]
    case 'dead':
      return [{ tone: 'bad', text: `${quote(text)} was refused` }]
    case 'stale':
    case 'parked':
      return [{ tone: 'bad', text: `${quote(text)} is held back` }]
  }
}

function contexts(before: State['context'], after: State['context']): Happening[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  const changed = names.filter((name) => before[name] !== after[name])
  return changed.length === 0 ? [] : [plain(`Context: ${changed.join(', ')}`)]
}

/** The same message has its key from the start, and an id later. */
function find(messages: readonly Message[], { key, id }: Message): Message | undefined {
  return messages.find((one) => (key !== undefined && one.key === key) || (id !== undefined && one.id === id))
}

const plain = (text: string): Happening => ({ tone: 'plain', text })
