// The tabs of a shared device: each holds a lock of its own, so that a crash of it is told by the browser, too.
// When the visitor counts as gone is decided in core/shared.ts; what is done about it is the logout.

import type { SharedDevice } from '../core/shared.ts'
import type { Answers, Caller, Command } from '../core/wire.ts'
import type { Tabs } from './engine-tabs.ts'

/** The locks that the tabs of one deployment hold. */
export interface TabLocks {
  /** Tabs that hold theirs now. */
  here(): Promise<readonly string[]>
  /** Calls once, when the lock of the tab is free. */
  whenFree(tab: string, free: () => void): void
}

export interface Sharing extends SharedDevice {
  readonly locks: TabLocks
}

interface Around {
  readonly tabs: Tabs
  /** A tab is gone that has not said so. */
  changed(): void
  /** Wipes whoever is here. */
  leave(caller: Caller, command: Command & { readonly type: 'logout' }): Promise<Answers['logout']>
}

/** What only a visitor does. That an agent answers, or a tab looks, is no sign of one. */
const ACTS: readonly Command['type'][] = ['enqueue', 'set-context', 'retry', 'cancel', 'edit', 'history', 'typing']
const isAct = (command: Command, isArrival: boolean): boolean =>
  isArrival || ACTS.includes(command.type) || (command.type === 'nudge' && command.wake)

export class Attendance {
  readonly #sharing: Sharing | undefined
  readonly #around: Around
  readonly #watched = new Set<string>()
  #isKnown = false
  #leaving: Promise<unknown> | undefined

  constructor(sharing: Sharing | undefined, around: Around) {
    this.#sharing = sharing
    this.#around = around
  }

  /** Somebody calls. Who knows the identity was here before; says whether it is an act of the visitor. */
  note({ epoch }: Caller, command: Command): boolean {
    if (epoch !== '') this.#isKnown = true
    return this.#sharing !== undefined && isAct(command, epoch === '')
  }

  /** Finds the tabs that hold their locks, and learns of the end of each. */
  async look(): Promise<void> {
    const { locks } = this.#sharing ?? {}
    for (const tab of (await locks?.here()) ?? []) {
      if (this.#watched.has(tab)) continue
      this.#watched.add(tab)
      this.#around.tabs.hold(tab)
      locks?.whenFree(tab, () => {
        this.#watched.delete(tab)
        if (this.#around.tabs.left(tab)) this.#around.changed()
      })
    }
  }

  /** Nobody of before is here, as far as could be seen. */
  get isAbandoned(): boolean {
    return this.#sharing !== undefined && this.#watched.size === 0 && !this.#isKnown
  }

  /** The visitor is gone: wiped by us, though nobody asked. */
  depart(epoch: string): void {
    const caller = { protocol: 0, deployment: '', tab: '', epoch, visible: false }
    this.#leaving ??= this.#around.leave(caller, { type: 'logout', unsent: 'discard' }).finally(() => {
      this.#leaving = undefined
    })
    // Whoever comes is told, by their own call; and it is tried again.
    this.#leaving.catch(() => {})
  }

  /** There while a visitor who is gone is being wiped: nobody new is shown anything then. */
  get busy(): Promise<unknown> | undefined {
    return this.#leaving
  }
}
