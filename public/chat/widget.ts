// The chat widget: launcher with unread badge, panel, header. It shows what the state says and passes on what the
// visitor does; it keeps nothing of its own but whether it is open.

import { type Chat, isHoldfastError, type State } from 'holdfast'
import { byId, h, ICONS, icon, keepFocus, setText } from '../dom.ts'
import { type BannerAction, makeBanner, makeLeaving, makeProblem, type Unsent } from './banner.ts'
import { Composer } from './composer.ts'
import { makeEarlier } from './earlier.ts'
import { type MessageActions, makeMessageList } from './messages.ts'
import { bannerOf, launcherLabel, presenceOf, steadyPhase } from './words.ts'

/** Whether the chat was open is a matter of this tab. */
const OPEN_KEY = 'leeward:chat-open'
/** There the chat covers everything (narrow.css), and nothing behind it is to be reached. */
const SHEET = matchMedia('(max-width: 640px)')
const BEHIND = '.skip, .shop, .suffer-toggle'

export class Widget {
  readonly #panel = byId('chat')
  readonly #launcher = byId<HTMLButtonElement>('launcher')
  readonly #badge = byId('badge')
  readonly #presence = h('p', { class: 'presence' }, 'Connecting …')
  readonly #problem = makeProblem()
  readonly #banner = makeBanner((action) => this.#act(action))
  readonly #leaving = makeLeaving((unsent) => this.#signOut(unsent))
  readonly #leave = headButton('Sign out', ICONS.leave, 'chat-leave', () => this.#leaving.ask(this.#isUnsent))
  readonly #composer = new Composer(this.#problem)
  readonly #earlier = makeEarlier(this.#problem.show)
  readonly #list = makeMessageList(
    () => this.#chat && { outbox: this.#chat.outbox, edit: this.#edit, onProblem: this.#problem.show },
    this.#earlier.element,
  )
  #chat: Chat | undefined
  #unread = 0
  #isUnsent = false
  #epoch = ''
  #phase: State['phase'] = 'starting'

  constructor(onSuffer: () => void) {
    const title = h('div', {}, h('h2', {}, 'Leeward'), this.#presence)
    this.#panel.append(
      h(
        'div',
        { class: 'chat-head' },
        h('img', { src: '/favicon.svg', alt: '', width: 38, height: 38 }),
        title,
        headButton('Make it suffer', ICONS.bolt, 'chat-suffer', onSuffer),
        this.#leave,
        headButton('Close the chat', ICONS.close, 'chat-close', () => this.#setOpen(false)),
      ),
      this.#banner.element,
      this.#problem.element,
      this.#leaving.element,
      this.#list.element,
      this.#composer.element,
    )
    this.#launcher.addEventListener('click', () => this.open())
    this.#panel.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !event.isComposing) this.#setOpen(false)
    })
    const buttons = (within: string) => this.#panel.querySelectorAll<HTMLElement>(`${within} button`)
    keepFocus(this.#panel, () => [this.#composer.field, ...buttons('.banner'), ...buttons('.chat-head')])
    SHEET.addEventListener('change', () => this.#cover())
    document.addEventListener('visibilitychange', () => this.#markRead())
    if (recall()) this.#setOpen(true, false)
  }

  connect(chat: Chat): void {
    this.#chat = chat
    this.#composer.connect(chat)
    this.#earlier.connect(chat)
    this.#problem.hide()
    chat.on('problem', (problem) => this.showProblem(problem))
  }

  render(state: State): void {
    const phase = steadyPhase(this.#phase, state.phase)
    const situation = { ...state, phase }
    this.#phase = phase
    // What the former visitor has written, and not sent, is nobody else's.
    if (this.#epoch !== '' && this.#epoch !== state.epoch) this.#forget()
    this.#epoch = state.epoch
    this.#leave.hidden = phase === 'signed-out'
    this.#unread = state.unread
    const { queued, inflight, dead, stale, parked = 0 } = state.outbox
    this.#isUnsent = queued + inflight + dead + stale + parked > 0
    this.#banner.show(bannerOf(situation))
    setText(this.#presence, presenceOf(situation))
    this.#presence.dataset['phase'] = phase
    // A page that went away shows nothing, also of what was read back or typed, until it is known who is there now.
    this.#panel.classList.toggle('is-away', state.rev < 0)
    this.#earlier.render(state)
    this.#list.render(state)
    const isOver = phase === 'ended' || phase === 'signed-out'
    this.#composer.setEnabled(!isOver, isOver ? 'This conversation is over' : 'Write a message')
    this.#badge.hidden = state.unread === 0
    setText(this.#badge, String(state.unread))
    this.#launcher.setAttribute('aria-label', launcherLabel(state.unread))
    this.#markRead()
  }

  /** Something that no state tells. */
  readonly showProblem = (error: unknown, retry?: () => void): void => this.#problem.show(error, retry)

  open(): void {
    this.#setOpen(true)
  }

  readonly #edit: MessageActions['edit'] = (key, text, hasFiles) => this.#composer.edit(key, text, hasFiles)

  #setOpen(isOpen: boolean, isFocusMoved = true): void {
    this.#panel.hidden = !isOpen
    document.documentElement.classList.toggle('chat-is-open', isOpen)
    this.#launcher.setAttribute('aria-expanded', String(isOpen))
    remember(isOpen)
    this.#cover()
    if (isOpen) this.#list.scrollToEnd()
    this.#markRead()
    if (isFocusMoved) isOpen ? this.#composer.focus() : this.#launcher.focus()
  }

  #cover(): void {
    const isCovered = SHEET.matches && !this.#panel.hidden
    for (const element of document.querySelectorAll<HTMLElement>(BEHIND)) element.inert = isCovered
  }

  #markRead(): void {
    const isSeen = !this.#panel.hidden && document.visibilityState === 'visible'
    if (isSeen && this.#unread > 0) this.#chat?.markRead().catch(this.showProblem)
  }

  #signOut(unsent: Unsent): void {
    this.#chat?.logout({ unsent }).catch((error: unknown) => {
      if (isHoldfastError(error, 'OUTBOX_UNSENT')) this.#leaving.ask(true)
      else this.showProblem(error)
    })
  }

  #forget(): void {
    this.#composer.clear()
    this.#list.forget()
    this.#leaving.hide()
    this.#problem.hide()
  }

  /** Two begin anew, in a session that still stands or in another one; who has signed out comes as somebody new. */
  #act(action: BannerAction): void {
    switch (action) {
      case 'start-new':
      case 'start-again':
        this.#chat?.startNew().then(() => this.#composer.focus(), this.showProblem)
        return
      case 'come-back':
        location.reload()
    }
  }
}

function headButton(label: string, path: string, name: string, run: () => void): HTMLElement {
  const props = { class: `head-button ${name}`, type: 'button', 'aria-label': label, title: label, onclick: run }
  return h('button', props, icon(path))
}

/** Storage may be blocked; then the panel starts closed, which is all that is lost. */
function recall(): boolean {
  try {
    return sessionStorage.getItem(OPEN_KEY) === 'yes'
  } catch {
    return false
  }
}

function remember(isOpen: boolean): void {
  try {
    sessionStorage.setItem(OPEN_KEY, isOpen ? 'yes' : 'no')
  } catch {
    // See recall.
  }
}
