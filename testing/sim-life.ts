// One life of the worker: the real engine over ports that go silent when the worker is stopped. A dead life's promises
// never settle and its timers never ring, at whichever await it died.

import type { decide } from '../core/decide.ts'
import { type Platform, type Store, TIMINGS, type Vault } from '../core/ports.ts'
import { Engine } from '../sw/engine.ts'
import { told } from '../core/fold-told.ts'
import { planLease } from '../core/leases.ts'
import { signer } from '../sw/engine-identity.ts'
import { leasesOn } from '../sw/engine-leases.ts'
import type { Ports } from '../sw/engine-ports.ts'
import { type PlatformDeps, sessionService } from '../sw/platforms/session-service.ts'
import { createStream } from '../sw/stream.ts'
import type { SimBrowser } from './sim-browser.ts'
import { simStore } from './sim-store.ts'

/** How a wrong machine is planted: by changing what the engine is given, never by copying it. */
export interface Plant {
  ports?(ports: Ports, life: Life): Ports
  decide?: typeof decide
}

const SERVICE = { url: 'https://chat.example' }
/** Without marks a run is what its seed has been before there were any. */
function serviceOf(deps: PlatformDeps, hasMarks: boolean): Platform {
  const platform = sessionService(SERVICE)(deps)
  const { marks: _, ...capabilities } = platform.capabilities
  return hasMarks ? platform : { ...platform, capabilities }
}

const NEVER = new Promise<never>(() => {})
/** A worker that hears of no event is stopped after this long. */
const IDLE_MS = 30_000
/** What is in hand holds a worker so much longer at most. */
const HOLD_MS = 25_000

export class Life {
  isAlive = true
  readonly name: string
  readonly engine: Engine
  readonly browser: SimBrowser
  #onDeath: (() => void)[] = []
  #restAt: number
  #held = 0
  #thawsAt = 0

  constructor(browser: SimBrowser, name: string, plant: Plant) {
    this.browser = browser
    this.name = name
    this.#restAt = browser.world.now + IDLE_MS
    const ports = this.#ports()
    const timings = browser.timings ?? TIMINGS
    const options = { incarnation: name, timings, ...(plant.decide && { decide: plant.decide }) }
    this.engine = new Engine(plant.ports?.(ports, this) ?? ports, options)
    this.#watchRest()
  }

  whenDead(tell: () => void): void {
    this.#onDeath.push(tell)
  }

  /** It does nothing for a while, and keeps what it holds. */
  freeze(ms: number): void {
    this.browser.world.note(`worker ${this.name} is frozen for ${Math.round(ms)} ms`)
    this.#thawsAt = Math.max(this.#thawsAt, this.browser.world.now + ms)
  }

  thaw(): void {
    this.#thawsAt = 0
  }

  /** Now, or when it has thawed. */
  when(run: () => void): void {
    const { world } = this.browser
    const ms = this.#thawsAt - world.now
    if (ms <= 0) run()
    else world.after(ms, () => this.when(run), true)
  }

  /** Stops it. Nothing is told to the engine: a real worker hears of nothing either. */
  die(why: string): void {
    if (!this.isAlive) return
    this.isAlive = false
    this.browser.world.note(`worker ${this.name} dies (${why})`)
    for (const tell of this.#onDeath) tell()
  }

  /** An event that wakes and holds the worker, until `work` is over and the engine has nothing in hand. */
  event(work: () => Promise<unknown> | undefined): void {
    const { world } = this.browser
    this.#restAt = world.now + IDLE_MS
    this.#held += 1
    let isLetGo = false
    const letGo = () => {
      if (isLetGo) return
      isLetGo = true
      this.#held -= 1
      this.#restAt = Math.max(this.#restAt, world.now + 1_000)
    }
    const settled = Promise.resolve(work())
      .catch(() => {})
      .then(() => this.engine.settled())
    void settled.then(letGo)
    world.after(HOLD_MS, letGo, true)
  }

  #watchRest(): void {
    const { world, isPageHost } = this.browser
    if (isPageHost) return
    const ms = this.#held > 0 ? IDLE_MS / 2 : this.#restAt - world.now
    if (ms <= 0) return this.die('idle')
    world.after(ms, () => this.isAlive && this.#watchRest(), true)
  }

  /** A call of a port. The worker may be stopped before it, or soon after. */
  #use<T>(start: () => Promise<T>): Promise<T> {
    const { world, faults } = this.browser
    if (!this.isAlive) return NEVER
    if (world.dice.chance(faults.killAtCall)) {
      this.die('at a call')
      return NEVER
    }
    if (world.dice.chance(faults.killSoon)) world.after(world.dice.between(0, 40), () => this.die('after a call'), true)
    return new Promise((resolve, reject) => {
      start().then(
        (value) => this.when(() => this.isAlive && resolve(value)),
        (error) => this.when(() => this.isAlive && reject(error)),
      )
    })
  }

  #ports(): Ports {
    const browser = this.browser
    const { world, network } = browser
    const clock = {
      now: () => browser.clock(),
      alarm: (at: number, ring: () => void) => {
        // A timer is as late as the machine is busy.
        const ms = Math.max(0, at - browser.clock()) + world.dice.between(0, 3)
        return world.after(ms, () => this.when(() => this.isAlive && ring()), true)
      },
    }
    const random = { draw: world.dice.draw, key: () => world.dice.key(browser.clock()) }
    const deps = { deployment: 'acme', fetch: network.fetchOf(this), WebSocket: network.socketOf(this), now: clock.now }
    const platform = browser.platform?.({ ...deps, random, clock }) ?? serviceOf(deps, browser.hasMarks)
    return {
      clock,
      random,
      store: this.#store(),
      channel: { publish: (notice) => this.isAlive && browser.publish(notice, this) },
      platform,
      vault: this.#vault(),
      ...{ leases: leasesOn, planLease, signer, told },
      pump: { request: (granted) => this.#use(() => browser.requestPump(this, granted)) },
      stream: (report) =>
        createStream(
          { platform, clock, random, timings: browser.timings ?? TIMINGS },
          (told) => this.isAlive && report(told),
        ),
    }
  }

  #store(): Store {
    const { disk, world } = this.browser
    const store = simStore(disk, world, this, () => this.browser.faults)
    return {
      kind: store.kind,
      turn: (wanted, decide) => this.#use(() => store.turn(wanted, decide)),
      tail: (rowsMax, entriesMax) => this.#use(() => store.tail(rowsMax, entriesMax)),
      find: (keys) => this.#use(() => store.find(keys)),
      rows: (conversationId, before, limit) => this.#use(() => store.rows(conversationId, before, limit)),
      entries: (limit) => this.#use(() => store.entries(limit)),
      file: (key, index) => this.#use(() => store.file(key, index)),
      shred: () => this.#use(() => store.shred()),
    }
  }

  #vault(): Vault {
    const { disk, world, vaultMode: mode } = this.browser
    const { secrets, wills } =
      mode === 'memory' ? { secrets: new Map<string, string>(), wills: new Map<string, string>() } : disk
    const soon = <T>(look: () => T): Promise<T> =>
      this.#use(() => new Promise((resolve) => world.after(world.dice.between(0, 1), () => resolve(look()), true)))
    return {
      mode,
      seal: (secret) =>
        soon(() => {
          const box = world.dice.hex(16)
          secrets.set(box, secret)
          return { sealed: box }
        }),
      open: ({ sealed }) => soon(() => secrets.get(String(sealed)) ?? wills.get(String(sealed))),
      forget: () => soon(() => secrets.clear()),
      bequeath: (secret) =>
        soon(() => {
          const box = world.dice.hex(16)
          wills.set(box, secret)
          return { sealed: box }
        }),
    }
  }
}
