// The two strips above the messages: what the state has to say, and what went wrong that no state tells.

import { h, ICONS, icon, setText } from '../dom.ts'
import type { BannerWords } from './words.ts'

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
      setText(text, error instanceof Error ? error.message : 'Something went wrong.')
      element.hidden = false
    },
  }
}

export type Unsent = 'send' | 'discard'

export interface Leaving {
  readonly element: HTMLElement
  ask(): void
  hide(): void
}

/** Who signs out while something is unsent says what becomes of it. */
export function makeLeaving(choose: (unsent: Unsent) => void): Leaving {
  const button = (text: string, then: () => void): HTMLElement =>
    h('button', { class: 'button small', type: 'button', onclick: then }, text)
  const hide = (): void => {
    element.hidden = true
  }
  const answer = (unsent: Unsent) => (): void => {
    hide()
    choose(unsent)
  }
  const element = h(
    'div',
    { class: 'banner leaving', role: 'alertdialog', 'aria-label': 'Sign out', 'data-tone': 'warn', hidden: true },
    h('p', {}, 'Something you wrote has not been sent.'),
    button('Send it, then sign out', answer('send')),
    button('Discard it', answer('discard')),
    button('Stay', hide),
  )
  return {
    element,
    hide,
    ask() {
      element.hidden = false
      element.querySelector('button')?.focus()
    },
  }
}
