// Who takes part in the contract of the Platform port: a world to run it in, a visitor, and somebody who listens.
import type { ConversationView, Outcome, Platform, StreamEvent, StreamReport } from '../../core/ports.ts'

/** A service with one deployment, and those who use it. */
export interface PlatformWorld {
  /**
   * A new browser, that nobody has used before. `deployment` is one that the service knows, unless told
   * otherwise; without sockets, none can be made.
   */
  browser(options?: { deployment?: string; hasSockets?: boolean }): Platform
  /** An adapter for an address where nobody listens. */
  nowhere(): Platform
  /** An adapter for a service that takes a request and never answers; its deadline is short. */
  silent(): Platform
  /** An adapter for a service at this address, whatever is there. */
  at(url: string): Platform
  /** Of the next one of its kind. Default: of the next message. */
  lose(what: Loss, of?: Lossy): void
  /** Who has a token that a service refreshes: of the session's own lease, or of another one. */
  refreshable(platform: Platform): Promise<{ token: string; refreshToken: string; lease?: string }>
  agentSays(conversationId: string, text: string): Promise<void>
  agentCloses(conversationId: string): Promise<void>
  /** Where the platform has marks. */
  agentReads?(conversationId: string, seq: number): Promise<void>
  end(): Promise<void>
}

/**
 * The request never arrives, the answer to it is lost, it is not taken because there were too many, or it is answered by
 * a page that somebody else made up, with the status of an error or of success.
 */
export type Loss = 'request' | 'answer' | 'patience' | 'broken' | 'portal'
/** `farewell`: the session itself is ended. `revoke`: what `refreshable` gave. */
export type Lossy = 'message' | 'refresh' | 'revoke' | 'farewell'

/** Loses what is asked by HTTP at the paths that belong to it. */
export function losing(inner: typeof fetch, paths: { readonly [of in Lossy]?: RegExp }) {
  let next: { readonly what: Loss; readonly path: RegExp } | undefined
  const fake = (status: number, body: string, more = {}) =>
    new Response(body, { status, headers: { 'content-type': 'text/html', ...more } })
  const lossy: typeof fetch = async (url, init) => {
    const isNext = next?.path.test(`${init?.method} ${url}`)
    const what = isNext ? next?.what : undefined
    if (isNext) next = undefined
    if (what === 'request') throw new TypeError('Failed to fetch')
    if (what === 'patience') return fake(429, JSON.stringify({ code: 'rate-limited' }), { 'retry-after': '1' })
    if (what === 'broken') return fake(503, '<html>The gateway is tired.</html>')
    if (what === 'portal') return fake(200, '<html>Welcome to the airport.</html>')
    const response = await inner(url, init)
    if (what === 'answer') throw new TypeError('Failed to fetch')
    return response
  }
  const lose = (what: Loss, of: Lossy): boolean => {
    const path = paths[of]
    if (path !== undefined) next = { what, path }
    return path !== undefined
  }
  return { fetch: lossy, lose }
}

export function must<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new Error(`${outcome.verdict}, ${outcome.code}: ${outcome.reason}`)
  return outcome.value
}

let keys = 0
export const freshKey = (): string => `key-${process.pid}-${++keys}`

export async function openSession(platform: Platform, conversationId: string | null = null, wantsRefreshToken = true) {
  const { opened, grant } = must(await platform.open({ key: freshKey(), wantsRefreshToken, conversationId }))
  if (grant === undefined) throw new Error('The platform granted nothing.')
  return { opened, grant, token: grant.accessToken }
}

export const makeConversation = async (platform: Platform, token: string, attributes = {}): Promise<ConversationView> =>
  must(await platform.make({ key: freshKey(), token, previousId: null, routing: {}, attributes }))

/** A visitor in the middle of a conversation. */
export async function visitor(world: PlatformWorld, attributes = {}, hasSockets = true) {
  const platform = world.browser({ hasSockets })
  const { token, grant, opened } = await openSession(platform)
  const { conversation, version } = await makeConversation(platform, token, attributes)
  const { id: conversationId } = conversation
  const send = (text: string, key = freshKey()) => platform.send({ token, conversation, message: { key, text } })
  const backfill = (afterId: string) => platform.backfill({ token, conversationId, afterId })
  return { platform, token, grant, opened, conversation, conversationId, version, send, backfill }
}

/** Listens to a connection or a stream, and waits for what must come. */
export function listener<E extends StreamEvent | StreamReport = StreamEvent>() {
  const events: E[] = []
  let wake = () => {}
  const emit = (event: E) => {
    events.push(event)
    wake()
  }
  const texts = () => events.flatMap((event) => (event.type === 'rows' ? event.rows.map(({ text }) => text) : []))
  async function until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { events, emit, texts, until, has: (type: E['type']) => events.some((event) => event.type === type) }
}
