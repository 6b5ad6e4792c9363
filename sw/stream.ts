// The one live connection: dials a socket, listens for its heart, and polls where no socket can be had.
// Leaves to others: whether and when to try again (core/session.ts), what a frame says (the adapter), what follows (the engine).

import type { Claim } from '../core/attempt.ts'
import type {
  Calls,
  Clock,
  Connection,
  Ending,
  Platform,
  Random,
  Stream,
  StreamEvent,
  StreamReport,
  StreamRequest,
  Timings,
  Tokens,
} from '../core/ports.ts'

/** A socket that is not ready by then is given up. */
export const CONNECT_DEADLINE_MS = 10_000
/** How long a poll asks to be held: under the idle limits of common proxies. */
export const POLL_WAIT_MS = 25_000
/** Polls that bring no message start at least so far apart, whatever the platform does. */
export const POLL_PAUSE_MS = 1_000

export interface StreamDeps {
  readonly platform: Pick<Platform, 'connect' | 'poll'>
  readonly clock: Clock
  readonly random: Pick<Random, 'key'>
  readonly timings: Timings
}

type Request = StreamRequest & { readonly claim: Claim }

export function createStream(deps: StreamDeps, report: (report: StreamReport) => void): Stream {
  let run: Run | undefined
  return {
    connect(request) {
      run?.stop()
      run = new Run(deps, request, report)
      run.dial()
    },
    reauth: (token, tokens) => run?.reauth(token, tokens),
    typing: (on) => run?.typing(on),
    probe: () => run?.probe(),
    close: () => run?.stop(),
    get calls() {
      return run?.calls
    },
  }
}

/** A socket of ours. Until `Run` holds it as `#line` it is on trial; when `Run` holds it no more, it says nothing. */
interface Line {
  connection?: Connection
  /** What had been reported before this socket was ready comes again on it, and is dropped. */
  floor: number
  cancel(): void
}

const nothing = () => {}

/** One attempt, from `connect` to its end. */
class Run {
  readonly #deps: StreamDeps
  readonly #request: Request
  readonly #report: (report: StreamReport) => void
  #token: string
  #tokens: Tokens | undefined
  /** The highest seq reported. */
  #seq: number
  #isOpened = false
  #line: Line | undefined
  #trial: Line | undefined
  /** The poll loop that counts; another value, or none, ends it. */
  #polling: object | undefined
  /** The heartbeat of the line, or while polling the next climb. */
  #cancel = nothing
  #misses = 0
  #isAsking = false

  constructor(deps: StreamDeps, request: Request, report: (report: StreamReport) => void) {
    this.#deps = deps
    this.#request = request
    this.#report = report
    this.#token = request.token
    this.#tokens = request.tokens
    this.#seq = request.afterSeq
  }

  dial(): void {
    if (this.#trial !== undefined) return
    const { platform, clock } = this.#deps
    const line: Line = { floor: 0, cancel: nothing }
    this.#trial = line
    line.cancel = clock.alarm(clock.now() + CONNECT_DEADLINE_MS, () => {
      this.#hear(line, {
        type: 'closed',
        verdict: 'retry',
        reason: `The socket was not ready within ${CONNECT_DEADLINE_MS} ms.`,
      })
    })
    const now = { token: this.#token, afterSeq: this.#seq, ...this.#others() }
    const { claim: _, ...request } = { ...this.#request, ...now }
    line.connection = platform.connect(request, (event) => this.#hear(line, event))
  }

  /** Ends it without a word: whatever is still on its way is late. */
  stop(): void {
    this.#cancel()
    this.#polling = undefined
    for (const line of [this.#line, this.#trial]) {
      line?.cancel()
      line?.connection?.close()
    }
    this.#line = undefined
    this.#trial = undefined
  }

  #others(): { readonly tokens?: Tokens } {
    return this.#tokens === undefined ? {} : { tokens: this.#tokens }
  }

  reauth(token: string, tokens: Tokens | undefined): void {
    this.#token = token
    this.#tokens = tokens
    this.#line?.connection?.reauth(token, tokens)
    this.#trial?.connection?.reauth(token, tokens)
  }

  get calls(): Calls | undefined {
    return this.#line?.connection?.calls
  }

  typing(on: boolean): void {
    this.#line?.connection?.typing(on)
  }

  probe(): void {
    if (this.#line !== undefined && !this.#isAsking) this.#ask(this.#line)
    // The network may have changed, and with it what stands between us and a socket.
    if (this.#polling !== undefined) this.dial()
  }

  #hear(line: Line, event: StreamEvent): void {
    if (line === this.#line) return this.#follow(line, event)
    if (line !== this.#trial) return
    if (event.type === 'ready') this.#adopt(line, event.headSeq)
    else if (event.type === 'closed') this.#giveUp(line, event)
  }

  /** The socket works: it takes the place of polling, if there was any. */
  #adopt(line: Line, headSeq: number): void {
    line.cancel()
    line.floor = this.#seq
    this.#trial = undefined
    this.#polling = undefined
    this.#line = line
    this.#listen(line)
    this.#opened(headSeq)
  }

  #giveUp(line: Line, ending: Ending): void {
    line.cancel()
    line.connection?.close()
    this.#trial = undefined
    if (this.#polling !== undefined) return this.#climbLater()
    // Only where nothing but the socket failed is there a point in asking by other means.
    if (ending.verdict !== 'retry') return this.#end(ending)
    this.#climbLater()
    void this.#poll()
  }

  #follow(line: Line, event: StreamEvent): void {
    if (event.type === 'closed') return this.#end(event)
    this.#listen(line)
    if (event.type === 'ping') line.connection?.pong(event.id)
    this.#pass(event, line.floor)
  }

  #pass(event: StreamEvent, floor: number): void {
    if (event.type === 'rows') {
      // What has no number of the platform's is new, or found out to be old by who numbers it.
      const rows = event.rows.filter(({ seq }) => seq > floor || seq === 0)
      this.#seq = Math.max(this.#seq, ...rows.map(({ seq }) => seq))
      if (rows.length > 0) this.#report({ type: 'rows', rows })
    } else if (event.type !== 'ready' && event.type !== 'ping' && event.type !== 'pong' && event.type !== 'closed')
      this.#report(event)
  }

  #opened(headSeq: number): void {
    if (this.#isOpened) return
    this.#isOpened = true
    this.#report({ type: 'opened', claim: this.#request.claim, headSeq })
  }

  #end(ending: Ending): void {
    this.stop()
    this.#report({ ...ending, type: 'ended', claim: this.#request.claim })
  }

  #alarm(ms: number, ring: () => void): void {
    const { clock } = this.#deps
    this.#cancel()
    this.#cancel = clock.alarm(clock.now() + ms, ring)
  }

  /** Something was heard. After a while without, we ask. */
  #listen(line: Line): void {
    this.#misses = 0
    this.#isAsking = false
    this.#alarm(this.#deps.timings.pingMs, () => this.#ask(line))
  }

  #ask(line: Line): void {
    const { random, timings } = this.#deps
    const { pongMs, pingMissesMax } = timings
    this.#isAsking = true
    this.#alarm(pongMs, () => {
      this.#misses += 1
      if (this.#misses < pingMissesMax) return this.#ask(line)
      this.#end({
        verdict: 'retry',
        reason: `The socket gave no sign of life for ${pingMissesMax} pings of ${pongMs} ms.`,
      })
    })
    line.connection?.ping(random.key())
  }

  /** From time to time a socket is tried beside the polls. */
  #climbLater(): void {
    this.#alarm(this.#deps.timings.climbMs, () => this.dial())
  }

  async #poll(): Promise<void> {
    const { platform, clock } = this.#deps
    const { conversationId } = this.#request
    const loop = {}
    this.#polling = loop
    // The first answer is wanted at once, because it shows that polling works.
    for (let waitMs = 0; ; waitMs = POLL_WAIT_MS) {
      const startedAt = clock.now()
      const floor = this.#seq
      const outcome = await platform.poll({
        conversationId,
        token: this.#token,
        afterSeq: floor,
        waitMs,
        ...this.#others(),
      })
      // A socket has taken over, and brings what this answer holds.
      if (this.#polling !== loop) return
      if (!outcome.ok) return this.#end(outcome)
      const headSeq = outcome.value.find((event) => event.type === 'ready')?.headSeq ?? floor
      // The platform came back from an older copy: from there on we would wait for what it has given out already.
      if (waitMs > 0 && headSeq < floor) return this.#end({ verdict: 'retry', reason: 'Rewound.' })
      this.#opened(headSeq)
      for (const event of outcome.value) {
        // Whoever was told may have let go meanwhile.
        if (this.#polling !== loop) return
        if (event.type === 'closed') return this.#end(event)
        this.#pass(event, floor)
      }
      if (waitMs > 0 && this.#seq === floor)
        await new Promise<void>((resume) => clock.alarm(startedAt + POLL_PAUSE_MS, resume))
      if (this.#polling !== loop) return
    }
  }
}
