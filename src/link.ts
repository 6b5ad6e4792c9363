// The page's end of the link: a port per call, a deadline, the life lock, one second try.
// Leaves to others: which worker that is (registration.ts) and what is asked of it (client.ts).

import { fromWire, HoldfastError } from '../core/errors.ts'
import {
  type AnswerTo,
  type Call,
  type CallAnswer,
  type Caller,
  type Command,
  lifeLockOf,
  type Ping,
  type Snapshot,
} from '../core/wire.ts'
import type { Browser } from './browser.ts'

/** A worker that is silent for so long is taken for dead, though its lock says nothing. */
export const CALL_TIMEOUT_MS = 3_000
/** The same for commands that read or wipe a lot. */
export const LONG_CALL_TIMEOUT_MS = 15_000
/** What a site would say again if it were told that it failed. */
const KEPT: readonly Command['type'][] = ['enqueue', 'edit']
const LONG: readonly Command['type'][] = ['history', 'authenticate', 'logout', 'supply', 'borrow']

/** Where the engine runs, as the rest of the page sees it. */
export interface Host {
  readonly kind: 'service-worker' | 'page'
  /**
   * May run twice, so whatever changes something carries its own key.
   * @throws {HoldfastError} `LINK_TIMEOUT` after two silences, `PROTOCOL_MISMATCH`, and what the command throws
   */
  run<C extends Command>(caller: Caller, command: C): Promise<AnswerTo<C>>
  /** Prolongs the worker's life. Nothing comes back. */
  ping(caller: Caller): void
  /** Set by presence.ts: the incarnation that answered is no more. */
  onDeath?: () => void
  /** Set by client.ts: a worker that was asked for the state shows what becomes of it. */
  onNews?: (snapshot: Snapshot) => void
  /** The worker shows every change: a notice says nothing more. */
  readonly isShown?: boolean
}

type Answer = Exclude<CallAnswer, { news: unknown }>

/** The part of a registration the link uses. */
export interface Workers {
  /** The worker that is active now; asked at every call, for a redundant one swallows what it is sent. */
  active(): Promise<Pick<ServiceWorker, 'postMessage'>>
  /** After a death: resolves when `active()` is no longer the dead one. */
  replaced(): Promise<void>
  /** Looks for a new version. */
  update(): void
}

export class Link implements Host {
  readonly kind = 'service-worker'
  onDeath?: () => void
  onNews?: (snapshot: Snapshot) => void
  /** The port of the last `pull`, on which news comes. */
  #news: MessagePort | undefined
  isShown = false
  #workers: Workers
  #browser: Browser
  #watched = new Set<string>()
  /** Ends each call that can still be repeated. A second try may be with a worker that lives. */
  #firstTries = new Set<() => void>()
  /** Resolved, but for a moment after a death. */
  #rest = Promise.resolve()

  constructor(workers: Workers, browser: Browser) {
    this.#workers = workers
    this.#browser = browser
  }

  async run<C extends Command>(caller: Caller, command: C): Promise<AnswerTo<C>> {
    let timeoutMs = LONG.includes(command.type) ? LONG_CALL_TIMEOUT_MS : CALL_TIMEOUT_MS
    for (let attempt = 1; attempt <= 2; attempt++) {
      const answer = await this.#try({ type: 'holdfast-call', caller, command }, timeoutMs, attempt === 1)
      // A disk that hangs is given up later than a worker: a message that goes all the same was not refused.
      if (KEPT.includes(command.type)) timeoutMs = LONG_CALL_TIMEOUT_MS
      if (answer === undefined) continue
      if ('error' in answer) {
        // The call fails all the same, with the worker's advice to reload: no loop.
        if (answer.error.code === 'PROTOCOL_MISMATCH') this.#workers.update()
        throw fromWire(answer.error)
      }
      this.#watch(answer.incarnation)
      return answer.value as AnswerTo<C>
    }
    throw new HoldfastError(
      'LINK_TIMEOUT',
      `The worker gave no answer to "${command.type}", twice: try again, or see whether its script is holdfast's.`,
    )
  }

  ping(caller: Caller): void {
    // Lost if there is no worker: then there is no life to prolong either.
    this.#workers.active().then(
      (worker) => worker.postMessage({ type: 'holdfast-ping', caller } satisfies Ping),
      () => {},
    )
  }

  /** Nothing, if the worker was silent: for too long, or because it died. */
  async #try(call: Call, timeoutMs: number, isFirst: boolean): Promise<Answer | undefined> {
    await this.#rest
    const worker = await this.#workers.active()
    const { port1, port2 } = new MessageChannel()
    let giveUp = () => {}
    const answered = new Promise<Answer | undefined>((resolve) => {
      giveUp = () => resolve(undefined)
      port1.onmessage = ({ data }: MessageEvent<CallAnswer>) => {
        if (!('news' in data)) return resolve(data)
        port1.postMessage(null)
        this.onNews?.(data.news)
      }
    })
    const cancel = this.#browser.after(timeoutMs, giveUp)
    if (isFirst) this.#firstTries.add(giveUp)
    let done: MessagePort | undefined = port1
    try {
      worker.postMessage(call, [port2])
      const answer = await answered
      if (answer && 'shows' in answer) {
        this.isShown = true
        done = this.#news
        this.#news = port1
      }
      return answer
    } finally {
      cancel()
      this.#firstTries.delete(giveUp)
      done?.close()
    }
  }

  /** The lock is held as long as the incarnation lives: granted to us means that it is dead. */
  #watch(incarnation: string): void {
    if (this.#watched.has(incarnation)) return
    this.#watched.add(incarnation)
    this.#browser.whenFree(lifeLockOf(incarnation), () => {
      this.#watched.delete(incarnation)
      this.#rest = this.#workers.replaced()
      for (const giveUp of [...this.#firstTries]) giveUp()
      this.onDeath?.()
    })
  }
}
