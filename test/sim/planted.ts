// Wrong machines, each made by changing what the engine is given: a port, or the decision of a turn. The simulation must
// notice every one of them, or it would not notice the same mistake in ours.

import { decide } from '../../core/decide.ts'
import type { Input } from '../../core/inputs.ts'
import type { Entry } from '../../core/outbox.ts'
import type { Outcome, Platform, View } from '../../core/ports.ts'
import type { Slots } from '../../core/state.ts'
import type { Transcript } from '../../core/transcript.ts'
import type { Ports } from '../../sw/engine-ports.ts'
import type { Extras } from '../../testing/extras.ts'
import type { Plant } from '../../testing/sim-life.ts'

export interface Planted {
  readonly is: string
  readonly plant: Plant
  /** Runs without this cannot show it, and are not tried. */
  readonly needs?: (extras: Extras) => boolean
  /** How a finding of it begins. */
  readonly found: RegExp
}

type Decide = typeof decide
type Decision = ReturnType<Decide>

const onPlatform = (change: (platform: Platform, ports: Ports) => Partial<Platform>): Plant => ({
  ports: (ports) => ({ ...ports, platform: { ...ports.platform, ...change(ports.platform, ports) } }),
})

/** Changes what a turn has decided. */
const afterwards = (change: (decision: Decision, view: View) => Decision): Plant => ({
  decide: (view, ...rest) => change(decide(view, ...rest), view),
})

const withSlots = (decision: Decision, change: Partial<Slots>): Decision => {
  const slots = { ...decision.slots, ...change }
  return { ...decision, slots, writes: { ...decision.writes, slots } }
}

const actsBeforeCommit: Plant = {
  ports: (ports) => ({
    ...ports,
    store: {
      ...ports.store,
      turn: (wanted, choose) =>
        new Promise((resolve, reject) => {
          ports.store
            .turn(wanted, (view) => {
              const result = choose(view)
              resolve(result)
              return result
            })
            .catch(reject)
        }),
    },
  }),
}

/** The cursor goes where the newest message is, whatever is missing below. */
function passesGaps(decision: Decision): Decision {
  const { transcript } = decision.slots
  const top = transcript.above.at(-1)
  if (top === undefined) return decision
  const passed: Transcript = { ...transcript, cursor: { seq: top.seq, id: top.id }, above: [] }
  return withSlots(decision, { transcript: passed })
}

/** What is about to be sent is taken out of the outbox first. */
function deletesBeforeSend(decision: Decision): Decision {
  const sent = decision.actions.flatMap((action) => (action.type === 'send' ? action.entries : []))
  if (sent.length === 0) return decision
  const lanes = { ...decision.slots.outbox.lanes }
  for (const { lane } of sent) {
    const former = lanes[lane]
    if (former !== undefined) lanes[lane] = { ...former, size: former.size - 1 }
  }
  const { writes } = decision
  const dropped = { ...writes, dropEntries: [...writes.dropEntries, ...sent] }
  return withSlots({ ...decision, writes: dropped }, { outbox: { ...decision.slots.outbox, lanes } })
}

/** A refused message is simply dropped. */
function dropsRefused(decision: Decision): Decision {
  const held = decision.writes.putEntries.filter((entry) => entry.held !== undefined)
  if (held.length === 0) return decision
  const { outbox } = decision.slots
  const count = (status: 'dead' | 'stale') =>
    outbox[status] - held.filter((entry) => entry.held?.status === status).length
  const counted = { ...outbox, dead: count('dead'), stale: count('stale') }
  const kept = decision.writes.putEntries.filter((entry) => entry.held === undefined)
  const writes = { ...decision.writes, putEntries: kept, dropEntries: [...decision.writes.dropEntries, ...held] }
  return withSlots({ ...decision, writes }, { outbox: counted })
}

/** Any answer to a refresh counts, whoever asked for it and however long ago. */
const believesLateRefreshes: Decide = (view, inputs, ...rest) => {
  const late = inputs.find(isGrant)
  if (late === undefined || view.slots === undefined) return decide(view, inputs, ...rest)
  const { lease } = view.slots
  const { claim, outcome } = late
  const refresh = { status: 'running', ...claim, owner: '', retryAt: 0 } as const
  const times = { refreshAt: 0, receivedAt: 0, rejections: 0, isSpent: false }
  const held =
    lease.status === 'held'
      ? { ...lease, refresh }
      : ({ status: 'held', generation: lease.generation, grant: outcome.value, ...times, refresh } as const)
  return decide({ ...view, slots: { ...view.slots, lease: held } }, inputs, ...rest)
}

const SEAL_MS = 3_000

/** Sealed so slowly that much happens between the answer and the turn that hears of it: no mistake by itself. */
const sealsSlowly: NonNullable<Plant['ports']> = (ports) => {
  const { clock, vault } = ports
  const later = () => new Promise<void>((resolve) => clock.alarm(clock.now() + SEAL_MS, resolve))
  return { ...ports, vault: { ...vault, mode: vault.mode, seal: (secret) => later().then(() => vault.seal(secret)) } }
}

type Refreshed = Extract<Input, { type: 'refreshed' }>
const isGrant = (input: Input): input is Refreshed & { outcome: { ok: true } } =>
  input.type === 'refreshed' && input.outcome.ok

/** The newest entry goes first. */
const sendsNewestFirst = (decision: Decision): Decision => ({
  ...decision,
  actions: decision.actions.map((action) =>
    action.type === 'send' ? { ...action, entries: [...action.entries].reverse() as readonly Entry[] } : action,
  ),
})

function withoutWish<T>(outcome: Outcome<T>): Outcome<T> {
  if (outcome.ok) return outcome
  const { retryAfterMs: _, ...rest } = outcome
  return rest
}

/** Nobody remembers that it was only forgotten. */
function asRefused(input: Input): Input {
  if (input.type === 'stream' && input.report.type === 'ended')
    return { ...input, report: { ...input.report, isForgotten: false } }
  return 'outcome' in input && !input.outcome.ok && 'isForgotten' in input.outcome
    ? ({ ...input, outcome: { ...input.outcome, isForgotten: false } } as Input)
    : input
}

const firstTries = new Map<string, number>()
function lateKey(key: string, now: number, fresh: () => string): string {
  const first = firstTries.get(key) ?? now
  firstTries.set(key, first)
  return now - first > 15_000 ? fresh() : key
}

export const PLANTED: readonly Planted[] = [
  {
    is: 'acts before it has committed',
    plant: actsBeforeCommit,
    found: /^(lost|acked|forgotten|refresh|twice|refused)/,
  },
  {
    is: 'makes a new key for each attempt',
    plant: onPlatform((platform, { random }) => ({
      send: (request) => platform.send({ ...request, message: { ...request.message, key: random.key() } }),
    })),
    found: /^(twice|unknown)/,
  },
  { is: 'lets the cursor pass gaps', plant: afterwards(passesGaps), found: /^cursor/ },
  { is: 'deletes before it sends', plant: afterwards(deletesBeforeSend), found: /^(lost|forgotten)/ },
  {
    is: 'believes late answers to a refresh',
    plant: { ports: sealsSlowly, decide: believesLateRefreshes },
    found: /^(former|identity|sessions|elsewhere|stuck)/,
  },
  {
    is: 'takes any answer for an acknowledgement',
    plant: onPlatform((platform) => ({
      async send(request) {
        const outcome = await platform.send(request)
        const isStrange = !outcome.ok && outcome.code === 'SERVICE_BAD_RESPONSE'
        return isStrange ? { ok: true, value: { id: 'none', seq: 1_000_000, at: 0 } } : outcome
      },
    })),
    found: /^(acked|invented|lost)/,
  },
  {
    is: 'refreshes under a new key each time',
    plant: onPlatform((platform, { random }) => ({
      refresh: (request) => platform.refresh({ ...request, key: random.key() }),
    })),
    found: /^(refresh|revoked)/,
  },
  {
    is: 'does not obey Retry-After',
    plant: onPlatform((platform) => ({
      send: async (request) => withoutWish(await platform.send(request)),
      push: async (request) => withoutWish(await platform.push(request)),
    })),
    found: /^hurry/,
  },
  {
    is: 'sends the newest first',
    plant: afterwards(sendsNewestFirst),
    found: /^order/,
  },
  { is: 'drops what is refused', plant: afterwards(dropsRefused), found: /^forgotten/ },
  {
    is: 'calls with a placeholder where a token is gone',
    plant: {
      ports: (ports) => ({
        ...ports,
        vault: { ...ports.vault, open: async (sealed) => (await ports.vault.open(sealed)) ?? 'ACCESS_TOKEN_SECURED' },
      }),
    },
    found: /^placeholder/,
  },
  {
    is: 'takes a token that a stopped worker had for a refused one',
    plant: {
      decide: (view, inputs, ...rest) => decide(view, inputs.map(asRefused), ...rest),
    },
    needs: ({ isMemory }) => isMemory,
    found: /^(stuck|lost|unsettled)/,
  },
  {
    is: 'makes a new key when it wakes late',
    plant: onPlatform((platform, { clock, random }) => ({
      refresh: (request) => platform.refresh({ ...request, key: lateKey(request.key, clock.now(), random.key) }),
    })),
    found: /^(refresh|revoked)/,
  },
  {
    is: 'names a token where it explains a failure',
    plant: onPlatform((platform) => ({
      async send(request) {
        const outcome = await platform.send(request)
        return outcome.ok ? outcome : { ...outcome, reason: `It was refused with ${request.token}.` }
      },
    })),
    found: /^secret/,
  },
]
