// Ten thousand days of one visitor against a graceful issuer, in virtual time: the real lease machine, an issuer that
// answers a repeated key with the successor it has made, and a life full of kills, sleeps and losses.

import type { Env } from '../core/attempt.ts'
import { type Lease, NO_LEASE, plan, reduce } from '../core/lease.ts'
import { Dice } from '../testing/dice.ts'

const DAY_MS = 24 * 60 * 60_000
const LIFETIME_MS = 15 * 60_000
const STARTS_AT = 1_800_000_000_000

export interface Days {
  readonly days: number
  readonly rotations: number
  readonly generations: number
  readonly posts: number
  readonly lost: number
}

/** Rotates by key: the same token with the same key gets the same successor until that has been used. */
class Issuer {
  generation = 0
  rotations = 0
  #key = ''
  #isUsed = true

  refresh(token: string, key: string): { readonly token: string } | 'invalid_grant' {
    const presented = Number(token)
    if (presented === this.generation) {
      this.generation += 1
      this.rotations += 1
      this.#key = key
      this.#isUsed = false
    } else if (presented !== this.generation - 1 || key !== this.#key || this.#isUsed) return 'invalid_grant'
    return { token: `${this.generation}` }
  }

  use(token: string): void {
    if (Number(token) === this.generation) this.#isUsed = true
  }
}

export function simulateDays(days: number, seed = 1): Days {
  const dice = new Dice(seed)
  const issuer = new Issuer()
  let now = STARTS_AT
  let incarnation = 1
  let keys = 0
  let posts = 0
  let lost = 0
  let lease: Lease = NO_LEASE
  const env = (): Env => ({
    now,
    owner: `w${incarnation}`,
    pump: true,
    random: () => dice.draw(),
    key: () => `k${++keys}`,
  })
  const grant = (token: string) => ({
    access: { sealed: token },
    refresh: { sealed: token },
    expiresAt: now + LIFETIME_MS,
    lifetimeMs: LIFETIME_MS,
  })
  const begin = () => {
    lease = reduce(NO_LEASE, { type: 'granted', grant: grant(`${issuer.generation}`) }, env())
  }
  begin()
  const first = issuer.generation
  let generations = 0
  for (const end = STARTS_AT + days * DAY_MS; now < end; ) {
    const planned = plan(lease, env())
    lease = planned.state
    if (planned.action !== undefined) {
      const { claim, refresh } = planned.action
      const fate = dice.draw()
      posts += 1
      now += dice.between(20, 400)
      if (fate < 0.06) continue
      const answer = fate < 0.08 ? undefined : issuer.refresh(String(refresh?.sealed), claim.key)
      // Killed, or the laptop closed: nobody hears the answer, and the next life finds the attempt on the disk.
      if (fate < 0.2) {
        incarnation += 1
        now += dice.chance(0.3) ? dice.between(0, 12 * 60 * 60_000) : dice.between(0, 5_000)
        continue
      }
      if (fate < 0.24) lease = reduce(lease, { type: 'refresh-failed', claim }, env())
      else if (answer === 'invalid_grant') {
        lost += 1
        begin()
      } else if (answer !== undefined) {
        lease = reduce(lease, { type: 'refreshed', claim, grant: grant(answer.token) }, env())
        generations += 1
        if (dice.chance(0.9)) issuer.use(answer.token)
      }
      continue
    }
    // Asleep at night, and whenever the lid is closed; otherwise until something is due.
    now = dice.chance(0.1) ? now + dice.between(60_000, 8 * 60 * 60_000) : Math.max(planned.wakeAt ?? now, now + 1)
    if (dice.chance(0.05)) incarnation += 1
  }
  return { days, rotations: issuer.rotations - first, generations, posts, lost }
}
