// A browser and a worker for tests of the page client: a clock that only tests move, locks, events, storage and a channel
// of their own. The port between page and worker is a real one.

import { vi } from 'vitest'
import { toWire } from '../../core/errors.ts'
import type { Answers, Call, Caller, Command, Notice, Outcome, Ping, Snapshot } from '../../core/wire.ts'
import type { Browser } from '../../src/browser.ts'
import { Link, type Workers } from '../../src/link.ts'

export function snapshotOf(part: Partial<Snapshot> = {}): Snapshot {
  return {
    rev: 1,
    epoch: 'e1',
    phase: 'live',
    storage: 'durable',
    session: null,
    conversation: { id: 'c1', state: 'active' },
    lease: { status: 'held' },
    outbox: { queued: 0, inflight: 0, dead: 0, stale: 0 },
    context: {},
    messages: [],
    unread: 0,
    agentTyping: false,
    tabs: 1,
    online: true,
    ...part,
  }
}

/** Time passes only here. */
export class FakeBrowser implements Browser {
  time = 1_000_000
  visible = true
  online = true
  blocked = false
  persisted = 0
  readonly stored = new Map<string, string>()
  readonly #timers = new Set<{ at: number; task: () => void }>()
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #listeners = new Map<string, Set<(event: Event) => void>>()
  readonly #channels: Set<Pick<BroadcastChannel, 'close' | 'onmessage'>>

  /** @param beside another tab, whose channels this one hears */
  constructor(beside?: FakeBrowser) {
    this.#channels = beside === undefined ? new Set() : beside.#channels
  }

  now(): number {
    return this.time
  }

  persist(): void {
    this.persisted += 1
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.time + ms, task }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Milliseconds until each timer that is set, soonest first. */
  get timers(): number[] {
    return [...this.#timers].map(({ at }) => at - this.time).sort((a, b) => a - b)
  }

  advance(ms: number): void {
    const end = this.time + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.time = Math.max(this.time, due.at)
      due.task()
    }
    this.time = end
  }

  whenFree(lock: string, granted: () => void): void {
    this.#waiting.set(lock, (this.#waiting.get(lock) ?? new Set()).add(granted))
  }

  get awaited(): string[] {
    return [...this.#waiting.keys()]
  }

  release(lock: string): void {
    const waiting = this.#waiting.get(lock) ?? []
    this.#waiting.delete(lock)
    for (const granted of waiting) granted()
  }

  channel(): Pick<BroadcastChannel, 'close' | 'onmessage' | 'postMessage'> {
    const channel: Pick<BroadcastChannel, 'close' | 'onmessage' | 'postMessage'> = {
      onmessage: null,
      close: () => this.#channels.delete(channel),
      postMessage: (data) => {
        for (const other of this.#channels) if (other !== channel) queueMicrotask(() => this.#deliver(other, data))
      },
    }
    this.#channels.add(channel)
    return channel
  }

  publish(notice: Notice): void {
    for (const channel of this.#channels) this.#deliver(channel, notice)
  }

  #deliver(channel: Pick<BroadcastChannel, 'onmessage'>, data: unknown): void {
    channel.onmessage?.call({} as never, { data } as MessageEvent)
  }

  get hearers(): number {
    return this.#channels.size + [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0)
  }

  listen(type: string, listener: (event: Event) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners.add(listener))
    return () => listeners.delete(listener)
  }

  fire(type: string, detail: object = {}): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener(Object.assign(new Event(type), detail))
  }

  /** The page goes away for good. */
  leave(): void {
    this.fire('pagehide')
    this.#listeners.clear()
  }

  isVisible(): boolean {
    return this.visible
  }

  isOnline(): boolean {
    return this.online
  }

  storage(): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> {
    if (this.blocked) throw new DOMException('Storage is blocked.', 'SecurityError')
    return {
      getItem: (name) => this.stored.get(name) ?? null,
      setItem: (name, value) => void this.stored.set(name, value),
      removeItem: (name) => void this.stored.delete(name),
    }
  }
}

type Answer = (command: Command, caller: Caller) => unknown

/** The worker behind the port. It answers as `answers` say, or is silent. */
export class FakeWorker {
  incarnation = 'i1'
  snapshot = snapshotOf()
  outcomes: { [key: string]: Outcome } = {}
  isSilent = false
  /** Whether it shows changes on the port of a `pull`. */
  shows = false
  acknowledged = 0
  #port: MessagePort | undefined
  readonly calls: { readonly command: Command; readonly caller: Caller }[] = []
  readonly pings: Caller[] = []
  readonly answers: { [T in Command['type']]?: Answer } = {}
  /** Ports on which nobody has let go, with what still waits for an answer. */
  ports = 0

  postMessage(message: unknown, [port]: readonly Transferable[] = []): void {
    const { type } = message as { type: string }
    if (type === 'holdfast-ping') this.pings.push((message as Ping).caller)
    if (type !== 'holdfast-call' || !(port instanceof MessagePort) || this.isSilent) return
    this.ports += 1
    port.addEventListener('close', () => {
      this.ports -= 1
    })
    const { caller, command } = message as Call
    this.calls.push({ command, caller })
    const { incarnation } = this
    void Promise.resolve()
      .then(() => this.#answer(command, caller))
      .then((value) => {
        const isShown = this.shows && command.type === 'pull'
        if (isShown) this.#watch(port)
        return { incarnation, value, ...(isShown && { shows: true }) }
      })
      .catch((error: unknown) => ({ error: toWire(error) }))
      .then((answer) => port.postMessage(answer))
  }

  commands<T extends Command['type']>(type: T): Extract<Command, { type: T }>[] {
    return this.calls.map(({ command }) => command).filter((command) => command.type === type) as Extract<
      Command,
      { type: T }
    >[]
  }

  #watch(port: MessagePort): void {
    this.#port = port
    port.onmessage = () => {
      this.acknowledged += 1
    }
  }

  /** One change, shown and not told. */
  show(part: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, rev: this.snapshot.rev + 1, ...part }
    this.#port?.postMessage({ news: this.snapshot })
  }

  /** One change, as tabs hear of it. */
  change(browser: FakeBrowser, part: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, rev: this.snapshot.rev + 1, ...part }
    browser.publish({ v: 1, type: 'changed', rev: this.snapshot.rev })
  }

  #answer(command: Command, caller: Caller): unknown {
    const answer = this.answers[command.type]
    if (answer !== undefined) return answer(command, caller)
    if (command.type === 'pull') return { snapshot: this.snapshot, outcomes: this.outcomesOf(command.keys) }
    if (command.type === 'enqueue') return command.messages.map((_, index) => ({ seq: index + 1 }))
    if (command.type === 'edit') return { seq: 1 }
    if (command.type === 'logout') return { verified: true }
    if (command.type === 'set-context') return {} satisfies Answers['set-context']
    return null
  }

  outcomesOf(keys: readonly string[]): Answers['pull']['outcomes'] {
    return Object.fromEntries(
      keys.flatMap((key) => (this.outcomes[key] === undefined ? [] : [[key, this.outcomes[key]]])),
    )
  }
}

/** Where the link finds its worker, and what it asked of the registration. */
export class FakeWorkers implements Workers {
  current: FakeWorker
  updates = 0
  deaths = 0

  constructor(current: FakeWorker) {
    this.current = current
  }

  async active(): Promise<Pick<ServiceWorker, 'postMessage'>> {
    return {
      postMessage: (message: unknown, transfer?: unknown) =>
        this.current.postMessage(message, transfer as Transferable[]),
    }
  }

  async replaced(): Promise<void> {
    this.deaths += 1
  }

  update(): void {
    this.updates += 1
  }
}

export function setUp(): { browser: FakeBrowser; worker: FakeWorker; workers: FakeWorkers; link: Link } {
  const browser = new FakeBrowser()
  const worker = new FakeWorker()
  const workers = new FakeWorkers(worker)
  return { browser, worker, workers, link: new Link(workers, browser) }
}

export const CALLER: Caller = { protocol: 1, deployment: 'acme', tab: 't1', epoch: 'e1', visible: true }

/** Waits for a state, never for a time. */
export const until = <T>(check: () => T): Promise<T> => vi.waitFor(check, { interval: 1, timeout: 20_000 })
