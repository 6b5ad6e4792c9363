// What a chaos run is made of: a real service behind the proxy, a site, and one browser with some tabs, each of which can
// be killed and comes back. Leaves to others: what is said in it (chaos-run.ts) and what is done to it (chaos-faults.ts).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FaultProxy, startProxy } from './proxy.ts'
import { type RawChromium, type RawTab, rawChromium } from './raw-chromium.ts'
import { type ServiceProcess, startService } from './service.ts'
import { type Site, startSite } from './site.ts'

const TABS = 4
/** Hidden tabs are throttled at once instead of after five minutes. */
const FLAGS = ['--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1']
/** Nothing that a page is asked may take longer. The link gives up sooner. */
const ASK_TIMEOUT_MS = 30_000
/** Short intervals, so that a half-open socket is found while the run lasts. */
const TIMINGS = { pingMs: 1_000, pongMs: 500, climbMs: 1_000, beatMs: 5_000 }

const CONNECT = `(async () => {
  while (globalThis.holdfast === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  globalThis.chat = await holdfast.connect({ worker: '/holdfast/sw.js?config=/holdfast/config.json', deployment: 'demo' })
})()`

export interface ChaosOptions {
  /** The Chromium to run. */
  readonly executable: string
  /** The folder of the built package, `dist`. */
  readonly dist: string
  readonly vault?: 'broker' | 'persistent' | 'memory'
}

/** One life of one page: a reload makes another. */
export interface ChaosTab {
  readonly name: string
  readonly raw: RawTab
  /** How many calls it has made. */
  calls: number
}

export interface ChaosState {
  readonly phase: string
  readonly host: string
  readonly outbox: { readonly queued: number; readonly inflight: number; readonly dead: number; readonly stale: number }
  readonly lease: { readonly status: string; readonly code?: string }
  readonly messages: readonly { readonly text: string; readonly seq?: number; readonly role: string }[]
}

export class ChaosWorld {
  readonly service: ServiceProcess
  readonly proxy: FaultProxy
  readonly site: Site
  readonly #executable: string
  readonly #profile = mkdtempSync(join(tmpdir(), 'holdfast-chaos-'))
  readonly #slots: (ChaosTab | undefined)[] = Array.from({ length: TABS })
  #browser: Promise<RawChromium>
  #lives = 0

  private constructor(parts: { service: ServiceProcess; proxy: FaultProxy; site: Site }, executable: string) {
    this.service = parts.service
    this.proxy = parts.proxy
    this.site = parts.site
    this.#executable = executable
    this.#browser = this.#launch()
  }

  static async start({ executable, dist, vault = 'persistent' }: ChaosOptions): Promise<ChaosWorld> {
    const config = { accessTokenMs: 30_000, drainSpreadMs: 50 }
    const service = await startService({ entry: join(dist, 'server/main.js'), config })
    const proxy = await startProxy(service.port)
    const site = await startSite({ dist, serviceUrl: proxy.url, vault, timings: TIMINGS })
    return new ChaosWorld({ service, proxy, site }, executable)
  }

  get slots(): readonly number[] {
    return [...this.#slots.keys()]
  }

  /** The tabs that are open now, as far as anybody knows. */
  get tabs(): readonly ChaosTab[] {
    return this.#slots.filter((tab) => tab !== undefined)
  }

  /** The tab of a slot, opened and connected if there is none. */
  async tab(slot: number): Promise<ChaosTab> {
    const open = this.#slots[slot]
    if (open !== undefined) return open
    const raw = await within((await this.#browser).open(this.site.url))
    const tab = await this.#connected(raw)
    this.#slots[slot] = tab
    return tab
  }

  async reload(slot: number): Promise<void> {
    const { raw } = await this.tab(slot)
    this.#slots[slot] = undefined
    await within(raw.reload())
    this.#slots[slot] = await this.#connected(raw)
  }

  /** The page does not answer any more, or was closed: the next who asks for its slot gets a new one. */
  forget(tab: ChaosTab): void {
    const slot = this.#slots.indexOf(tab)
    if (slot >= 0) this.#slots[slot] = undefined
    void tab.raw.close().catch(() => {})
  }

  ask<T>(tab: ChaosTab, expression: string, ms = ASK_TIMEOUT_MS): Promise<T> {
    return within(tab.raw.evaluate<T>(expression), ms)
  }

  state(tab: ChaosTab): Promise<ChaosState> {
    return this.ask(
      tab,
      `(({ phase, host, outbox, lease, messages }) => ({ phase, host, outbox, lease, messages }))(chat.state)`,
    )
  }

  /** The whole browser ends at once, and starts again on the same profile. */
  async killBrowser(): Promise<void> {
    await (await this.#browser).kill()
    this.#slots.fill(undefined)
    this.#browser = this.#launch()
    await this.#browser
  }

  async close(): Promise<void> {
    await this.#browser.then((browser) => browser.close()).catch(() => {})
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 })
    await this.site.close()
    await this.proxy.close()
    await this.service.close()
  }

  #launch(): Promise<RawChromium> {
    return rawChromium(this.#executable, FLAGS, this.#profile)
  }

  async #connected(raw: RawTab): Promise<ChaosTab> {
    await within(raw.evaluate(CONNECT))
    this.#lives += 1
    return { name: `page ${this.#lives}`, raw, calls: 0 }
  }
}

/** @throws when it takes longer */
export function within<T>(work: Promise<T>, ms = ASK_TIMEOUT_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`No answer within ${ms} ms.`)), ms)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
