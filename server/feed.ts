// One listener's view of its conversations: where it stands, and the pump that reads from the tables what
// lies above and hands it on in order. Sockets and long polls are both sinks of a feed.
import type { Hint } from './fanout/fanout.ts'
import type { Conversation, Message } from './rows.ts'
import type { ServerFrame } from './schemas.ts'
import type { Caller, EpochMs } from './session.ts'
import { placeOf } from './session-marks.ts'
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

/** How far a conversation is: its messages, its state and its marks. */
export type Position = { seq: number; version: number; marks: number }

export const positionOf = ({ lastSeq: seq, version, marks }: Conversation): Position => ({
  seq,
  version,
  marks: placeOf(marks),
})

type Place = {
  /** What was sent last; null until the start of a conversation met by hint has been looked up. */
  seq: number | null
  version: number
  marks: number
  wantedSeq: number
  wantedVersion: number
  wantedMarks: number
  isPumping: boolean
}

const isBehind = (place: Place, seq: number): boolean =>
  place.wantedSeq > seq || place.wantedVersion > place.version || place.wantedMarks > place.marks

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
  start(at: Position, present: Position): Promise<void> {
    if (this.conversationId === null) return Promise.resolve()
    const place = this.#place(this.conversationId)
    place.seq = at.seq
    place.version = at.version
    place.marks = at.marks
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
      place = { seq: null, version: 0, marks: 0, wantedSeq: 0, wantedVersion: 0, wantedMarks: 0, isPumping: false }
      this.#places.set(conversationId, place)
    }
    return place
  }

  async #want(
    conversationId: string,
    place: Place,
    { seq, version, marks = 0 }: Partial<Position> & Omit<Position, 'marks'>,
  ): Promise<void> {
    place.wantedSeq = Math.max(place.wantedSeq, seq)
    place.wantedVersion = Math.max(place.wantedVersion, version)
    place.wantedMarks = Math.max(place.wantedMarks, marks)
    // Until `start` has named the place, a feed of one conversation only notes what it will have to reach.
    if (place.isPumping || (place.seq === null && this.conversationId !== null)) return
    place.isPumping = true
    try {
      // A hint that comes while a round is ending finds us still at work.
      while ((await this.#pump(conversationId, place)) && isBehind(place, place.seq ?? 0));
    } catch (error) {
      this.#sink.failed(error)
    } finally {
      place.isPumping = false
    }
    if (!this.#isClosed) this.#sink.idle()
  }

  /** Says whether everything that was asked for has been told: nothing is told of what is gone. */
  async #pump(id: string, place: Place): Promise<boolean> {
    let seq = place.seq ?? (await this.#store.messages.seqBefore(id, this.#since))
    while (!this.#isClosed && isBehind(place, seq)) {
      if (place.wantedVersion > place.version) {
        const asked = place.wantedVersion
        const { conversations, reads } = this.#store
        const conversation = await reads.read(`state.${id}.${asked}`, () => conversations.full(id))
        if (conversation === undefined || this.#isClosed) return false
        place.version = conversation.version
        // A hint that came while this was read may speak of something newer.
        if (place.wantedVersion === asked) place.wantedVersion = conversation.version
        this.#sink.send({ type: 'state', conversation: conversationWire(conversation) })
      }
      const asked = place.wantedSeq
      const page = asked > seq ? await this.#page(id, seq, asked) : []
      if (this.#isClosed) return false
      for (const message of page) this.#sink.send(messageFrame(message, this.caller))
      seq = page.at(-1)?.seq ?? seq
      place.seq = seq
      // A hint may run ahead of what this node can read yet; the next one makes us look again.
      if (page.length === 0 && place.wantedSeq === asked) place.wantedSeq = seq
      if (page.length === FEED_PAGE) await this.#sink.drained()
      else if (place.wantedMarks > place.marks && !(await this.#marks(id, place, asked))) return false
    }
    place.seq = seq
    return !this.#isClosed
  }

  /** Says the marks, once every message that they may speak of has been sent. Nothing is left of what is gone. */
  async #marks(id: string, place: Place, askedSeq: number): Promise<boolean> {
    const asked = place.wantedMarks
    const { conversations, reads } = this.#store
    const conversation = await reads.read(`marks.${id}.${asked}`, () => conversations.row(id))
    if (conversation === undefined || this.#isClosed) return false
    const { seq, marks } = positionOf(conversation)
    if (seq > Math.max(place.seq ?? 0, askedSeq)) {
      place.wantedSeq = seq
      return true
    }
    place.marks = marks
    if (place.wantedMarks === asked) place.wantedMarks = marks
    this.#sink.send({ type: 'marks', conversationId: id, ...conversation.marks })
    return true
  }

  /** The page above a place; `asked` is known to be there, and everybody who waits for it shares one read. */
  #page(id: string, seq: number, asked: number): Promise<Message[]> {
    const { messages, reads } = this.#store
    return reads.read(`page.${id}.${seq}.${asked}`, () => messages.after(id, seq, FEED_PAGE))
  }
}
