// What the tests of the store share: a clock moved by hand, databases of their own, and a look at the raw records.

import 'fake-indexeddb/auto'
import { type IDBPDatabase, openDB } from 'idb'
import { afterEach, vi } from 'vitest'
import type { Around } from '../../sw/encryption.ts'
import type { OpenStore } from '../../sw/memory-store.ts'
import { openStore } from '../../sw/store.ts'
import { OPERATION_TIMEOUT_MS } from '../../sw/store-connection.ts'
import type { Estimates } from '../../sw/store-room.ts'

export interface ManualClock {
  now(): number
  alarm(at: number, ring: () => void): () => void
  advance(ms: number): void
  /** Resolves when an alarm is set. */
  armed(): Promise<void>
}

export function manualClock(): ManualClock {
  let now = 1_000
  const alarms = new Set<{ at: number; ring(): void }>()
  let wake = (): void => {}
  return {
    now: () => now,
    alarm(at, ring) {
      const alarm = { at, ring }
      alarms.add(alarm)
      wake()
      return () => void alarms.delete(alarm)
    },
    advance(ms) {
      now += ms
      for (const alarm of alarms) if (alarm.at <= now && alarms.delete(alarm)) alarm.ring()
    },
    armed: () =>
      new Promise((resolve) => {
        if (alarms.size > 0) resolve()
        else wake = resolve
      }),
  }
}

let count = 0
const done: (() => void)[] = []

afterEach(() => {
  for (const close of done.splice(0)) close()
  vi.restoreAllMocks()
})

export interface Bench {
  readonly deployment: string
  readonly clock: ManualClock
  readonly problems: { code: string; message: string }[]
  open(room?: Estimates, around?: Around): Promise<OpenStore>
  /** Lets every deadline pass until the work is settled. */
  outlast<T>(work: Promise<T>): Promise<T>
  /** A connection of its own, for what no store would do. */
  raw<T>(work: (database: IDBPDatabase) => Promise<T>): Promise<T>
}

/** A deployment that no other test knows. */
export function bench(): Bench {
  count += 1
  const deployment = `store-${count}`
  const clock = manualClock()
  const problems: Bench['problems'] = []
  return {
    deployment,
    clock,
    problems,
    async open(room, around) {
      const onProblem = (problem: Bench['problems'][number]) => void problems.push(problem)
      const store = openStore(deployment, { clock, onProblem, room, around })
      await store.opened
      done.push(() => store.close())
      return store
    },
    async outlast(work) {
      let isSettled = false
      const settle = (): void => {
        isSettled = true
      }
      work.then(settle, settle)
      while (!isSettled) {
        clock.advance(OPERATION_TIMEOUT_MS)
        await new Promise(setImmediate)
      }
      return work
    },
    async raw(work) {
      const database = await openDB(`holdfast:${deployment}`)
      try {
        return await work(database)
      } finally {
        database.close()
      }
    },
  }
}
