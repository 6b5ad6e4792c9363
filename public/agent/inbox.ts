// The list of conversations: newest first, with marks for what is unread and who is waiting.

import { byId, h, reconcile, setText } from '../dom.ts'
import { type Conversation, inOrder, isWaiting, type Model, nameOf, unreadOf } from './model.ts'

export type Which = 'open' | 'ended'

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const DAY_MS = 24 * 60 * 60_000

export function makeInbox(choose: (id: string) => void): { render(model: Model, selected: string | undefined): void } {
  const list = byId('inbox')
  const empty = byId('inbox-empty')
  let which: Which = 'open'
  let last: { model: Model; selected: string | undefined } | undefined

  const switches = (['open', 'ended'] as const).map((name) => {
    const button = h('button', { type: 'button', 'aria-pressed': 'false' }, name === 'open' ? 'Open' : 'Ended')
    button.addEventListener('click', () => {
      which = name
      if (last !== undefined) render(last.model, last.selected)
    })
    byId('filter').append(button)
    return { name, button }
  })

  function render(model: Model, selected: string | undefined): void {
    last = { model, selected }
    for (const { name, button } of switches) button.setAttribute('aria-pressed', String(name === which))
    const rows = inOrder(model, which)
    empty.hidden = rows.length > 0 || which === 'ended'
    reconcile(
      list,
      rows,
      ({ id }) => id,
      ({ id }) => makeRow(id, choose),
      (row, conversation) => updateRow(row, conversation, model, selected === conversation.id),
    )
  }
  return { render }
}

function makeRow(id: string, choose: (id: string) => void): HTMLElement {
  const button = h(
    'button',
    { type: 'button', class: 'inbox-row', onclick: () => choose(id) },
    avatar(id),
    h(
      'span',
      { class: 'inbox-text' },
      h('span', { class: 'inbox-name' }, nameOf(id)),
      h('span', { class: 'inbox-last', dir: 'auto' }),
    ),
    h('span', { class: 'inbox-side' }, h('time', {}), h('span', { class: 'inbox-mark' })),
  )
  return h('li', {}, button)
}

function updateRow(row: HTMLElement, conversation: Conversation, model: Model, isSelected: boolean): void {
  const part = (name: string): Element => row.querySelector(name) as Element
  const message = model.messages.get(conversation.id)?.at(-1)
  const unread = unreadOf(model, conversation.id)
  const isTyping = model.typing.has(conversation.id)
  const said = message === undefined ? 'Looking around' : `${message.role === 'customer' ? '' : 'You: '}${message.text}`
  setText(part('.inbox-last'), isTyping ? 'is writing …' : said)
  const at = message?.at ?? conversation.createdAt
  setText(part('time'), Date.now() - at < DAY_MS ? TIME.format(at) : DATE.format(at))
  setText(
    part('.inbox-mark'),
    unread > 0 ? `${unread} new` : isWaiting(model, conversation) ? 'waiting' : queueOf(conversation),
  )
  row.classList.toggle('unread', unread > 0)
  row.classList.toggle('waiting', isWaiting(model, conversation))
  part('button').setAttribute('aria-current', String(isSelected))
}

export function queueOf({ routingData }: Conversation): string {
  const queue = routingData['queue']
  return typeof queue === 'string' ? queue : ''
}

/** A plain disc in one of a few colours, with two letters. */
export function avatar(id: string): HTMLElement {
  const letters = nameOf(id)
    .split(' ')
    .map((word) => word[0])
    .join('')
  const colour = (Number.parseInt(id.slice(0, 2), 16) || 0) % 5
  return h('span', { class: `avatar colour-${colour}`, 'aria-hidden': 'true' }, letters)
}
