// The worker for sites without a build step: dist/holdfast-sw.js, registered with `?config=/holdfast/config.json`,
// or pulled into a site's own worker by importScripts after `self.holdfastConfig = '/holdfast/config.json'`.

import { HoldfastError } from '../core/errors.ts'
import { keptAt, loadConfig } from './config.ts'
import type { WorkerConfig } from './host.ts'
import { sessionService } from './platforms/session-service.ts'
import { startWorker } from './worker.ts'

declare const self: ServiceWorkerGlobalScope & { holdfastConfig?: string }

const url = self.holdfastConfig ?? new URL(self.location.href).searchParams.get('config')
/** Looked for while the first call is still on its way. */
let kept = url === null ? undefined : keptAt(url)
let loading: Promise<WorkerConfig> | undefined

function load(): Promise<WorkerConfig> {
  if (url === null) {
    const message = 'The worker has no configuration: register it with "?config=/path/to/config.json".'
    return Promise.reject(new HoldfastError('CONFIG_INVALID', message))
  }
  loading ??= loadConfig(url, { 'session-service': sessionService }, kept).catch((error: unknown) => {
    loading = undefined
    kept = undefined
    throw error
  })
  return loading
}

startWorker(load)
// Read while the first event is on its way; a failure is told to whoever calls.
load().catch(() => {})
