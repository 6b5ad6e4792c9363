// The engine in a page, where there is no service worker. Every tab runs one over the same database; the one that holds
// the pump does the network's work, the others hear of it by the channel.

import { pumpOf, random } from './browser.ts'
import { type JsonConfig, loadConfig, parseConfig } from './config.ts'
import { encryption } from './encryption.ts'
import { electedPump } from './election.ts'
import { createHost, type Host, type WorkerConfig } from './host.ts'
import { PARTS } from './parts.ts'
import { sessionService } from './platforms/session-service.ts'

const MAKERS = { 'session-service': sessionService }

/** @param config the deployments, or the address of their JSON */
export function startLocal(config: WorkerConfig | JsonConfig | string): Host {
  const load = async (): Promise<WorkerConfig> => {
    if (typeof config === 'string') return loadConfig(config, MAKERS, undefined, encryption)
    const isReady = Object.values(config.deployments).every(({ platform }) => typeof platform === 'function')
    return isReady ? (config as WorkerConfig) : parseConfig(config, MAKERS, encryption)
  }
  let loading: Promise<WorkerConfig> | undefined
  const once = () => {
    loading ??= load().catch((error: unknown) => {
      loading = undefined
      throw error
    })
    return loading
  }
  const pump = (navigator.locks as LockManager | undefined) === undefined ? electedPump : pumpOf
  // Not crypto.randomUUID(): a page without HTTPS has none.
  const host = createHost(once, random.key(), PARTS, pump)
  return { ...host, ping: (caller) => host.ping(caller).catch(() => {}) }
}
