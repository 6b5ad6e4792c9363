// A disk that outlives workers, and the Store port on it. It runs one writing transaction at a time, decides at its
// start and commits later, so that a kill can fall between the two. Records are frozen instead of copied.

import { HoldfastError } from '../core/errors.ts'
import type { Entry } from '../core/outbox.ts'
import type { Store, View, Wanted, Writes } from '../core/ports.ts'
import { afterWipe, type Slots } from '../core/state.ts'
import type { Row } from '../core/transcript.ts'
import type { Faults } from './faults.ts'
import type { World } from './world.ts'

/** Who uses the disk: it gets no answer any more when it is dead. */
export interface Owner {
  readonly isAlive: boolean
}

interface Job {
  readonly owner: Owner
  begin(end: () => void): void
}

export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}

const rowName = ({ conversationId, seq }: Row): string => `${conversationId}#${seq}`
const newest = <T>(list: readonly T[], max: number): T[] => (max > 0 ? list.slice(-max) : [])
const bySeq = (a: { seq: number }, b: { seq: number }): number => a.seq - b.seq

export class Disk {
  slots: Slots | undefined
  readonly entries = new Map<number, Entry>()
  readonly rows = new Map<string, Row>()
  readonly files = new Map<string, readonly unknown[]>()
  /** Secrets under their seal; a vault that forgets empties it. */
  readonly secrets = new Map<string, string>()
  /** Secrets under a key of their own, which a vault that forgets leaves alone. */
  readonly wills = new Map<string, string>()
  /** Told of every commit, when it is on the disk. */
  onCommit: (writes: Writes) => void = () => {}
  /** Names of rows that have made way. */
  readonly evicted = new Set<string>()
  /** Ways back from what was committed since the last strict commit, newest last. */
  #undo: (() => void)[] = []
  #queue: Job[] = []
  #isBusy = false
  /** Counts the power cuts: what was not committed before one never is. */
  boot = 0

  /** Runs when the transactions before it are over. */
  enqueue(job: Job): void {
    this.#queue.push(job)
    this.#next()
  }

  #next(): void {
    if (this.#isBusy) return
    const job = this.#queue.shift()
    if (job === undefined) return
    if (!job.owner.isAlive) return this.#next()
    this.#isBusy = true
    job.begin(() => {
      this.#isBusy = false
      this.#next()
    })
  }

  apply(writes: Writes, isDurable: boolean): void {
    const before = {
      slots: this.slots,
      entries: [...this.entries],
      files: [...this.files],
      rows: writes.wipe ? [...this.rows] : undefined,
    }
    this.slots = deepFreeze(writes.slots)
    if (writes.wipe) {
      this.secrets.clear()
      this.entries.clear()
      this.rows.clear()
      this.files.clear()
    }
    for (const key of writes.dropFiles ?? []) this.files.delete(key)
    for (const { key, contents } of writes.putFiles ?? []) this.files.set(key, contents)
    for (const entry of writes.putEntries) this.entries.set(entry.seq, deepFreeze(entry))
    for (const entry of writes.dropEntries) this.entries.delete(entry.seq)
    const ended = [...this.rows].filter(([, row]) =>
      writes.rowsEnd?.some(({ conversationId, seq }) => row.conversationId === conversationId && row.seq > seq),
    )
    for (const [name] of ended) this.rows.delete(name)
    const put = writes.putRows.map((row) => ({ name: rowName(row), was: this.rows.get(rowName(row)) }))
    for (const row of writes.putRows) this.rows.set(rowName(row), deepFreeze(row))
    this.onCommit(writes)
    if (isDurable) {
      this.#undo = []
      return
    }
    this.#undo.push(() => {
      this.slots = before.slots
      refill(this.entries, before.entries)
      refill(this.files, before.files)
      for (const { name, was } of put) was === undefined ? this.rows.delete(name) : this.rows.set(name, was)
      for (const [name, row] of ended) this.rows.set(name, row)
      if (before.rows !== undefined) refill(this.rows, before.rows)
    })
  }

  /** What a wipe left to be done. It is on the disk at once, and no power cut takes it back. */
  shred(): void {
    const next = this.slots && afterWipe(this.slots)
    if (next === undefined) return
    this.slots = deepFreeze(next)
    this.#undo = []
  }

  /** The oldest rows make way, but for the newest of the present conversation and the newest of all. */
  evict(kept: number): number {
    const { conversationId, headSeq } = this.slots?.transcript ?? { conversationId: '', headSeq: 0 }
    const older = [...this.rows].sort(([, a], [, b]) => a.at - b.at).slice(0, -kept)
    const gone = older.filter(([, row]) => row.conversationId !== conversationId || row.seq <= headSeq - kept)
    for (const [name] of gone) {
      this.rows.delete(name)
      this.evicted.add(name)
    }
    this.#undo.push(() => {
      for (const [name, row] of gone) this.rows.set(name, row)
    })
    return gone.length
  }

  /** Records that are not of the present identity. */
  strangers(): number {
    const epoch = this.slots?.session.epoch
    return [...this.entries.values(), ...this.rows.values()].filter((record) => record.epoch !== epoch).length
  }

  /** The power is cut: the last `draw` part of what was never promised is gone. */
  cutPower(draw: number): number {
    this.boot += 1
    const lost = Math.round(draw * this.#undo.length)
    for (let index = 0; index < lost; index++) this.#undo.pop()?.()
    return lost
  }

  view({ runEntries, keys }: Wanted): View {
    const all = [...this.entries.values()].sort(bySeq)
    const runs = new Map<string, Entry[]>()
    if (runEntries > 0) {
      for (const entry of all) {
        if (entry.live === undefined) continue
        const run = runs.get(entry.live) ?? []
        runs.set(entry.live, run)
        if (run.length < runEntries) run.push(entry)
      }
    }
    return { slots: this.slots, orphans: this.slots === undefined ? all : [], runs, ...this.find(keys), corrupt: 0 }
  }

  find(keys: readonly string[]): Pick<View, 'entries' | 'rows'> {
    const entries = new Map<string, Entry>()
    const rows = new Map<string, Row>()
    if (keys.length === 0) return { entries, rows }
    const wanted = new Set(keys)
    for (const entry of this.entries.values()) if (wanted.has(entry.key)) entries.set(entry.key, entry)
    for (const row of this.rows.values()) if (row.key !== undefined && wanted.has(row.key)) rows.set(row.key, row)
    return { entries, rows }
  }

  rowsOf(conversationId: string): Row[] {
    return [...this.rows.values()].filter((row) => row.conversationId === conversationId).sort(bySeq)
  }
}

function refill<K, V>(map: Map<K, V>, entries: Iterable<[K, V]>): void {
  map.clear()
  for (const [key, value] of entries) map.set(key, value)
}

/** The Store of one worker on the disk that it shares with the ones before and after it. */
export function simStore(disk: Disk, world: World, owner: Owner, faults: () => Faults): Store {
  const { dice } = world
  const after = (ms: number, run: () => void) => world.after(ms, run, true)
  const latencyMs = () => (dice.chance(faults().storeSlow) ? dice.between(5, 800) : dice.between(0.1, 2))

  const read = <T>(look: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const isLost = dice.chance(faults().storeAborted / 4)
      after(latencyMs(), () => (isLost ? reject(failed('could not be read')) : resolve(look())))
    })

  const turn = <T extends { writes: Writes }>(wanted: Wanted, decide: (view: View) => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const begin = (end: () => void) => {
        if (!owner.isAlive) return end()
        const { boot } = disk
        let result: T
        try {
          result = decide(disk.view(wanted))
        } catch (error) {
          end()
          return reject(error)
        }
        after(latencyMs(), () => {
          const failure = failureOf(world, faults(), result.writes)
          // A worker that died meanwhile may have had its transaction carried out, or not.
          const isCommitted = owner.isAlive ? failure === undefined || failure.isCommitted : dice.chance(0.5)
          if (isCommitted && disk.boot === boot) disk.apply(result.writes, wanted.isDurable)
          end()
          if (failure === undefined) resolve(result)
          else reject(failure.error)
        })
      }
      disk.enqueue({ owner, begin: (end) => after(latencyMs(), () => begin(end)) })
    })

  return {
    kind: 'durable',
    turn,
    tail: (rowsMax, entriesMax) =>
      read(() => ({
        slots: disk.slots,
        rows: newest(disk.rowsOf(disk.slots?.transcript.conversationId ?? ''), rowsMax),
        entries: newest([...disk.entries.values()].sort(bySeq), entriesMax),
      })),
    find: (keys) => read(() => disk.find(keys)),
    rows: (conversationId, before, limit) => {
      const rows = () => disk.rowsOf(conversationId).filter(({ seq }) => seq < before)
      return read(() => newest(rows(), limit))
    },
    file: (key, index) => read(() => disk.files.get(key)?.[index]),
    entries: (limit) => read(() => [...disk.entries.values()].sort(bySeq).slice(0, limit)),
    shred: () => shred(disk, owner, dice.chance(faults().storeAborted), (run) => after(latencyMs(), run)),
  }
}

/** Killed before its instant, it is still due. */
function shred(disk: Disk, owner: Owner, isRefused: boolean, soon: (run: () => void) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const begin = (end: () => void) => {
      if (owner.isAlive && !isRefused) disk.shred()
      end()
      if (isRefused) reject(failed('could not be deleted'))
      else resolve(disk.strangers())
    }
    disk.enqueue({ owner, begin: (end) => soon(() => begin(end)) })
  })
}

const failed = (what: string): HoldfastError => new HoldfastError('STORE_FAILED', `The database ${what}.`)

function failureOf({ dice }: World, faults: Faults, { putEntries, putRows }: Writes) {
  if (dice.chance(faults.storeAborted)) return { error: failed('gave the transaction up'), isCommitted: false }
  if (dice.chance(faults.storeUncertain)) return { error: failed('did not answer in time'), isCommitted: true }
  const isGrowing = putEntries.length + putRows.length > 0
  if (isGrowing && dice.chance(faults.storeFull)) {
    return { error: new HoldfastError('STORE_FULL', 'The browser gives us no more space.'), isCommitted: false }
  }
  return undefined
}
