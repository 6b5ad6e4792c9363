// Signing in: the site's signed token joins the session of this browser to a user. Who the visitor was stays with them:
// another user never meets anything of the one before. What the platform says is adopted in core/session.ts.

import { HoldfastError } from '../core/errors.ts'
import type { Attempt } from '../core/attempt.ts'
import type { Input } from '../core/inputs.ts'
import { isInherited, isJoinable } from '../core/joining.ts'
import type { Clock, PlainGrant } from '../core/ports.ts'
import type { Opened } from '../core/session.ts'
import { countsIn } from '../core/snapshot.ts'
import type { Slots } from '../core/state.ts'
import type { Caller, Command } from '../core/wire.ts'
import { drain, type Leaving, logout } from './engine-logout.ts'
import { isBroker } from './engine-perform.ts'
import type { Ports } from './engine-ports.ts'
import { isLack, type Token } from './engine-tokens.ts'

/** So long the session may take to be open, before it can be joined to anybody. */
export const SIGN_IN_TIMEOUT_MS = 10_000
const LOOK_AGAIN_MS = 100
/** Of an access token that was refused in between. */
const TRIES_MAX = 3

export interface SignIn {
  readonly ports: Ports
  readonly leaving: Leaving
  /** Whose sign-ins these are: no other incarnation is called so. */
  readonly name: string
  submit(input: Input): Promise<unknown>
}

export interface Signer {
  run(caller: Caller, command: Authenticate): Promise<null>
}

type Authenticate = Command & { readonly type: 'authenticate' }
type Ask = { readonly type: 'joining'; readonly epoch: string; readonly joiner: string }
type Answer = { readonly opened: Opened; readonly grant: PlainGrant }

const signedOut = (): HoldfastError =>
  new HoldfastError('EPOCH_CHANGED', 'This visitor has signed out: connect again before you sign in.')

export const notSigned = (): HoldfastError =>
  new HoldfastError(
    'SERVICE_REFUSED',
    'This platform signs visitors in by a token of its own: see supplyTokens() of holdfast/tokens.',
  )

/**
 * Each after the one before: who comes second finds out that somebody else has signed in by now. A call that is repeated
 * while it is under way is the same call.
 * @throws {HoldfastError} `IDENTITY_REFUSED`, `SERVICE_UNREACHABLE`, `EPOCH_CHANGED`; nothing was changed
 */
export function signer(desk: SignIn): Signer {
  const running = new Map<string, Promise<null>>()
  let count = 0
  return {
    run(caller, command) {
      const { token } = command
      const last = [...running.values()].at(-1)
      const work = () => signIn(desk, caller, command, `${desk.name}.${++count}`)
      const next = running.get(token) ?? (last?.then(work, work) ?? work()).finally(() => running.delete(token))
      running.set(token, next)
      return next
    },
  }
}

/** Whoever comes while another user takes over, here or elsewhere, would meet nobody, and begin as a guest. */
export async function inherited(
  clock: Clock,
  arrive: () => Promise<unknown>,
  last: () => Slots | undefined,
): Promise<void> {
  for (let slots = last(); slots && isInherited(slots.session, clock.now()); slots = last()) {
    await pause(clock)
    await arrive()
  }
}

const pause = (clock: Clock): Promise<void> =>
  new Promise((resolve) => void clock.alarm(clock.now() + LOOK_AGAIN_MS, resolve))

async function signIn(desk: SignIn, caller: Caller, { token }: Authenticate, joiner: string): Promise<null> {
  const { leaving } = desk
  const before = await leaving.slots()
  if (before.session.isSignedOut || (caller.epoch !== '' && caller.epoch !== before.session.epoch)) throw signedOut()
  // If this is another user, what was said before is said by who said it.
  if (before.session.userSession !== undefined) await drain(leaving)
  const ask = { type: 'joining', epoch: before.session.epoch, joiner } as const
  try {
    return await join(desk, joiner, await asked(desk, ask, token))
  } catch (error) {
    // It may be joined there, and is not here.
    await desk.submit({ ...ask, step: 'unknown' })
    throw error
  }
}

async function join(desk: SignIn, joiner: string, { opened, grant }: Answer): Promise<null> {
  const slots = await desk.leaving.slots()
  const { userSession } = slots.session
  if (slots.session.joiner !== joiner) throw signedOut()
  const isOther = userSession !== undefined && userSession !== opened.sessionId
  // Taken out before everything is emptied.
  const refreshToken = isOther ? await kept(desk, slots) : undefined
  const { lease } = slots
  // A refresh whose answer was lost is repeated under its key, whoever is signed in by then.
  const isKept = isOther && grant.refreshToken === undefined && lease.status === 'held'
  if (isOther) await emptied(desk, slots, joiner)
  await adopt(
    desk,
    joiner,
    opened,
    { ...(refreshToken && { refreshToken }), ...grant },
    isKept ? lease.refresh : undefined,
  )
  return null
}

/** Asks the platform, once there is a session that can be joined. */
async function asked(desk: SignIn, ask: Ask, identity: string): Promise<Answer> {
  const { ports, leaving } = desk
  const { authenticate } = ports.platform
  if (authenticate === undefined) throw notSigned()
  const deadline = leaving.clock.now() + SIGN_IN_TIMEOUT_MS
  for (let tries = 1; ; tries++) {
    const { slots, token } = await ready(desk, ask, deadline)
    const conversationId = slots.session.conversation?.id ?? null
    const outcome = await authenticate({ token: token.value, identity, conversationId })
    if (outcome.ok) return outcome.value
    const { verdict, code, reason, retryAfterMs = 0 } = outcome
    await desk.submit({ ...ask, step: verdict === 'refuse' ? 'refused' : 'unknown', retryAfterMs })
    if (verdict !== 'refresh' || tries === TRIES_MAX) throw failed(code, reason)
  }
}

const failed = (code: HoldfastError['code'], reason: string): HoldfastError =>
  new HoldfastError(code, `Nobody was signed in, and nothing was changed. (${reason})`)

async function ready(
  { leaving, submit }: SignIn,
  ask: Ask,
  deadline: number,
): Promise<{ readonly slots: Slots; readonly token: Token }> {
  const { clock, performer } = leaving
  for (;;) {
    const slots = await leaving.slots()
    if (slots.session.epoch !== ask.epoch) throw signedOut()
    const token = await performer.tokens.of(slots)
    if (isJoinable(slots) && !isLack(token)) {
      const { generation } = token
      // Before it is asked: whoever finds this finds out whose the session is before anything of it is used.
      if (await submit({ ...ask, generation, step: 'asked' })) return { slots, token }
    }
    if (clock.now() >= deadline) {
      const message = 'There is no session yet that could be joined to a user: try again when the service answers.'
      throw new HoldfastError('SERVICE_UNREACHABLE', message)
    }
    await pause(clock)
  }
}

/** The refresh token stays with the browser, whoever is signed in: it goes over the wipe in memory only. */
async function kept({ ports, leaving }: SignIn, slots: Slots): Promise<string | undefined> {
  return isBroker(ports) ? undefined : (await leaving.performer.tokens.last(slots.lease))?.refreshToken
}

/** Another user: the one before is wiped, as by a logout, but for the service, which knows. */
async function emptied(desk: SignIn, slots: Slots, joiner: string): Promise<void> {
  const { leaving } = desk
  const { queued, inflight, parked = 0 } = countsIn(slots)
  const caller = { protocol: 0, deployment: '', tab: '', epoch: slots.session.epoch, visible: false }
  await logout(leaving, caller, { type: 'logout', unsent: 'discard' }, joiner)
  const count = queued + inflight + parked
  const message = `Another user signed in: ${count} messages that the one before had not sent were discarded.`
  if (count > 0) desk.ports.channel.publish({ v: 1, type: 'problem', code: 'OUTBOX_UNSENT', message })
}

async function adopt(
  { leaving, submit }: SignIn,
  joiner: string,
  opened: Opened,
  grant: PlainGrant,
  refresh?: Attempt,
): Promise<void> {
  const sealed = await leaving.performer.tokens.seal(grant)
  await submit({ type: 'identified', joiner, opened, grant: sealed, ...(refresh && { refresh }) })
  const { session } = await leaving.slots()
  if (session.userSession !== opened.sessionId) throw signedOut()
}
