// What a node does from time to time because it may not be alone: it looks for what a lost notice would have told
// it, and reads the keys again. The periods are those of service.ts.
import type { Hint } from './fanout/fanout.ts'
import type { KeySource } from './keys.ts'
import type { EpochMs } from './session.ts'
import type { SqlStore } from './store.ts'
import type { Tokens } from './tokens.ts'

/** Nodes' clocks may differ by this much, and a transaction may take so long to commit. */
const OVERLAP_MS = 60_000

export class Sharing {
  readonly #store: SqlStore
  readonly #now: () => EpochMs
  #lookedAt: EpochMs

  constructor(store: SqlStore, now: () => EpochMs) {
    this.#store = store
    this.#now = now
    this.#lookedAt = now()
  }

  /** How far everything is that somebody listens to here. */
  async positions(conversationIds: readonly string[], deploymentIds: readonly string[]): Promise<Hint[]> {
    const at = this.#now()
    const hints = await this.#store.shared.positions(conversationIds, deploymentIds, this.#lookedAt - OVERLAP_MS)
    this.#lookedAt = at
    return hints
  }

  /** The keys may have been renewed by another node or by hand. */
  async adoptKeys(keys: KeySource, tokens: Tokens): Promise<void> {
    await tokens.adopt(await keys.read())
  }
}
