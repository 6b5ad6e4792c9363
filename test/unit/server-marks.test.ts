// What was delivered and read, from the outside: over HTTP, streams and polls.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Marker, MARKS_MS } from '../../server/marks.ts'
import { createSessionService, type SessionService } from '../../server/index.ts'
import type { Mark } from '../../server/session-marks.ts'
import { Listener } from '../servers/listener.ts'
import { agentOf, type Created, type Listed, Visitor } from './server-visitor.ts'

const NONE = { delivered: 0, read: 0 }
let service: SessionService
let url: string
let visitor: Visitor
let agent: Visitor
let conversation: Created
const listeners: Listener[] = []

beforeEach(async () => {
  service = await createSessionService()
  url = (await service.listen(0)).url
  visitor = new Visitor(url)
  conversation = await visitor.begin()
  agent = await agentOf(service, url)
})
afterEach(async () => {
  for (const listener of listeners.splice(0)) listener.end()
  await service.close()
})

const path = (more = '') => `/api/v2/messaging/conversations/${conversation.id}${more}`
const mark = (who: Visitor, body: Partial<Mark>) => who.call(path('/marks'), { body })

async function listen(who: Visitor): Promise<Listener> {
  const listener = new Listener(
    () => [url],
    () => who.token ?? '',
    conversation.id,
  )
  listeners.push(listener)
  await listener.ready()
  return listener
}
const marksOf = ({ frames }: Listener) => frames.filter(({ type }) => type === 'marks')

describe('marks', () => {
  test('[MK3] reach who listens, after the message that they speak of, and who comes later', async () => {
    const line = await listen(visitor)
    await visitor.say(conversation, 'one')
    expect((await mark(agent, { delivered: 1 })).body).toEqual({ agent: { delivered: 1, read: 0 }, customer: NONE })
    await line.until(() => marksOf(line).length > 0)
    const types = line.frames.map(({ type }) => type)
    expect(types.indexOf('marks')).toBeGreaterThan(types.indexOf('message'))
    expect(marksOf(line)).toMatchObject([{ agent: { delivered: 1, read: 0 }, customer: NONE }])
    const late = await listen(visitor)
    await late.until(() => marksOf(late).length > 0)
    expect(marksOf(late)).toMatchObject([{ agent: { delivered: 1, read: 0 } }])
  })

  test('[MK3] a stream takes them as a frame, of the side that it is of', async () => {
    await visitor.say(conversation, 'one')
    const [mine, theirs] = [await listen(visitor), await listen(agent)]
    mine.send({ type: 'mark', read: 1 })
    await theirs.until(() => marksOf(theirs).length > 0)
    expect(marksOf(theirs)).toMatchObject([{ agent: NONE, customer: { delivered: 1, read: 1 } }])
  })

  test('[MK3] a poll says what it has not seen, at once or when it comes, and nothing to who does not ask', async () => {
    await visitor.say(conversation, 'one')
    await mark(agent, { read: 1 })
    type Polled = { frames: { type: string }[]; marks: number }
    const poll = (more: string) =>
      visitor.call<Polled>(`/api/v2/messaging/stream/poll?conversationId=${conversation.id}&afterSeq=1${more}`)
    expect((await poll('&waitMs=0')).body.frames).toEqual([])
    const { frames, marks } = (await poll('&afterMarks=0')).body
    expect(frames).toMatchObject([{ type: 'marks', agent: { read: 1 } }])
    expect((await poll(`&afterMarks=${marks}&waitMs=0`)).body.frames).toEqual([])
    const waiting = poll(`&afterMarks=${marks}`)
    await mark(visitor, { read: 1 })
    expect((await waiting).body.frames).toMatchObject([{ type: 'marks', customer: { read: 1 } }])
  })

  test('[MK3] a page and the conversation have them, and are unchanged only while they are the same', async () => {
    await visitor.say(conversation, 'one')
    for (const where of [path(), path('/messages')]) {
      const { headers } = await visitor.call<Listed>(where)
      const known = { headers: { 'If-None-Match': headers.get('ETag') ?? '' } }
      expect((await visitor.call(where, known)).status).toBe(304)
      await mark(where === path() ? agent : visitor, { read: 1 })
      const changed = await visitor.call<{ marks: unknown }>(where, known)
      expect(changed.status).toBe(200)
      expect(changed.body.marks).toMatchObject({ agent: { read: 1 } })
    }
  })

  test('[MK2] a mark is no conflict for who changes attributes', async () => {
    await visitor.say(conversation, 'one')
    const { headers } = await visitor.call(path())
    await mark(agent, { read: 1 })
    const change = { method: 'PATCH', body: { customAttributes: { cart: 'full' } } }
    const answer = await visitor.call(path(), { ...change, headers: { 'If-Match': headers.get('ETag') ?? '' } })
    expect(answer.status).toBe(200)
  })

  test('[MK4] nobody marks for others, and nobody what they may not enter', async () => {
    await visitor.say(conversation, 'one')
    await mark(visitor, { read: 1 })
    const { body } = await visitor.call<{ marks: unknown }>(path())
    expect(body.marks).toEqual({ agent: NONE, customer: { delivered: 1, read: 1 } })
    const stranger = new Visitor(url)
    await stranger.open()
    expect((await mark(stranger, { read: 1 })).status).toBe(404)
    for (const read of [-1, 1.5, 'x', null]) expect((await mark(visitor, { read: read as number })).status).toBe(400)
  })
})

test('[MK2] of a hundred marks within a second two are written: the first at once, the rest together', async () => {
  const written: Mark[] = []
  const rests: (() => void)[] = []
  const store = { advance: async (_: string, __: string, said: Mark) => void written.push(said) }
  const after = (ms: number, run: () => void) => void (ms === MARKS_MS && rests.push(run))
  const marker = new Marker({ store: store as never, hub: { publish() {} }, after })
  const all = Array.from({ length: 100 }, (_, index) =>
    marker.note('c', 'agent', { delivered: index + 1, read: index }),
  )
  const other = marker.note('c', 'customer', { delivered: 1, read: 1 })
  await Promise.all([all[0], other])
  expect(written).toEqual([
    { delivered: 1, read: 0 },
    { delivered: 1, read: 1 },
  ])
  for (const rest of rests.splice(0)) rest()
  await Promise.all(all)
  expect(written.slice(2)).toEqual([{ delivered: 100, read: 99 }])
  for (const rest of rests.splice(0)) rest()
  await marker.note('c', 'agent', { delivered: 101, read: 99 })
  expect(written).toHaveLength(4)
})
