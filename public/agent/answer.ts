// The field to answer in. One intent has one key, so a second try at the same words is the same message.
// Each conversation has words of its own, which are there again when the agent comes back to it.

import { fitField, h, ICONS, icon, isSendKey } from '../dom.ts'
import { Refusal } from './api.ts'
import type { DeskEvents } from './desk.ts'
import { type Conversation, isOpen } from './model.ts'

/** Typing is told to have ended after this long without a key press. */
const TYPING_MS = 3000

export class Answer {
  readonly element: HTMLElement
  readonly field = h('textarea', { rows: 1, dir: 'auto', 'aria-label': 'Your answer', placeholder: 'Write an answer' })
  readonly #button = h('button', { class: 'send', type: 'submit', 'aria-label': 'Send' }, icon(ICONS.send))
  readonly #events: Pick<DeskEvents, 'onReply' | 'onTyping'>
  readonly #say: (text: string) => void
  readonly #drafts = new Map<string, string>()
  #id = ''
  #intent: { readonly key: string; readonly text: string } | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(events: Pick<DeskEvents, 'onReply' | 'onTyping'>, say: (text: string) => void) {
    this.#events = events
    this.#say = say
    this.element = h(
      'form',
      { class: 'composer', onsubmit: (event) => this.#submitted(event) },
      h('div', { class: 'field' }, this.field, this.#button),
    )
    this.field.addEventListener('keydown', (event) => {
      if (isSendKey(event)) this.#submitted(event)
    })
    this.field.addEventListener('input', () => {
      this.#typed()
      this.#changed()
    })
    this.#changed()
  }

  render(conversation: Conversation, isOther: boolean): void {
    this.element.hidden = !isOpen(conversation)
    if (!isOther) return
    this.#stopTyping()
    this.#id = conversation.id
    this.#intent = undefined
    this.#put(this.#drafts.get(conversation.id) ?? '')
  }

  #submitted(event: Event): void {
    event.preventDefault()
    void this.#send()
  }

  async #send(): Promise<void> {
    const id = this.#id
    const text = this.field.value.trim()
    if (text === '' || this.field.readOnly) return
    this.#intent = this.#intent?.text === text ? this.#intent : { key: crypto.randomUUID(), text }
    this.field.readOnly = true
    this.#stopTyping()
    try {
      await this.#events.onReply(id, this.#intent.key, text)
      this.#drafts.delete(id)
      // Whoever has gone on to another conversation meanwhile writes there.
      if (id !== this.#id) return
      this.#intent = undefined
      this.#put('')
      this.#say('')
    } catch (error) {
      if (id === this.#id) this.#say(whyNot(error))
    } finally {
      this.field.readOnly = false
      if (id === this.#id) this.field.focus()
    }
  }

  #put(text: string): void {
    this.field.value = text
    this.#changed()
  }

  #changed(): void {
    this.#drafts.set(this.#id, this.field.value)
    this.#button.disabled = this.field.value.trim() === ''
    fitField(this.field)
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

/** Sent again, what was refused would be refused again. */
const whyNot = (error: unknown): string =>
  error instanceof Refusal
    ? `Not sent. ${error.message} Your words are still here: change them.`
    : 'Not sent: the service did not answer. Your words are still here; send again.'
