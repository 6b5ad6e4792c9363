// An agent who listens: the other end of a conversation, over the service's own stream.

import WebSocket from 'ws'
import type { ServiceProcess } from '../testing/service.ts'

export interface Frame {
  readonly type: string
  readonly on?: boolean
  readonly role?: string
  readonly message?: { readonly text: string; readonly role: string }
}

export interface Agent {
  /** Resolves with the first frame that fits, also if it has come already. */
  hears(fits: (frame: Frame) => boolean): Promise<Frame>
  types(isTyping: boolean): void
  leave(): void
}

export function listen(service: ServiceProcess, conversationId: string): Promise<Agent> {
  const socket = new WebSocket(`${service.url.replace('http', 'ws')}/api/v2/messaging/stream`, 'holdfast.v2')
  const frames: Frame[] = []
  const waiting = new Set<() => void>()
  socket.on('open', () => {
    socket.send(JSON.stringify({ type: 'auth', token: service.agentToken(), conversationId, afterSeq: 0 }))
  })
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Frame
    frames.push(frame)
    for (const look of [...waiting]) look()
  })
  const hears = (fits: (frame: Frame) => boolean) =>
    new Promise<Frame>((resolve) => {
      const look = () => {
        const found = frames.find(fits)
        if (found === undefined) return
        waiting.delete(look)
        resolve(found)
      }
      waiting.add(look)
      look()
    })
  return hears(({ type }) => type === 'ready').then(() => ({
    hears,
    types: (on) => socket.send(JSON.stringify({ type: 'typing', on })),
    leave: () => socket.terminate(),
  }))
}
