// Nodes that share one PostgreSQL: posts per second of two beside one, and what a message costs each process.
// The machine that measures also runs the database and the clients, so the CPU per message is what carries over.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { NodeProcess } from '../test/servers/node.ts'
import { startPostgres } from '../test/servers/postgres.ts'
import { startRedis } from '../test/servers/redis.ts'
import { Visitor } from '../test/unit/server-visitor.ts'
import type { Figure } from './lab.ts'

const MAIN = join(process.cwd(), 'dist/server/main.js')
const CLIENTS = 64
const CONVERSATIONS = 64
const ROUND_MS = 3000
const ROUNDS = 3
/** The kernel's unit of CPU time in /proc, on every Linux there is. */
const TICK_MS = 10
/**
 * Part of a core that a node gets where the machine can say so: nodes of a cluster have cores of their own, and here
 * two of them would fight the database and the clients for the same.
 */
const NODE_SHARE = 0.1
const PERIOD_US = 10_000

type Target = { path: string; token: string }

export async function nodes(): Promise<readonly Figure[]> {
  const [postgres, redis] = await Promise.all([startPostgres({ isDurable: true }), startRedis()])
  const database = await postgres.database()
  const unlimits: (() => void)[] = []
  const both = [0, 1].map(() => new NodeProcess(MAIN, ['--database', database, '--fanout', redis.url]))
  try {
    for (const node of both) await node.start()
    const targets = await Promise.all(Array.from({ length: CONVERSATIONS }, () => target(both[0]?.url ?? '')))
    const urls = both.map(({ url }) => url)
    await round(urls, targets)
    const cost = await costs(both[0] as NodeProcess, targets)
    const limits = both.map((node) => limited(node.pid ?? 0))
    unlimits.push(...limits.flatMap((limit) => limit ?? []))
    const isLimited = limits.every((limit) => limit !== undefined)
    if (!isLimited)
      console.error('  nodes cannot be limited here, and share the cores with the database and the clients')
    const rates: { one: number[]; two: number[] } = { one: [], two: [] }
    const spent: { one: number[]; two: number[] } = { one: [], two: [] }
    for (let n = 0; n < ROUNDS; n++) {
      for (const [side, at] of [
        ['one', urls.slice(0, 1)],
        ['two', urls],
      ] as const) {
        const before = both.reduce((sum, node) => sum + cpuOf(node.pid ?? 0), 0)
        const startedAt = performance.now()
        const rate = await round(at, targets)
        const tookMs = performance.now() - startedAt
        const cpuMs = both.reduce((sum, node) => sum + cpuOf(node.pid ?? 0), 0) - before
        rates[side].push(rate)
        spent[side].push((cpuMs * 1e6) / (rate * tookMs))
      }
    }
    const [one, two] = [median(rates.one), median(rates.two)]
    console.error(
      `  ${availableParallelism()} cores, load ${(loadavg()[0] ?? 0).toFixed(1)}` +
        (isLimited
          ? `; each node was held to ${NODE_SHARE} of a core, so this shows that a second node adds up, not ` +
            'how much one machine can do: without the limit both would share these cores with database and clients'
          : ''),
    )
    console.error(
      `  one node with all it can get: ${cost.rate.toFixed(0)} posts/s; ${cost.nodeUs.toFixed(0)} µs of its CPU and ` +
        `${cost.allUs.toFixed(0)} µs of the machine's per message, database and clients included`,
    )
    return [
      {
        name: `posts of two nodes beside one${isLimited ? `, each with ${NODE_SHARE} of a core` : ''}`,
        ours: two,
        floor: one,
        unit: 'posts/s',
        ratio: two / one,
        limit: 1.6,
        isMinimum: true,
      },
      {
        // Two nodes at 1.6 times one may spend a quarter more on each message; unlike the rate, this stands on a busy machine.
        name: 'CPU of the nodes per message, two beside one',
        ours: median(spent.two),
        floor: median(spent.one),
        unit: 'µs',
        ratio: median(spent.two) / median(spent.one),
        limit: 2 / 1.6,
      },
    ]
  } finally {
    await Promise.all(both.map((node) => node.stop('SIGKILL')))
    for (const unlimit of unlimits) unlimit()
    await Promise.all([postgres.close(), redis.close()])
  }
}

async function target(url: string): Promise<Target> {
  const visitor = new Visitor(url)
  const { id } = await visitor.begin()
  return { path: `/api/v2/messaging/conversations/${id}/messages`, token: visitor.token ?? '' }
}

/** Posts for a while with all clients, spread over the nodes. Returns messages per second. */
async function round(urls: readonly string[], targets: readonly Target[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const startedAt = performance.now()
  let posted = 0
  const client = async (index: number) => {
    const url = urls[index % urls.length] ?? ''
    for (let n = 0; performance.now() - startedAt < ROUND_MS; n++) {
      await post(agent, url, targets[index % targets.length] as Target, `${startedAt}-${index}-${n}`)
      posted++
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)))
  agent.destroy()
  return (posted * 1000) / (performance.now() - startedAt)
}

function post(agent: Agent, url: string, { path, token }: Target, key: string): Promise<void> {
  const body = JSON.stringify({ text: 'A message of about one hundred and twenty characters, as people write them.' })
  const headers = {
    Authorization: `Bearer ${token}`,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'Idempotency-Key': key,
  }
  return new Promise((resolve, reject) => {
    const call = request(url + path, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.once('end', () => {
        if (response.statusCode === 201) resolve()
        else if (response.statusCode === 429) reject(new Error('The rate limit is in the way of the bench.'))
        else reject(new Error(`status ${response.statusCode}`))
      })
    })
    call.once('error', reject)
    call.end(body)
  })
}

async function costs(node: NodeProcess, targets: readonly Target[]) {
  const before = [cpuOf(node.pid ?? 0), cpuOfAll()] as const
  const startedAt = performance.now()
  const rate = await round([node.url], targets)
  const count = (rate * (performance.now() - startedAt)) / 1000
  const after = [cpuOf(node.pid ?? 0), cpuOfAll()] as const
  return { rate, nodeUs: ((after[0] - before[0]) * 1000) / count, allUs: ((after[1] - before[1]) * 1000) / count }
}

/** CPU of one process in milliseconds, as Linux counts it. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** CPU of everything that runs on this machine, in milliseconds. */
function cpuOfAll(): number {
  const [user = 0, nice = 0, system = 0] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '')
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system) * TICK_MS
}

/** Gives a process its share of a core and no more, by a control group of either version. Undefined: not possible. */
function limited(pid: number): (() => void) | undefined {
  const name = `holdfast-bench-${pid}`
  const quota = NODE_SHARE * PERIOD_US
  const first = '/sys/fs/cgroup/cpu'
  const [folder, settings] = existsSync(first)
    ? [join(first, name), { 'cpu.cfs_period_us': `${PERIOD_US}`, 'cpu.cfs_quota_us': `${quota}` }]
    : [join('/sys/fs/cgroup', name), { 'cpu.max': `${quota} ${PERIOD_US}` }]
  try {
    mkdirSync(folder)
    for (const [file, value] of Object.entries({ ...settings, 'cgroup.procs': `${pid}` })) {
      writeFileSync(join(folder, file), value)
    }
  } catch {
    // No right to do this, or no control groups: then the nodes share the machine as it is.
    return undefined
  }
  return () => rmdirSync(folder)
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
