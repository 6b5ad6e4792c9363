// Starts a worker whose configuration is a file: named by `?config=` of its own address, or by `self.holdfastConfig` where it
// was pulled into a site's own worker. Which platforms it holds is said by who calls.

import { HoldfastError } from '../core/errors.ts'
import { keptAt, loadConfig, type PlatformMaker } from './config.ts'
import type { DeploymentConfig, WorkerConfig } from './host.ts'
import { startWorker } from './worker.ts'

declare const self: ServiceWorkerGlobalScope & {
  holdfastConfig?: string
  holdfastEncryption?: NonNullable<DeploymentConfig['encryption']>
}

export function startPrebuilt(makers: { readonly [type: string]: PlatformMaker }): void {
  const url = self.holdfastConfig ?? new URL(self.location.href).searchParams.get('config')
  /** Looked for while the first call is still on its way. */
  let kept = url === null ? undefined : keptAt(url)
  let loading: Promise<WorkerConfig> | undefined

  function load(): Promise<WorkerConfig> {
    if (url === null) {
      const message = 'The worker has no configuration: register it with "?config=/path/to/config.json".'
      return Promise.reject(new HoldfastError('CONFIG_INVALID', message))
    }
    loading ??= loadConfig(url, makers, kept, self.holdfastEncryption).catch((error: unknown) => {
      loading = undefined
      kept = undefined
      throw error
    })
    return loading
  }

  startWorker(load)
  // Read while the first event is on its way; a failure is told to whoever calls.
  load().catch(() => {})
}
