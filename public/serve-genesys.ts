// An emulated Genesys deployment behind the demo, in the session service's place. What it knows lives in memory only.
import { setTimeout as pause } from 'node:timers/promises'
import { type Genesys, startGenesys } from '../testing/genesys.ts'
import type { Behind } from './serve-backend.ts'

/** How long a restarted service stays away. */
const AWAY_MS = 1_000

export class GenesysBackend implements Behind {
  readonly worker = 'holdfast-sw-genesys.js'
  readonly paths = /^\/(v1$|api\/|webdeployments\/|upload\/|download\/)/
  /** A guest's token ends with its session. */
  readonly unfelt = ['expire-token']
  readonly port: number
  readonly #genesys: Genesys
  readonly #agentToken: string

  static async start(): Promise<GenesysBackend> {
    const agentToken = crypto.randomUUID()
    return new GenesysBackend(await startGenesys({}, 0, agentToken), agentToken)
  }

  private constructor(genesys: Genesys, agentToken: string) {
    this.#genesys = genesys
    this.#agentToken = agentToken
    this.port = Number(new URL(genesys.endpoints.api).port)
  }

  platformFor(host: string): object {
    const { deploymentId, service } = this.#genesys
    const api = `http://${host}`
    // Files go the same way as everything else: through the gate, and from a page's own origin.
    service.attachments.base = api
    const endpoints = { messaging: `ws://${host}`, api, cdn: api }
    const platform = { type: 'genesys', domain: 'emulator.example', deploymentId, endpoints }
    // One ping that is missed ends it there: the pong has longer.
    return { platform, timings: { pingMs: 8_000, pongMs: 5_000 } }
  }

  async agentToken(): Promise<string> {
    return this.#agentToken
  }

  expireAccessTokens(): void {
    this.#genesys.service.expireAuth()
  }

  loseAnswer(isOn?: boolean): boolean {
    const { service } = this.#genesys
    if (isOn !== undefined) service.fault('ack-cut', isOn ? 1 : 0)
    return service.isDue('ack-cut')
  }

  async restart(cut: () => void): Promise<void> {
    if (this.#genesys.isDown) return
    this.#genesys.isDown = true
    this.#genesys.cut()
    cut()
    await pause(AWAY_MS)
    this.#genesys.isDown = false
  }

  close(): Promise<void> {
    return this.#genesys.close()
  }
}
