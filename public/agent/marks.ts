// Tells the service what has reached this console and what was on its screen: at most once a second for each conversation,
// however many messages that is, and again after a reconnect where the service does not know.

import { type Model, unmarked } from './model.ts'

const MARK_MS = 1000

/** @param send hands a frame to the stream, if there is one */
export function makeMarker(send: (frame: unknown) => void): { follow(model: Model): void; again(): void } {
  const resting = new Set<string>()
  const sent = new Map<string, string>()
  let present: Model | undefined

  function tell(id: string): void {
    const conversation = present?.conversations.get(id)
    const mark = present && conversation && unmarked(present, conversation)
    const text = JSON.stringify(mark)
    if (mark === undefined || resting.has(id) || sent.get(id) === text) return
    resting.add(id)
    sent.set(id, text)
    send({ type: 'mark', conversationId: id, ...mark })
    setTimeout(() => {
      resting.delete(id)
      // What came meanwhile.
      tell(id)
    }, MARK_MS)
  }

  return {
    follow(model) {
      present = model
      for (const id of model.conversations.keys()) tell(id)
    },
    /** The connection is another one: what the service has not confirmed may never have reached it. */
    again: () => sent.clear(),
  }
}
