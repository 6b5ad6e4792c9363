// How a visitor leaves: send first if asked to, then empty everything, then tell the service, then look again.
// What a logout changes in the state is in core/commands.ts.

import { HoldfastError } from '../core/errors.ts'
import type { Input } from '../core/inputs.ts'
import type { Answers } from '../core/wire.ts'
import type { Ports } from './engine-ports.ts'
import type { Performer } from './engine-perform.ts'
import type { Reads } from './engine-reads.ts'
import { CHANGED_INTERVAL_MS } from './engine-tell.ts'

const LOGOUT_DRAIN_MS = 10_000

export interface Leaving {
  readonly ports: Ports
  readonly performer: Performer
  readonly reads: Reads
  submit(input: Input): Promise<unknown>
  pass(): void
  hasPump(): boolean
  isWaiting(): boolean
}

/**
 * Tokens are taken out first, then everything is emptied, then the service is told; last the disk is read again.
 *
 * @param wipe commits the logout
 */
export async function logout(
  leaving: Leaving,
  unsent: 'send' | 'discard' | 'refuse',
  wipe: () => Promise<unknown>,
): Promise<Answers['logout']> {
  const { ports, performer, reads } = leaving
  if (unsent === 'send') await drain(leaving)
  const { slots } = await reads.tail()
  const revoke = await performer.revocation(slots)
  await wipe()
  performer.stream.close()
  performer.tokens.forget()
  await ports.vault.forget()
  const [after] = await Promise.all([ports.store.tail(1, 1), revoke()])
  const isEmpty = after.rows.length === 0 && after.entries.length === 0 && after.slots?.lease.status === 'none'
  if (!isEmpty)
    throw new HoldfastError('STORE_FAILED', 'Something of the former visitor is still stored: log out again.')
  return { verified: true }
}

/** Waits until the outbox has nothing on its way, for a bounded time. */
async function drain({ ports: { clock }, submit, pass, hasPump, isWaiting }: Leaving): Promise<void> {
  const deadline = clock.now() + LOGOUT_DRAIN_MS
  await submit({ type: 'woken', isOnline: true })
  pass()
  while (clock.now() < deadline && isWaiting()) {
    await new Promise<void>((resolve) => clock.alarm(clock.now() + CHANGED_INTERVAL_MS, resolve))
    // Elsewhere it is sent: here it shows only in a turn.
    if (!hasPump()) await submit({ type: 'tick' })
  }
}
