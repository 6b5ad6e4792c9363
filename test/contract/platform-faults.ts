// The part of the contract that is about faults: what becomes of a message whose request, answer or connection is lost, on
// platforms of either kind; and what a service may say without doing harm.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import type { Calls, Connection, Platform } from '../../core/ports.ts'
import type { Conversation } from '../../core/session.ts'
import { freshKey, listener, must, openSession, type PlatformWorld } from './platform-world.ts'

const KEY = 'the-key-of-that-message'
const NONSENSE = [
  '',
  'null',
  '[]',
  '{}',
  '"x"',
  '{"type":7,"class":{}}',
  '{"class":"StructuredMessage","body":{"id":{}}}',
]

/** A service that answers everything with a page, and says nonsense on every socket before it hangs up. */
async function babbler() {
  const server = createServer((_, response) => response.end('<html>Welcome to the airport.</html>'))
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => [...offered][0] ?? false })
  sockets.on('connection', (socket) => {
    for (const frame of NONSENSE) socket.send(frame)
    socket.send(new Uint8Array([0xff, 0x00]))
    socket.close(1_011, 'x')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, close: () => void server.close() }
}

export function faultContract(name: string, open: () => Promise<PlatformWorld>): void {
  describe(`Platform, under faults: ${name}`, () => {
    let world: PlatformWorld
    const connections: Connection[] = []
    const ends: (() => void)[] = []

    beforeEach(async () => {
      world = await open()
    })
    afterEach(async () => {
      for (const connection of connections.splice(0)) connection.close()
      for (const end of ends.splice(0)) end()
      await world.end()
    })

    async function line(platform: Platform, token: string, conversation: Conversation) {
      const heard = listener()
      const { id: conversationId } = conversation
      const connection = platform.connect({ conversationId, conversation, token, afterSeq: 0 }, heard.emit)
      connections.push(connection)
      await heard.until(() => heard.has('ready') || heard.has('closed'))
      const calls = (): Calls & Pick<Platform, 'send' | 'backfill'> => ({ ...platform, ...connection.calls })
      const send = (text: string, key = freshKey()) => calls().send({ token, conversation, message: { key, text } })
      const log = async () => {
        const read = must(await calls().backfill({ token, conversationId, afterId: '' }))
        return read.resync ? [] : read.rows.map(({ text }) => text)
      }
      return { ...heard, connection, send, log }
    }

    async function visitor() {
      const platform = world.browser()
      const { token, grant } = await openSession(platform)
      const request = { key: freshKey(), token, previousId: null, routing: {}, attributes: {} }
      const { conversation } = must(await platform.make(request))
      const first = await line(platform, token, conversation)
      await first.log()
      const present: Conversation = { ...conversation, state: 'active' }
      return { platform, token, grant, present, ...first, again: () => line(platform, token, present) }
    }

    /** What an engine does with a message of which nobody knows: repeated where there are keys, else looked for first. */
    async function settle(at: Awaited<ReturnType<typeof visitor>>, key: string, text: string) {
      at.connection.close()
      const next = await at.again()
      const isKeyed = at.platform.capabilities.delivery === 'keyed'
      const isThere = (await next.log()).includes(text)
      if (isKeyed || !isThere) must(await next.send(text, key))
      return next
    }

    test.each(['answer', 'request'] as const)('[PL49] a message whose %s is lost is there once', async (what) => {
      const at = await visitor()
      must(await at.send('before'))
      world.lose(what)
      const outcome = await at.send('lost', KEY)
      expect(outcome).toMatchObject({ ok: false })
      expect(['retry', 'reconcile']).toContain(outcome.ok || outcome.verdict)
      const next = await settle(at, KEY, 'lost')
      must(await next.send('after'))
      expect(await next.log()).toEqual(['before', 'lost', 'after'])
    })

    test('[PL49] two of the same words are two, also where the answer to one is lost', async () => {
      const at = await visitor()
      must(await at.send('yes'))
      world.lose('answer')
      await at.send('yes', KEY)
      at.connection.close()
      const next = await at.again()
      if (at.platform.capabilities.delivery === 'keyed') must(await next.send('yes', KEY))
      expect(await next.log()).toEqual(['yes', 'yes'])
    })

    test('[PL50] "too many" is to be tried again, not before the time that is said, and was not taken', async () => {
      const { send, log } = await visitor()
      world.lose('patience')
      const outcome = await send('too soon', KEY)
      expect(outcome).toMatchObject({ ok: false, retryAfterMs: expect.any(Number) })
      expect(outcome.ok || outcome.verdict).toMatch(/^retry/)
      must(await send('too soon', KEY))
      expect(await log()).toEqual(['too soon'])
    })

    test('[PL51] after a revoke nothing that was said can be read with what was held', async () => {
      const at = await visitor()
      must(await at.send('private'))
      at.connection.close()
      const { refreshToken } = at.grant
      const held = { token: at.token, ...(refreshToken && { refreshToken }), conversation: at.present }
      must(await at.platform.revoke(held))
      const after = listener()
      const request = { conversationId: at.present.id, conversation: at.present, token: at.token, afterSeq: 0 }
      connections.push(at.platform.connect(request, after.emit))
      const isOver = () => after.events.some((event) => event.type === 'closed' || event.type === 'conversation')
      await after.until(isOver)
      expect(after.texts()).toEqual([])
      expect(after.events.some((event) => event.type === 'conversation' && event.state === 'active')).toBe(false)
    })

    test('[PL52] after one that was closed another begins, and what was said before is not in it', async () => {
      const at = await visitor()
      must(await at.send('before'))
      await world.agentCloses(at.present.id)
      await at.until(() => at.events.some((event) => event.type === 'conversation' && event.state === 'closed'))
      at.connection.close()
      const former: Conversation = { ...at.present, state: 'closed' }
      const request = { key: freshKey(), token: at.token, previousId: former.id, routing: {}, attributes: {}, former }
      const { conversation } = must(await at.platform.make(request))
      expect(conversation).toMatchObject({ previousId: former.id })
      expect(conversation.id).not.toBe(former.id)
      const next = await line(at.platform, at.token, conversation)
      must(await next.send('after'))
      expect(await next.log()).toEqual(['after'])
    })

    test('[PL53] nonsense on the wire harms nothing: the connection ends, and is to be tried again', async () => {
      const babble = await babbler()
      ends.push(babble.close)
      const platform = world.at(babble.url)
      const at = await line(platform, 'token', { id: 'c', participantId: 'p', state: 'pending' })
      await at.until(() => at.has('closed'))
      expect(at.events.filter(({ type }) => type === 'closed')).toMatchObject([{ verdict: 'retry' }])
      expect(at.texts()).toEqual([])
      expect(await at.send('x')).toMatchObject({ ok: false, verdict: 'retry' })
    })
  })
}
