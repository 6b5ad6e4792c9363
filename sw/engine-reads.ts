// What a tab may ask without changing anything: the snapshot, the outcomes of its messages, history, the outbox, a report.

import { reportOf } from '../core/diagnose.ts'
import { OUTBOX_ENTRIES_MAX } from '../core/outbox.ts'
import type { Clock, Store, Tail } from '../core/ports.ts'
import { headsOf, itemOf, outcomeOf, SNAPSHOT_ENTRIES_MAX, SNAPSHOT_ROWS_MAX, snapshotOf } from '../core/snapshot.ts'
import type { Slots } from '../core/state.ts'
import type { Answers, Command, Outcome } from '../core/wire.ts'
import type { Recall } from './engine-recall.ts'

export interface Reads {
  /** The newest messages and entries with the slots: one read serves all who asked before it began. */
  tail(): Promise<Tail & { readonly slots: Slots }>
  pull(keys: readonly string[]): Promise<Answers['pull']>
  answer(command: Read, incarnation: string, hasPump: boolean): Promise<Answers[Read['type']]>
}

export type Read = Extract<Command, { type: 'pull' | 'history' | 'list-outbox' | 'diagnose' }>
const READS: readonly Command['type'][] = ['pull', 'history', 'list-outbox', 'diagnose']
export const isRead = (command: Command): command is Read => READS.includes(command.type)

/** @param firstTurn runs a turn, which makes the slots where there are none */
export function reads(
  ports: { readonly store: Store; readonly clock: Clock },
  firstTurn: () => Promise<unknown>,
  recall: Recall,
): Reads {
  const { store, clock } = ports
  let reading: Promise<Tail> | undefined
  let next: Promise<Tail> | undefined
  const read = () => store.tail(SNAPSHOT_ROWS_MAX, SNAPSHOT_ENTRIES_MAX)

  function shared(): Promise<Tail> {
    if (reading === undefined) {
      reading = read().finally(() => {
        reading = undefined
      })
      return reading
    }
    next ??= reading.then(read, read).finally(() => {
      next = undefined
    })
    return next
  }

  async function tail(): Promise<Tail & { readonly slots: Slots }> {
    const seen = await shared()
    if (seen.slots !== undefined) return { ...seen, slots: seen.slots }
    await firstTurn()
    return (await read()) as Tail & { readonly slots: Slots }
  }

  async function pull(keys: readonly string[]): Promise<Answers['pull']> {
    const snapshot = snapshotOf(await tail(), store.kind, clock.now())
    const outcomes: { [key: string]: Outcome } = {}
    if (keys.length === 0) return { snapshot, outcomes }
    const found = await store.find(keys)
    for (const key of keys) {
      const outcome = outcomeOf(found.entries.get(key), found.rows.get(key))
      if (outcome !== undefined) outcomes[key] = outcome
    }
    return { snapshot, outcomes }
  }

  async function list(): Promise<Answers['list-outbox']> {
    const [{ slots }, entries] = await Promise.all([tail(), store.entries(OUTBOX_ENTRIES_MAX)])
    const heads = headsOf(slots, entries)
    return entries.map((entry) => itemOf(slots, entry, heads))
  }

  return {
    tail,
    pull,
    async answer(command, incarnation, hasPump) {
      if (command.type === 'pull') return pull(command.keys)
      if (command.type === 'list-outbox') return list()
      const { slots } = await tail()
      if (command.type === 'history') return recall(slots, command.before, command.limit)
      return reportOf(slots, { now: clock.now(), incarnation, storage: store.kind, hasPump })
    },
  }
}
