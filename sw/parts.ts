// Every part that an engine may have. Who builds a worker of their own gets all of them; a prebuilt one names those that its
// platform, and a configuration in JSON, have a use for.

import { told } from '../core/fold-told.ts'
import { planLease } from '../core/leases.ts'
import { signer } from './engine-identity.ts'
import { leasesOn } from './engine-leases.ts'
import type { Parts } from './host.ts'

export const PARTS: Parts = { leases: leasesOn, planLease, signer, told }
