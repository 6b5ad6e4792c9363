// Page and worker of different versions: a typed answer, a way out, and never a loop.

import { connectAs, failureOf } from './failure.ts'
import { expect, test, texts } from './fixtures.ts'
import { connectHere, reconnect } from './tab.ts'

const CONFIGURED = { worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' }
const SCRIPT = '/holdfast/sw.js'

/** A worker that answers every call as one of another protocol version does. */
const STRANGER = `
self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('message', (event) => {
  const [port] = event.ports
  if (!port) return
  const error = { name: 'HoldfastError', code: 'PROTOCOL_MISMATCH', message: 'The page speaks protocol 1, the worker 2: reload the page.' }
  port.postMessage({ error })
})`
const stranger = { status: 200, type: 'text/javascript', body: STRANGER }

/** Runs in the page: counts the calls that leave for a worker from now on. */
function countCalls(): void {
  const counter = globalThis as unknown as { calls: number }
  counter.calls = 0
  const { postMessage } = ServiceWorker.prototype
  ServiceWorker.prototype.postMessage = function (this: ServiceWorker, ...args: unknown[]) {
    counter.calls += (args[0] as { type: string }).type === 'holdfast-call' ? 1 : 0
    return Reflect.apply(postMessage, this, args)
  } as typeof postMessage
}

/** Runs in the page: until the script that the site has now is the active worker. */
async function replaceWorker(): Promise<void> {
  const [registration] = await navigator.serviceWorker.getRegistrations()
  const former = registration?.active
  const gone = new Promise<void>((resolve) => {
    former?.addEventListener('statechange', () => former.state === 'redundant' && resolve())
  })
  await registration?.update()
  await gone
}

test('[LK5] a call of another protocol version is refused with a code and the way out, and nothing is changed', async ({
  world,
}) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  // By hand, as a page that brings another version of everything would.
  const call = (caller: unknown, command: unknown) =>
    tab.page.evaluate(
      async ([who, what]) => {
        const registrations = await navigator.serviceWorker.getRegistrations()
        const { port1, port2 } = new MessageChannel()
        registrations[0]?.active?.postMessage({ type: 'holdfast-call', caller: who, command: what }, [port2])
        return new Promise<unknown>((resolve) => {
          port1.onmessage = ({ data }) => resolve(data.error)
        })
      },
      [caller, command] as const,
    )
  const caller = { protocol: 1, deployment: 'demo', tab: 't', epoch: '', visible: true }
  const enqueue = { type: 'enqueue', messages: [{ key: 'k', text: 'from the future' }] }
  for (const wrong of [{ ...caller, protocol: 99 }, { protocol: 99 }, { ...caller, protocol: '1' }, null, 'x']) {
    expect(await call(wrong, enqueue), JSON.stringify(wrong)).toEqual({
      name: 'HoldfastError',
      code: 'PROTOCOL_MISMATCH',
      message: expect.stringContaining('reload the page'),
    })
  }
  for (const wrong of [null, {}, { type: 'toString' }, { type: 'enqueue' }, { ...enqueue, messages: [{}] }])
    expect(await call(caller, wrong), JSON.stringify(wrong)).toMatchObject({ name: 'TypeError' })
  await tab.page.evaluate(async () => (await globalThis.chat.send('of today')).settled)
  expect(await texts(world)).toEqual(['of today'])
})

test('[LK5] a worker of another version: connect says to reload, once per try, and looks for a newer worker', async ({
  world,
}) => {
  world.site.overrides.set(SCRIPT, stranger)
  const tab = await world.tab({ isBare: true })
  await tab.page.evaluate(countCalls)
  const failure = await failureOf(tab.page, connectAs as never, CONFIGURED)
  expect(failure).toMatchObject({ name: 'HoldfastError', code: 'PROTOCOL_MISMATCH' })
  expect(failure?.message).toContain('reload the page')
  // The site is whole again: the look for a newer worker that the refusal caused brings it.
  world.site.overrides.delete(SCRIPT)
  const replaced = tab.page.evaluate(async () => {
    const [registration] = await navigator.serviceWorker.getRegistrations()
    await new Promise((resolve) => registration?.addEventListener('updatefound', resolve))
    const worker = registration?.installing
    await new Promise<void>((resolve) => {
      const look = () => worker?.state === 'activated' && resolve()
      worker?.addEventListener('statechange', look)
      look()
    })
  })
  expect(await failureOf(tab.page, connectAs as never, CONFIGURED)).toMatchObject({ code: 'PROTOCOL_MISMATCH' })
  // One call each for the two tries, and each said goodbye: a loop would have made more.
  const calls = await tab.page.evaluate(() => (globalThis as unknown as { calls: number }).calls)
  expect(calls).toBeLessThanOrEqual(4)
  await replaced
  await tab.page.evaluate(connectHere, 'demo')
  await tab.page.evaluate(async () => (await globalThis.chat.send('in one version')).settled)
  expect(await texts(world)).toEqual(['in one version'])
})

test('[LK5] a newer worker takes over a page in use: its calls say to reload, and a reload finds everything', async ({
  world,
}) => {
  const tab = await world.tab()
  await tab.until((state) => state.phase === 'live')
  world.proxy.offline(true)
  await tab.send('kept')
  world.site.overrides.set(SCRIPT, stranger)
  await tab.page.evaluate(replaceWorker)
  await tab.page.evaluate(countCalls)
  const failure = await failureOf(tab.page, () => globalThis.chat.send('refused'))
  expect(failure).toMatchObject({ name: 'HoldfastError', code: 'PROTOCOL_MISMATCH' })
  await tab.page.waitForFunction(() => globalThis.problems.some(({ code }) => code === 'PROTOCOL_MISMATCH'))
  const calls = await tab.page.evaluate(() => (globalThis as unknown as { calls: number }).calls)
  expect(calls).toBeLessThanOrEqual(6)
  world.site.overrides.delete(SCRIPT)
  world.proxy.offline(false)
  await tab.page.evaluate(replaceWorker)
  await tab.page.reload()
  await reconnect(tab)
  await tab.until((state) => state.messages[0]?.status === 'acked')
  expect(await texts(world)).toEqual(['kept'])
})
