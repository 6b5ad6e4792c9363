// Carries out what a turn decided: calls the platform with an opened token, and reports what came of it as an input.
// It decides nothing and never throws: an expected failure is a value.

import type { Action, Input } from '../core/inputs.ts'
import type { Lease } from '../core/lease.ts'
import type { Calls, Outcome, Stream } from '../core/ports.ts'
import type { SendAction } from '../core/sends.ts'
import type { Slots } from '../core/state.ts'
import type { Ports } from './engine-ports.ts'
import { sealed, type Token, Tokens } from './engine-tokens.ts'

/**
 * While a run is being sent, acknowledgements and echoes wait so long for company: they share a turn. Killed meanwhile,
 * the entries are sent again with their keys.
 */
const GATHER_MS = 200

/** Without a token there is no call. It could not be opened, so its generation is as good as refused. */
const NO_TOKEN = {
  ok: false,
  verdict: 'refresh',
  code: 'LEASE_EXPIRED',
  reason: 'There was no token to call with.',
} as const satisfies Outcome<never>

export class Performer {
  readonly stream: Stream
  /** What is on its way. */
  readonly busy = new Set<Promise<void>>()
  readonly #ports: Ports
  readonly #report: (input: Input) => void
  readonly #tokens: Tokens
  /** What the stream runs on: nothing while we want none. */
  #live: { readonly conversationId: string; readonly generation: number } | undefined
  #epoch = ''
  #gathered: Input[] = []
  #runs = 0
  /** What may set the cookie, one after the other. */
  #cookie: Promise<void> = Promise.resolve()

  constructor(ports: Ports, report: (input: Input) => void) {
    this.#ports = ports
    this.#report = report
    this.#tokens = new Tokens(ports.vault, ports.clock)
    this.stream = ports.stream((heard) => {
      if (this.#live === undefined) return
      const input: Input = { type: 'stream', report: heard, ...this.#live }
      if (this.#runs > 0 && heard.type === 'rows') this.#gather(input)
      else report(input)
    })
  }

  perform(actions: readonly Action[], slots: Slots): void {
    this.#epoch = slots.session.epoch
    for (const work of [this.#follow(slots), ...actions.map((action) => this.#run(action, slots))]) {
      const tracked = work.finally(() => this.busy.delete(tracked))
      this.busy.add(tracked)
    }
  }

  /** Takes the tokens out now, so that the service can be told after everything here is emptied. */
  async revocation(lease: Lease): Promise<() => Promise<unknown>> {
    // Where a cookie says who somebody is, only the service can end it, and the state sees to that.
    const tokens = this.#ports.vault.mode === 'broker' ? undefined : await this.#tokens.last(lease)
    return async () => tokens && this.#ports.platform.revoke(tokens)
  }

  async #run(action: Action, slots: Slots): Promise<void> {
    const { platform } = this.#ports
    const report = this.#report
    const conversationId = slots.session.conversation?.id ?? ''
    switch (action.type) {
      case 'probe':
        return this.stream.probe()
      case 'open':
        return this.#inTurn(() => this.#open(action, slots))
      case 'part':
        return this.#inTurn(async () => {
          report({ type: 'parted', claim: action.claim, outcome: await platform.revoke({}) })
        })
      case 'refresh':
        return this.#inTurn(() => this.#refresh(action))
      case 'connect':
        return this.#connect(action, slots)
      case 'send': {
        const token = await this.#tokens.of(slots)
        if (token !== undefined) return this.#send(action, slots, token)
        const { lane, claim } = action
        return report({
          type: 'sent',
          lane,
          claim,
          outcome: NO_TOKEN,
          generation: slots.lease.generation,
          conversationId,
        })
      }
      case 'make': {
        const { claim, previousId, routing, attributes } = action
        const former = slots.session.conversation
        const ask = (token: string) => platform.make({ key: claim.key, token, previousId, routing, attributes, former })
        return this.#call(slots, ask, (outcome, generation) => report({ type: 'made', claim, outcome, generation }))
      }
      case 'push': {
        const { claim, delta, version } = action
        const ask = (token: string) => platform.push({ token, conversationId, delta, version })
        return this.#call(slots, ask, (outcome, generation) =>
          report({ type: 'pushed', claim, outcome, generation, conversationId }),
        )
      }
      case 'backfill': {
        const { claim, conversationId, afterId } = action
        const ask = (token: string) => this.#calls.backfill({ token, conversationId, afterId })
        return this.#call(slots, ask, (outcome, generation) =>
          report({ type: 'backfilled', claim, outcome, generation, conversationId }),
        )
      }
    }
  }

  /** An answer that nobody awaits any more still sets its cookie: whoever comes next must not ask before it is there. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    if (this.#ports.vault.mode !== 'broker') return work()
    this.#cookie = this.#cookie.then(work, work)
    return this.#cookie
  }

  async #call<T>(
    slots: Slots,
    ask: (token: string) => Promise<Outcome<T>>,
    give: (outcome: Outcome<T>, generation: number) => void,
  ): Promise<void> {
    const token = await this.#tokens.of(slots)
    give(token === undefined ? NO_TOKEN : await ask(token.value), token?.generation ?? slots.lease.generation)
  }

  async #open({ claim, conversationId }: Action & { type: 'open' }, slots: Slots): Promise<void> {
    const { platform, vault } = this.#ports
    const wantsRefreshToken = vault.mode !== 'broker'
    const token = wantsRefreshToken ? await this.#tokens.of(slots) : undefined
    const request = { key: claim.key, wantsRefreshToken, conversationId }
    const answer = await platform.open(token === undefined ? request : { ...request, token: token.value })
    const outcome = await sealed(answer, async ({ opened, grant }) => ({
      opened,
      grant: await this.#tokens.seal(grant),
    }))
    this.#report({ type: 'opened', claim, outcome, generation: slots.lease.generation })
  }

  async #refresh({ claim, refresh }: Action & { type: 'refresh' }): Promise<void> {
    const held = await this.#tokens.refreshOf(refresh)
    if (held === undefined) {
      const reason = 'The refresh token cannot be opened any more: its key is gone.'
      const outcome = { ok: false, verdict: 'auth-required', code: 'LEASE_EXPIRED', reason } as const
      return this.#report({ type: 'refreshed', claim, outcome })
    }
    const answer = await this.#ports.platform.refresh({ key: claim.key, ...held })
    this.#report({ type: 'refreshed', claim, outcome: await sealed(answer, (grant) => this.#tokens.seal(grant)) })
  }

  /** Some platforms take over the open connection what others take by requests. */
  get #calls(): Required<Calls> {
    return { ...this.#ports.platform, ...this.stream.calls }
  }

  async #connect({ claim, conversationId }: Action & { type: 'connect' }, slots: Slots): Promise<void> {
    const { generation } = slots.lease
    const { conversation } = slots.session
    this.#live = { conversationId, generation }
    const token = await this.#tokens.of(slots)
    const afterSeq = slots.transcript.cursor.seq
    const request = { claim, conversationId, afterSeq, ...(conversation && { conversation }) }
    if (token !== undefined) return this.stream.connect({ ...request, token: token.value })
    const report = { type: 'ended', claim, verdict: 'refresh', reason: NO_TOKEN.reason } as const
    this.#report({ type: 'stream', report, generation, conversationId })
  }

  /** A run: one after the other, up to the first that fails for another reason than itself. */
  async #send(
    { lane, claim, entries, attributes }: SendAction,
    slots: Slots,
    { value, generation }: Token,
  ): Promise<void> {
    const { conversation, epoch } = slots.session
    if (conversation === null) return
    const conversationId = conversation.id
    let end: Outcome<null> = { ok: true, value: null }
    this.#runs += 1
    for (const { key, text, metadata } of entries) {
      // Another identity by now: what is left of this run belongs to nobody.
      if (this.#epoch !== epoch) break
      const message = metadata === undefined ? { key, text } : { key, text, metadata }
      const request = { token: value, conversation, message, ...(attributes && { attributes }) }
      const outcome = await this.#calls.send(request)
      if (outcome.ok) {
        this.#gather({ type: 'acked', key, conversationId, generation, ...outcome.value })
      } else if (outcome.verdict === 'refuse') {
        this.#report({ type: 'refused', key, code: outcome.code, reason: outcome.reason })
      } else {
        end = outcome
        break
      }
    }
    this.#runs -= 1
    this.#flush()
    if (this.#epoch === epoch) this.#report({ type: 'sent', lane, claim, outcome: end, generation, conversationId })
  }

  #gather(input: Input): void {
    const { clock } = this.#ports
    this.#gathered.push(input)
    if (this.#gathered.length === 1) clock.alarm(clock.now() + GATHER_MS, () => this.#flush())
  }

  #flush(): void {
    for (const input of this.#gathered.splice(0)) this.#report(input)
  }

  /** The stream follows the state: let go when nobody wants it, swap the token when there is a newer one. */
  async #follow(slots: Slots): Promise<void> {
    const { isOpen, attempt } = slots.session.stream
    if (this.#live === undefined) return
    if (!isOpen && attempt.status !== 'running') {
      this.#live = undefined
      return this.stream.close()
    }
    if (!isOpen || slots.lease.generation === this.#live.generation) return
    const token = await this.#tokens.of(slots)
    if (token === undefined || this.#live === undefined) return
    this.#live = { ...this.#live, generation: token.generation }
    this.stream.reauth(token.value)
  }
}
