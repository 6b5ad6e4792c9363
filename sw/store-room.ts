// Room on the disk: how full it is, and the oldest rows of the transcript making way. Messages on their way out, leases
// and attributes never do: they are nowhere else, and a platform has every row.

import { isSlots } from '../core/state.ts'
import type { Transaction } from './store-schema.ts'

/** From here on the oldest transcript goes. */
export const HIGH_WATER = 0.8
/** Where the browser says nothing of its room (WebKit), the transcript has so much. */
export const OWN_ROOM_BYTES = 32 * 1024 * 1024
/** Rows that make way at once: usage falls only when the browser has tidied up, and must not cost everything till then. */
export const EVICT_ROWS = 500
/**
 * The newest of the present conversation stay: they are what a visitor sees first. So do the newest of all: a `send()` that
 * is repeated, its answer lost, is known by its row, and in another conversation the platform would take it for news.
 */
export const KEPT_ROWS = 200
/** Room is looked at after so many new rows, and at the first. */
export const LOOK_ROWS = 200

/** The part of `navigator.storage` we use. It is absent in WebKit, and where a page is not secure. */
export interface Estimates {
  estimate?(): Promise<{ readonly usage?: number; readonly quota?: number }>
}

/** Text is two bytes a character on most disks; keys and indexes cost as much again for short ones. */
const bytesOf = (row: unknown): number => 200 + 2 * JSON.stringify(row).length

/** How much the transcript takes, by our own count. A look through all of it, a page at a time. */
export async function ownBytes(tx: Transaction): Promise<number> {
  let bytes = 0
  for (let from: IDBValidKey | undefined; ; ) {
    const range = from === undefined ? undefined : IDBKeyRange.lowerBound(from, true)
    const rows = await tx.objectStore('transcript').getAll(range, EVICT_ROWS)
    for (const row of rows) bytes += bytesOf(row)
    const last = rows.at(-1) as { conversationId: string; seq: number } | undefined
    if (last === undefined || rows.length < EVICT_ROWS) return bytes
    from = [last.conversationId, last.seq]
  }
}

/** Removes the oldest rows, at most so many, and says how many. */
export async function evict(tx: Transaction<'readwrite'>, max: number): Promise<number> {
  const transcript = tx.objectStore('transcript')
  const slots = await tx.objectStore('slots').get('state')
  const { conversationId, headSeq } = isSlots(slots) ? slots.transcript : { conversationId: '', headSeq: 0 }
  const older = (await transcript.count()) - KEPT_ROWS
  if (older <= 0) return 0
  const read = Math.min(older, max + KEPT_ROWS)
  const oldest = (await transcript.index('at').getAllKeys(undefined, read)) as [string, number][]
  const gone = oldest.filter(([id, seq]) => id !== conversationId || seq <= headSeq - KEPT_ROWS).slice(0, max)
  await Promise.all([...gone.map((key) => transcript.delete(key)), tx.done])
  return gone.length
}

/** Is it time to make room? Asked again and again; `count` is the look at our own rows. */
export async function isTight(storage: Estimates | undefined, count: () => Promise<number>): Promise<boolean> {
  const { usage, quota } = (await storage?.estimate?.().catch(() => undefined)) ?? {}
  if (usage !== undefined && quota) return usage > quota * HIGH_WATER
  return (await count()) > OWN_ROOM_BYTES * HIGH_WATER
}
