// Pushes state snapshots to the sites' own stores: a client-credentials token that is fetched in time, five
// seconds per try, and no visitor who waits for any of it. What is due is in store-pushes.ts.
import { errorFields, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { EpochMs } from './session.ts'
import type { DeploymentOptions, SnapshotOptions } from './settings.ts'
import type { Push, PushStore } from './store-pushes.ts'
import { conversationWire } from './wire.ts'

/** One try, its token included, takes no longer. */
export const PUSH_TIMEOUT_MS = 5000
const PUSHES_AT_ONCE = 8
/** A token is fetched anew this long before its end, or at a quarter of its life if that is less. */
const TOKEN_MARGIN_MS = 5 * 60_000
const TOKEN_LIFE_DEFAULT_S = 300

class PushError extends Error {}

type Held = { token: string; renewAt: EpochMs }
type Setup = {
  store: PushStore
  deployments: ReadonlyMap<string, DeploymentOptions>
  metrics: Metrics
  log: Log
  now: () => EpochMs
}

export class SnapshotPusher {
  readonly #setup: Setup
  readonly #held = new Map<string, Promise<Held>>()
  readonly #isIdle: boolean
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined

  constructor(setup: Setup) {
    this.#setup = setup
    const all = [...setup.deployments.values()].flatMap(({ snapshots }) => snapshots ?? [])
    this.#isIdle = all.length === 0
    for (const { url, tokenUrl, clientId, clientSecret } of all) {
      if (!URL.canParse(url) || !URL.canParse(tokenUrl) || !clientId || !clientSecret) {
        throw new TypeError('Snapshots need url, tokenUrl, clientId and clientSecret.')
      }
    }
  }

  /** Looks for what is due, unless it still works on what was. Called about once a second. */
  tick(): void {
    if (this.#isIdle || this.#closing.signal.aborted || this.#running !== undefined) return
    this.#running = this.#run()
      .catch((error: unknown) => this.#setup.log('error', 'snapshot-push-failed', errorFields(error)))
      .finally(() => {
        this.#running = undefined
      })
  }

  /** A try that is cut off here is made again after the next start: everything is on the disk. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { store, now } = this.#setup
    while (!this.#closing.signal.aborted) {
      const { due, dead } = await store.claim(now(), PUSHES_AT_ONCE)
      for (const push of dead) this.#bury(push, 'interrupted')
      await Promise.all(due.map((push) => this.#try(push)))
      if (due.length + dead.length === 0) return
    }
  }

  async #try(push: Push): Promise<void> {
    const { store, deployments, metrics, now } = this.#setup
    const options = deployments.get(push.deploymentId)?.snapshots
    try {
      if (options === undefined) throw new PushError('not-configured')
      const signal = AbortSignal.any([AbortSignal.timeout(PUSH_TIMEOUT_MS), this.#closing.signal])
      await this.#send(push, options, signal)
      await store.delivered(push.id)
      metrics.count('snapshot_pushes')
    } catch (error) {
      if (this.#closing.signal.aborted) return
      const reason = reasonOf(error)
      metrics.count('snapshot_push_failures')
      if ((await store.failed(push, reason, now())) === 'dead') this.#bury(push, reason)
    }
  }

  #bury({ id, deploymentId, event }: Push, reason: string): void {
    this.#setup.metrics.count('snapshot_pushes_dead')
    this.#setup.log('error', 'snapshot-push-dead', { id, deploymentId, lifecycleEvent: event, reason })
  }

  async #send(push: Push, options: SnapshotOptions, signal: AbortSignal): Promise<void> {
    const { userId, conversation, stateSnapshot } = await this.#setup.store.stateOf(push)
    const body = JSON.stringify({
      id: push.id,
      event: push.event,
      at: push.createdAt,
      deploymentId: push.deploymentId,
      persistentSessionId: push.sessionId,
      conversationId: push.conversationId,
      ...(userId !== null && { userId: userId.slice(2) }),
      conversation: conversation === undefined ? null : conversationWire(conversation),
      stateSnapshot,
    })
    const post = async () => {
      const { token } = await this.#token(push.deploymentId, options, signal)
      const headers = {
        Authorization: `Bearer ${token}`,
        'Content-Type': 'application/json',
        'Idempotency-Key': push.id,
      }
      const response = await fetch(options.url, { method: 'POST', headers, body, signal, redirect: 'error' })
      await response.body?.cancel()
      return response
    }
    let response = await post()
    if (response.status === 401) {
      // Called back early, or another clock: a new token, once, within the same try.
      this.#held.delete(push.deploymentId)
      response = await post()
    }
    if (!response.ok) throw new PushError(`http-${response.status}`)
  }

  async #token(deploymentId: string, options: SnapshotOptions, signal: AbortSignal): Promise<Held> {
    const held = this.#held.get(deploymentId)
    if (held !== undefined && this.#setup.now() < (await held).renewAt) return held
    if (this.#held.get(deploymentId) !== held) return this.#token(deploymentId, options, signal)
    const fetched = fetchToken(options, signal, this.#setup.now())
    this.#held.set(deploymentId, fetched)
    fetched.catch(() => {
      if (this.#held.get(deploymentId) === fetched) this.#held.delete(deploymentId)
    })
    return fetched
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4 */
async function fetchToken(options: SnapshotOptions, signal: AbortSignal, now: EpochMs): Promise<Held> {
  const { tokenUrl, clientId, clientSecret, scope } = options
  const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
  const response = await fetch(tokenUrl, {
    method: 'POST',
    headers: { Authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== undefined && { scope }) }),
    signal,
    redirect: 'error',
  })
  if (!response.ok) throw new PushError(`token-http-${response.status}`)
  const { access_token: token, expires_in } = Object(await response.json().catch(() => null)) as Record<string, unknown>
  if (typeof token !== 'string' || token === '') throw new PushError('token-unreadable')
  const lifeMs = (Number(expires_in) > 0 ? Number(expires_in) : TOKEN_LIFE_DEFAULT_S) * 1000
  return { token, renewAt: now + lifeMs - Math.min(TOKEN_MARGIN_MS, lifeMs / 4) }
}

/** A short word for operators; the error's own text may quote an address with a secret in it. */
function reasonOf(error: unknown): string {
  if (error instanceof PushError) return error.message
  const { name } = Object(error) as { name?: unknown }
  return name === 'TimeoutError' || name === 'AbortError' ? 'timeout' : 'unreachable'
}
