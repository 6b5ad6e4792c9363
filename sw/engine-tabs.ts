// Which tabs are there: those that called, or answered a beat. The beat keeps this incarnation alive through them.
// Only who holds the pump counts; the others, such as the engines of other pages, pass on what their tabs say.
// Time plays no part in who is gone: after a night's sleep every tab was last seen long ago.

import type { Channel, Clock } from '../core/ports.ts'
import type { Caller, Notice } from '../core/wire.ts'

/** A tab that answered none of so many beats is gone. */
const BEATS_MISSED_MAX = 3

export interface Counting {
  readonly incarnation: string
  readonly beatMs: number
  hasPump(): boolean
  /** Tabs have come or gone without a call of theirs. */
  changed(): void
}

export class Tabs {
  readonly #clock: Clock
  readonly #channel: Channel
  readonly #counting: Counting
  /** Beats since the last sign of life. */
  readonly #missed = new Map<string, number>()
  /** The identity that each tab shows, as it said last; what others pass on says nothing of it. */
  readonly #epochs = new Map<string, string>()
  #awaited: { readonly epoch: string; readonly told: () => void } | undefined
  /** Tabs whose lock says that they are there, whatever they answer. */
  readonly #held = new Set<string>()
  #isBeating = false
  /** The pump was asked for: who has it not by now is one of the others. */
  #isElsewhere = false

  constructor({ clock, channel }: { readonly clock: Clock; readonly channel: Channel }, counting: Counting) {
    this.#clock = clock
    this.#channel = channel
    this.#counting = counting
  }

  get size(): number {
    return this.#missed.size
  }

  /** Says whether it was not known before. */
  seen({ tab, epoch }: Caller): boolean {
    if (!this.#missed.has(tab)) this.#pass('here', tab)
    return this.#note(tab, epoch)
  }

  /** A tab answered a beat. Says the same. */
  answered({ tab, epoch }: Caller): boolean {
    this.#pass('here', tab)
    return this.#note(tab, epoch)
  }

  /** Calls when every tab that called here has said that this is the identity it shows. */
  whenTold(epoch: string, told: () => void): void {
    this.#awaited = { epoch, told }
    this.#lookWhoWasTold()
  }

  #lookWhoWasTold(): void {
    const { epoch, told } = this.#awaited ?? {}
    if (told === undefined || ![...this.#missed.keys()].every((tab) => (this.#epochs.get(tab) ?? epoch) === epoch))
      return
    this.#awaited = undefined
    told()
  }

  /** Somebody else holds the pump: says who is here. Before that there may have been nobody to hear it. */
  introduce(): void {
    this.#isElsewhere = true
    for (const tab of this.#missed.keys()) this.#pass('here', tab)
  }

  hold(tab: string): void {
    this.#held.add(tab)
    if (!this.#missed.has(tab)) this.#note(tab)
  }

  /** Says whether it was known. */
  left(tab: string): boolean {
    this.#pass('gone', tab)
    this.#held.delete(tab)
    this.#epochs.delete(tab)
    return this.#missed.delete(tab)
  }

  /** What another incarnation heard from its tabs. */
  hear(notice: Notice): void {
    if (!this.#counting.hasPump()) return
    const isNews =
      (notice.type === 'here' && this.#note(notice.tab)) || (notice.type === 'gone' && this.#missed.delete(notice.tab))
    if (isNews) this.#counting.changed()
  }

  /** While a tab is there: ask who is there, so that somebody answers with an event that prolongs this life. */
  beat(): void {
    const { incarnation, beatMs, hasPump } = this.#counting
    if (this.#isBeating || !hasPump()) return
    this.#isBeating = true
    this.#channel.publish({ v: 1, type: 'beat', incarnation })
    this.#clock.alarm(this.#clock.now() + beatMs, () => this.#ring())
  }

  #ring(): void {
    this.#isBeating = false
    const before = this.#missed.size
    for (const [tab, beats] of this.#missed) {
      if (beats < BEATS_MISSED_MAX || this.#held.has(tab)) this.#missed.set(tab, beats + 1)
      else this.#missed.delete(tab)
    }
    if (this.#missed.size !== before) this.#counting.changed()
    if (this.#missed.size > 0) this.beat()
  }

  #note(tab: string, epoch?: string): boolean {
    const isNew = !this.#missed.has(tab)
    this.#missed.set(tab, 0)
    if (epoch !== undefined) this.#epochs.set(tab, epoch)
    this.#lookWhoWasTold()
    if (isNew) this.beat()
    return isNew
  }

  #pass(type: 'here' | 'gone', tab: string): void {
    if (this.#isElsewhere && !this.#counting.hasPump()) this.#channel.publish({ v: 1, type, tab })
  }
}
