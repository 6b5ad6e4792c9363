// The first thing that a prebuilt worker does: its configuration is looked for on the disk while the rest of the script
// is still being evaluated, and the first call on its way. So this is imported before everything else.

import { keptAt } from './config-kept.ts'

declare const self: ServiceWorkerGlobalScope & { holdfastConfig?: string }

/** Nothing, where nobody has said where the configuration is. */
export const url = self.holdfastConfig ?? new URL(self.location.href).searchParams.get('config')
export const kept = url === null ? undefined : keptAt(url)
