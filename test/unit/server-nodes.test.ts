// Several nodes on one real PostgreSQL, woken by a real Redis or by NOTIFY: any node serves any conversation, and
// neither a lost notice, nor a dead broker, nor a dead database loses what was acknowledged.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openPostgres } from '../../server/drivers/postgres.ts'
import { createSessionService, type ServiceOptions, type SessionService } from '../../server/index.ts'
import { MIGRATIONS, migrate, SCHEMA_VERSION } from '../../server/schema.ts'
import { Listener } from '../servers/listener.ts'
import { type PostgresServer, startPostgres, statement } from '../servers/postgres.ts'
import { type RedisServer, startRedis } from '../servers/redis.ts'
import { type Created, freshKey, type Opened, type Problem, times, Visitor } from './server-visitor.ts'

// The machine may be busy with others, and a database is started and killed here.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 60_000 })

const DATABASE = { connectionsMax: 8 }
let postgres: PostgresServer
let redis: RedisServer
let database: string
const nodes: SessionService[] = []
const listeners: Listener[] = []

beforeAll(async () => {
  ;[postgres, redis] = await Promise.all([startPostgres(), startRedis()])
})
afterAll(() => Promise.all([postgres?.close(), redis?.close()]))
beforeEach(async () => {
  database = await postgres.database()
})
afterEach(async () => {
  for (const listener of listeners.splice(0)) listener.end()
  await Promise.all(nodes.splice(0).map((node) => node.close()))
})

async function node(options: ServiceOptions = {}): Promise<{ service: SessionService; url: string }> {
  const service = await createSessionService({
    database,
    databaseConnectionsMax: DATABASE.connectionsMax,
    fanout: redis.url,
    drainSpreadMs: 0,
    ...options,
  })
  nodes.push(service)
  return { service, url: (await service.listen(0)).url }
}

/** The same visitor at another node: no node keeps anything that the others lack. */
function at(url: string, visitor: Visitor): Visitor {
  return Object.assign(new Visitor(url), { cookie: visitor.cookie, token: visitor.token })
}

async function listen(url: string, visitor: Visitor, id: string): Promise<Listener> {
  const listener = new Listener(
    () => [url],
    () => visitor.token ?? '',
    id,
  )
  listeners.push(listener)
  await listener.ready()
  return listener
}

/** Once a notice can pass, it does: posts until the other side hears one without being asked to look. */
async function linked(visitor: Visitor, conversation: Created, listener: Listener): Promise<void> {
  const { body } = await visitor.say(conversation, 'linked?')
  const isHeard = ({ heard }: Listener) => heard.some(({ seq }) => seq >= body.seq)
  await vi.waitFor(
    async () => {
      await visitor.say(conversation, 'linked?')
      expect(isHeard(listener)).toBe(true)
    },
    { timeout: 15_000, interval: 100 },
  )
}

const seqs = (listener: Listener) => listener.heard.map(({ seq }) => seq)
const dense = (n: number) => times(n, (index) => index + 1)

describe('races over two nodes', () => {
  test('[SV1] 100 opens with one key at the same moment make one session', async () => {
    const [a, b] = [await node(), await node()]
    const answers = await Promise.all(
      times(100, (index) => new Visitor((index % 2 === 0 ? a : b).url).open('one-key-for-all')),
    )
    expect(answers.map(({ status }) => status).filter((status) => status !== 200 && status !== 201)).toEqual([])
    expect(new Set(answers.map(({ body }) => body.persistentSessionId)).size).toBe(1)
    const rows = await statement(database, 'select count(*)::int as n from session')
    expect(rows).toEqual([{ n: 1 }])
  })

  test('[SV14] 100 starts in one session at the same moment make one conversation', async () => {
    const [a, b] = [await node(), await node()]
    const visitor = new Visitor(a.url)
    await visitor.open()
    const answers = await Promise.all(times(100, (index) => at((index % 2 === 0 ? a : b).url, visitor).start()))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
  })

  test('[SV20] 100 posts of one key at the same moment make one message', async () => {
    const [a, b] = [await node(), await node()]
    const visitor = new Visitor(a.url)
    const conversation = await visitor.begin()
    const answers = await Promise.all(
      times(100, (index) => at((index % 2 === 0 ? a : b).url, visitor).say(conversation, 'once', 'key-of-once')),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(99)
    expect(new Set(answers.map(({ body }) => `${body.id} ${body.seq}`)).size).toBe(1)
    expect((await visitor.list(conversation.id)).body.lastSeq).toBe(1)
  })

  test('[SV6] 50 refreshes of one token with one key at the same moment make one successor', async () => {
    const [a, b] = [await node(), await node()]
    const visitor = new Visitor(a.url)
    const { body } = await visitor.open(freshKey(), { tokenDelivery: 'body' })
    const token = (body as Opened).grant.refresh_token
    const answers = await Promise.all(
      times(50, (index) => new Visitor((index % 2 === 0 ? a : b).url).refresh('key-of-the-refresh', token)),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    const successors = new Set(answers.map((answer) => answer.body.refresh_token))
    expect([...successors]).toEqual([expect.any(String)])
    expect(successors).not.toContain(token)
    const rows = await statement(database, 'select generation::int as generation from refresh_family')
    expect(rows).toEqual([{ generation: 2 }])
  })

  test('[SV64] five first starts at the same moment agree on tables and keys', async () => {
    const all = await Promise.all(times(5, () => node()))
    const visitor = new Visitor(all[0]?.url ?? '')
    const conversation = await visitor.begin()
    for (const { url } of all) expect((await at(url, visitor).say(conversation, 'x')).status).toBe(201)
  })
})

describe.each([
  { name: 'Redis', fanout: () => redis.url },
  { name: 'NOTIFY', fanout: () => database },
])('woken by $name', ({ fanout }) => {
  test('[SV65] what one node takes, a stream of another hears, in order and with typing', async () => {
    const [a, b] = [await node({ fanout: fanout() }), await node({ fanout: fanout() })]
    const visitor = new Visitor(a.url)
    const conversation = await visitor.begin()
    const listener = await listen(b.url, visitor, conversation.id)
    await linked(visitor, conversation, listener)
    const before = (await visitor.list(conversation.id)).body.lastSeq
    await Promise.all(times(50, (index) => at((index % 2 === 0 ? a : b).url, visitor).say(conversation, `n ${index}`)))
    await listener.until(({ heard }) => heard.length >= before + 50)
    expect(seqs(listener)).toEqual(dense(before + 50))

    const agent = new Visitor(a.url)
    agent.token = await a.service.agentToken({ deploymentId: 'demo', agentId: 'kim', name: 'Kim' })
    await agent.call(`/api/v2/messaging/conversations/${conversation.id}/participants`, { body: { role: 'agent' } })
    const agents = await listen(a.url, agent, conversation.id)
    // Typing may be lost, and a hand that types says so again.
    await vi.waitFor(
      () => {
        agents.send({ type: 'typing', conversationId: conversation.id, on: true })
        expect(listener.frames.map(({ type }) => type)).toContain('typing')
      },
      { timeout: 15_000, interval: 100 },
    )
  })

  test('[AT13] what is attached at one node is read at every other, also after a restart', async () => {
    const a = await node()
    const visitor = new Visitor(a.url)
    const { id } = await visitor.begin()
    const path = `/api/v2/messaging/conversations/${id}/attachments`
    const file = { name: 'a.txt', type: 'text/plain', size: 5 }
    const made = await visitor.call<{ id: string }>(path, { body: file, headers: { 'Idempotency-Key': freshKey() } })
    const content = `${path}/${made.body.id}/content`
    const headers = { Authorization: `Bearer ${visitor.token}` }
    await fetch(`${a.url}${content}?offset=0`, {
      method: 'PUT',
      headers,
      body: Uint8Array.from([104, 0, 255, 108, 111]),
    })
    await visitor.call(`${path}/${made.body.id}/confirm`, { method: 'POST' })
    await a.service.close()
    const read = await fetch((await node()).url + content, { headers })
    expect([...new Uint8Array(await read.arrayBuffer())]).toEqual([104, 0, 255, 108, 111])
  })

  test('[SV11] a revocation at one node ends the streams at the others', async () => {
    const [a, b] = [await node({ fanout: fanout() }), await node({ fanout: fanout() })]
    const visitor = new Visitor(a.url)
    const conversation = await visitor.begin()
    const listener = await listen(b.url, visitor, conversation.id)
    await linked(visitor, conversation, listener)
    await visitor.call('/api/v2/widget/auth/revoke', { form: { token: visitor.cookie ?? '' } })
    await listener.until(({ frames }) => frames.some(({ code }) => code === 'session-revoked'))
    expect((await at(b.url, visitor).say(conversation, 'too late')).status).toBe(401)
  })
})

test('[SV65] notices that all get lost are made up for by the next look', async () => {
  // The two listen to different brokers, so that no notice ever passes.
  const [a, b] = [await node({ fanout: database }), await node()]
  const visitor = new Visitor(a.url)
  const conversation = await visitor.begin()
  const listener = await listen(b.url, visitor, conversation.id)
  for (const index of times(5, (n) => n)) await visitor.say(conversation, `n ${index}`)
  expect(seqs(listener)).toEqual([])
  await b.service.lookAgain()
  await listener.until(({ heard }) => heard.length === 5)
  expect(seqs(listener)).toEqual(dense(5))

  await visitor.call('/api/v2/widget/auth/revoke', { form: { token: visitor.cookie ?? '' } })
  await b.service.lookAgain()
  await listener.until(({ frames }) => frames.some(({ code }) => code === 'session-revoked'))
})

test('[SV65] a dead broker delays no post, and when it is back every stream is complete', async () => {
  const [a, b] = [await node(), await node()]
  const visitor = new Visitor(a.url)
  const conversation = await visitor.begin()
  const listener = await listen(b.url, visitor, conversation.id)
  await linked(visitor, conversation, listener)
  await redis.kill()
  const answers = await Promise.all(times(20, () => visitor.say(conversation, 'while it is dead')))
  expect(answers.every(({ status }) => status === 201)).toBe(true)
  expect((await fetch(`${a.url}/readyz`)).status).toBe(200)
  await redis.start()
  const { lastSeq } = (await visitor.list(conversation.id)).body
  await listener.until(({ heard }) => heard.length >= lastSeq)
  expect(seqs(listener)).toEqual(dense(lastSeq))
})

test('[SV66] a database that goes away is a 503 with Retry-After, and comes back without a restart', async () => {
  const { url } = await node({ fanout: redis.url })
  const visitor = new Visitor(url)
  const conversation = await visitor.begin()
  expect((await visitor.say(conversation, 'before', 'key-before')).status).toBe(201)
  await postgres.crash()
  const refused = await visitor.say(conversation, 'during', 'key-during')
  expect(refused.status).toBe(503)
  expect((refused.body as unknown as Problem).code).toBe('store-unavailable')
  expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0)
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
  await postgres.start()
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), { timeout: 10_000 })
  expect((await visitor.say(conversation, 'during', 'key-during')).status).toBe(201)
  expect((await visitor.say(conversation, 'before', 'key-before')).status).toBe(200)
  expect((await visitor.list(conversation.id)).body.messages.map(({ text }) => text)).toEqual(['before', 'during'])
})

test('[SV66] a statement that gets no answer is given up after its time', async () => {
  const driver = await openPostgres({ url: database, statementTimeoutMs: 200 })
  await expect(driver.q('select pg_sleep(20)')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(await driver.q('select 1 as one')).toEqual([{ one: 1 }])
  await driver.close()
})

test('[SV91] a call that another one holds up is a 409 with Retry-After, and then goes through with its key', async () => {
  const { url } = await node({ statementTimeoutMs: 600, databaseConnectionsMax: 2 })
  const visitor = new Visitor(url)
  const conversation = await visitor.begin()
  const driver = await openPostgres({ url: database })
  try {
    await driver.tx(async (q) => {
      await q('update conversation set version = version where id = $1', [conversation.id])
      const answer = await visitor.say(conversation, 'held up', 'key-held-up')
      expect([answer.status, (answer.body as unknown as Problem).code]).toEqual([409, 'in-progress'])
      expect(answer.headers.get('Retry-After')).toBe('1')
      // Without a key nobody could tell whether it was done.
      const { status } = await visitor.call(`/api/v2/messaging/conversations/${conversation.id}/close`, {
        method: 'POST',
      })
      expect(status).toBe(503)
    })
    expect((await visitor.say(conversation, 'held up', 'key-held-up')).status).toBe(201)
  } finally {
    await driver.close()
  }
})

test('[SV64] tables change while an older node is at work, and nothing it takes is lost', async () => {
  const driver = await openPostgres({ url: database })
  const { url } = await node()
  // The release after this one: to it, the node that is at work is an older one.
  const later = [...MIGRATIONS, 'alter table message add column later text; create table later (id text primary key)']
  const visitor = new Visitor(url)
  const conversation = await visitor.begin()
  let isMigrated = false
  const writing = (async () => {
    const statuses: number[] = []
    while (!isMigrated || statuses.length < 50) statuses.push((await visitor.say(conversation, 'x')).status)
    return statuses
  })()
  await migrate(driver, later).finally(() => {
    isMigrated = true
  })
  const statuses = await writing
  expect(new Set(statuses)).toEqual(new Set([201]))
  expect((await visitor.list(conversation.id)).body.lastSeq).toBe(statuses.length)
  expect(await driver.q('select max(version) as version from schema_version')).toEqual([
    { version: SCHEMA_VERSION + 1 },
  ])
  await driver.script('drop table later; alter table message drop column later')
  await driver.q('delete from schema_version where version > $1', [SCHEMA_VERSION])
  await driver.close()
})

test('[SV67] a stop says first that it is not ready, and serves until the port closes', async () => {
  const { service, url } = await node({ drainDelayMs: 400 })
  const visitor = new Visitor(url)
  const conversation = await visitor.begin()
  const closed = service.close()
  const ready = await fetch(`${url}/readyz`)
  expect([ready.status, ((await ready.json()) as Problem).code]).toEqual([503, 'draining'])
  expect((await visitor.say(conversation, 'still served')).status).toBe(201)
  const listener = await listen(url, visitor, conversation.id)
  await listener.until(({ frames }) => frames.some(({ type }) => type === 'reconnect'))
  listener.end()
  await closed
  await expect(fetch(`${url}/readyz`)).rejects.toThrow()
})
