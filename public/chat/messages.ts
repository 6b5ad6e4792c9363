// The message list of the widget: bubbles, their delivery line, the visitor's choices for what was not sent.
// It is a polite log: a screen reader hears what is added once the chat is live, not what was there before, not each
// change of a delivery state, and that something did not get out.

import type { Chat, State } from 'holdfast'
import { h, ICONS, icon, readOutFromNow, reconcile, setText } from '../dom.ts'
import { type DeliveryWords, deliveryOf, fileWords, quote } from './words.ts'

type Message = State['messages'][number]

export interface MessageActions {
  readonly outbox: Pick<Chat['outbox'], 'retry' | 'cancel'>
  /** The visitor wants to say it differently: the text goes back into the field. */
  edit(key: string, text: string, hasFiles: boolean): void
  onProblem(error: unknown): void
}

export interface Situation {
  readonly isOnline: boolean
  /** No message can be sent before another conversation has begun. */
  readonly isOver: boolean
}

/** How far from the end still counts as reading the end, in pixels. */
const NEAR_END_PX = 80
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' })
const ROLE_WORDS = { customer: 'You', agent: 'Leeward', bot: 'Leeward’s helper', system: 'Note' } as const

export interface MessageList {
  readonly element: HTMLElement
  render(state: State): void
  scrollToEnd(): void
  /** Another visitor is here, and hears nothing of the one before. */
  forget(): void
}

/** @param above what stands before the first message */
export function makeMessageList(actions: () => MessageActions | undefined, above: HTMLElement): MessageList {
  const items = h('ol', { class: 'messages' })
  const welcome = h(
    'p',
    { class: 'welcome' },
    'Ahoy! Ask about sizes, storms or stock. Whatever you write stays written, also without a connection.',
  )
  const typing = h(
    'p',
    { class: 'typing', hidden: true },
    h('span', { class: 'dots', 'aria-hidden': 'true' }, dot(), dot(), dot()),
  )
  typing.append(h('span', {}, 'Leeward is writing'))
  const element = h(
    'div',
    {
      class: 'log',
      role: 'log',
      'aria-live': 'off',
      'aria-relevant': 'additions',
      tabindex: '0',
      'aria-label': 'Messages',
    },
    above,
    welcome,
    items,
  )
  const trouble = makeTrouble()
  element.append(typing, trouble.element)
  let isCaughtUp = false
  const toEnd = (): void => void element.scrollTo({ top: element.scrollHeight })

  return {
    element,
    scrollToEnd: toEnd,
    forget: () => setText(trouble.element, ''),
    render({ messages, online, agentTyping, phase }) {
      const situation = { isOnline: online, isOver: phase === 'ended' }
      const wasNearEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END_PX
      const before = items.childElementCount
      const rows = messages.map((message, index) => ({ message, previous: messages[index - 1] }))
      reconcile(
        items,
        rows,
        ({ message }) => nameOf(message),
        makeRow,
        (row, { message, previous }) => {
          trouble.watch(row, message, () => updateRow(row, message, previous, situation, actions))
        },
      )
      if (phase === 'live' && !isCaughtUp) {
        isCaughtUp = true
        readOutFromNow(element)
      }
      typing.hidden = !agentTyping
      const isOwnNew = items.childElementCount > before && messages.at(-1)?.role === 'customer'
      if (wasNearEnd || isOwnNew) toEnd()
    },
  }
}

/** Says aloud which message did not get out, and why, when it shows. */
function makeTrouble(): { element: HTMLElement; watch(row: HTMLElement, message: Message, update: () => void): void } {
  const element = h('p', { class: 'visually-hidden', role: 'status' })
  return {
    element,
    watch(row, { text }, update) {
      const before = row.dataset['delivery']
      update()
      const { delivery } = row.dataset
      const isBad = delivery === 'failed' || delivery === 'held'
      if (isBad && before !== undefined && before !== delivery)
        setText(element, `${quote(text)} ${row.querySelector('.delivery')?.textContent}`)
    },
  }
}

/** A message keeps its element when its acknowledgement brings an id. */
export const nameOf = ({ key, id, seq }: Message): string => key ?? id ?? `seq-${seq}`

const dot = (): HTMLElement => h('i', {})

export function makeRow({ message }: { message: Message }): HTMLElement {
  const isOwn = message.role === 'customer'
  return h(
    'li',
    { class: `message ${message.role}` },
    h('p', { class: 'day', hidden: true }),
    h('p', { class: 'gap', hidden: true }, 'Earlier messages are on their way'),
    h('span', { class: 'visually-hidden' }, `${ROLE_WORDS[message.role]}: `),
    h('p', { class: 'bubble', dir: 'auto' }),
    h('ul', { class: 'files', hidden: true }),
    h('p', { class: 'meta' }, h('time', {}), isOwn && h('span', { class: 'delivery', 'aria-live': 'off' })),
    isOwn && h('div', { class: 'choices', hidden: true }),
  )
}

export function updateRow(
  row: HTMLElement,
  message: Message,
  previous: Message | undefined,
  situation: Situation,
  actions: () => MessageActions | undefined = () => undefined,
): void {
  const part = (name: string): HTMLElement => row.querySelector<HTMLElement>(name) as HTMLElement
  setText(part('.bubble'), message.text)
  showFiles(part('.files'), message)
  setText(part('time'), TIME.format(message.at))
  const day = DAY.format(message.at)
  const isSameDay = previous === undefined || DAY.format(previous.at) === day
  part('.day').hidden = isSameDay
  setText(part('.day'), day)
  part('.gap').hidden = message.afterGap !== true
  row.classList.toggle('follows', previous?.role === message.role && isSameDay)
  if (message.role !== 'customer') return

  const words = deliveryOf(message, situation.isOnline, situation.isOver)
  const delivery = part('.delivery')
  if (delivery.textContent !== words.text) delivery.replaceChildren(icon(ICONS[words.icon]), words.text)
  row.dataset['delivery'] = words.icon
  const choices = part('.choices')
  const wanted = words.actions.join()
  if (choices.dataset['shown'] !== wanted) {
    choices.dataset['shown'] = wanted
    choices.hidden = words.actions.length === 0
    choices.replaceChildren(...choiceButtons(message, words, actions))
  }
}

/** Each file with its way there, as long as it is on it. */
function showFiles(list: HTMLElement, { attachments = [] }: Message): void {
  list.hidden = attachments.length === 0
  reconcile(
    list,
    attachments.map((file, index) => ({ file, index })),
    ({ index }) => String(index),
    () => h('li', {}, h('bdi'), h('progress', { max: 1 })),
    (item, { file }) => {
      const [name, bar] = [...item.children] as [HTMLElement, HTMLProgressElement]
      setText(name, fileWords(file))
      bar.hidden = file.progress === undefined
      bar.setAttribute('aria-label', `Upload of ${file.name}`)
      // Without a value the bar says that it goes on, and not how far.
      if (file.progress === 0) bar.removeAttribute('value')
      else bar.value = file.progress ?? 1
    },
  )
}

const CHOICE_WORDS = { retry: 'Send', edit: 'Edit', discard: 'Discard', cancel: 'Cancel' } as const

function choiceButtons(
  message: Message,
  words: DeliveryWords,
  actions: () => MessageActions | undefined,
): HTMLElement[] {
  return words.actions.map((choice) => {
    const isRetry = choice === 'retry' && words.icon === 'failed'
    const run = async (): Promise<void> => {
      const door = actions()
      const { key, text, attachments = [] } = message
      if (door === undefined || key === undefined) return
      try {
        if (choice === 'retry') await door.outbox.retry(key)
        else if (choice !== 'edit') await door.outbox.cancel(key)
        else door.edit(key, text, attachments.length > 0)
      } catch (error) {
        door.onProblem(error)
      }
    }
    return h('button', { type: 'button', onclick: () => void run() }, isRetry ? 'Try again' : CHOICE_WORDS[choice])
  })
}
