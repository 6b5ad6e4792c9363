// The desk: one conversation's transcript, the field to answer in, and the two ways to let it go.

import { fileWords } from '../chat/words.ts'
import { byId, h, ICONS, icon, keepFocus, readOutFromNow, reconcile, setText } from '../dom.ts'
import { Answer } from './answer.ts'
import { avatar, queueOf } from './inbox.ts'
import {
  type Conversation,
  type File,
  isOpen,
  type Mark,
  type Message,
  type Model,
  nameOf,
  resumedOf,
} from './model.ts'

export interface DeskEvents {
  /** Rejects when the answer did not get through; the same key is given again at the next try. */
  onReply(id: string, key: string, text: string): Promise<void>
  onTyping(id: string, isOn: boolean): void
  onClose(id: string): Promise<void>
  onHandOver(id: string, queue: string): Promise<void>
  onBack(): void
  onChoose(id: string): void
  /** Saves a file that came with a message of this conversation. */
  onFile(id: string, file: File): Promise<void>
}

const QUEUES = ['counter', 'repairs', 'deliveries']
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const ROLE_WORDS = { customer: 'Customer', agent: 'You', bot: 'Helper', system: 'Note' } as const

export interface Desk {
  render(model: Model, conversation: Conversation | undefined): void
  /** The desk has come into view, or has gone out of it: the focus is not to stay behind. */
  shown(): void
}

export function makeDesk(events: DeskEvents): Desk {
  const root = byId('desk')
  const list = h('ol', { class: 'messages' })
  const resumed = makeResumed(events)
  const typing = h('p', { class: 'typing', hidden: true }, 'The customer is writing …')
  const log = h(
    'div',
    { class: 'log', role: 'log', 'aria-live': 'polite', 'aria-label': 'Transcript', tabindex: '0' },
    resumed.element,
    list,
    typing,
  )
  const { element: problem, say } = makeProblem()
  const head = makeHead(events, say)
  const answer = new Answer(events, say)
  const blank = h('p', { class: 'desk-blank' }, 'Choose a conversation.')
  root.append(blank, head.element, log, problem, answer.element)
  const look = keepFocus(root, () => [answer.field, log, byId('inbox').querySelector('[aria-current="true"]')])
  let shown: string | undefined

  const save = (file: File): void => {
    if (shown !== undefined)
      events.onFile(shown, file).then(
        () => say(''),
        (error) => say(wordsOf(error)),
      )
  }

  return {
    shown: look,
    render(model, conversation) {
      blank.hidden = conversation !== undefined
      for (const part of [head.element, log, answer.element]) part.hidden = conversation === undefined
      if (conversation === undefined) return
      const isOther = shown !== conversation.id
      shown = conversation.id
      if (isOther) {
        // A whole transcript is no news.
        log.setAttribute('aria-live', 'off')
        list.replaceChildren()
        say('')
      }
      const messages = model.messages.get(conversation.id) ?? []
      const before = list.childElementCount
      reconcile(
        list,
        messages,
        ({ id }) => id,
        (message) => makeMessage(message, save),
        (item, message) => showMark(item, message, conversation.marks.customer),
      )
      if (isOther) readOutFromNow(log)
      typing.hidden = !model.typing.has(conversation.id)
      if (list.childElementCount !== before || !typing.hidden) log.scrollTo({ top: log.scrollHeight })
      resumed.render(model, conversation)
      head.render(conversation)
      answer.render(conversation, isOther)
    },
  }
}

function makeProblem(): { element: HTMLElement; say(text: string): void } {
  const element = h('p', { class: 'desk-problem', role: 'alert', hidden: true })
  return {
    element,
    say(text) {
      element.hidden = text === ''
      setText(element, text)
    },
  }
}

/** What stands before the first message: that there was a conversation before this one, and the way to it. */
function makeResumed(events: DeskEvents): { element: HTMLElement; render(model: Model, of: Conversation): void } {
  const text = h('span')
  const read = h('button', { class: 'earlier-button', type: 'button' }, 'Read it')
  const element = h('p', { class: 'resumed', hidden: true }, text, read)
  let former: string | undefined
  read.addEventListener('click', () => former !== undefined && events.onChoose(former))
  return {
    element,
    render(model, conversation) {
      former = conversation.previousId
      setText(text, resumedOf(conversation))
      element.hidden = text.textContent === ''
      read.hidden = former === undefined || !model.conversations.has(former)
    },
  }
}

function makeMessage({ role, text, at, attachments = [] }: Message, save: (file: File) => void): HTMLElement {
  // On this side of the counter, the agent's own words stand on the right.
  const side = role === 'agent' ? 'customer' : role === 'customer' ? 'agent' : role
  return h(
    'li',
    { class: `message ${side}` },
    h('span', { class: 'visually-hidden' }, `${ROLE_WORDS[role]}: `),
    h('p', { class: 'bubble', dir: 'auto' }, text),
    attachments.length > 0 && h('ul', { class: 'files' }, ...attachments.map((file) => fileRow(file, save))),
    h(
      'p',
      { class: 'meta' },
      h('time', {}, TIME.format(at)),
      role === 'agent' && h('span', { class: 'delivery', 'aria-live': 'off' }),
    ),
  )
}

function fileRow(file: File, save: (file: File) => void): HTMLElement {
  const button = h('button', { type: 'button', onclick: () => save(file) }, h('bdi', {}, fileWords(file)))
  button.setAttribute('aria-label', `Save ${fileWords(file)}`)
  return h('li', {}, button)
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : 'That did not work. Try again.')

/** What the customer has had before their eyes. */
function showMark(item: HTMLElement, { role, seq }: Message, { read }: Mark): void {
  const mark = item.querySelector<HTMLElement>('.delivery')
  const text = seq <= read ? 'Read' : 'Sent'
  if (role === 'agent' && mark !== null && mark.textContent !== text)
    mark.replaceChildren(icon(seq <= read ? ICONS.seen : ICONS.sent), text)
}

function makeHead(
  events: DeskEvents,
  say: (text: string) => void,
): { element: HTMLElement; render(conversation: Conversation): void } {
  const back = h(
    'button',
    { class: 'head-button back', type: 'button', 'aria-label': 'Back to the list' },
    icon('M15 5l-7 7 7 7'),
  )
  const face = h('span')
  const name = h('h2')
  const state = h('p')
  const queue = h('select', { 'aria-label': 'Hand over to another queue' })
  const close = h('button', { class: 'button quiet small', type: 'button' }, 'Close')
  const actions = h('div', { class: 'desk-actions' }, queue, close)
  const element = h('header', { class: 'desk-head' }, back, face, h('div', {}, name, state), actions)
  let present: Conversation | undefined

  const run = async (work: (id: string) => Promise<void>): Promise<void> => {
    if (present === undefined) return
    try {
      await work(present.id)
      say('')
    } catch (error) {
      say(wordsOf(error))
    }
  }
  back.addEventListener('click', events.onBack)
  close.addEventListener('click', () => void run(events.onClose))
  queue.addEventListener('change', () => {
    const wanted = queue.value
    queue.value = ''
    if (wanted !== '') void run((id) => events.onHandOver(id, wanted))
  })

  return {
    element,
    render(conversation) {
      present = conversation
      face.replaceChildren(avatar(conversation.id))
      setText(name, nameOf(conversation.id))
      const queueNow = queueOf(conversation) || 'counter'
      setText(state, isOpen(conversation) ? `Queue: ${queueNow}` : `This conversation is ${conversation.state}.`)
      actions.hidden = !isOpen(conversation)
      if (queue.dataset['for'] !== queueNow) {
        queue.dataset['for'] = queueNow
        const others = QUEUES.filter((one) => one !== queueNow)
        queue.replaceChildren(
          h('option', { value: '' }, 'Hand over to …'),
          ...others.map((one) => h('option', { value: one }, one)),
        )
      }
    },
  }
}
