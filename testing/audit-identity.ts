// The part of the judge that looks at identities: nothing of a former one is ever shown, stored or sent. What a visitor
// wrote is known from outside; whose a session is, by who was shown it first.

import type { Snapshot } from '../core/wire.ts'
import { TrafficAuditor } from './audit-traffic.ts'
import type { Disk } from './sim-store.ts'

/** What was written, and by whom. */
interface Written {
  readonly text: string
  readonly epoch: string
}

interface Wished {
  readonly name: string
  readonly value: string | null
  readonly epoch: string
}

export abstract class IdentityAuditor extends TrafficAuditor {
  abstract readonly wishes: readonly Wished[]
  abstract readonly sent: ReadonlyMap<string, Written>
  disk!: Disk
  /** The identity that was shown each session first. */
  readonly #owners = new Map<string, string>()
  /** The user that each identity has signed in as. */
  readonly #users = new Map<string, string>()

  /** Attributes that only somebody else has set. */
  #strange(values: object, epoch: string): string[] {
    return Object.entries(values).flatMap(([name, value]) => {
      const wishes = this.wishes.filter((wish) => wish.name === name && wish.value === value)
      return wishes.length > 0 && wishes.every((wish) => wish.epoch !== epoch) ? `${name}=${value}` : []
    })
  }

  judgeShown(tab: string, { session, epoch, context }: Snapshot): void {
    const [strange] = this.#strange(context, epoch)
    if (strange !== undefined) this.finding(`identity: tab ${tab} shows ${strange} to another identity`)
    if (session === null) return
    const owner = this.#owners.get(session.id) ?? epoch
    this.#owners.set(session.id, owner)
    if (owner !== epoch) this.finding(`identity: session ${session.id} goes on as another identity`)
    // While a sign-in is under way the service may know more than the tab shows.
    const now = session.authenticated ? this.service.sessions.get(session.id)?.userId : undefined
    const user = this.#users.get(epoch) ?? now
    if (user !== undefined) this.#users.set(epoch, user)
    if (now !== undefined && now !== user) this.finding(`identity: two users are one identity in tab ${tab}`)
  }

  judgeStored(): void {
    const { slots } = this.disk
    if (slots === undefined) return
    const { epoch } = slots.session
    const count = this.disk.strangers()
    if (count > 0) this.finding(`stored: ${count} records of another identity are on the disk`)
    const [strange] = this.#strange({ ...slots.context.values, ...slots.context.dirty }, epoch)
    if (strange !== undefined) this.finding(`stored: ${strange} of another identity is on the disk`)
  }

  /** Whatever the service has in a session was said there by whoever that session is of. */
  judgeServed(): void {
    for (const { sessionId, log, attributes } of this.service.conversations.values()) {
      const owner = this.#owners.get(sessionId)
      if (owner === undefined) continue
      const [strange] = this.#strange(attributes, owner)
      if (strange !== undefined) this.finding(`served: ${strange} was told to the service as another identity`)
      for (const { key } of log) {
        const written = this.sent.get(key ?? '')
        if (written !== undefined && written.epoch !== owner)
          this.finding(`served: ${written.text} was sent as another identity`)
      }
    }
  }
}
