// One tab of a simulated browser: the page's end of the link, its copy of the state, and its part as alarm clock and life
// support, as src/link.ts, src/mirror.ts and src/presence.ts have them. What the visitor does in it is sim-visitor.ts.

import { HoldfastError } from '../core/errors.ts'
import { hidesEnds, outcomesIn } from '../core/shown.ts'
import {
  type AnswerTo,
  type Caller,
  type Command,
  type Notice,
  type Outcome,
  PROTOCOL_VERSION,
  type Snapshot,
} from '../core/wire.ts'
import type { SimBrowser } from './sim-browser.ts'
import type { Life } from './sim-life.ts'

const CALL_TIMEOUT_MS = 3_000
const LONG_CALL_TIMEOUT_MS = 15_000
const REST_MS = 50
const RESTART_MS = 1_000
const PULL_KEYS_MAX = 64
const RESTING: readonly Snapshot['phase'][] = ['dormant', 'auth-required', 'ended', 'signed-out']
const SILENCE = Symbol('silence')

/** What an auditor wants to hear from a tab. */
export interface TabEvents {
  sees(tab: SimTab, snapshot: Snapshot): void
  settled(key: string, outcome: Outcome): void
}

export class SimTab {
  readonly id: string
  readonly browser: SimBrowser
  /** The engine in this page, where there is no service worker. */
  readonly host: Life | undefined
  snapshot: Snapshot | undefined
  isFrozen = false
  isClosed = false
  /** Keys of accepted messages whose end is not known here. */
  readonly unsettled = new Set<string>()
  readonly #events: TabEvents
  readonly #watched = new Set<string>()
  readonly #firstTries = new Set<() => void>()
  #held: (() => void)[] = []
  #restUntil = 0
  #unalarm = () => {}
  #isReading = false
  #isReadAgain = false
  #isRestartDue = false
  #restartAt = 0

  constructor(browser: SimBrowser, id: string, events: TabEvents) {
    this.browser = browser
    this.id = id
    this.#events = events
    browser.tabs.push(this)
    this.host = browser.isPageHost ? browser.hosted(this) : undefined
  }

  get epoch(): string {
    return this.snapshot?.epoch ?? ''
  }

  #caller(): Caller {
    return { protocol: PROTOCOL_VERSION, deployment: 'acme', tab: this.id, epoch: this.epoch, visible: true }
  }

  /** Runs in this tab: not while it is frozen, and never after it was closed. */
  #here(run: () => void): void {
    if (this.isClosed) return
    if (this.isFrozen) this.#held.push(run)
    else run()
  }

  after(ms: number, run: () => void): () => void {
    return this.browser.after(ms, () => this.#here(run))
  }

  /** @throws {HoldfastError} `LINK_TIMEOUT` after two silences, and what the command throws */
  async run<C extends Command>(command: C): Promise<AnswerTo<C>> {
    const caller = this.#caller()
    const isLong = ['history', 'logout', 'authenticate'].includes(command.type)
    const timeoutMs = isLong ? LONG_CALL_TIMEOUT_MS : CALL_TIMEOUT_MS
    for (let attempt = 1; attempt <= 2; attempt++) {
      const answer = await this.#try(caller, command, timeoutMs, attempt === 1)
      if (answer === SILENCE) continue
      this.#watched.add(answer.life.name)
      if (!answer.life.isAlive) this.browser.after(this.browser.hop(), () => this.mourn(answer.life.name))
      if ('error' in answer) throw answer.error
      return answer.value as AnswerTo<C>
    }
    throw new HoldfastError('LINK_TIMEOUT', 'The worker gave no answer, twice.')
  }

  #try(caller: Caller, command: Command, timeoutMs: number, isFirst: boolean) {
    type Answer = { life: Life; value: unknown } | { life: Life; error: unknown }
    return new Promise<typeof SILENCE | Answer>((resolve) => {
      const giveUp = () => {
        this.#firstTries.delete(giveUp)
        resolve(SILENCE)
      }
      const { browser } = this
      this.after(Math.max(0, this.#restUntil - browser.world.now), () => {
        if (isFirst) this.#firstTries.add(giveUp)
        this.after(timeoutMs, giveUp)
        this.#post((life) => {
          const answer = (what: Answer) => {
            if (!life.isAlive) return
            browser.after(browser.hop(), () =>
              this.#here(() => {
                this.#firstTries.delete(giveUp)
                resolve(what)
              }),
            )
          }
          return life.engine
            .run(caller, command, (snapshot) => this.#shown(life, snapshot))
            .then(
              (value) => answer({ life, value }),
              (error) => answer({ life, error }),
            )
        })
      })
    })
  }

  /** News on the port of a call: taken in here, and the worker hears that it was. */
  #shown(life: Life, snapshot: Snapshot): Promise<void> {
    const { browser } = this
    return new Promise((taken) => {
      browser.after(browser.hop(), () =>
        this.#here(() => {
          browser.after(browser.hop(), () => life.isAlive && taken())
          if (snapshot.epoch !== this.epoch) return this.pull()
          this.#accept(snapshot)
          for (const [key, outcome] of outcomesIn(snapshot)) if (this.unsettled.has(key)) this.#settle(key, outcome)
          if (hidesEnds(snapshot, this.unsettled)) this.pull()
        }),
      )
    })
  }

  #post(work: (life: Life) => Promise<unknown> | undefined): void {
    const { browser } = this
    browser.worker(this, (life) => browser.after(browser.hop(), () => life.isAlive && life.event(() => work(life))))
  }

  ping(): void {
    const caller = this.#caller()
    this.#post((life) => {
      life.engine.ping(caller)
      return undefined
    })
  }

  hear(notice: Notice): void {
    this.#here(() => {
      if (notice.type === 'changed' && notice.rev !== this.snapshot?.rev) this.pull()
      if (notice.type === 'beat') this.ping()
      if (notice.type === 'wake-at') {
        this.#unalarm()
        this.#unalarm = this.after(notice.at - this.browser.clock(), () => this.nudge(false))
      }
    })
  }

  /** The incarnation is dead: what can be repeated is, and if its work is still wanted another one is started. */
  mourn(incarnation: string): void {
    this.#here(() => {
      if (!this.#watched.delete(incarnation)) return
      this.#restUntil = this.browser.world.now + REST_MS
      for (const giveUp of [...this.#firstTries]) giveUp()
      if (this.snapshot !== undefined && !RESTING.includes(this.snapshot.phase)) this.#restart()
    })
  }

  #restart(): void {
    if (this.#isRestartDue) return
    this.#isRestartDue = true
    const { world } = this.browser
    this.after(Math.max(0, this.#restartAt - world.now), () => {
      this.#isRestartDue = false
      this.#restartAt = world.now + RESTART_MS
      this.nudge(false)
    })
  }

  /** Wakes the worker, then looks what is new. */
  nudge(isVisitorHere: boolean): void {
    const online = this.browser.network.isOnline
    void this.run({ type: 'nudge', wake: isVisitorHere, online })
      .catch(() => {})
      .then(() => this.pull())
  }

  pull(): void {
    this.#isReadAgain = true
    if (this.#isReading || this.isClosed) return
    this.#isReading = true
    void this.#readAll()
      .catch(() => {})
      .finally(() => {
        this.#isReading = false
      })
  }

  async #readAll(): Promise<void> {
    while (this.#isReadAgain) {
      this.#isReadAgain = false
      const keys = [...this.unsettled].slice(0, PULL_KEYS_MAX)
      const { snapshot, outcomes } = await this.run({ type: 'pull', keys })
      this.#accept(snapshot)
      for (const [key, outcome] of Object.entries(outcomes)) this.#settle(key, outcome)
    }
  }

  #settle(key: string, outcome: Outcome): void {
    this.unsettled.delete(key)
    this.#events.settled(key, outcome)
  }

  #accept(snapshot: Snapshot): void {
    const before = this.snapshot
    if (before?.epoch === snapshot.epoch && snapshot.rev < before.rev) return
    this.snapshot = snapshot
    this.#events.sees(this, snapshot)
  }

  freeze(ms: number): void {
    this.isFrozen = true
    this.host?.freeze(ms)
  }

  thaw(): void {
    if (!this.isFrozen) return
    this.isFrozen = false
    this.host?.thaw()
    const held = this.#held
    this.#held = []
    for (const run of held) this.#here(run)
    this.nudge(true)
  }

  /** @param isPolite whether the page still had the time to say so */
  close(isPolite: boolean): void {
    if (this.isClosed) return
    if (isPolite && !this.isFrozen) {
      const caller = this.#caller()
      this.#post((life) => life.engine.run(caller, { type: 'bye' }))
    }
    this.isClosed = true
    this.#unalarm()
    this.browser.tabs = this.browser.tabs.filter((tab) => tab !== this)
    this.host?.die('its page is closed')
  }
}
