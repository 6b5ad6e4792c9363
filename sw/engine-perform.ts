// Carries out what a turn decided: calls the platform with an opened token, and reports what came of it as an input.
// It decides nothing and never throws: an expected failure is a value.

import type { AttachAction } from '../core/attach.ts'
import { type Claim, isHeld, REQUEST_MS } from '../core/attempt.ts'
import type { Action, Input } from '../core/inputs.ts'
import { leaseOf } from '../core/leases.ts'
import type { Calls, Outcome, PlainGrant, Stream, TokenSource, Tokens as NamedTokens } from '../core/ports.ts'
import type { SendAction } from '../core/sends.ts'
import type { Slots } from '../core/state.ts'
import { attach } from './engine-attach.ts'
import { Gathering } from './engine-gather.ts'
import { part } from './engine-part.ts'
import type { Ports } from './engine-ports.ts'
import { dated, isLack, LATE, NO_SOURCE, TAKEN, Tokens } from './engine-tokens.ts'

export class Performer {
  readonly stream: Stream
  /** What is on its way. */
  readonly busy = new Set<Promise<void>>()
  readonly #ports: Ports
  readonly #submit: (input: Input) => Promise<unknown>
  readonly #report: (input: Input) => void
  readonly tokens: Tokens
  /** What the stream runs on: nothing while we want none. A wish that was held up finds another here, or none. */
  #live: { readonly conversationId: string; generation: number; tokens: string } | undefined
  #epoch = ''
  readonly #gathering: Gathering
  /** What may set the cookie, one after the other. */
  #cookie: Promise<void> = Promise.resolve()

  constructor(ports: Ports, submit: (input: Input) => Promise<unknown>, report: (input: Input) => void) {
    this.#ports = ports
    this.#submit = submit
    this.#report = report
    this.tokens = new Tokens(ports.vault, ports.clock)
    this.#gathering = new Gathering(ports, report)
    this.stream = ports.stream((heard) => {
      if (this.#live === undefined) return
      const { conversationId, generation } = this.#live
      const input: Input = { type: 'stream', report: heard, conversationId, generation }
      const isEcho = heard.type === 'rows' && heard.rows.every(({ key }) => key)
      if (this.#gathering.runs > 0 && isEcho) return this.#gathering.add(input)
      this.#gathering.flush()
      report(input)
    })
  }

  perform(actions: readonly Action[], slots: Slots): void {
    const { epoch } = slots.session
    if (this.#epoch !== epoch) this.tokens.forget()
    this.#epoch = epoch
    for (const work of [this.#follow(slots), ...actions.map((action) => this.#run(action, slots))]) {
      const tracked = work.finally(() => this.busy.delete(tracked))
      this.busy.add(tracked)
    }
  }

  /** Forgets every secret, and what was on its way for who is gone. */
  async forget(): Promise<void> {
    this.tokens.forget()
    this.#gathering.forget()
    await this.#ports.vault.forget()
  }

  async #run(action: Action, slots: Slots): Promise<void> {
    const { platform } = this.#ports
    const report = this.#report
    const { conversation: former } = slots.session
    switch (action.type) {
      case 'probe':
        return this.stream.probe()
      case 'open':
        return this.#inTurn(() => this.#open(action, slots))
      case 'part':
        return this.#inTurn(() => this.#part(action))
      case 'refresh':
        return action.lease === undefined
          ? this.#inTurn(() => this.#refresh(action, slots.session.epoch))
          : this.#refresh(action, slots.session.epoch)
      case 'ask':
        return this.#ports.channel.publish({ v: 1, type: 'token-wanted', lease: action.lease })
      case 'connect':
        return this.#connect(action, slots)
      case 'send':
        return this.#send(action, slots)
      case 'attach':
        return this.#attach(action, slots)
      case 'make': {
        const ask = (token: string) => platform.make({ ...action, key: action.claim.key, token, former })
        return report({ type: 'made', ...(await this.#call(slots, action, ask)) })
      }
      case 'push': {
        const ask = (token: string) => platform.push({ ...action, token, conversationId: former?.id ?? '' })
        return report({ type: 'pushed', ...(await this.#call(slots, action, ask)) })
      }
      case 'mark': {
        const ask = async (token: string) => (await platform.mark?.({ ...action, token })) ?? TAKEN
        return report({ type: 'marked', seq: action.seq, ...(await this.#call(slots, action, ask)) })
      }
      case 'backfill': {
        const tokens = await this.#others(slots)
        const ask = (token: string) => this.#calls.backfill({ ...action, token, ...tokens })
        return report({ type: 'backfilled', ...(await this.#call(slots, action, ask)) })
      }
    }
  }

  /** Held up, by a sleep or in the line, until an answer might come behind the next try: two of them would be on their way. */
  readonly #isLate = ({ until = Number.POSITIVE_INFINITY }: Claim) => this.#ports.clock.now() + REQUEST_MS >= until

  /** An answer that nobody awaits any more still sets its cookie: whoever comes next must not ask before it is there. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    if (!isBroker(this.#ports)) return work()
    this.#cookie = this.#cookie.then(work, work)
    return this.#cookie
  }

  /** What a former conversation has after a message; nothing while there is no token to ask with. */
  async recall(slots: Slots, conversationId: string, afterId: string) {
    const { platform, clock } = this.#ports
    const token = await this.tokens.of(slots)
    if (isLack(token) || isHeld(slots.transcript.fetch, clock.now())) return undefined
    const outcome = await platform.backfill({ token: token.value, conversationId, afterId })
    if (!outcome.ok && outcome.retryAfterMs) this.#report({ type: 'held', retryAfterMs: outcome.retryAfterMs })
    return outcome
  }

  /** Calls with the token of the session, and says what came of it. */
  async #call<T>(slots: Slots, action: Claimed, ask: (token: string) => Promise<Outcome<T>>) {
    const token = await this.tokens.of(slots)
    const held = this.#isLate(action.claim) ? LATE : token
    return cameOf<T>(slots, action, isLack(held) ? held : dated(await ask(held.value), slots))
  }

  /** What the further leases hold. One whose token was in the memory of a former worker has to be fetched again. */
  async #others(slots: Slots): Promise<{ readonly tokens?: NamedTokens }> {
    const { capabilities } = this.#ports.platform
    const tokens: { [lease: string]: string } = {}
    for (const { name } of capabilities.leases ?? []) {
      const token = await this.tokens.of(slots, name)
      if (!isLack(token)) tokens[name] = token.value
      else if (token.isForgotten) {
        const { generation } = leaseOf(slots, name)
        this.#report({ type: 'rejected', lease: name, generation, isForgotten: true })
      }
    }
    return capabilities.leases === undefined ? {} : { tokens }
  }

  async #open({ claim, conversationId }: Action & { type: 'open' }, slots: Slots): Promise<void> {
    const { platform } = this.#ports
    const wantsRefreshToken = !isBroker(this.#ports)
    const token = await this.tokens.of(slots)
    const request = { key: claim.key, wantsRefreshToken, conversationId }
    const { generation, status } = slots.lease
    // A cookie names whom it names, whatever token is beside it.
    const isNamed = wantsRefreshToken || this.#ports.sources?.session !== undefined
    const named = isNamed && !isLack(token) && { token: token.value }
    // Without the token that we had a moment ago it would be the session of somebody new, beside our own.
    const isNobody = isNamed && isLack(token) && status === 'held'
    const answer = this.#isLate(claim) ? LATE : isNobody ? token : await platform.open({ ...request, ...named })
    // Of who is gone by now, nothing is kept: not even sealed, or in memory.
    if (this.#epoch !== slots.session.epoch) return
    const outcome = await this.tokens.sealed(answer, async ({ opened, grant }) =>
      grant === undefined ? { opened } : { opened, grant: await this.tokens.seal(grant) },
    )
    this.#report({ type: 'opened', claim, outcome: dated(outcome, slots), generation })
  }

  async #part({ claim, will }: Action & { type: 'part' }): Promise<void> {
    this.#report({ type: 'parted', claim, outcome: this.#isLate(claim) ? LATE : await part(this.#ports, will) })
  }

  async #refresh({ lease, claim, refresh }: Action & { type: 'refresh' }, epoch: string): Promise<void> {
    const named = lease === undefined ? {} : { lease }
    const opened = await this.tokens.refreshOf(refresh)
    const held = this.#isLate(claim) ? LATE : opened
    const source: Partial<TokenSource> = this.#ports.sources?.[lease ?? 'session'] ?? this.#ports.platform
    const answer = 'ok' in held ? held : ((await source.refresh?.({ key: claim.key, ...named, ...held })) ?? NO_SOURCE)
    if (this.#epoch !== epoch) return
    const outcome = await this.tokens.sealed(answer, (grant: PlainGrant) => this.tokens.seal(grant))
    this.#report({ type: 'refreshed', ...named, claim, outcome })
  }

  /** Some platforms take over the open connection what others take by requests. */
  get #calls(): Calls & Required<Pick<Calls, 'send' | 'backfill'>> {
    return { ...this.#ports.platform, ...this.stream.calls }
  }

  async #connect({ claim, conversationId }: Action & { type: 'connect' }, slots: Slots): Promise<void> {
    const { generation } = slots.lease
    const { conversation } = slots.session
    const live = (this.#live = { conversationId, generation, tokens: this.#generations(slots) })
    const [token, others] = [await this.tokens.of(slots), await this.#others(slots)]
    if (this.#live !== live) return
    // The newest that we know comes along once more: whether it is still the same says whether the log is.
    const afterSeq = Math.max(0, slots.transcript.cursor.seq - 1)
    const { values: attributes } = slots.context
    const request = { claim, conversationId, afterSeq, attributes, ...(conversation && { conversation }), ...others }
    if (!isLack(token)) return this.stream.connect({ ...request, token: token.value })
    this.#report({ type: 'stream', report: { type: 'ended', claim, ...token }, generation, conversationId })
  }

  /** Which tokens the stream runs on, as one word. */
  #generations(slots: Slots): string {
    const leases = this.#ports.platform.capabilities.leases ?? []
    const live = leases.filter(({ neededAt }) => neededAt !== 'request')
    return [undefined, ...live.map(({ name }) => name)].map((name) => leaseOf(slots, name).generation).join()
  }

  /** A run: one after the other, up to the first that fails for another reason than itself. */
  async #send(action: SendAction, slots: Slots): Promise<void> {
    const { claim, entries, attributes } = action
    const { conversation, epoch } = slots.session
    const held = await this.tokens.of(slots)
    if (isLack(held)) return this.#sent(slots, action, held)
    if (conversation === null) return
    const token = held.value
    const conversationId = conversation.id
    const { generation } = slots.lease
    let end: Outcome<null> = { ok: true, value: null }
    this.#gathering.runs += 1
    for (const { key, text, metadata, attachments } of entries) {
      // Another identity by now: what is left of this run belongs to nobody.
      if (this.#epoch !== epoch) break
      const message = metadata === undefined ? { key, text } : { key, text, metadata }
      const files = attachments && { attachments: attachments.flatMap(({ id }) => id ?? []) }
      const request = { token, conversation, message, ...files, ...(attributes && { attributes }) }
      const outcome = this.#isLate(claim) ? LATE : await this.#calls.send(request)
      if (outcome.ok) {
        this.#gathering.add({ type: 'acked', key, conversationId, generation, ...outcome.value })
      } else if (outcome.verdict === 'refuse') {
        this.#report({ type: 'refused', key, code: outcome.code, reason: outcome.reason })
      } else {
        end = outcome
        break
      }
    }
    this.#gathering.runs -= 1
    this.#gathering.flush()
    if (this.#epoch === epoch) this.#sent(slots, action, end)
  }

  #sent(slots: Slots, action: SendAction | AttachAction, outcome: Outcome<null>): void {
    this.#report({ type: 'sent', lane: action.lane, ...cameOf(slots, action, outcome) })
  }

  async #attach(action: AttachAction, slots: Slots): Promise<void> {
    const { epoch, conversation } = slots.session
    const conversationId = conversation?.id ?? ''
    const token = await this.tokens.of(slots)
    const isCurrent = () => this.#epoch === epoch
    const isLate = () => this.#isLate(action.claim)
    const deps = { ...this.#ports, ...this.#calls, conversationId, submit: this.#submit, isCurrent, isLate }
    const outcome = isLack(token) ? token : await attach(action, { ...deps, token: token.value })
    if (isCurrent()) this.#sent(slots, action, outcome)
  }

  /** The stream follows the state: let go when nobody wants it, swap the token when there is a newer one. */
  async #follow(slots: Slots): Promise<void> {
    const { isOpen, attempt } = slots.session.stream
    if (this.#live === undefined) return
    if (!isOpen && attempt.status !== 'running') {
      this.#live = undefined
      return this.stream.close()
    }
    const tokens = this.#generations(slots)
    if (!isOpen || tokens === this.#live.tokens) return
    const [token, others] = [await this.tokens.of(slots), await this.#others(slots)]
    if (isLack(token) || this.#live === undefined) return
    Object.assign(this.#live, { generation: token.generation, tokens })
    this.stream.reauth(token.value, others.tokens)
  }
}

/** The refresh token is not ours to see: a cookie holds it. What is in memory only could not be refreshed after a stop. */
export const isBroker = ({ vault }: Pick<Ports, 'vault'>): boolean => vault.mode !== 'persistent'

type Claimed = { readonly claim: Claim }

/** Which try it was of, with which token and about which conversation. */
const cameOf = <T>({ lease: { generation }, session }: Slots, { claim }: Claimed, outcome: Outcome<T>) => ({
  claim,
  outcome,
  generation,
  conversationId: session.conversation?.id ?? '',
})
