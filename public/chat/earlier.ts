// What was said in the conversations before this one: a button above the messages, and what it brings. Read only.

import type { Chat, State } from 'holdfast'
import { h, reconcile, setText } from '../dom.ts'
import { makeRow, nameOf, updateRow } from './messages.ts'
import { beginningOf } from './words.ts'

type Message = State['messages'][number]

const PAGE_SIZE = 20

export interface Earlier {
  readonly element: HTMLElement
  connect(chat: Chat): void
  render(state: State): void
}

export function makeEarlier(onProblem: (error: unknown) => void): Earlier {
  const items = h('ol', { class: 'messages' })
  const button = h('button', { class: 'earlier-button', type: 'button', onclick: () => void more() })
  const end = h('p', { class: 'earlier-end' })
  const element = h('section', { class: 'earlier', 'aria-label': 'Earlier conversations', hidden: true, tabindex: -1 })
  // They were asked for, and are many: whoever wants them read goes there.
  element.setAttribute('aria-live', 'off')
  element.append(button, items, end)
  let chat: Chat | undefined
  let present: string | undefined
  let messages: readonly Message[] = []

  function show(): void {
    const rows = messages.map((message, index) => ({ message, previous: messages[index - 1] }))
    reconcile(
      items,
      rows,
      ({ message }) => `${message.conversationId} ${nameOf(message)}`,
      makeRow,
      (row, { message, previous }) => updateRow(row, message, previous, { isOnline: true, isOver: false }),
    )
    setText(button, messages.length === 0 ? 'Show the earlier conversation' : 'Show more')
  }

  async function more(): Promise<void> {
    const asked = present
    try {
      // Below the first message of this conversation are those before it.
      const page = await chat?.history({ before: messages[0]?.seq ?? 1, limit: PAGE_SIZE })
      if (page === undefined || asked !== present) return
      messages = [...page, ...messages]
      if (page.length < PAGE_SIZE) element.focus()
      button.hidden = page.length < PAGE_SIZE
      show()
    } catch (error) {
      onProblem(error)
    }
  }

  return {
    element,
    connect(to) {
      chat = to
    },
    render({ conversation }) {
      const beginning = beginningOf(conversation)
      element.hidden = beginning === ''
      setText(end, beginning)
      if (conversation?.id === present) return
      present = conversation?.id
      messages = []
      button.hidden = conversation?.previousId === undefined
      show()
    },
  }
}
