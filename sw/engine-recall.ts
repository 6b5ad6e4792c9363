// What was said in the conversations before the present one, for a site that pages back through the history: from the
// store, and once in a life from the platform, for what this browser has not seen of them.

import type { Store } from '../core/ports.ts'
import { behind } from '../core/session.ts'
import { messageOf } from '../core/snapshot.ts'
import type { Slots } from '../core/state.ts'
import type { Row } from '../core/transcript.ts'
import { FORMER_STRIDE, type Message } from '../core/wire.ts'
import type { Performer } from './engine-perform.ts'
import type { Ports } from './engine-ports.ts'

/** After this long a page is answered with what is here. What comes later is stored, and is in the next one. */
export const RECALL_MS_MAX = 5_000
/** Messages of a former conversation that are looked at. */
const RECALL_ROWS_MAX = 10_000
const EVERY = Number.MAX_SAFE_INTEGER

export type Recall = (slots: Slots, before: number | undefined, limit: number) => Promise<readonly Message[]>

export function recall(ports: Ports, ask: Performer['recall']): Recall {
  const { clock, store } = ports
  const asking = new Map<string, Promise<void>>()

  /** Asks at most once at a time, and never again after a definite answer. */
  function complete(slots: Slots, id: string): Promise<void> {
    const known =
      asking.get(id) ?? fetchRest(store, ask, slots, id).then((isDone) => void (isDone || asking.delete(id)))
    asking.set(id, known)
    return Promise.race([known, new Promise<void>((resolve) => clock.alarm(clock.now() + RECALL_MS_MAX, resolve))])
  }

  return async (slots, before = EVERY, limit) => {
    const { conversation, epoch } = slots.session
    const ids = conversation === null ? [] : [conversation.id, ...behind(conversation)]
    const found: Message[] = []
    // Their numbers go on downwards: the first conversation back begins one stride below the present one.
    let depth = Math.max(0, Math.ceil((1 - before) / FORMER_STRIDE))
    for (
      let below = before + depth * FORMER_STRIDE;
      depth < ids.length && found.length < limit;
      depth++, below = EVERY
    ) {
      const conversationId = ids[depth] as string
      if (depth > 0) await complete(slots, conversationId)
      const rows = await store.rows(conversationId, below, limit - found.length)
      const own = rows.filter((row) => row.epoch === epoch)
      const shift = depth * FORMER_STRIDE
      found.unshift(...own.map((row) => ({ ...messageOf(row), conversationId, seq: row.seq - shift })))
    }
    return found
  }
}

/** Says whether there is nothing more to be had. */
async function fetchRest(store: Store, ask: Performer['recall'], slots: Slots, id: string): Promise<boolean> {
  const rows = await store.rows(id, EVERY, RECALL_ROWS_MAX)
  const gap = rows.findIndex((row, index) => row.seq !== index + 1)
  let last = rows[(gap < 0 ? rows.length : gap) - 1]
  for (let read = 0; read < RECALL_ROWS_MAX; ) {
    const outcome = await ask(slots, id, last?.id ?? '')
    if (outcome === undefined) return false
    if (!outcome.ok) return !outcome.isUnreachable
    const page = outcome.value
    if (page.resync) {
      if (last === undefined) return true
      last = undefined
      continue
    }
    if (page.rows.length > 0 && !(await keep(store, slots.session.epoch, page.rows))) return false
    last = page.rows.at(-1)
    read += page.rows.length
    if (last === undefined || last.seq >= page.headSeq) break
  }
  return true
}

/** Another identity by now keeps nothing. */
const keep = (store: Store, epoch: string, rows: readonly Row[]): Promise<boolean> =>
  store
    .turn({ runEntries: 0, keys: [], isDurable: false }, ({ slots }) => {
      if (slots?.session.epoch !== epoch || slots.session.isSignedOut) throw new Error('Somebody else is here.')
      const putRows = rows.map((row) => ({ ...row, epoch }))
      return { writes: { slots, putEntries: [], dropEntries: [], putRows } }
    })
    .then(
      () => true,
      () => false,
    )
