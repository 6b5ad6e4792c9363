// The timeline: what happened, newest first, with the time of day. Bounded; gone with the page.

import type { State } from 'holdfast'
import { h } from '../dom.ts'
import { type Happening, happeningsOf } from './happenings.ts'

const ENTRIES_MAX = 60
const TIME = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 1,
})

export interface Timeline {
  readonly element: HTMLElement
  add(happening: Happening): void
  follow(state: State): void
}

export function makeTimeline(): Timeline {
  const items = h(
    'ol',
    { class: 'timeline' },
    h('li', { 'data-tone': 'plain' }, 'Nothing yet. Write a message, then press something.'),
  )
  const element = h(
    'section',
    { class: 'gauge', 'aria-labelledby': 'timeline-title' },
    h('h3', { id: 'timeline-title' }, 'Timeline'),
    items,
  )
  let last: State | undefined
  let isEmpty = true

  function add({ tone, text }: Happening): void {
    if (isEmpty) items.replaceChildren()
    isEmpty = false
    items.prepend(h('li', { 'data-tone': tone }, h('time', {}, TIME.format(Date.now())), ' ', text))
    while (items.childElementCount > ENTRIES_MAX) items.lastElementChild?.remove()
  }

  return {
    element,
    add,
    follow(state) {
      // The first state is what was there before; nothing has happened yet.
      if (last !== undefined && last.epoch !== state.epoch) {
        // It quotes what was said, and that is nobody else's.
        items.replaceChildren()
        add({ tone: 'plain', text: 'Somebody else is here: what was before is gone' })
      } else if (last !== undefined) for (const happening of happeningsOf(last, state)) add(happening)
      last = state
    },
  }
}
