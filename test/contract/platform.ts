// The contract of the Platform port, as one suite. Every adapter runs it against its service or its emulator.
// Here are sessions and conversations; what is live is in platform-stream.ts.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { streamContract } from './platform-stream.ts'
import { freshKey, makeConversation, must, openSession, type PlatformWorld, visitor } from './platform-world.ts'

export function platformContract(name: string, open: () => Promise<PlatformWorld>): void {
  describe(`Platform: ${name}`, () => {
    let world: PlatformWorld

    beforeEach(async () => {
      world = await open()
    })
    afterEach(async () => {
      await world.end()
    })

    describe('sessions', () => {
      test('[PL1] the same key twice opens one session', async () => {
        const platform = world.browser()
        const key = freshKey()
        const request = { key, wantsRefreshToken: true, conversationId: null }
        const [first, second] = [must(await platform.open(request)), must(await platform.open(request))]
        expect(second.opened.sessionId).toBe(first.opened.sessionId)
        expect(first.opened).toMatchObject({ conversation: null, isAuthenticated: false })
        expect(first.grant?.refreshToken).toEqual(expect.any(String))
      })

      test('[PL1] another browser has another session', async () => {
        const { opened } = await openSession(world.browser())
        expect((await openSession(world.browser())).opened.sessionId).not.toBe(opened.sessionId)
      })

      test('[PL1] a session is resumed by its cookie, with its conversation', async () => {
        const platform = world.browser()
        const { opened, grant, token } = await openSession(platform, null, false)
        expect(grant.refreshToken).toBeUndefined()
        const { conversation } = await makeConversation(platform, token)
        const again = await openSession(platform, conversation.id, false)
        expect(again.opened).toMatchObject({ sessionId: opened.sessionId, conversation: { id: conversation.id } })
        expect(again.opened).not.toHaveProperty('formerState')
      })

      test('[PL1] a session is resumed by its token, with its conversation', async () => {
        const { platform, token, opened, conversationId } = await visitor(world)
        const request = { key: freshKey(), token, wantsRefreshToken: true, conversationId }
        const again = must(await platform.open(request))
        expect(again.opened).toMatchObject({ sessionId: opened.sessionId, conversation: { id: conversationId } })
      })

      test('[PL2] a conversation that was closed meanwhile is said to be', async () => {
        const { platform, token, conversationId } = await visitor(world)
        await world.agentCloses(conversationId)
        const next = await makeConversation(platform, token)
        const request = { key: freshKey(), token, wantsRefreshToken: true, conversationId }
        const again = must(await platform.open(request))
        expect(again.opened).toMatchObject({ conversation: { id: next.conversation.id }, formerState: 'closed' })
      })

      test('[PL2] a conversation that nobody knows any more is gone', async () => {
        const platform = world.browser()
        const stranger = await visitor(world)
        for (const conversationId of ['c-of-another-life', stranger.conversationId]) {
          const { opened } = await openSession(platform, conversationId)
          expect(opened).toMatchObject({ conversation: null, formerState: 'gone' })
        }
      })

      test('[PL3] an unknown deployment is refused', async () => {
        const platform = world.browser({ deployment: 'nobody' })
        const outcome = await platform.open({ key: freshKey(), wantsRefreshToken: true, conversationId: null })
        expect(outcome).toMatchObject({ ok: false, verdict: 'refuse', code: 'DEPLOYMENT_UNKNOWN' })
      })

      test('[PL10] a refresh that is repeated with its key gets the same successor', async () => {
        const platform = world.browser()
        const { grant } = await openSession(platform)
        const request = { key: freshKey(), refreshToken: grant.refreshToken ?? '' }
        const [first, second] = [must(await platform.refresh(request)), must(await platform.refresh(request))]
        expect(first.refreshToken).not.toBe(grant.refreshToken)
        expect(second.refreshToken).toBe(first.refreshToken)
        expect(first.expiresInMs).toBeGreaterThan(0)
        await makeConversation(platform, second.accessToken)
      })

      test('[PL10] a refresh by cookie needs no token', async () => {
        const platform = world.browser()
        await openSession(platform, null, false)
        const grant = must(await platform.refresh({ key: freshKey() }))
        expect(grant.refreshToken).toBeUndefined()
        await makeConversation(platform, grant.accessToken)
      })

      test('[PL11] after a revoke a refresh is refused for good, and its token is not accepted', async () => {
        const { platform, grant, token, send } = await visitor(world)
        const refreshToken = grant.refreshToken ?? ''
        expect(await platform.revoke({ token, refreshToken })).toEqual({ ok: true, value: null })
        const refused = await platform.refresh({ key: freshKey(), refreshToken })
        expect(refused).toMatchObject({ ok: false, verdict: 'auth-required', code: 'LEASE_REVOKED' })
        expect(await send('too late')).toMatchObject({ ok: false, verdict: 'refresh' })
        expect(await platform.revoke({ token, refreshToken })).toEqual({ ok: true, value: null })
      })

      test('[PL11] a revoke by cookie ends the session too', async () => {
        const platform = world.browser()
        const { opened } = await openSession(platform, null, false)
        expect(await platform.revoke({})).toMatchObject({ ok: true })
        expect(await platform.refresh({ key: freshKey() })).toMatchObject({ ok: false, verdict: 'auth-required' })
        expect((await openSession(platform, null, false)).opened.sessionId).not.toBe(opened.sessionId)
      })
    })

    describe('conversations', () => {
      test('[PL4] the same key twice makes one conversation', async () => {
        const platform = world.browser()
        const { token } = await openSession(platform)
        const request = {
          key: freshKey(),
          token,
          previousId: null,
          routing: { queue: 'sales' },
          attributes: { cart: '1' },
        }
        const [first, second] = [must(await platform.make(request)), must(await platform.make(request))]
        expect(second.conversation.id).toBe(first.conversation.id)
        expect(first).toMatchObject({ joined: false, attributes: { cart: '1' } })
        expect(first.conversation.participantId).not.toBe('')
      })

      test('[PL4] who comes second joins, and learns what the first has told', async () => {
        const { platform, token, conversation, version } = await visitor(world, { cart: '1' })
        const request = { key: freshKey(), token, previousId: null, routing: {}, attributes: { cart: '2' } }
        const joined = must(await platform.make(request))
        expect(joined).toMatchObject({ joined: true, attributes: { cart: '1' }, version })
        expect(joined.conversation).toMatchObject({ id: conversation.id, participantId: conversation.participantId })
      })

      test('[PL4] a conversation names the one that it follows', async () => {
        const { platform, token, conversationId } = await visitor(world)
        await world.agentCloses(conversationId)
        const request = { key: freshKey(), token, previousId: conversationId, routing: {}, attributes: {} }
        expect(must(await platform.make(request)).conversation.previousId).toBe(conversationId)
      })

      test('[PL5] the same key twice is one message', async () => {
        const { send, backfill } = await visitor(world)
        const key = freshKey()
        const [first, second] = [must(await send('hello', key)), must(await send('hello', key))]
        expect(second).toEqual(first)
        expect(first).toMatchObject({ seq: 1, id: expect.any(String), at: expect.any(Number) })
        expect(must(await send('again'))).toMatchObject({ seq: 2 })
        expect(must(await backfill(''))).toMatchObject({
          headSeq: 2,
          rows: [{ key, text: 'hello' }, { text: 'again' }],
        })
      })

      test('[PL5] the same key at the same instant is one message', async () => {
        const { send, backfill } = await visitor(world)
        const key = freshKey()
        const acks = (await Promise.all(Array.from({ length: 8 }, () => send('hello', key)))).map(must)
        expect(new Set(acks.map(({ id }) => id)).size).toBe(1)
        expect(must(await backfill(''))).toMatchObject({ headSeq: 1 })
      })

      test('[PL6] a conversation that is over takes nothing more, but repeats its answers', async () => {
        const { send, conversationId, platform, token, version } = await visitor(world)
        const key = freshKey()
        const ack = must(await send('in time', key))
        await world.agentCloses(conversationId)
        expect(await send('too late')).toMatchObject({ ok: false, verdict: 'read-only' })
        expect(must(await send('in time', key))).toEqual(ack)
        const push = await platform.push({ token, conversationId, delta: { a: 'b' }, version })
        expect(push).toMatchObject({ ok: false, verdict: 'read-only' })
      })

      test('[PL6] a conversation of somebody else is as good as over', async () => {
        const { conversation } = await visitor(world)
        const other = await visitor(world)
        const message = { key: freshKey(), text: 'psst' }
        const outcome = await other.platform.send({ token: other.token, conversation, message })
        expect(outcome).toMatchObject({ ok: false, verdict: 'read-only' })
      })

      test('[PL7] a push merges key by key, and null removes', async () => {
        const { platform, token, conversationId, version } = await visitor(world, { a: '1', b: '2' })
        const delta = { a: null, b: '3', c: true }
        const pushed = must(await platform.push({ token, conversationId, delta, version }))
        expect(pushed).toMatchObject({ conflict: false, attributes: { b: '3', c: true } })
        expect(pushed.attributes).not.toHaveProperty('a')
        expect(pushed.version).toBeGreaterThan(version)
      })

      test('[PL7] a push on an old version changes nothing and says what is there', async () => {
        const { platform, token, conversationId, version } = await visitor(world, { a: '1' })
        const first = must(await platform.push({ token, conversationId, delta: { a: '2' }, version }))
        const late = must(await platform.push({ token, conversationId, delta: { a: '3' }, version }))
        expect(late).toMatchObject({ conflict: true, attributes: { a: '2' }, version: first.version })
      })

      test('[PL7] a push that changes nothing makes one on the same version late', async () => {
        const { platform, token, conversationId, version } = await visitor(world, { a: '1' })
        const push = (b: string | null) => platform.push({ token, conversationId, delta: { b }, version })
        expect(must(await push(null))).toMatchObject({ conflict: false, attributes: { a: '1' } })
        expect(must(await push('older'))).toMatchObject({ conflict: true, attributes: { a: '1' } })
      })

      test('[PL8] a backfill gives what is strictly after its cursor, all of it, in order', async () => {
        const { backfill, send, conversationId } = await visitor(world)
        const acks = []
        for (let n = 1; n <= 205; n++) acks.push(must(await send(`${n}`)))
        await world.agentSays(conversationId, 'last')
        const all = must(await backfill(''))
        if (all.resync) throw new Error('There was no cursor to be unknown.')
        expect(all.rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 206 }, (_, index) => index + 1))
        expect(all.headSeq).toBe(206)
        expect(all.rows.at(-1)).toMatchObject({ text: 'last', role: 'agent', conversationId })
        expect(all.rows.at(-1)).not.toHaveProperty('key')
        const rest = must(await backfill(acks[203]?.id ?? ''))
        expect(rest).toMatchObject({ rows: [{ seq: 205 }, { seq: 206 }], headSeq: 206 })
        const end = must(await backfill(all.rows.at(-1)?.id ?? ''))
        expect(end).toMatchObject({ resync: false, rows: [], headSeq: 206 })
      })

      test('[PL8] a cursor that means nothing asks to read everything again', async () => {
        const { backfill, send } = await visitor(world)
        must(await send('hello'))
        expect(must(await backfill('m-of-another-life'))).toEqual({ resync: true })
      })
    })

    streamContract(() => world)
  })
}
