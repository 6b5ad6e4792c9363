// State snapshots on their way to a site's own store: noted in the transaction of the event, so that a restart
// loses none, claimed one try at a time, and kept as dead letters when the tries are used up.
import type { Driver, Query, Row } from './drivers/driver.ts'
import { SESSION_COLUMNS, toSession } from './rows.ts'
import type { EpochMs } from './session.ts'
import { type Full, full } from './store-conversations.ts'

/** Tries before a push is a dead letter. */
export const PUSH_TRIES_MAX = 3
/** A try that was claimed and not heard of again, its node perhaps killed, is due again after this long. */
const CLAIM_MS = 30_000
/** Pauses after the first and the second try. */
const BACKOFF_MS = [2000, 10_000] as const

export type LifecycleEvent = 'form-submitted' | 'handed-over' | 'idle' | 'closed'
export type Push = {
  id: string
  deploymentId: string
  sessionId: string
  conversationId: string | null
  event: LifecycleEvent
  createdAt: EpochMs
  /** Tries made, the one that was just claimed included. */
  attempts: number
  reason: string | null
}
type Noted = Pick<Push, 'deploymentId' | 'sessionId' | 'conversationId' | 'event'>

const COLUMNS = 'id, deployment_id, session_id, conversation_id, event, created_at, attempts, reason'

export class PushStore {
  readonly #driver: Driver
  readonly #deployments: ReadonlySet<string>

  /** @param deployments those whose snapshots go somewhere */
  constructor(driver: Driver, deployments: ReadonlySet<string>) {
    this.#driver = driver
    this.#deployments = deployments
  }

  /** Notes a push within the transaction of what happened. The mark tells one event from the next of its kind. */
  async note(q: Query, push: Noted, mark: number, now: EpochMs): Promise<void> {
    if (!this.#deployments.has(push.deploymentId)) return
    await q(
      `insert into snapshot_push (id, deployment_id, session_id, conversation_id, event, created_at, due_at, attempts, state)
       values ($1, $2, $3, $4, $5, $6, $6, 0, 'waiting') on conflict (id) do nothing`,
      [
        `${push.conversationId ?? push.sessionId}.${push.event}.${mark}`,
        push.deploymentId,
        push.sessionId,
        push.conversationId,
        push.event,
        now,
      ],
    )
  }

  /** Takes what is due for one try each. What has used up its tries without a word is a dead letter. */
  async claim(now: EpochMs, limit: number): Promise<{ due: Push[]; dead: Push[] }> {
    return this.#driver.tx(async (q) => {
      const found = await q(
        `select id, due_at, attempts from snapshot_push where state = 'waiting' and due_at <= $1 order by due_at limit $2`,
        [now, limit],
      )
      const taken: { due: Push[]; dead: Push[] } = { due: [], dead: [] }
      for (const row of found) {
        const isSpent = (row['attempts'] as number) >= PUSH_TRIES_MAX
        // The old instant is the condition: of two nodes that saw the same row only one takes it.
        const rows = await q(
          isSpent
            ? `update snapshot_push set state = 'dead', reason = 'interrupted', due_at = $3
               where id = $1 and due_at = $2 returning ${COLUMNS}`
            : `update snapshot_push set attempts = attempts + 1, due_at = $3
               where id = $1 and due_at = $2 returning ${COLUMNS}`,
          [row['id'] ?? null, row['due_at'] ?? null, now + CLAIM_MS],
        )
        for (const one of rows) taken[isSpent ? 'dead' : 'due'].push(toPush(one))
      }
      return taken
    })
  }

  async delivered(id: string): Promise<void> {
    await this.#driver.tx((q) => q('delete from snapshot_push where id = $1', [id]))
  }

  /** A try failed. Returns whether that was the last. */
  async failed(push: Push, reason: string, now: EpochMs): Promise<'waiting' | 'dead'> {
    const state = push.attempts >= PUSH_TRIES_MAX ? 'dead' : 'waiting'
    const dueAt = now + (BACKOFF_MS[push.attempts - 1] ?? 0)
    await this.#driver.tx((q) =>
      q('update snapshot_push set state = $2, reason = $3, due_at = $4 where id = $1', [push.id, state, reason, dueAt]),
    )
    return state
  }

  async deadLetters(deploymentId: string, limit: number): Promise<Push[]> {
    const rows = await this.#driver.q(
      `select ${COLUMNS} from snapshot_push where deployment_id = $1 and state = 'dead' order by created_at, id limit $2`,
      [deploymentId, limit],
    )
    return rows.map(toPush)
  }

  /** Gives a dead letter its tries again. False where there is none of this id. */
  async revive(deploymentId: string, id: string, now: EpochMs): Promise<boolean> {
    const rows = await this.#driver.tx((q) =>
      q(
        `update snapshot_push set state = 'waiting', attempts = 0, due_at = $3
         where deployment_id = $1 and id = $2 and state = 'dead' returning id`,
        [deploymentId, id, now],
      ),
    )
    return rows.length > 0
  }

  /** The state as it is now, which is what a site wants to have. */
  async stateOf(
    push: Push,
  ): Promise<{ userId: string | null; conversation: Full | undefined; stateSnapshot: unknown }> {
    const rows = await this.#driver.q(`select ${SESSION_COLUMNS}, snapshot from session where id = $1`, [
      push.sessionId,
    ])
    const snapshot = rows[0]?.['snapshot']
    return {
      userId: rows[0] === undefined ? null : toSession(rows[0]).userId,
      conversation: push.conversationId === null ? undefined : await full(this.#driver.q, push.conversationId),
      stateSnapshot: typeof snapshot === 'string' ? (JSON.parse(snapshot) as unknown) : null,
    }
  }
}

function toPush(row: Row): Push {
  return {
    id: row['id'] as string,
    deploymentId: row['deployment_id'] as string,
    sessionId: row['session_id'] as string,
    conversationId: row['conversation_id'] as string | null,
    event: row['event'] as LifecycleEvent,
    createdAt: row['created_at'] as number,
    attempts: row['attempts'] as number,
    reason: row['reason'] as string | null,
  }
}
