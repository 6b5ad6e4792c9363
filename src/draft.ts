// What is being written: one text per tab, identity and conversation, in sessionStorage, which a reload keeps. It is sealed
// with a key that is made from the identity's random name: what a browser leaves of it on its disk, nobody can read once a
// logout has removed that name.
// Leaves to others: which conversation that is, and when a visitor is signed out.

import type { Notice } from '../core/wire.ts'
import type { Browser } from './browser.ts'
import { demand } from './content.ts'

/** Identity, empty for who has signed out, and conversation, empty while there is none. */
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
  #texts: { [conversationId: string]: unknown } = {}
  /** The texts as they are stored. */
  #box: readonly number[] = []
  /** Which change of the texts it was: a box that is late is not stored. */
  #count = 0
  /** Whose draft we found, if nobody had let go of it: that page may live, and this tab be a copy of its tab. */
  #asked = ''
  #disown = () => {}

  constructor(browser: Browser, desk: Desk) {
    this.#browser = browser
    this.#desk = desk
    this.#item = `holdfast:draft:${desk.deployment}`
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
    const id = this.#desk.place()[1]
    // Begun before there was a conversation, it belongs to the first.
    const text = this.#texts[id] ?? this.#texts['']
    return typeof text === 'string' ? text : ''
  }

  set text(text: string) {
    demand(typeof text === 'string', 'A draft must be a string.')
    delete this.#texts['']
    this.#texts[this.#desk.place()[1]] = text
    void this.#seal(++this.#count)
  }

  /** Nothing stays of what a former visitor wrote. */
  clear(): void {
    this.#count += 1
    this.#texts = {}
    this.#box = []
    this.#keep()
  }

  /** Reads what was found, once it is known who the visitor is: of somebody else it cannot be read, and is removed. */
  async open(): Promise<void> {
    const count = this.#count
    if (this.#box[0] === undefined) return
    const more = await import('./more.ts').catch(() => undefined)
    const texts = await more?.unseal(this.#desk.place()[0], this.#box).catch(() => undefined)
    // Where the file cannot be had, as without a network, it stays for the next page.
    if (!more || count !== this.#count) return
    this.#texts = Object(texts)
    if (!texts) this.clear()
  }

  hear({ type, tab }: Notice & { readonly tab?: string }): void {
    if (type === 'is-drafting' && tab === this.#desk.tab) this.#desk.publish({ v: 1, type: 'drafting', tab })
    if (type === 'drafting' && tab === this.#asked) this.#disown()
  }

  /** The page goes away: the next one in this tab takes the draft without asking. Another chat of this page may have one. */
  release(): void {
    if (this.#box[0] !== undefined) this.#keep('')
  }

  /** From the back/forward cache: another page of this tab may have written meanwhile. */
  resume(): void {
    this.#load()
    void this.open()
  }

  /** Takes what is stored. Says whose it is, if nobody has let go of it. */
  #load(): string {
    try {
      const { tab, box } = Object(JSON.parse(this.#browser.storage().getItem(this.#item) as string))
      this.#box = box ?? this.#box
      if (box?.length) {
        this.#keep()
        return tab
      }
      if (box) this.#texts = {}
    } catch {
      // Blocked, or not ours: we begin without drafts.
    }
    return ''
  }

  async #seal(count: number): Promise<void> {
    const isAny = Object.values(this.#texts).some(Boolean)
    // Where nothing can be sealed, for want of a secure context, the draft lives as long as the page.
    const box = await import('./more.ts')
      .then(({ seal }) => (isAny ? seal(this.#desk.place()[0], this.#texts) : []))
      .catch(() => [])
    if (count !== this.#count) return
    this.#box = box
    this.#keep()
  }

  #keep(tab = this.#desk.tab): void {
    try {
      this.#browser.storage().setItem(this.#item, JSON.stringify({ tab, box: this.#box }))
    } catch {
      // Blocked or full: the draft lives as long as the page.
    }
  }
}
