// Starts a worker whose configuration is a file: named by `?config=` of its own address, or by `self.holdfastConfig` where it
// was pulled into a site's own worker. Which platforms it holds is said by who calls.

import { HoldfastError } from '../core/errors.ts'
import { loadConfig, type PlatformMaker } from './config.ts'
import type { DeploymentConfig, Parts, WorkerConfig } from './host.ts'
import { kept, url } from './prebuilt-kept.ts'
import { start } from './worker-start.ts'

declare const self: ServiceWorkerGlobalScope & {
  holdfastEncryption?: NonNullable<DeploymentConfig['encryption']>
}

/** @param parts what these platforms have a use for */
export function startPrebuilt(makers: { readonly [type: string]: PlatformMaker }, parts: Parts): void {
  let first = kept
  let loading: Promise<WorkerConfig> | undefined

  function load(): Promise<WorkerConfig> {
    if (url === null) {
      const message = 'The worker has no configuration: register it with "?config=/path/to/config.json".'
      return Promise.reject(new HoldfastError('CONFIG_INVALID', message))
    }
    loading ??= loadConfig(url, makers, first, self.holdfastEncryption).catch((error: unknown) => {
      loading = undefined
      first = undefined
      throw error
    })
    return loading
  }

  start(load, parts)
  // Read while the first event is on its way; a failure is told to whoever calls.
  load().catch(() => {})
}
