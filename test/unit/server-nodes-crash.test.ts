// Several gateway nodes on PostgreSQL and Redis under load, while nodes, broker and database are killed and
// started again. Then the audit: every message once, in order, at every client that stayed connected.
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { Listener } from '../servers/listener.ts'
import { bundledMain, NodeProcess } from '../servers/node.ts'
import { type PostgresServer, startPostgres } from '../servers/postgres.ts'
import { type RedisServer, startRedis } from '../servers/redis.ts'
import { type Created, type Listed, times, Visitor } from './server-visitor.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 })

const CONVERSATIONS = 4
const WRITERS = 3
/** Messages acknowledged between two blows. */
const STEP = 40

let bundle: Awaited<ReturnType<typeof bundledMain>>
let postgres: PostgresServer
let redis: RedisServer
let nodes: NodeProcess[] = []
const listeners: Listener[] = []

beforeAll(async () => {
  ;[bundle, postgres, redis] = await Promise.all([bundledMain('server-nodes'), startPostgres(), startRedis()])
})
afterEach(async () => {
  for (const listener of listeners.splice(0)) listener.end()
  await Promise.all(nodes.map((node) => node.stop('SIGKILL')))
  nodes = []
})
afterAll(() => Promise.all([bundle?.remove(), postgres?.close(), redis?.close()]))

type Chat = { visitor: Visitor; conversation: Created; listeners: Listener[]; keys: string[] }

/** Writers that never give a message up: the same key again, at the next node, until it is acknowledged. */
class Load {
  readonly chats: readonly Chat[]
  acknowledged = 0
  retries = 0
  readonly ackedAt = new Map<string, number>()
  #isOver = false
  readonly #done: Promise<unknown>
  #wanted: { count: number; reached: () => void } | undefined

  constructor(chats: readonly Chat[]) {
    this.chats = chats
    this.#done = Promise.all(chats.flatMap((chat, index) => times(WRITERS, (n) => this.#write(chat, index, n))))
  }

  /** Resolves once so many more messages are acknowledged. */
  more(count: number): Promise<void> {
    return new Promise((reached) => {
      this.#wanted = { count: this.acknowledged + count, reached }
    })
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#done
  }

  async #write(chat: Chat, index: number, writer: number): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const key = `key-${index}-${writer}-${n}`
      chat.keys.push(key)
      for (let turn = index + writer + n; !(await this.#posted(chat, key, turn)); turn++) this.retries++
      this.ackedAt.set(key, performance.now())
      this.acknowledged++
      if (this.#wanted !== undefined && this.acknowledged >= this.#wanted.count) this.#wanted.reached()
    }
  }

  async #posted({ visitor, conversation }: Chat, key: string, turn: number): Promise<boolean> {
    const url = nodes[turn % nodes.length]?.url ?? ''
    try {
      const { status } = await Object.assign(new Visitor(url), { token: visitor.token }).say(conversation, key, key)
      if (status !== 200 && status !== 201 && status !== 503) throw new TypeError(`status ${status}`)
      return status < 300
    } catch (error) {
      // A node that is dead or dies: fetch says so with a TypeError of its own, which has a cause.
      if (error instanceof TypeError && error.cause === undefined) throw error
      return false
    }
  }
}

async function transcript({ visitor, conversation }: Chat): Promise<Listed['messages']> {
  const reader = Object.assign(new Visitor(nodes[0]?.url ?? ''), { token: visitor.token })
  const messages: Listed['messages'] = []
  for (let query = '?limit=200'; ; ) {
    const { body } = await reader.list(conversation.id, query)
    messages.push(...body.messages)
    if (messages.length === body.lastSeq) return messages
    query = `?limit=200&afterId=${body.nextAfterId}`
  }
}

async function begun(count: number): Promise<Chat[]> {
  const database = await postgres.database()
  nodes = times(count, () => new NodeProcess(bundle.main, ['--database', database, '--fanout', redis.url]))
  for (const node of nodes) await node.start()
  return Promise.all(
    times(CONVERSATIONS, async (index) => {
      const visitor = new Visitor(nodes[index % count]?.url ?? '')
      const conversation = await visitor.begin()
      const own = times(count, (turn) => {
        const urls = () => nodes.map(({ url }) => url)
        return new Listener(urls, () => visitor.token ?? '', conversation.id, turn)
      })
      listeners.push(...own)
      return { visitor, conversation, listeners: own, keys: [] }
    }),
  )
}

describe.each([{ count: 2 }, { count: 3 }])('$count nodes', ({ count }) => {
  test('[SV65] kills of nodes, broker and database: every message once, in order, at every client', async () => {
    const chats = await begun(count)
    const load = new Load(chats)
    const blows: [NodeProcess | RedisServer | PostgresServer, () => Promise<void>][] = [
      ...nodes.map((node): [NodeProcess, () => Promise<void>] => [node, () => node.stop('SIGKILL')]),
      [redis, () => redis.kill()],
      [postgres, () => postgres.crash()],
      ...nodes
        .slice(0, 4 - count)
        .map((node): [NodeProcess, () => Promise<void>] => [node, () => node.stop('SIGKILL')]),
    ]
    for (const [victim, strike] of blows) {
      await load.more(STEP)
      await strike()
      // While a node or the broker is dead, the others take what comes. Without its database nobody can.
      if (victim !== postgres) await load.more(STEP)
      await victim.start()
    }
    await load.more(STEP)
    await load.end()

    for (const chat of chats) {
      const messages = await transcript(chat)
      expect(messages.map(({ seq }) => seq)).toEqual(times(messages.length, (index) => index + 1))
      expect(messages.map(({ text }) => text).sort()).toEqual([...chat.keys].sort())
      for (const listener of chat.listeners) {
        await listener.until(({ heard }) => heard.length >= messages.length)
        expect(listener.heard.map(({ seq, text }) => ({ seq, text }))).toEqual(
          messages.map(({ seq, text }) => ({ seq, text })),
        )
      }
    }
    report(count, blows.length, load)
  })
})

function report(count: number, blows: number, load: Load): void {
  const heard = load.chats.flatMap((chat) => chat.listeners)
  const delays = heard
    .flatMap((listener) => listener.heard.map(({ text, at }) => at - (load.ackedAt.get(text) ?? at)))
    .sort((a, b) => a - b)
  const at = (share: number) => `${Math.max(0, delays[Math.floor((delays.length - 1) * share)] ?? 0).toFixed(0)} ms`
  console.log(
    `${count} nodes, ${blows} kills: ${load.acknowledged} messages, ${load.retries} tries without an answer, ` +
      `${heard.length} clients with ${heard.reduce((sum, { connects }) => sum + connects, 0)} connections; lost 0, ` +
      `doubled 0, out of order 0; from acknowledged to heard p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`,
  )
}
