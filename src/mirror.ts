// This tab's copy of the worker's state: read when a notice says that there is news, told to the site as state, events
// and outcomes. Leaves to others: what else is asked of the worker (client.ts), and when to look (presence.ts).

import type { HoldfastError } from '../core/errors.ts'
import { hidesEnds, outcomesIn } from '../core/shown.ts'
import type { Answers, Outcome, Snapshot } from '../core/wire.ts'
import type { ChatEvents, Receipt, State } from './api.ts'
import { demand } from './content.ts'
import { type Change, changesOf, note } from './changes.ts'
import type { Host } from './link.ts'

/** Outcomes asked for in one call. */
export const PULL_KEYS_MAX = 64
/**
 * Between two looks in a burst of notices: twenty tabs that follow each of them would take the worker's time from its
 * work. So long a worker also has to show by itself what the notice was about.
 */
export const PULL_MS_MIN = 75

type Pull = (keys: readonly string[]) => Promise<Answers['pull']>
type Listener = (detail: never) => void
type Name = keyof ChatEvents | 'state'
interface Unsettled {
  resolve(outcome: Outcome): void
  reject(error: HoldfastError): void
}

export class Mirror {
  /** There from the first `open()` on. */
  state!: State
  #host: Pick<Host, 'kind' | 'isShown'>
  #ask: Pull
  #listeners = new Map<Name, Set<Listener>>()
  #told = new Set<string>()
  /** This tab's messages whose end is not known, oldest first. */
  #unsettled = new Map<string, Unsettled>()
  /** What was there before the page went away, as something older than whatever is seen when it is back. */
  #away: State | undefined
  /** It has not come back yet: nothing is taken. */
  #isHidden = false
  /** Who waits for a state. */
  #awaiting: { resolve(): void; reject(error: HoldfastError): void }[] = []
  /** Somebody else was here first. */
  #isGuest = false
  #reading: Promise<void> | undefined
  #isReadAgain = false
  #pause: () => Promise<void>
  #isPausing = false
  /** The revision of the last notice that no look has begun to follow. */
  #heard: number | undefined

  constructor(host: Pick<Host, 'kind' | 'isShown'>, ask: Pull, pause: () => Promise<void>) {
    this.#host = host
    this.#ask = ask
    this.#pause = pause
  }

  subscribe(listener: (state: State) => void): () => void {
    const off = this.on('state', listener)
    tell(listener, this.state)
    return off
  }

  on(name: Name, listener: Listener): () => void {
    demand(typeof listener === 'function', 'A listener must be a function.')
    // One of its own for each call, so that a function given twice can be ended once.
    const own: Listener = (detail) => listener(detail)
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(own))
    return () => listeners.delete(own)
  }

  emit([name, detail]: Change | readonly ['state', State]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) tell(listener, detail as never)
  }

  /** Something failed of which no call of the site awaits the end. */
  complain(error: unknown): void {
    const { code, name, message } = error as HoldfastError
    this.emit(['problem', { code: code ?? name, message }])
  }

  /** The message is on the disk; from now on its end is asked for. */
  receipt(key: string): Receipt {
    const settled = new Promise<Outcome>((resolve, reject) => this.#unsettled.set(key, { resolve, reject }))
    settled.catch(() => {})
    // It may have ended already, if its acceptance reached us late.
    this.hear(-1)
    return { key, settled }
  }

  /** The worker shows what it has. Another identity is not taken from a picture that may have waited while we slept. */
  show(snapshot: Snapshot): void {
    if (this.#away || snapshot.epoch !== this.state?.epoch) return this.hear(snapshot.rev)
    this.#accept(snapshot)
    if (this.#isUnsure()) this.hear(-1)
  }

  /** The page goes away, and another visitor may come back to it: till then it shows nothing of this one. */
  hide(): void {
    if (!this.state) return
    this.#isHidden = true
    this.#away = { ...(this.#away ?? this.state), rev: -1 }
    this.state = frozen({ ...this.#away, messages: [], context: {} })
    this.emit(['state', this.state])
  }

  /** It is back. What was asked before says nothing of who is there now. */
  resume(): void {
    this.#isHidden = false
    this.#away &&= { ...this.#away }
    void this.pull()
  }

  /** A notice names a revision. A lower one than ours is a new identity, or old: either way a look tells. */
  hear(rev: number): void {
    this.#heard = rev
    if (!this.#isPausing) void this.#look()
  }

  pull(): Promise<void> {
    return this.read().catch((error) => this.complain(error))
  }

  /** Reads at least once more, from now. */
  read(): Promise<void> {
    this.#isReadAgain = true
    return this.open()
  }

  /** Resolves with the first state that fits; rejects when this tab lets go. */
  async until(fits: (state: State) => boolean): Promise<void> {
    while (!fits(this.state)) {
      await new Promise<void>((resolve, reject) => this.#awaiting.push({ resolve, reject }))
    }
  }

  /** Reads. While that is under way, further wishes end in one more reading. */
  open(): Promise<void> {
    this.#reading ??= this.#readAll()
    return this.#reading
  }

  close(error: HoldfastError): void {
    this.#listeners.clear()
    for (const { reject } of this.#unsettled.values()) reject(error)
    for (const { reject } of this.#awaiting) reject(error)
    this.#unsettled.clear()
  }

  /** The first notice is followed at once; in a burst, a look serves many. */
  async #look(): Promise<void> {
    while (!this.#isPausing && this.#heard !== undefined) {
      this.#isPausing = true
      if (this.#host.isShown) await this.#pause()
      const rev = this.#heard
      this.#heard = undefined
      if (rev === -1 ? !this.#host.isShown || this.#isUnsure() : rev !== this.state?.rev) {
        await this.pull()
        await this.#pause()
      }
      this.#isPausing = false
    }
  }

  /** Settles what is shown to have ended. Of the rest, fewer wait than we await the end of: some have ended unseen. */
  #isUnsure(): boolean {
    for (const [key, outcome] of outcomesIn(this.state)) this.#settle(key, outcome)
    return hidesEnds(this.state, this.#unsettled.keys())
  }

  async #readAll(): Promise<void> {
    try {
      do {
        this.#isReadAgain = false
        await this.#readOnce()
      } while (this.#isReadAgain)
    } finally {
      // In the same breath as the last look at the wish, or a wish between the two would be lost.
      this.#reading = undefined
    }
  }

  async #readOnce(): Promise<void> {
    const keys = [...this.#unsettled.keys()]
    for (let from = 0, isMoreLikely = true; isMoreLikely; from += PULL_KEYS_MAX) {
      const some = keys.slice(from, from + PULL_KEYS_MAX)
      const before = this.#unsettled.size
      const away = this.#away
      const { snapshot, outcomes } = await this.#ask(some)
      // Asked before the page went away, or while it was.
      if (this.#isHidden || away !== this.#away) return
      this.#accept(snapshot)
      for (const key of some) this.#settle(key, outcomes[key])
      const { size } = this.#unsettled
      // The oldest settle first, so the rest is worth asking for only if some did, or fewer wait than we think.
      const { queued, inflight, parked = 0 } = snapshot.outbox
      isMoreLikely = from + PULL_KEYS_MAX < keys.length && (size < before || queued + inflight + parked < size)
    }
  }

  #settle(key: string, outcome: Outcome | undefined): void {
    if (!outcome) return
    this.#unsettled.get(key)?.resolve(outcome)
    if (this.#unsettled.delete(key) && outcome.status === 'cancelled')
      this.emit(['delivery', { key, status: 'cancelled' }])
  }

  #accept(snapshot: Snapshot): void {
    const before = this.#away ?? (this.state as State | undefined)
    this.#away = undefined
    if (before?.epoch === snapshot.epoch) {
      if (snapshot.rev < before.rev) return
      // These two also change by the passing of time.
      const isSame = snapshot.phase === before.phase && snapshot.agentTyping === before.agentTyping
      if (snapshot.rev === before.rev && isSame) return
    }
    this.state = frozen({ ...snapshot, host: this.#host.kind })
    this.emit(['state', this.state])
    if (before) for (const change of changesOf(before, this.state, this.#told, this.#isGuest)) this.emit(change)
    else {
      this.#isGuest = snapshot.tabs > 1
      for (const message of snapshot.messages) note(this.#told, message)
    }
    for (const { resolve } of this.#awaiting.splice(0)) resolve()
  }
}

/** A listener that throws is the site's bug, and no reason to keep the news from the others. */
function tell<T>(listener: (detail: T) => void, detail: T): void {
  try {
    listener(detail)
  } catch (error) {
    reportError(error)
  }
}

function frozen<T>(value: T): T {
  if (Object(value) === value) for (const part of Object.values(Object.freeze(value) as object)) frozen(part)
  return value
}
