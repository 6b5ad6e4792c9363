// Connections of the Genesys adapter to an emulator of its own, and who listens to them.
import { WebSocket as WsSocket } from 'ws'
import type { Connection, Platform } from '../../core/ports.ts'
import type { Conversation } from '../../core/session.ts'
import { genesys } from '../../sw/platforms/genesys.ts'
import { type Genesys, type GenesysSettings, startGenesys } from '../../testing/genesys.ts'
import { listener } from '../contract/platform-world.ts'

export const PENDING: Conversation = { id: 'c1', participantId: '', state: 'pending' }
export const ACTIVE: Conversation = { ...PENDING, state: 'active' }

type Defer = (end: () => unknown) => void

export function adapterFor(at: Pick<Genesys, 'endpoints' | 'deploymentId'>, now = Date.now): Platform {
  const options = { domain: 'example', endpoints: at.endpoints }
  const deps = { now, fetch, WebSocket: WsSocket as unknown as typeof WebSocket }
  return genesys(options)({ deployment: at.deploymentId, ...deps })
}

export async function world(defer: Defer, settings: Partial<GenesysSettings> = {}, now = Date.now) {
  const emulator = await startGenesys(settings)
  defer(() => emulator.close())
  return { emulator, ...lines(defer, adapterFor(emulator, now)) }
}

export function lines(defer: Defer, platform: Platform, token = 'secret-1') {
  const connect = (conversation: Conversation = PENDING, jwt?: string, attributes = {}) => {
    const heard = listener()
    const tokens = jwt === undefined ? {} : { auth: jwt }
    const request = { conversationId: conversation.id, conversation, token, tokens, afterSeq: 0, attributes }
    const connection: Connection = platform.connect(request, heard.emit)
    defer(() => connection.close())
    const send = (text: string, key = `key-${text}`, more: object = {}) =>
      connection.calls?.send?.({ token, conversation, message: { key, text }, ...more })
    const backfill = () => connection.calls?.backfill?.({ token, conversationId: 'c1', afterId: '' })
    const state = (wanted: string) =>
      heard.until(() => heard.events.some((event) => event.type === 'conversation' && event.state === wanted))
    const endsAt = (): number => {
      const told = heard.events.flatMap((event) => (event.type === 'session' ? (event.expiresAt ?? []) : []))
      return told.at(-1) ?? 0
    }
    return { ...heard, connection, send, backfill, state, endsAt, ready: () => heard.until(() => heard.has('ready')) }
  }
  return { platform, connect, token }
}

export const sessionOf = ({ service }: Genesys) => {
  const [session] = service.sessions.values()
  if (session === undefined) throw new Error('There is no session.')
  return session
}
