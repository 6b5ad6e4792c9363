// The "make it suffer" panel: instruments above, faults below, the timeline at the end. On small screens a drawer.

import type { Chat, State } from 'holdfast'
import { byId, h, ICONS, icon, setText } from '../dom.ts'
import { FAULTS, type Fault, type FaultState, isActive, NO_FAULTS, readFaults, setFault } from './faults.ts'
import { makeLive } from './live.ts'
import { makeTimeline } from './timeline.ts'

export interface SufferPanel {
  connect(chat: Chat): void
  render(state: State): void
  toggle(): void
}

/** Other tabs of this browser show the same switches. */
const CHANNEL = 'leeward:faults'
/** While something is armed, only the server knows when it has happened. */
const ARMED_POLL_MS = 1000

export function makeSufferPanel(): SufferPanel {
  const live = makeLive()
  const timeline = makeTimeline()
  const faults = makeFaults((text) => timeline.add({ tone: 'bad', text }))
  const drawer = makeDrawer()
  byId('suffer').append(
    h(
      'header',
      { class: 'suffer-head' },
      h('h2', {}, 'Make it suffer'),
      h('a', { href: '/', target: '_blank', rel: 'opener' }, 'Second tab'),
      h('a', { href: '/agent', target: '_blank', rel: 'opener' }, 'Agent'),
      drawer.close,
    ),
    h(
      'div',
      { class: 'suffer-scroll', tabindex: '0', role: 'region', 'aria-label': 'Instruments and faults' },
      live.element,
      faults,
      timeline.element,
    ),
  )
  return {
    connect(chat) {
      live.connect(chat)
      chat.on('problem', ({ code, message }) => timeline.add({ tone: 'bad', text: `Problem: ${code}. ${message}` }))
    },
    render(state) {
      live.render(state)
      timeline.follow(state)
    },
    toggle: drawer.toggle,
  }
}

function makeFaults(tell: (text: string) => void): HTMLElement {
  const channel = new BroadcastChannel(CHANNEL)
  const rows = FAULTS.map((fault) => makeRow(fault, press))
  let state: FaultState = NO_FAULTS
  let timer: ReturnType<typeof setTimeout> | undefined
  /** Begun so far, and not yet answered. */
  let presses = 0
  let pressing = 0

  function show(next: FaultState): void {
    state = next
    for (const row of rows) row.show(isActive(next, row.id), next.unfelt?.includes(row.id) === true)
    clearTimeout(timer)
    if (next.cutAnswers > 0 || next.halfOpen > 0) timer = setTimeout(() => void refresh(), ARMED_POLL_MS)
  }

  /** What was asked before a press, or beside it, may be from before: the press is answered with what holds since. */
  async function refresh(): Promise<void> {
    if (pressing > 0) return
    const before = presses
    // The demo itself may be restarted just now; the next press asks again.
    const next = await readFaults().catch(() => NO_FAULTS)
    if (before === presses) show(next)
  }

  async function press(fault: Fault): Promise<void> {
    const on = !isActive(state, fault.id)
    tell(on ? `You: ${fault.name.toLowerCase()}` : `You: ${fault.release?.toLowerCase()}`)
    presses += 1
    pressing += 1
    try {
      show(await setFault(fault.id, on))
      channel.postMessage(null)
    } catch (error) {
      tell(error instanceof Error ? error.message : 'That did not work.')
    } finally {
      pressing -= 1
    }
  }

  channel.addEventListener('message', () => void refresh())
  void refresh()
  return h('ul', { class: 'faults', 'aria-label': 'Faults' }, ...rows.map(({ element }) => element))
}

function makeRow(
  fault: Fault,
  press: (fault: Fault) => Promise<void>,
): { id: Fault['id']; element: HTMLElement; show(isOn: boolean, isUnfelt: boolean): void } {
  const note = `about-${fault.id}`
  const button = h('button', { type: 'button', 'aria-describedby': note }, fault.name)
  button.addEventListener('click', () => {
    button.classList.add('pressed')
    void press(fault).finally(() => button.classList.remove('pressed'))
  })
  const about = h('p', { id: note }, fault.does, ' ', h('em', {}, 'watch:'), ` ${fault.watch}`)
  const element = h('li', { class: 'fault' }, button, about)
  return {
    id: fault.id,
    element,
    show(isOn, isUnfelt) {
      if (isUnfelt && !button.disabled)
        about.replaceChildren('A guest’s token on this platform lives as long as its session.')
      button.disabled = isUnfelt
      element.classList.toggle('on', isOn)
      setText(button, isOn ? (fault.release ?? fault.name) : fault.name)
    },
  }
}

function makeDrawer(): { readonly close: HTMLElement; toggle(): void } {
  const panel = byId('suffer')
  const opener = byId<HTMLButtonElement>('suffer-toggle')
  const close = h(
    'button',
    { class: 'head-button suffer-close', type: 'button', 'aria-label': 'Close the panel' },
    icon(ICONS.close),
  )
  let returnTo: HTMLElement | null = null

  function set(isOpen: boolean): void {
    panel.classList.toggle('open', isOpen)
    opener.setAttribute('aria-expanded', String(isOpen))
    if (isOpen) {
      returnTo = document.activeElement instanceof HTMLElement ? document.activeElement : opener
      close.focus()
    } else returnTo?.focus()
  }
  const toggle = (): void => set(!panel.classList.contains('open'))

  opener.addEventListener('click', toggle)
  close.addEventListener('click', () => set(false))
  panel.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && panel.classList.contains('open')) set(false)
  })
  return { close, toggle }
}
