// The outbox beside the usual tools, in one real worker, one run, alternating: how fast messages are stored, and sent.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from '@playwright/test'
import { build } from 'vite'
import { accept, connected } from './accept.ts'
import { drain, drainOurs } from './drain.ts'
import { heapOf } from './heap.ts'
import { herd } from './herd.ts'
import { kills } from './kills.ts'
import { atLeast, atMost, type Figure, type Lab, median, openLab } from './lab.ts'
import './page.ts'
import type { Ask } from './queue-worker.ts'

const ROUNDS = 5
const ONE_BY_ONE = 300
const AT_ONCE = 1_000
const REPLAYED = 200
const ROWS = 10_000
const PAINT_MS_MAX = 30
const SCRIPT = '/holdfast/sw.js'
/** What is shown and what was asked for is held; what else there is, is not. */
const HEAP_RATIO_MAX = 1.2
/** 170 bytes with its number. */
const TEXT = 'x'.repeat(165)

export async function queue(): Promise<readonly Figure[]> {
  const lab = await openLab({ deployments: ['demo', 'lane0', 'kills'] })
  try {
    const page = await withWorker(lab)
    const ask = asker(lab, page)
    return [
      ...(await allStored()),
      ...(await sent(lab, ask)),
      ...(await kills(lab, page, ask)),
      ...(await painted(lab)),
      ...(await herd()),
    ]
  } finally {
    await lab.close()
  }
}

const asker = (lab: Lab, page: Page) => (change: Partial<Ask>) =>
  page.evaluate((value) => (globalThis as unknown as { queueAsk(ask: unknown): Promise<unknown> }).queueAsk(value), {
    ...{ who: 'ours', count: ONE_BY_ONE, isAtOnce: false, text: TEXT },
    ...{ service: lab.service.url.replace('127.0.0.1', 'localhost'), ...change },
  })

/** On a disk: in a private window nothing is strict, and a transaction costs its way through the browser only. */
async function allStored(): Promise<readonly Figure[]> {
  const profile = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const lab = await openLab({ profile })
  try {
    const ask = asker(lab, await withWorker(lab))
    const rates = async (change: Partial<Ask>) => {
      const found: Record<string, number[]> = { ours: [], workbox: [], tanstack: [], floor: [] }
      for (let round = 0; round < ROUNDS; round++) {
        for (const [who, list] of Object.entries(found))
          list.push(Number(await ask({ ...change, who: who as Ask['who'] })))
      }
      return Object.fromEntries(Object.entries(found).map(([who, list]) => [who, median(list)]))
    }
    const single = await rates({})
    const burst = await rates({ count: AT_ONCE, isAtOnce: true })
    return [...stored(single, 'one by one', [1, 0, 0.8]), ...stored(burst, 'at once', [5, 0, 0.5])]
  } finally {
    await lab.close()
    rmSync(profile, { recursive: true, force: true })
  }
}

/** With what is measured from a page and against a bare loop: all that the outbox promises. */
export async function wholeQueue(): Promise<readonly Figure[]> {
  return [...(await queue()), ...(await accept()), ...(await drain())]
}

/** Beside workbox, TanStack (whose commits a power cut may take back: shown, and no measure) and the floor, in this order. */
function stored(
  rates: Record<string, number>,
  how: string,
  [workbox = 0, tanstack = 0, floor = 0]: number[],
): Figure[] {
  const { ours = 0 } = rates
  const line = (who: string, limit: number) =>
    atLeast(`stored in the worker, ${how}, beside ${who}`, '/s', ours, rates[who] ?? 0, limit)
  return [line('workbox', workbox), line('tanstack', tanstack), line('floor', floor)]
}

/** Both timed by the service's own clock, from the first message of a conversation to its last. */
async function sent(lab: Lab, ask: (change: Partial<Ask>) => Promise<unknown>): Promise<readonly Figure[]> {
  const page = await lab.page()
  await page.evaluate(async () => {
    const worker = '/holdfast/sw.js?config=/holdfast/config.json'
    globalThis.chats = [await globalThis.holdfast.connect({ worker, deployment: 'lane0' })]
  })
  const texts = Array.from({ length: REPLAYED }, (_, index) => `${TEXT} ${index}`)
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const log = await lab.service.messages(String(await ask({ who: 'replay', count: REPLAYED })))
    theirs.push((log.length * 1_000) / ((log.at(-1)?.at ?? 0) - (log[0]?.at ?? 0)))
    ours.push(await drainOurs(lab, page, texts))
  }
  await page.close()
  return [atLeast('sent, one conversation, beside workbox', 'messages/s', median(ours), median(theirs), 1.2)]
}

/** From the first answer of a worker that has just started to the newest 50 of a long transcript on the screen. */
async function painted(lab: Lab): Promise<readonly Figure[]> {
  const page = await connected(lab)
  const before = await heapOf(lab, SCRIPT)
  await page.evaluate(plantRows, ROWS)
  await page.reload()
  await lab.killWorkers(page)
  await page.waitForFunction(() => 'holdfast' in globalThis)
  const ms = await page.evaluate(async () => {
    const worker = '/holdfast/sw.js?config=/holdfast/config.json'
    const chat = await globalThis.holdfast.connect({ worker, deployment: 'demo' })
    const from = performance.now()
    for (const { text } of chat.state.messages) {
      document.body.append(Object.assign(document.createElement('p'), { textContent: text }))
    }
    await new Promise((resolve) => requestAnimationFrame(resolve))
    return chat.state.messages.length === 50 ? performance.now() - from : Number.POSITIVE_INFINITY
  })
  await page.evaluate(async () => {
    const chat = await globalThis.holdfast.connect({
      worker: '/holdfast/sw.js?config=/holdfast/config.json',
      deployment: 'demo',
    })
    await chat.history({ limit: 200 })
  })
  const after = await heapOf(lab, SCRIPT)
  return [
    atMost(`newest 50 of ${ROWS} on the screen after the first answer`, 'ms', ms, PAINT_MS_MAX, 1),
    atMost(`memory of the worker, ${ROWS} messages beside none`, 'kB', after / 1024, before / 1024, HEAP_RATIO_MAX),
  ]
}

/** Runs in the page: a transcript as if it had been received. */
async function plantRows(count: number): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open('holdfast:demo')
    request.onsuccess = () => resolve(request.result)
  })
  const transaction = database.transaction(['slots', 'transcript'], 'readwrite')
  const { epoch, conversation } = globalThis.chat.state
  const conversationId = conversation?.id
  for (let seq = 1; seq <= count; seq++) {
    const row = { conversationId, seq, id: `m${seq}`, role: 'agent', text: `message ${seq}`, at: seq, epoch }
    transaction.objectStore('transcript').put(row)
  }
  const slots = transaction.objectStore('slots')
  const request = slots.get('state')
  request.onsuccess = () => {
    const transcript = { ...request.result.transcript, headSeq: count, cursor: { seq: count, id: `m${count}` } }
    slots.put({ ...request.result, transcript }, 'state')
  }
  await new Promise((resolve) => {
    transaction.oncomplete = resolve
  })
  database.close()
}

/** A page whose `queueAsk` is one round trip to the bench's own worker. */
async function withWorker(lab: Lab): Promise<Page> {
  lab.site.overrides.set('/queue/sw.js', { status: 200, type: 'text/javascript', body: await bundled() })
  const page = await lab.page()
  await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.register('/queue/sw.js', { scope: '/queue/' })
    const worker = registration.installing ?? registration.waiting ?? registration.active
    await new Promise<void>((resolve) => {
      if (worker?.state === 'activated') resolve()
      worker?.addEventListener('statechange', () => worker.state === 'activated' && resolve())
    })
    const queueAsk = (ask: unknown) =>
      new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel()
        port1.onmessage = ({ data }) => resolve(data)
        registration.active?.postMessage(ask, [port2])
      })
    Object.assign(globalThis, { queueAsk })
  })
  return page
}

async function bundled(): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    await build({
      configFile: false,
      logLevel: 'warn',
      publicDir: false,
      define: { 'process.env.NODE_ENV': '"production"' },
      build: {
        outDir,
        emptyOutDir: false,
        target: 'es2022',
        lib: {
          entry: join(process.cwd(), 'bench/queue-worker.ts'),
          formats: ['iife'],
          name: 'queue',
          fileName: () => 'sw.js',
        },
      },
    })
    return readFileSync(join(outDir, 'sw.js'), 'utf8')
  } finally {
    rmSync(outDir, { recursive: true, force: true })
  }
}
