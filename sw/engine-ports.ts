// What one engine stands on. Each port is said in core/ports.ts, in our own words; this is the whole set.

import type {
  Channel,
  Clock,
  Platform,
  Pump,
  Random,
  Store,
  Stream,
  StreamReport,
  TokenSource,
  Vault,
} from '../core/ports.ts'
import type { Spare } from '../core/draft.ts'
import type { Lifetimes } from '../core/lifetimes.ts'
import type { Signer, SignIn } from './engine-identity.ts'
import type { Desk, Leases } from './engine-leases.ts'
import type { Screen } from './engine-screen.ts'
import type { Sharing } from './engine-shared.ts'
import type { Crowd } from './engine-tell.ts'

export interface Ports extends Spare {
  readonly clock: Clock
  readonly random: Random
  readonly store: Store
  readonly channel: Channel
  readonly platform: Platform
  readonly vault: Vault
  readonly pump: Pump
  /** Of leases whose tokens do not come from the platform. */
  readonly sources?: { readonly [lease: string]: TokenSource }
  /** Leases whose access token a page may have. */
  readonly lent?: readonly string[]
  /** What tabs and calls of the site's own have to do with leases; without it nothing is supplied, and nothing lent. */
  readonly leases?: ((desk: Desk) => Leases) | undefined
  /** Joins the session to a user by a token of the site's own; without it, nobody is signed in so. */
  readonly signer?: ((desk: SignIn) => Signer) | undefined
  /** Looks at what a tab wants stored; without it everything passes. */
  readonly screen?: Screen | undefined
  /** The engines of the same worker. */
  readonly crowd?: Crowd | undefined
  /** Strangers use the device, one after the other. */
  readonly shared?: Sharing | undefined
  /** How long what is stored here is kept. */
  readonly lifetimes?: Lifetimes | undefined
  stream(report: (report: StreamReport) => void): Stream
}
