// The session service beside what cannot be avoided: keyed posts, reads with nothing new, its start and memory,
// many quiet listeners, and whether a long history makes a message dearer. CPU time counts where the system tells
// it, because the machine may be busy with others.
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqlite } from '../server/drivers/sqlite.ts'
import type { Figure } from './lab.ts'
import { Client, load, median, Program } from './service-load.ts'
import { heard, listeners } from './service-sockets.ts'

const ENTRY = join(process.cwd(), 'dist/server/main.js')
const FLOOR = join(process.cwd(), 'bench/service-floor.mjs')
const CLIENTS = 32
const POSTS = 6000
const SESSIONS = 2000
const ROUNDS = 3
const READS = 3000
const PAGE = 200
const LISTENERS = 10_000
const HISTORY = 1_000_000

type Rate = { perSecond: number; perCpuSecond: number; p99: number }
type Seat = { port: number; token: string; conversation: { id: string; participantId: string } }

export async function service(): Promise<readonly Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    noteLoad('before')
    return [...(await posts(folder)), ...(await sockets(folder)), ...(await history(folder))]
  } finally {
    noteLoad('after')
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Times by the clock are only as good as the machine is idle; CPU times stand whatever else runs. */
function noteLoad(when: string): void {
  const [minute = 0] = loadavg()
  console.error(`  load of the machine ${when}: ${minute.toFixed(1)} on ${availableParallelism()} cores`)
}

async function serve(data: string): Promise<{ program: Program; port: number }> {
  const port = await freePort()
  const config = `${data}.json`
  // One session stands for all visitors here, so its limits would be what is measured.
  const limits = { sessionRequestsPerSecond: 1e6, sessionRequestsBurst: 1e6, sessionStreamsMax: 2 * LISTENERS }
  writeFileSync(config, JSON.stringify({ limits }))
  const program = await Program.start([ENTRY, 'serve', '--port', `${port}`, '--data', data, '--config', config])
  return { program, port }
}

async function seat(port: number): Promise<Seat> {
  const client = await Client.open(port)
  const json = { 'content-type': 'application/json' }
  const opening = JSON.stringify({ deploymentId: 'demo', refreshKey: randomUUID(), tokenDelivery: 'body' })
  const opened = await client.ask('POST', '/api/v2/widget/sessions', json, opening)
  const { access_token: token } = (JSON.parse(opened.body) as { grant: { access_token: string } }).grant
  const headers = { ...json, authorization: `Bearer ${token}` }
  const started = await client.ask('POST', '/api/v2/messaging/conversations', headers, '{}')
  client.close()
  return { port, token, conversation: JSON.parse(started.body) as Seat['conversation'] }
}

/** Visitors in number, who come a few at a time. */
async function manySeats(port: number, count: number): Promise<Seat[]> {
  const seats: Seat[] = []
  while (seats.length < count) {
    seats.push(
      ...(await Promise.all(Array.from({ length: Math.min(CLIENTS, count - seats.length) }, () => seat(port)))),
    )
  }
  return seats
}

/** Keyed posts, spread over some conversations as visitors are. */
async function rate(program: Program, port: number, seats: readonly Seat[], count: number): Promise<Rate> {
  return timed(program, port, count, (client, index) => {
    const at = seats[index % Math.max(1, seats.length)]
    const text = `message ${index}, as long as what people say in a chat when they ask where their order is`
    const path = `/api/v2/messaging/conversations/${at?.conversation.id}/messages`
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
      authorization: `Bearer ${at?.token}`,
    }
    return client.ask('POST', path, headers, JSON.stringify({ text, contentType: 'text/plain' }))
  })
}

async function timed(program: Program, port: number, count: number, ask: Parameters<typeof load>[3]): Promise<Rate> {
  const cpuBefore = program.cpuMs
  const measured = await load(port, CLIENTS, count, ask)
  const cpuMs = cpuBefore === undefined ? undefined : (program.cpuMs ?? 0) - cpuBefore
  return { ...measured, perCpuSecond: cpuMs === undefined ? measured.perSecond : (count / cpuMs) * 1000 }
}

async function posts(folder: string): Promise<Figure[]> {
  const { program, port } = await serve(join(folder, 'posts'))
  const floorPort = await freePort()
  const floor = await Program.start([FLOOR, join(folder, 'floor.db'), `${floorPort}`])
  const seats = await manySeats(port, SESSIONS)
  await rate(program, port, seats, POSTS)
  await rate(floor, floorPort, [], POSTS)
  const [ours, bare]: [Rate[], Rate[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await rate(program, port, seats, POSTS))
    bare.push(await rate(floor, floorPort, [], POSTS))
  }
  const residentMb = program.residentMb
  const reads = await readFigure(program, port, seats[0] as Seat)
  await Promise.all([program.stop(), floor.stop()])
  const restarted: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const again = await serve(join(folder, 'posts'))
    restarted.push(again.program.readyMs)
    await again.program.stop()
  }
  const [own, least] = [median(ours.map((one) => one.perCpuSecond)), median(bare.map((one) => one.perCpuSecond))]
  const [p99, leastP99] = [ours, bare].map((rates) => median(rates.map((one) => one.p99))) as [number, number]
  console.error(`  p99 of a post to bare node:http and SQLite, in the same rounds: ${leastP99.toFixed(0)} ms`)
  return [
    atLeast('keyed posts per second of one core, beside bare node:http and SQLite', own, least, 'per s', 0.25),
    atLeast('keyed posts per second of one core, beside the goal', own, 3000, 'per s', 1),
    atMost(`p99 of a post with ${CLIENTS} clients, beside the goal`, p99, 50, 'ms', 1),
    atMost(
      `resident after ${(ROUNDS + 1) * POSTS} posts of ${SESSIONS} sessions, beside the goal`,
      residentMb,
      120,
      'MB',
      1,
    ),
    reads,
    atMost('start to ready with a store, beside the goal', median(restarted), 500, 'ms', 1),
  ]
}

async function readFigure(program: Program, port: number, reader: Seat): Promise<Figure> {
  const { conversation, token } = reader
  // A whole page, as somebody reads who comes back to a long conversation.
  await rate(program, port, [reader], PAGE)
  const path = `/api/v2/messaging/conversations/${conversation.id}/messages?limit=${PAGE}`
  const headers = { authorization: `Bearer ${token}` }
  const page = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
  await page.text()
  const etag = page.headers.get('etag') ?? ''
  const [full, unchanged]: [number[], number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    full.push((await timed(program, port, READS, (client) => client.ask('GET', path, headers))).perCpuSecond)
    const conditional = { ...headers, 'if-none-match': etag }
    unchanged.push((await timed(program, port, READS, (client) => client.ask('GET', path, conditional))).perCpuSecond)
  }
  return atLeast('reads of one core answered with 304, beside full pages', median(unchanged), median(full), 'per s', 3)
}

async function sockets(folder: string): Promise<Figure[]> {
  const { program, port } = await serve(join(folder, 'sockets'))
  const { token, conversation } = await seat(port)
  const open = await listeners(port, LISTENERS, { token, conversationId: conversation.id, afterSeq: 0 })
  const residentMb = program.residentMb
  const tookMs: number[] = []
  const client = await Client.open(port)
  for (let round = 0; round < ROUNDS; round++) {
    const text = `broadcast ${round} ${randomUUID()}`
    const all = Promise.all(open.map((socket) => heard(socket, text)))
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${token}`,
      'idempotency-key': randomUUID(),
    }
    const startedAt = performance.now()
    await client.ask(
      'POST',
      `/api/v2/messaging/conversations/${conversation.id}/messages`,
      headers,
      JSON.stringify({ text }),
    )
    await all
    tookMs.push(performance.now() - startedAt)
  }
  client.close()
  for (const socket of open) socket.removeAllListeners('close').destroy()
  await program.stop()
  return [
    atMost(`resident with ${LISTENERS} quiet listeners, beside the goal`, residentMb, 250, 'MB', 1),
    atMost(`one message to ${LISTENERS} listeners, beside the goal`, median(tookMs), 500, 'ms', 1),
  ]
}

/** The same posts into a store with a thousand messages and into one with a million, in turns. */
async function history(folder: string): Promise<Figure[]> {
  const sides = []
  for (const stored of [1000, HISTORY]) {
    const data = join(folder, `history-${stored}`)
    const first = await serve(data)
    const old = await seat(first.port)
    await first.program.stop()
    await fill(join(data, 'holdfast.db'), old.conversation.id, stored)
    const { program, port } = await serve(data)
    const seats = await Promise.all(Array.from({ length: CLIENTS }, () => seat(port)))
    await rate(program, port, seats, POSTS)
    sides.push({ program, port, seats, costs: [] as number[] })
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { program, port, seats, costs } of sides) {
      costs.push(1e6 / (await rate(program, port, seats, POSTS)).perCpuSecond)
    }
  }
  await Promise.all(sides.map(({ program }) => program.stop()))
  const [few = 0, many = 0] = sides.map(({ costs }) => median(costs))
  return [atMost(`CPU per post with ${HISTORY} messages stored, beside 1000`, many, few, 'µs', 1.25)]
}

/** Messages of the past, put straight into the table. */
async function fill(path: string, conversationId: string, count: number): Promise<void> {
  const driver = await openSqlite({ path, durability: 'fast' })
  await driver.script(
    `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
     insert into message (conversation_id, seq, id, sender, role, idem_key, request_hash, body, created_at)
     select '${conversationId}', i, lower(hex(randomblob(16))), 'past', 'customer', lower(hex(randomblob(16))), 'hash',
       '{"text":"what somebody said a while ago, about an order that did not come","contentType":"text/plain"}', i from n`,
  )
  await driver.close()
}

function atLeast(name: string, ours: number, floor: number, unit: string, limit: number): Figure {
  return { name, ours, floor, unit, ratio: ours / floor, limit, isMinimum: true }
}

function atMost(name: string, ours: number, floor: number, unit: string, limit: number): Figure {
  return { name, ours, floor, unit, ratio: ours / floor, limit }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
