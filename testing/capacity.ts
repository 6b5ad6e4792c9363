// How many nodes a number of visitors needs, computed from what one node was measured to do, and what a reconnect
// storm looks like with our jitter and without. docs/operations.md shows the tables; a test compares the two.
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, backoffMs } from '../core/backoff.ts'
import { Dice } from './dice.ts'

/** Measured on two cores of a busy machine, Node 20, PostgreSQL 15 with fsync, everything on loopback. */
export const MEASURED = {
  /** CPU of a node and of the database, in microseconds. */
  message: { node: 500, database: 570 },
  session: { node: 2100, database: 1400 },
  refresh: { node: 1160, database: 440 },
  /** Of the node's, 300 are the check of a token that it has not seen. */
  connect: { node: 700, database: 100 },
  /** A quiet socket, per minute: pings both ways. */
  idleMinute: { node: 60, database: 0 },
  socketKb: 17,
  nodeMb: 76,
  messageBytes: 810,
  /** What one Redis thread passed on per second. */
  brokerPerSecond: 34_900,
} as const

/** What visitors do. Change these first: no two sites are alike. */
export const ASSUMED = {
  /** Messages of a visitor and of those who answer, per visitor and minute. */
  messagesPerMinute: 1,
  /** A visit, in minutes: one session and one stream each. */
  visitMinutes: 10,
  refreshMinutes: 12,
  /** A day has as much traffic as this part of it at the peak. */
  dayShare: 0.35,
  /** Part of a core that may be busy in everyday use, so that a lost node and a busy hour find room. */
  busy: 0.5,
  socketsPerNode: 20_000,
} as const

export const VISITORS = [10_000, 100_000, 1_000_000, 10_000_000] as const

export type Need = {
  visitors: number
  /** Installations of their own, each with nodes, database and broker. */
  cells: number
  nodesPerCell: number
  nodeMb: number
  messagesPerSecond: number
  databaseCoresPerCell: number
  noticesPerSecondPerCell: number
  connectsPerSecondPerNode: number
  gigabytesPerDay: number
}

type Cost = { readonly node: number; readonly database: number }

function coresFor(visitors: number, of: keyof Cost): number {
  const perSecond = (count: number, cost: Cost) => count * cost[of]
  const micros =
    perSecond(ASSUMED.messagesPerMinute / 60, MEASURED.message) +
    perSecond(1 / (ASSUMED.refreshMinutes * 60), MEASURED.refresh) +
    perSecond(1 / (ASSUMED.visitMinutes * 60), MEASURED.session) +
    perSecond(1 / (ASSUMED.visitMinutes * 60), MEASURED.connect) +
    perSecond(1 / 60, MEASURED.idleMinute)
  return (visitors * micros) / 1e6 / ASSUMED.busy
}

/** Nodes for some visitors: by CPU, by sockets, and by what all of them at once cost after an outage; one to spare. */
function nodesFor(visitors: number): number {
  const byStorm = (visitors * stormShare() * MEASURED.connect.node) / 1e6
  return Math.ceil(Math.max(coresFor(visitors, 'node'), visitors / ASSUMED.socketsPerNode, byStorm)) + 1
}

/** The part of all clients that comes back in the busiest second: the mean wait is half of the cap. */
const stormShare = () => 2000 / BACKOFF_CAP_MS

/** Every node hears every notice, so the broker's work grows with messages times nodes; then it takes a second cell. */
const noticesFor = (visitors: number) => ((visitors * ASSUMED.messagesPerMinute) / 60) * nodesFor(visitors)

export function needOf(visitors: number): Need {
  let cells = 1
  while (noticesFor(visitors / cells) > MEASURED.brokerPerSecond) cells++
  const each = visitors / cells
  const nodesPerCell = nodesFor(each)
  const perNode = each / (nodesPerCell - 1)
  const messagesPerSecond = (visitors * ASSUMED.messagesPerMinute) / 60
  return {
    visitors,
    cells,
    nodesPerCell,
    nodeMb: MEASURED.nodeMb + (perNode * MEASURED.socketKb) / 1024,
    messagesPerSecond,
    databaseCoresPerCell: coresFor(each, 'database'),
    noticesPerSecondPerCell: noticesFor(each),
    connectsPerSecondPerNode: perNode * stormShare(),
    gigabytesPerDay: (messagesPerSecond * 86_400 * ASSUMED.dayShare * MEASURED.messageBytes) / 1e9,
  }
}

export type Storm = { peakPerSecond: number; backAfterS: number }

/**
 * Clients that all lose their streams at once try until the service is back, and then connect.
 *
 * @param wait what a client waits after so many failures, in milliseconds
 */
export function storm(clients: number, outageMs: number, wait: (count: number, draw: number) => number): Storm {
  const { draw } = new Dice(1)
  const arrivals = new Map<number, number>()
  let last = 0
  for (let client = 0; client < clients; client++) {
    let at = 0
    for (let count = 1; at < outageMs; count++) at += Math.max(1, wait(count, draw()))
    const second = Math.floor((at - outageMs) / 1000)
    arrivals.set(second, (arrivals.get(second) ?? 0) + 1)
    last = Math.max(last, at - outageMs)
  }
  return { peakPerSecond: Math.max(...arrivals.values()), backAfterS: last / 1000 }
}

const OUTAGES_MS = [15_000, 5 * 60_000]
const CLIENTS_SIMULATED = 100_000

/** Three ways to wait, after a short outage and a long one: the part of all clients in the busiest second. */
export function storms(): { name: string; peakShares: number[]; backAfterS: number }[] {
  const doubling = (count: number) => Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(count - 1, 30))
  const ways = [
    { name: 'ours: anything from nothing to the doubled wait', wait: backoffMs },
    { name: 'the doubled wait ± 10 %', wait: (count: number, draw: number) => doubling(count) * (0.9 + draw * 0.2) },
    { name: 'the doubled wait, no jitter', wait: doubling },
  ]
  return ways.map(({ name, wait }) => {
    const runs = OUTAGES_MS.map((outageMs) => storm(CLIENTS_SIMULATED, outageMs, wait))
    return {
      name,
      peakShares: runs.map(({ peakPerSecond }) => peakPerSecond / CLIENTS_SIMULATED),
      backAfterS: Math.max(...runs.map(({ backAfterS }) => backAfterS)),
    }
  })
}

/** The two tables, as the document has them. */
export function capacityTables(): { needs: string; storms: string } {
  const number = (value: number) => Math.round(value).toLocaleString('en-GB').replaceAll(',', ' ')
  const needs = [
    '| visitors at once | cells | nodes per cell | MB per node | messages/s | database cores per cell | notices/s per cell | connects/s per node after an outage | GB per day |',
    '|---|---|---|---|---|---|---|---|---|',
    ...VISITORS.map(needOf).map((need) => {
      const cells = [
        need.visitors,
        need.cells,
        need.nodesPerCell,
        need.nodeMb,
        need.messagesPerSecond,
        Math.max(1, Math.ceil(need.databaseCoresPerCell)),
        need.noticesPerSecondPerCell,
        need.connectsPerSecondPerNode,
        need.gigabytesPerDay,
      ]
      return `| ${cells.map(number).join(' | ')} |`
    }),
  ]
  const shares = [
    '| clients wait | busiest second after 15 s | after 5 min | that is, of 1 000 000 clients | the last is back after |',
    '|---|---|---|---|---|',
    ...storms().map(({ name, peakShares, backAfterS }) => {
      const percents = peakShares.map((share) => `${(share * 100).toFixed(1)} %`)
      return `| ${name} | ${percents.join(' | ')} | ${number((peakShares.at(-1) ?? 0) * 1e6)} | ${backAfterS.toFixed(0)} s |`
    }),
  ]
  return { needs: needs.join('\n'), storms: shares.join('\n') }
}
