// What is being written: one text per tab, identity and conversation, in sessionStorage, which a reload keeps.
// Leaves to others: which conversation that is, and when a visitor is signed out.

import type { Browser } from './browser.ts'
import { demand } from './content.ts'

/** Identity and conversation, the latter empty while there is none. */
export type Place = readonly [epoch: string, conversationId: string]

export class Draft {
  #browser: Browser
  #item: string
  #place: () => Place
  #texts: { [place: string]: unknown } = {}

  constructor(browser: Browser, deployment: string, place: () => Place) {
    this.#browser = browser
    this.#item = `holdfast:draft:${deployment}`
    this.#place = place
    try {
      this.#texts = Object(JSON.parse(browser.storage().getItem(this.#item) ?? '{}'))
    } catch {
      // Blocked, or not ours: we begin without drafts.
    }
  }

  get text(): string {
    const [epoch, conversationId] = this.#place()
    // Begun before there was a conversation, it belongs to the first.
    const text = this.#texts[`${epoch}/${conversationId}`] ?? this.#texts[`${epoch}/`]
    return typeof text === 'string' ? text : ''
  }

  set text(text: string) {
    demand(typeof text === 'string', 'A draft must be a string.')
    const [epoch, conversationId] = this.#place()
    delete this.#texts[`${epoch}/`]
    this.#texts[`${epoch}/${conversationId}`] = text
    this.#keep()
  }

  clear(): void {
    this.#texts = {}
    this.#keep()
  }

  #keep(): void {
    try {
      this.#browser.storage().setItem(this.#item, JSON.stringify(this.#texts))
    } catch {
      // Blocked or full: the draft lives as long as the page.
    }
  }
}
