// One session of the emulated service: who it is, what was said in it, and who listens.

import type { GenesysConnection } from './genesys-connection.ts'
import { Bucket, type GenesysDeps, type GenesysEntity, type GenesysSettings } from './genesys-rules.ts'

export class GenesysSession {
  /** A name for tests and consoles: the token is a secret. */
  readonly id: string
  user: string | undefined
  isReadOnly = false
  expiresAt = 0
  log: GenesysEntity[] = []
  attributes: { [name: string]: string } = {}
  /** How often attributes came along. */
  carried = 0
  readonly connections = new Set<GenesysConnection>()
  /** Told of everything that is kept. */
  onAdd: (entity: GenesysEntity) => void = () => {}
  readonly messages: Bucket
  readonly configures: Bucket
  readonly configureBurst: Bucket
  readonly histories: Bucket
  readonly #deps: GenesysDeps
  readonly #settings: GenesysSettings

  constructor(deps: GenesysDeps, settings: GenesysSettings) {
    const { limits } = settings
    const now = deps.now()
    this.#deps = deps
    this.#settings = settings
    this.id = deps.uuid()
    this.messages = new Bucket(limits.messagesPerSession, now)
    this.configures = new Bucket(limits.configuresPerSession, now)
    this.configureBurst = new Bucket(limits.configureBurst, now)
    this.histories = new Bucket(limits.historyPerSession, now)
    this.touch()
  }

  /** Each message, either way, restarts the duration. */
  touch(): void {
    this.expiresAt = this.#deps.now() + this.#settings.durationSeconds * 1_000
  }

  get isExpired(): boolean {
    return this.#deps.now() >= this.expiresAt
  }

  /** The conversation begins anew under the same token. */
  restart(): void {
    this.log = []
    this.attributes = {}
    this.isReadOnly = false
    this.touch()
  }

  /** Keeps it and tells everybody; `without` has been told otherwise, or shall not be. */
  add(entity: GenesysEntity, without?: GenesysConnection): void {
    this.log.push(entity)
    this.onAdd(entity)
    this.touch()
    this.tell(frameOf(entity), without)
  }

  tell(frame: object, without?: GenesysConnection): void {
    for (const connection of [...this.connections]) if (connection !== without) connection.say(frame)
  }

  endAll(frame: object, except?: GenesysConnection): void {
    for (const connection of [...this.connections]) {
      if (connection === except) continue
      connection.say(frame)
      connection.cut(1_000, '')
    }
  }

  /** Only what people said; typing is never kept. */
  entity(parts: Omit<GenesysEntity, 'id' | 'channel'>): GenesysEntity {
    const { now, uuid } = this.#deps
    const time = new Date(now()).toISOString()
    const id = uuid().replaceAll('-', '')
    return { ...parts, id, channel: { time, messageId: uuid(), type: 'Private' } }
  }
}

export function frameOf({ tracingId, ...body }: GenesysEntity): object {
  return { type: 'message', class: 'StructuredMessage', code: 200, body, ...(tracingId && { tracingId }) }
}
