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
  /**
   * Of the next message: the request never arrives, the answer to it is lost, or it is not taken because there were too
   * many.
   */
  lose(what: 'request' | 'answer' | 'patience'): void
  agentSays(conversationId: string, text: string): Promise<void>
  agentCloses(conversationId: string): Promise<void>
  end(): Promise<void>
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
