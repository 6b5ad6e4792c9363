// The feeds of this node, and who is to be woken by which hint. One hub per service. Where hints may have been
// lost, it asks the tables once how far everything is that somebody listens to here.
import type { Fanout, FamilyNotice, Hint, Notice } from './fanout/fanout.ts'
import type { Feed } from './feed.ts'
import type { LossyFrame } from './schemas.ts'
import type { Full } from './store-conversations.ts'

/** How far conversations are: those named, and those of deployments that changed since an instant. */
export type Positions = (conversationIds: readonly string[], deploymentIds: readonly string[]) => Promise<Hint[]>

export type HubSetup = {
  fanout: Fanout
  positions: Positions
  onFamily: (notice: FamilyNotice) => void
  onLookFailed: (error: unknown) => void
}

export class Hub {
  readonly #setup: HubSetup
  readonly #byConversation = new Map<string, Set<Feed>>()
  readonly #byDeployment = new Map<string, Set<Feed>>()
  readonly #bySession = new Map<string, Set<Feed>>()
  readonly #stop: () => void

  #looking: Promise<void> | undefined
  #mustLookAgain = false

  constructor(setup: HubSetup) {
    this.#setup = setup
    this.#stop = setup.fanout.subscribe(
      (notice) => this.#hear(notice),
      () => void this.lookAgain(),
    )
  }

  /** Returns the way to leave. */
  join(feed: Feed): () => void {
    const { caller, conversationId } = feed
    const leaves = [
      conversationId === null
        ? enlist(this.#byDeployment, caller.deploymentId, feed)
        : enlist(this.#byConversation, conversationId, feed),
    ]
    if (caller.role === 'customer') leaves.push(enlist(this.#bySession, caller.sessionId, feed))
    return () => {
      feed.close()
      for (const leave of leaves) leave()
    }
  }

  publish(notice: Notice): void {
    this.#setup.fanout.publish(notice)
  }

  /** Hints may have been lost: compares what is listened to with the tables. Calls that come meanwhile share one more. */
  lookAgain(): Promise<void> {
    this.#mustLookAgain = this.#looking !== undefined
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
      if (this.#mustLookAgain) void this.lookAgain()
    })
    return this.#looking
  }

  /** A conversation has changed; `frame` says what happened, for those who are there now. */
  changed(conversation: Full, frame?: LossyFrame): void {
    this.publish({
      conversationId: conversation.id,
      deploymentId: conversation.deploymentId,
      seq: conversation.lastSeq,
      version: conversation.version,
      ...(frame && { frame }),
    })
  }

  /** Whether a session is being listened to by another token family, which is another device. */
  isActiveElsewhere(sessionId: string, familyId: string): boolean {
    for (const { caller } of this.#bySession.get(sessionId) ?? []) {
      if (caller.role === 'customer' && caller.familyId !== familyId) return true
    }
    return false
  }

  get isConnected(): boolean {
    return this.#setup.fanout.isConnected
  }

  get feeds(): number {
    let count = 0
    for (const map of [this.#byConversation, this.#byDeployment]) for (const feeds of map.values()) count += feeds.size
    return count
  }

  async close(): Promise<void> {
    this.#stop()
    await this.#setup.fanout.close()
  }

  #hear(notice: Notice): void {
    if ('familyId' in notice) this.#setup.onFamily(notice)
    else this.#wake(notice)
  }

  #wake(hint: Hint): void {
    for (const feed of this.#byConversation.get(hint.conversationId) ?? []) feed.wake(hint)
    for (const feed of this.#byDeployment.get(hint.deploymentId) ?? []) feed.wake(hint)
  }

  async #look(): Promise<void> {
    const [conversations, deployments] = [[...this.#byConversation.keys()], [...this.#byDeployment.keys()]]
    try {
      for (const hint of await this.#setup.positions(conversations, deployments)) this.#wake(hint)
    } catch (error) {
      // The tables did not answer; the next look, seconds away, asks the same.
      this.#setup.onLookFailed(error)
    }
  }
}

function enlist(map: Map<string, Set<Feed>>, key: string, feed: Feed): () => void {
  const feeds = map.get(key) ?? new Set()
  map.set(key, feeds.add(feed))
  return () => {
    feeds.delete(feed)
    if (feeds.size === 0 && map.get(key) === feeds) map.delete(key)
  }
}
