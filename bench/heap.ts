// What the worker holds in memory, read through the browser's debugger after a collection.

import type { CDPSession } from '@playwright/test'
import type { Lab } from './lab.ts'

interface Heap {
  readonly usedSize: number
}

/** Bytes in use by the worker whose script has this path. */
export async function heapOf(lab: Lab, path: string): Promise<number> {
  const browser = await lab.context.browser()?.newBrowserCDPSession()
  if (browser === undefined) throw new Error('The browser has no debugger.')
  const { targetInfos } = await browser.send('Target.getTargets')
  const target = targetInfos.find(({ type, url }) => type === 'service_worker' && url.includes(path))
  if (target === undefined) throw new Error(`No worker of ${path} is running.`)
  const { sessionId } = await browser.send('Target.attachToTarget', { targetId: target.targetId, flatten: false })
  await asked(browser, sessionId, 'HeapProfiler.collectGarbage')
  const { usedSize } = (await asked(browser, sessionId, 'Runtime.getHeapUsage')) as Heap
  await browser.detach()
  return usedSize
}

let count = 0

/** One call to a target, by way of the browser. */
function asked(browser: CDPSession, sessionId: string, method: string): Promise<unknown> {
  const id = ++count
  return new Promise((resolve) => {
    const hear = (event: { sessionId: string; message: string }) => {
      const answer = JSON.parse(event.message) as { id?: number; result?: unknown }
      if (event.sessionId !== sessionId || answer.id !== id) return
      browser.off('Target.receivedMessageFromTarget', hear)
      resolve(answer.result)
    }
    browser.on('Target.receivedMessageFromTarget', hear)
    void browser.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method }) })
  })
}
