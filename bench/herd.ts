// How a thousand visitors come back to a service that was restarted: the real engine, stream and adapter of each, in one
// simulated world. Counted are the sockets that are opened, by tenths of the time over which they may come, beside an even rate over the same time.

import { Dice } from '../testing/dice.ts'
import { CALM } from '../testing/faults.ts'
import { Network } from '../testing/network.ts'
import { SimBrowser } from '../testing/sim-browser.ts'
import { Feeds } from '../testing/sim-feeds.ts'
import { SimService } from '../testing/sim-service.ts'
import { SimTab } from '../testing/sim-tab.ts'
import { World } from '../testing/world.ts'
import { atMost, type Figure } from './lab.ts'

const VISITORS = 1_000
const MINUTE_MS = 60_000
/** A peak is looked for in so many parts of the window. */
const BINS = 10
/** The service spreads those that it sends away over so long. */
const SPREAD_MS = 5_000
/** Who is cut off without a word comes back within the first backoff. */
const BACKOFF_MS = 1_000
const PEAK_MAX = 1.5

export async function herd(): Promise<readonly Figure[]> {
  return [
    await peakOf('sent away by a stop in good order', SPREAD_MS, (feeds) => feeds.restart(SPREAD_MS)),
    await peakOf('cut off by a crash', BACKOFF_MS, (_, networks) => {
      for (const network of networks) network.cutSockets(false)
    }),
  ]
}

/** The highest rate of connections beside the even one. */
async function peakOf(
  how: string,
  windowMs: number,
  strike: (feeds: Feeds, networks: readonly Network[]) => void,
): Promise<Figure> {
  const { world, feeds, networks, tabs, opened } = crowd()
  await world.run(5 * MINUTE_MS)
  opened.length = 0
  const from = world.now
  strike(feeds, networks)
  await world.run(MINUTE_MS)
  const binMs = windowMs / BINS
  const bins = new Map<number, number>()
  for (const at of opened) {
    const bin = Math.floor((at - from) / binMs)
    bins.set(bin, (bins.get(bin) ?? 0) + 1)
  }
  const isBack = tabs.every(({ snapshot }) => snapshot?.phase === 'live')
  const peak = isBack ? (Math.max(...bins.values()) * 1_000) / binMs : Number.POSITIVE_INFINITY
  return atMost(
    `peak of connections, ${VISITORS} visitors ${how}, beside the even rate`,
    '/s',
    peak,
    (VISITORS * 1_000) / windowMs,
    PEAK_MAX,
  )
}

function crowd() {
  const world = new World(new Dice(1), Date.UTC(2026, 0, 5, 9))
  const events = { rotation() {}, revoked() {}, used() {} }
  const now = () => Math.floor(world.now)
  const service = new SimService(world.dice, now, events, { accessMs: 60 * MINUTE_MS, sessionMs: 600 * MINUTE_MS })
  const feeds = new Feeds(service, world)
  const opened: number[] = []
  const networks: Network[] = []
  const tabs: SimTab[] = []
  const heard = { sees() {}, settled() {} }
  for (let index = 0; index < VISITORS; index++) {
    const network = new Network(world, service, feeds, { ...CALM }, { asked() {}, told() {}, doubled() {} })
    network.plugged = () => void opened.push(world.now)
    networks.push(network)
    const browser = new SimBrowser(world, network, { ...CALM }, { vaultMode: 'broker', plant: {}, emitted() {} })
    // They come over a minute, as visitors do.
    world.after(world.dice.between(0, MINUTE_MS), () => {
      const tab = new SimTab(browser, `t${index}`, heard)
      tabs.push(tab)
      tab.pull()
    })
  }
  return { world, feeds, networks, tabs, opened }
}
