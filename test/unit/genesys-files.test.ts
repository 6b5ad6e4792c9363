// Files, the end of a session, Join and clearing on the Genesys platform, each against the emulator.
import { afterEach, describe, expect, test } from 'vitest'
import type { Outcome } from '../../core/ports.ts'
import { expiryOf, limitsOf } from '../../sw/platforms/genesys-wire.ts'
import type { GenesysSettings } from '../../testing/genesys.ts'
import { must } from '../contract/platform-world.ts'
import { ACTIVE, PENDING, sessionOf, world as openWorld } from './genesys-lines.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const FILE = { name: 'a.png', type: 'image/png', size: 4 }
const CONTENT = new Blob(['1234'], { type: 'image/png' })
const WHERE = { token: 'secret-1', conversationId: 'c1' }

async function visitor(settings: Partial<GenesysSettings> = {}, now = Date.now) {
  const at = await openWorld((end) => ends.push(end), settings, now)
  const line = at.connect()
  await line.state('active')
  const files = line.connection.calls?.attachments
  if (files === undefined) throw new Error('Nothing can be attached.')
  const reserve = (file = FILE) => files.reserve({ key: 'k', ...WHERE, file })
  const upload = (id: string, file = FILE) => files.upload({ ...WHERE, id, content: CONTENT, sent: 0, file })
  return { ...at, line, files, reserve, upload }
}

describe('files', () => {
  test('[GC28] a file is put where the platform says, is there when it says so, and a message names it', async () => {
    const { line, reserve, upload, files, emulator } = await visitor()
    const { id } = must(await reserve())
    expect(must(await upload(id))).toEqual({ id, sent: 4 })
    must(await files.confirm({ ...WHERE, id }))
    must((await line.send('look', 'k1', { attachments: [id] })) as Outcome<unknown>)
    const attachment = { id, filename: 'a.png', mediaType: 'Image', fileSize: 4, mime: 'image/png' }
    expect(sessionOf(emulator).log).toMatchObject([
      { text: 'look', content: [{ contentType: 'Attachment', attachment }] },
    ])
  })

  test('[GC28] an address that nobody remembers is asked for again, under another name', async () => {
    const { upload } = await visitor()
    const { id, sent } = must(await upload('of-a-former-worker'))
    expect(sent).toBe(4)
    expect(id).not.toBe('of-a-former-worker')
  })

  test('[GC28] a cut while bytes are on their way, and a line that is closed, are tried again', async () => {
    const { reserve, upload, emulator, line } = await visitor()
    const { id } = must(await reserve())
    emulator.service.fault('upload-unsaid')
    const uploading = upload(id)
    await line.until(() => true)
    emulator.cut()
    expect(await uploading).toMatchObject({ ok: false, verdict: 'retry' })
    expect(await reserve()).toMatchObject({ ok: false, verdict: 'retry' })
  })

  test.each([
    ['a name that is blocked', { ...FILE, name: 'a.EXE' }],
    ['no name', { ...FILE, name: '' }],
    ['a name that is too long', { ...FILE, name: 'n'.repeat(1_024) }],
    ['no bytes', { ...FILE, size: 0 }],
    ['too many bytes', { ...FILE, size: 20_000_000 }],
  ])('[GC29] a file with %s is refused, and the next one goes', async (_, file) => {
    const { reserve } = await visitor()
    expect(await reserve(file)).toMatchObject({ ok: false, verdict: 'refuse', code: 'ATTACHMENT_REFUSED' })
    must(await reserve())
  })

  test('[GC29] a file that is not what was promised is refused; what expired or was never there names itself', async () => {
    const { line, reserve, upload, emulator } = await visitor()
    const wrong = { ...FILE, size: 5 }
    const { id } = must(await reserve(wrong))
    expect(await upload(id, wrong)).toMatchObject({ ok: false, verdict: 'refuse', code: 'ATTACHMENT_REFUSED' })
    expect(await line.send('a', 'ka', { attachments: ['nobody'] })).toMatchObject({ verdict: 'refuse' })
    const late = must(await upload(must(await reserve()).id))
    emulator.service.attachments.expire(late.id)
    expect(await line.send('b', 'kb', { attachments: [late.id ?? ''] })).toMatchObject({ verdict: 'upload-again' })
    must((await line.send('c')) as Outcome<unknown>)
  })

  test('[GC29] what nobody wants any more is taken back', async () => {
    const { line, reserve, upload, files } = await visitor()
    const { id = '' } = must(await upload(must(await reserve()).id))
    must(await files.discard({ ...WHERE, id }))
    expect(await line.send('a', 'ka', { attachments: [id] })).toMatchObject({ verdict: 'refuse' })
  })

  test('[GC29] what may be attached is what the platform says at run time, or nothing', async () => {
    const allowedMedia = { inbound: { fileTypes: [{ type: 'image/*' }, { type: 7 }], maxFileSizeKB: 2 } }
    const { limits } = limitsOf({ allowedMedia, blockedExtensions: ['.svg'], maxCustomDataBytes: 10 })
    expect(limits).toMatchObject({
      dataBytesMax: 10,
      attachments: { bytesMax: 2_048, types: ['image/*'], blocked: ['.svg'] },
    })
    for (const body of [{}, { allowedMedia: null }, { allowedMedia: { inbound: { fileTypes: 'all' } } }])
      expect(limitsOf(body).limits.attachments).toBeUndefined()
    const { line } = await visitor({ takesAttachments: false })
    const told = line.events.flatMap((event) => (event.type === 'session' ? (event.limits ?? []) : []))
    expect(told).toHaveLength(1)
    expect(told[0]?.attachments).toBeUndefined()
  })
})

describe('the end of a session', () => {
  test.each([0, -3_600_000, 3_600_000])(
    '[GC30] looking does not move it, with a clock that is %i ms off',
    async (off) => {
      const now = () => Date.now() + off
      const { line, emulator } = await visitor({ durationSeconds: 900 }, now)
      sessionOf(emulator).expiresAt = Date.now() + 300_000
      line.connection.ping('p1')
      await line.until(() => line.has('pong'))
      expect(Math.abs(line.endsAt() - (now() + 300_000))).toBeLessThan(5_000)
    },
  )

  test('[GC30] each message, either way, gives it its whole life again', async () => {
    const { line, emulator } = await visitor({ durationSeconds: 900 })
    await line.backfill()
    for (const speak of [() => line.send('hi'), () => emulator.service.agentSays(sessionOf(emulator), 'hello')]) {
      sessionOf(emulator).expiresAt = Date.now() + 300_000
      const before = line.events.length
      line.connection.ping('p')
      await line.until(() => line.events.length > before)
      await speak()
      await line.until(() => line.endsAt() > Date.now() + 880_000)
    }
  })

  test('[GC30] what makes no sense of it is not believed', () => {
    const now = Date.UTC(2026, 0, 5)
    expect(expiryOf({}, now)).toBeUndefined()
    expect(expiryOf({ durationSeconds: 'soon', expirationDate: null }, now)).toBeUndefined()
    expect(expiryOf({ durationSeconds: '60', expirationDate: '5' }, now)).toEqual({ expiresAt: now + 60_000 })
    expect(expiryOf({ expirationDate: now / 1_000 + 90 }, now)).toEqual({ expiresAt: now + 90_000 })
  })
})

describe('Join and clear', () => {
  test.each([2_048, 4])('[GC31] Join takes attributes along, where %i bytes may', async (maxCustomDataBytes) => {
    const { emulator, connect } = await openWorld((end) => ends.push(end), { autoStart: true, maxCustomDataBytes })
    const line = connect(PENDING, undefined, { cart: '12', vip: true })
    await line.until(() => line.has('carried'))
    const isSome = maxCustomDataBytes > 4
    const attributes = isSome ? { cart: '12', vip: 'true' } : {}
    expect(sessionOf(emulator).attributes).toEqual(attributes)
    expect(line.events.find(({ type }) => type === 'carried')).toEqual({ type: 'carried', attributes })
  })

  test('[GC33] a conversation that is cleared is told to every connection of it, and is no more', async () => {
    const { line, connect, emulator } = await visitor()
    const other = connect(ACTIVE)
    await other.ready()
    const session = sessionOf(emulator)
    for (const name of ['SessionClearedEvent', 'ConnectionClosedEvent'])
      session.tell({ type: 'message', class: name, code: 200, body: {} })
    for (const one of [line, other]) await one.until(() => one.has('cleared'))
    expect(line.has('closed')).toBe(false)
  })
})
