// The turn: read, decide, commit, tell, act. Knows ports only, so the same code runs in a worker, a page and the simulator.
// What is due comes from the store; nothing here must be remembered for anything to be right.

import type { Env } from '../core/attempt.ts'
import { decide, type Setup, wantedBy } from '../core/decide.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Change, Input, Legacy, Reply } from '../core/inputs.ts'
import type { Timings } from '../core/ports.ts'
import type { Slots } from '../core/state.ts'
import type { Answers, AnswerTo, Caller, Command, Notice } from '../core/wire.ts'
import { Attendance } from './engine-shared.ts'
import { Inbox, type Submission } from './engine-inbox.ts'
import { type Leases, notLent, setupOf } from './engine-leases.ts'
import { inherited, notSigned, type Signer } from './engine-identity.ts'
import { isSending, type Leaving, logout, type Shredder, shredder } from './engine-logout.ts'
import { willOf } from './engine-part.ts'
import { Performer } from './engine-perform.ts'
import type { Ports } from './engine-ports.ts'
import { isRead, type Reads, reads } from './engine-reads.ts'
import { recall } from './engine-recall.ts'
import { withRefused } from './engine-screen.ts'
import { type Show, type Teller, teller } from './engine-tell.ts'
import { type Waker, waker } from './engine-wake.ts'
import { Tabs } from './engine-tabs.ts'

export class Engine {
  readonly #ports: Ports
  readonly #setup: Setup
  readonly #incarnation: string
  readonly #decide: typeof decide
  readonly #performer: Performer
  readonly #reads: Reads
  /** Tokens that tabs supply, and such as are lent to calls of the site's own. */
  readonly leases: Leases | undefined
  readonly #inbox = new Inbox({
    start: () => this.start(),
    turn: (batch) => this.#turn(batch),
    failed: (error) => this.#storeFailed(error),
  })
  #ready: Promise<void> | undefined
  #last: Slots | undefined
  #hasPump = false
  readonly #tabs: Tabs
  readonly #attendance: Attendance
  #isAsked = false
  readonly #leaving: Leaving
  readonly #signIn: Signer | undefined
  readonly #shredder: Shredder
  readonly #teller: Teller
  readonly #wake: Waker
  /** A turn failed, and may have been committed all the same: claims of ours may be on the disk that nobody carries out. */
  #isUnsure = false
  #claims = 0

  /** @param options `decide`: other machines than ours, for tests that must notice them */
  constructor(
    ports: Ports,
    options: { readonly incarnation: string; readonly timings: Timings; readonly decide?: typeof decide },
  ) {
    this.#ports = ports
    this.#decide = options.decide ?? decide
    this.#incarnation = options.incarnation
    this.#setup = setupOf(ports)
    this.#performer = new Performer(
      ports,
      (input) => this.#submit(input),
      (input) => this.#report(input),
    )
    this.#wake = waker(ports, () => this.#report({ type: 'tick' }))
    const mayRecall = ports.platform.capabilities.catchUp === 'cursor'
    const history = recall(ports, async (slots, id, afterId) =>
      mayRecall && this.#hasPump ? this.#performer.recall(this.#last ?? slots, id, afterId) : undefined,
    )
    this.#reads = reads(ports, () => this.#submit({ type: 'tick' }), history)
    this.#teller = teller(ports, async () => (await this.#reads.pull([])).snapshot)
    const desk = { ports, submit: (input: Input) => this.#submit(input), pass: () => this.#pass() }
    // Who does not hold the pump may have missed what another incarnation did.
    const known = () => (this.#hasPump ? this.#last : undefined)
    this.leases = ports.leases?.({
      ...desk,
      tokens: this.#performer.tokens,
      known,
      slots: async () => known() ?? (await this.#reads.tail()).slots,
    })
    this.#tabs = new Tabs(ports, {
      incarnation: options.incarnation,
      beatMs: options.timings.beatMs,
      hasPump: () => this.#hasPump,
      changed: () => this.#report(this.#tabCount()),
    })
    this.#attendance = new Attendance(ports.shared, {
      tabs: this.#tabs,
      changed: () => this.#report(this.#tabCount()),
      leave: (caller, command) => logout(this.#leaving, caller, command),
    })
    this.#shredder = shredder(ports.store, () => this.#report({ type: 'tick' }))
    this.#leaving = {
      ...ports,
      performer: this.#performer,
      slots: async () => (await this.#reads.tail()).slots,
      will: (slots) => willOf(ports, this.#performer.tokens, slots),
      bury: (...last) => this.#change(...last),
      wake: () => this.#submit({ type: 'woken', isOnline: true }).then(() => this.#pass()),
      look: async () => (this.#hasPump ? null : this.#submit({ type: 'tick' })),
      isSending: () => isSending(this.#last),
      ...{ shred: this.#shredder.run, tabs: this.#tabs },
    }
    this.#signIn = ports.signer?.({ ...desk, name: this.#incarnation, leaving: this.#leaving })
  }

  /** Asks for the pump and runs the first turn. Safe to call again: it happens once. */
  start(): Promise<void> {
    // A pump may grant at once, and what that starts asks for the pump in its turn: it must find that it was asked.
    this.#ready ??= this.#attendance
      .look()
      .then(() => this.#ports.pump.request(() => this.#granted()))
      .then(() => {
        this.#isAsked = true
        this.#tabs.introduce()
      })
    return this.#ready
  }

  #granted(): void {
    this.#hasPump = true
    // Who had to wait for the pump was not the first here.
    this.#report({ type: 'started', isAbandoned: !this.#isAsked && this.#attendance.isAbandoned }, true)
    if (this.#tabs.size > 0) this.#report(this.#tabCount())
    this.#tabs.beat()
  }

  /** Answers one command of a tab. With `show`, a tab that pulls is shown every change from then on. */
  async run<C extends Command>(caller: Caller, command: C, show?: Show): Promise<AnswerTo<C>> {
    const isLeaving = command.type === 'bye'
    if (isLeaving) this.#teller.forget(caller.tab)
    const isAct = this.#attendance.note(caller, command)
    if (caller.epoch === '') await this.#cleared()
    if (show !== undefined && command.type === 'pull') this.#teller.watch(caller.tab, show)
    const isNews = isLeaving ? this.#tabs.left(caller.tab) : this.#tabs.seen(caller)
    if (isAct) this.#report({ type: 'used' })
    const arrive = () => this.#submit(this.#tabCount(isLeaving ? undefined : caller))
    const counted = isNews ? arrive() : undefined
    // A tab that has just come sees the state as it is with it, and not the logout of the visitor before. One that knows
    // who it is may read at once: after a death it need not wait for the first turn of the next life.
    if (caller.epoch === '' || !isRead(command)) {
      await this.start()
      await counted
      if (caller.epoch === '' && !isLeaving) await inherited(this.#ports.clock, arrive, () => this.#last)
    } else counted?.catch(ignoreStore)
    return (await this.#answer(caller, command)) as AnswerTo<C>
  }

  /** Whoever comes meets nobody of before. */
  async #cleared(): Promise<void> {
    if (this.#ports.shared !== undefined) await this.nudge()
    await this.#attendance.busy
    await this.#shredder.ready()
  }

  /** A tab is there: the answer to a beat. */
  ping(caller: Caller): void {
    if (this.#tabs.answered(caller)) this.#report(this.#tabCount(caller))
    void this.start()
  }

  /** Another incarnation's word, in a worker or a page: it cannot do what only the holder of the pump does. */
  hear(notice: Notice): void {
    if (notice.type === 'nudge')
      void this.#attendance
        .look()
        .then(() => this.nudge())
        .catch(ignoreStore)
    if (notice.type === 'typing' && this.#hasPump) this.#performer.stream.typing(notice.on)
    this.#tabs.hear(notice)
  }

  /** Looks at what is due: an alarm, a sync event, another incarnation's word. */
  async nudge(): Promise<void> {
    await this.start()
    await this.#submit({ type: 'tick' })
  }

  /** Messages wait to be sent, or a farewell to be said, as far as this incarnation has seen. */
  get isWaiting(): boolean {
    return isSending(this.#last) || (this.#last?.session.farewell ?? null) !== null
  }

  /** Resolves when nothing is in hand: no turn, no call. An open stream does not count. */
  async settled(): Promise<void> {
    while (this.#inbox.busy !== undefined || this.#performer.busy.size > 0 || this.#attendance.busy) {
      await Promise.all([this.#inbox.busy, this.#attendance.busy?.catch(ignoreStore), ...this.#performer.busy])
    }
  }

  #answer(caller: Caller, command: Command): Promise<Answers[Command['type']]> | Answers[Command['type']] {
    if (isRead(command)) return this.#reads.answer(command, this.#incarnation, this.#hasPump)
    switch (command.type) {
      case 'hold':
        return this.#attendance.look().then(() => this.#pass())
      case 'typing':
        if (this.#hasPump) this.#performer.stream.typing(command.on)
        else this.#ports.channel.publish({ v: 1, type: 'typing', on: command.on })
        return null
      case 'nudge':
        return this.#submit(
          command.wake || !command.online ? { type: 'woken', isOnline: command.online } : { type: 'tick' },
        ).then(() => this.#pass())
      case 'bye':
        return null
      case 'offer':
        return this.leases?.knows(command.lease) ? this.#change(caller, command) : null
      case 'supply':
        return this.leases?.supply(command) ?? null
      case 'borrow':
        return this.leases?.borrow(caller, command) ?? Promise.reject(notLent(command.lease))
      case 'authenticate':
        return this.#signIn?.run(caller, command) ?? Promise.reject(notSigned())
      case 'logout':
        return logout(this.#leaving, caller, command)
      default:
        return this.#change(caller, command)
    }
  }

  async #change({ epoch }: Caller, command: Change, legacy?: Legacy): Promise<Answers[Command['type']]> {
    const looked = this.#ports.screen?.(command)
    const screened = looked instanceof Promise ? await looked : looked
    const reply = await this.#submit({ type: 'command', command: screened?.command ?? command, epoch, ...legacy })
    this.#pass()
    if (reply === undefined) throw new HoldfastError('STORE_FAILED', 'The change was not stored.')
    if ('refusal' in reply) throw new HoldfastError(reply.refusal.code, reply.refusal.message)
    return withRefused(reply.value, screened?.refused) as Answers[Command['type']]
  }

  /** Whoever holds the pump must hear of work that was committed here. */
  #pass(): null {
    if (!this.#hasPump) this.#ports.channel.publish({ v: 1, type: 'nudge' })
    return null
  }

  #tabCount(arrived?: Caller): Input {
    return { type: 'tabs', isArrival: arrived?.epoch === '', ...(this.#hasPump && { count: this.#tabs.size }) }
  }

  #report(input: Input, isFirst = false): void {
    void this.#submit(input, isFirst).catch(ignoreStore)
  }

  #submit(input: Input, isFirst = false): Promise<Reply | undefined> {
    return this.#inbox.submit(input, isFirst)
  }

  /** One turn: read, decide by the time it is then, commit. Only then answer, tell the tabs and touch the network. */
  async #turn(batch: readonly Submission[]): Promise<void> {
    const { clock, random, store } = this.#ports
    const inputs = batch.map(({ input }) => input)
    // With nothing on its way, whatever is claimed in our name is not being done: under another name it is due.
    if (this.#isUnsure && this.#performer.busy.size === 0) {
      this.#isUnsure = false
      this.#claims += 1
    }
    const env = (): Env => ({
      now: clock.now(),
      owner: `${this.#incarnation}.${this.#claims}`,
      pump: this.#hasPump,
      random: random.draw,
      key: random.key,
    })
    const wanted = wantedBy(inputs, this.#last, env(), this.#setup.unkeyed !== undefined)
    const decision = await store.turn(wanted, (view) => this.#decide(view, inputs, wanted, this.#setup, env()))
    const hasChanged = decision.slots.rev !== this.#last?.rev
    this.#last = decision.slots
    batch.forEach(({ resolve }, index) => {
      resolve(decision.replies[index])
    })
    if (decision.isGone) this.#attendance.depart(decision.slots.session.epoch)
    this.leases?.committed()
    if (hasChanged) this.#teller.changed(decision.slots.rev)
    for (const problem of decision.problems) this.#ports.channel.publish({ v: 1, type: 'problem', ...problem })
    if (this.#isUnsure) this.#wake.afterFailure()
    else this.#wake.at(decision.wakeAt)
    if (this.#hasPump) this.#performer.perform(decision.actions, decision.slots)
    this.#shredder.look(decision.slots)
  }

  #storeFailed(error: unknown): void {
    const { channel } = this.#ports
    this.#isUnsure = true
    const { code, message } = isHoldfastError(error)
      ? error
      : new HoldfastError('STORE_FAILED', 'The store failed in a way that has no code.')
    channel.publish({ v: 1, type: 'problem', code, message })
    this.#wake.afterFailure()
  }
}

/** The failure has been told as a problem, and what it was about is owed to the next turn. */
const ignoreStore = (error: unknown): void => {
  if (!isHoldfastError(error)) throw error
}
