// The instruments: state, lease and outbox as they are now. They show the snapshot and nothing they worked out
// themselves, but for the countdown.

import type { Chat, State } from 'holdfast'
import { h, reconcile, setText } from '../dom.ts'

export interface Live {
  readonly element: HTMLElement
  connect(chat: Chat): void
  render(state: State): void
}

const ENTRIES_SHOWN_MAX = 6
const STATUS_WORDS: Readonly<Record<string, string>> = {
  queued: 'waiting',
  inflight: 'sending',
  dead: 'refused',
  stale: 'too old',
  parked: 'parked',
}

export function makeLive(): Live {
  const state = makeStateGauge()
  const lease = makeLeaseGauge()
  const outbox = makeOutboxGauge()
  const element = h('div', { class: 'gauges' }, state.element, lease.element, outbox.element)
  return {
    element,
    connect: outbox.connect,
    render(next) {
      state.render(next)
      lease.render(next.lease)
      outbox.render(next)
    },
  }
}

function makeStateGauge(): { element: HTMLElement; render(state: State): void } {
  const phase = h('p', { class: 'phase' }, 'starting')
  const facts = h('dl', { class: 'facts' })
  const fact = (name: string): HTMLElement => {
    const value = h('dd', {}, '–')
    facts.append(h('div', {}, h('dt', {}, name), value))
    return value
  }
  const host = fact('host')
  const storage = fact('storage')
  const tabs = fact('tabs')
  const online = fact('network')
  const conversation = fact('conversation')
  const epoch = fact('identity')
  return {
    element: h('section', { class: 'gauge', 'aria-label': 'State' }, phase, facts),
    render(state) {
      setText(phase, state.phase)
      phase.dataset['phase'] = state.phase
      setText(host, state.host === 'service-worker' ? 'worker' : 'page')
      setText(storage, state.storage)
      setText(tabs, String(state.tabs))
      setText(online, state.online ? 'up' : 'down')
      setText(
        conversation,
        state.conversation === null ? 'none yet' : `${state.conversation.id.slice(0, 8)} ${state.conversation.state}`,
      )
      setText(epoch, state.epoch.slice(0, 8))
    },
  }
}

const DAY_S = 24 * 60 * 60

/** Minutes and seconds; what takes days is no countdown. */
export function clockOf(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds >= 2 * DAY_S) return `${Math.floor(seconds / DAY_S)} days`
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

function makeLeaseGauge(): { element: HTMLElement; render(lease: State['lease']): void } {
  const status = h('span', {}, 'none')
  const left = h('span', { class: 'countdown' }, '')
  const meter = h('div', { class: 'meter', 'aria-hidden': 'true' }, h('i'))
  const bar = meter.firstElementChild as HTMLElement
  let lease: State['lease'] = { status: 'none' }
  /** The life of this token as far as we have seen it. */
  let wholeMs = 0

  function tick(): void {
    const leftMs = lease.expiresAt === undefined ? 0 : Math.max(0, lease.expiresAt - Date.now())
    setText(left, lease.expiresAt === undefined ? '' : `${clockOf(leftMs)} left`)
    bar.style.width = wholeMs === 0 ? '0' : `${(100 * leftMs) / wholeMs}%`
  }

  setInterval(tick, 1000)
  return {
    element: h(
      'section',
      { class: 'gauge', 'aria-labelledby': 'lease-title' },
      h('h3', { id: 'lease-title' }, 'Lease ', status, left),
      meter,
    ),
    render(next) {
      if (next.expiresAt !== lease.expiresAt) wholeMs = (next.expiresAt ?? 0) - Date.now()
      lease = next
      setText(status, next.status)
      status.dataset['status'] = next.status
      tick()
    },
  }
}

function makeOutboxGauge(): { element: HTMLElement; connect(chat: Chat): void; render(state: State): void } {
  const counts = h('dl', { class: 'counts' })
  const count = (name: string): HTMLElement => {
    const value = h('dd', {}, '0')
    counts.append(h('div', {}, h('dt', {}, name), value))
    return value
  }
  const cells = {
    queued: count('waiting'),
    inflight: count('sending'),
    parked: count('parked'),
    dead: count('refused'),
    stale: count('too old'),
  }
  const entries = h('ul', { class: 'entries' })
  let chat: Chat | undefined
  let shown = ''
  let isWanted = false
  let isListing = false

  /** One at a time: an older answer must not overtake a newer one. */
  async function list(): Promise<void> {
    isWanted = true
    if (isListing || chat === undefined) return
    isListing = true
    while (isWanted) {
      isWanted = false
      // The worker may be away for a moment; the next change of state asks again.
      const items = await chat.outbox.list().catch(() => [])
      showEntries(entries, items)
    }
    isListing = false
  }

  return {
    element: h(
      'section',
      { class: 'gauge', 'aria-labelledby': 'outbox-title' },
      h('h3', { id: 'outbox-title' }, 'Outbox'),
      counts,
      entries,
    ),
    connect(to) {
      chat = to
      void list()
    },
    render({ outbox, messages }) {
      for (const name of ['queued', 'inflight', 'parked', 'dead', 'stale'] as const) {
        setText(cells[name], String(outbox[name] ?? 0))
        cells[name].classList.toggle('filled', !!outbox[name])
      }
      const unsettled = messages.filter(({ role, status }) => role === 'customer' && status !== 'acked')
      const picture = unsettled.map(({ key, status }) => `${key}${status}`).join()
      if (picture !== shown) {
        shown = picture
        void list()
      }
    },
  }
}

function showEntries(entries: HTMLElement, items: Awaited<ReturnType<Chat['outbox']['list']>>): void {
  reconcile(
    entries,
    items.slice(0, ENTRIES_SHOWN_MAX),
    ({ key }) => key,
    () => h('li', {}, h('span', { dir: 'auto' }), h('b')),
    (row, { text, status }) => {
      setText(row.children[0] as Element, text)
      setText(row.children[1] as Element, STATUS_WORDS[status] ?? status)
    },
  )
}
