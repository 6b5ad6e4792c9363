// More wrong machines: on a disk that fails, at an update, with several conversations, files, and rows that make way.

import { decide } from '../../core/decide.ts'
import type { Entry } from '../../core/outbox.ts'
import type { Store } from '../../core/ports.ts'
import type { Ports } from '../../sw/engine-ports.ts'
import type { Plant } from '../../testing/sim-life.ts'
import type { Planted } from './planted.ts'

type Decision = ReturnType<typeof decide>
type Turn = Store['turn']

/** Changes how turns are carried out. */
const withTurn = (turnOf: (turn: Turn) => Turn): Plant => ({
  ports: (ports) => ({ ...ports, store: { ...ports.store, turn: turnOf(ports.store.turn) } }),
})

/** A failed turn is believed to have been stored. */
const believesTheDisk = withTurn((turn) => async (wanted, choose) => {
  let chosen: ReturnType<typeof choose> | undefined
  try {
    return await turn(wanted, (view) => {
      chosen = choose(view)
      return chosen
    })
  } catch (error) {
    if (chosen === undefined) throw error
    return chosen
  }
})

/** What a failed turn had decided is written again as it was, whatever has happened since. */
const writesAgainBlindly = withTurn((turn) => async (wanted, choose) => {
  let chosen: ReturnType<typeof choose> | undefined
  try {
    return await turn(wanted, (view) => {
      chosen = choose(view)
      return chosen
    })
  } catch (error) {
    const again = chosen
    if (again === undefined) throw error
    const answer = await turn(wanted, choose)
    await turn(wanted, () => again)
    return answer
  }
})

/** Room is made by dropping what has waited longest. */
const dropsToMakeRoom = withTurn((turn) => async (wanted, choose) => {
  try {
    return await turn(wanted, choose)
  } catch (error) {
    if ((error as { code?: string }).code !== 'STORE_FULL') throw error
    return turn({ ...wanted, runEntries: 32 }, (view) => {
      const result = choose(view)
      const [lane, run = []] = [...view.runs][0] ?? []
      const [oldest] = run
      const { slots } = result.writes
      const former = lane === undefined ? undefined : slots.outbox.lanes[lane]
      if (oldest === undefined || lane === undefined || former === undefined || former.size === 0) return result
      const lanes = { ...slots.outbox.lanes, [lane]: { ...former, size: former.size - 1 } }
      const writes = {
        ...result.writes,
        slots: { ...slots, outbox: { ...slots.outbox, lanes } },
        dropEntries: [...result.writes.dropEntries, oldest],
      }
      return { ...result, writes }
    })
  }
})

/** An update: both versions take the network for theirs. */
const sharesThePump: Plant = {
  ports: (ports) => ({
    ...ports,
    pump: {
      request: async (granted) => {
        await ports.pump.request(() => {})
        granted()
      },
    },
  }),
}

/** What waited for a conversation that is over goes into the next one by itself. */
function flowsOn(decision: Decision, present: string, runs: ReadonlyMap<string, readonly Entry[]>): Decision {
  const { slots, writes } = decision
  const { session, outbox } = slots
  const isOpen = session.conversation?.state === 'pending' || session.conversation?.state === 'active'
  const touched = new Set([...writes.putEntries, ...writes.dropEntries].map(({ seq }) => seq))
  const parked = [...runs].filter(([lane]) => lane !== present).flatMap(([, run]) => run)
  const moved = parked.filter(({ seq }) => !touched.has(seq))
  if (!isOpen || moved.length === 0 || writes.wipe) return decision
  const lanes: Record<string, (typeof outbox.lanes)[string]> = { ...outbox.lanes }
  const grow = (lane: string, by: number) => {
    const former = lanes[lane] ?? { size: 0, attempt: { status: 'idle' as const, retryAt: 0, floorAt: 0 }, upTo: 0 }
    lanes[lane] = { ...former, size: former.size + by } as (typeof lanes)[string]
  }
  for (const { lane } of moved) {
    grow(lane, -1)
    grow(present, 1)
  }
  const putEntries = [...writes.putEntries, ...moved.map((entry) => ({ ...entry, lane: present, live: present }))]
  const next = { ...slots, outbox: { ...outbox, lanes } }
  return { ...decision, slots: next, writes: { ...writes, slots: next, putEntries } }
}

/** Files are taken for sent as soon as they were announced. */
const onFiles = (change: (files: NonNullable<Ports['platform']['attachments']>) => object): Plant => ({
  ports: (ports) => {
    const { attachments } = ports.platform
    if (attachments === undefined) return ports
    return { ...ports, platform: { ...ports.platform, attachments: { ...attachments, ...change(attachments) } } }
  },
})

export const PLANTED_MORE: readonly Planted[] = [
  {
    is: 'believes a disk that has refused',
    plant: believesTheDisk,
    found: /^(lost|forgotten|acked|refresh|refused|count)/,
  },
  {
    is: 'writes again what failed without looking',
    plant: writesAgainBlindly,
    found: /^(lost|twice|count|order|cursor|outbox|forgotten)/,
  },
  { is: 'makes room by dropping what waits', plant: dropsToMakeRoom, found: /^(lost|forgotten)/ },
  {
    is: 'stores a time that its own guards take for none',
    plant: withTurn(
      (turn) => (wanted, choose) =>
        turn(wanted, (view) => {
          const result = choose(view)
          const { slots } = result.writes
          const { lease } = slots
          if (lease.status !== 'held') return result
          const grant = { ...lease.grant, expiresAt: Number.POSITIVE_INFINITY }
          return { ...result, writes: { ...result.writes, slots: { ...slots, lease: { ...lease, grant } } } }
        }),
    ),
    found: /^record/,
  },
  { is: 'uses the network beside its successor', plant: sharesThePump, found: /^pump/ },
  {
    is: 'lets what is parked flow into the next conversation',
    plant: {
      decide: (view, ...rest) => {
        const decision = decide(view, ...rest)
        return flowsOn(decision, `${decision.slots.session.laneNumber}`, view.runs)
      },
    },
    found: /^elsewhere/,
  },
  {
    is: 'sends a message before its files',
    needs: ({ files }) => files > 0,
    plant: {
      decide: (...args) => {
        const decision = decide(...args)
        const actions = decision.actions.map((action) =>
          action.type === 'attach' ? { ...action, type: 'send' as const, entries: [action.entry] } : action,
        )
        return { ...decision, actions }
      },
    },
    found: /^files/,
  },
  {
    is: 'uploads the same part again and again',
    needs: ({ files }) => files > 0,
    plant: onFiles(({ upload }) => ({
      upload: (request: Parameters<typeof upload>[0]) =>
        upload({
          ...request,
          content: { slice: (from: number, to: number) => (request.content as Blob).slice(0, to - from) },
        }),
    })),
    found: /^(files|outbox|lost)/,
  },
  {
    is: 'leaves files behind',
    needs: ({ files }) => files > 0,
    plant: {
      decide: (...args) => {
        const decision = decide(...args)
        const { dropFiles: _, ...writes } = decision.writes
        return { ...decision, writes }
      },
    },
    found: /^files/,
  },
  {
    is: 'hears nothing of what was read',
    needs: ({ marks }) => marks,
    plant: {
      ports: (ports) => ({
        ...ports,
        stream: (report) => ports.stream((told) => void (told.type === 'marks' || report(told))),
      }),
    },
    found: /^marks/,
  },
  {
    is: 'takes what the disk has kept for all there was',
    needs: ({ evictMeanMs }) => evictMeanMs > 0,
    plant: {
      ports: (ports) => {
        const capabilities = { ...ports.platform.capabilities, catchUp: 'replay' as const }
        return { ...ports, platform: { ...ports.platform, capabilities } }
      },
    },
    found: /^history/,
  },
]
