// What the store makes of sign-ins, pushes, leases and the end of retention, over every database: the statements
// that only one of them would understand show here.
import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { partName } from '../../server/attachments.ts'
import type { Driver } from '../../server/drivers/driver.ts'
import { SCHEMA_VERSION } from '../../server/schema.ts'
import type { Caller } from '../../server/session.ts'
import { SqlStore } from '../../server/store.ts'
import { UNFINISHED_MS } from '../../server/store-attachments.ts'

const DAY_MS = 24 * 3600_000
const NOW = 1_900_000_000_000
const LIMITS = {
  sessionMs: 7 * DAY_MS,
  idleMs: 7 * DAY_MS,
  archiveMs: DAY_MS,
  purgeMs: 90 * DAY_MS,
  pushing: new Set(['demo']),
}
const times = <T>(n: number, make: (index: number) => T): T[] => Array.from({ length: n }, (_, index) => make(index))
type Customer = Extract<Caller, { role: 'customer' }>

/** @param open a driver over an empty database */
export function sqlStoreMoreContract(name: string, open: () => Promise<Driver>): void {
  describe(`store, further: ${name}`, () => {
    let driver: Driver
    let store: SqlStore
    beforeEach(async () => {
      driver = await open()
      store = await SqlStore.open(driver, LIMITS)
      return () => driver.close()
    })

    async function visitor(now = NOW): Promise<Customer> {
      const fresh = { sessionId: randomUUID(), familyId: randomUUID() }
      const answer = await store.sessions.open({ deploymentId: 'demo', keyHash: randomUUID(), fresh }, now)
      if (answer.type === 'wait') throw new Error('wait')
      return { role: 'customer', deploymentId: 'demo', ...fresh, generation: 1 }
    }
    async function begin(caller: Customer, now = NOW): Promise<string> {
      const fresh = { conversationId: randomUUID(), participantId: randomUUID() }
      const request = { caller, channelId: 'web', attributes: {}, routing: {}, requestHash: 'h', fresh }
      const begun = await store.starter.create(request, now)
      if (begun.type === 'refused') throw new Error(begun.code)
      return begun.answer.id
    }
    const signIn = (caller: Customer, userId = 's:ann', now = NOW) =>
      store.identities.identify({ familyId: caller.familyId, generation: 1, userId, freshSessionId: randomUUID() }, now)
    const sessionOf = (answer: Awaited<ReturnType<typeof signIn>>) => ('session' in answer ? answer.session.id : '')

    test('[AT14] of many attachments announced at once, over two conversations, a session gets as many as its quota', async () => {
      const caller = await visitor()
      const former = await begin(caller)
      const quota = { sessionCountMax: 4, sessionBytesMax: 100 }
      const reserve = (conversationId: string, key: string, size: number) =>
        store.attachments.reserve({ id: randomUUID(), conversationId, name: 'a', type: 'b', size, key }, NOW, quota)
      expect(await reserve(former, 'first', 40)).toMatchObject({ size: 40 })
      await store.conversations.close(former, caller, NOW)
      const present = await begin(caller)
      expect([await reserve(present, 'large', 61), await reserve(present, 'fits', 57)]).toEqual([
        undefined,
        expect.objectContaining({ size: 57 }),
      ])
      const many = await Promise.all(times(12, (index) => reserve(present, `many-${index}`, 1)))
      expect(many.filter((one) => one !== undefined)).toHaveLength(2)
      // What is announced already is no further one, and another session has a quota of its own.
      expect(await reserve(present, 'fits', 57)).toMatchObject({ size: 57 })
      expect(await reserve(await begin(await visitor()), 'first', 100)).toMatchObject({ size: 100 })
    })

    test('[AT15] what was announced and never came whole is forgotten a day later, with its bytes, and counts no more', async () => {
      const conversationId = await begin(await visitor())
      const quota = { sessionCountMax: 3, sessionBytesMax: 100 }
      const reserve = (key: string, now: number) =>
        store.attachments.reserve({ id: randomUUID(), conversationId, name: 'a', type: 'b', size: 2, key }, now, quota)
      const half = (await reserve('half', NOW))?.id ?? ''
      const again = (await reserve('again', NOW))?.id ?? ''
      const whole = (await reserve('whole', NOW))?.id ?? ''
      for (const id of [half, whole]) await store.objects.put(partName(id, 0), new Uint8Array([1, 2]))
      await store.attachments.received(whole, 0, 2)
      await store.attachments.confirm(whole, NOW)
      const late = NOW + UNFINISHED_MS
      await store.sweep(late)
      expect(await reserve('further', late)).toBeUndefined()
      expect(await reserve('again', late)).toMatchObject({ id: again })
      await store.sweep(late + 1)
      const get = async (id: string) => [
        await store.attachments.get(conversationId, id),
        await store.objects.get(partName(id, 0)),
      ]
      expect(await get(half)).toEqual([undefined, undefined])
      expect(await get(whole)).toEqual([expect.objectContaining({ isConfirmed: true }), expect.anything()])
      expect(await store.attachments.get(conversationId, again)).toMatchObject({ received: 0 })
      // Announced again under its key it is another one, from its first byte.
      const anew = await reserve('half', late + 1)
      expect(anew).toMatchObject({ received: 0 })
      expect(anew?.id).not.toBe(half)
      expect(await reserve('further', late + 1)).toBeUndefined()
    })

    test('[AT15] a sweep that was killed half-way is finished by the next, and nothing is reached meanwhile', async () => {
      const conversationId = await begin(await visitor())
      const wanted = { conversationId, name: 'a', type: 'b', size: 2, key: 'half' }
      const { id = '' } = (await store.attachments.reserve({ ...wanted, id: randomUUID() }, NOW)) ?? {}
      await store.objects.put(partName(id, 0), new Uint8Array([1, 2]))
      const remove = () => Promise.reject(new Error('killed'))
      const late = NOW + UNFINISHED_MS + 1
      await expect(store.sweep(late, { ...store.objects, remove })).rejects.toThrow('killed')
      await store.attachments.received(id, 0, 2)
      await store.attachments.confirm(id, late)
      expect(await store.attachments.get(conversationId, id)).toBeUndefined()
      expect(await store.attachments.reserve({ ...wanted, id: randomUUID() }, late)).toMatchObject({ received: 0 })
      await store.sweep(late)
      expect(await store.objects.get(partName(id, 0))).toBeUndefined()
      expect(await driver.q('select id from attachment where id = $1', [id])).toEqual([])
    })

    test('[MK1] marks only grow, reading is having, and none goes beyond the last message', async () => {
      const caller = await visitor()
      const id = await begin(caller)
      const said = (key: string) => ({
        ...{ conversationId: id, caller, key, requestHash: key, freshId: randomUUID() },
        body: { text: key, contentType: 'text/plain' },
      })
      for (const key of ['one', 'two', 'three']) await store.messages.post(said(key), NOW)
      const before = await store.conversations.row(id)
      const steps = [
        { said: { delivered: 2, read: 0 }, agent: { delivered: 2, read: 0 } },
        { said: { delivered: 1, read: 1 }, agent: { delivered: 2, read: 1 } },
        { said: { delivered: 0, read: 99 }, agent: { delivered: 3, read: 3 } },
      ]
      for (const { said, agent } of steps)
        expect((await store.marks.advance(id, 'agent', said))?.marks).toEqual({ ...before?.marks, agent })
      expect(await store.marks.advance(id, 'agent', { delivered: 3, read: 2 })).toBeUndefined()
      expect(await store.marks.advance('nowhere', 'agent', { delivered: 1, read: 1 })).toBeUndefined()
      await Promise.all([1, 3, 2].map((read) => store.marks.advance(id, 'customer', { delivered: 0, read })))
      const after = await store.conversations.row(id)
      expect(after?.marks.customer).toEqual({ delivered: 3, read: 3 })
      // [MK2] Whoever changes the conversation meets no conflict, and it is not kept from expiring.
      expect([after?.version, after?.updatedAt]).toEqual([before?.version, before?.updatedAt])
    })

    test('[SV64] tables of the release before are brought up to date with what is in them', async () => {
      const caller = await visitor()
      const id = await begin(caller)
      await driver.q('drop index attachment_unfinished')
      await driver.q('alter table session drop column former_user_id')
      await driver.q('delete from schema_version where version > $1', [SCHEMA_VERSION - 2])
      store = await SqlStore.open(driver, LIMITS)
      expect(await store.conversations.row(id)).toMatchObject({ id })
      expect(await store.sessions.standing(caller, NOW)).toMatchObject({ epoch: 1 })
    })

    test('[SV48] twenty devices that sign in at the same instant share one session', async () => {
      const callers = await Promise.all(times(20, () => visitor()))
      const answers = await Promise.all(callers.map((caller) => signIn(caller)))
      expect(new Set(answers.map(sessionOf)).size).toBe(1)
      expect(answers.filter(({ type }) => type === 'adopted')).toHaveLength(1)
      expect(answers.filter(({ type }) => type === 'moved')).toHaveLength(19)
      const [{ familyId }] = callers as [Customer]
      const standing = await store.sessions.standing({ sessionId: sessionOf(answers[0] as never), familyId }, NOW)
      expect(standing).toEqual({ epoch: 2, isActiveElsewhere: true })
    })

    test('[SV49] two open conversations that meet: one stays, the other is closed, both are linked', async () => {
      const [phone, laptop] = [await visitor(), await visitor()]
      const kept = await begin(phone)
      await signIn(phone)
      const closed = await begin(laptop)
      await store.contexts.put(`session:${laptop.sessionId}`, 'wishes', 1, {}, NOW)
      const answer = await signIn(laptop)
      expect(answer).toMatchObject({ type: 'moved', session: { id: phone.sessionId } })
      expect(await store.conversations.full(closed)).toMatchObject({
        state: 'closed',
        sessionId: phone.sessionId,
        links: [{ conversationId: kept, kind: 'merged-into', at: NOW }],
      })
      expect(await store.conversations.full(kept)).toMatchObject({
        state: 'pending',
        links: [{ conversationId: closed, kind: 'merged-from', at: NOW }],
      })
      expect(await store.contexts.get(`session:${phone.sessionId}`, 'wishes')).toMatchObject({ value: 1 })
      expect(await store.sessions.confirm(laptop, NOW)).toBe('moved')
      expect(await store.sessions.confirm({ ...laptop, sessionId: phone.sessionId }, NOW)).toBe('live')
    })

    test('[SV50] a switch of user and back', async () => {
      const caller = await visitor()
      const anns = sessionOf(await signIn(caller))
      const bobs = await signIn(caller, 's:bob')
      expect(bobs).toMatchObject({ type: 'begun', changedIds: [] })
      expect(sessionOf(bobs)).not.toBe(anns)
      expect(await signIn(caller)).toMatchObject({ type: 'moved', session: { id: anns } })
      expect((await store.sessions.standing({ sessionId: anns, familyId: caller.familyId }, NOW)).epoch).toBe(4)
    })

    test('[SV55] a push is claimed by one of many, tried three times, buried and revived', async () => {
      const caller = await visitor()
      const id = await begin(caller)
      await store.conversations.close(id, caller, NOW)
      const claims = await Promise.all(times(8, () => store.pushes.claim(NOW, 10)))
      const due = claims.flatMap((claim) => claim.due)
      expect(due).toMatchObject([{ conversationId: id, event: 'closed', attempts: 1 }])
      const [push] = due
      if (push === undefined) throw new Error('nothing is due')
      expect(await store.pushes.failed(push, 'http-500', NOW)).toBe('waiting')
      expect((await store.pushes.claim(NOW + 1999, 10)).due).toEqual([])
      expect((await store.pushes.claim(NOW + 2000, 10)).due).toMatchObject([{ attempts: 2 }])
      // The next two claims were not heard of again.
      expect((await store.pushes.claim(NOW + 40_000, 10)).due).toMatchObject([{ attempts: 3 }])
      expect((await store.pushes.claim(NOW + 80_000, 10)).dead).toMatchObject([{ reason: 'interrupted' }])
      expect(await store.pushes.deadLetters('demo', 10)).toHaveLength(1)
      expect(await store.pushes.revive('other', push.id, NOW)).toBe(false)
      expect(await store.pushes.revive('demo', push.id, NOW + 90_000)).toBe(true)
      expect((await store.pushes.claim(NOW + 90_000, 10)).due).toMatchObject([{ attempts: 1 }])
      expect(await store.pushes.stateOf(push)).toMatchObject({ userId: null, conversation: { state: 'closed' } })
      await store.pushes.delivered(push.id)
      expect((await store.pushes.claim(NOW + DAY_MS, 10)).due).toEqual([])
    })

    test('[SV60] of many that ask at once one has the lease, and an old fence writes nothing', async () => {
      const take = (holder: string, now = NOW) =>
        store.leases.take({ scope: 'session:x', name: 'cart', holder, ttlMs: 1000 }, now)
      const verdicts = await Promise.all(times(20, (index) => take(`device-${index}`)))
      expect(verdicts.filter(({ type }) => type === 'granted')).toHaveLength(1)
      expect(await take('later', NOW + 1000)).toMatchObject({ type: 'granted', lease: { fence: 2 } })
      expect(await store.contexts.put('session:x', 'cart', 1, { fence: 1 }, NOW)).toMatchObject({ code: 'stale-fence' })
      expect(await store.contexts.put('session:x', 'cart', 1, { fence: 2 }, NOW)).toMatchObject({ type: 'done' })
    })

    test('[SV61] what the retention ends is gone with all that hangs on it', async () => {
      const caller = await visitor()
      const first = await begin(caller)
      await store.messages.post(
        {
          conversationId: first,
          caller,
          key: 'a-key',
          requestHash: 'h',
          body: { text: 'x', contentType: 'text/plain' },
          freshId: randomUUID(),
        },
        NOW,
      )
      await store.contexts.put(`conversation:${first}`, 'note', 1, {}, NOW)
      await store.conversations.close(first, caller, NOW)
      const second = await begin(caller, NOW + 1)
      await store.conversations.close(second, caller, NOW + 60 * DAY_MS)
      await store.sweep(NOW + 61 * DAY_MS + 1)
      await store.sweep(NOW + 91 * DAY_MS)
      expect(await store.conversations.row(first)).toBeUndefined()
      expect(await store.messages.after(first, 0, 10)).toEqual([])
      expect(await store.contexts.get(`conversation:${first}`, 'note')).toBeUndefined()
      expect(await store.conversations.row(second)).toMatchObject({ previousId: null, state: 'archived' })
      await store.sweep(NOW + 400 * DAY_MS)
      await store.sweep(NOW + 400 * DAY_MS)
      expect(await store.sessions.session(caller.sessionId)).toBeUndefined()
    })
  })
}
