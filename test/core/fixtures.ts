// What the tables of the core need: an environment, a few values, and a session that is played turn by turn.
// The session keeps its state in the memory store, as JSON: nothing may depend on the identity of an object.

import type { Claim, Env } from '../../core/attempt.ts'
import { told } from '../../core/fold-told.ts'
import { planLease } from '../../core/leases.ts'
import { type Decision, decide, type Setup, wantedBy } from '../../core/decide.ts'
import type { Action, Change, Input } from '../../core/inputs.ts'
import type { Grant } from '../../core/lease.ts'
import type { Entry } from '../../core/outbox.ts'
import type { Outcome, StreamReport, Verdict } from '../../core/ports.ts'
import type { Conversation, Opened } from '../../core/session.ts'
import { isSlots, type Slots } from '../../core/state.ts'
import type { Row } from '../../core/transcript.ts'
import { memoryStore, type OpenStore } from '../../sw/memory-store.ts'

export const NOW = 1_800_000_000_000
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

export const LIMITS = { messageCharsMax: 4_096, attributeCharsMax: 2_000, routingBytesMax: 16_384 }
export const SETUP: Setup = {
  told,
  planLease,
  isBroker: true,
  capabilities: {
    delivery: 'keyed',
    catchUp: 'cursor',
    sendWithoutStream: true,
    inFlightMax: 4,
    limits: LIMITS,
  },
}

export function env(change: Partial<Env> = {}): Env {
  let keys = 0
  return { now: NOW, owner: 'w1', pump: true, random: () => 0.5, key: () => `k${++keys}`, ...change }
}

export const asJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

export const grant = (now = NOW, lifetimeMs = 20 * MINUTE): Grant => ({
  access: { sealed: `access ${now}` },
  refresh: { sealed: `refresh ${now}` },
  expiresAt: now + lifetimeMs,
  lifetimeMs,
})

export const conversation = (id = 'c1', change: Partial<Conversation> = {}): Conversation => ({
  id,
  participantId: 'p1',
  state: 'active',
  ...change,
})

export const opening = (change: Partial<Opened> = {}): Opened => ({
  sessionId: 's1',
  isAuthenticated: false,
  expiresAt: NOW + 7 * 24 * HOUR,
  conversation: null,
  isActiveElsewhere: false,
  ...change,
})

export const row = (seq: number, change: Partial<Row> = {}): Row => ({
  conversationId: 'c1',
  seq,
  id: `m${seq}`,
  role: 'agent',
  text: `text ${seq}`,
  at: NOW,
  ...change,
})

export const failure = (
  verdict: Verdict,
  change: Partial<Outcome<never> & { ok: false }> = {},
): Outcome<never> & { ok: false } => ({
  ok: false,
  verdict,
  code: 'SERVICE_UNREACHABLE',
  reason: 'GET /: 503 .',
  ...change,
})

export const UNREACHABLE = failure('retry', { isUnreachable: true })

type ActionOf<T extends Action['type']> = Extract<Action, { type: T }>

/** One browser with its disk, the clock in the test's hand, and the platform's answers given by the test. */
export class Play {
  now = NOW
  owner = 'w1'
  pump = true
  draw = 0.5
  setup = SETUP
  readonly store: OpenStore
  /** What this incarnation remembers of the last turn. */
  #last: Slots | undefined
  #keys = 0
  #seen: Decision | undefined
  /** Whether the last turn asked for the disk. */
  isDurable = false
  readonly #decided = new Map<Action['type'], Action>()

  constructor(seed?: Slots) {
    this.store = memoryStore(seed)
  }

  /** The last decision. */
  get seen(): Decision {
    if (this.#seen === undefined) throw new Error('No turn has been played.')
    return this.#seen
  }

  get slots(): Slots {
    return this.seen.slots
  }

  async turn(...inputs: Input[]): Promise<Decision> {
    const env: Env = {
      now: this.now,
      owner: this.owner,
      pump: this.pump,
      random: () => this.draw,
      key: () => `key-${++this.#keys}`,
    }
    const wanted = wantedBy(inputs, this.#last, env, this.setup.unkeyed !== undefined)
    this.isDurable = wanted.isDurable
    this.#seen = await this.store.turn(wanted, (view) => {
      const read = view.slots && { slots: asJson(view.slots) }
      if (read && !isSlots(read.slots)) throw new Error('The slots are not what JSON can hold.')
      return asJson(decide({ ...view, ...read }, inputs, wanted, this.setup, env))
    })
    this.#last = this.#seen.slots
    for (const action of this.#seen.actions) this.#decided.set(action.type, action)
    return this.#seen
  }

  tick(): Promise<Decision> {
    return this.turn({ type: 'tick' })
  }

  /** Time passes, then something rings. */
  after(ms: number): Promise<Decision> {
    this.now += ms
    return this.tick()
  }

  /** What a logout has emptied is made anew. */
  async shredded(): Promise<Decision> {
    await this.store.shred()
    return this.tick()
  }

  /** What is due at once is done. */
  async again(): Promise<Decision> {
    return (this.seen.wakeAt ?? Infinity) <= this.now ? this.tick() : this.seen
  }

  /** The worker dies, and another takes over. */
  restart(owner: string): Promise<Decision> {
    this.owner = owner
    this.#last = undefined
    return this.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: false })
  }

  async command(command: Change, epoch = ''): Promise<unknown> {
    const { replies } = await this.turn({ type: 'command', command, epoch })
    return replies[0]
  }

  enqueue(...keys: string[]): Promise<Decision> {
    const messages = keys.map((key) => ({ key, text: `text of ${key}` }))
    return this.turn({ type: 'command', command: { type: 'enqueue', messages }, epoch: '' })
  }

  /** What the last turn decided, of one kind. */
  find<T extends Action['type']>(type: T): ActionOf<T> | undefined {
    return this.seen.actions.find((action): action is ActionOf<T> => action.type === type)
  }

  the<T extends Action['type']>(type: T): ActionOf<T> {
    const action = this.find(type)
    if (action === undefined) throw new Error(`No ${type} among ${this.types().join(', ') || 'no actions'}.`)
    return action
  }

  /** The claim of the newest action of this kind, of whatever turn. */
  claimOf(
    type: 'ask' | 'open' | 'part' | 'make' | 'connect' | 'refresh' | 'send' | 'push' | 'mark' | 'backfill',
  ): Claim {
    const action = this.#decided.get(type)
    if (action === undefined || !('claim' in action)) throw new Error(`There has been no ${type}.`)
    return action.claim
  }

  types(): string[] {
    return this.seen.actions.map(({ type }) => type)
  }

  entries(): Promise<readonly Entry[]> {
    return this.store.entries(100_000)
  }

  async keys(): Promise<string[]> {
    return (await this.entries()).map(({ key }) => key)
  }

  generation(): number {
    return this.slots.lease.generation
  }

  opened(change: Partial<Opened> = {}, lifetimeMs?: number): Promise<Decision> {
    const claim = this.claimOf('open')
    const value = { opened: opening(change), grant: grant(this.now, lifetimeMs) }
    return this.turn({ type: 'opened', claim, outcome: { ok: true, value }, generation: this.generation() })
  }

  openFailed(outcome: Outcome<never> & { ok: false }): Promise<Decision> {
    return this.turn({ type: 'opened', claim: this.claimOf('open'), outcome, generation: this.generation() })
  }

  made(id = 'c1', attributes = {}, change: Partial<Conversation> = {}): Promise<Decision> {
    const claim = this.claimOf('make')
    const value = { conversation: conversation(id, change), attributes, version: 1 }
    return this.turn({ type: 'made', claim, outcome: { ok: true, value }, generation: this.generation() })
  }

  heard(report: StreamReport, conversationId = 'c1'): Promise<Decision> {
    return this.turn({ type: 'stream', report, generation: this.generation(), conversationId })
  }

  connected(headSeq = 0, conversationId = 'c1'): Promise<Decision> {
    return this.heard({ type: 'opened', claim: this.claimOf('connect'), headSeq }, conversationId)
  }

  /** A tab comes, and everything goes well. */
  async live(): Promise<this> {
    await this.turn({ type: 'started' }, { type: 'tabs', count: 1, isArrival: true })
    await this.opened()
    await this.made()
    await this.connected()
    return this
  }

  ack(key: string, seq: number, conversationId = 'c1'): Input {
    const generation = this.generation()
    return { type: 'acked', key, conversationId, id: `m${seq}`, seq, at: this.now, generation }
  }

  sent(lane: string, claim: Claim, outcome: Outcome<null> = { ok: true, value: null }, generation?: number): Input {
    const conversationId = this.slots.session.conversation?.id ?? ''
    return { type: 'sent', lane, claim, outcome, generation: generation ?? this.generation(), conversationId }
  }
}
