// How long a logout takes until it says "verified", with three tabs and 5 000 records. The floor is what no wipe can do
// without: the browser deletes a database, and that one is empty.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connected } from './accept.ts'
import { atMost, compared, type Figure, median, openLab } from './lab.ts'
import './page.ts'

const TABS = 3
const RECORDS = 5_000
const ROUNDS = 5
const VERIFIED_MS_MAX = 1_000

export async function wipe(): Promise<readonly Figure[]> {
  const profile = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const lab = await openLab({ profile })
  try {
    const [ours, floors, ratios]: [number[], number[], number[]] = [[], [], []]
    for (let round = 0; round < ROUNDS; round++) {
      const pages = []
      for (let index = 0; index < TABS; index++) pages.push(await connected(lab))
      const [first] = pages
      if (first === undefined) return []
      await first.evaluate(fill, RECORDS)
      const floor = await first.evaluate(deleteEmpty)
      const took = await first.evaluate(async () => {
        const from = performance.now()
        const { verified } = await globalThis.chat.logout({ unsent: 'discard' })
        if (!verified) throw new Error('It was not verified.')
        return performance.now() - from
      })
      ours.push(took)
      floors.push(floor)
      ratios.push(took / floor)
      for (const page of pages) await page.close()
    }
    const name = `logout of ${TABS} tabs and ${RECORDS} records until it is verified`
    // Not aimed at: two rounds of making and deleting two databases on the disk, all records read, three tabs told.
    const beside = compared(`${name}, beside deleting an empty database`, 'ms', median(ours), median(floors))
    return [
      atMost(`${name}, beside ${VERIFIED_MS_MAX} ms`, 'ms', median(ours), VERIFIED_MS_MAX, 1),
      { ...beside, ratio: median(ratios) },
    ]
  } finally {
    await lab.close()
    rmSync(profile, { recursive: true, force: true })
  }
}

/** Runs in the page: as many messages as a long conversation has, in the worker's own database. */
async function fill(count: number): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open('holdfast:demo')
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
  const transaction = database.transaction('transcript', 'readwrite')
  const rows = transaction.objectStore('transcript')
  const { epoch, conversation } = globalThis.chat.state
  for (let seq = 1; seq <= count; seq++) {
    const text = `What was said at ${seq}, about as long as people write in a chat.`
    rows.put({ conversationId: conversation?.id, seq, id: `filled-${seq}`, role: 'agent', text, at: seq, epoch })
  }
  await new Promise((resolve) => {
    transaction.oncomplete = resolve
  })
  database.close()
}

/** Runs in the page. */
async function deleteEmpty(): Promise<number> {
  const settled = (request: IDBOpenDBRequest) =>
    new Promise<void>((resolve, reject) => {
      request.onsuccess = () => resolve()
      request.onerror = () => reject(request.error)
    })
  const request = indexedDB.open('bench-empty', 1)
  await settled(request)
  request.result.close()
  const from = performance.now()
  await settled(indexedDB.deleteDatabase('bench-empty'))
  return performance.now() - from
}
