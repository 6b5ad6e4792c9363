// Takes the marks of both sides, and makes few writes of many: for each side of a conversation one at once, and whatever
// comes within the second after it together in the next.
import type { Hub } from './hub.ts'
import type { Parts } from './parts.ts'
import type { MarkFrame } from './schemas-marks.ts'
import { type Caller, mayEnter } from './session.ts'
import { type Mark, placeOf, type Side } from './session-marks.ts'
import type { MarkStore } from './store-marks.ts'

/** Between two writes of one side of a conversation, in milliseconds. */
export const MARKS_MS = 1000

export type MarkerSetup = {
  store: Pick<MarkStore, 'advance'>
  hub: Pick<Hub, 'publish'>
  after?: (ms: number, run: () => void) => void
}

type Waiting = { said: Mark; done: Promise<void> }

export class Marker {
  readonly #setup: Required<MarkerSetup>
  readonly #resting = new Map<string, Promise<void>>()
  readonly #waiting = new Map<string, Waiting>()

  constructor(setup: MarkerSetup) {
    this.#setup = { after: (ms, run) => void setTimeout(run, ms).unref(), ...setup }
  }

  /** Resolves when it is in the tables. */
  note(id: string, side: Side, { delivered, read }: Mark): Promise<void> {
    const name = `${side} ${id}`
    const said = { delivered, read }
    const waiting = this.#waiting.get(name)
    if (waiting !== undefined) {
      waiting.said = { delivered: Math.max(waiting.said.delivered, delivered), read: Math.max(waiting.said.read, read) }
      return waiting.done
    }
    const rest = this.#resting.get(name)
    if (rest === undefined) return this.#write(name, id, side, said)
    const done = rest.then(() => {
      this.#waiting.delete(name)
      return this.#write(name, id, side, next.said)
    })
    const next: Waiting = { said, done }
    this.#waiting.set(name, next)
    return done
  }

  async #write(name: string, id: string, side: Side, said: Mark): Promise<void> {
    const { store, hub, after } = this.#setup
    const rest = new Promise<void>((resolve) => {
      after(MARKS_MS, () => {
        this.#resting.delete(name)
        resolve()
      })
    })
    this.#resting.set(name, rest)
    const changed = await store.advance(id, side, said)
    if (changed === undefined) return
    const { deploymentId, lastSeq: seq, version, marks } = changed
    hub.publish({ conversationId: id, deploymentId, seq, version, marks: placeOf(marks) })
  }
}

/** A frame that a stream brings: about the conversation of the stream, or the one that it names. */
export async function markedBy(
  parts: Parts,
  { caller, feed }: { caller: Caller; feed: { readonly conversationId: string | null } },
  frame: MarkFrame,
): Promise<void> {
  const id = feed.conversationId ?? frame.conversationId
  const present = id ? await parts.store.conversations.row(id) : undefined
  if (present !== undefined && mayEnter(caller, present)) await parts.marker.note(present.id, caller.role, frame)
}
