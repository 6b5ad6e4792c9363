// What is done to a chaos run: ends of workers, tabs, browsers and services, and a network of every bad kind.
// Each fault is over when its promise resolves, or clears itself away after some requests.

import type { ChaosWorld } from './chaos-world.ts'
import type { Dice } from './dice.ts'
import type { FaultAction } from './proxy.ts'

export type Kill = 'worker' | 'tab' | 'browser' | 'server'

export interface Fault {
  readonly name: string
  /** How often it comes, compared with the others. */
  readonly weight: number
  readonly kills?: Kill
  run(world: ChaosWorld, dice: Dice): Promise<void>
}

/** So long a bad answer waits for its request. */
const RULE_MS = 3_000

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A tab that is open now. Where there is none, nothing can be done to one. */
async function onTab(world: ChaosWorld, dice: Dice, use: (tab: ChaosWorld['tabs'][number]) => Promise<void>) {
  if (world.tabs.length > 0) await use(dice.pick(world.tabs))
}

const MATCHES = [
  /^POST .*\/messages$/,
  /^POST .*\/auth\/refresh$/,
  /^POST .*\/sessions$/,
  /^PATCH /,
  /^GET .*\/stream/,
  /^/,
]

const html = { 'content-type': 'text/html' }
/** No 401 of somebody else: three in a row end a lease by design. Tokens expire by a fault of their own. */
const ACTIONS: readonly FaultAction[] = [
  { type: 'refuse' },
  { type: 'cut-answer' },
  { type: 'cut-answer' },
  { type: 'swallow-answer' },
  { type: 'duplicate' },
  { type: 'answer', status: 200, headers: html, body: '<title>Please log in</title>' },
  { type: 'answer', status: 302, headers: { location: '/login' } },
  { type: 'answer', status: 502, headers: html, body: '<title>Bad Gateway</title>' },
  { type: 'answer', status: 503 },
  { type: 'answer', status: 429, headers: { 'retry-after': '1' } },
]

export const FAULTS: readonly Fault[] = [
  {
    name: 'worker killed',
    weight: 20,
    kills: 'worker',
    run: (world, dice) => onTab(world, dice, (tab) => tab.raw.killWorkers()),
  },
  {
    name: 'tab closed',
    weight: 8,
    kills: 'tab',
    run: (world, dice) => onTab(world, dice, async (tab) => world.forget(tab)),
  },
  { name: 'tab crashed', weight: 4, kills: 'tab', run: (world, dice) => onTab(world, dice, (tab) => tab.raw.crash()) },
  { name: 'browser killed', weight: 3, kills: 'browser', run: (world) => world.killBrowser() },
  {
    name: 'server killed',
    weight: 4,
    kills: 'server',
    async run({ service }, dice) {
      await service.kill()
      await pause(dice.between(0, 2_000))
      await service.start()
    },
  },
  { name: 'connections reset', weight: 8, run: async ({ proxy }) => proxy.reset() },
  {
    name: 'offline',
    weight: 8,
    async run({ proxy }, dice) {
      proxy.offline(true)
      await pause(dice.between(100, 3_000))
      proxy.offline(false)
    },
  },
  {
    name: 'half-open',
    weight: 6,
    async run({ proxy }, dice) {
      proxy.halfOpen(true)
      await pause(dice.between(100, 4_000))
      proxy.halfOpen(false)
    },
  },
  {
    name: 'bad answers',
    weight: 25,
    async run({ proxy }, dice) {
      const remove = proxy.rule({ match: dice.pick(MATCHES), action: dice.pick(ACTIONS), times: dice.whole(1, 4) })
      // What nobody has met by then is taken back: heaped up, they would keep a refresh from ever getting through.
      setTimeout(remove, RULE_MS).unref()
    },
  },
  { name: 'tokens expired', weight: 8, run: async ({ proxy }) => proxy.expireTokens() },
  {
    name: 'worker updated',
    weight: 3,
    run: (world, dice) =>
      onTab(world, dice, async (tab) => {
        world.site.version += 1
        await world.ask(tab, `navigator.serviceWorker.getRegistrations().then(([one]) => { one?.update() })`)
      }),
  },
  {
    name: 'tab brought to front',
    weight: 3,
    run: (world, dice) => onTab(world, dice, (tab) => tab.raw.activate()),
  },
]

export function pickFault(dice: Dice): Fault {
  let left = dice.draw() * FAULTS.reduce((sum, { weight }) => sum + weight, 0)
  for (const fault of FAULTS) {
    left -= fault.weight
    if (left < 0) return fault
  }
  return FAULTS[0] as Fault
}
