// A page's part in the leases of a deployment: it supplies tokens where the site has a callback for them, and borrows an
// access token where the worker's configuration lends it. A module of its own: who needs neither does not load it.

import type { Supplied } from '../core/wire.ts'
import type { Chat } from './api.ts'
import type { Client } from './client.ts'
import { newKey } from './key.ts'

export type { Supplied } from '../core/wire.ts'

/** A callback that has not settled by then has given nothing: the worker asks again, this tab or another. */
export const SUPPLY_TIMEOUT_MS = 10_000

/** Looks up a token, each time one is wanted. The signal is aborted when nobody waits for it any more. */
export type Supplier = (signal: AbortSignal) => Promise<Supplied | string> | Supplied | string

/** An access token, and until when it is good. */
export interface Borrowed {
  readonly token: string
  /** Say it when a call with this token was refused: the next one is another. */
  readonly generation: number
  readonly expiresAt: number
}

/**
 * Supplies tokens to leases whose source is a page. Call it in each tab that can: one of them is asked at a time, and
 * with no tab the work waits. A callback that throws, or gives what is no new token, is asked again less and less often.
 *
 * @param suppliers by the name of the lease
 * @returns ends it for this tab
 * @example
 * supplyTokens(chat, { api: async (signal) => (await fetch('/session/token', { signal })).json() })
 */
export function supplyTokens(chat: Chat, suppliers: { readonly [lease: string]: Supplier }): () => void {
  const client = chat as Client
  const offer = async (lease: string): Promise<void> => {
    const supplier = Object.hasOwn(suppliers, lease) ? suppliers[lease] : undefined
    if (supplier === undefined) return
    const claim = await client.ask({ type: 'offer', key: newKey(Date.now()), lease })
    if (claim === null) return
    const supplied = await lookUp(supplier)
    await client.ask({ type: 'supply', lease, claim, ...(supplied && { supplied }) })
  }
  // A call that fails is repeated by the worker's next question; what the tab was closed for needs no answer.
  const begin = (lease: string) => void offer(lease).catch(() => {})
  const off = chat.on('token-wanted', ({ lease }) => begin(lease))
  for (const lease of Object.keys(suppliers)) begin(lease)
  return off
}

/**
 * Borrows the access token of a lease, where the worker's configuration says `lent: true`. Never a refresh token.
 *
 * @param refused the generation that a call was refused with
 * @throws {HoldfastError} `LEASE_EXPIRED`: it is not lent, or none came in time; `LEASE_REVOKED`, `LEASE_BAD_TOKEN`: lost;
 *   `EPOCH_CHANGED`: the visitor whom this chat shows has signed out
 */
export function accessToken(chat: Chat, lease: string, refused?: number): Promise<Borrowed> {
  return (chat as Client).ask({ type: 'borrow', lease, ...(refused !== undefined && { spent: refused }) })
}

/** Nothing, if the callback throws, or does not settle in time. */
async function lookUp(supplier: Supplier): Promise<Supplied | undefined> {
  const abort = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const tooLong = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, SUPPLY_TIMEOUT_MS, undefined)
  })
  try {
    const given = await Promise.race([supplier(abort.signal), tooLong])
    const supplied = typeof given === 'string' ? { token: given } : given
    return supplied && withLifetime(supplied)
  } catch (error) {
    reportError(error)
    return undefined
  } finally {
    clearTimeout(timer)
    abort.abort()
  }
}

/** A JWT says itself how long it lives: the difference of two instants of its issuer's clock. */
function withLifetime(supplied: Supplied): Supplied {
  try {
    const [, claims = ''] = (supplied.token ?? '').split('.')
    const { exp, iat } = JSON.parse(atob(claims.replace(/-/g, '+').replace(/_/g, '/')))
    return exp > iat ? { expiresIn: exp - iat, ...supplied } : supplied
  } catch {
    // No JWT: what it is, the worker need not know.
    return supplied
  }
}
