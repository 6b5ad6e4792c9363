// The console's calls to the session service: plain fetch with an agent's token, which the demo server hands out.
// One repeat after a 401, none otherwise: the person at the console sees what failed and decides.

import type { Conversation, Message } from './model.ts'

const BASE = '/agent/api/v2/messaging/conversations'
const PAGE = 200

export interface Identity {
  readonly token: string
  readonly name: string
}

/** The service has understood, and will say the same again: the sentence says why. */
export class Refusal extends Error {}

let identity: Promise<Identity> | undefined

/** The agent's token and name; `isFresh` asks for another token. */
export function identify(isFresh = false): Promise<Identity> {
  if (identity === undefined || isFresh) {
    identity = askIdentity()
    // A failure is not kept, so that the next call asks again.
    identity.catch(() => {
      identity = undefined
    })
  }
  return identity
}

async function askIdentity(): Promise<Identity> {
  const response = await fetch('/agent/token', { cache: 'no-store' })
  if (!response.ok) throw new Error(`The demo server gave no token (${response.status}).`)
  return (await response.json()) as Identity
}

async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const { token } = await identify(attempt > 1)
    const response = await fetch(BASE + path, {
      method,
      credentials: 'omit',
      headers: {
        Authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (response.ok) return (await response.json()) as T
    if (response.status === 401 && attempt === 1) continue
    const problem = (await response.json().catch(() => ({}))) as { title?: string; code?: string }
    const said = problem.title ?? `The service answered ${response.status}.`
    // What is too early, too much or broken may go well later.
    const isFinal =
      response.status < 500 && ![401, 408, 429].includes(response.status) && problem.code !== 'in-progress'
    throw isFinal ? new Refusal(said) : new Error(said)
  }
}

export async function listConversations(): Promise<readonly Conversation[]> {
  const { conversations } = await call<{ conversations: Conversation[] }>('GET', '?state=all&limit=100')
  return conversations
}

export async function messagesAfter(id: string, afterId: string | undefined): Promise<readonly Message[]> {
  const all: Message[] = []
  let cursor = afterId
  for (;;) {
    const query = new URLSearchParams({ limit: String(PAGE), ...(cursor !== undefined && { afterId: cursor }) })
    const { messages } = await call<{ messages: Message[] }>('GET', `/${id}/messages?${query}`)
    all.push(...messages)
    if (messages.length < PAGE) return all
    cursor = messages.at(-1)?.id
  }
}

/** Takes part in a conversation; again, where one does already, changes nothing. */
export async function join(id: string): Promise<string> {
  const { name } = await identify()
  const participant = await call<{ id: string }>('POST', `/${id}/participants`, { role: 'agent', name })
  return participant.id
}

/** The same key is the same message, however often it is sent. */
export async function reply(id: string, key: string, text: string): Promise<void> {
  const participantId = await join(id)
  await call('POST', `/${id}/messages`, { participantId, text }, { 'Idempotency-Key': key })
}

/** A file that came with a message, as its bytes: nobody's browser shows it as a page of ours. */
export async function fileOf(id: string, fileId: string): Promise<Blob> {
  const { token } = await identify()
  const headers = { Authorization: `Bearer ${token}` }
  const response = await fetch(`${BASE}/${id}/attachments/${fileId}/content`, { credentials: 'omit', headers })
  if (!response.ok)
    throw new Error(`The file could not be fetched: the service answered ${response.status}. Try again.`)
  return response.blob()
}

export function close(id: string): Promise<Conversation> {
  return call('POST', `/${id}/close`)
}

/** Another queue takes over: what was said and what is known about the customer stay. */
export async function handOver(id: string, queue: string): Promise<Conversation> {
  const participantId = await join(id)
  await call('PATCH', `/${id}`, { routingData: { queue } })
  return call('DELETE', `/${id}/participants/${participantId}`)
}
