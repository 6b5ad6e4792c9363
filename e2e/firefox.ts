// What only the parent process of a Firefox can do to its service workers. Playwright drives a Firefox of the system over
// WebDriver BiDi and has no call for it; its own connection is reached into, so the version of Playwright is pinned.

import type { BrowserContext } from '@playwright/test'

interface Connection {
  toImpl(context: BrowserContext): { readonly _browser: { readonly _browserSession: Session } }
}
interface Session {
  send(method: 'browsingContext.getTree', params: object): Promise<{ contexts: [{ context: string }] }>
  send(method: 'script.callFunction', params: object): Promise<{ type: string; exceptionDetails?: { text: string } }>
}

const KILL = `async (origin) => {
  const manager = Cc['@mozilla.org/serviceworkers/manager;1'].getService(Ci.nsIServiceWorkerManager)
  const all = manager.getAllRegistrations()
  for (let index = 0; index < all.length; index++) {
    const { scope, activeWorker } = all.queryElementAt(index, Ci.nsIServiceWorkerRegistrationInfo)
    if (scope.startsWith(origin)) await activeWorker?.terminateWorker()
  }
}`

/** Ends every worker of an origin, in the middle of whatever it does. */
export async function killWorkersOf(context: BrowserContext, origin: string): Promise<void> {
  const { _connection: connection } = context as unknown as { readonly _connection: Connection }
  const session = connection.toImpl(context)._browser._browserSession
  const { contexts } = await session.send('browsingContext.getTree', { 'moz:scope': 'chrome', maxDepth: 0 })
  const answer = await session.send('script.callFunction', {
    functionDeclaration: KILL,
    awaitPromise: true,
    arguments: [{ type: 'string', value: origin }],
    target: contexts[0],
  })
  if (answer.type === 'exception') throw new Error(`Firefox did not end the workers: ${answer.exceptionDetails?.text}`)
}
