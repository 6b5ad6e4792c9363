// The desk: one conversation's transcript, the field to answer in, and the two ways to let it go.

import { byId, h, ICONS, icon, reconcile, setText } from '../dom.ts'
import { Answer } from './answer.ts'
import { avatar, queueOf } from './inbox.ts'
import { type Conversation, isOpen, type Mark, type Message, type Model, nameOf, resumedOf } from './model.ts'

export interface DeskEvents {
  /** Rejects when the answer did not get through; the same key is given again at the next try. */
  onReply(id: string, key: string, text: string): Promise<void>
  onTyping(id: string, isOn: boolean): void
  onClose(id: string): Promise<void>
  onHandOver(id: string, queue: string): Promise<void>
  onBack(): void
  onChoose(id: string): void
}

const QUEUES = ['counter', 'repairs', 'deliveries']
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const ROLE_WORDS = { customer: 'Customer', agent: 'You', bot: 'Helper', system: 'Note' } as const

export function makeDesk(events: DeskEvents): { render(model: Model, conversation: Conversation | undefined): void } {
  const root = byId('desk')
  const head = makeHead(events, say)
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
  const problem = h('p', { class: 'desk-problem', role: 'alert', hidden: true })
  const answer = new Answer(events, say)
  const blank = h('p', { class: 'desk-blank' }, 'Choose a conversation.')
  root.append(blank, head.element, log, problem, answer.element)
  let shown: string | undefined

  function say(text: string): void {
    problem.hidden = text === ''
    setText(problem, text)
  }

  return {
    render(model, conversation) {
      blank.hidden = conversation !== undefined
      for (const part of [head.element, log, answer.element]) part.hidden = conversation === undefined
      if (conversation === undefined) return
      const isOther = shown !== conversation.id
      shown = conversation.id
      if (isOther) {
        list.replaceChildren()
        say('')
      }
      const messages = model.messages.get(conversation.id) ?? []
      const before = list.childElementCount
      reconcile(
        list,
        messages,
        ({ id }) => id,
        makeMessage,
        (item, message) => showMark(item, message, conversation.marks.customer),
      )
      typing.hidden = !model.typing.has(conversation.id)
      if (list.childElementCount !== before || !typing.hidden) log.scrollTo({ top: log.scrollHeight })
      resumed.render(model, conversation)
      head.render(conversation)
      answer.render(conversation, isOther)
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

function makeMessage({ role, text, at }: Message): HTMLElement {
  // On this side of the counter, the agent's own words stand on the right.
  const side = role === 'agent' ? 'customer' : role === 'customer' ? 'agent' : role
  return h(
    'li',
    { class: `message ${side}` },
    h('span', { class: 'visually-hidden' }, `${ROLE_WORDS[role]}: `),
    h('p', { class: 'bubble' }, text),
    h('p', { class: 'meta' }, h('time', {}, TIME.format(at)), role === 'agent' && h('span', { class: 'delivery' })),
  )
}

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
      say(error instanceof Error ? error.message : 'That did not work.')
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
