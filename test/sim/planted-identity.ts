// Wrong machines that mix identities: each leaves something of who is gone to who comes next.

import { decide } from '../../core/decide.ts'
import type { Slots } from '../../core/state.ts'
import type { Planted } from './planted.ts'

type Decision = ReturnType<typeof decide>

const withSlots = (decision: Decision, change: Partial<Slots>): Decision => {
  const slots = { ...decision.slots, ...change }
  return { ...decision, slots, writes: { ...decision.writes, slots } }
}

const MIXED = /^(stored|identity|served)/

export const PLANTED_IDENTITY: readonly Planted[] = [
  {
    is: 'empties nothing when somebody signs out',
    plant: {
      decide: (...args) => {
        const decision = decide(...args)
        return { ...decision, writes: { ...decision.writes, wipe: false } }
      },
    },
    found: /^(stored|count)/,
  },
  {
    is: 'keeps the attributes of who is gone',
    plant: {
      decide: (view, ...rest) => {
        const decision = decide(view, ...rest)
        return decision.writes.wipe && view.slots ? withSlots(decision, { context: view.slots.context }) : decision
      },
    },
    found: MIXED,
  },
  {
    is: 'takes another user for the one before',
    plant: {
      decide: (...args) => {
        const decision = decide(...args)
        const { userSession: _, ...session } = decision.slots.session
        return withSlots(decision, { session })
      },
    },
    found: MIXED,
  },
  {
    is: 'tells the service nothing of a logout',
    plant: {
      ports: (ports) => ({
        ...ports,
        platform: { ...ports.platform, revoke: async () => ({ ok: true, value: null }) },
      }),
    },
    found: /^(stored|identity|served|former)/,
  },
]
