// Code of a site that must compile, and code that must not. Compiled by `tsc -b`, never run: see types.test.ts.

import { type Chat, connect, type ErrorCode, HoldfastError, type State } from '../../src/index.ts'

declare const chat: Chat
declare const state: State

export const right = [
  () =>
    connect({
      worker: new URL('https://example.com/sw.js'),
      deployment: 'acme',
      type: 'module',
      routingData: { vip: true },
    }),
  () => chat.send('hello'),
  () => chat.send({ text: 'hello', metadata: { page: '/', items: 2, vip: false } }),
  async () => (await chat.history({ limit: 20 })).reverse(),
  () => chat.context.remove('a', 'b'),
  () => chat.on('delivery', ({ key, status, code }) => [key, status === 'cancelled', code?.length]),
  () => chat.logout({ unsent: 'send' }),
]

// @ts-expect-error a deployment has no default
connect({ worker: '/sw.js' })

// @ts-expect-error there is no such option
connect({ worker: '/sw.js', deployment: 'acme', token: 'secret' })

// @ts-expect-error a message is text, never an object of the site's
chat.send({ body: 'hello' })

// @ts-expect-error metadata is flat
chat.send({ text: 'hello', metadata: { cart: { items: 2 } } })

// @ts-expect-error attributes are strings and booleans
chat.context.set({ total: 12 })

// @ts-expect-error removing has a name of its own
chat.context.set({ cart: null })

// @ts-expect-error there is no such event
chat.on('typing', () => {})

// @ts-expect-error a delivery is no message
chat.on('delivery', ({ text }) => text)

// @ts-expect-error unsent messages are sent, discarded, or a reason to refuse
chat.logout({ unsent: 'keep' })

// @ts-expect-error the snapshot is not the site's to change
state.unread = 0

// @ts-expect-error nor is what is in it
state.messages.push({ role: 'agent', text: 'hi', at: 0, status: 'acked' })

// @ts-expect-error no token is part of any public type
state.session?.accessToken

// @ts-expect-error the lease shows its state, never its grant
state.lease.grant

// @ts-expect-error the list of codes is closed
new HoldfastError('SOMETHING', 'Something.')

// @ts-expect-error a settled message may have ended in any of four ways
chat.send('hello').then(({ settled }) => settled.then(({ messageId }) => messageId))

/** Every code has a place in a switch: one that is new fails to compile here, and wants a line in the README. */
export const CODES: { readonly [code in ErrorCode]: true } = {
  LEASE_REVOKED: true,
  LEASE_EXPIRED: true,
  LEASE_BAD_TOKEN: true,
  LEASE_UNANSWERED: true,
  OUTBOX_FULL: true,
  OUTBOX_REFUSED: true,
  OUTBOX_UNKNOWN: true,
  OUTBOX_INFLIGHT: true,
  OUTBOX_UNSENT: true,
  IDENTITY_REFUSED: true,
  MESSAGE_TOO_LONG: true,
  ATTACHMENT_REFUSED: true,
  METADATA_TOO_LARGE: true,
  CONTEXT_TOO_LARGE: true,
  CONVERSATION_OVER: true,
  SESSION_EXPIRING: true,
  LINK_TIMEOUT: true,
  LINK_CLOSED: true,
  GUARD_REFUSED: true,
  EPOCH_CHANGED: true,
  PROTOCOL_MISMATCH: true,
  DEPLOYMENT_UNKNOWN: true,
  WORKER_UNAVAILABLE: true,
  HUB_REFUSED: true,
  CONFIG_INVALID: true,
  STORE_FULL: true,
  STORE_FAILED: true,
  STORE_CORRUPT: true,
  SERVICE_UNREACHABLE: true,
  SERVICE_BAD_RESPONSE: true,
  SERVICE_REFUSED: true,
}
