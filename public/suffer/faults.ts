// The six faults: their names, what they do in one sentence, what to watch, and the calls that bring them about.
// The demo's own server does the harm (public/serve-faults.ts); only the worker's end is asked for from here.

export type FaultId = 'kill-worker' | 'offline' | 'cut-answer' | 'expire-token' | 'half-open' | 'restart'

export interface Fault {
  readonly id: FaultId
  readonly name: string
  readonly does: string
  readonly watch: string
  /** A fault that stays until it is taken back, and the word for that. */
  readonly release?: string
}

export const FAULTS: readonly Fault[] = [
  {
    id: 'kill-worker',
    name: 'Kill the worker',
    does: 'Puts a new service worker in its place, mid-work;',
    watch: 'what was waiting still leaves, once.',
  },
  {
    id: 'offline',
    name: 'Go offline',
    release: 'Come back',
    does: 'Puts the service out of this browser’s reach;',
    watch: 'messages wait, then leave in order.',
  },
  {
    id: 'cut-answer',
    name: 'Cut the answer',
    release: 'Leave it',
    does: 'Loses the server’s answer to your next message;',
    watch: 'it is tried again and arrives once.',
  },
  {
    id: 'expire-token',
    name: 'Expire the token',
    does: 'Ends every access token before its time;',
    watch: 'one refresh, and the lease counts anew.',
  },
  {
    id: 'half-open',
    name: 'Half-open the socket',
    release: 'Let go',
    does: 'Leaves the live connection open but dead;',
    watch: 'the heartbeat notices in about 15 s.',
  },
  {
    id: 'restart',
    name: 'Restart the server',
    does: 'Takes the service away for a second;',
    watch: 'the same conversation is back, live.',
  },
]

/** What the demo's server says about its faults. */
export interface FaultState {
  readonly offline: boolean
  readonly cutAnswers: number
  readonly halfOpen: number
  readonly build: number
  /** Those that this platform's visitors cannot feel. */
  readonly unfelt?: readonly FaultId[]
}

export const NO_FAULTS: FaultState = { offline: false, cutAnswers: 0, halfOpen: 0, build: 1 }

export function isActive(state: FaultState, id: FaultId): boolean {
  return (
    (id === 'offline' && state.offline) ||
    (id === 'cut-answer' && state.cutAnswers > 0) ||
    (id === 'half-open' && state.halfOpen > 0)
  )
}

const ADDRESS = '/demo/faults'

export async function readFaults(): Promise<FaultState> {
  return answerOf(await fetch(ADDRESS))
}

export async function setFault(id: FaultId, on: boolean): Promise<FaultState> {
  const headers = { 'Content-Type': 'application/json' }
  const state = await answerOf(
    await fetch(ADDRESS, { method: 'POST', headers, body: JSON.stringify({ fault: id, on }) }),
  )
  if (id === 'kill-worker') await replaceWorker()
  return state
}

async function answerOf(response: Response): Promise<FaultState> {
  if (!response.ok) throw new Error(`The demo server answered ${response.status}.`)
  return (await response.json()) as FaultState
}

/** The demo server has given the worker's file another build number, so an update is a new worker. */
async function replaceWorker(): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration('/holdfast/')
  if (registration === undefined) throw new Error('There is no service worker here to kill.')
  await registration.update()
}
