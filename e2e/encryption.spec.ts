// Encryption at rest in a real browser: what lies in the files of the profile, what the next start shows, and what a lost
// key costs.

import { expect, test } from './fixtures.ts'
import { type OnDisk, withProfile } from './profile.ts'
import { filesWith } from './residue.ts'
import { openTab, reconnect, type Tab } from './tab.ts'

const SAID = 'said-by-marker-4811'
const UNSENT = 'unsent-by-marker-4812'
const ATTRIBUTE = 'attribute-of-marker-4814'
const HEARD = 'heard-by-marker-4815'
const NAMED = 'name-of-marker-4816'
const ATTACHED = 'attached-by-marker-4817'
const MARKS = [SAID, UNSENT, ATTRIBUTE, HEARD, NAMED, ATTACHED]

type World = OnDisk['world']

const shows = (tab: Tab, text: string) =>
  tab.until((state, wanted) => state.messages.some((message) => message.text === wanted), text)

/** Something of every kind, and in the end something that could not be sent. */
async function visited(world: World, tab: Tab): Promise<void> {
  await tab.until((state) => state.phase === 'live')
  await tab.page.evaluate(
    async ([said, attribute]) => {
      await (await globalThis.chat.send(said)).settled
      await globalThis.chat.context.set({ marker: attribute })
    },
    [SAID, ATTRIBUTE] as const,
  )
  await world.service.say(await world.conversationId(), HEARD)
  await shows(tab, HEARD)
  world.proxy.offline(true)
  await tab.page.evaluate(
    async ([text, name, attached]) => {
      const attachments = [new File([attached], `${name}.txt`, { type: 'text/plain' })]
      await globalThis.chat.send({ text, metadata: { page: text }, attachments })
    },
    [UNSENT, NAMED, ATTACHED] as const,
  )
}

test('[ER10] nothing that was said, heard, set or attached is readable in any file, and the next start shows it all', async () => {
  await withProfile({ site: { encrypted: ['demo'] } }, async ({ world, launch, profile }) => {
    const first = await launch()
    const tab = await openTab(await first.newPage(), world.site.url, 'demo')
    await visited(world, tab)
    await first.close()
    expect(filesWith(profile, MARKS)).toEqual([])

    const second = await launch()
    const next = await openTab(await second.newPage(), world.site.url, 'demo')
    // Before the network: it is still away.
    expect(await next.texts()).toEqual([SAID, HEARD, UNSENT])
    expect(await next.page.evaluate(() => globalThis.chat.context.get())).toEqual({ marker: ATTRIBUTE })
    world.proxy.offline(false)
    await next.until((state) => state.outbox.queued + state.outbox.inflight === 0)
    expect((await world.record()).map(({ text }) => text)).toEqual([SAID, HEARD, UNSENT])
    await second.close()
    expect(filesWith(profile, MARKS)).toEqual([])
  })
})

test('[ER10] the same look finds it all where nothing is encrypted', async () => {
  await withProfile({}, async ({ world, launch, profile }) => {
    const context = await launch()
    await visited(world, await openTab(await context.newPage(), world.site.url, 'demo'))
    await context.close()
    const found = filesWith(profile, MARKS).join('\n')
    for (const mark of [SAID, UNSENT, ATTRIBUTE, HEARD]) expect(found).toContain(mark)
  })
})

test.describe('with encryption', () => {
  test.use({ site: { encrypted: ['demo'] } })

  test('[ER5] a key that is gone costs the cache and not the session', async ({ world }) => {
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'live')
    await tab.page.evaluate(async (said) => (await globalThis.chat.send(said)).settled, SAID)
    await tab.page.evaluate((attribute) => globalThis.chat.context.set({ marker: attribute }), ATTRIBUTE)
    await expect
      .poll(async () => (await world.service.conversations())[0]?.customAttributes)
      .toEqual({ marker: ATTRIBUTE })
    const before = await tab.state()
    await tab.page.evaluate(async () => {
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open('holdfast:demo')
        request.onsuccess = () => resolve(request.result)
      })
      await new Promise((resolve) => {
        const transaction = database.transaction('vault', 'readwrite')
        transaction.objectStore('vault').delete('rest')
        transaction.oncomplete = resolve
      })
      database.close()
    })
    await tab.page.reload()
    await reconnect(tab)
    await shows(tab, SAID)
    await tab.until((state, attribute) => state.context['marker'] === attribute, ATTRIBUTE)
    const after = await tab.state()
    expect([after.session?.id, after.conversation?.id]).toEqual([before.session?.id, before.conversation?.id])
    expect(await world.service.conversations()).toHaveLength(1)
  })

  test('[ER4] a logout takes the key along, and the next visitor begins with another', async ({ world }) => {
    const tab = await world.tab()
    await tab.until((state) => state.phase === 'live')
    await tab.page.evaluate(async (said) => (await globalThis.chat.send(said)).settled, SAID)
    expect(await tab.page.evaluate(() => globalThis.chat.logout({ unsent: 'discard' }))).toEqual({ verified: true })
    const kept = await tab.page.evaluate(async () => {
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open('holdfast:demo')
        request.onsuccess = () => resolve(request.result)
      })
      const counts = await Promise.all(
        ['vault', 'transcript', 'outbox'].map(
          (name) =>
            new Promise((resolve) => {
              const request = database.transaction(name).objectStore(name).count()
              request.onsuccess = () => resolve(request.result)
            }),
        ),
      )
      database.close()
      return counts
    })
    expect(kept).toEqual([0, 0, 0])
    await tab.page.reload()
    await reconnect(tab)
    await tab.until((state) => state.phase === 'live')
    expect(await tab.texts()).toEqual([])
    expect(
      await tab.page.evaluate(async (said) => (await (await globalThis.chat.send(said)).settled).status, SAID),
    ).toBe('acked')
  })
})
