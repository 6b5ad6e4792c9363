import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { Dice } from '../../testing/dice.ts'
import { drawExtras, type Extras, PLAIN } from '../../testing/extras.ts'
import { CALM, drawFaults, type Faults } from '../../testing/faults.ts'
import { Network } from '../../testing/network.ts'
import { report, simulate } from '../../testing/sim.ts'
import { Feeds } from '../../testing/sim-feeds.ts'
import { SimService } from '../../testing/sim-service.ts'
import { World } from '../../testing/world.ts'
import { LATER, PAGES, REGRESSIONS, seedsFrom } from './seeds.ts'

const FRESH = 200
/** They failed before there were files: without them they still run as they did. */
const OLD = REGRESSIONS.slice(0, 9)

/** Other commits run other seeds, and everybody who has this one runs the same. */
function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    // Not a clone: the text is as good as any other.
    return 'no commit'
  }
}

async function run(seed: number): Promise<void> {
  const result = await simulate(seed)
  expect(result.findings, report(result)).toEqual([])
}

describe('one seed after the other', () => {
  test.each([...REGRESSIONS, ...LATER, ...PAGES])('[SIM6] seed $seed: $caught', ({ seed }) => run(seed))
  test.each(seedsFrom(commit(), FRESH))('[SIM2] seed %i', run)
})

test.each([1, 2, 3, 4, 5])('[SIM1] seed %i has the same events each time', async (seed) => {
  const lines: string[] = []
  const first = await simulate(seed, {}, (line) => lines.push(line))
  const again: string[] = []
  const second = await simulate(seed, {}, (line) => again.push(line))
  expect(again).toEqual(lines)
  expect(second.digest).toBe(first.digest)
})

test('[SIM1] other seeds have other events', async () => {
  const digests = await Promise.all([1, 2, 3, 4].map(async (seed) => (await simulate(seed)).digest))
  expect(new Set(digests).size).toBe(4)
})

test('[SIM3] about half of the faults are off, and each is on now and then', () => {
  const runs = seedsFrom('faults', 400).map((seed) => drawFaults(new Dice(seed)))
  const names = Object.keys(CALM) as (keyof Faults)[]
  const shares = names.map((name) => runs.filter((faults) => faults[name] > 0).length / runs.length)
  expect(Math.min(...shares)).toBeGreaterThan(0.4)
  expect(Math.max(...shares)).toBeLessThan(0.6)
})

test('[SIM8] about a third of the runs have neither files nor a full disk, and each is in about as many', () => {
  const runs = seedsFrom('extras', 400).map(drawExtras)
  const share = (has: (extras: Extras) => boolean) => runs.filter(has).length / runs.length
  expect(share(({ files, evictMeanMs }) => files + evictMeanMs === 0)).toBeCloseTo(0.36, 1)
  expect(share(({ files }) => files > 0)).toBeCloseTo(0.4, 1)
  expect(share(({ evictMeanMs }) => evictMeanMs > 0)).toBeCloseTo(0.4, 1)
  for (const { seed } of OLD) expect(drawExtras(seed)).toEqual(PLAIN)
})

test('[SIM9] a worker is frozen in some runs, and keeps its tokens in memory in some', () => {
  const runs = seedsFrom('extras', 400).map(drawExtras)
  const share = (has: (extras: Extras) => boolean) => runs.filter(has).length / runs.length
  expect(share(({ workerFrozenMeanMs }) => workerFrozenMeanMs > 0)).toBeCloseTo(0.4, 1)
  expect(share(({ isMemory }) => isMemory)).toBeCloseTo(0.2, 1)
})

test('[SIM11] in some runs there is no service worker, and each tab runs the engine', () => {
  const runs = seedsFrom('extras', 400).map(drawExtras)
  expect(runs.filter(({ isPageHost }) => isPageHost).length / runs.length).toBeCloseTo(0.15, 1)
  for (const { seed } of [...REGRESSIONS, ...LATER]) expect(drawExtras(seed).isPageHost).toBe(false)
  for (const { seed } of PAGES) expect(drawExtras(seed).isPageHost).toBe(true)
})

/** What must have happened to a refresh in one run or another, or the simulation proves nothing of it. */
const MARKS = [
  'request lost',
  'answer lost',
  'portal',
  '429',
  '503',
  '500',
  'answered behind a logout',
  'answered to the next identity',
  'while two workers lived',
  'while several pages ran an engine',
  'after the token had run out',
  'with a clock that is off',
  'heard late by a frozen worker',
].map((what) => `refresh: ${what}`)

test('[SIM9] every trouble that a refresh can meet is met within 500 seeds', async () => {
  const missing = new Set(MARKS)
  for (let seed = 1; seed <= 500 && missing.size > 0; seed++) {
    for (const mark of (await simulate(seed)).marks) missing.delete(mark)
  }
  expect([...missing]).toEqual([])
})

test('[SIM4] a worker that was stopped asks nothing and connects nowhere', async () => {
  const world = new World(new Dice(1), 0)
  const events = { rotation() {}, revoked() {}, used() {} }
  const service = new SimService(world.dice, () => world.now, events, { accessMs: 60_000, sessionMs: 60_000 })
  const asked: string[] = []
  const traffic = { asked: (path: string) => asked.push(path), told() {}, doubled() {} }
  const network = new Network(world, service, new Feeds(service, world), CALM, traffic)
  const caller = { name: 'w1', isAlive: true, whenDead() {} }
  const [ask, Socket] = [network.fetchOf(caller), network.socketOf(caller)]
  void ask('https://chat.example/alive')
  caller.isAlive = false
  void ask('https://chat.example/dead')
  new Socket('wss://chat.example/stream')
  await world.run(60_000)
  expect(asked).toEqual(['GET /alive'])
  expect(network.sockets.size).toBe(0)
})

test('[SIM7] a finding says how to see it again', async () => {
  const lied = await simulate(1, {
    ports: (ports) => ({
      ...ports,
      channel: { publish: () => ports.channel.publish({ v: 1, type: 'sekret-x' } as never) },
    }),
  })
  expect(lied.findings[0]).toMatch(/^secret: /)
  expect(report(lied)).toMatch(/^npm run sim -- --seed 1\n.*\| .*FINDING secret: /s)
})
