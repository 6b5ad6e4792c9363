// The judge of a simulated world. It sees from outside what was asked, answered, shown, stored and served, keeps its own
// record of it, and says what must not have been. It knows nothing of the machines. What goes over the network is judged
// in audit-traffic.ts, the end of a run in audit-end.ts.

import { isEntry } from '../core/outbox.ts'
import type { Writes } from '../core/ports.ts'
import { isSlots } from '../core/state.ts'
import { isRow } from '../core/transcript.ts'
import type { DeliveryStatus, Message, OutboundMessage, Outcome, OutboxItem, Snapshot } from '../core/wire.ts'
import { IdentityAuditor } from './audit-identity.ts'
import type { SimBrowser } from './sim-browser.ts'
import type { SimTab, TabEvents } from './sim-tab.ts'
import { SECRET_MARK } from './sim-tokens.ts'

/** One message as the visitor wrote it, and what became of it as far as anybody was told. */
export interface Sent {
  readonly key: string
  readonly text: string
  readonly epoch: string
  readonly calledAt: number
  readonly files: readonly string[]
  acceptedAt?: number
  seq?: number
  /** The open conversation in which it was written, where that is beyond doubt. */
  conversationId?: string
  isRefused?: true
  isRetried?: true
  isCancelling?: true
  isCancelled?: true
}

export interface Wish {
  readonly name: string
  readonly value: string | null
  readonly epoch: string
  readonly calledAt: number
  answeredAt?: number
}

interface Logout {
  readonly epoch: string
  readonly unsent: 'send' | 'discard' | 'refuse'
  readonly sessionId: string | undefined
}

const RANKS: readonly DeliveryStatus[] = ['acked', 'delivered', 'read']

export class Auditor extends IdentityAuditor implements TabEvents {
  readonly sent = new Map<string, Sent>()
  readonly wishes: Wish[] = []
  readonly logouts: Logout[] = []
  browser!: SimBrowser
  committedAt = 0
  /** Sessions that there was a reason to begin, beside the first and one for each logout. */
  excusedSessions = 0
  #verified = { conversationId: '', seq: 0 }
  #texts = 0
  #judged = ''
  /** How far each message has come, as each tab has shown it. */
  readonly #ranks = new Map<string, number>()

  circumstances(): readonly string[] {
    const { lives, disk, skewMs, isPageHost } = this.browser
    const lease = disk.slots?.lease
    const isLate = lease?.status === 'held' && lease.grant.expiresAt < this.browser.clock()
    return [
      ...(lives.length > 1 ? [isPageHost ? 'while several pages ran an engine' : 'while two workers lived'] : []),
      ...(isLate ? ['after the token had run out'] : []),
      ...(skewMs !== 0 ? ['with a clock that is off'] : []),
    ]
  }

  // What the visitor does.

  textOf(_key: string): string {
    this.#texts += 1
    return `text ${this.#texts}`
  }

  sending({ key, text, attachments = [] }: OutboundMessage, { epoch, id }: SimTab): void {
    this.world.note(`tab ${id} sends ${text} ${key}${attachments.map(({ size }) => ` with ${size} bytes`).join('')}`)
    this.sent.set(key, { key, text, epoch, calledAt: this.world.now, files: attachments.map(({ name }) => name) })
  }

  accepted(key: string, seq: number, tab: SimTab): void {
    const sent = this.sent.get(key)
    if (sent === undefined || sent.acceptedAt !== undefined) return
    this.world.note(`accepted ${sent.text} as ${seq}`)
    sent.acceptedAt = this.world.now
    // A repeat of what was sent meanwhile is answered with its place in the conversation, which is another count.
    const isServed = [...this.service.conversations.values()].some(({ log }) =>
      log.some((message) => message.key === key),
    )
    if (!isServed) sent.seq = seq
    const present = tab.snapshot?.conversation
    const isBeyondDoubt =
      present && tab.epoch === sent.epoch && this.service.conversations.get(present.id)?.state === 'active'
    if (isBeyondDoubt) sent.conversationId = present.id
  }

  /** Not accepted: it must never be seen by anybody. */
  refused(key: string): void {
    const sent = this.sent.get(key)
    if (sent) sent.isRefused = true
  }

  setting(name: string, value: string | null, epoch: string): Wish {
    const wish: Wish = { name, value, epoch, calledAt: this.world.now }
    this.wishes.push(wish)
    this.world.note(`sets ${name}=${value}`)
    return wish
  }

  isSet(wish: Wish): void {
    wish.answeredAt = this.world.now
  }

  retrying(key: string): void {
    this.#mark(key, 'isRetried')
  }

  cancelling(key: string): void {
    this.#mark(key, 'isCancelling')
  }

  cancelled(key: string): void {
    this.#mark(key, 'isCancelled')
  }

  #mark(key: string, flag: 'isRetried' | 'isCancelling' | 'isCancelled'): void {
    const sent = this.sent.get(key)
    if (sent) sent[flag] = true
  }

  loggingOut(tab: SimTab, unsent: Logout['unsent']): Logout {
    this.forgetWishes()
    const logout = { epoch: tab.epoch, unsent, sessionId: tab.snapshot?.session?.id }
    this.logouts.push(logout)
    return logout
  }

  loggedOut({ sessionId }: Logout): void {
    this.forgetWishes()
    if (sessionId !== undefined) this.ended(sessionId)
  }

  // What tabs and sites are shown.

  emitted(what: unknown): void {
    const text = JSON.stringify(what)
    if (text.includes(SECRET_MARK)) this.finding(`secret: emitted ${text.slice(0, 200)}`)
  }

  listed(items: readonly OutboxItem[]): void {
    this.emitted(items)
  }

  history(messages: readonly Message[]): void {
    this.emitted(messages)
    let before: Message | undefined
    for (const message of messages) {
      const { conversationId, seq = 0, afterGap = false } = message
      const isNext = before?.conversationId !== conversationId || seq === (before?.seq ?? 0) + 1
      if (!isNext && !afterGap) this.finding(`history: a page of it hides a gap before ${seq}`)
      before = message
    }
  }

  settled(key: string, outcome: Outcome): void {
    const sent = this.sent.get(key)
    if (sent === undefined) return
    if (outcome.status === 'acked' && !this.#isServed(key, outcome.messageId)) {
      this.finding(`acked: ${sent.text} was reported as acknowledged, and the service does not have it`)
    }
    // What was acknowledged long ago made way on the disk.
    const isGone = sent.isCancelling || this.logouts.some(({ epoch }) => epoch === sent.epoch) || this.#isEvicted(key)
    if (outcome.status === 'cancelled' && !isGone) {
      this.finding(`forgotten: ${sent.text} was accepted, and is reported as unknown`)
    }
  }

  #isEvicted(key: string): boolean {
    return [...this.service.conversations.values()].some(({ id, log }) =>
      log.some((message) => message.key === key && this.disk.evicted.has(`${id}#${message.seq}`)),
    )
  }

  #isServed(key: string, messageId: string): boolean {
    for (const { log } of this.service.conversations.values()) {
      if (log.some((message) => message.key === key && message.id === messageId)) return true
    }
    return false
  }

  sees(tab: SimTab, snapshot: Snapshot): void {
    const { conversation, messages, epoch } = snapshot
    // What several tabs are shown of one revision is the same picture: it is looked at once.
    const picture = `${epoch} ${snapshot.rev} ${snapshot.phase} ${messages.length}`
    if (picture === this.#judged) return
    this.#judged = picture
    this.emitted(snapshot)
    this.judgeShown(tab.id, snapshot)
    if (snapshot.phase === 'signed-out' && snapshot.lease.status !== 'none') {
      this.finding(`former: tab ${tab.id} is signed out, and a token is still ${snapshot.lease.status}`)
    }
    const log = this.service.conversations.get(conversation?.id ?? '')?.log ?? []
    const keys = new Set<string>()
    let before = 0
    let lastOwn = 0
    for (const { key, id, seq, text, status, afterGap } of messages) {
      const sent = this.sent.get(key ?? '')
      if (key !== undefined && keys.has(key)) this.finding(`twice: tab ${tab.id} shows ${text} twice`)
      if (key !== undefined) keys.add(key)
      if (sent !== undefined && sent.epoch !== epoch)
        this.finding(`identity: tab ${tab.id} shows ${text} to another identity`)
      if (sent?.isRefused) this.finding(`refused: tab ${tab.id} shows ${text}, which was not accepted`)
      if (seq === undefined) {
        if (status === 'acked') this.finding(`acked: tab ${tab.id} shows ${text} as acknowledged without a place`)
        const own = sent?.seq ?? 0
        if (own > 0 && !sent?.isRetried && own < lastOwn)
          this.finding(`order: tab ${tab.id} shows ${text} out of order`)
        if (!sent?.isRetried) lastOwn = Math.max(lastOwn, own)
        continue
      }
      const served = log[seq - 1]
      if (served?.id !== id || served?.text !== text) {
        this.finding(`invented: tab ${tab.id} shows ${text} at ${seq}, where the service has ${served?.text}`)
      }
      if (seq <= before) this.finding(`order: tab ${tab.id} shows ${text} at ${seq} behind ${before}`)
      if (before > 0 && seq > before + 1 !== (afterGap === true))
        this.finding(`gap: tab ${tab.id} hides or invents a gap before ${seq}`)
      before = seq
      this.#judgeStatus(tab.id, id ?? '', status)
    }
  }

  /** What was read once is not unread again, unless what told of it was lost with the power. */
  #judgeStatus(tab: string, id: string, status: DeliveryStatus): void {
    const name = `${tab} ${id}`
    const [rank, known] = [RANKS.indexOf(status), this.#ranks.get(name) ?? 0]
    if (rank < known && !this.hasLostPower) this.finding(`marks: tab ${tab} shows ${id} as ${status} again`)
    this.#ranks.set(name, rank)
  }

  // What is stored.

  committed({ slots, wipe, putEntries, putRows }: Writes): void {
    this.committedAt = this.world.now
    this.judgeStored()
    if (!isSlots(slots) || !putEntries.every(isEntry) || !putRows.every(isRow))
      this.finding('record: what is stored would not be read again')
    const { conversationId, cursor } = slots.transcript
    if (wipe || conversationId !== this.#verified.conversationId || cursor.seq < this.#verified.seq) {
      this.#verified = { conversationId, seq: 0 }
    }
    for (let seq = this.#verified.seq + 1; seq <= cursor.seq; seq++) {
      const name = `${conversationId}#${seq}`
      if (!this.disk.rows.has(name) && !this.disk.evicted.has(name))
        this.finding(`cursor: it is at ${cursor.seq}, and ${seq} is not stored`)
    }
    this.#verified = { conversationId, seq: cursor.seq }
    const sizes: { [lane: string]: number } = {}
    const held = { dead: 0, stale: 0 }
    for (const entry of this.disk.entries.values()) {
      if (entry.live !== undefined) sizes[entry.live] = (sizes[entry.live] ?? 0) + 1
      if (entry.held !== undefined) held[entry.held.status] += 1
    }
    const lanes = Object.entries(slots.outbox.lanes)
    const isCounted = lanes.every(([lane, { size }]) => size === (sizes[lane] ?? 0))
    if (!isCounted || held.dead !== slots.outbox.dead || held.stale !== slots.outbox.stale) {
      this.finding('count: the counters of the outbox differ from its entries')
    }
  }
}
