// Runs in a service worker of the bench: our engine, workbox-background-sync, TanStack's outbox and the floor, on one disk.
// Each is asked for the same: so many messages, one after the other or all at once, until they are stored.

import { IndexedDBAdapter, OutboxManager } from '@tanstack/offline-transactions'
import { Queue } from 'workbox-background-sync'
import { PROTOCOL_VERSION } from '../core/wire.ts'
import { random } from '../sw/browser.ts'
import { createHost } from '../sw/host.ts'
import { sessionService } from '../sw/platforms/session-service.ts'

export interface Ask {
  readonly who: 'ours' | 'workbox' | 'tanstack' | 'floor' | 'replay' | 'fill' | 'rerun'
  readonly count: number
  readonly isAtOnce: boolean
  readonly text: string
  readonly service: string
}

interface ExtendableMessage extends MessageEvent<Ask> {
  waitUntil(work: Promise<unknown>): void
}

/** Nobody is there: what is accepted stays. */
const AWAY = 'http://localhost:9'

const caller = { protocol: PROTOCOL_VERSION, deployment: 'bench', tab: 'bench', epoch: '', visible: true }
const host = createHost(
  async () => ({ deployments: { bench: { platform: sessionService({ url: AWAY }) } } }),
  crypto.randomUUID(),
  {},
)
const workbox = new Queue('bench', { onSync: async () => {} })
const tanstack = new OutboxManager(new IndexedDBAdapter('tanstack'), {})
const opened = new Promise<IDBDatabase>((resolve) => {
  const request = indexedDB.open('queue-floor', 1)
  request.onupgradeneeded = () => request.result.createObjectStore('records', { autoIncrement: true })
  request.onsuccess = () => resolve(request.result)
})

async function floor(records: readonly string[]): Promise<void> {
  const transaction = (await opened).transaction('records', 'readwrite', { durability: 'strict' })
  for (const text of records) transaction.objectStore('records').put({ text })
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve
    transaction.onerror = reject
  })
}

const requestTo = (
  url: string,
  body: object,
  headers: Record<string, string> = {},
  credentials: RequestCredentials = 'include',
) =>
  new Request(url, {
    method: 'POST',
    credentials,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

const PUTS: { readonly [who: string]: (text: string) => Promise<unknown> } = {
  ours: (text) => host.run(caller, { type: 'enqueue', messages: [{ key: random.key(), text }] }),
  workbox: (text) => workbox.pushRequest({ request: requestTo(`${AWAY}/messages`, { text }) }),
  tanstack: (text) => {
    const id = crypto.randomUUID()
    const more = { mutations: [], keys: ['lane'], idempotencyKey: id, retryCount: 0, nextAttemptAt: 0 }
    return tanstack.add({
      ...{ id, mutationFnName: 'send', metadata: { text }, createdAt: new Date(), version: 1 },
      ...more,
    })
  },
  floor: (text) => floor([text]),
}

/** Messages per second. */
async function store({ who, count, isAtOnce, text }: Ask): Promise<number> {
  const put = PUTS[who] as (text: string) => Promise<unknown>
  await put(text)
  const texts = Array.from({ length: count }, (_, index) => `${text} ${index}`)
  const from = performance.now()
  if (isAtOnce) await (who === 'floor' ? floor(texts) : Promise.all(texts.map(put)))
  else for (const one of texts) await put(one)
  return (count * 1_000) / (performance.now() - from)
}

/** Fills a queue of workbox with keyed messages of a conversation of its own, and replays it; answers which one that is. */
async function replay({ service, count, text }: Ask): Promise<string> {
  const json = async (path: string, body: object, headers: Record<string, string> = {}) =>
    (await fetch(requestTo(`${service}${path}`, body, headers))).json()
  const session = await json('/api/v2/widget/sessions', {
    ...{ deploymentId: 'demo', refreshKey: crypto.randomUUID(), tokenDelivery: 'body' },
  })
  const authorization = `Bearer ${session.grant.access_token}`
  const keyed = () => ({ authorization, 'idempotency-key': crypto.randomUUID() })
  const { id, participantId } = await json('/api/v2/messaging/conversations', { channelId: 'web' }, keyed())
  const queue = new Queue(`replay ${id}`, { onSync: async () => {} })
  const url = `${service}/api/v2/messaging/conversations/${id}/messages`
  for (let index = 0; index < count; index++)
    await queue.pushRequest({ request: requestTo(url, { participantId, text: `${text} ${index}` }, keyed()) })
  await queue.replayRequests()
  return id
}

/** What is to be replayed through kills of the worker: one queue, opened once in each of its lives. */
let killed: Queue | undefined
const queueOfKills = (): Queue => (killed ??= new Queue('kills', { onSync: async () => {} }))

async function fill({ service, count, text }: Ask): Promise<void> {
  for (let index = 0; index < count; index++)
    await queueOfKills().pushRequest({ request: requestTo(service, { text: `${text} ${index}` }, {}, 'omit') })
}

/** Answers how many are left. */
async function rerun(): Promise<number> {
  await queueOfKills()
    .replayRequests()
    .catch(() => {})
  return (await queueOfKills().getAll()).length
}

const WORK: { readonly [who: string]: (ask: Ask) => Promise<unknown> } = { replay, fill, rerun }

const worker = globalThis as unknown as {
  addEventListener(type: string, listener: (event: ExtendableMessage) => void): void
  skipWaiting(): void
}
worker.addEventListener('install', () => worker.skipWaiting())
worker.addEventListener('message', (event) => {
  const work = (WORK[event.data.who] ?? store)(event.data)
  const [port] = event.ports
  event.waitUntil(
    work.then(
      (result) => port?.postMessage(result),
      (error) => port?.postMessage({ error: String(error) }),
    ),
  )
})
