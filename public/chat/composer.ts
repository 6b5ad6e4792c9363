// The field to write in: Enter sends, Shift+Enter breaks the line, the draft survives a reload.
// An edit of a message that was not sent happens here too, and replaces it.

import type { Chat } from 'holdfast'
import { fitField, h, ICONS, icon, isSendKey, setText } from '../dom.ts'
import type { Problem } from './banner.ts'
import { fileWords } from './words.ts'

export class Composer {
  readonly element: HTMLElement
  readonly #field = h('textarea', {
    rows: 1,
    dir: 'auto',
    'aria-label': 'Your message',
    placeholder: 'Write a message',
    enterkeyhint: 'send',
  })
  readonly #button = h('button', { class: 'send', type: 'submit', 'aria-label': 'Send' }, icon(ICONS.send))
  readonly #stop = h('button', { type: 'button' }, 'Leave it as it was')
  readonly #noteText = h('span')
  readonly #note = h('p', { class: 'editing', hidden: true }, this.#noteText, ' ', this.#stop)
  readonly #files = h('input', { type: 'file', class: 'visually-hidden', multiple: true, 'aria-label': 'Attach files' })
  readonly #chosenText = h('bdi')
  readonly #unchoose = h('button', { type: 'button' }, 'Take out')
  readonly #chosen = h('p', { class: 'chosen', hidden: true }, this.#chosenText, ' ', this.#unchoose)
  readonly #problem: Pick<Problem, 'show' | 'hide'>
  #chat: Chat | undefined
  /** The key of the unsent message that is being changed. */
  #editing: string | undefined
  /** The last problem that is shown may be ours; what was refused and goes out then is none any more. */
  #hasFailed = false

  constructor(problem: Pick<Problem, 'show' | 'hide'>) {
    this.#problem = problem
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
      if (isSendKey(event)) this.#submitted(event)
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

  /** Puts the text of an unsent message back into the field; its files cannot be. */
  edit(key: string, text: string, hasFiles = false): void {
    const files = hasFiles ? ' Its files are left out: attach again what is to go with it.' : ''
    setText(this.#noteText, `You are changing an unsent message.${files}`)
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
    // While the panel was closed the field had no height.
    fitField(this.#field)
    this.#field.focus()
  }

  get field(): HTMLElement {
    return this.#field
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
    // What was being written when the change began is still to be written.
    this.#put(replaced === undefined ? '' : this.#chat.draft.text)
    this.#choose(null)
    const content = attachments.length === 0 ? text : { text, attachments }
    try {
      if (replaced === undefined) await this.#chat.send(content)
      else await this.#chat.outbox.edit(replaced, content)
      if (this.#hasFailed) this.#problem.hide()
      this.#hasFailed = false
    } catch (error) {
      this.#choose(files)
      // Nothing was kept, so the words go back to where they can be kept.
      if (this.#field.value === '') this.#put(text)
      else if (replaced !== undefined) this.edit(replaced, text)
      this.#problem.show(error)
      this.#hasFailed = true
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
    fitField(field)
    const files = [...(this.#files.files ?? [])]
    this.#chosen.hidden = files.length === 0
    setText(this.#chosenText, files.map(fileWords).join('; '))
    this.#button.disabled = field.disabled || (field.value.trim() === '' && files.length === 0)
    if (this.#chat !== undefined && this.#editing === undefined) this.#chat.draft.text = field.value
  }

  #setEditing(key: string | undefined): void {
    this.#editing = key
    this.#note.hidden = key === undefined
  }
}
