// What is being written: one text per tab, identity and conversation, in sessionStorage, which a reload keeps.
// Leaves to others: which conversation that is, and when a visitor is signed out.

import type { Notice } from '../core/wire.ts'
import type { Browser } from './browser.ts'
import { demand } from './content.ts'

/** Identity and conversation, the latter empty while there is none. */
export type Place = readonly [epoch: string, conversationId: string]

/** The tab that was there before, if it is, has answered by then. It is asked only after a copy or a crash. */
export const ANSWER_MS = 300

export interface Desk {
  readonly deployment: string
  readonly tab: string
  place(): Place
  publish(notice: Notice): void
}

export class Draft {
  /** Resolves when it is known whose the draft is that this tab has found. */
  readonly ready: Promise<void>
  #browser: Browser
  #desk: Desk
  #item: string
  #texts: { [place: string]: unknown } = {}
  /** Whose draft we found, if nobody had let go of it: that page may live, and this tab be a copy of its tab. */
  #asked = ''
  #disown = () => {}
  #offs: readonly (() => void)[]

  constructor(browser: Browser, desk: Desk) {
    this.#browser = browser
    this.#desk = desk
    this.#item = `holdfast:draft:${desk.deployment}`
    this.#offs = [
      browser.listen('pagehide', () => this.#letGo()),
      browser.listen('pageshow', (event) => {
        // From the back/forward cache: another page of this tab may have written meanwhile.
        if ((event as PageTransitionEvent).persisted) this.#load()
      }),
    ]
    const owner = this.#load()
    this.ready = new Promise((resolve) => {
      // `window.open` and "duplicate tab" copy what is stored for a tab. A page that goes away lets go of it before.
      if (!owner) return resolve()
      this.#disown = () => {
        this.clear()
        resolve()
      }
      this.#asked = owner
      desk.publish({ v: 1, type: 'is-drafting', tab: owner })
      browser.after(ANSWER_MS, resolve)
    })
  }

  get text(): string {
    const [epoch, conversationId] = this.#desk.place()
    // Begun before there was a conversation, it belongs to the first.
    const text = this.#texts[`${epoch}/${conversationId}`] ?? this.#texts[`${epoch}/`]
    return typeof text === 'string' ? text : ''
  }

  set text(text: string) {
    demand(typeof text === 'string', 'A draft must be a string.')
    const [epoch, conversationId] = this.#desk.place()
    delete this.#texts[`${epoch}/`]
    this.#texts[`${epoch}/${conversationId}`] = text
    this.#keep()
  }

  /** @param epoch whose drafts stay: what a former visitor left in a tab that slept or was killed is removed */
  clear(epoch?: string): void {
    // Without one nothing begins with it.
    for (const place in this.#texts) if (!place.startsWith(epoch as string)) delete this.#texts[place]
    this.#keep()
  }

  hear({ type, tab }: Notice & { readonly tab?: string }): void {
    if (type === 'is-drafting' && tab === this.#desk.tab) this.#desk.publish({ v: 1, type: 'drafting', tab })
    if (type === 'drafting' && tab === this.#asked) this.#disown()
  }

  /** The tab lets go: the next page in it takes the draft without asking. */
  release(): void {
    for (const off of this.#offs) off()
    this.#letGo()
  }

  /** Another chat of this page may have a draft, where we have none. */
  #letGo(): void {
    if (this.#hasAny()) this.#keep('')
  }

  #hasAny = () => Object.values(this.#texts).some(Boolean)

  /** Takes what is stored. Says whose it is, if nobody has let go of it. */
  #load(): string {
    try {
      const { tab, texts } = Object(JSON.parse(this.#browser.storage().getItem(this.#item) as string))
      this.#texts = Object(texts)
      if (this.#hasAny()) {
        this.#keep()
        return tab
      }
    } catch {
      // Blocked, or not ours: we begin without drafts.
    }
    return ''
  }

  #keep(tab = this.#desk.tab): void {
    try {
      this.#browser.storage().setItem(this.#item, JSON.stringify({ tab, texts: this.#texts }))
    } catch {
      // Blocked or full: the draft lives as long as the page.
    }
  }
}
