// State snapshots pushed to a site's own store: when, with which token, how often, and what operators see when
// it does not take them. The site is a small server with switches.
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, test, vi } from 'vitest'
import { createSessionService, type LogEntry, type ServiceOptions, type SessionService } from '../../server/index.ts'
import { agentOf, Visitor } from './server-visitor.ts'

type Taken = { event: string; conversationId: string; stateSnapshot: unknown; conversation: { state: string } | null }
type Letter = { id: string; event: string; attempts: number; reason: string }

/** Answers token requests and pushes as it is told to. */
class Site {
  server: Server
  url = ''
  status = 200
  tokenStatus = 200
  expiresIn = 3600
  isSilent = false
  /** Tokens up to this number count as called back. */
  calledBack = 0
  tokens: string[] = []
  tries: { key: string; token: string; body: Taken }[] = []

  constructor() {
    this.server = createServer((request, response) => {
      void text(request).then((body) => {
        if (this.isSilent) return
        if (request.url === '/token') {
          this.tokens.push(`${request.headers.authorization} ${body}`)
          response.statusCode = this.tokenStatus
          response.end(JSON.stringify({ access_token: `t${this.tokens.length}`, expires_in: this.expiresIn }))
          return
        }
        const token = request.headers.authorization ?? ''
        this.tries.push({ key: String(request.headers['idempotency-key']), token, body: JSON.parse(body) as Taken })
        response.statusCode = Number(token.slice('Bearer t'.length)) <= this.calledBack ? 401 : this.status
        response.end()
      })
    })
  }
}

async function text(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return body
}

let clock: number
let site: Site
let service: SessionService
let log: LogEntry[]
const options = (more: ServiceOptions = {}): ServiceOptions => ({
  now: () => clock,
  log: (entry) => void log.push(entry),
  deployments: {
    demo: {
      snapshots: {
        url: `${site.url}/state`,
        tokenUrl: `${site.url}/token`,
        clientId: 'chat',
        clientSecret: 'a secret: of the site',
        scope: 'state.write',
      },
    },
  },
  ...more,
})

beforeEach(async () => {
  clock = 1_900_000_000_000
  log = []
  site = new Site()
  await new Promise<void>((resolve) => site.server.listen(0, '127.0.0.1', resolve))
  site.url = `http://127.0.0.1:${(site.server.address() as AddressInfo).port}`
  service = await createSessionService(options())
  return async () => {
    await service.close()
    site.server.closeAllConnections()
    site.server.close()
  }
})

/** Lets time pass until something holds. */
const until = (check: () => void | Promise<void>) =>
  vi.waitFor(
    () => {
      service.tick()
      return check()
    },
    { timeout: 25_000, interval: 5 },
  )
const path = (id: string) => `/api/v2/messaging/conversations/${id}`
const letters = async () => {
  const agent = await agentOf(service)
  return (await agent.call<{ deadLetters: Letter[] }>('/api/v2/operations/dead-letters')).body.deadLetters
}
const count = async (name: string) => {
  const metrics = (await new Visitor(service).call<string>('/metrics')).body
  return Number(new RegExp(`^holdfast_${name}_total (\\d+)$`, 'm').exec(metrics)?.[1])
}
const closed = async () => {
  const visitor = new Visitor(service)
  const conversation = await visitor.begin()
  expect((await visitor.call(`${path(conversation.id)}/close`, { method: 'POST' })).status).toBe(200)
  return conversation
}
const dead = async () => {
  await until(() => expect(site.tries.length + site.tokens.length).toBeGreaterThan(0))
  await until(() => {
    clock += 1000
    expect(log.some(({ event }) => event === 'snapshot-push-dead')).toBe(true)
  })
}

test('[SV53] a form, a hand-over, idleness and a close push the latest state, each once', async () => {
  const visitor = new Visitor(service)
  const opened = (await visitor.open()).body
  const { id } = (await visitor.start({ customAttributes: { cart: '12.00' } })).body
  const persist = { persistentSessionId: opened.persistentSessionId, conversationId: id, timestamp: 1 }
  await visitor.call('/chat-state/persist', { body: { ...persist, stateSnapshot: { step: 1 } } })
  await visitor.call('/chat-state/persist', {
    body: { ...persist, timestamp: 2, stateSnapshot: { step: 2 }, event: 'form-submitted' },
  })
  await (await agentOf(service)).call(`${path(id)}/participants`, { body: { role: 'agent' } })
  await visitor.call(`${path(id)}/close`, { method: 'POST' })
  await visitor.call(`${path(id)}/close`, { method: 'POST' })
  await until(() => expect(site.tries).toHaveLength(3))
  clock += 1
  const second = (await visitor.start()).body
  clock += 8 * 24 * 3600_000
  await service.sweep()
  await until(() => expect(site.tries).toHaveLength(4))
  const told = site.tries.map(({ body }) => [body.event, body.conversationId, body.conversation?.state]).sort()
  expect(told).toEqual([
    ['closed', id, 'closed'],
    ['form-submitted', id, 'closed'],
    ['handed-over', id, 'closed'],
    ['idle', second.id, 'expired'],
  ])
  for (const { body } of site.tries) expect(body.stateSnapshot).toEqual({ step: 2 })
  // The second because eight days have passed.
  expect(site.tokens).toHaveLength(2)
  expect([...new Set(site.tokens)]).toEqual([
    `Basic ${btoa('chat:a%20secret%3A%20of%20the%20site')} grant_type=client_credentials&scope=state.write`,
  ])
})

test('[SV54] a token is fetched anew before its end, and once when it is refused', async () => {
  site.expiresIn = 100
  await closed()
  await until(() => expect(site.tries).toHaveLength(1))
  clock += 74_000
  await closed()
  await until(() => expect(site.tries).toHaveLength(2))
  clock += 2000
  await closed()
  await until(() => expect(site.tries).toHaveLength(3))
  expect(site.tries.map(({ token }) => token)).toEqual(['Bearer t1', 'Bearer t1', 'Bearer t2'])
  site.calledBack = 2
  await closed()
  await until(() => expect(site.tries).toHaveLength(5))
  expect(site.tries.at(-1)?.token).toBe('Bearer t3')
})

test('[SV55] after three tries with pauses a push is a dead letter, seen by operators and theirs to retry', async () => {
  site.status = 500
  const conversation = await closed()
  await until(() => expect(site.tries).toHaveLength(1))
  await until(async () => expect(await count('snapshot_push_failures')).toBe(1))
  clock += 1999
  service.tick()
  expect(site.tries).toHaveLength(1)
  clock += 1
  await until(() => expect(site.tries).toHaveLength(2))
  await dead()
  expect(site.tries).toHaveLength(3)
  expect(new Set(site.tries.map(({ key }) => key)).size).toBe(1)
  expect(await letters()).toEqual([expect.objectContaining({ event: 'closed', attempts: 3, reason: 'http-500' })])
  expect(await count('snapshot_pushes_dead')).toBe(1)
  expect(JSON.stringify(log)).not.toContain('a secret')

  const [letter] = await letters()
  const visitor = new Visitor(service)
  await visitor.open()
  const retry = `/api/v2/operations/dead-letters/${letter?.id}/retry`
  expect((await visitor.call('/api/v2/operations/dead-letters')).body).toMatchObject({ code: 'agents-only' })
  expect((await visitor.call(retry, { method: 'POST' })).body).toMatchObject({ code: 'agents-only' })
  site.status = 200
  const agent = await agentOf(service)
  expect((await agent.call(retry, { method: 'POST' })).status).toBe(200)
  await until(() => expect(site.tries).toHaveLength(4))
  expect(site.tries.at(-1)?.body.conversationId).toBe(conversation.id)
  expect(await letters()).toEqual([])
  expect((await agent.call(retry, { method: 'POST' })).body).toMatchObject({ code: 'unknown-dead-letter' })
})

test.each([
  ['a token endpoint that refuses', (one: Site) => Object.assign(one, { tokenStatus: 401 }), 'token-http-401'],
  ['nobody there', (one: Site) => one.server.closeAllConnections() ?? one.server.close(), 'unreachable'],
] as const)('[SV55] a dead letter names its reason: %s', async (_what, breakSite, reason) => {
  breakSite(site)
  await closed()
  await until(() => {
    clock += 1000
    expect(log.some(({ event }) => event === 'snapshot-push-dead')).toBe(true)
  })
  expect(await letters()).toMatchObject([{ reason }])
})

test('[SV53] the chat does not wait for a site that says nothing', async () => {
  site.isSilent = true
  await closed()
  service.tick()
  const visitor = new Visitor(service)
  // Answered while the push is still on its way, and not after it was given up.
  expect((await visitor.say(await visitor.begin(), 'hello')).status).toBe(201)
  expect(await count('snapshot_push_failures')).toBe(0)
})

test('[SV56] what was noted and not delivered is pushed after a restart', async () => {
  const data = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const keep = service
  service = await createSessionService(options({ data }))
  site.status = 503
  await closed()
  await until(() => expect(site.tries).toHaveLength(1))
  await service.close()
  site.status = 200
  service = await createSessionService(options({ data }))
  clock += 60_000
  await until(() => expect(site.tries).toHaveLength(2))
  expect(site.tries[1]?.key).toBe(site.tries[0]?.key)
  await keep.close()
  await service.close()
  await rm(data, { recursive: true })
})
