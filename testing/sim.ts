// One run of the simulation: a browser with tabs, a service, a network, and a seed that decides everything. First
// anything may fail and nothing wrong may happen; then the faults end and everything that waits must finish.

import { Auditor } from './audit.ts'
import { judgeEnd, judgeHistory } from './audit-end.ts'
import { Dice } from './dice.ts'
import { drawExtras } from './extras.ts'
import { CALM, drawFaults, type Faults } from './faults.ts'
import { Network } from './network.ts'
import { SimBrowser } from './sim-browser.ts'
import { Feeds } from './sim-feeds.ts'
import type { Plant } from './sim-life.ts'
import { SimService } from './sim-service.ts'
import { Visitor } from './sim-visitor.ts'
import { World } from './world.ts'

export interface Run {
  readonly seed: number
  /** What was wrong; empty in a good run. */
  readonly findings: readonly string[]
  readonly steps: number
  /** Names the whole run: two runs of a seed have the same. */
  readonly digest: string
  /** The last events before the end, or before the first finding. */
  readonly tail: readonly string[]
  readonly faults: Faults
  /** What happened in it, of what a test wants to have seen. */
  readonly marks: ReadonlySet<string>
}

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** Any Monday will do; runs differ by their seed only. */
const STARTS_AT = Date.UTC(2026, 0, 5, 9)
/** Everything that waits has finished by then: a deadline, the longest backoff and the longest Retry-After, with room. */
export const HEALING_MS = 4 * MINUTE_MS
const SERVER_DOWN_MS_MAX = 8_000
/** Who has lost the last tab opens another after about this. */
const ABSENT_MEAN_MS = 10_000
const TAIL_LINES = 60
/** Rows of the present conversation that never make way: more than are shown. */
const KEPT_ROWS = 60

class Simulation {
  readonly world: World
  readonly audit: Auditor
  readonly service: SimService
  readonly feeds: Feeds
  readonly network: Network
  readonly browser: SimBrowser
  readonly visitor: Visitor
  readonly faults: Faults
  #isHealing = false
  #calledBackAt = 0

  constructor(seed: number, plant: Plant) {
    const extras = drawExtras(seed)
    const dice = new Dice(seed)
    const world = new World(dice, STARTS_AT)
    const faults = drawFaults(dice)
    const audit = new Auditor(world, extras.isPageHost)
    const skewMs = dice.chance(0.3) ? dice.between(-10, 10) * MINUTE_MS : 0
    const hasShortSessions = dice.chance(0.15)
    const sessionMs = hasShortSessions ? 40 * MINUTE_MS : 7 * DAY_MS
    const settings = { accessMs: 1_000 * dice.pick([60, 120, 300, 900]), sessionMs }
    const service = new SimService(dice, () => Math.floor(world.now + skewMs), audit, settings)
    const feeds = new Feeds(service, world)
    const network = new Network(world, service, feeds, faults, audit)
    const drawnMode = dice.pick(['broker', 'persistent'] as const)
    const vaultMode = extras.isMemory ? 'memory' : drawnMode
    const { isPageHost } = extras
    const emitted = (what: unknown) => audit.emitted(what)
    const browser = new SimBrowser(world, network, faults, {
      vaultMode,
      plant,
      isPageHost,
      hasMarks: extras.marks,
      emitted,
    })
    audit.service = service
    // Whoever comes back too late begins anew, as often as that happens.
    if (hasShortSessions) audit.excusedSessions = Number.POSITIVE_INFINITY
    audit.disk = browser.disk
    audit.browser = browser
    browser.disk.onCommit = (writes) => audit.committed(writes)
    const habits = {
      tabsMax: dice.whole(1, 4),
      paceMs: dice.between(800, 8_000),
      agentMs: dice.between(3_000, 30_000),
      logouts: dice.chance(0.3),
      closings: dice.chance(0.4),
      files: extras.files,
      signIns: extras.signIns,
      marks: extras.marks,
    }
    const visitor = new Visitor(browser, service, audit, habits)
    this.world = world
    this.audit = audit
    this.service = service
    this.feeds = feeds
    this.network = network
    this.browser = browser
    this.visitor = visitor
    this.faults = faults
    this.#every(habits.paceMs, () => visitor.act())
    this.#every(habits.agentMs, () => visitor.agentActs())
    this.#every(extras.workerFrozenMeanMs, () => {
      const ms = dice.wait(20_000)
      if (dice.chance(0.5)) network.freezesRefreshMs = ms
      else browser.active?.freeze(ms)
    })
    this.#every(isPageHost ? ABSENT_MEAN_MS : 0, () => browser.tabs.length === 0 && visitor.openTab())
    this.#every(extras.evictMeanMs, () => world.note(`disk lets ${browser.disk.evict(KEPT_ROWS)} rows go`))
    this.#misfortunes()
  }

  /** Again and again until the world heals, at times that follow no clock. */
  #every(meanMs: number, happen: () => void): void {
    if (meanMs === 0) return
    this.world.after(this.world.dice.wait(meanMs), () => {
      if (this.#isHealing) return
      if (!this.world.isAsleep) happen()
      this.#every(meanMs, happen)
    })
  }

  #misfortunes(): void {
    const { faults, world, network, browser, service, feeds, visitor } = this
    const { dice } = world
    const tab = () => (browser.tabs.length === 0 ? undefined : dice.pick(browser.tabs))
    this.#every(faults.socketCutMeanMs, () => network.cutSockets(false))
    this.#every(faults.socketHalfOpenMeanMs, () => network.cutSockets(true))
    this.#every(faults.offlineMeanMs, () => this.#goOffline(dice.wait(10_000)))
    this.#every(faults.restartMeanMs, () => {
      world.note('service restarts')
      network.isServiceUp = false
      feeds.restart()
      world.after(dice.between(0, SERVER_DOWN_MS_MAX), () => {
        network.isServiceUp = true
      })
    })
    this.#every(faults.killMeanMs, () => browser.active?.die('killed'))
    this.#every(faults.updateMeanMs, () => browser.update())
    this.#every(faults.browserKillMeanMs, () => this.#crash())
    this.#every(faults.sleepMeanMs, () => {
      const nap = dice.chance(0.3) ? dice.wait(30 * MINUTE_MS) : dice.wait(MINUTE_MS)
      this.#sleep(dice.chance(0.05) ? DAY_MS + nap : nap)
    })
    this.#every(faults.clockJumpMeanMs, () => {
      this.audit.hasClockJumped = true
      browser.skewMs = dice.between(-60, 60) * MINUTE_MS
      world.note(`clock is off by ${Math.round(browser.skewMs / 1000)} s`)
    })
    this.#every(faults.tabFrozenMeanMs, () => {
      const frozen = tab()
      const ms = dice.wait(20_000)
      frozen?.freeze(ms)
      browser.after(ms, () => frozen?.thaw())
    })
    this.#every(faults.tabClosedMeanMs, () => {
      tab()?.close(dice.chance(0.5))
      if (browser.tabs.length === 0)
        browser.after(dice.wait(30_000), () => browser.tabs.length === 0 && visitor.openTab())
    })
    this.#every(faults.tokensExpiredMeanMs, () => {
      // Three fresh tokens in a row that are refused mean to the client that no token will help.
      if (world.now - this.#calledBackAt < MINUTE_MS) return
      this.#calledBackAt = world.now
      service.expireAccess()
      feeds.recheck()
    })
  }

  #goOffline(ms: number): void {
    const { network, browser, world } = this
    world.note('offline')
    network.isOnline = false
    if (world.dice.chance(0.5)) network.cutSockets(true)
    for (const tab of browser.tabs) if (world.dice.chance(0.7)) tab.nudge(false)
    browser.after(ms, () => this.#goOnline())
  }

  #goOnline(): void {
    this.network.isOnline = true
    for (const tab of this.browser.tabs) if (this.world.dice.chance(0.7)) tab.nudge(true)
  }

  #crash(): void {
    const { browser, world, audit, visitor, faults } = this
    const hasPower = !world.dice.chance(faults.powerCut)
    browser.crash(hasPower)
    if (!hasPower) {
      audit.hasLostPower = true
      audit.excusedSessions += 1
    }
    browser.after(world.dice.wait(5_000), () => browser.tabs.length === 0 && visitor.openTab())
  }

  #sleep(ms: number): void {
    const { world, network, browser } = this
    world.note(`sleeps for ${Math.round(ms / 1000)} s`)
    network.cutSockets(true)
    world.sleep(ms)
    for (const tab of browser.tabs)
      browser.after(world.dice.between(1, 2_000), () => world.dice.chance(0.7) && tab.nudge(true))
  }

  /** Anything may fail, and nothing wrong may happen. */
  async suffer(): Promise<void> {
    this.visitor.openTab()
    await this.world.run(this.world.dice.between(0.5, 3) * MINUTE_MS)
  }

  /** Nothing fails any more, and everything that waits must finish. */
  async heal(): Promise<void> {
    const { world, network, browser, visitor, service } = this
    this.#isHealing = true
    visitor.isContent = true
    await world.wake()
    world.note('heals')
    Object.assign(this.faults, CALM)
    network.isOnline = true
    network.isServiceUp = true
    network.freezesRefreshMs = 0
    for (const life of browser.lives) life.thaw()
    if (browser.tabs.length === 0) visitor.openTab()
    for (const tab of browser.tabs) {
      tab.thaw()
      tab.nudge(true)
      tab.pull()
    }
    await world.run(HEALING_MS / 4)
    for (const { id } of service.conversations.values()) visitor.agentSays(id)
    for (const tab of [...browser.tabs]) visitor.mend(tab)
    await world.run(HEALING_MS / 4)
    // A message that is being sent can only be discarded when its outcome is known: then it is looked at again.
    for (let round = 0; round < 3; round++) {
      for (const tab of [...browser.tabs]) visitor.mend(tab)
      visitor.clearOutbox()
      await world.run(HEALING_MS / 6)
    }
    // A session that ended just now takes one more decision of the visitor.
    if (browser.tabs.filter((tab) => visitor.mend(tab)).length > 0) await world.run(MINUTE_MS / 2)
    // Not in the middle of something that has just begun, such as a refresh that is due.
    for (let round = 0; round < 10 && world.now - this.audit.committedAt < 2_000; round++) await world.run(1_000)
    judgeEnd(this.audit, browser)
    await this.#readBack()
  }

  async #readBack(): Promise<void> {
    const [tab] = this.browser.tabs
    if (tab === undefined) return
    const reading = this.visitor.readAll(tab).then(
      (all) => judgeHistory(this.audit, tab.snapshot?.conversation?.id, all),
      (error) => this.audit.finding(`history: it cannot be read back: ${error}`),
    )
    await this.world.run(MINUTE_MS)
    await reading
  }
}

/** What somebody who looks at a failure needs: how to see it again, and what happened before. */
export function report({ seed, findings, faults, tail }: Run): string {
  const rates = Object.entries(faults).flatMap(([name, rate]) => (rate > 0 ? [`${name}=${rate.toPrecision(2)}`] : []))
  const lines = tail.slice(-TAIL_LINES).map((line) => `  | ${line}`)
  return [
    `npm run sim -- --seed ${seed}`,
    ...findings.map((finding) => `  ${finding}`),
    `  ${rates.join(' ')}`,
    ...lines,
  ].join('\n')
}

/** Runs one seed to its end. Nothing outside the process is touched, and no real time passes but the work itself. */
export async function simulate(seed: number, plant: Plant = {}, onNote?: (line: string) => void): Promise<Run> {
  const simulation = new Simulation(seed, plant)
  if (onNote !== undefined) simulation.world.onNote = onNote
  const { world, audit, faults } = simulation
  const drawn = { ...faults }
  const unhandled = (error: unknown) =>
    audit.finding(`unhandled: ${error instanceof Error ? error.stack : String(error)}`)
  process.on('unhandledRejection', unhandled)
  try {
    await simulation.suffer()
    await simulation.heal()
  } finally {
    process.off('unhandledRejection', unhandled)
  }
  const { steps, digest, tail, marks } = world
  return { seed, findings: audit.findings, steps, digest, tail, faults: drawn, marks }
}
