// What every platform must do, whether it has keys and numbers or not: the part of the contract that both kinds pass.
// A message is sent by whichever way the platform takes it, and what comes of it is looked for where the platform keeps it.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Calls, Connection, Outcome, Platform } from '../../core/ports.ts'
import type { Conversation } from '../../core/session.ts'
import { freshKey, listener, must, type PlatformWorld } from './platform-world.ts'

/** What was opened, with the token that belongs to it. */
function granted<T, G>(outcome: Outcome<{ opened: T; grant?: G | undefined }>): { opened: T; grant: G } {
  const { opened, grant } = must(outcome)
  if (grant === undefined) throw new Error('It was opened without a token.')
  return { opened, grant }
}

export function commonContract(name: string, open: () => Promise<PlatformWorld>): void {
  describe(`Platform, of either kind: ${name}`, () => {
    let world: PlatformWorld
    const connections: Connection[] = []

    beforeEach(async () => {
      world = await open()
    })
    afterEach(async () => {
      for (const connection of connections.splice(0)) connection.close()
      await world.end()
    })

    async function opened(platform: Platform) {
      const { grant } = granted(await platform.open({ key: freshKey(), wantsRefreshToken: true, conversationId: null }))
      const request = { key: freshKey(), token: grant.accessToken, previousId: null, routing: {}, attributes: {} }
      const { conversation } = must(await platform.make(request))
      return { token: grant.accessToken, refreshToken: grant.refreshToken, conversation }
    }

    function connect(platform: Platform, token: string, conversation: Conversation, afterSeq = 0) {
      const heard = listener()
      const { id: conversationId } = conversation
      const connection = platform.connect({ conversationId, conversation, token, afterSeq }, heard.emit)
      connections.push(connection)
      const calls = (): Calls & Pick<Platform, 'send' | 'backfill'> => ({ ...platform, ...connection.calls })
      const send = (text: string, key = freshKey()) => calls().send({ token, conversation, message: { key, text } })
      const backfill = (afterId = '') => calls().backfill({ token, conversationId, afterId })
      return { ...heard, connection, send, backfill }
    }

    async function visitor() {
      const platform = world.browser()
      const { token, conversation, refreshToken } = await opened(platform)
      const line = connect(platform, token, conversation)
      await line.until(() => line.has('ready'))
      await line.backfill()
      return { platform, token, refreshToken, conversation: { ...conversation, state: 'active' as const }, ...line }
    }

    test('[PL40] a session is resumed by its token, and another browser has another', async () => {
      const platform = world.browser()
      const request = { key: freshKey(), wantsRefreshToken: true, conversationId: null }
      const { opened: first, grant } = granted(await platform.open(request))
      const again = must(await platform.open({ ...request, key: freshKey(), token: grant.accessToken }))
      expect(again.opened.sessionId).toBe(first.sessionId)
      expect(first.sessionId).not.toContain(grant.accessToken)
      expect(must(await world.browser().open({ ...request, key: freshKey() })).opened.sessionId).not.toBe(
        first.sessionId,
      )
    })

    test('[PL41] what an agent says arrives, and that the conversation was closed', async () => {
      const { until, texts, events, conversation } = await visitor()
      await world.agentSays(conversation.id, 'hello')
      await until(() => texts().includes('hello'))
      await world.agentCloses(conversation.id)
      await until(() => events.some((event) => event.type === 'conversation' && event.state === 'closed'))
    })

    test('[PL42] a message is acknowledged with an id, under which the log has it once', async () => {
      const { send, backfill } = await visitor()
      const { id } = must(await send('hello'))
      const read = must(await backfill())
      if (read.resync) throw new Error('There is no cursor to be unknown.')
      expect(read.rows.filter((row) => row.id === id)).toMatchObject([{ text: 'hello', role: 'customer' }])
      expect(read.rows).toHaveLength(1)
    })

    test('[PL42] what was said while nobody listened is in the log, in its order', async () => {
      const { platform, send, conversation, connection, token } = await visitor()
      must(await send('one'))
      connection.close()
      await world.agentSays(conversation.id, 'two')
      const line = connect(platform, token, conversation)
      await line.until(() => line.has('ready'))
      const read = must(await line.backfill())
      expect(read).toMatchObject({ resync: false, rows: [{ text: 'one' }, { text: 'two', role: 'agent' }] })
    })

    test('[PL43] a message that is too long is refused, and the next one goes', async () => {
      const { send } = await visitor()
      expect(await send('x'.repeat(5_000))).toMatchObject({ ok: false, verdict: 'refuse' })
      must(await send('short'))
    })

    test('[PL44] a conversation that is over takes nothing more', async () => {
      const { send, conversation, events, until } = await visitor()
      await world.agentCloses(conversation.id)
      await until(() => events.some((event) => event.type === 'conversation' && event.state === 'closed'))
      expect(await send('too late')).toMatchObject({ ok: false, verdict: 'read-only' })
    })

    test('[PL45] after our own close nothing follows', async () => {
      const { platform, token, conversation, connection, events } = await visitor()
      connection.close()
      const heard = events.length
      const line = connect(platform, token, conversation)
      await line.until(() => line.has('ready'))
      await world.agentSays(conversation.id, 'hello?')
      await line.backfill()
      await line.until(() => line.texts().includes('hello?') || line.has('pong'))
      expect(events).toHaveLength(heard)
    })

    test('[PL46] a refresh gives a token that works', async () => {
      const { platform, refreshToken = '', conversation } = await visitor()
      const { accessToken } = must(await platform.refresh({ key: freshKey(), refreshToken }))
      const line = connect(platform, accessToken, conversation)
      await line.until(() => line.has('ready'))
      must(await line.send('with another token'))
    })

    test('[PL47] where nobody listens a connection ends, to be tried again', async () => {
      const platform = world.nowhere()
      const conversation = { id: 'c', participantId: '', state: 'pending' as const }
      const line = connect(platform, 'token', conversation)
      await line.until(() => line.has('closed'))
      expect(line.events).toMatchObject([{ type: 'closed', verdict: 'retry' }])
      expect(await line.send('x')).toMatchObject({ ok: false, verdict: 'retry' })
    })

    test('[PL48] no reason of a failure holds a token or a text', async () => {
      const { send, token, events } = await visitor()
      const refused = await send(`secret ${'x'.repeat(5_000)}`)
      expect(JSON.stringify([refused, events])).not.toContain(token)
      expect(JSON.stringify(refused)).not.toContain('secret')
    })
  })
}
