// What a visitor and an agent do in a simulated world, at times and in an order that nobody planned.
// It tells the auditor what was asked and what was answered, and judges nothing.

import { isHoldfastError } from '../core/errors.ts'
import type { Message, OutboundMessage, Outcome, Snapshot } from '../core/wire.ts'
import { isOpen } from '../server/session.ts'
import type { Auditor } from './audit.ts'
import { REFUSED_TEXT } from './sim-http.ts'
import type { SimBrowser } from './sim-browser.ts'
import type { SimService } from './sim-service.ts'
import { simUpload } from './sim-files.ts'
import { SimTab, type TabEvents } from './sim-tab.ts'
import { SECRET_MARK } from './sim-tokens.ts'

export interface Habits {
  readonly tabsMax: number
  /** Mean time between two things the visitor does. */
  readonly paceMs: number
  readonly agentMs: number
  readonly logouts: boolean
  readonly closings: boolean
  /** The share of messages with files. */
  readonly files: number
  readonly signIns: boolean
  /** An agent has read what they answer. */
  readonly marks: boolean
}

/** So often a message is sent under one key while nobody answers. */
const TRIES_MAX = 3
/** Of the files of a message. */
const FILE_BYTES_MAX = 800_000
const PAGE_ROWS = 20
const NAMES = ['cart', 'page', 'plan', 'locale']

export class Visitor implements TabEvents {
  readonly #browser: SimBrowser
  readonly #service: SimService
  readonly #audit: Auditor
  readonly #habits: Habits
  /** From now on the visitor only mends what is left to a visitor. */
  isContent = false
  #count = 0
  /** Who each identity has signed in as. */
  readonly #users = new Map<string, string>()

  constructor(browser: SimBrowser, service: SimService, audit: Auditor, habits: Habits) {
    this.#browser = browser
    this.#service = service
    this.#audit = audit
    this.#habits = habits
  }

  openTab(): SimTab {
    this.#count += 1
    const tab = new SimTab(this.#browser, `t${this.#count}`, this)
    this.#browser.world.note(`tab ${tab.id} opens`)
    tab.pull()
    return tab
  }

  settled(key: string, outcome: Outcome): void {
    this.#audit.settled(key, outcome)
  }

  /** A short moment that matters: the answer to a refresh may come when nobody is signed in any more. */
  sees(tab: SimTab, snapshot: Snapshot): void {
    this.#audit.sees(tab, snapshot)
    const isTempting = this.#habits.logouts && snapshot.lease.status === 'refreshing' && !this.isContent
    if (isTempting && this.#browser.world.dice.chance(0.2)) this.#logout(tab)
  }

  /** One thing, in one of the tabs that are there and awake. */
  act(): void {
    const { dice } = this.#browser.world
    if (this.#habits.signIns && dice.chance(0.06)) return this.#signIn()
    const awake = this.#browser.tabs.filter((tab) => !tab.isFrozen)
    if (awake.length === 0 || (awake.length < this.#habits.tabsMax && dice.chance(0.15))) return void this.openTab()
    const tab = dice.pick(awake)
    if (tab.snapshot === undefined) return tab.pull()
    const draw = dice.draw()
    if (tab.snapshot.phase === 'signed-out') return this.#reload(tab)
    if (tab.snapshot.phase === 'ended' && draw < 0.5) return this.startNew(tab)
    if (draw < 0.55) return this.#sendSome(tab)
    if (draw < 0.7) return this.#setContext(tab)
    if (draw < 0.75) return this.#browser.tabs.length > 1 ? this.#closeTab(tab) : undefined
    if (draw < 0.8) return this.#meddle(tab)
    if (draw < 0.84) return this.#quietly(tab.run({ type: 'mark-read' }))
    if (draw < 0.88)
      return this.#quietly(tab.run({ type: 'history', limit: 20 }).then((rows) => this.#audit.history(rows)))
    if (draw < 0.91) return this.#quietly(tab.run({ type: 'diagnose' }).then((report) => this.#browser.emitted(report)))
    if (draw < 0.94) return this.#quietly(tab.run({ type: 'typing', on: true }))
    if (draw < 0.97) return tab.nudge(true)
    return this.#habits.logouts ? this.#logout(tab) : undefined
  }

  #quietly(work: Promise<unknown>): void {
    work.catch(() => {})
  }

  #reload(tab: SimTab): void {
    tab.close(true)
    this.openTab()
  }

  #closeTab(tab: SimTab): void {
    this.#browser.world.note(`tab ${tab.id} closes`)
    tab.close(this.#browser.world.dice.chance(0.6))
  }

  #sendSome(tab: SimTab): void {
    const { dice } = this.#browser.world
    const count = dice.chance(0.1) ? dice.whole(2, 25) : 1
    for (let index = 0; index < count; index++) this.#send(tab)
  }

  #send(tab: SimTab): void {
    const { dice } = this.#browser.world
    const key = dice.key(this.#browser.clock())
    const text = `${this.#audit.textOf(key)}${dice.chance(0.03) ? ` ${REFUSED_TEXT}` : ''}`
    const count = dice.chance(this.#habits.files) ? dice.whole(1, 2) : 0
    const files = Array.from({ length: count }, (_, at) => simUpload(`${key}-${at}`, dice.whole(1, FILE_BYTES_MAX)))
    const message = { key, text, ...(count > 0 && { attachments: files }) }
    this.#audit.sending(message, tab)
    this.#enqueue(tab, message, TRIES_MAX)
  }

  /** The answer may be lost: then it is asked again with the same key, a few times. */
  #enqueue(tab: SimTab, message: OutboundMessage, tries: number): void {
    const { epoch } = tab
    const { key } = message
    tab.run({ type: 'enqueue', messages: [message] }).then(
      ([said]) => {
        if (said === undefined || 'error' in said) {
          // A try before this one may have been accepted, its answer lost.
          if (tries === TRIES_MAX) this.#audit.refused(key)
          return
        }
        this.#audit.accepted(key, said.seq, tab)
        tab.unsettled.add(key)
        tab.pull()
      },
      (error: unknown) => {
        if (isHoldfastError(error, 'EPOCH_CHANGED')) return tab.pull()
        const isAgain = tries > 1 && this.#browser.world.dice.chance(0.5)
        // Another identity by now must not send what it did not write.
        const again = () => tab.epoch === epoch && this.#enqueue(tab, message, tries - 1)
        if (isAgain) tab.after(500, again)
      },
    )
  }

  #setContext(tab: SimTab): void {
    const { dice } = this.#browser.world
    const name = dice.pick(NAMES)
    const value = dice.chance(0.2) ? null : `v${dice.whole(1, 1_000_000)}`
    const wish = this.#audit.setting(name, value, tab.epoch)
    tab.run({ type: 'set-context', key: dice.key(this.#browser.clock()), delta: { [name]: value } }).then(
      () => this.#audit.isSet(wish),
      () => tab.pull(),
    )
  }

  /** Cancels, retries or edits something in the outbox. */
  #meddle(tab: SimTab): void {
    const { dice } = this.#browser.world
    const { epoch } = tab
    const work = tab.run({ type: 'list-outbox' }).then(async (items) => {
      this.#audit.listed(items)
      if (items.length === 0 || tab.epoch !== epoch) return
      const item = dice.pick(items)
      if (dice.chance(0.4)) return void (await this.retry(tab, item.key))
      this.#audit.cancelling(item.key)
      if (dice.chance(0.5)) {
        await tab.run({ type: 'cancel', key: item.key })
        return this.#audit.cancelled(item.key)
      }
      const key = dice.key(this.#browser.clock())
      const text = this.#audit.textOf(key)
      this.#audit.sending({ key, text }, tab)
      const { seq } = await tab.run({ type: 'edit', key: item.key, message: { key, text } })
      this.#audit.cancelled(item.key)
      this.#audit.accepted(key, seq, tab)
    })
    this.#quietly(work)
  }

  async retry(tab: SimTab, key: string): Promise<void> {
    this.#audit.retrying(key)
    await tab.run({ type: 'retry', key })
  }

  startNew(tab: SimTab): void {
    const { dice } = this.#browser.world
    this.#quietly(tab.run({ type: 'start-new', key: dice.key(this.#browser.clock()) }).then(() => tab.pull()))
  }

  /** What is left to the visitor's decision: a new conversation after one has ended, a new visit after a logout. */
  mend(tab: SimTab): boolean {
    const { phase } = tab.snapshot ?? {}
    // A lease ends by itself only where the session has.
    const isExpired = phase === 'auth-required' && this.#audit.excusedSessions === Number.POSITIVE_INFINITY
    if (phase === 'ended' || isExpired) this.startNew(tab)
    if (phase === 'signed-out') this.#reload(tab)
    return phase === 'ended' || isExpired || phase === 'signed-out'
  }

  /** Sends again what was set aside, or discards what will never be taken. */
  clearOutbox(): void {
    const [tab] = this.#browser.tabs
    if (tab === undefined) return
    const work = tab.run({ type: 'list-outbox' }).then(async (items) => {
      for (const { key, text } of items) {
        this.#browser.world.note(`clears ${text}`)
        if (!text.includes(REFUSED_TEXT)) await this.retry(tab, key).catch(() => {})
        else {
          this.#audit.cancelling(key)
          await tab.run({ type: 'cancel', key }).catch(() => {})
        }
      }
    })
    this.#quietly(work)
  }

  /** Pages back through everything that was said, as far as anybody has it. */
  async readAll(tab: SimTab): Promise<readonly Message[]> {
    const all: Message[] = []
    for (;;) {
      const before = all[0]?.seq
      const page = await tab.run({ type: 'history', limit: PAGE_ROWS, ...(before !== undefined && { before }) })
      if (page.length === 0) return all
      all.unshift(...page)
    }
  }

  /** As the user that this identity is of, or as another one, who must meet nothing of it. */
  #signIn(): void {
    const { dice } = this.#browser.world
    const tab = this.#browser.tabs.find(({ isFrozen, snapshot }) => !isFrozen && snapshot?.session)
    if (tab === undefined || tab.snapshot?.phase === 'signed-out') return
    const { epoch } = tab
    const former = this.#users.get(epoch)
    const isKnown = former !== undefined || tab.snapshot?.session?.authenticated === true
    const user = former !== undefined && dice.chance(0.4) ? former : `user-${dice.hex(8)}`
    if (!isKnown) this.#users.set(epoch, user)
    this.#browser.world.note(`tab ${tab.id} signs in as ${user}`)
    // Whether another user has begun is known to nobody when the answer is lost.
    this.#audit.excusedSessions += 1
    const switching = isKnown && user !== former ? this.#audit.loggingOut(tab, 'discard') : undefined
    const token = `${SECRET_MARK}${user}`
    const isSwitched = () => this.#service.sessions.get(switching?.sessionId ?? '')?.userId !== token
    this.#quietly(
      tab
        .run({ type: 'authenticate', token })
        .then(() => switching && isSwitched() && this.#audit.loggedOut(switching))
        .finally(() => tab.pull()),
    )
  }

  #logout(tab: SimTab): void {
    const unsent = this.#browser.world.dice.pick(['send', 'discard', 'refuse'] as const)
    this.#browser.world.note(`tab ${tab.id} logs out (${unsent})`)
    const logout = this.#audit.loggingOut(tab, unsent)
    const key = `logout ${this.#audit.logouts.length}`
    this.#quietly(
      tab.run({ type: 'logout', unsent, key }).then(() => {
        this.#audit.loggedOut(logout)
        tab.pull()
      }),
    )
  }

  /** The agent speaks, or does what agents do, in one of the open conversations. */
  agentActs(): void {
    const { dice } = this.#browser.world
    const open = [...this.#service.conversations.values()].filter(({ state }) => isOpen(state))
    if (open.length === 0) return
    const conversation = dice.pick(open)
    const draw = dice.draw()
    if (draw < 0.75) return this.agentSays(conversation.id)
    if (draw < 0.95) {
      const attributes = { [`agent_${dice.pick(NAMES)}`]: `a${dice.whole(1, 1000)}` }
      return void this.#service.patch(conversation, { attributes, routing: {} })
    }
    if (this.#habits.closings) this.#service.change(conversation, dice.chance(0.7) ? 'close' : 'idle')
  }

  agentSays(conversationId: string): void {
    const conversation = this.#service.conversations.get(conversationId)
    const id = this.#service.id('said')
    if (conversation === undefined) return
    const read = conversation.log.length
    if (this.#habits.marks) this.#service.mark(conversation, 'agent', { delivered: read, read })
    const said = { role: 'agent', participantId: 'agent', text: `agent ${id}`, key: id, hash: id } as const
    this.#service.post(conversation, said)
  }
}
