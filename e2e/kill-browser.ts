// The death of a whole browser, as a power cut or a task manager brings it.

import type { BrowserContext } from '@playwright/test'

/** SIGKILL for the browser's own process: its children go with it, nothing is flushed. */
export async function killBrowser(context: BrowserContext): Promise<void> {
  const session = await context.browser()?.newBrowserCDPSession()
  if (session === undefined) throw new Error('There is no browser to kill.')
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  const main = processInfo.find((info) => info.type === 'browser')
  const closed = new Promise((resolve) => context.once('close', resolve))
  process.kill(main?.id ?? 0, 'SIGKILL')
  await closed
}
