// The console's live connection: one WebSocket for all conversations of the deployment, which reconnects by itself.
// What a frame means is for main.ts; what was missed meanwhile is fetched there after `ready`.

import { identify } from './api.ts'
import type { Conversation, Mark, Message } from './model.ts'

export type Frame =
  | { readonly type: 'ready' }
  | { readonly type: 'message'; readonly message: Message }
  | { readonly type: 'state'; readonly conversation: Conversation }
  | { readonly type: 'marks'; readonly conversationId: string; readonly agent: Mark; readonly customer: Mark }
  | { readonly type: 'typing'; readonly conversationId: string; readonly role: string; readonly on: boolean }
  | { readonly type: 'event' | 'pong' | 'error' | 'reauthed' }
  | { readonly type: 'ping'; readonly id?: string }
  | { readonly type: 'reconnect'; readonly afterMs: number }

export interface AgentStream {
  send(frame: unknown): void
}

const PING_MS = 10_000
/** Silence for this long is a dead connection. */
const SILENCE_MAX_MS = 16_000
const BACKOFF_FIRST_MS = 400
const BACKOFF_MAX_MS = 8_000

export function openStream(onFrame: (frame: Frame) => void, onState: (isUp: boolean) => void): AgentStream {
  let socket: WebSocket | undefined
  let failures = 0
  let heardAt = 0

  async function open(): Promise<void> {
    try {
      const { token } = await identify(failures > 0)
      const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
      socket = new WebSocket(`${scheme}://${location.host}/agent/api/v2/messaging/stream`, 'holdfast.v2')
      heardAt = Date.now()
      socket.addEventListener('open', () => send({ type: 'auth', token, conversationId: null }))
      socket.addEventListener('message', ({ data }) => hear(JSON.parse(String(data)) as Frame))
      socket.addEventListener('close', again, { once: true })
    } catch {
      // No token: the demo server is away. Asking later is all there is to do.
      again()
    }
  }

  function again(): void {
    socket = undefined
    onState(false)
    failures++
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** failures)
    setTimeout(() => void open(), Math.random() * ceiling)
  }

  function hear(frame: Frame): void {
    heardAt = Date.now()
    if (frame.type === 'ready') {
      failures = 0
      onState(true)
    }
    if (frame.type === 'ping') send({ type: 'pong', id: frame.id })
    onFrame(frame)
  }

  function send(frame: unknown): void {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
  }

  setInterval(() => {
    if (socket !== undefined && Date.now() - heardAt > SILENCE_MAX_MS) socket.close()
    else send({ type: 'ping' })
  }, PING_MS)
  void open()
  return { send }
}
