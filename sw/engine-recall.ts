// What was said, for a site that pages back through the history: from the store, and from the platform what is not there,
// because it made way on the disk or because this browser has never seen it.

import type { Store } from '../core/ports.ts'
import { behind, FORMER_STRIDE } from '../core/behind.ts'
import { messageOf } from '../core/snapshot.ts'
import type { Slots } from '../core/state.ts'
import type { Row } from '../core/transcript.ts'
import type { Message } from '../core/wire.ts'
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

  /** Asks at most once at a time, and for a former conversation never again after a definite answer. */
  function complete(slots: Slots, id: string, isPresent: boolean, { from, to }: Hole): Promise<void> {
    const known =
      asking.get(id) ??
      fetchRest(store, ask, slots, { id, from, to }).then(
        (isDone) => void ((isDone && !isPresent) || asking.delete(id)),
        (error: unknown) => {
          asking.delete(id)
          throw error
        },
      )
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
      const wanted = limit - found.length
      // One more than wanted: whether something is missing before the first is seen from the one before it.
      const look = () => store.rows(conversationId, below, wanted + 1)
      let rows = depth > 0 ? [] : await look()
      const hole = depth > 0 ? EVERYTHING : holeIn(rows, wanted, Math.min(below - 1, slots.transcript.cursor.seq))
      if (hole !== undefined) {
        await complete(slots, conversationId, depth === 0, hole)
        rows = await look()
      }
      const own = rows.filter((row) => row.epoch === epoch)
      const shift = depth * FORMER_STRIDE
      const shown = own.map((row, at) => ({
        ...messageOf(row, slots.marks, row.seq > 1 && own[at - 1]?.seq !== row.seq - 1),
        conversationId,
        seq: row.seq - shift,
      }))
      found.unshift(...shown.slice(-wanted))
    }
    return found
  }
}

/** What is missing: the numbers from `from` to `to`. */
interface Hole {
  readonly from: number
  readonly to: number
}

const EVERYTHING: Hole = { from: 1, to: EVERY }

/** What a page that ends at `top` lacks. */
function holeIn(rows: readonly Row[], wanted: number, top: number): Hole | undefined {
  const known = new Set(rows.map(({ seq }) => seq))
  const first = Math.max(1, top - wanted + 1)
  for (let from = first; from <= top; from++) if (!known.has(from)) return { from, to: top }
  return undefined
}

/** Says whether there is nothing more to be had. */
async function fetchRest(
  store: Store,
  ask: Performer['recall'],
  slots: Slots,
  { id, from, to }: Hole & { readonly id: string },
): Promise<boolean> {
  let last = await lastBefore(store, id, { from, to })
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
    const rows = page.rows.filter(({ seq }) => seq <= to)
    if (rows.length > 0 && !(await keep(store, slots.session.epoch, rows))) return false
    last = page.rows.at(-1)
    read += page.rows.length
    if (last === undefined || last.seq >= Math.min(to, page.headSeq)) break
  }
  return true
}

/** The last row up to which nothing is missing; or, where the hole is known, the one before it. */
async function lastBefore(store: Store, id: string, { from, to }: Hole): Promise<Row | undefined> {
  if (to !== EVERY) return (await store.rows(id, from, 1)).at(-1)
  const rows = await store.rows(id, EVERY, RECALL_ROWS_MAX)
  const gap = rows.findIndex((row, index) => row.seq !== index + 1)
  return rows[(gap < 0 ? rows.length : gap) - 1]
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
