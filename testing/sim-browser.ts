// One browser: the disk, the lives of its worker, the lock of the pump, the channel between all of them, and its tabs.
// Owns who is alive. What a tab does is sim-tab.ts, what happens to the browser is sim.ts.

import type { Clock, Platform, Random, Timings, Vault } from '../core/ports.ts'
import type { Notice } from '../core/wire.ts'
import type { Faults } from './faults.ts'
import type { Caller } from './network.ts'
import { Life, type Plant } from './sim-life.ts'
import { Disk } from './sim-store.ts'
import type { SimTab } from './sim-tab.ts'
import type { World } from './world.ts'

export interface BrowserOptions {
  readonly vaultMode: Vault['mode']
  readonly timings?: Timings
  /** The service says what was delivered and read. */
  readonly hasMarks?: boolean
  readonly plant: Plant
  /** No service worker: each tab runs the engine itself, which lives, freezes and dies with it. */
  readonly isPageHost?: boolean
  /** Another platform than the session service. */
  readonly platform?: (deps: SimPlatformDeps) => Platform
  /** Sees everything that leaves a worker. */
  emitted(what: unknown): void
}

/** What an adapter is given in a simulated worker. */
export interface SimPlatformDeps {
  readonly deployment: string
  readonly fetch: typeof fetch
  readonly WebSocket: typeof WebSocket
  readonly clock: Clock
  readonly random: Random
  now(): number
}

/** What a browser needs of its network. */
export interface SimNetwork {
  readonly isOnline: boolean
  fetchOf(caller: Caller): typeof fetch
  socketOf(caller: Caller): typeof WebSocket
}

/** Two versions of the worker live side by side for so long at most. */
const OVERLAP_MS_MAX = 8_000

export class SimBrowser {
  readonly world: World
  readonly network: SimNetwork
  readonly disk = new Disk()
  readonly vaultMode: Vault['mode']
  readonly timings: Timings | undefined
  readonly hasMarks: boolean
  readonly platform: BrowserOptions['platform']
  readonly isPageHost: boolean
  faults: Faults
  tabs: SimTab[] = []
  /** What its clock shows more than the true time. */
  skewMs = 0
  /** The life that new calls go to. */
  active: Life | undefined
  lives: Life[] = []
  readonly #options: BrowserOptions
  #pumpHolder: Life | undefined
  #pumpQueue: { life: Life; granted: () => void }[] = []
  #waiting: ((life: Life) => void)[] = []
  #count = 0

  constructor(world: World, network: SimNetwork, faults: Faults, options: BrowserOptions) {
    this.world = world
    this.network = network
    this.faults = faults
    this.vaultMode = options.vaultMode
    this.hasMarks = options.hasMarks === true
    this.timings = options.timings
    this.platform = options.platform
    this.isPageHost = options.isPageHost ?? false
    this.#options = options
  }

  clock(): number {
    return Math.floor(this.world.now + this.skewMs)
  }

  /** Some work in the browser's own time. */
  after(ms: number, run: () => void): () => void {
    return this.world.after(ms, run, true)
  }

  hop(): number {
    return this.world.dice.between(0.2, 3)
  }

  /** The engine in a page. */
  hosted(tab: SimTab): Life {
    const life = this.#begin()
    // Nothing kills the engine but what kills its page.
    life.whenDead(() => tab.close(false))
    return life
  }

  /** Gives the worker that calls of this tab go to, and starts one where there is none. */
  worker(tab: SimTab, use: (life: Life) => void): void {
    if (tab.host !== undefined) return use(tab.host)
    if (this.active?.isAlive) return use(this.active)
    this.#waiting.push(use)
    if (this.#waiting.length > 1) return
    this.after(this.world.dice.between(10, 120), () => {
      const life = this.active?.isAlive ? this.active : this.#begin()
      const waiting = this.#waiting
      this.#waiting = []
      for (const one of waiting) one(life)
    })
  }

  #begin(): Life {
    this.#count += 1
    const life = new Life(this, `w${this.#count}`, this.#options.plant)
    this.world.note(`worker ${life.name} starts`)
    this.lives.push(life)
    this.active = life
    life.whenDead(() => this.#buried(life))
    return life
  }

  #buried(life: Life): void {
    this.lives = this.lives.filter((one) => one !== life)
    if (this.active === life) this.active = this.lives.at(-1)
    this.#pumpQueue = this.#pumpQueue.filter((waiting) => waiting.life !== life)
    for (const tab of this.tabs) this.after(this.hop(), () => tab.mourn(life.name))
    if (this.#pumpHolder === life) this.after(this.hop(), () => this.#passPump(life))
  }

  #passPump(from: Life): void {
    if (this.#pumpHolder !== from) return
    const next = this.#pumpQueue.shift()
    this.#pumpHolder = next?.life
    next?.granted()
  }

  /** The lock: one holder, the others wait in line. */
  requestPump(life: Life, granted: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.after(this.hop(), () => {
        if (!life.isAlive) return
        if (this.#pumpHolder === undefined) {
          this.#pumpHolder = life
          granted()
        } else {
          this.#pumpQueue.push({ life, granted: () => life.isAlive && granted() })
        }
        resolve()
      })
    })
  }

  /** A new version takes over; the old one lives on for a while, and keeps the pump. */
  update(): void {
    const old = this.active
    if (old === undefined || this.isPageHost) return
    this.#begin()
    this.after(this.world.dice.between(0, OVERLAP_MS_MAX), () => old.die('replaced'))
  }

  publish(notice: Notice, from: Life | SimTab): void {
    this.#options.emitted(notice)
    for (const tab of this.tabs) if (tab !== from) this.after(this.hop(), () => tab.hear(notice))
    for (const life of this.lives) {
      if (life !== from) this.after(this.hop(), () => life.isAlive && life.engine.hear(notice))
    }
  }

  emitted(what: unknown): void {
    this.#options.emitted(what)
  }

  /** The whole browser ends at once, perhaps with the computer. */
  crash(hasPower: boolean): void {
    for (const tab of [...this.tabs]) tab.close(false)
    for (const life of [...this.lives]) life.die(hasPower ? 'browser killed' : 'power cut')
    this.#pumpHolder = undefined
    if (!hasPower) this.world.note(`disk loses ${this.disk.cutPower(this.world.dice.draw())} commits`)
  }
}
