// The disk of the simulation owes what every store owes, or its runs would prove nothing about the real one.

import type { Store } from '../../core/ports.ts'
import { Dice } from '../../testing/dice.ts'
import { CALM } from '../../testing/faults.ts'
import { Disk, simStore } from '../../testing/sim-store.ts'
import { World } from '../../testing/world.ts'
import { storeContract } from '../contract/store.ts'

/** Virtual time runs on for as long as somebody waits. */
function running<T>(world: World, work: Promise<T>): Promise<T> {
  void world.run(60_000)
  return work
}

storeContract('the simulated disk', async () => {
  const world = new World(new Dice(1), 0)
  const store = simStore(new Disk(), world, { isAlive: true }, () => CALM)
  const open: Store & { close(): void } = {
    kind: store.kind,
    // It freezes what others copy: whoever changes a record gets an error instead of a copy.
    turn: (wanted, decide) =>
      running(
        world,
        store.turn(wanted, (view) => {
          const result = decide(structuredClone(view))
          return { ...result, writes: structuredClone(result.writes) }
        }),
      ),
    tail: (rowsMax, entriesMax) =>
      running(world, store.tail(rowsMax, entriesMax)).then((tail) => structuredClone(tail)),
    find: (keys) => running(world, store.find(keys)).then((found) => structuredClone(found)),
    rows: (conversationId, before, limit) =>
      running(world, store.rows(conversationId, before, limit)).then((list) => structuredClone(list)),
    file: (key, index) => running(world, store.file(key, index)),
    entries: (limit) => running(world, store.entries(limit)).then((list) => structuredClone(list)),
    shred: () => running(world, store.shred()),
    close() {},
  }
  return open
})
