// Genesys Cloud Web Messaging in a world that fails: seeds, and machines that are wrong on purpose.
import { expect, test } from 'vitest'
import { decide } from '../../core/decide.ts'
import { report } from '../../testing/sim.ts'
import { simulateGenesys } from '../../testing/sim-genesys.ts'
import type { Plant } from '../../testing/sim-life.ts'

type Decide = typeof decide
type Unkeyed = NonNullable<Parameters<Decide>[3]['unkeyed']>

/** Rules that are wrong in one way. */
const wrongly = (change: (unkeyed: Unkeyed) => Partial<Unkeyed>): Plant => ({
  decide: (view, inputs, wanted, setup, env) => {
    const { unkeyed } = setup
    const planted = unkeyed && { ...setup, unkeyed: { ...unkeyed, ...change(unkeyed) } }
    return decide(view, inputs, wanted, planted ?? setup, env)
  },
})

const PLANTED: readonly { readonly is: string; readonly plant: Plant; readonly found: RegExp }[] = [
  {
    is: 'sends what is unknown again without looking',
    plant: wrongly((unkeyed) => ({
      plan: (draft, traffic) => {
        const blind = [...traffic.runs].map(([lane, run]) => {
          return [lane, run.map(({ sentAt: _, ...entry }) => entry)] as const
        })
        return unkeyed.plan(draft, { ...traffic, runs: new Map(blind) })
      },
    })),
    found: /^twice/,
  },
  {
    is: 'takes words that are somebody else’s already for its own',
    plant: wrongly((unkeyed) => ({
      matched: (draft, claim, value) => {
        const { transcript } = draft.slots
        draft.slots.transcript = { ...transcript, known: [], askedSeq: 0 }
        const rows = unkeyed.matched(draft, claim, value)
        draft.slots.transcript = transcript
        return rows
      },
    })),
    found: /^lost/,
  },
  {
    is: 'believes that what is unknown has arrived',
    plant: {
      ports: (ports) => ({
        ...ports,
        platform: {
          ...ports.platform,
          unkeyed: {
            ...(ports.platform.unkeyed as Unkeyed),
            matched(draft, claim, value) {
              const rows = ports.platform.unkeyed?.matched(draft, claim, value) ?? []
              for (const [lane, run] of draft.view.runs) {
                const [head] = run
                if (head?.sentAt === undefined || head.lane !== lane) continue
                draft.drops.set(head.seq, head)
                draft.puts.delete(head.seq)
                const { outbox } = draft.slots
                const former = outbox.lanes[lane]
                if (former)
                  draft.slots.outbox = {
                    ...outbox,
                    lanes: { ...outbox.lanes, [lane]: { ...former, size: former.size - 1 } },
                  }
              }
              return rows
            },
          },
        },
      }),
    },
    found: /^lost/,
  },
  {
    is: 'asks as often as it likes',
    plant: wrongly(() => ({ rates: {} })),
    found: /^throttled/,
  },
]

/** A repeat was answered with its place in the history, and the judge took that for its place in the queue. */
const MISJUDGED = 23002733

test.each([...Array.from({ length: 40 }, (_, seed) => seed + 1), MISJUDGED])(
  '[SIM40] seed %i on the Genesys platform',
  async (seed) => {
    const run = await simulateGenesys(seed)
    expect(run.findings, `${report(run)} --platform genesys`).toEqual([])
  },
)

test.each([1, 2, 3])('[SIM1] seed %i has the same events each time, on the Genesys platform', async (seed) => {
  const [first, second] = [await simulateGenesys(seed), await simulateGenesys(seed)]
  expect(second.digest).toBe(first.digest)
})

test.each(PLANTED)('[SIM41] a machine that $is is noticed', async ({ plant, found }) => {
  for (let seed = 1; seed <= 500; seed++) {
    const { findings } = await simulateGenesys(seed, plant)
    if (findings.some((finding) => found.test(finding))) return
  }
  expect.fail('no finding of it in 500 seeds')
})
