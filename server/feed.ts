// One listener's view of its conversations: where it stands, and the pump that reads from the tables what
// lies above and hands it on in order. Sockets and long polls are both sinks of a feed.
import type { Hint } from './fanout/fanout.ts'
import type { Message } from './rows.ts'
import type { ServerFrame } from './schemas.ts'
import type { Caller, EpochMs } from './session.ts'
import type { SqlStore } from './store.ts'
import { conversationWire, messageFrame } from './wire.ts'

/** Messages read at once; between pages the sink may say that it is full. */
export const FEED_PAGE = 100

export interface Sink {
  send(frame: ServerFrame): void
  /** Resolves when more may be sent, at once where nothing is in the way. */
  drained(): Promise<void>
  /** Everything known so far has been sent. */
  idle(): void
  /** The tables did not answer; the listener has to come back. */
  failed(error: unknown): void
}

type Place = {
  /** Last seq and version sent; null until the start of a conversation met by hint has been looked up. */
  seq: number | null
  version: number
  wantedSeq: number
  wantedVersion: number
  isPumping: boolean
}

export class Feed {
  readonly caller: Caller
  /** Null: all conversations of the caller's deployment. */
  readonly conversationId: string | null
  readonly id: string
  readonly #store: SqlStore
  readonly #sink: Sink
  readonly #since: EpochMs
  readonly #places = new Map<string, Place>()
  #isClosed = false

  constructor(id: string, caller: Caller, conversationId: string | null, store: SqlStore, sink: Sink, since: EpochMs) {
    this.id = id
    this.caller = caller
    this.conversationId = conversationId
    this.#store = store
    this.#sink = sink
    this.#since = since
  }

  /** Begins one conversation above a place; what came since is sent before anything newer. */
  start(at: { seq: number; version: number }, present: { seq: number; version: number }): Promise<void> {
    if (this.conversationId === null) return Promise.resolve()
    const place = this.#place(this.conversationId)
    place.seq = at.seq
    place.version = at.version
    return this.#want(this.conversationId, place, present)
  }

  /** Something may be new. The frame that came along is passed on; everything else is read from the tables. */
  wake(hint: Hint): void {
    if (this.#isClosed) return
    if (hint.frame !== undefined && hint.from !== this.id) this.#sink.send(hint.frame)
    void this.#want(hint.conversationId, this.#place(hint.conversationId), hint)
  }

  close(): void {
    this.#isClosed = true
  }

  #place(conversationId: string): Place {
    let place = this.#places.get(conversationId)
    if (place === undefined) {
      place = { seq: null, version: 0, wantedSeq: 0, wantedVersion: 0, isPumping: false }
      this.#places.set(conversationId, place)
    }
    return place
  }

  async #want(conversationId: string, place: Place, wanted: { seq: number; version: number }): Promise<void> {
    place.wantedSeq = Math.max(place.wantedSeq, wanted.seq)
    place.wantedVersion = Math.max(place.wantedVersion, wanted.version)
    // Until `start` has named the place, a feed of one conversation only notes what it will have to reach.
    if (place.isPumping || (place.seq === null && this.conversationId !== null)) return
    place.isPumping = true
    try {
      await this.#pump(conversationId, place)
    } catch (error) {
      this.#sink.failed(error)
    } finally {
      place.isPumping = false
    }
    if (!this.#isClosed) this.#sink.idle()
  }

  async #pump(id: string, place: Place): Promise<void> {
    let seq = place.seq ?? (await this.#store.messages.seqBefore(id, this.#since))
    while (!this.#isClosed && (place.wantedSeq > seq || place.wantedVersion > place.version)) {
      if (place.wantedVersion > place.version) {
        const asked = place.wantedVersion
        const { conversations, reads } = this.#store
        const conversation = await reads.read(`state.${id}.${asked}`, () => conversations.full(id))
        if (conversation === undefined || this.#isClosed) return
        place.version = conversation.version
        // A hint that came while this was read may speak of something newer.
        if (place.wantedVersion === asked) place.wantedVersion = conversation.version
        this.#sink.send({ type: 'state', conversation: conversationWire(conversation) })
      }
      const asked = place.wantedSeq
      const page = asked > seq ? await this.#page(id, seq, asked) : []
      if (this.#isClosed) return
      for (const message of page) this.#sink.send(messageFrame(message, this.caller))
      seq = page.at(-1)?.seq ?? seq
      place.seq = seq
      // A hint may run ahead of what this node can read yet; the next one makes us look again.
      if (page.length === 0 && place.wantedSeq === asked) place.wantedSeq = seq
      if (page.length === FEED_PAGE) await this.#sink.drained()
    }
    place.seq = seq
  }

  /** The page above a place; `asked` is known to be there, and everybody who waits for it shares one read. */
  #page(id: string, seq: number, asked: number): Promise<Message[]> {
    const { messages, reads } = this.#store
    return reads.read(`page.${id}.${seq}.${asked}`, () => messages.after(id, seq, FEED_PAGE))
  }
}
