// The part of the contract that is about tokens under faults: what becomes of a refresh, a revoke and a farewell whose
// request or answer is lost, or which somebody else answers, on platforms of either kind.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Calls, Connection, Platform } from '../../core/ports.ts'
import type { Conversation } from '../../core/session.ts'
import {
  freshKey,
  listener,
  type Loss,
  makeConversation,
  must,
  openSession,
  type PlatformWorld,
} from './platform-world.ts'

const DEFINITE = /^(refuse|auth-required)$/

export function leaseContract(name: string, open: () => Promise<PlatformWorld>): void {
  describe(`Platform, whose tokens are lost: ${name}`, () => {
    let world: PlatformWorld
    const connections: Connection[] = []

    beforeEach(async () => {
      world = await open()
    })
    afterEach(async () => {
      for (const connection of connections.splice(0)) connection.close()
      await world.end()
    })

    function connect(platform: Platform, conversation: Conversation, token: string, tokens = {}) {
      const heard = listener()
      const { id: conversationId } = conversation
      const connection = platform.connect({ conversationId, conversation, token, tokens, afterSeq: 0 }, heard.emit)
      connections.push(connection)
      const calls = (): Calls & Pick<Platform, 'send' | 'backfill'> => ({ ...platform, ...connection.calls })
      const send = (text: string) => calls().send({ token, conversation, message: { key: freshKey(), text } })
      const read = () => calls().backfill({ token, conversationId, afterId: '' })
      return { ...heard, connection, send, read }
    }

    /** Who says something with the token that was granted. */
    async function says(platform: Platform, { lease }: { lease?: string }, granted: string) {
      const token = lease === undefined ? granted : (await openSession(platform)).token
      const { conversation } = await makeConversation(platform, token)
      const line = connect(platform, conversation, token, lease === undefined ? {} : { [lease]: granted })
      await line.until(() => line.has('ready') || line.has('closed'))
      return line.send('hello')
    }

    async function visitor() {
      const platform = world.browser()
      const { token, grant } = await openSession(platform)
      const { conversation } = await makeConversation(platform, token)
      const line = connect(platform, conversation, token)
      await line.until(() => line.has('ready'))
      must(await line.send('private'))
      const present: Conversation = { ...conversation, state: 'active' }
      const { refreshToken } = grant
      const held = { token, ...(refreshToken && { refreshToken }), conversation: present }
      return { platform, token, present, held, ...line }
    }

    /** With what was held nothing is read, and nothing goes on. */
    async function expectGone(platform: Platform, present: Conversation, token: string) {
      const after = connect(platform, present, token)
      await after.until(() => after.has('ready') || after.has('closed'))
      const log = await after.read()
      expect(log.ok && !log.value.resync ? log.value.rows : []).toEqual([])
      expect(after.texts()).toEqual([])
      expect(after.events.some((event) => event.type === 'conversation' && event.state === 'active')).toBe(false)
    }

    test.each(['request', 'answer'] as const)(
      '[PL54] a refresh whose %s is lost is repeated with its key, and gives a token that works',
      async (what) => {
        const platform = world.browser()
        const held = await world.refreshable(platform)
        const request = { key: freshKey(), ...held }
        world.lose(what, 'refresh')
        expect(await platform.refresh(request)).toMatchObject({ ok: false, verdict: 'retry', isUnreachable: true })
        const grant = must(await platform.refresh(request))
        expect(grant.expiresInMs).toBeGreaterThan(0)
        must(await says(platform, held, grant.accessToken))
      },
    )

    test.each<{ what: Loss; means: object }>([
      { what: 'patience', means: { verdict: 'retry-at', retryAfterMs: 1_000 } },
      { what: 'broken', means: { verdict: 'retry' } },
      { what: 'portal', means: { verdict: 'retry' } },
    ])('[PL55] a refresh that meets "$what" ends no lease: repeated, it works', async ({ what, means }) => {
      const platform = world.browser()
      const held = await world.refreshable(platform)
      const request = { key: freshKey(), ...held }
      world.lose(what, 'refresh')
      expect(await platform.refresh(request)).toMatchObject({ ok: false, ...means })
      must(await says(platform, held, must(await platform.refresh(request)).accessToken))
    })

    test('[PL56] a refresh token that nobody knows is refused for good, and not repeated to us', async () => {
      const platform = world.browser()
      const { lease } = await world.refreshable(platform)
      const request = { key: freshKey(), refreshToken: 'made-up-by-somebody', ...(lease && { lease }) }
      const outcome = await platform.refresh(request)
      expect(outcome).toMatchObject({ ok: false, verdict: 'auth-required', code: 'LEASE_REVOKED' })
      expect(JSON.stringify(outcome)).not.toContain('made-up')
    })

    test.each(['request', 'answer', 'patience', 'broken', 'portal'] as const)(
      '[PL57] a revoke that meets "%s" is said again, and then nothing is refreshed',
      async (what) => {
        const platform = world.browser()
        const held = await world.refreshable(platform)
        world.lose(what, 'revoke')
        const first = await platform.revoke(held)
        if (what !== 'portal') expect(first).toMatchObject({ ok: false, verdict: expect.stringMatching(/^retry/) })
        must(await platform.revoke(held))
        const refused = await platform.refresh({ key: freshKey(), ...held })
        expect(refused).toMatchObject({ ok: false, verdict: 'auth-required', code: 'LEASE_REVOKED' })
      },
    )

    test.each(['request', 'answer'] as const)(
      '[PL58] a farewell whose %s is lost is not believed: said again, it leaves nothing',
      async (what) => {
        const { platform, present, held, token, connection } = await visitor()
        connection.close()
        world.lose(what, 'farewell')
        expect(await platform.revoke(held)).toMatchObject({ ok: false, verdict: 'retry' })
        must(await platform.revoke(held))
        await expectGone(platform, present, token)
      },
    )

    test('[PL58] a farewell that is said twice is as good as once', async () => {
      const { platform, present, held, token, connection } = await visitor()
      connection.close()
      must(await platform.revoke(held))
      must(await platform.revoke(held))
      await expectGone(platform, present, token)
    })

    test('[PL59] who listens while the session is ended elsewhere hears that, and sends nothing more', async () => {
      const { platform, held, send, events, until } = await visitor()
      must(await platform.revoke(held))
      const isEnd = ({ type }: (typeof events)[number]) => type === 'closed' || type === 'cleared'
      await until(() => events.some(isEnd))
      expect(events.filter(isEnd)).toHaveLength(1)
      const [end] = events.filter(isEnd)
      if (end?.type === 'closed') expect(end.verdict).not.toBe('retry')
      expect(await send('still there?')).toMatchObject({ ok: false })
    })

    test('[PL56] a token of the session that nobody knows opens nothing that was said', async () => {
      const { present, platform } = await visitor()
      await expectGone(platform, present, 'made-up-by-somebody')
      const outcome = await connect(platform, present, 'made-up-by-somebody').send('psst')
      expect(outcome.ok || outcome.verdict).not.toMatch(DEFINITE)
    })
  })
}
