// The field to answer in. One intent has one key, so a second try at the same words is the same message.

import { h, ICONS, icon } from '../dom.ts'
import type { DeskEvents } from './desk.ts'
import { type Conversation, isOpen } from './model.ts'

/** Typing is told to have ended after this long without a key press. */
const TYPING_MS = 3000

export class Answer {
  readonly element: HTMLElement
  readonly #field = h('textarea', { rows: 1, 'aria-label': 'Your answer', placeholder: 'Write an answer' })
  readonly #events: Pick<DeskEvents, 'onReply' | 'onTyping'>
  readonly #say: (text: string) => void
  #id = ''
  #intent: { readonly key: string; readonly text: string } | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(events: Pick<DeskEvents, 'onReply' | 'onTyping'>, say: (text: string) => void) {
    this.#events = events
    this.#say = say
    const button = h('button', { class: 'send', type: 'submit', 'aria-label': 'Send' }, icon(ICONS.send))
    this.element = h(
      'form',
      { class: 'composer', onsubmit: (event) => this.#submitted(event) },
      h('div', { class: 'field' }, this.#field, button),
    )
    this.#field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.#submitted(event)
    })
    this.#field.addEventListener('input', () => this.#typed())
  }

  render(conversation: Conversation, isOther: boolean): void {
    if (isOther) {
      this.#stopTyping()
      this.#field.value = ''
      this.#intent = undefined
    }
    this.#id = conversation.id
    this.element.hidden = !isOpen(conversation)
  }

  #submitted(event: Event): void {
    event.preventDefault()
    void this.#send()
  }

  async #send(): Promise<void> {
    const text = this.#field.value.trim()
    if (text === '' || this.#field.readOnly) return
    this.#intent = this.#intent?.text === text ? this.#intent : { key: crypto.randomUUID(), text }
    this.#field.readOnly = true
    this.#stopTyping()
    try {
      await this.#events.onReply(this.#id, this.#intent.key, text)
      this.#intent = undefined
      this.#field.value = ''
      this.#say('')
    } catch {
      this.#say('Not sent: the service did not answer. Your words are still here; send again.')
    } finally {
      this.#field.readOnly = false
      this.#field.focus()
    }
  }

  #typed(): void {
    if (this.#timer === undefined) this.#events.onTyping(this.#id, true)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#stopTyping(), TYPING_MS)
  }

  #stopTyping(): void {
    if (this.#timer !== undefined) this.#events.onTyping(this.#id, false)
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
