// A disk with no more room, really: SQLite's own limit on the size of a file, and the kernel's on that of a process.
// What was acknowledged stays, the service stays up and can be read, and goes on once there is room.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Driver, StoreFullError } from '../../server/drivers/driver.ts'
import { openSqlite } from '../../server/drivers/sqlite.ts'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { SqlStore } from '../../server/store.ts'
import { bundledMain, NodeProcess } from '../servers/node.ts'
import {
  type Answer,
  type Created,
  type Listed,
  type MessageAnswer,
  type Problem,
  times,
  Visitor,
} from './server-visitor.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const WRITERS = 8
const LONG = 'x'.repeat(4000)
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

type Embedded = { service: SessionService; run: (sql: string) => Promise<void>; lines: Record<string, unknown>[] }

async function embedded(): Promise<Embedded> {
  let run: Embedded['run'] = async () => {}
  const lines: Embedded['lines'] = []
  const service = await createSessionService({
    data: join(folder, 'data'),
    log: (line) => lines.push(line),
    hooks: {
      storeOpened: (opened) => {
        run = opened
      },
    },
  })
  return { service, run: (sql) => run(sql), lines }
}

/** Posts from several writers until the disk is full and a little longer; resolves with what was answered to whom. */
async function fill(visitor: Visitor, conversation: Created, tries = 100): Promise<Map<string, Answer<MessageAnswer>>> {
  const answers = new Map<string, Answer<MessageAnswer>>()
  await Promise.all(
    times(WRITERS, async (writer) => {
      for (let n = 0, refused = 0; refused < 3 && n < tries; n++) {
        const key = `key-of-${writer}-${n}`
        const answer = await visitor.say(conversation, LONG, key)
        answers.set(key, answer)
        if (answer.status !== 201) refused++
      }
    }),
  )
  return answers
}

async function everything(visitor: Visitor, id: string): Promise<Listed['messages']> {
  const all: Listed['messages'] = []
  for (let query = '?limit=200'; ; query = `?limit=200&afterId=${all.at(-1)?.id}`) {
    const { body } = await visitor.list(id, query)
    all.push(...body.messages)
    if (all.length >= body.lastSeq) return all
  }
}

test('[SV81] a full disk is a 503 of its own, loses nothing that was acknowledged, and ends with the room', async () => {
  const { service, run, lines } = await embedded()
  const visitor = new Visitor(service)
  const conversation = await visitor.begin()
  await run('pragma max_page_count=300')

  const answers = await fill(visitor, conversation)
  const refused = [...answers].filter(([, { status }]) => status !== 201)
  expect(refused.length).toBeGreaterThanOrEqual(WRITERS)
  for (const [, { status, headers, body }] of refused) {
    expect([status, (body as unknown as Problem).code]).toEqual([503, 'store-full'])
    expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
  }
  expect(lines.filter(({ event }) => event === 'request-failed').length).toBeLessThan(refused.length)
  const acknowledged = new Map(
    [...answers].flatMap(([key, { status, body }]) => (status === 201 ? [[key, body.seq]] : [])),
  )
  const stored = await everything(visitor, conversation.id)
  expect(new Map(stored.map(({ key, seq }) => [key, seq]))).toEqual(acknowledged)
  expect(stored.map(({ seq }) => seq)).toEqual(times(stored.length, (index) => index + 1))

  await run('pragma max_page_count=1000000')
  for (const [key] of refused) expect((await visitor.say(conversation, LONG, key)).status).toBe(201)
  expect((await everything(visitor, conversation.id)).length).toBe(answers.size)
  const metrics = await service.fetch(new Request('http://localhost/metrics'))
  expect(await metrics.text()).toContain(`holdfast_store_refusals_total ${refused.length}`)
  await service.close()
})

test('[SV81] whoever has shown a token before reads on while the disk is full; whoever has not is told to wait', async () => {
  const driver = await openSqlite({ path: ':memory:', durability: 'fast' })
  const [DAY_MS, NOW] = [86_400_000, 1_900_000_000_000]
  let isFull = false
  const tx: Driver['tx'] = (fn) => (isFull ? Promise.reject(new StoreFullError()) : driver.tx(fn))
  const { q, version } = driver
  const store = await SqlStore.open(
    {
      q,
      version,
      tx,
      migration: (fn) => driver.migration(fn),
      script: (sql) => driver.script(sql),
      close: () => driver.close(),
    },
    { sessionMs: 7 * DAY_MS, idleMs: DAY_MS, archiveMs: DAY_MS },
  )
  const visitorOf = async (name: string) => {
    const fresh = { sessionId: `session-${name}`, familyId: `family-${name}` }
    await store.sessions.open({ deploymentId: 'demo', keyHash: name, fresh }, NOW)
    return { ...fresh, generation: 1 }
  }
  const [known, stranger] = [await visitorOf('known'), await visitorOf('stranger')]
  await store.sessions.confirm(known, NOW)
  isFull = true
  // Long enough that the use of the token would be noted once more.
  const later = NOW + 10 * 60_000
  expect(await store.sessions.confirm(known, later)).toBe('live')
  await expect(store.sessions.confirm(stranger, later)).rejects.toThrow(StoreFullError)
  await store.close()
})

test('[SV81] a process whose files may not grow answers 503, stays up, and its store is sound at the next start', async () => {
  const bundle = await bundledMain('server-disk')
  const data = join(folder, 'data')
  // 512-byte blocks, as POSIX counts them: one megabyte. Only the soft limit, so that nothing is taken for good.
  const limited = ['-c', 'ulimit -S -f 2048; exec "$@"', 'sh', process.execPath, bundle.main]
  const child = spawn('sh', [...limited, 'serve', '--port', '0', '--data', data], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface(child.stdout)
    const [line] = (await once(lines, 'line')) as [string]
    const visitor = new Visitor((JSON.parse(line) as { url: string }).url)
    const conversation = await visitor.begin()
    const answers = await fill(visitor, conversation)
    const refused = [...answers.values()].filter(({ status }) => status !== 201)
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]))
    expect(refused.every(({ headers }) => Number(headers.get('Retry-After')) > 0)).toBe(true)
    expect((await visitor.list(conversation.id)).status).toBe(200)

    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    const again = new NodeProcess(bundle.main, ['--data', data])
    await again.start()
    const same = Object.assign(new Visitor(again.url), { cookie: visitor.cookie, token: visitor.token })
    for (const [key, { status }] of answers) {
      expect([key, (await same.say(conversation, LONG, key)).status]).toEqual([key, status === 201 ? 200 : 201])
    }
    expect((await everything(same, conversation.id)).map(({ seq }) => seq)).toEqual(
      times(answers.size, (index) => index + 1),
    )
    await again.stop('SIGTERM')
  } finally {
    child.kill('SIGKILL')
    await bundle.remove()
  }
})
