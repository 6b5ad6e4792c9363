// What the widget says: plain words for every state of a message, of the connection and of a failure. Pure, and
// without a word that only the people who built it would know.

import type { State } from 'holdfast'

type Message = State['messages'][number]

export type DeliveryIcon = 'waiting' | 'sending' | 'sent' | 'seen' | 'failed' | 'held'

export interface DeliveryWords {
  readonly icon: DeliveryIcon
  readonly text: string
  /** What the visitor may do about it. */
  readonly actions: readonly ('retry' | 'edit' | 'discard' | 'cancel')[]
}

const NO_ACTION = [] as const
const ALL_ACTIONS = ['retry', 'edit', 'discard'] as const

const REASONS: Readonly<Record<string, string>> = {
  MESSAGE_TOO_LONG: 'it is too long',
  ATTACHMENT_REFUSED: 'the shop could not take the file',
  OUTBOX_REFUSED: 'the shop could not accept it',
  CONVERSATION_OVER: 'the conversation has ended',
  SERVICE_REFUSED: 'the shop could not accept it',
  SERVICE_BAD_RESPONSE: 'the shop’s answer made no sense',
  LEASE_REVOKED: 'your session had ended',
}

/** What the files of a message still need, in percent of all that there is; nothing when they are there, or none. */
function uploadOf(files: Message['attachments'] = []): number | undefined {
  if (files.every(({ progress }) => progress === undefined)) return undefined
  const all = files.reduce((sum, { size }) => sum + size, 0)
  return Math.floor((100 * files.reduce((sum, { size, progress = 1 }) => sum + size * progress, 0)) / all)
}

/** How one of the visitor's own messages is doing. */
export function deliveryOf(
  { status, code, attachments }: Pick<Message, 'status' | 'code' | 'attachments'>,
  isOnline: boolean,
  isOver = false,
): DeliveryWords {
  const percent = uploadOf(attachments)
  if (percent !== undefined && (status === 'queued' || status === 'inflight')) {
    // Some services say nothing before they have all of it: a nought would look as if nothing happened.
    const [far, gone] = percent === 0 ? ['', ''] : [`, ${percent} %`, `, ${percent} % uploaded`]
    const text = isOnline ? `Uploading${far}` : `Waiting for a connection${gone}`
    return { icon: isOnline ? 'sending' : 'waiting', text, actions: ['cancel'] }
  }
  switch (status) {
    case 'queued':
      return { icon: 'waiting', text: isOnline ? 'Waiting' : 'Waiting for a connection', actions: NO_ACTION }
    case 'inflight':
      return { icon: 'sending', text: 'Sending', actions: NO_ACTION }
    case 'acked':
      return { icon: 'sent', text: 'Sent', actions: NO_ACTION }
    case 'delivered':
      return { icon: 'seen', text: 'Delivered', actions: NO_ACTION }
    case 'read':
      return { icon: 'seen', text: 'Read', actions: NO_ACTION }
    case 'dead':
      return {
        icon: 'failed',
        text: `Not sent: ${REASONS[code ?? ''] ?? 'something went wrong'}`,
        actions: ALL_ACTIONS,
      }
    case 'stale':
      return { icon: 'held', text: 'Held back: it is over a day old. Still send it?', actions: ALL_ACTIONS }
    case 'parked':
      if (isOver)
        return {
          icon: 'held',
          text: 'Not sent: the conversation had ended. You can send it in a new one.',
          actions: ['discard'],
        }
      return {
        icon: 'held',
        text: 'Held back: that conversation is over. Send it in this one?',
        actions: ['retry', 'discard'],
      }
  }
}

export interface BannerWords {
  readonly tone: 'calm' | 'warn' | 'bad'
  readonly text: string
  readonly action?: { readonly id: 'start-new' | 'start-again' | 'come-back'; readonly text: string }
}

type Situation = Pick<State, 'phase' | 'online' | 'outbox' | 'conversation'>

type Phase = State['phase']

/**
 * The phase as a visitor should see it: each try to reconnect passes through the phases of a start, and a banner that
 * comes and goes with each try only worries. So trouble stays trouble until something definite happens.
 */
export function steadyPhase(shown: Phase, phase: Phase): Phase {
  const isOnTheWay = phase === 'discovering' || phase === 'validating' || phase === 'merging'
  return shown === 'reconnecting' && isOnTheWay ? shown : phase
}

/** What stands above the messages; nothing while all is well. */
export function bannerOf({ phase, online, outbox, conversation }: Situation): BannerWords | null {
  const unsent = outbox.queued + outbox.inflight
  const kept = unsent === 0 ? 'What you write is kept' : `${countWords(unsent)} kept`
  const keptAndGoes = `${kept} and ${unsent > 1 ? 'go' : 'goes'} out`
  switch (phase) {
    case 'live':
      return null
    case 'ended':
      return {
        tone: 'calm',
        text:
          conversation === null || conversation.state === 'closed'
            ? 'This conversation has ended. You can still read it.'
            : 'Nobody wrote here for a long time, so this conversation has ended. You can still read it.',
        action: { id: 'start-new', text: 'Start a new conversation' },
      }
    case 'auth-required':
      return {
        tone: 'bad',
        text: `Your session has run out. ${kept} on this device.`,
        action: { id: 'start-again', text: 'Start again' },
      }
    case 'signed-out':
      return {
        tone: 'calm',
        text: 'You are signed out. Nothing of this chat is left on this device.',
        action: { id: 'come-back', text: 'Begin anew' },
      }
    case 'dormant':
      return { tone: 'calm', text: 'The chat is resting. It wakes when you write.' }
    default:
      if (!online) return { tone: 'warn', text: `You are offline. ${keptAndGoes} when you are back.` }
      if (phase === 'reconnecting')
        return { tone: 'warn', text: `Reconnecting … ${keptAndGoes} ${unsent > 1 ? 'by themselves' : 'by itself'}.` }
      return null
  }
}

const BEGINNINGS = {
  closed: 'The one before has ended.',
  expired: 'In the one before nobody had written for a long time.',
  archived: 'The one before is in the archive.',
  gone: 'The one before is no longer kept.',
}

/** Said above the messages of a conversation that follows another: that it is a new one, and why. */
export function beginningOf(conversation: State['conversation']): string {
  const { previousId, previousState: state } = conversation ?? {}
  if (state !== undefined) return `This is a new conversation. ${BEGINNINGS[state]}`
  return previousId === undefined ? '' : 'This is a new conversation.'
}

/** One line under the name: is anyone there? */
export function presenceOf({ phase, online }: Pick<State, 'phase' | 'online'>): string {
  switch (phase) {
    case 'live':
      return 'Connected'
    case 'reconnecting':
      return online ? 'Reconnecting …' : 'Offline'
    case 'ended':
      return 'Conversation ended'
    case 'auth-required':
      return 'Session ran out'
    case 'signed-out':
      return 'Signed out'
    case 'dormant':
      return 'Resting'
    default:
      return online ? 'Connecting …' : 'Offline'
  }
}

/** What a visitor can do about each failure. What is not here says so in its own sentence, which may name a number. */
const FAILURES: Readonly<Record<string, string>> = {
  ATTACHMENT_REFUSED:
    'The shop cannot take that file: it is empty, larger than allowed, or of another kind. Choose another one.',
  OUTBOX_FULL: 'Too much is waiting to be sent already. Wait until some of it is gone, then send this again.',
  OUTBOX_UNKNOWN: 'That message has been dealt with already, perhaps in another tab. There is nothing left to do.',
  OUTBOX_INFLIGHT: 'That message is being sent right now. Wait a moment, then look again.',
  CONVERSATION_OVER: 'This conversation has ended. Start a new one to write again.',
  LINK_TIMEOUT: 'The chat did not answer in time. Try again.',
  LINK_CLOSED: 'This page has left the chat. Reload it to come back.',
  EPOCH_CHANGED: 'Somebody else is here by now. Reload the page to begin anew.',
  PROTOCOL_MISMATCH: 'There is a newer version of this page. Reload it.',
  STORE_FULL: 'This device has no room left. The chat goes on; make room, so that it is still there after a reload.',
  STORE_FAILED: 'This browser cannot keep the chat just now. It goes on for as long as this page is open.',
  STORE_CORRUPT: 'Something kept on this device could not be read and was left out. The chat goes on without it.',
  SERVICE_UNREACHABLE: 'The shop cannot be reached just now. There is nothing to do: the chat tries again by itself.',
  SERVICE_BAD_RESPONSE:
    'Something else answered in the shop’s place, perhaps the sign-in page of a network. Look there; the chat tries again.',
}

/** What went wrong, and what to do about it. */
export function problemOf(error: unknown): string {
  const { code, message } = Object(error) as { readonly code?: unknown; readonly message?: unknown }
  const known = typeof code === 'string' && Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined
  return known ?? (typeof message === 'string' && message !== '' ? message : 'Something went wrong. Try again.')
}

const QUOTE_LENGTH_MAX = 22

/** The beginning of what was said, in one line. */
export function quote(text: string): string {
  const letters = [...text.replaceAll(/\s+/g, ' ').trim()]
  return `“${letters.length > QUOTE_LENGTH_MAX ? `${letters.slice(0, QUOTE_LENGTH_MAX).join('')}…` : letters.join('')}”`
}

/** A file, with its size as a person would say it. */
export function fileWords({ name, size }: { readonly name: string; readonly size: number }): string {
  const kb = size / 1024
  return `${name}, ${kb < 1000 ? `${Math.max(1, Math.round(kb))} kB` : `${(kb / 1024).toFixed(1)} MB`}`
}

export const countWords = (messages: number): string => (messages === 1 ? 'One message is' : `${messages} messages are`)

/** The label of the launcher, read out with the number of unread answers. */
export function launcherLabel(unread: number): string {
  if (unread === 0) return 'Open the chat'
  return `Open the chat, ${unread} unread ${unread === 1 ? 'message' : 'messages'}`
}
