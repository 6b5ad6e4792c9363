// What the service is told when a visitor is gone, and how that is kept until it has heard: as a will that only says whom to
// revoke, sealed apart from everything else.

import { leaseOf } from '../core/leases.ts'
import type { Sealed } from '../core/lease.ts'
import type { Outcome } from '../core/ports.ts'
import type { Conversation } from '../core/session.ts'
import type { Slots } from '../core/state.ts'
import { isBroker } from './engine-perform.ts'
import type { Ports } from './engine-ports.ts'
import type { Tokens } from './engine-tokens.ts'

/** Tokens that are to be revoked at one place. */
interface Legacy {
  readonly token?: string
  readonly refreshToken?: string
  readonly lease?: string
  readonly conversation?: Conversation | undefined
}

/** Nothing where a cookie alone says who somebody is: only the service can end that, and the state sees to it. */
export async function willOf(ports: Ports, tokens: Tokens, slots: Slots): Promise<Sealed | null | undefined> {
  const others = Object.keys(slots.leases ?? {}).map(async (lease) => {
    const held = await tokens.last(leaseOf(slots, lease))
    return held && { lease, ...held }
  })
  const own = isBroker(ports) ? {} : await tokens.last(slots.lease)
  const conversation = slots.session.conversation ?? undefined
  const all = [own && { ...own, conversation }, ...(await Promise.all(others))].filter((one) => one !== undefined)
  if (isBroker(ports) && all.length <= 1) return undefined
  return all.length === 0 ? null : ports.vault.bequeath(JSON.stringify(all))
}

/** Without a will it is the cookie that names who is gone. What nobody can open any more, nobody can use. */
export async function part({ platform, sources = {}, vault }: Ports, will: Sealed | null): Promise<Outcome<null>> {
  const legacies: readonly Legacy[] = will === null ? [{}] : JSON.parse((await vault.open(will)) ?? '[]')
  const told = legacies.map((legacy) => (sources[legacy.lease ?? ''] ?? platform).revoke?.(legacy))
  const [own = HEARD, ...others] = await Promise.all(told)
  // A cookie stands in the way of whoever comes next until its service has heard: nobody else may hold that up.
  return own.ok && !isBroker({ vault }) && others.some((one) => one?.ok === false) ? UNHEARD : own
}

const HEARD: Outcome<null> = { ok: true, value: null }
const UNHEARD: Outcome<null> = {
  ok: false,
  verdict: 'retry',
  code: 'SERVICE_UNREACHABLE',
  reason: 'An issuer has not heard of the logout.',
}
