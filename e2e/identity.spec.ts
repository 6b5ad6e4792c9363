// Who the visitor is: a guest who signs in, the same visitor on another device, and another visitor after them.

import { createHmac } from 'node:crypto'
import { expect, test } from './fixtures.ts'
import { everythingIn } from './residue.ts'
import { draft, openTab, type Tab } from './tab.ts'

const SECRET = 'a secret that the shop shares with its chat'
const SITE = { issuer: 'https://shop.example', audience: 'chat' }
const POST = /^POST .*\/messages$/

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The site's signed token for one of its users. */
function tokenOf(sub: string, secret = SECRET, aud = SITE.audience): string {
  const exp = Math.floor(Date.now() / 1000) + 600
  const signed = `${part({ alg: 'HS256' })}.${part({ sub, iss: SITE.issuer, aud, exp })}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

const signIn = (tab: Tab, sub: string, secret?: string, aud?: string): Promise<string> =>
  tab.page.evaluate(
    (token) =>
      globalThis.chat.authenticate({ token }).then(
        () => 'done',
        (error) => error.code,
      ),
    tokenOf(sub, secret, aud),
  )

const say = (tab: Tab, text: string) =>
  tab.page.evaluate(async (said) => void (await (await globalThis.chat.send(said)).settled), text)

const live = (tab: Tab) => tab.until((state) => state.phase === 'live')
const idOf = async (tab: Tab) => (await tab.state()).conversation?.id

for (const vault of ['broker', 'persistent'] as const) {
  test.describe(`with the vault ${vault}`, () => {
    test.use({ serviceConfig: { deployments: { demo: { identity: { ...SITE, key: SECRET } } } }, site: { vault } })

    test('[ID1] a guest who signs in goes on in the same conversation, in every tab', async ({ world }) => {
      const tab = await world.tab()
      await live(tab)
      await say(tab, 'as a guest')
      const other = await world.tab()
      const id = await idOf(tab)
      expect(await signIn(tab, 'ann')).toBe('done')
      await other.until((state) => state.session?.authenticated === true && state.phase === 'live')
      expect(await idOf(other)).toBe(id)
      await say(other, 'as Ann')
      await tab.until((state) => state.messages.length === 2)
      expect(await tab.texts()).toEqual(['as a guest', 'as Ann'])
      // Again changes nothing, and the token is nowhere.
      expect(await signIn(tab, 'ann')).toBe('done')
      expect(await idOf(tab)).toBe(id)
      expect(await everythingIn(tab.page)).not.toContain(tokenOf('ann').split('.')[1])
    })

    test('[ID3] on another device the same user finds the conversation, what was said and the context', async ({
      world,
      browser,
    }) => {
      const laptop = await world.tab()
      await live(laptop)
      expect(await signIn(laptop, 'ann')).toBe('done')
      await say(laptop, 'from the laptop')
      await laptop.page.evaluate(() => globalThis.chat.context.set({ cart: '3 shirts' }))
      const elsewhere = await browser.newContext()
      const phone = await openTab(await elsewhere.newPage(), world.site.url, 'demo')
      await live(phone)
      await phone.page.evaluate(() => {
        globalThis.chat.on('resumed', (detail) => Object.assign(globalThis, { resumed: detail }))
      })
      expect(await signIn(phone, 'ann')).toBe('done')
      await phone.until((state, id) => state.conversation?.id === id && state.phase === 'live', await idOf(laptop))
      await phone.until((state) => state.messages.length === 1 && state.context.cart === '3 shirts')
      expect(await phone.texts()).toEqual(['from the laptop'])
      const resumed = await phone.page.evaluate(() => (globalThis as { resumed?: unknown }).resumed)
      expect(resumed).toMatchObject({ conversationId: await idOf(laptop), activeElsewhere: true })
      await say(phone, 'from the phone')
      await laptop.until((state) => state.messages.length === 2)
      expect(await laptop.texts()).toEqual(['from the laptop', 'from the phone'])
      await elsewhere.close()
    })

    test('[ID4] another user meets nothing of the one before, in no tab and in no store', async ({ world }) => {
      const tab = await world.tab()
      await live(tab)
      expect(await signIn(tab, 'ann')).toBe('done')
      const other = await world.tab()
      await say(tab, 'said-by-ann-4731')
      await tab.page.evaluate(() => globalThis.chat.context.set({ marker: 'attribute-of-ann-4732' }))
      for (const one of [tab, other]) await draft(one.page, 'drafted-by-ann-4733')
      const { epoch, session } = await tab.state()
      expect(await signIn(tab, 'bob')).toBe('done')
      for (const one of [tab, other]) {
        await one.until((state, former) => state.epoch !== former && state.phase === 'live', epoch)
        const state = await one.state()
        expect(state).toMatchObject({ messages: [], context: {}, session: { authenticated: true } })
        expect(state.session?.id).not.toBe(session?.id)
      }
      await say(tab, 'said by Bob')
      await other.until((state) => state.messages.length === 1)
      for (const one of [tab, other]) {
        const everything = await everythingIn(one.page)
        for (const word of ['said-by-ann-4731', 'attribute-of-ann-4732', 'drafted-by-ann-4733', session?.id ?? '?'])
          expect(everything).not.toContain(word)
      }
    })
  })
}

test.describe('what is refused', () => {
  test.use({ serviceConfig: { deployments: { demo: { identity: { ...SITE, key: SECRET } } } } })

  test('[ID2] a token that proves nothing changes nothing, and the chat goes on', async ({ world }) => {
    const tab = await world.tab()
    await live(tab)
    await say(tab, 'before')
    const id = await idOf(tab)
    expect(await signIn(tab, 'ann', 'the secret of another shop, just as long')).toBe('IDENTITY_REFUSED')
    expect(await signIn(tab, 'ann', SECRET, 'chat-of-another-shop')).toBe('IDENTITY_REFUSED')
    await say(tab, 'after')
    expect(await idOf(tab)).toBe(id)
    expect((await tab.state()).session?.authenticated).toBe(false)
  })

  test('[ID5] what the one before had not sent is sent by nobody else', async ({ world }) => {
    test.setTimeout(60_000)
    const tab = await world.tab()
    await live(tab)
    expect(await signIn(tab, 'ann')).toBe('done')
    world.proxy.rule({ match: POST, action: { type: 'answer', status: 503 } })
    await tab.send('unsent-by-ann')
    expect(await signIn(tab, 'bob')).toBe('done')
    world.proxy.clear()
    await live(tab)
    await say(tab, 'said by Bob')
    const all = await world.service.conversations()
    const said = (await Promise.all(all.map(({ id }) => world.service.messages(id)))).flat().map(({ text }) => text)
    expect(said).toEqual(['said by Bob'])
    expect((await tab.page.evaluate(() => globalThis.problems)).map(({ code }) => code)).toContain('OUTBOX_UNSENT')
  })
})
