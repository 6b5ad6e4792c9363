// The entry of a service worker that a site builds: the whole engine, with every part that its configuration may ask for.

import { PARTS } from './parts.ts'
import { type Lender, type Loadable, start } from './worker-start.ts'

export type { DeploymentConfig, LeaseConfig, PlatformFactory, WorkerConfig } from './host.ts'
export type { Lender } from './worker-start.ts'

/**
 * Starts holdfast in this service worker. Call it once, at the top level of the worker's script: listeners that are
 * added later do not wake a worker.
 *
 * Nothing touches the network before a tab calls. Offline, everything is accepted and kept.
 *
 * @param config the deployments by name, or a function that loads them; a failed load is tried again at the next call
 * @example
 * ```ts
 * import { startWorker } from 'holdfast/sw'
 * import { sessionService } from 'holdfast/platforms/session-service'
 * startWorker({ deployments: { acme: { platform: sessionService({ url: 'https://chat.example.com' }), vault: 'broker' } } })
 * ```
 */
export const startWorker = (config: Loadable): Lender => start(config, PARTS)
