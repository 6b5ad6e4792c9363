// The way out of an identity, in the order of SPEC.md, part WI: each step may be the last one of this incarnation, and the
// next one goes on from what is stored. What is emptied, and what is owed to the service, is decided in core/commands.ts.

import { HoldfastError } from '../core/errors.ts'
import type { Legacy } from '../core/inputs.ts'
import type { Sealed } from '../core/lease.ts'
import type { Clock, Store } from '../core/ports.ts'
import { countsIn } from '../core/snapshot.ts'
import type { Slots } from '../core/state.ts'
import type { Answers, Caller, Command } from '../core/wire.ts'
import type { Performer } from './engine-perform.ts'
import type { Tabs } from './engine-tabs.ts'
import { CHANGED_INTERVAL_MS } from './engine-tell.ts'

/** So long every tab has to say that it shows the former visitor no more. One that is frozen does so when it wakes. */
export const TOLD_TIMEOUT_MS = 1_000

const DRAIN_TIMEOUT_MS = 10_000

export interface Leaving {
  readonly clock: Clock
  readonly performer: Performer
  readonly tabs: Tabs
  slots(): Promise<Slots>
  will(slots: Slots): Promise<Sealed | null | undefined>
  /** Commits the tombstone: the next identity, and nothing else. */
  bury(caller: Caller, command: Logout, legacy: Legacy): Promise<unknown>
  /** Tries everything now. */
  wake(): Promise<unknown>
  /** Learns what has been sent elsewhere. */
  look(): Promise<unknown>
  isSending(): boolean
  shred(): Promise<number>
}

type Logout = Command & { readonly type: 'logout' }

/**
 * @param heir the sign-in of another user, where one takes over: the service knows already
 * @throws {HoldfastError} `OUTBOX_UNSENT`; `STORE_FAILED`: something of the former visitor is still there */
export async function logout(
  leaving: Leaving,
  caller: Caller,
  command: Logout,
  heir?: string,
): Promise<Answers['logout']> {
  if (command.unsent === 'send') await drain(leaving)
  const will = heir === undefined ? await leaving.will(await leaving.slots()) : null
  // Done before, and somebody else has begun: nothing of theirs is ended.
  if (await leaving.bury(caller, command, { will, heir })) return { verified: true }
  leaving.performer.stream.close()
  await leaving.performer.forget()
  const left = await leaving.shred()
  const { session } = await leaving.slots()
  await told(leaving, session.epoch)
  if (left === 0) return { verified: true }
  throw new HoldfastError('STORE_FAILED', 'Something of the former visitor is still stored: log out again.')
}

export function isSending(slots: Slots | undefined): boolean {
  const { queued = 0, inflight = 0 } = slots ? countsIn(slots) : {}
  return queued + inflight > 0
}

/** Waits until the outbox has nothing on its way, for a bounded time. */
export async function drain({ clock, wake, look, isSending }: Leaving): Promise<void> {
  const deadline = clock.now() + DRAIN_TIMEOUT_MS
  await wake()
  while (clock.now() < deadline && isSending()) {
    await new Promise<void>((resolve) => clock.alarm(clock.now() + CHANGED_INTERVAL_MS, resolve))
    await look()
  }
}

function told({ clock, tabs }: Leaving, epoch: string): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.alarm(clock.now() + TOLD_TIMEOUT_MS, resolve)
    tabs.whenTold(epoch, () => {
      cancel()
      resolve()
    })
  })
}

/** What a wipe left to be done, by us or by who died before. */
export interface Shredder {
  /** Nobody new begins while it is under way; what has failed is tried once more for whoever comes. It never rejects. */
  ready(): Promise<unknown> | undefined
  /** @throws {HoldfastError} what the store throws: it is still due, and left to the next tab, logout or start */
  readonly run: () => Promise<number>
  look(slots: Slots): void
}

export function shredder(store: Store, done: () => void): Shredder {
  let busy: Promise<number> | undefined
  let tried = ''
  let isDue = false
  const run = (): Promise<number> => {
    busy ??= store
      .shred()
      .then((left) => {
        isDue = left > 0
        if (!isDue) done()
        return left
      })
      .finally(() => {
        busy = undefined
      })
    return busy
  }
  const ignore = (): void => {}
  return {
    ready: () => (busy ?? (isDue ? run() : undefined))?.catch(ignore),
    run,
    look({ session: { epoch, wipe } }) {
      isDue = wipe === 'due'
      if (!isDue || tried === epoch) return
      tried = epoch
      run().catch(ignore)
    },
  }
}
