// The bridge beside the vendor's widget in a real browser: the worker keeps the attributes, a stand-in of the widget takes
// them, in every tab, however its script loads.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from '../testing/site.ts'
import { standInMessenger } from '../testing/genesys-messenger.ts'
import { DIST, expect } from './fixtures.ts'
import { type GenesysWorld, test as base } from './genesys-world.ts'
import { reconnect, type Tab } from './tab.ts'

declare global {
  var bridge: import('../src/genesys-messenger.ts').Messenger
  var widget: ReturnType<typeof standInMessenger>
}

const test = base.extend<{ beside: GenesysWorld }>({
  beside: async ({ shop }, use) => {
    const platform = { type: 'genesys', domain: 'example', deploymentId: 'd', isBeside: true }
    const body = JSON.stringify({ deployments: { demo: { platform } } })
    shop.site.overrides.set('/holdfast/config.json', { status: 200, type: 'application/json', body })
    await use(shop)
  },
})

/** The page's own line: the bridge, whether the widget is there or not. */
async function bind(tab: Tab): Promise<void> {
  await tab.page.evaluate(async () => {
    const path = '/holdfast/genesys-messenger.js'
    const { bindMessenger } = await import(path)
    globalThis.bridge = bindMessenger(globalThis.chat, { commandTimeoutMs: 500 })
  })
}

/** The vendor's script runs, as often as it likes; its database is ready a little later. */
async function load(tab: Tab, hangs: readonly string[] = []): Promise<void> {
  const content = `widget = (${standInMessenger})(${JSON.stringify(hangs)}); Genesys = widget.vendor`
  await tab.page.addScriptTag({ content })
  await tab.page.evaluate(() => globalThis.widget.say('Database.ready'))
}

const held = (tab: Tab) => tab.page.evaluate(() => globalThis.widget.attributes())
const commands = (tab: Tab) => tab.page.evaluate(() => globalThis.widget.commands.map(({ name }) => name))
const set = (tab: Tab, values: { [name: string]: string }) =>
  tab.page.evaluate((given) => globalThis.chat.context.set(given), values)

test('[GM10] attributes of any tab are in the widget of every tab, loaded late, twice, or after a reload', async ({
  beside,
}) => {
  const first = await beside.tab()
  await bind(first)
  await set(first, { cart: '1' })
  await load(first)
  await expect.poll(() => held(first)).toEqual({ cart: '1' })
  const second = await beside.tab()
  await load(second)
  await bind(second)
  await expect.poll(() => held(second)).toEqual({ cart: '1' })
  await set(second, { page: '/shoes' })
  for (const tab of [first, second]) await expect.poll(() => held(tab)).toEqual({ cart: '1', page: '/shoes' })
  await load(first)
  await expect.poll(() => held(first)).toEqual({ cart: '1', page: '/shoes' })
  await first.page.reload()
  await reconnect(first)
  await bind(first)
  await load(first)
  await beside.killWorker(second.page)
  await set(second, { cart: '2' })
  for (const tab of [first, second]) await expect.poll(() => held(tab)).toEqual({ cart: '2', page: '/shoes' })
  expect(beside.genesys.service.connectionsMost).toBe(0)
})

test('[GM10] a script that never comes, and a command that never ends, hold nobody up', async ({ beside }) => {
  const tab = await beside.tab()
  await bind(tab)
  const run = (name: string) =>
    tab.page.evaluate((command) => globalThis.bridge.command(command).then(String, (error) => error.code), name)
  expect(await run('Messenger.open')).toBe('SERVICE_UNREACHABLE')
  await set(tab, { cart: '1' })
  await load(tab, ['MessagingService.sendTyping', 'MessagingService.clearSession'])
  await expect.poll(() => held(tab)).toEqual({ cart: '1' })
  expect(await run('MessagingService.sendTyping')).toBe('SERVICE_UNREACHABLE')
  await tab.page.evaluate(() => globalThis.bridge.logout())
  expect(await tab.page.evaluate(() => globalThis.chat.state)).toMatchObject({ phase: 'signed-out', context: {} })
})

test('[GM10] a logout in one tab empties the widget and what we hold in every tab', async ({ beside }) => {
  const tabs = [await beside.tab(), await beside.tab()]
  for (const tab of tabs) {
    await bind(tab)
    await load(tab)
    await tab.page.evaluate(() => globalThis.widget.say('MessagingService.started', { authenticated: true }))
  }
  const [first, second] = tabs as [Tab, Tab]
  await set(first, { cart: '1' })
  await expect.poll(() => held(second)).toEqual({ cart: '1' })
  expect(await first.page.evaluate(() => globalThis.bridge.state.phase)).toBe('live')
  await first.page.evaluate(() => globalThis.bridge.logout())
  for (const tab of tabs) {
    await tab.until((state) => state.phase === 'signed-out' && Object.keys(state.context).length === 0)
    await expect.poll(() => commands(tab)).toContain('Auth.logout')
  }
})

/** The site's own worker: its identity provider's tokens are a lease that pages may borrow from. */
function serveOwnWorker(site: Site): void {
  const code = (path: string, body: string) => site.overrides.set(path, { status: 200, type: 'text/javascript', body })
  const chunks = readdirSync(join(DIST, 'chunks')).map((name) => `chunks/${name}`)
  for (const name of ['sw.js', 'platforms/genesys.js', ...chunks])
    code(`/own/${name}`, readFileSync(join(DIST, name), 'utf8'))
  const platform = "genesys({ domain: 'example', deploymentId: 'd', isBeside: true })"
  code(
    '/own/worker.js',
    `import { startWorker } from '/own/sw.js'
import { genesys } from '/own/platforms/genesys.js'
startWorker({ deployments: { demo: { platform: ${platform}, leases: { idp: { source: 'page', lent: true } } } } })`,
  )
}

test('[GM8] the widget signs in with a token of our lease, one for all tabs, and with another when that is refused', async ({
  beside,
  context,
}) => {
  serveOwnWorker(beside.site)
  const asked = async () => {
    const page = await context.newPage()
    await page.goto(`${beside.site.url}/own/none`)
    await page.evaluate(async (widget) => {
      const [path, tokens, messenger] = ['holdfast', 'tokens', 'genesys-messenger'].map((one) => `/holdfast/${one}.js`)
      const { connect } = await import(path as string)
      const { supplyTokens, accessToken } = await import(tokens as string)
      const { bindMessenger } = await import(messenger as string)
      const chat = await connect({ worker: '/own/worker.js', type: 'module', deployment: 'demo' })
      supplyTokens(chat, {
        idp: () => {
          const count = Number(localStorage.getItem('asked')) + 1
          localStorage.setItem('asked', `${count}`)
          return { token: `id-token-${count}`, expiresIn: 3_600 }
        },
      })
      let used: number | undefined
      globalThis.eval(`widget = (${widget})(); Genesys = widget.vendor`)
      bindMessenger(chat, {
        authCode: async (isAgain: boolean) => {
          const { token, generation } = await accessToken(chat, 'idp', isAgain ? used : undefined)
          used = generation
          return { idToken: token, nonce: 'n' }
        },
      })
    }, String(standInMessenger))
    return (command: string) => page.evaluate((name) => globalThis.widget.ask('AuthProvider', name), command)
  }
  const [first, second] = [await asked(), await asked()]
  expect(await first('getAuthCode')).toEqual({ idToken: 'id-token-1', nonce: 'n' })
  expect(await second('getAuthCode')).toEqual({ idToken: 'id-token-1', nonce: 'n' })
  expect(await second('reAuthenticate')).toEqual({ idToken: 'id-token-2', nonce: 'n' })
  expect(await first('getAuthCode')).toEqual({ idToken: 'id-token-2', nonce: 'n' })
})
