// The Chat of one tab: turns what a site asks into commands. Leaves to others: state and events (mirror.ts), waking and
// keeping the worker (presence.ts), the way to it (link.ts).

import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import {
  type AnswerTo,
  type AttributeDelta,
  type Attributes,
  type Caller,
  channelOf,
  type Command,
  PROTOCOL_VERSION,
} from '../core/wire.ts'
import { isCount, isNotice } from '../core/wire-guards.ts'
import type { Chat, State } from './api.ts'
import { Batch } from './batch.ts'
import { EVENTS } from './changes.ts'
import type { Browser } from './browser.ts'
import { attributesOf, checkAttributes, checkKey, checkOptions, demand, isName, messageOf } from './content.ts'
import { Draft } from './draft.ts'
import { newKey } from './key.ts'
import type { Host } from './link.ts'
import { Mirror, PULL_MS_MIN } from './mirror.ts'
import { attend } from './presence.ts'
import { typing } from './typing.ts'

/** Phases in which nothing can happen until the visitor does something: there the worker may sleep. */
const RESTING: readonly State['phase'][] = ['dormant', 'auth-required', 'ended', 'signed-out']

export interface Setting {
  readonly deployment: string
  readonly routing: Attributes | undefined
}

/**
 * Resolves when the first snapshot is there; it comes from the disk, not from the network.
 * @throws {HoldfastError} what the first call throws
 */
export async function openChat(host: Host, setting: Setting, browser: Browser): Promise<Client> {
  const client = new Client(host, setting, browser)
  try {
    await client.open()
    return client
  } catch (error) {
    client.close(!isHoldfastError(error, 'WORKER_UNAVAILABLE'))
    throw error
  }
}

export class Client implements Chat {
  readonly mirror: Mirror
  readonly draft: Draft
  #host: Host
  #setting: Setting
  #browser: Browser
  #channel!: ReturnType<Browser['channel']>
  #tab: string
  #batch = new Batch((messages, epoch) => this.#call({ type: 'enqueue', messages }, epoch))
  #typing: ReturnType<typeof typing>
  #presence: ReturnType<typeof attend>
  #isOpen = false
  #isClosed = false
  /** Persistent storage has been asked for. */
  #isPersistent = false
  /** What went wrong before the site could listen. */
  #early: (() => void)[] = []
  /** Changes of this tab that its snapshot may not show yet, oldest first. */
  #unseen = new Set<AttributeDelta>()

  constructor(host: Host, setting: Setting, browser: Browser) {
    this.#host = host
    this.#setting = setting
    this.#browser = browser
    this.#tab = this.#newKey()
    // A hidden tab has no timers to rely on, and an agent's answer in it must not wait for one.
    const pause = () =>
      new Promise<void>((resolve) => (browser.isVisible() ? browser.after(PULL_MS_MIN, resolve) : resolve()))
    this.mirror = new Mirror(host, (keys) => this.#call({ type: 'pull', keys }), pause)
    this.#typing = typing(browser, (on) => this.#quietly({ type: 'typing', on }))
    host.onNews = (snapshot) => this.mirror.show(snapshot)
    // Heard from before the first look, so that nothing falls between the two.
    const listen = () => {
      this.#channel = browser.channel(channelOf(setting.deployment))
      this.#channel.onmessage = ({ data }) => this.#hear(data)
    }
    listen()
    this.draft = new Draft(browser, {
      deployment: setting.deployment,
      tab: this.#tab,
      // Who types on after a logout is nobody, and no draft of whoever comes next.
      place: () => [this.state.phase === 'signed-out' ? '' : this.state.epoch, this.state.conversation?.id ?? ''],
      publish: (notice) => this.#channel.postMessage(notice),
    })
    this.mirror.on('signed-out', () => {
      this.draft.clear()
      // The worker waits to hear that this tab shows the former visitor no more.
      host.ping(this.#caller())
    })
    // From before the first call, so that a page that goes away meanwhile says so.
    this.#presence = attend({
      host,
      browser,
      caller: () => this.#caller(),
      wantsWorker: () => this.#isOpen && !RESTING.includes(this.state.phase),
      wake: (command) => {
        if (this.#isOpen) void this.#quietly(command).then(() => this.mirror.pull())
      },
      release: () => {
        // A page that hears something in the back/forward cache is put out of it.
        this.#channel.close()
        this.draft.release()
      },
      hide: () => this.mirror.hide(),
      resume: () => {
        listen()
        if (this.state) this.draft.resume()
        this.mirror.resume()
      },
    })
  }

  async open(): Promise<void> {
    const { routing } = this.#setting
    await Promise.all([
      // Before the first conversation is made, which the first call begins.
      routing && this.#call({ type: 'route', routing }),
      this.mirror.open().then(() => this.draft.open()),
      this.draft.ready,
    ])
    this.#isOpen = true
    // Without the file the worker counts by what the tab says.
    if (this.state.shared)
      await import('./more.ts').then(({ hold }) => hold(this.#tab, this.#setting.deployment, this.ask)).catch(() => {})
    const { conversation, tabs } = this.state
    if (conversation && (conversation.joined || tabs > 1)) {
      const detail = { conversationId: conversation.id, joined: true, activeElsewhere: true } as const
      this.#early.push(() => this.mirror.emit(['resumed', detail]))
    }
    // After the site has had its turn to listen.
    for (const tell of this.#early) this.#browser.after(0, tell)
  }

  get state(): State {
    return this.mirror.state
  }

  readonly subscribe: Chat['subscribe'] = (listener) => this.mirror.subscribe(listener)

  readonly on: Chat['on'] = (event, listener) => {
    demand(Object.hasOwn(EVENTS, event), `There is no event "${event}", only ${Object.keys(EVENTS).join(', ')}.`)
    return this.mirror.on(event, listener)
  }

  readonly send: Chat['send'] = async (content) => {
    const message = messageOf(content, this.#newKey())
    this.#typing.stop()
    await this.#batch.add(message, this.state.epoch)
    // Now there is something to lose, and the visitor has just done something.
    if (!this.#isPersistent) this.#browser.persist?.()
    this.#isPersistent = true
    return this.mirror.receipt(message.key)
  }

  readonly history: Chat['history'] = async (page = {}) => {
    checkOptions(page)
    const { before, limit = 50 } = page
    const areWhole = isCount(limit) && Number.isInteger(before ?? 0)
    demand(areWhole, '`before` and `limit` must be whole, `limit` not below 0.')
    return [...(await this.#call({ type: 'history', limit, ...(before !== undefined && { before }) }))]
  }

  readonly typing = (): void => this.#typing.press()

  readonly markRead: Chat['markRead'] = () => this.#do({ type: 'mark-read' })

  readonly context: Chat['context'] = {
    get: () => attributesOf([this.state.context, ...this.#unseen]),
    set: async (values) => {
      checkAttributes(values)
      await this.#change({ ...values })
    },
    remove: async (...names) => {
      demand(names.every(isName), 'Names of attributes must be strings.')
      await this.#change(Object.fromEntries(names.map((name) => [name, null])))
    },
  }

  readonly outbox: Chat['outbox'] = {
    list: () => this.#call({ type: 'list-outbox' }),
    retry: (key) => this.#on('retry', key),
    cancel: (key) => this.#on('cancel', key),
    edit: async (key, content) => {
      checkKey(key)
      const message = messageOf(content, this.#newKey())
      await this.#call({ type: 'edit', key, message })
      return this.mirror.receipt(message.key)
    },
  }

  readonly startNew: Chat['startNew'] = async () => {
    const { routing } = this.#setting
    await this.#call({ type: 'start-new', key: this.#newKey(), ...(routing && { routing }) })
    await this.mirror.read()
    await this.mirror.until(
      ({ conversation, online, phase }) =>
        !online || phase === 'reconnecting' || RESTING.includes(phase) || /^(pe|ac)/.test(`${conversation?.state}`),
    )
  }

  readonly authenticate: Chat['authenticate'] = async (options) => {
    checkOptions(options)
    const { token } = options
    demand(isName(token), "`token` must be the site's signed token.")
    await this.#call({ type: 'authenticate', token })
    await this.mirror.pull()
  }

  readonly logout: Chat['logout'] = async (options = {}) => {
    checkOptions(options)
    const { unsent = 'refuse' } = options
    demand(/^(send|discard|refuse)$/.test(unsent), "`unsent` must be 'send', 'discard' or 'refuse'.")
    const answer = await this.#call({ type: 'logout', unsent, key: this.#newKey() })
    await this.mirror.pull()
    return answer
  }

  readonly diagnose: Chat['diagnose'] = () => this.#call({ type: 'diagnose' })

  /** For modules of ours that a site loads beside this one. */
  readonly ask = <C extends Command>(command: C): Promise<AnswerTo<C>> => this.#call(command)

  readonly disconnect = (): void => this.close(true)

  close(isKnown: boolean): void {
    if (this.#isClosed) return
    this.#typing.stop()
    this.#isClosed = true
    this.#presence.stop(isKnown)
    this.mirror.close(closed())
  }

  #hear(notice: unknown): void {
    if (!isNotice(notice)) return
    if (notice.type === 'changed') this.mirror.hear(notice.rev)
    else if (notice.type === 'token-wanted') this.mirror.emit(['token-wanted', { lease: notice.lease }])
    else if (notice.type === 'problem') {
      const tell = () => this.mirror.complain(notice)
      if (this.#isOpen) tell()
      else this.#early.push(tell)
    } else {
      this.draft.hear(notice)
      this.#presence.hear(notice)
    }
  }

  async #change(delta: AttributeDelta): Promise<void> {
    this.#unseen.add(delta)
    try {
      await this.#call({ type: 'set-context', key: this.#newKey(), delta })
      await this.mirror.pull()
    } finally {
      this.#unseen.delete(delta)
    }
  }

  async #call<C extends Command>(command: C, epoch?: string): Promise<AnswerTo<C>> {
    if (this.#isClosed) throw closed()
    return this.#host.run(this.#caller(epoch), command)
  }

  async #on(type: 'retry' | 'cancel', key: string): Promise<void> {
    checkKey(key)
    await this.#call({ type, key })
  }

  async #do(command: Command): Promise<void> {
    await this.#call(command)
  }

  /** For commands of which nobody awaits the end. */
  #quietly(command: Command): Promise<void> {
    return this.#do(command).catch((error) => this.mirror.complain(error))
  }

  #caller(epoch = this.state?.epoch ?? ''): Caller {
    return {
      protocol: PROTOCOL_VERSION,
      deployment: this.#setting.deployment,
      tab: this.#tab,
      epoch,
      visible: this.#browser.isVisible(),
    }
  }

  #newKey(): string {
    return newKey(this.#browser.now())
  }
}

const closed = (): HoldfastError => new HoldfastError('LINK_CLOSED', 'This tab has let go: call connect() again.')
