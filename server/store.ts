// The store of the session service: one object over one driver. Plain SQL in one portable subset; each
// table family has its file, and what is decided is decided in session.ts.
import type { ObjectStore } from './attachments.ts'
import type { Driver } from './drivers/driver.ts'
import { migrate } from './schema.ts'
import type { EpochMs } from './session.ts'
import { AttachmentStore } from './store-attachments.ts'
import { ContextStore } from './store-context.ts'
import { ConversationStore } from './store-conversations.ts'
import { SharedReads } from './shared-reads.ts'
import { ConversationStarter } from './store-create.ts'
import { IdentityStore } from './store-identity.ts'
import { LeaseStore } from './store-leases.ts'
import { MarkStore } from './store-marks.ts'
import { MessageStore } from './store-messages.ts'
import { sqlObjects } from './store-objects.ts'
import { PushStore } from './store-pushes.ts'
import { purge } from './store-purge.ts'
import { SessionStore } from './store-sessions.ts'
import { SharedStore } from './store-shared.ts'

export type StoreLimits = {
  /** Sliding life of sessions and families. */
  sessionMs: number
  /** A conversation without a word or change for this long expires. */
  idleMs: number
  /** An ended conversation is archived after this long. */
  archiveMs: number
  /** What ended is removed after this long. Default: never. */
  purgeMs?: number
  /** Deployments whose state snapshots are pushed somewhere. */
  pushing?: ReadonlySet<string>
}

/** Who asks whether the store is ready is not kept waiting longer, in milliseconds. */
const READY_MS = 2000

export class SqlStore {
  readonly sessions: SessionStore
  readonly identities: IdentityStore
  readonly starter: ConversationStarter
  readonly conversations: ConversationStore
  readonly messages: MessageStore
  readonly marks: MarkStore
  readonly attachments: AttachmentStore
  /** For the bytes of attachments, where nothing else is meant for them. */
  readonly objects: ObjectStore
  readonly contexts: ContextStore
  readonly leases: LeaseStore
  readonly pushes: PushStore
  readonly shared: SharedStore
  readonly reads = new SharedReads()
  readonly #driver: Driver
  readonly #limits: StoreLimits

  /** Takes over the driver and brings its tables up to date. */
  static async open(driver: Driver, limits: StoreLimits): Promise<SqlStore> {
    await migrate(driver)
    return new SqlStore(driver, limits)
  }

  private constructor(driver: Driver, limits: StoreLimits) {
    this.#driver = driver
    this.#limits = limits
    this.pushes = new PushStore(driver, limits.pushing ?? new Set())
    this.sessions = new SessionStore(driver, limits.sessionMs, this.pushes)
    this.identities = new IdentityStore(driver, limits.sessionMs, this.pushes)
    this.starter = new ConversationStarter(driver)
    this.conversations = new ConversationStore(driver, this.pushes)
    this.messages = new MessageStore(driver)
    this.marks = new MarkStore(driver)
    this.attachments = new AttachmentStore(driver)
    this.objects = sqlObjects(driver)
    this.leases = new LeaseStore(driver)
    this.contexts = new ContextStore(driver)
    this.shared = new SharedStore(driver)
  }

  /** Does what time asks for; returns the conversations that changed. */
  async sweep(now: EpochMs, objects: ObjectStore = this.objects): Promise<string[]> {
    await this.sessions.lapse(now)
    const { purgeMs } = this.#limits
    await this.attachments.sweep(now, objects)
    if (purgeMs !== undefined) await purge(this.#driver, now - purgeMs, objects)
    return this.conversations.sweep(now, this.#limits)
  }

  /** Whether the store answers. */
  async isReady(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error('late')), READY_MS)
      })
      await Promise.race([this.#driver.q('select 1 as one'), late])
      return true
    } catch {
      // Not ready is the answer; the request that needs the store reports why.
      return false
    } finally {
      clearTimeout(timer)
    }
  }

  async backup(file: string): Promise<void> {
    if (this.#driver.backup === undefined) throw new TypeError('This database is backed up with its own tools.')
    await this.#driver.backup(file)
  }

  get version(): string {
    return this.#driver.version
  }

  close(): Promise<void> {
    return this.#driver.close()
  }
}
