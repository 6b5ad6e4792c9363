// A browser on a profile of its own that outlives it: what a visitor's disk keeps between two starts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, firefox, webkit } from '@playwright/test'
import { type Options, startWorld, test } from './fixtures.ts'

export interface OnDisk {
  readonly world: Awaited<ReturnType<typeof startWorld>>
  /** Starts the browser, again and again on the same profile. */
  launch(): Promise<BrowserContext>
  readonly profile: string
}

export async function withProfile(options: Partial<Options>, use: (on: OnDisk) => Promise<void>): Promise<void> {
  const world = await startWorld(options)
  const profile = mkdtempSync(join(tmpdir(), 'holdfast-profile-'))
  const contexts: BrowserContext[] = []
  const launch = async () => {
    const { browserName = 'chromium', channel, launchOptions } = test.info().project.use
    const options = { ...launchOptions, ...(channel !== undefined && { channel }) }
    const context = await { chromium, firefox, webkit }[browserName].launchPersistentContext(profile, options)
    contexts.push(context)
    return context
  }
  try {
    await use({ world, launch, profile })
  } finally {
    for (const context of contexts) await context.close().catch(() => {})
    await world.close()
    rmSync(profile, { recursive: true, force: true })
  }
}
