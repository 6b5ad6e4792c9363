// The engine in this page, for browsers without a service worker. Loaded only there: it brings the whole worker along.
// Leaves to others: when that is (connect.ts), and which of the tabs uses the network (sw/).

import { startLocal } from '../sw/local.ts'
import type { LocalWorker } from './api.ts'

/** @param script address of the worker that could not be had; its `?config=` names the deployments for us too */
export function host(script: URL): LocalWorker {
  return startLocal(new URL(script.searchParams.get('config') ?? '', script).href)
}
