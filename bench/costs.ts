// What one event costs the CPU of a node and of its PostgreSQL: the figures from which testing/capacity.ts computes how
// many nodes a number of visitors needs, measured anew beside those that docs/operations.md states.
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { MEASURED } from '../testing/capacity.ts'
import { NodeProcess } from '../test/servers/node.ts'
import { startPostgres, statement } from '../test/servers/postgres.ts'
import { freshKey, Visitor } from '../test/unit/server-visitor.ts'
import type { Figure } from './lab.ts'

const MAIN = join(process.cwd(), 'dist/server/main.js')
const VISITORS = 32
const EVENTS = 25
const ROUNDS = 3
/** The kernel's unit of CPU time in /proc, on every Linux there is. */
const TICK_US = 10_000
/** Another machine, and others on it: more than this and the capacity model is wrong. */
const FACTOR_MAX = 3

type Guest = { visitor: Visitor; id: string }

const EVENT_OF: Readonly<Record<'message' | 'session' | 'refresh' | 'connect', (guest: Guest) => Promise<unknown>>> = {
  message: ({ visitor, id }) =>
    visitor.say({ id }, 'A message of about eighty characters, as people write them in chats.'),
  session: ({ visitor }) => new Visitor(visitor.target).begin(),
  refresh: ({ visitor }) => visitor.refresh(freshKey()),
  connect: ({ visitor, id }) => connected(visitor, id),
}

export async function costs(): Promise<readonly Figure[]> {
  const postgres = await startPostgres({ isDurable: true })
  const database = await postgres.database()
  const node = new NodeProcess(MAIN, ['--database', database])
  try {
    await node.start()
    const guests = await Promise.all(Array.from({ length: VISITORS }, () => guestOf(node.url)))
    const processes = { node: [node.pid ?? 0], database: await family(database) }
    const figures: Figure[] = []
    for (const [kind, event] of Object.entries(EVENT_OF) as [
      keyof typeof EVENT_OF,
      (guest: Guest) => Promise<unknown>,
    ][]) {
      await all(guests, event)
      const found = await inRounds(async () => {
        const before = [spentUs(processes.node), spentUs(processes.database())]
        await all(guests, event)
        const after = [spentUs(processes.node), spentUs(processes.database())]
        return after.map((us, index) => (us - (before[index] ?? 0)) / (VISITORS * EVENTS))
      })
      const [ofNode = 0, ofDatabase = 0] = found
      console.error(`  ${kind}: ${ofNode.toFixed(0)} µs of the node, ${ofDatabase.toFixed(0)} µs of the database`)
      figures.push(figure(kind, ofNode + ofDatabase))
    }
    return figures
  } finally {
    await node.stop('SIGKILL')
    await postgres.close()
  }
}

/** Of both together: alone the smaller one is a matter of luck. */
function figure(kind: keyof typeof EVENT_OF, ours: number): Figure {
  const floor = MEASURED[kind].node + MEASURED[kind].database
  const name = `CPU of node and database per ${kind}, beside what is stated`
  return { name, ours, floor, unit: 'µs', ratio: ours / floor, limit: FACTOR_MAX }
}

async function guestOf(url: string): Promise<Guest> {
  const visitor = new Visitor(url)
  return { visitor, id: (await visitor.begin()).id }
}

async function all(guests: readonly Guest[], event: (guest: Guest) => Promise<unknown>): Promise<void> {
  await Promise.all(
    guests.map(async (guest) => {
      for (let n = 0; n < EVENTS; n++) await event(guest)
    }),
  )
}

async function inRounds(round: () => Promise<number[]>): Promise<number[]> {
  const found: number[][] = []
  for (let n = 0; n < ROUNDS; n++) found.push(await round())
  return [0, 1].map((index) => median(found.map((one) => one[index] ?? 0)))
}

/** As a client does it after a loss of the stream: with a token that the node has not seen on a socket. */
async function connected({ token, target }: Visitor, conversationId: string): Promise<void> {
  const socket = new WebSocket(`${String(target).replace('http', 'ws')}/api/v2/messaging/stream`, 'holdfast.v2')
  await once(socket, 'open')
  socket.send(JSON.stringify({ type: 'auth', token, conversationId, afterSeq: Number.MAX_SAFE_INTEGER }))
  await once(socket, 'message')
  socket.close()
  await once(socket, 'close')
}

/** The processes of a PostgreSQL: all that its first one has started. */
async function family(database: string): Promise<() => number[]> {
  const rows = await statement(database, `select split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int as pid`)
  const parent = Number(rows[0]?.['pid'])
  return () =>
    readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && (pid === parent || parentOf(pid) === parent))
}

function fieldsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  } catch {
    // Gone since the folder was read.
    return []
  }
}

const parentOf = (pid: number): number => Number(fieldsOf(pid)[1] ?? -1)

function spentUs(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const fields = fieldsOf(pid)
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  })
  return ticks.reduce((sum, one) => sum + one, 0) * TICK_US
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
