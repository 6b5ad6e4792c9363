// The network of a simulated world between the real Genesys adapter and the emulated service: the same faults as
// network.ts has, over frames and the few requests that there are.

import type { Faults } from './faults.ts'
import type { GenesysService } from './genesys-service.ts'
import type { Caller } from './network.ts'
import { type Cable, type End, SimSocket } from './sim-socket.ts'
import type { World } from './world.ts'

const LOST_MS = 15_000

export class GenesysNetwork implements Cable {
  readonly world: World
  readonly faults: Faults
  readonly sockets = new Set<SimSocket>()
  readonly feeds: { connect(wire: Parameters<GenesysService['connect']>[2]): End | undefined }
  readonly #service: GenesysService
  isOnline = true
  isServiceUp = true

  constructor(world: World, service: GenesysService, faults: Faults) {
    this.world = world
    this.faults = faults
    this.#service = service
    const { deploymentId } = service.settings
    this.feeds = { connect: (wire) => service.connect(deploymentId, undefined, wire) }
  }

  get isReachable(): boolean {
    return this.isOnline && this.isServiceUp
  }

  latency(): number {
    return this.world.dice.between(2, 60)
  }

  cutSockets(isSilent: boolean): void {
    for (const socket of [...this.sockets]) {
      if (isSilent) socket.isHalfOpen = true
      else socket.cut(1006, '')
    }
  }

  socketOf(caller: Caller): typeof WebSocket {
    const net = this
    const Bound = class {
      constructor() {
        // biome-ignore lint/correctness/noConstructorReturn: the adapter calls `new`, and gets a socket of this network.
        return new SimSocket(net, caller)
      }
    }
    return Bound as unknown as typeof WebSocket
  }

  fetchOf(caller: Caller): typeof fetch {
    const { world, faults } = this
    const { dice } = world
    const fetcher = (url: string, init: RequestInit = {}) =>
      new Promise<Response>((resolve, reject) => {
        if (!caller.isAlive) return
        const later = (ms: number, run: () => void) => world.after(ms, () => caller.isAlive && run(), true)
        const fail = () => reject(new TypeError('Failed to fetch'))
        if (!this.isReachable) return void later(1, fail)
        if (dice.chance(faults.requestLost)) return void later(LOST_MS, fail)
        world.after(this.latency(), () => {
          const answer = this.#answer(url, init)
          if (dice.chance(faults.answerLost)) return void later(LOST_MS, fail)
          later(dice.chance(faults.slow) ? dice.between(200, 14_000) : this.latency(), () => resolve(answer))
        })
      })
    return fetcher as typeof fetch
  }

  #answer(url: string, { method = 'GET', headers, body }: RequestInit): Response {
    const { dice } = this.world
    const { pathname: path, searchParams: query } = new URL(url)
    const bearer = new Headers(headers).get('authorization')?.replace('bearer ', '')
    const request = { method, path, query, bearer, origin: undefined, body: JSON.parse(String(body ?? 'null')) }
    const answer = dice.chance(this.faults.broken)
      ? { status: 503, body: {} }
      : dice.chance(this.faults.portal)
        ? { status: 200, body: 'Welcome to the airport.' }
        : this.#service.request(request)
    const text = JSON.stringify(answer.body ?? null)
    return { status: answer.status, headers: new Headers(), text: async () => text } as unknown as Response
  }
}
