// The bridge for sites that keep the vendor's widget: what holdfast holds is pushed to Genesys Messenger, and what Messenger
// says is put into the state that the site sees. The widget owns the conversation; holdfast owns attributes and sign-in.

import { HoldfastError } from '../core/errors.ts'
import type { Phase } from '../core/wire.ts'
import type { Chat, State } from './api.ts'
import { type AuthCode, provide, type Registrable } from './genesys-messenger-auth.ts'
import { AttributePush, DATA_BYTES_MAX } from './genesys-messenger-push.ts'

/** The vendor's function: it is replaced when its bundle loads, so it is looked up at every call. */
type Vendor = (kind: string, name: string, ...rest: unknown[]) => unknown
export interface MessengerOptions {
  /** The name of the vendor's function on the window. Default: `Genesys`. */
  readonly name?: string
  /** Where it is. Default: this window. */
  readonly window?: object
  /** Signs the visitor in: called for the first code, and with `true` when what it gave before was not accepted. */
  readonly authCode?: (isAgain: boolean) => Promise<AuthCode>
  /** How long one command may take, in milliseconds: some of the vendor's never end. Default: 10 000. */
  readonly commandTimeoutMs?: number
  /** UTF-8 bytes of all names and values of attributes that the organisation allows. Default: 2 048. */
  readonly dataBytesMax?: number
}

/** What the site holds of a Messenger that is bound. */
export interface Messenger {
  /** `chat.state` with what Messenger says of phase, session and conversation in it. */
  readonly state: State
  /** Called at once, and at every change. Returns the function that ends it. */
  readonly subscribe: (listener: (state: State) => void) => () => void
  /** Failures that no call awaits: attributes that are too large, errors of the widget, a command that never ended. */
  readonly onProblem: (listener: (problem: { readonly code: string; readonly message: string }) => void) => () => void
  /** Runs one command of the vendor. It rejects when it fails, and when it does not end in time. */
  readonly command: (name: string, options?: object) => Promise<unknown>
  /** Signs out of Messenger in all tabs, and wipes what holdfast holds. */
  readonly logout: () => Promise<void>
  /** Lets go: nothing is pushed or heard any more. */
  readonly unbind: () => void
}

const COMMAND_TIMEOUT_MS = 10_000
/** Where the window lets nobody watch the name, it is looked at so often. */
const LOOK_MS = 1_000

/**
 * Binds Genesys Messenger on this page to what holdfast holds.
 *
 * Attributes that any tab sets are pushed with every page load and at every change, in bursts of at most one a second.
 * The vendor's script may load before, later, twice or never: then nothing happens.
 *
 * @example
 * ```ts
 * const chat = await connect({ worker: '/holdfast/sw.js', deployment: 'acme' })
 * const messenger = bindMessenger(chat, { authCode: () => signIn() })
 * await chat.context.set({ cart_value: '12.00' })
 * ```
 */
export function bindMessenger(chat: Chat, options: MessengerOptions = {}): Messenger {
  return new Bridge(chat, options)
}

export type { AuthCode } from './genesys-messenger-auth.ts'

type Shape = { readonly [name: string]: unknown }
const shapeOf = (value: unknown): Shape => Object(value) as Shape
type News = Partial<Pick<State, 'phase' | 'session' | 'conversation' | 'online'>>

class Bridge implements Messenger {
  readonly #chat: Chat
  readonly #options: MessengerOptions
  readonly #host: Record<string, unknown>
  readonly #name: string
  readonly #listeners = new Set<(state: State) => void>()
  readonly #problems = new Set<(problem: { code: string; message: string }) => void>()
  readonly #ends: (() => void)[] = []
  /** What Messenger said: it goes above what holdfast knows by itself. */
  #heard: News = {}
  #bound: unknown
  #isSignedIn = false
  #isLeaving = false
  readonly #push: AttributePush

  constructor(chat: Chat, options: MessengerOptions) {
    this.#chat = chat
    this.#options = options
    this.#host = (options.window ?? globalThis) as Record<string, unknown>
    this.#name = options.name ?? 'Genesys'
    this.#push = new AttributePush({
      values: () => chat.state.context,
      dataBytesMax: options.dataBytesMax ?? DATA_BYTES_MAX,
      command: this.command,
      problem: (code, message) => this.#problem(code, message),
    })
    this.#watch()
    this.#ends.push(
      chat.subscribe(() => {
        this.#push.plan()
        this.#changed()
      }),
      // Another tab signed out: this one's widget follows.
      chat.on('signed-out', () => void this.#leave()),
    )
  }

  get state(): State {
    return Object.freeze({ ...this.#chat.state, ...this.#heard })
  }

  subscribe = (listener: (state: State) => void): (() => void) => {
    this.#listeners.add(listener)
    listener(this.state)
    return () => this.#listeners.delete(listener)
  }

  onProblem = (listener: (problem: { code: string; message: string }) => void): (() => void) => {
    this.#problems.add(listener)
    return () => this.#problems.delete(listener)
  }

  command = (name: string, given?: object): Promise<unknown> => {
    const { commandTimeoutMs = COMMAND_TIMEOUT_MS } = this.#options
    const vendor = this.#host[this.#name]
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new HoldfastError('SERVICE_UNREACHABLE', `Messenger, ${name}: ${why}.`))
      if (typeof vendor !== 'function') return fail('the vendor’s script is not there')
      const timer = setTimeout(() => fail(`no end within ${commandTimeoutMs} ms`), commandTimeoutMs)
      const over = (settle: () => void) => () => {
        clearTimeout(timer)
        settle()
      }
      const ok = (value: unknown) => over(() => resolve(value))()
      ;(vendor as Vendor)(
        'command',
        name,
        given ?? {},
        ok,
        over(() => fail('it was refused')),
      )
    })
  }

  logout = async (): Promise<void> => {
    await this.#leave()
    await this.#chat.logout({ unsent: 'discard' })
  }

  unbind = (): void => {
    this.#push.stop()
    this.#bound = undefined
    for (const end of this.#ends.splice(0)) end()
    this.#listeners.clear()
  }

  /** The name may be given a function at any time, and another one later: each is bound. */
  #watch(): void {
    let present = this.#host[this.#name]
    this.#bind(present)
    const { configurable = true } = Object.getOwnPropertyDescriptor(this.#host, this.#name) ?? {}
    if (!configurable) {
      const timer = setInterval(() => this.#bind(this.#host[this.#name]), LOOK_MS)
      return void this.#ends.push(() => clearInterval(timer))
    }
    Object.defineProperty(this.#host, this.#name, {
      configurable: true,
      enumerable: true,
      get: () => present,
      set: (next: unknown) => {
        present = next
        // The vendor's own assignment is still going on.
        queueMicrotask(() => this.#bind(next))
      },
    })
    this.#ends.push(() =>
      Object.defineProperty(this.#host, this.#name, {
        configurable: true,
        enumerable: true,
        writable: true,
        value: present,
      }),
    )
  }

  #bind(vendor: unknown): void {
    if (typeof vendor !== 'function' || vendor === this.#bound) return
    this.#bound = vendor
    this.#push.forget()
    const call = vendor as Vendor
    const hear = (name: string, act: (data: Shape) => void) =>
      call('subscribe', name, (event: unknown) => vendor === this.#bound && act(shapeOf(shapeOf(event)['data'])))
    hear('Database.ready', () => this.#push.ready())
    for (const [name, act] of Object.entries(this.#events())) hear(name, act)
    const { authCode } = this.#options
    if (authCode !== undefined)
      call('registerPlugin', 'AuthProvider', (plugin: Registrable) => provide(plugin, authCode))
  }

  #events(): { readonly [event: string]: (data: Shape) => void } {
    const phase =
      (to: Phase, online = true) =>
      () => {
        // A connection that is back, and a history that was read, begin no conversation that has ended.
        const isOver = to === 'live' && this.#heard.conversation?.state === 'closed'
        this.#hear({ phase: isOver ? 'ended' : to, online })
      }
    const mustSignIn = () => this.#hear({ phase: 'auth-required' })
    const signedIn = () => this.#signedIn(true)
    const ended = () => this.#hear({ phase: 'ended', conversation: this.#conversation('closed') })
    const cleared = () => void this.#cleared()
    return {
      'MessagingService.started': (data) => this.#started(data),
      'MessagingService.restored': phase('live'),
      'MessagingService.reconnected': phase('live'),
      'MessagingService.reconnecting': phase('reconnecting'),
      'MessagingService.offline': phase('reconnecting', false),
      'MessagingService.conversationDisconnected': (data) => void (data['readOnly'] !== false && ended()),
      'MessagingService.readOnlyConversation': ended,
      'MessagingService.conversationReset': () =>
        this.#hear({ phase: 'live', conversation: this.#conversation('active') }),
      'MessagingService.steppedUpConversation': signedIn,
      'MessagingService.sessionTimingUpdated': (data) => this.#timed(data),
      'MessagingService.sessionWarning': () => this.#problem('SESSION_EXPIRING', 'The session ends in a few minutes.'),
      'MessagingService.error': ({ error }) =>
        this.#problem('SERVICE_REFUSED', `Messenger: ${String(shapeOf(error)['errorKey'] ?? 'an error')}.`),
      'MessagingService.customAttributesSizeExceeded': () =>
        this.#problem('CONTEXT_TOO_LARGE', 'Messenger did not take the attributes: keep references in them.'),
      'MessagingService.conversationCleared': cleared,
      'MessagingService.sessionCleared': cleared,
      'Auth.authenticated': signedIn,
      'Auth.loggedOut': cleared,
      'Auth.authError': mustSignIn,
      'Auth.tokenError': mustSignIn,
      'Auth.authProviderError': mustSignIn,
    }
  }

  /** What a sign-in could not do before, it can now. */
  #signedIn(isSignedIn: boolean): void {
    this.#isSignedIn = isSignedIn
    const { phase, session } = this.#heard
    this.#hear({
      ...(phase === 'auth-required' && { phase: 'validating' }),
      ...(session && { session: { ...session, authenticated: isSignedIn } }),
    })
  }

  #started(data: Shape): void {
    this.#signedIn(data['authenticated'] === true)
    const isOver = data['readOnly'] === true
    this.#hear({ phase: isOver ? 'ended' : 'live', conversation: this.#conversation(isOver ? 'closed' : 'active') })
    this.#timed(data)
  }

  #conversation(state: 'active' | 'closed'): State['conversation'] {
    return { ...(this.state.conversation ?? { id: 'messenger' }), state }
  }

  #timed({ durationSeconds, expirationDate }: Shape): void {
    const seconds = Number(durationSeconds)
    const expiresAt = seconds > 0 ? Date.now() + seconds * 1_000 : Number(expirationDate) * 1_000
    if (!(expiresAt > 0)) return
    this.#hear({ session: { id: this.state.session?.id ?? 'messenger', authenticated: this.#isSignedIn, expiresAt } })
  }

  #hear(news: News): void {
    this.#heard = { ...this.#heard, ...news }
    this.#changed()
  }

  #changed(): void {
    for (const listener of this.#listeners) listener(this.state)
  }

  #problem(code: string, message: string): void {
    for (const listener of this.#problems) listener({ code, message })
  }

  /** The widget first, while it still knows whom to sign out. Whatever it says, our wipe follows. */
  async #leave(): Promise<void> {
    if (this.#isLeaving) return
    this.#isLeaving = true
    const command = this.#isSignedIn ? 'Auth.logout' : 'MessagingService.clearSession'
    await this.command(command).catch(() => {})
    this.#heard = {}
    this.#isSignedIn = false
    this.#isLeaving = false
    this.#changed()
  }

  /** The widget was emptied, here or elsewhere: nothing of the visitor may stay with us. */
  async #cleared(): Promise<void> {
    if (this.#isLeaving) return
    this.#isLeaving = true
    await this.#chat.logout({ unsent: 'discard' }).catch((error: Error) => this.#problem('STORE_FAILED', error.message))
    this.#heard = {}
    this.#isLeaving = false
    this.#changed()
  }
}
