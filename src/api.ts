// What a site sees: the shapes of the page client, with their documentation. Types only, so it weighs nothing.
// How a Chat keeps these promises is in client.ts and mirror.ts; what travels to the worker is in core/wire.ts.

import type { ErrorCode } from '../core/errors.ts'
import type {
  Attributes,
  Caller,
  Command,
  ConversationState,
  DeliveryStatus,
  Message,
  Metadata,
  Outcome,
  OutboxItem,
  Report,
  Snapshot,
} from '../core/wire.ts'

/** The engine as a module of the site's own offers it; see {@link ConnectOptions.local}. */
export interface LocalModule {
  /** Starts the engine of one deployment in this page. Called at most once for each `connect()`. */
  host(deployment: string): LocalWorker | Promise<LocalWorker>
}

/** What answers commands when there is no service worker. */
export interface LocalWorker {
  run(caller: Caller, command: Command): Promise<{ incarnation: string; value: unknown }>
  /** Hears that the tab is still there. It must not throw. */
  ping?(caller: Caller): void
}

/** Options of {@link connect}. */
export interface ConnectOptions {
  /** Address of the worker script, relative to the page, on the page's own origin. */
  readonly worker: string | URL
  /** Name of the deployment, as the worker's configuration spells it. */
  readonly deployment: string
  /** `'module'` for a worker that uses `import`. Default: `'classic'`, which is what `holdfast-sw.js` is. */
  readonly type?: WorkerType
  /** Scope of the registration. Default: the folder of the worker script, so that no page need be controlled. */
  readonly scope?: string
  /** Attributes by which new conversations are routed, from the first on. The last tab that says so counts. Default: none. */
  readonly routingData?: Attributes
  /**
   * Loads a module that runs the engine in this page, for browsers where no service worker can be had. Default: where
   * the worker's address has `?config=`, our own, loaded only then; else none.
   */
  readonly local?: () => Promise<LocalModule>
}

/** Everything a tab can show, equal in all tabs but for `host`. Frozen, and a new object only when something changed. */
export interface State extends Snapshot {
  /** Where the engine runs: in a service worker, or in a page because there is none. */
  readonly host: 'service-worker' | 'page'
}

/** What can be sent: text of 1 to 4 096 characters, with metadata for the other side if wanted. */
export interface Content {
  readonly text: string
  readonly metadata?: Metadata
  /**
   * Files or blobs. They are kept with the message until the service has them, across reloads and without a network, and
   * the message follows them. Their progress is in `state.messages`; cancelling the message ends the upload.
   * `ATTACHMENT_REFUSED` where the platform does not take one of them.
   */
  readonly attachments?: readonly Blob[]
}

/** A message that is on the disk. */
export interface Receipt {
  /** The idempotency key, a UUID of version 7. It names the message in `outbox` and in events. */
  readonly key: string
  /**
   * Resolves with how the message ended, however long that takes; offline it waits. A refusal is a value, `dead`.
   * It rejects for one reason only: this tab let go (`LINK_CLOSED`). Unheeded, that rejection disturbs nobody.
   */
  readonly settled: Promise<Outcome>
}

/** What the events of `chat.on()` carry, by name. */
export interface ChatEvents {
  /** A message that was not there before, this visitor's own ones included. Once per message. */
  readonly message: Message
  /** One of this visitor's own messages got on: sent, refused, held back, cancelled. */
  readonly delivery: { readonly key: string; readonly status: DeliveryStatus | 'cancelled'; readonly code?: string }
  /** The service no longer accepts this visitor: why, and what to do. Once per loss and tab; the outbox is kept. */
  readonly 'auth-required': { readonly code: string; readonly message: string }
  /**
   * Another conversation took the place of the one before: `from`, where that is known. Or this tab `joined` one in which
   * another tab or device is already; that is told once, also to a tab that finds it so as it connects.
   */
  readonly resumed: {
    readonly conversationId: string
    readonly from?: string
    readonly joined?: true
    /** The same as `joined`: somebody was in it before this tab, and may still be. */
    readonly activeElsewhere?: true
  }
  /** The conversation is over; `startNew()` begins another. */
  readonly ended: { readonly conversationId?: string; readonly state?: ConversationState }
  /** This visitor is signed out, here or in another tab. */
  readonly 'signed-out': Record<never, never>
  /** A lease needs a token that a page has to supply: `supplyTokens()` of `holdfast/tokens` answers. */
  readonly 'token-wanted': { readonly lease: string }
  /** Something went wrong that no call of yours was waiting for. */
  readonly problem: { readonly code: ErrorCode | string; readonly message: string }
}

/**
 * A tab's view of the chat. Every method may be called unbound. All but `disconnect` and the reading of state ask the
 * worker and settle within a bound, also when the worker is stopped in the middle of it.
 *
 * Each call can reject with `LINK_TIMEOUT` (the worker was silent twice), `LINK_CLOSED` (after `disconnect()`),
 * `EPOCH_CHANGED` (signed out meanwhile, nothing was changed), `PROTOCOL_MISMATCH` (reload the page) and, if it stores
 * something, `STORE_FAILED`; the methods name only what is particular to them.
 */
export interface Chat {
  /** The present state. The same object until something changes, so it suits `useSyncExternalStore`. */
  readonly state: State

  /**
   * Calls `listener` at once and after every change. Returns the function that ends this. The last state of a page that goes
   * away has no messages, no context and `rev` -1: another visitor may bring it back from the back/forward cache. What came
   * from `history()`, and what is being typed, is the site's to hide until the next state.
   */
  readonly subscribe: (listener: (state: State) => void) => () => void

  /** Calls `listener` for every event of that name from now on. Returns the function that ends this. */
  readonly on: <E extends keyof ChatEvents>(event: E, listener: (detail: ChatEvents[E]) => void) => () => void

  /**
   * Resolves when the message is on the disk; from then on no reload, kill or crash loses it. Offline it resolves just
   * the same. Messages leave in order of `send`.
   *
   * @throws {TypeError} the text is no string or blank, or the metadata is not flat (strings, numbers, booleans)
   * @throws {HoldfastError} `MESSAGE_TOO_LONG` over 4 096 characters, `OUTBOX_FULL`, `STORE_FULL`; nothing was kept
   * @example
   * const { settled } = await chat.send('Where is my order?')
   * if ((await settled).status === 'dead') showRetryButton()
   */
  readonly send: (content: string | Content) => Promise<Receipt>

  /**
   * What was said, oldest first: in this conversation, from this browser's cache, and before it in those that it follows.
   * Of these the service is asked, once, for what the cache lacks; offline, or when it is slow, the cache is all there is.
   * Each message names its `conversationId`. In earlier conversations `seq` goes on below 0, where only its order counts.
   *
   * @param page.before only messages with a lower `seq`; default: the newest
   * @param page.limit at most so many; default 50
   * @example
   * const older = await chat.history({ before: page[0].seq }) // until it is empty
   */
  readonly history: (page?: { readonly before?: number; readonly limit?: number }) => Promise<Message[]>

  /** Call it at every key press: the other side is told at most every 5 s, and 5 s after the last one that it ended. */
  readonly typing: () => void

  /** What is being written and not yet sent, of this tab and conversation. Survives reload; gone when signed out. */
  readonly draft: { text: string }

  /** Sets `state.unread` to 0, in every tab. */
  readonly markRead: () => Promise<void>

  /** Attributes of the conversation: shared by all tabs, seen by agents, kept over reloads and reconnects. */
  readonly context: {
    /** What is known now, this tab's own unfinished changes included. */
    readonly get: () => Attributes
    /**
     * Merges name by name; resolves when on the disk. Offline it is pushed later.
     *
     * @throws {TypeError} a value is neither string nor boolean
     * @throws {HoldfastError} `CONTEXT_TOO_LARGE`: over 2 000 characters in a value or 16 384 bytes in all
     */
    readonly set: (values: Attributes) => Promise<void>
    readonly remove: (...names: readonly string[]) => Promise<void>
  }

  /** This browser's unsent and refused messages, of all its tabs. */
  readonly outbox: {
    /** Oldest first. */
    readonly list: () => Promise<readonly OutboxItem[]>
    /** Sends a refused, stale or parked message after all. @throws {HoldfastError} `OUTBOX_UNKNOWN` */
    readonly retry: (key: string) => Promise<void>
    /** Discards a message. @throws {HoldfastError} `OUTBOX_UNKNOWN`, or `OUTBOX_INFLIGHT`: it is on its way */
    readonly cancel: (key: string) => Promise<void>
    /** Replaces a message by another with a key of its own. @throws as `send` and `cancel` do */
    readonly edit: (key: string, content: string | Content) => Promise<Receipt>
  }

  /**
   * Begins a new conversation after this one has ended; one that is open stays. Resolves when `state.conversation` is the
   * new one. Where the service cannot be reached, or refuses, it resolves when the wish is on the disk: it begins later.
   */
  readonly startNew: () => Promise<void>

  /**
   * Says who the visitor is: joins the session to the user whom the site's signed token names. A guest's conversation goes
   * on; where the user has one already, on another device, that is the one from then on. Another user than the one before
   * begins with nothing of theirs: this browser is wiped first, and every tab shows the new one. The token is not kept.
   *
   * @param options.token the site's JWT with `sub`, as the service is told to expect it
   * @throws {TypeError} no token
   * @throws {HoldfastError} `IDENTITY_REFUSED`, `SERVICE_UNREACHABLE`: nothing was changed
   */
  readonly authenticate: (options: { readonly token: string }) => Promise<void>

  /**
   * Signs the visitor out and removes what this browser holds of them, in all tabs. Works offline.
   *
   * @param options.unsent what becomes of unsent messages: `'send'` them first, `'discard'` them, or `'refuse'` to
   *   sign out while there are any (default)
   * @throws {HoldfastError} `OUTBOX_UNSENT`
   */
  readonly logout: (options?: {
    readonly unsent?: 'send' | 'discard' | 'refuse'
  }) => Promise<{ readonly verified: true }>

  /** Findings and figures for a support case: no text, no attribute, no token. */
  readonly diagnose: () => Promise<Report>

  /** This tab lets go: no more events, later calls reject with `LINK_CLOSED`. What was sent is sent all the same. */
  readonly disconnect: () => void
}
