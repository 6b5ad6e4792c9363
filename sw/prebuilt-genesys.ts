// The same for Genesys Cloud Web Messaging: dist/holdfast-sw-genesys.js, with `{ "type": "genesys", "domain": …,
// "deploymentId": … }` as the platform in its configuration.

import './prebuilt-kept.ts'
import { genesys } from './platforms/genesys.ts'
import { startPrebuilt } from './prebuilt-start.ts'
import { leasesOn } from './engine-leases.ts'
import { told } from '../core/fold-told.ts'
import { planLease } from '../core/leases.ts'

startPrebuilt({ genesys }, { leases: leasesOn, planLease, told })
