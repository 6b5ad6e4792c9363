// One run of the simulation on Genesys Cloud Web Messaging: the real engine, stream and adapter, and the emulated service
// with its limits, in a world that fails. The service is watched from outside: every message that was accepted is there
// once, in order, and nothing was asked too often.

import { TIMINGS } from '../core/ports.ts'
import type { OutboxItem } from '../core/wire.ts'
import { genesys } from '../sw/platforms/genesys.ts'
import { Dice } from './dice.ts'
import { CALM, drawFaults, type Faults } from './faults.ts'
import type { GenesysFault } from './genesys-rules.ts'
import { GenesysService } from './genesys-service.ts'
import type { GenesysSession } from './genesys-session.ts'
import type { Run } from './sim.ts'
import { SimBrowser } from './sim-browser.ts'
import { GenesysNetwork } from './sim-genesys-network.ts'
import type { Plant } from './sim-life.ts'
import { SimTab } from './sim-tab.ts'
import { SECRET_MARK } from './sim-tokens.ts'
import { World } from './world.ts'

const MINUTE_MS = 60_000
const STARTS_AT = Date.UTC(2026, 0, 5, 9)
/** Twice as long as where there are keys: what is unknown waits for a history, and that for its turn. */
const HEALING_MS = 8 * MINUTE_MS
/** Said again and again: two of the same are two. */
const COMMON = ['yes', 'ok', 'thanks']
const SERVICE_FAULTS: readonly GenesysFault[] = [
  'ack-lost',
  'ack-cut',
  'unheard-cut',
  'doubled',
  'late',
  'throttled',
  'configure-throttled',
  'history-failed',
  'timeless',
  'jwt-lost',
  'unexpected',
]

interface Sent {
  readonly key: string
  readonly text: string
  seq: number | undefined
}

class GenesysSimulation {
  readonly world: World
  readonly service: GenesysService
  readonly network: GenesysNetwork
  readonly browser: SimBrowser
  readonly faults: Faults
  readonly findings: string[] = []
  readonly #sent = new Map<string, Sent>()
  /** What the service has accepted, in its order. */
  /** Nobody can say then when a limited step may begin: the platform says so by 429. */
  #hasClockJumped = false
  readonly #log: { key: string; text: string; session: GenesysSession }[] = []
  #isHealing = false
  #tabs = 0
  #texts = 0

  constructor(seed: number, plant: Plant) {
    const dice = new Dice(seed)
    const world = new World(dice, STARTS_AT)
    const faults = drawFaults(dice)
    const skewMs = dice.chance(0.3) ? dice.between(-60, 60) * MINUTE_MS : 0
    const deps = {
      now: () => Math.floor(world.now + skewMs),
      draw: dice.draw,
      uuid: () => dice.hex(32),
      after: (ms: number, run: () => void) => world.after(ms, run),
    }
    const service = new GenesysService(deps, { historyHasMetadata: dice.chance(0.2) })
    for (const kind of SERVICE_FAULTS) if (dice.chance(0.4)) service.rates[kind] = dice.between(0, 0.2)
    service.onAccepted = (session, { tracingId, text }) => {
      world.note(`service accepts ${text} ${tracingId}`)
      this.#log.push({ key: tracingId ?? '', text: text ?? '', session })
    }
    this.world = world
    this.faults = faults
    this.service = service
    this.network = new GenesysNetwork(world, service, faults)
    this.browser = new SimBrowser(world, this.network, faults, {
      vaultMode: 'persistent',
      plant,
      timings: { ...TIMINGS, pingMs: 35_000, pongMs: 10_000, pingMissesMax: 1 },
      emitted: (what) => this.#emitted(what),
      platform: ({ clock, random, ...deps }) =>
        genesys({ domain: 'genesys.example', deploymentId: service.settings.deploymentId })({
          ...deps,
          after: (ms, run) => clock.alarm(clock.now() + ms, run),
          uuid: () => `${SECRET_MARK}${random.key()}`,
          uuidOf: async (words) => (words.startsWith('session') ? `s-${words.length}` : `${SECRET_MARK}${words}`),
        }),
    })
    this.#misfortunes(dice.between(800, 6_000))
  }

  #every(meanMs: number, happen: () => void): void {
    if (meanMs === 0) return
    this.world.after(this.world.dice.wait(meanMs), () => {
      if (this.#isHealing) return
      if (!this.world.isAsleep) happen()
      this.#every(meanMs, happen)
    })
  }

  #misfortunes(paceMs: number): void {
    const { faults, network, browser, world } = this
    const { dice } = world
    this.#every(paceMs, () => this.#act())
    this.#every(dice.between(3_000, 30_000), () => this.#agentActs())
    this.#every(faults.socketCutMeanMs, () => network.cutSockets(false))
    this.#every(faults.socketHalfOpenMeanMs, () => network.cutSockets(true))
    this.#every(faults.killMeanMs, () => browser.active?.die('killed'))
    this.#every(faults.updateMeanMs, () => browser.update())
    this.#every(faults.browserKillMeanMs, () => {
      browser.crash(!dice.chance(faults.powerCut))
      browser.after(dice.wait(5_000), () => browser.tabs.length === 0 && this.#openTab())
    })
    this.#every(faults.offlineMeanMs, () => this.#away(dice.wait(10_000)))
    this.#every(faults.clockJumpMeanMs, () => {
      this.#hasClockJumped = true
      browser.skewMs = dice.between(-60, 60) * MINUTE_MS
    })
    this.#every(faults.sleepMeanMs, () => {
      network.cutSockets(true)
      world.sleep(dice.wait(MINUTE_MS))
      for (const tab of browser.tabs) browser.after(dice.between(1, 2_000), () => tab.nudge(true))
    })
  }

  #away(ms: number): void {
    this.network.isOnline = false
    this.network.cutSockets(true)
    this.browser.after(ms, () => {
      this.network.isOnline = true
      for (const tab of this.browser.tabs) tab.nudge(true)
    })
  }

  #openTab(): void {
    this.#tabs += 1
    const events = { sees: (_: SimTab, snapshot: unknown) => this.#emitted(snapshot), settled() {} }
    new SimTab(this.browser, `t${this.#tabs}`, events).pull()
  }

  #emitted(what: unknown): void {
    const text = JSON.stringify(what)
    if (text.includes(SECRET_MARK)) this.#find(`secret: emitted ${text.slice(0, 200)}`)
  }

  #find(finding: string): void {
    this.world.note(`FINDING ${finding}`)
    this.findings.push(finding)
  }

  #act(): void {
    const { dice } = this.world
    const { tabs } = this.browser
    if (tabs.length === 0 || (tabs.length < 3 && dice.chance(0.1))) return this.#openTab()
    const tab = dice.pick(tabs)
    const draw = dice.draw()
    if (draw < 0.1 && tabs.length > 1) return tab.close(dice.chance(0.5))
    if (draw < 0.15) return tab.nudge(true)
    if (draw < 0.25)
      return void tab.run({ type: 'set-context', key: dice.key(0), delta: { cart: dice.hex(4) } }).catch(() => {})
    const common = dice.chance(0.4)
    this.#texts += 1
    this.#send(tab, common ? dice.pick(COMMON) : `text ${this.#texts}`)
  }

  #send(tab: SimTab, text: string): void {
    const key = this.world.dice.key(this.world.now)
    const sent: Sent = { key, text, seq: undefined }
    void tab
      .run({ type: 'enqueue', messages: [{ key, text }] })
      .then(([answer]) => {
        if (answer === undefined || !('seq' in answer)) return
        this.world.note(`accepted ${text} ${key} as ${answer.seq}`)
        // A repeat of what was sent meanwhile is answered with its place in the conversation, which is another count.
        if (this.#log.every((said) => said.key !== key)) sent.seq = answer.seq
        this.#sent.set(key, sent)
      })
      .catch(() => {})
  }

  #agentActs(): void {
    const sessions = [...new Set(this.service.sessions.values())]
    if (sessions.length > 0) this.service.agentSays(this.world.dice.pick(sessions), `agent ${this.world.steps}`)
  }

  async run(): Promise<void> {
    const drawn = { ...this.faults }
    this.#openTab()
    await this.world.run(this.world.dice.between(0.5, 3) * MINUTE_MS)
    this.#isHealing = true
    await this.world.wake()
    this.world.note('heals')
    Object.assign(this.faults, CALM)
    this.service.rates = {}
    this.network.isOnline = true
    // What a connection has lost without ending is found when the next one begins, and not before.
    this.network.cutSockets(false)
    if (this.browser.tabs.length === 0) this.#openTab()
    for (let part = 0; part < 4; part++) {
      for (const tab of this.browser.tabs) tab.nudge(true)
      await this.world.run(HEALING_MS / 4)
    }
    const tab = this.browser.tabs[0]
    let left: readonly OutboxItem[] = []
    void tab?.run({ type: 'list-outbox' }).then((items) => {
      left = items
    })
    await this.world.run(5_000)
    this.#judge(left, drawn)
  }

  #judge(items: readonly OutboxItem[], drawn: Faults): void {
    const left = new Set(items.map(({ key }) => key))
    const times = new Map<string, number>()
    for (const { key } of this.#log) times.set(key, (times.get(key) ?? 0) + 1)
    for (const [key, count] of times) {
      if (count > 1) this.#find(`twice: ${this.#sent.get(key)?.text} was accepted ${count} times`)
    }
    for (const { status, text } of items)
      if (status === 'queued' || status === 'inflight') this.#find(`stuck: ${text} is still ${status}`)
    for (const { key, text } of this.#sent.values())
      if (!times.has(key) && !left.has(key)) this.#find(`lost: ${text} was accepted here and never there`)
    let before = 0
    for (const { key, text } of this.#log) {
      const seq = this.#sent.get(key)?.seq ?? 0
      if (seq > 0 && seq < before) this.#find(`order: ${text} came behind a later one`)
      before = Math.max(before, seq)
    }
    const ours = this.service.throttled.filter((what) => what !== 'fault')
    if (ours.length > 0 && !this.#hasClockJumped)
      this.#find(`throttled: ${[...new Set(ours)].join(', ')} ${ours.length} times`)
    // A connection that is dead without a word is still there for the service: to evict it harms nobody.
    const hasDead = drawn.socketHalfOpenMeanMs + drawn.offlineMeanMs + drawn.sleepMeanMs > 0
    if (this.service.evictions > 0 && !hasDead) this.#find(`evicted: ${this.service.evictions} times`)
    this.#judgeScreen()
  }

  /** What the first tab shows is what the service has, each message once. */
  #judgeScreen(): void {
    const snapshot = this.browser.tabs[0]?.snapshot
    const [session] = this.service.sessions.values()
    if (snapshot === undefined || session === undefined || this.service.sessions.size > 1) return
    const shown = snapshot.messages.filter(({ id }) => id !== undefined)
    const ids = new Set(shown.map(({ id }) => id))
    if (ids.size < shown.length) this.#find('doubled: a message is shown twice')
    // What was found late stands behind what was said after it: at the upper edge one may be hidden by that.
    const tail = session.log.slice(-Math.floor(shown.length / 2) || -1).map(({ channel }) => channel.messageId)
    const missing = tail.filter((id) => !ids.has(id))
    if (missing.length > 0) this.#find(`missing: ${missing.length} messages are not shown, such as ${missing[0]}`)
  }
}

/** Runs one seed to its end, as `simulate` does for the session service. */
export async function simulateGenesys(seed: number, plant: Plant = {}, onNote?: (line: string) => void): Promise<Run> {
  const simulation = new GenesysSimulation(seed, plant)
  const { world, faults, findings } = simulation
  if (onNote !== undefined) world.onNote = onNote
  const drawn = { ...faults }
  const unhandled = (error: unknown) => findings.push(`unhandled: ${error instanceof Error ? error.stack : error}`)
  process.on('unhandledRejection', unhandled)
  try {
    await simulation.run()
  } finally {
    process.off('unhandledRejection', unhandled)
  }
  return {
    seed,
    findings,
    steps: world.steps,
    digest: world.digest,
    tail: world.tail,
    faults: drawn,
    marks: world.marks,
  }
}
