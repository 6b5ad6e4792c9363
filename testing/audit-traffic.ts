// The part of the judge that looks at the network: what was asked when and with which token, and what the service made of
// it. What visitors see and what is stored is judged in audit.ts.

import type { Family } from '../server/session.ts'
import type { Caller, Traffic } from './network.ts'
import type { SimService } from './sim-service.ts'
import { type Access, SECRET_MARK, type ServiceEvents } from './sim-tokens.ts'
import type { World } from './world.ts'

/** After so many findings the rest says nothing new. */
const FINDINGS_MAX = 12
/** What was under way when an identity ended may take so long to end, too. */
const FAREWELL_MS = 20_000
/** A page that sleeps in the middle of a run hears of a logout in another page when it wakes. */
const PAGE_FAREWELL_MS = 120_000
/** A worker that dies so soon after an answer may not have stored it. */
const STORED_MS = 2_000
/** A try is given up after about 15 s. */
const LATE_MS = 14_000

export class TrafficAuditor implements ServiceEvents, Traffic {
  readonly world: World
  readonly findings: string[] = []
  service!: SimService
  /** What was stored without the strict promise may have been forgotten. */
  hasLostPower = false
  /** Nobody can say when a wish of the service is over. */
  hasClockJumped = false
  readonly usedSessions = new Set<string>()
  readonly #endedSessions = new Map<string, number>()
  readonly #refreshKeys = new Map<string, Set<string>>()
  readonly #floors = new Map<string, { at: number; by: Caller; toldAt: number; sessionId: string | undefined }>()
  /** Since then somebody else may be here, to whom it was not said. */
  #forgottenAt = 0
  readonly #last = new Map<string, { at: number; sessionId: string | undefined }>()

  readonly #farewellMs: number

  /** @param isPageHost each page runs the engine */
  constructor(world: World, isPageHost = false) {
    this.world = world
    this.#farewellMs = isPageHost ? PAGE_FAREWELL_MS : FAREWELL_MS
  }

  finding(text: string): void {
    const rule = text.split(':')[0]
    if (this.findings.length >= FINDINGS_MAX || this.findings.some((known) => known.split(':')[0] === rule)) return
    this.findings.push(text)
    this.world.note(`FINDING ${text}`)
  }

  /** The identity of this session has signed out. */
  ended(sessionId: string): void {
    this.#endedSessions.set(sessionId, this.world.now)
  }

  watch(): () => readonly string[] {
    const ended = this.#endedSessions.size
    const used = this.usedSessions.size
    return () => {
      if (this.#endedSessions.size === ended) return []
      return this.usedSessions.size > used ? ['answered to the next identity'] : ['answered behind a logout']
    }
  }

  forgetWishes(): void {
    this.#forgottenAt = this.world.now
    this.#floors.clear()
  }

  asked(path: string, bearer: string | undefined): void {
    const sessionId = bearer === undefined ? undefined : this.service.sessionOf(bearer)
    if (bearer !== undefined && !bearer.startsWith(SECRET_MARK))
      this.finding(`placeholder: ${path} was asked with a token that nobody has issued`)
    this.#last.set(path, { at: this.world.now, sessionId })
    const floor = this.#floors.get(path)
    // Whoever comes next owes nothing to what the service wished of the one before.
    const isKnown =
      floor?.sessionId === sessionId &&
      floor !== undefined &&
      (floor.by.isAlive || this.world.now - floor.toldAt > STORED_MS)
    if (isKnown && this.world.now < floor.at - 50 && !this.hasClockJumped && !this.hasLostPower) {
      this.finding(`hurry: ${path} was asked ${Math.round(floor.at - this.world.now)} ms before its Retry-After`)
    }
    const endedAt = this.#endedSessions.get(sessionId ?? '')
    if (endedAt !== undefined && this.world.now > endedAt + this.#farewellMs && !path.includes('/revoke')) {
      this.finding(`former: ${path} was asked with a token of an identity that has signed out`)
    }
  }

  told(path: string, retryAfterMs: number, by: Caller, askedAt: number): void {
    const { now } = this.world
    // A late answer, to a try that another has taken the place of or takes it just now, is not heard any more.
    const last = this.#last.get(path)
    // Nor is a poll, when a socket has taken over.
    if (path.includes('/stream/poll')) return
    // And a site that signs its visitor in once more asks for something new.
    if (path.includes('/auth/authenticate')) return
    if (askedAt !== last?.at || now - askedAt > LATE_MS || askedAt < this.#forgottenAt) return
    this.#floors.set(path, { at: now + retryAfterMs, by, toldAt: now, sessionId: last.sessionId })
    by.whenDead(() => {
      if (this.world.now - now < STORED_MS) this.#floors.delete(path)
    })
  }

  doubled(by: Caller, other: Caller): void {
    this.finding(`pump: ${by.name} opened a connection beside that of ${other.name}`)
  }

  rotation({ familyId, from, key, via, verdict }: Parameters<ServiceEvents['rotation']>[0]): void {
    this.world.note(`family ${familyId} generation ${from} by ${via}: ${verdict}`)
    const isGranted = verdict === 'rotated' || verdict === 'replayed'
    if (via !== 'refresh' || !isGranted || this.hasLostPower) return
    const name = `${familyId}.${from}`
    const keys = this.#refreshKeys.get(name) ?? new Set()
    this.#refreshKeys.set(name, keys.add(key))
    if (keys.size > 1) this.finding(`refresh: generation ${from} of ${familyId} was refreshed under ${keys.size} keys`)
  }

  revoked(family: Family): void {
    if (family.revokeReason === 'reuse') this.finding(`revoked: family ${family.id}, and nobody had stolen anything`)
  }

  used({ sessionId }: Access): void {
    if (!this.usedSessions.has(sessionId)) this.forgetWishes()
    this.usedSessions.add(sessionId)
  }
}
