// Files beside a message, in a real browser against a real service: what was accepted arrives whole and once, whoever is
// killed on the way, and what is cancelled is gone.

import { expect, test, type World, liveTab } from './fixtures.ts'
import { allAcked } from './tab.ts'
import type { Tab } from './tab.ts'

const PART = 262_144
const PUT = /^PUT .*\/content/

/** Sends a text with one file of so many bytes, each of which says where it is. */
const sendFile = (tab: Tab, size: number, type = 'image/png') =>
  tab.page.evaluate(
    async ([bytes, kind]) => {
      const content = Uint8Array.from({ length: bytes }, (_, at) => at % 251)
      const file = new File([content], 'cat.png', { type: kind })
      return (await globalThis.chat.send({ text: 'look', attachments: [file] })).key
    },
    [size, type] as const,
  )

/** What the service has of the one file in the record. */
async function stored(world: World): Promise<Uint8Array> {
  const conversationId = await world.conversationId()
  const [message] = (await world.record()) as unknown as { attachments?: { id: string }[] }[]
  const path = `/api/v2/messaging/conversations/${conversationId}/attachments/${message?.attachments?.[0]?.id}/content`
  const headers = { Authorization: `Bearer ${await world.service.agentToken()}` }
  return new Uint8Array(await (await fetch(`http://localhost:${world.service.port}${path}`, { headers })).arrayBuffer())
}

const expectWhole = async (world: World, size: number) => {
  const bytes = await stored(world)
  expect(bytes.length).toBe(size)
  expect(bytes.every((byte, at) => byte === at % 251)).toBe(true)
}

test('[AT6] a file goes before its message, with its progress in every tab, and arrives whole', async ({ world }) => {
  const tab = await liveTab(world)
  const other = await liveTab(world)
  await other.page.evaluate(() => {
    const seen: number[] = []
    Object.assign(globalThis, { seen })
    globalThis.chat.subscribe(({ messages }) => {
      const progress = messages[0]?.attachments?.[0]?.progress
      if (progress !== undefined) seen.push(progress)
    })
  })
  const size = 3 * PART + 5
  await sendFile(tab, size)
  await tab.send('after')
  for (const one of [tab, other]) await allAcked(one, 2)
  expect(await tab.texts()).toEqual(['look', 'after'])
  const seen = await other.page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen)
  expect(seen).toEqual([...seen].sort((a, b) => a - b))
  expect((await other.state()).messages[0]?.attachments).toMatchObject([{ name: 'cat.png', id: expect.any(String) }])
  await expectWhole(world, size)
})

for (const step of [/^POST .*\/attachments$/, PUT, /^POST .*\/confirm$/, /^POST .*\/messages$/]) {
  test(`[AT3] a worker killed at ${step.source}: the next one goes on from there, and nothing is doubled`, async ({
    world,
  }) => {
    const tab = await liveTab(world)
    const remove = world.proxy.rule({ match: step, action: { type: 'swallow-answer' }, times: 1 })
    await sendFile(tab, 2 * PART + 5)
    await world.proxy.seen(step, 1, true)
    await world.killWorker(tab.page)
    remove()
    await allAcked(tab, 1)
    expect(await world.record()).toHaveLength(1)
    await expectWhole(world, 2 * PART + 5)
    // Three parts, and the one whose answer nobody heard.
    expect(world.proxy.count(PUT)).toBeLessThanOrEqual(4)
  })
}

test('[AT3] the page closed offline with a file waiting: it arrives from the next page', async ({ world }) => {
  const tab = await liveTab(world)
  world.proxy.offline(true)
  await sendFile(tab, PART)
  await tab.close()
  const next = await world.tab()
  world.proxy.offline(false)
  await allAcked(next, 1)
  await expectWhole(world, PART)
})

test('[AT5] cancelled in the middle of the upload: the message and its file are gone, and the next message goes', async ({
  world,
}) => {
  const tab = await liveTab(world)
  let release = () => {}
  const until = new Promise<void>((resolve) => {
    release = resolve
  })
  world.proxy.rule({ match: PUT, action: { type: 'hold', until }, times: 1 })
  const key = await sendFile(tab, 3 * PART)
  await world.proxy.seen(PUT, 1)
  await tab.page.evaluate((named) => globalThis.chat.outbox.cancel(named), key)
  await tab.send('instead')
  release()
  await allAcked(tab, 1)
  expect((await world.record()).map(({ text }) => text)).toEqual(['instead'])
  await world.proxy.seen(/^DELETE .*\/attachments\//, 1, true)
})

test('[AT1] a file that the service does not take is refused before anything is sent', async ({ world }) => {
  const tab = await liveTab(world)
  for (const [size, type] of [
    [10, 'text/html'],
    [11 * 1024 * 1024, 'image/png'],
    [0, 'image/png'],
  ] as const) {
    const code = await tab.page.evaluate(
      ([bytes, kind]) => {
        const file = new Blob([new Uint8Array(bytes)], { type: kind })
        return globalThis.chat.send({ text: 'look', attachments: [file] }).then(
          () => 'sent',
          (error: { code: string }) => error.code,
        )
      },
      [size, type] as const,
    )
    expect(code).toBe('ATTACHMENT_REFUSED')
  }
  expect(await tab.page.evaluate(() => globalThis.chat.outbox.list())).toEqual([])
  expect(world.proxy.count(/attachments/)).toBe(0)
})

test.describe('beyond the quota of the session', () => {
  test.use({ serviceConfig: { attachments: { sessionCountMax: 1 } } })

  test('[AT14] the message is set aside with its reason in every tab, what follows goes, and its words can be sent without the file', async ({
    world,
  }) => {
    const tab = await liveTab(world)
    const other = await liveTab(world)
    await sendFile(tab, 9)
    await allAcked(tab, 1)
    const key = await sendFile(tab, 9)
    await tab.send('after')
    for (const one of [tab, other]) {
      await one.until(({ messages, outbox }) => messages.length === 3 && outbox.dead === 1 && outbox.queued === 0)
      expect((await one.state()).messages.find((message) => message.key === key)).toMatchObject({
        status: 'dead',
        code: 'ATTACHMENT_REFUSED',
        attachments: [{ name: 'cat.png' }],
      })
    }
    const problems = await tab.page.evaluate(() => globalThis.problems)
    expect(problems).toEqual([{ code: 'OUTBOX_REFUSED', message: expect.stringMatching(/413 attachment-quota/) }])
    await other.page.evaluate((named) => globalThis.chat.outbox.edit(named, 'look, without it'), key)
    for (const one of [tab, other]) await allAcked(one, 3)
    expect((await world.record()).map(({ text }) => text)).toEqual(['look', 'after', 'look, without it'])
  })
})
