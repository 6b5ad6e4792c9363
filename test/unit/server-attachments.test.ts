// Attachments at the session service: each step once and durable, whatever is repeated, and only what may be attached.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { folderObjects, memoryObjects, PART_BYTES, partNames } from '../../server/attachments.ts'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { type Created, freshKey, type Listed, Visitor } from './server-visitor.ts'

type Attached = { id: string; received: number; confirmed: boolean; code?: string }

let service: SessionService
let clock: number
let owner: Visitor
let own: Created
const objects = memoryObjects()

beforeEach(async () => {
  clock = Date.now()
  service = await createSessionService({ now: () => clock, attachments: { objects, bytesMax: 3 * PART_BYTES } })
  owner = new Visitor(service)
  await owner.open()
  own = (await owner.start()).body
})
afterEach(() => service.close())

const path = (more = '') => `/api/v2/messaging/conversations/${own.id}/attachments${more}`
const SIZE = PART_BYTES + 7
const DAY_MS = 86_400_000
const file = { name: 'cät "1".png', type: 'image/png', size: SIZE }
const bytes = Uint8Array.from({ length: SIZE }, (_, at) => at % 251)

const reserve = (key = freshKey(), body: object = file) =>
  owner.call<Attached>(path(), { body, headers: { 'Idempotency-Key': key } })

async function put(id: string, offset: number, part: Uint8Array): Promise<{ status: number; body: Attached }> {
  const headers = { Authorization: `Bearer ${owner.token}`, 'Content-Type': 'application/octet-stream' }
  const init = { method: 'PUT', headers, body: part as Uint8Array<ArrayBuffer> }
  const response = await service.fetch(new Request(`http://localhost${path(`/${id}/content?offset=${offset}`)}`, init))
  return { status: response.status, body: (await response.json()) as Attached }
}

async function whole(): Promise<string> {
  const { id } = (await reserve()).body
  await put(id, 0, bytes.slice(0, PART_BYTES))
  await put(id, PART_BYTES, bytes.slice(PART_BYTES))
  await owner.call(path(`/${id}/confirm`), { method: 'POST' })
  return id
}
const say = (attachments: string[], key = freshKey()) =>
  owner.call(`/api/v2/messaging/conversations/${own.id}/messages`, {
    body: { text: 'look', attachments },
    headers: { 'Idempotency-Key': key },
  })
const read = async (id: string) => {
  const headers = { Authorization: `Bearer ${owner.token}` }
  return service.fetch(new Request(`http://localhost${path(`/${id}/content`)}`, { headers }))
}

describe('the steps', () => {
  test('[AT7] the same key reserves once; parts come in order, a repeated one changes nothing, and the answer says where to go on', async () => {
    const key = freshKey()
    const [first, second] = [await reserve(key), await reserve(key)]
    expect([first.status, second.status, second.body.id]).toEqual([201, 200, first.body.id])
    const { id } = first.body
    expect((await put(id, PART_BYTES, bytes.slice(PART_BYTES))).body.received).toBe(0)
    const part = bytes.slice(0, PART_BYTES)
    expect((await put(id, 0, part)).body.received).toBe(PART_BYTES)
    expect(
      (
        await put(
          id,
          0,
          part.map(() => 9),
        )
      ).body.received,
    ).toBe(PART_BYTES)
    expect((await owner.call<Attached>(path(`/${id}/confirm`), { method: 'POST' })).body.code).toBe(
      'attachment-incomplete',
    )
    expect((await put(id, PART_BYTES, bytes.slice(PART_BYTES))).body.received).toBe(SIZE)
    for (const _ of [1, 2])
      expect((await owner.call<Attached>(path(`/${id}/confirm`), { method: 'POST' })).body.confirmed).toBe(true)
    const answer = await read(id)
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(bytes)
    const { headers } = answer
    expect(headers.get('Content-Type')).toBe('image/png')
    expect(headers.get('Content-Disposition')).toBe(`attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`)
    expect([headers.get('X-Content-Type-Options'), headers.get('Content-Security-Policy')]).toEqual([
      'nosniff',
      expect.stringContaining('sandbox'),
    ])
  })

  test('[AT7] two at once with the same part are one', async () => {
    const { id } = (await reserve()).body
    const part = bytes.slice(0, PART_BYTES)
    const both = await Promise.all([put(id, 0, part), put(id, 0, part)])
    expect(both.map(({ body }) => body.received)).toEqual([PART_BYTES, PART_BYTES])
  })

  test('[AT8] a message names what is whole, its repeat gets the first answer, and everybody reads it there', async () => {
    const id = await whole()
    const key = freshKey()
    expect([(await say([id], key)).status, (await say([id], key)).status]).toEqual([201, 200])
    const listed = await owner.call<Listed>(`/api/v2/messaging/conversations/${own.id}/messages`)
    expect(listed.body.messages).toMatchObject([{ text: 'look', attachments: [{ id, ...file }] }])
    const { id: half } = (await reserve()).body
    expect((await say([half])).body).toMatchObject({ code: 'attachment-incomplete' })
    expect((await say(['nothing'])).body).toMatchObject({ code: 'unknown-attachment' })
    expect((await say(Array.from({ length: 6 }, () => id))).status).toBe(400)
  })

  test('[AT9] what is taken back is gone, with its bytes; what is not whole is read by nobody', async () => {
    const { id } = (await reserve()).body
    await put(id, 0, bytes.slice(0, PART_BYTES))
    expect((await read(id)).status).toBe(404)
    expect((await owner.call(path(`/${id}`), { method: 'DELETE' })).status).toBe(200)
    expect((await owner.call(path(`/${id}`), { method: 'DELETE' })).status).toBe(404)
    expect(await Promise.all(partNames(id, SIZE).map((name) => objects.get(name)))).toEqual([undefined, undefined])
    expect((await put(id, PART_BYTES, bytes.slice(PART_BYTES))).status).toBe(404)
  })

  test('[AT9] of what is taken back while a part of it is written, no byte stays', async () => {
    const { id } = (await reserve()).body
    const write = vi.spyOn(objects, 'put').mockImplementationOnce(async (name, part) => {
      expect((await owner.call(path(`/${id}`), { method: 'DELETE' })).status).toBe(200)
      await objects.put(name, part)
    })
    expect((await put(id, 0, bytes.slice(0, PART_BYTES))).status).toBe(404)
    expect(write).toHaveBeenCalledTimes(2)
    expect(await Promise.all(partNames(id, SIZE).map((name) => objects.get(name)))).toEqual([undefined, undefined])
    write.mockRestore()
  })

  test('[SV27] a stranger who names a file in a message gets no answer about it, and changes nothing', async () => {
    const id = await whole()
    const stranger = new Visitor(service)
    await stranger.open()
    const names = (attachments: string[]) =>
      stranger.call(`/api/v2/messaging/conversations/${own.id}/messages`, {
        body: { text: 'mine', attachments },
        headers: { 'Idempotency-Key': freshKey() },
      })
    for (const one of [id, 'nothing']) expect((await names([one])).body['code']).toBe('unknown-conversation')
    expect((await owner.call(path(`/${id}`), { method: 'DELETE' })).status).toBe(200)
  })

  test('[AT9] what a message has is not taken back', async () => {
    const id = await whole()
    await say([id])
    expect((await owner.call(path(`/${id}`), { method: 'DELETE' })).status).toBe(404)
    expect((await read(id)).status).toBe(200)
  })
})

describe('the quota of a session', () => {
  test.each([
    { limit: { sessionCountMax: 2 }, sizes: [1, 1] },
    { limit: { sessionBytesMax: 2 * SIZE + 5 }, sizes: [SIZE, SIZE] },
  ])(
    '[AT14] beyond $limit nothing more is announced; a repeat and what is taken back make room',
    async ({ limit, sizes }) => {
      const narrow = await createSessionService({ now: () => clock, attachments: limit })
      const visitor = new Visitor(narrow)
      await visitor.open()
      const { id } = (await visitor.start()).body
      const at = `/api/v2/messaging/conversations/${id}/attachments`
      const announce = (size: number, key = freshKey()) =>
        visitor.call<Attached>(at, { body: { ...file, size }, headers: { 'Idempotency-Key': key } })
      const key = freshKey()
      const made = [await announce(sizes[0] ?? 1, key), await announce(sizes[1] ?? 1)]
      expect(made.map(({ status }) => status)).toEqual([201, 201])
      const refused = await announce(9)
      expect([refused.status, refused.body.code]).toEqual([413, 'attachment-quota'])
      expect((await announce(sizes[0] ?? 1, key)).status).toBe(200)
      await visitor.call(`${at}/${made[1]?.body.id}`, { method: 'DELETE' })
      expect((await announce(9)).status).toBe(201)
      await narrow.close()
    },
  )
})

test('[AT13] the bytes end with the retention of their conversation', async () => {
  const id = await whole()
  await say([id])
  await owner.call(`/api/v2/messaging/conversations/${own.id}/close`, { method: 'POST' })
  for (const days of [2, 91]) {
    clock += days * DAY_MS
    await service.sweep()
  }
  expect(await Promise.all(partNames(id, SIZE).map((name) => objects.get(name)))).toEqual([undefined, undefined])
})

describe('what is refused', () => {
  test.each([
    { body: { ...file, size: 3 * PART_BYTES + 1 }, code: 'attachment-too-large' },
    { body: { ...file, type: 'text/html' }, code: 'attachment-type' },
    { body: { ...file, size: 0 }, code: 'invalid-request' },
    { body: { ...file, size: 1.5 }, code: 'invalid-request' },
    { body: { ...file, name: '../../etc/passwd' }, code: 'invalid-request' },
    { body: { ...file, name: 'a\u0000b' }, code: 'invalid-request' },
    { body: { ...file, name: 'half \ud83d' }, code: 'invalid-request' },
    { body: { ...file, name: '' }, code: 'invalid-request' },
    { body: { ...file, type: 'image/png; x=\r\n' }, code: 'invalid-request' },
  ])('[AT10] $body.name of $body.size bytes, $body.type: $code', async ({ body, code }) => {
    expect((await reserve(freshKey(), body)).body.code).toBe(code)
  })

  test('[AT10] a part of another size, a file without a key, and one for a conversation that is over', async () => {
    const { id } = (await reserve()).body
    expect((await put(id, 0, bytes.slice(0, 100))).body.code).toBe('attachment-part')
    expect((await put(id, 0, new Uint8Array(PART_BYTES + 1))).status).toBe(413)
    expect((await owner.call(path(), { body: file })).body).toMatchObject({ code: 'idempotency-key-required' })
    await owner.call(`/api/v2/messaging/conversations/${own.id}/close`, { method: 'POST' })
    expect((await reserve()).body.code).toBe('conversation-closed')
  })
})

test('[AT7] on disk, a part is whole or not there, and no name leads out of the folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-attachments-'))
  try {
    const some = bytes.slice(0, 9)
    await folderObjects(folder).put('one/0', some)
    const again = folderObjects(folder)
    expect(new Uint8Array((await again.get('one/0')) ?? [])).toEqual(some)
    expect(await again.get('one/7')).toBeUndefined()
    await again.remove('one/0')
    await again.remove('one/0')
    expect(await again.get('one/0')).toBeUndefined()
    for (const name of ['../0', 'a/../../0', '/etc/0', 'a/b'])
      await expect((async () => again.put(name, some))()).rejects.toThrow(TypeError)
  } finally {
    await rm(folder, { recursive: true })
  }
})
