// Writers on several devices take turns, and what the retention ends is gone.
import { beforeEach, describe, expect, test } from 'vitest'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { grantLease, isFenceGood } from '../../server/session-lease.ts'
import { agentOf, type Problem, times, Visitor } from './server-visitor.ts'

const DAY_MS = 24 * 3600_000
let clock: number
let service: SessionService

beforeEach(async () => {
  clock = 1_900_000_000_000
  service = await createSessionService({ now: () => clock })
  return () => service.close()
})

describe('leases', () => {
  const HELD = { holder: 'a', fence: 3, expiresAt: 1000 }
  test.each([
    ['the first', null, 'a', 0, { type: 'granted', lease: { holder: 'a', fence: 1, expiresAt: 500 } }],
    ['extended', HELD, 'a', 900, { type: 'granted', lease: { holder: 'a', fence: 3, expiresAt: 1400 } }],
    ['of another', HELD, 'b', 999, { type: 'held', lease: HELD }],
    ['of another, but over', HELD, 'b', 1000, { type: 'granted', lease: { holder: 'b', fence: 4, expiresAt: 1500 } }],
    ['its own, but over', HELD, 'a', 1000, { type: 'granted', lease: { holder: 'a', fence: 4, expiresAt: 1500 } }],
  ])('[SV60] a lease that is %s', (_is, present, holder, now, verdict) => {
    expect(grantLease(present, { holder, ttlMs: 500 }, now)).toEqual(verdict)
  })

  test('[SV60] only the newest fence is good, and none is none', () => {
    expect([undefined, 2, 3, 4].map((fence) => isFenceGood(HELD, fence))).toEqual([true, false, true, false])
    expect(isFenceGood(null, 1)).toBe(false)
  })

  const take = (visitor: Visitor, holder: string, more: object = {}) =>
    visitor.call<{ fence: number; expiresAt: number } & Problem>('/api/v2/messaging/leases', {
      body: { scope: 'session', name: 'cart', holder, ttlMs: 10_000, ...more },
    })

  test('[SV60] of a hundred that ask at once one gets it, and the former holder writes nothing any more', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const asked = await Promise.all(times(100, (index) => take(visitor, `device-${index}`)))
    const granted = asked.filter(({ status }) => status === 200)
    expect(granted).toHaveLength(1)
    expect(asked.find(({ status }) => status === 409)).toMatchObject({ body: { code: 'lease-held' } })
    const put = (fence: string, value: number) =>
      visitor.call<Problem & { value: number }>('/api/v2/widget-context/session/cart', {
        method: 'PUT',
        body: { value },
        headers: { 'Holdfast-Fence': fence },
      })
    expect((await put('1', 1)).status).toBe(201)
    clock += 10_000
    expect((await take(visitor, 'later')).body.fence).toBe(2)
    expect(await put('1', 2)).toMatchObject({ status: 409, body: { code: 'stale-fence' } })
    expect((await put('2', 3)).body.value).toBe(3)
    expect((await put('two', 4)).status).toBe(400)
    expect((await take(visitor, 'later', { ttlMs: 0 })).status).toBe(200)
    expect((await take(visitor, 'last')).body.fence).toBe(3)
  })

  test("[SV60] a conversation's attributes are fenced too, and another's conversation has no lease to give", async () => {
    const visitor = new Visitor(service)
    const { id } = await visitor.begin()
    const stranger = new Visitor(service)
    await stranger.open()
    const attributes = { scope: id, name: 'attributes' }
    expect((await take(visitor, 'a', attributes)).body.fence).toBe(1)
    expect((await take(stranger, 'b', attributes)).status).toBe(404)
    const patch = (fence: string) =>
      visitor.call<Problem>(`/api/v2/messaging/conversations/${id}`, {
        method: 'PATCH',
        body: { customAttributes: { cart: fence } },
        headers: { 'Holdfast-Fence': fence },
      })
    expect((await patch('0')).body.code).toBe('stale-fence')
    expect((await patch('1')).status).toBe(200)
  })
})

test('[SV61] the old transcript is readable within the retention, and gone with it', async () => {
  const visitor = new Visitor(service)
  const first = await visitor.begin()
  await visitor.say(first, 'long ago')
  await visitor.call(`/api/v2/widget-context/${first.id}/note`, { method: 'PUT', body: { value: 1 } })
  clock += 8 * DAY_MS
  await service.sweep()
  await visitor.open()
  const second = (await visitor.start()).body
  expect(second.resumedFrom).toBe(first.id)
  clock += 2 * DAY_MS
  await service.sweep()
  await visitor.open()
  expect((await visitor.call<{ state: string }>(`/api/v2/messaging/conversations/${first.id}`)).body.state).toBe(
    'archived',
  )
  expect((await visitor.list(first.id)).body.messages.map(({ text }) => text)).toEqual(['long ago'])

  for (let day = 0; day < 95; day += 5) {
    clock += 5 * DAY_MS
    await visitor.open()
    await visitor.say(second, `day ${day}`)
    await service.sweep()
  }
  expect((await visitor.list(first.id)).status).toBe(404)
  expect((await visitor.call(`/api/v2/widget-context/${first.id}/note`)).status).toBe(404)
  const kept = (await visitor.call<Record<string, unknown>>(`/api/v2/messaging/conversations/${second.id}`)).body
  expect(kept).toMatchObject({ id: second.id, state: 'active' })
  expect(kept).not.toHaveProperty('previousId')
  expect(kept).toMatchObject({ previousState: 'gone' })
  const agent = await agentOf(service)
  const listed = await agent.call<{ conversations: unknown[] }>('/api/v2/messaging/conversations?state=all')
  expect(listed.body.conversations).toHaveLength(1)

  clock += 8 * DAY_MS
  await service.sweep()
  clock += 2 * DAY_MS
  await service.sweep()
  clock += 100 * DAY_MS
  await service.sweep()
  await service.sweep()
  expect((await visitor.refresh()).body.error).toBe('invalid_grant')
  expect((await agent.call<{ conversations: unknown[] }>('/api/v2/messaging/conversations?state=all')).status).toBe(401)
})
