// The field to write in: Enter sends, Shift+Enter breaks the line, the draft survives a reload.
// An edit of a message that was not sent happens here too, and replaces it.

import type { Chat } from 'holdfast'
import { h, ICONS, icon, setText } from '../dom.ts'
import { fileWords } from './words.ts'

/** The field grows with its text up to this height, in pixels. */
const HEIGHT_MAX_PX = 140

export class Composer {
  readonly element: HTMLElement
  readonly #field = h('textarea', {
    rows: 1,
    'aria-label': 'Your message',
    placeholder: 'Write a message',
    enterkeyhint: 'send',
  })
  readonly #button = h('button', { class: 'send', type: 'submit', 'aria-label': 'Send' }, icon(ICONS.send))
  readonly #stop = h('button', { type: 'button' }, 'Leave it as it was')
  readonly #note = h('p', { class: 'editing', hidden: true }, 'You are changing an unsent message. ', this.#stop)
  readonly #files = h('input', { type: 'file', class: 'visually-hidden', multiple: true, 'aria-label': 'Attach files' })
  readonly #chosenText = h('span', {})
  readonly #unchoose = h('button', { type: 'button' }, 'Take out')
  readonly #chosen = h('p', { class: 'chosen', hidden: true }, this.#chosenText, ' ', this.#unchoose)
  readonly #onProblem: (error: unknown) => void
  #chat: Chat | undefined
  /** The key of the unsent message that is being changed. */
  #editing: string | undefined

  constructor(onProblem: (error: unknown) => void) {
    this.#onProblem = onProblem
    this.element = h(
      'form',
      { class: 'composer', onsubmit: (event) => this.#submitted(event) },
      this.#note,
      this.#chosen,
      h(
        'div',
        { class: 'field' },
        this.#field,
        h('label', { class: 'clip', title: 'Attach files' }, icon(ICONS.clip), this.#files),
        this.#button,
      ),
    )
    this.#field.addEventListener('keydown', (event) => {
      // While a word is being composed (as in Japanese), Enter chooses it.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.#submitted(event)
    })
    this.#field.addEventListener('input', () => {
      this.#changed()
      this.#chat?.typing()
    })
    this.#files.addEventListener('change', () => this.#changed())
    this.#unchoose.addEventListener('click', () => this.#choose(null))
    this.#stop.addEventListener('click', () => {
      this.#setEditing(undefined)
      this.#put(this.#chat?.draft.text ?? '')
      this.focus()
    })
  }

  connect(chat: Chat): void {
    this.#chat = chat
    // What was typed while the chat was starting counts for more than an older draft.
    this.#put(this.#field.value === '' ? chat.draft.text : this.#field.value)
  }

  /** Puts the text of an unsent message back into the field. */
  edit(key: string, text: string): void {
    this.#setEditing(key)
    this.#put(text)
    this.focus()
  }

  /** Another visitor is here, and finds nothing in the field. */
  clear(): void {
    this.#setEditing(undefined)
    this.#choose(null)
    this.#put('')
  }

  focus(): void {
    this.#fit()
    this.#field.focus()
  }

  setEnabled(isEnabled: boolean, placeholder: string): void {
    this.#field.placeholder = placeholder
    if (this.#field.disabled !== isEnabled) return
    this.#field.disabled = !isEnabled
    this.#changed()
  }

  #submitted(event: Event): void {
    event.preventDefault()
    void this.#send()
  }

  async #send(): Promise<void> {
    const attachments = [...(this.#files.files ?? [])]
    // A file without a word is called by its name.
    const text = this.#field.value.trim() === '' ? attachments.map(({ name }) => name).join(', ') : this.#field.value
    if (this.#chat === undefined || text === '') return
    const { files } = this.#files
    const replaced = this.#editing
    this.#setEditing(undefined)
    this.#put('')
    this.#choose(null)
    const content = attachments.length === 0 ? text : { text, attachments }
    try {
      if (replaced === undefined) await this.#chat.send(content)
      else await this.#chat.outbox.edit(replaced, content)
    } catch (error) {
      this.#choose(files)
      // Nothing was kept, so the words go back to where they can be kept.
      if (this.#field.value === '') this.#put(text)
      this.#onProblem(error)
    }
  }

  #choose(files: FileList | null): void {
    if (files === null) this.#files.value = ''
    else this.#files.files = files
    this.#changed()
  }

  #put(text: string): void {
    this.#field.value = text
    this.#changed()
  }

  #changed(): void {
    const field = this.#field
    this.#fit()
    const files = [...(this.#files.files ?? [])]
    this.#chosen.hidden = files.length === 0
    setText(this.#chosenText, files.map(fileWords).join('; '))
    this.#button.disabled = field.disabled || (field.value.trim() === '' && files.length === 0)
    if (this.#chat !== undefined && this.#editing === undefined) this.#chat.draft.text = field.value
  }

  /** While the panel is closed the field has no height; it is measured again when it takes the focus. */
  #fit(): void {
    const field = this.#field
    field.style.height = 'auto'
    if (field.scrollHeight > 0) field.style.height = `${Math.min(field.scrollHeight, HEIGHT_MAX_PX)}px`
  }

  #setEditing(key: string | undefined): void {
    this.#editing = key
    this.#note.hidden = key === undefined
  }
}
