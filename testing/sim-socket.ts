// A WebSocket as the real adapter calls it, to the simulated service: frames that are late, doubled or lost, connections
// that are refused, cut, or dead without a word. Requests are network.ts.

import type { Faults } from './faults.ts'
import type { Caller } from './network.ts'
import type { World } from './world.ts'

interface Wire {
  send(frame: object): void
  close(code: number, reason: string): void
}

/** The service's end of a socket; none where it refuses. */
export interface End {
  receive(frame: never): void
  gone(): void
}

/** What a socket needs of its network. */
export interface Cable {
  readonly world: World
  readonly feeds: { connect(wire: Wire): End | undefined }
  readonly faults: Faults
  readonly sockets: Set<SimSocket>
  readonly isReachable: boolean
  /** A socket of this worker was opened. */
  plugged?(by: Caller): void
  latency(): number
}

/** One socket as the adapter sees it. Frames keep their order in each direction, as TCP does. */
export class SimSocket {
  readyState = 0
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  isHalfOpen = false
  readonly #cable: Cable
  readonly caller: Caller
  #end: End | undefined
  #outAt = 0
  #inAt = 0

  constructor(cable: Cable, caller: Caller) {
    this.#cable = cable
    this.caller = caller
    if (!caller.isAlive) return
    caller.whenDead(() => this.close())
    // Refused at once, or no word at all until the caller has enough.
    const isSilent = cable.world.dice.chance(0.3)
    cable.world.after(
      cable.latency(),
      () => {
        if (this.readyState !== 0) return
        this.#end = this.#plug()
        if (this.#end === undefined) return isSilent ? undefined : this.#closed(1006, '')
        this.#later(() => {
          this.readyState = 1
          this.onopen?.()
        })
      },
      true,
    )
  }

  #plug(): End | undefined {
    const { world, faults, feeds, sockets, isReachable } = this.#cable
    if (!isReachable || world.dice.chance(faults.socketRefused)) return undefined
    this.#cable.plugged?.(this.caller)
    sockets.add(this)
    return feeds.connect({
      send: (frame) => this.arrives(frame),
      close: (code, reason) => this.cut(code, reason),
    })
  }

  send(data: string): void {
    const { world } = this.#cable
    this.#outAt = Math.max(this.#outAt, world.now + this.#cable.latency())
    world.after(this.#outAt - world.now, () => {
      if (!this.isHalfOpen) this.#end?.receive(JSON.parse(data) as never)
    })
  }

  close(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.#cable.sockets.delete(this)
    // A worker that dies takes its sockets along; the service hears of it, or not.
    const { world } = this.#cable
    world.after(this.isHalfOpen ? 60_000 : this.#cable.latency(), () => this.#end?.gone())
  }

  /** The service said something. */
  arrives(frame: object): void {
    const { dice } = this.#cable.world
    const isMessage = (frame as { type?: string }).type === 'message'
    const copies = isMessage && dice.chance(this.#cable.faults.frameMangled) ? dice.whole(0, 2) : 1
    for (let copy = 0; copy < copies; copy++) {
      const hear = () => this.onmessage?.({ data: JSON.stringify(frame) })
      const isLate = isMessage && dice.chance(this.#cable.faults.frameMangled)
      if (isLate) this.#cable.world.after(dice.between(0, 3_000), () => this.#isOpen() && hear(), true)
      else this.#later(() => this.readyState === 1 && hear())
    }
  }

  /** The connection is over; this end hears of it behind what was said before. */
  cut(code: number, reason: string): void {
    this.#cable.sockets.delete(this)
    this.#later(() => this.#closed(code, reason))
    this.#end?.gone()
  }

  #isOpen(): boolean {
    return this.readyState === 1 && !this.isHalfOpen && this.caller.isAlive
  }

  #later(run: () => void): void {
    const { world } = this.#cable
    this.#inAt = Math.max(this.#inAt, world.now + this.#cable.latency())
    world.after(
      this.#inAt - world.now,
      () => {
        if (this.caller.isAlive && !this.isHalfOpen && this.readyState !== 3) run()
      },
      true,
    )
  }

  #closed(code: number, reason: string): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.#cable.sockets.delete(this)
    this.onclose?.({ code, reason })
  }
}
