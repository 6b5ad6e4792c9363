// The two strips above the messages: what the state has to say, and what went wrong that no state tells.

import { h, ICONS, icon, setText } from '../dom.ts'
import { type BannerWords, problemOf } from './words.ts'

export type BannerAction = NonNullable<BannerWords['action']>['id']

export interface Banner {
  readonly element: HTMLElement
  show(words: BannerWords | null): void
}

export function makeBanner(act: (action: BannerAction) => void): Banner {
  const text = h('p')
  const button = h('button', { class: 'button small', type: 'button' })
  const element = h('div', { class: 'banner', role: 'status', hidden: true }, text, button)
  let action: BannerWords['action']
  button.addEventListener('click', () => action !== undefined && act(action.id))
  return {
    element,
    show(words) {
      element.hidden = words === null
      action = words?.action
      button.hidden = action === undefined
      setText(text, words?.text ?? '')
      setText(button, action?.text ?? '')
      element.dataset['tone'] = words?.tone ?? 'calm'
    },
  }
}

export interface Problem {
  readonly element: HTMLElement
  /** Stays until it is dismissed, tried again or followed by another. */
  show(error: unknown, retry?: () => void): void
  hide(): void
}

export function makeProblem(): Problem {
  const text = h('p')
  const again = h('button', { class: 'button small', type: 'button' }, 'Try again')
  const close = h('button', { class: 'problem-close', type: 'button', 'aria-label': 'Dismiss' }, icon(ICONS.close))
  const element = h(
    'div',
    { class: 'banner problem', role: 'alert', 'data-tone': 'bad', hidden: true },
    text,
    again,
    close,
  )
  let retry: (() => void) | undefined
  const hide = (): void => {
    element.hidden = true
  }
  close.addEventListener('click', hide)
  again.addEventListener('click', () => {
    hide()
    retry?.()
  })
  return {
    element,
    hide,
    show(error, then) {
      retry = then
      again.hidden = then === undefined
      setText(text, problemOf(error))
      element.hidden = false
    },
  }
}

export type Unsent = 'send' | 'discard' | 'refuse'

export interface Leaving {
  readonly element: HTMLElement
  ask(isUnsent: boolean): void
  hide(): void
}

/** Signing out cannot be taken back, so it is asked about; where something is unsent, also what becomes of that. */
export function makeLeaving(choose: (unsent: Unsent) => void): Leaving {
  let returnTo: Element | null = null
  const button = (text: string, then: () => void): HTMLElement =>
    h('button', { class: 'button small', type: 'button', onclick: then }, text)
  const hide = (): void => {
    const hadFocus = element.contains(document.activeElement)
    element.hidden = true
    if (hadFocus && returnTo instanceof HTMLElement) returnTo.focus()
  }
  const answer = (unsent: Unsent) => (): void => {
    hide()
    choose(unsent)
  }
  const text = h('p')
  const plain = button('Yes, sign out', answer('refuse'))
  const send = button('Send it, then sign out', answer('send'))
  const discard = button('Discard it', answer('discard'))
  const stay = button('Stay', hide)
  stay.classList.add('quiet')
  const element = h(
    'div',
    { class: 'banner leaving', role: 'alertdialog', 'aria-label': 'Sign out', 'data-tone': 'warn', hidden: true },
    ...[text, plain, send, discard, stay],
  )
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return
    // The question is put away, not the chat with it.
    event.stopPropagation()
    hide()
  })
  return {
    element,
    hide,
    ask(isUnsent) {
      const question = 'Sign out? The conversation and your cart are taken off this device.'
      setText(text, isUnsent ? 'Something you wrote has not been sent.' : question)
      plain.hidden = isUnsent
      send.hidden = discard.hidden = !isUnsent
      returnTo = document.activeElement
      element.hidden = false
      ;(isUnsent ? send : plain).focus()
    },
  }
}
