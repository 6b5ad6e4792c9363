// What a message brings along: the steps before it is sent, and what may happen between them.

import { describe, expect, test } from 'vitest'
import { type AttachmentLimits, refusalOf, viewOf } from '../../core/attach.ts'
import { snapshotOf } from '../../core/snapshot.ts'
import type { Upload } from '../../core/wire.ts'
import { failure, LIMITS, Play, SECOND, SETUP, UNREACHABLE } from './fixtures.ts'

const TAKEN: AttachmentLimits = { bytesMax: 1_000, countMax: 2, types: ['image/png'] }
const file = (change: Partial<Upload> = {}): Upload => ({
  ...{ name: 'cat.png', type: 'image/png', size: 800, content: 'bytes' },
  ...change,
})

async function play(): Promise<Play> {
  const playing = new Play()
  playing.setup = {
    ...SETUP,
    capabilities: { ...SETUP.capabilities, limits: { ...LIMITS, attachments: TAKEN } },
  }
  return playing.live()
}
const enqueue = (playing: Play, key: string, attachments?: readonly Upload[]) =>
  playing.command({
    type: 'enqueue',
    messages: [{ key, text: `text of ${key}`, ...(attachments && { attachments }) }],
  })
const step = (key: string, index: number, done: object) => ({ type: 'attached' as const, key, index, step: done })
const WHOLE = { id: 'a1', sent: 800, isConfirmed: true } as const

describe('what is taken', () => {
  test.each([
    { what: 'none', files: undefined, limits: undefined, refused: undefined },
    { what: 'one', files: [file()], limits: TAKEN, refused: undefined },
    { what: 'one where nothing is taken', files: [file()], limits: undefined, refused: 'text only' },
    { what: 'too many', files: [file(), file(), file()], limits: TAKEN, refused: 'at most 2' },
    { what: 'too large', files: [file({ size: 1_001 })], limits: TAKEN, refused: '1 to 1000 bytes, this one has 1001' },
    { what: 'empty', files: [file({ size: 0 })], limits: TAKEN, refused: 'this one has 0' },
    { what: 'without a name', files: [file({ name: '' })], limits: TAKEN, refused: 'at most 200' },
    { what: 'with a long name', files: [file({ name: 'x'.repeat(201) })], limits: TAKEN, refused: 'at most 200' },
    {
      what: 'with a longer name than the platform takes',
      files: [file({ name: 'long.png' })],
      limits: { ...TAKEN, nameCharsMax: 7 },
      refused: 'at most 7',
    },
    ...['a/b', 'a\\b', 'a\u0000b', 'a\nb', 'half \ud83d'].map((name) => ({
      what: `called ${JSON.stringify(name)}`,
      files: [file({ name })],
      limits: TAKEN,
      refused: 'without slashes and control characters',
    })),
    { what: 'with a name of emoji', files: [file({ name: '👩‍👩‍👧 ‮é.png' })], limits: TAKEN, refused: undefined },
    { what: 'of another type', files: [file({ type: 'text/html' })], limits: TAKEN, refused: 'only image/png' },
  ])('[AT1] $what', ({ files, limits, refused }) => {
    const message = { key: 'k', text: 't', ...(files && { attachments: files }) }
    const refusal = refusalOf(message, { ...LIMITS, ...(limits && { attachments: limits }) })
    if (refused === undefined) expect(refusal).toBeUndefined()
    else expect(refusal).toEqual({ code: 'ATTACHMENT_REFUSED', message: expect.stringContaining(refused) })
  })

  test('[AT1] a refused file leaves nothing behind, and the others of the call are accepted', async () => {
    const playing = await play()
    const reply = await playing.command({
      type: 'enqueue',
      messages: [
        { key: 'bad', text: 'a', attachments: [file({ type: 'text/html' })] },
        { key: 'good', text: 'b', attachments: [file()] },
      ],
    })
    expect(reply).toMatchObject({ value: [{ error: { code: 'ATTACHMENT_REFUSED' } }, { seq: 1 }] })
    expect([await playing.store.file('bad', 0), await playing.store.file('good', 0)]).toEqual([undefined, 'bytes'])
  })
})

describe('the steps', () => {
  test('[AT2] all of them come before the message, which waits, and what was sent before it does not', async () => {
    const playing = await play()
    await enqueue(playing, 'k1')
    await enqueue(playing, 'k2', [file()])
    await enqueue(playing, 'k3')
    expect(playing.claimOf('send')).toBeDefined()
    await playing.turn(playing.ack('k1', 1), playing.sent('1', playing.claimOf('send')))
    const { claim, entry } = playing.the('attach')
    expect([entry.key, playing.types()]).toEqual(['k2', ['attach']])
    for (const done of [{ id: 'a1', sent: 0 }, { sent: 500 }, { sent: 800 }, { isConfirmed: true }])
      await playing.turn(step('k2', 0, done))
    expect(playing.types()).toEqual([])
    await playing.turn(playing.sent('1', claim))
    expect(playing.the('send').entries.map(({ key, attachments }) => [key, attachments])).toEqual([
      ['k2', [{ name: 'cat.png', type: 'image/png', size: 800, ...WHOLE }]],
      ['k3', undefined],
    ])
  })

  test('[AT3] each is on the disk: the next worker goes on where the last one stood', async () => {
    const playing = await play()
    await enqueue(playing, 'k1', [file(), file({ name: 'dog.png' })])
    await playing.turn(step('k1', 0, WHOLE), step('k1', 1, { id: 'a2', sent: 300 }))
    await playing.restart('w2')
    const { entry, claim } = playing.the('attach')
    expect(entry.attachments).toMatchObject([WHOLE, { id: 'a2', sent: 300 }])
    expect(claim.count).toBe(2)
  })

  test('[AT3] a late word about a step changes nothing', async () => {
    const playing = await play()
    await enqueue(playing, 'k1', [file()])
    await playing.turn(step('k1', 0, WHOLE), step('k1', 0, { sent: 100 }), step('k1', 7, WHOLE), step('k9', 0, WHOLE))
    expect((await playing.entries())[0]?.attachments).toMatchObject([WHOLE])
  })

  test('[AT4] a step that fails waits with its backoff; one that is refused sets the message aside with its reason', async () => {
    const playing = await play()
    await enqueue(playing, 'k1', [file()])
    await playing.turn(playing.sent('1', playing.the('attach').claim, UNREACHABLE))
    expect(playing.slots.outbox.lanes['1']?.attempt.status).toBe('waiting')
    await playing.after(SECOND)
    const { claim } = playing.the('attach')
    const { code, reason } = failure('refuse', { code: 'ATTACHMENT_REFUSED', reason: 'too large' })
    await playing.turn({ type: 'refused', key: 'k1', code, reason }, playing.sent('1', claim))
    const [entry] = await playing.entries()
    expect(entry?.held).toMatchObject({ status: 'dead', code: 'ATTACHMENT_REFUSED' })
    // It can be tried again: what it brings along is still here.
    expect(await playing.store.file('k1', 0)).toBe('bytes')
    await playing.command({ type: 'retry', key: 'k1' })
    expect(playing.the('attach').entry.key).toBe('k1')
  })

  test.each([
    { at: 'before the first', done: [] },
    { at: 'when it is reserved', done: [{ id: 'a1', sent: 0 }] },
    { at: 'in the upload', done: [{ id: 'a1', sent: 300 }] },
    { at: 'when it is there', done: [{ id: 'a1', sent: 800 }] },
    { at: 'when it is confirmed', done: [WHOLE] },
  ])('[AT5] cancelled $at step, the message and its files are gone, and the next one goes', async ({ done }) => {
    const playing = await play()
    await enqueue(playing, 'k1', [file()])
    const { claim } = playing.the('attach')
    await enqueue(playing, 'k2')
    for (const one of done) await playing.turn(step('k1', 0, one))
    expect(await playing.command({ type: 'cancel', key: 'k1' })).toEqual({ value: null })
    await playing.turn(step('k1', 0, { sent: 800 }))
    await playing.turn(playing.sent('1', claim))
    expect([await playing.keys(), await playing.store.file('k1', 0)]).toEqual([['k2'], undefined])
    expect(playing.the('send').entries.map(({ key }) => key)).toEqual(['k2'])
  })

  test('[AT5] moved into another conversation, a message keeps its files; sent or wiped, they are gone', async () => {
    const playing = await play()
    await enqueue(playing, 'k1', [file()])
    await playing.heard({ type: 'conversation', state: 'closed', attributes: {}, version: 2 })
    await playing.command({ type: 'start-new', key: 'new' })
    await playing.made('c2')
    await playing.command({ type: 'retry', key: 'k1' })
    expect(await playing.store.file('k1', 0)).toBe('bytes')
    await playing.turn(step('k1', 0, WHOLE))
    await playing.turn(playing.ack('k1', 1, 'c2'))
    expect([await playing.keys(), await playing.store.file('k1', 0)]).toEqual([[], undefined])
    await enqueue(playing, 'k2', [file()])
    await playing.command({ type: 'logout', unsent: 'discard' })
    expect(await playing.store.file('k2', 0)).toBeUndefined()
  })

  test('[AT12] moved into another conversation, the files go there from the first step', async () => {
    const playing = await play()
    await enqueue(playing, 'k1', [file()])
    await playing.turn(step('k1', 0, WHOLE))
    await playing.heard({ type: 'conversation', state: 'closed', attributes: {}, version: 2 })
    await playing.command({ type: 'start-new', key: 'new' })
    await playing.made('c2')
    await playing.command({ type: 'retry', key: 'k1' })
    expect(playing.the('attach').entry.attachments).toEqual([{ name: 'cat.png', type: 'image/png', size: 800 }])
  })

  test('[AT12] sent again after a refusal, too: the service may have forgotten them', async () => {
    const playing = await play()
    await enqueue(playing, 'k1', [file()])
    const { claim } = playing.the('attach')
    await playing.turn(step('k1', 0, WHOLE), playing.sent('1', claim))
    const { code, reason } = failure('refuse', { code: 'ATTACHMENT_REFUSED', reason: 'unknown-attachment' })
    await playing.turn({ type: 'refused', key: 'k1', code, reason }, playing.sent('1', playing.claimOf('send')))
    await playing.command({ type: 'retry', key: 'k1' })
    expect(playing.the('attach').entry.attachments).toEqual([{ name: 'cat.png', type: 'image/png', size: 800 }])
  })
})

test('[AT6] how far each has come is shown, then what it is called', async () => {
  const playing = await play()
  await enqueue(playing, 'k1', [file()])
  await playing.turn(step('k1', 0, { id: 'a1', sent: 200 }))
  const shown = async () => {
    const tail = await playing.store.tail(9, 9)
    return snapshotOf({ ...tail, slots: playing.slots }, 'durable', playing.now).messages[0]?.attachments
  }
  const view = { name: 'cat.png', type: 'image/png', size: 800 }
  expect(await shown()).toEqual([{ ...view, progress: 0.25 }])
  expect(viewOf({ ...view, ...WHOLE })).toEqual({ ...view, id: 'a1' })
  await playing.turn(step('k1', 0, WHOLE))
  await playing.turn(playing.ack('k1', 1))
  expect(await shown()).toEqual([{ ...view, id: 'a1' }])
})
