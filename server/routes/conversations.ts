// Conversations over HTTP: create or join, read, change, hand over, close.
import { Hono } from 'hono'
import type { Call, Env, Parts } from '../parts.ts'
import { problem } from '../problem.ts'
import {
  ConversationsWire,
  ConversationWire,
  CreateConversationRequest,
  CreatedWire,
  JoinRequest,
  ListQuery,
  type LossyFrame,
  ParticipantWire,
  PatchConversationRequest,
} from '../schemas.ts'
import { mayEnter, mergeAttributes } from '../session.ts'
import { type ChangeAnswer, type Full, ROUTING_BYTES_MAX } from '../store-conversations.ts'
import { conversationTag, conversationWire, fenceFrom, isKnown, versionFrom } from '../wire.ts'
import { entrance, idempotencyKey, operation, requestHash, valid } from './common.ts'

const PATH = '/api/v2/messaging/conversations'
/** What attributes and routing data are refused for. */
const UNFIT = ['attribute-too-long', 'too-many-attributes', 'routing-data-not-flat', 'routing-data-too-large'] as const
const STATES = {
  open: ['pending', 'active'],
  ended: ['closed', 'expired', 'archived'],
  all: ['pending', 'active', 'closed', 'expired', 'archived'],
} as const

export function conversationRoutes(parts: Parts) {
  const app = new Hono<Env>()
  const enter = entrance(parts)

  app.post(
    PATH,
    operation(
      'createConversation',
      'Create the conversation of the session, or join the open one.',
      { 200: CreatedWire, 201: CreatedWire },
      {
        refusals: ['customers-only', 'idempotency-key-required', ...UNFIT, 'idempotency-key-reused'],
        headers: ['Idempotency-Key'],
      },
    ),
    enter,
    valid('json', CreateConversationRequest),
    (c) => create(parts, c, c.req.valid('json')),
  )

  app.get(
    PATH,
    operation('listConversations', 'For agents: of the deployment; for customers: their own. Newest activity first.', {
      200: ConversationsWire,
    }),
    enter,
    valid('query', ListQuery),
    async (c) => {
      const { state, limit } = c.req.valid('query')
      const conversations = await parts.store.conversations.list(c.get('caller'), STATES[state], limit)
      return c.json({ conversations: conversations.map(conversationWire) }, 200, {
        'Cache-Control': 'private, no-cache',
      })
    },
  )

  oneRoutes(parts, app, enter)
  changeRoutes(parts, app, enter)
  return app
}

function oneRoutes(parts: Parts, app: Hono<Env>, enter: ReturnType<typeof entrance>): void {
  app.get(
    `${PATH}/:id`,
    operation(
      'getConversation',
      'Read a conversation.',
      { 200: ConversationWire, 304: null },
      { refusals: ['unknown-conversation'] },
    ),
    enter,
    async (c) => {
      const conversation = await parts.store.conversations.full(c.req.param('id'))
      if (conversation === undefined || !mayEnter(c.get('caller'), conversation))
        return problem(c, 'unknown-conversation')
      const headers = {
        ETag: conversationTag(conversation),
        'Cache-Control': 'private, no-cache',
        Vary: 'Authorization',
      }
      if (isKnown(c.req.header('If-None-Match'), headers.ETag)) return c.body(null, 304, headers)
      return c.json(conversationWire(conversation), 200, headers)
    },
  )

  app.patch(
    `${PATH}/:id`,
    operation(
      'patchConversation',
      'Merge attributes and routing data key by key; null removes.',
      { 200: ConversationWire },
      {
        refusals: ['unknown-conversation', 'conversation-closed', 'version-conflict', ...UNFIT, 'stale-fence'],
        headers: ['If-Match', 'Holdfast-Fence'],
      },
    ),
    enter,
    valid('json', PatchConversationRequest),
    async (c) => {
      const ifVersion = versionFrom(c.req.header('If-Match'))
      if (ifVersion === 'unreadable') return problem(c, 'invalid-request', { detail: 'If-Match is not a version.' })
      const { customAttributes: attributes, routingData: routing } = c.req.valid('json')
      const fence = fenceFrom(c.req.header('Holdfast-Fence'))
      if (fence === 'unreadable') return problem(c, 'invalid-request', { detail: 'Holdfast-Fence is not a number.' })
      const delta = { attributes, routing, ifVersion, fence }
      return settle(
        parts,
        c,
        await parts.store.conversations.patch(c.req.param('id'), c.get('caller'), delta, parts.now()),
      )
    },
  )
}

function changeRoutes(parts: Parts, app: Hono<Env>, enter: ReturnType<typeof entrance>): void {
  app.post(
    `${PATH}/:id/participants`,
    operation(
      'joinConversation',
      'An agent or bot takes part; routing data may change with it.',
      { 200: ParticipantWire, 201: ParticipantWire },
      {
        refusals: [
          'agents-only',
          'unknown-conversation',
          'conversation-closed',
          'participant-exists',
          'routing-data-not-flat',
          'routing-data-too-large',
        ],
      },
    ),
    enter,
    valid('json', JoinRequest),
    (c) => join(parts, c, c.req.param('id'), c.req.valid('json')),
  )

  app.delete(
    `${PATH}/:id/participants/:participantId`,
    operation(
      'leaveConversation',
      'Take a participant out; attributes, routing data and transcript stay.',
      { 200: ConversationWire },
      { refusals: ['agents-only', 'unknown-conversation', 'conversation-closed', 'unknown-participant'] },
    ),
    enter,
    async (c) => {
      const caller = c.get('caller')
      if (caller.role !== 'agent') return problem(c, 'agents-only')
      const participantId = c.req.param('participantId')
      const answer = await parts.store.conversations.leave(c.req.param('id'), caller, participantId, parts.now())
      return settle(parts, c, answer, { type: 'left', participantId })
    },
  )

  app.post(
    `${PATH}/:id/close`,
    operation(
      'closeConversation',
      'End a conversation; ending it again changes nothing.',
      { 200: ConversationWire },
      { refusals: ['unknown-conversation'] },
    ),
    enter,
    async (c) => {
      const caller = c.get('caller')
      const answer = await parts.store.conversations.close(c.req.param('id'), caller, parts.now())
      return settle(parts, c, answer, { type: 'closed', role: caller.role })
    },
  )
}

async function create(
  parts: Parts,
  c: Call,
  body: { [K in 'channelId']: string } & {
    routingData: Record<string, unknown>
    customAttributes: Record<string, unknown>
    previousConversationId?: string | null | undefined
  },
): Promise<Response> {
  const caller = c.get('caller')
  if (caller.role !== 'customer') return problem(c, 'customers-only')
  const key = idempotencyKey(c)
  if (key === null) return problem(c, 'idempotency-key-required')
  if (Buffer.byteLength(JSON.stringify(body.routingData)) > ROUTING_BYTES_MAX)
    return problem(c, 'routing-data-too-large')
  const answer = await parts.store.starter.create(
    {
      caller,
      channelId: body.channelId,
      attributes: mergeAttributes({}, body.customAttributes),
      routing: mergeAttributes({}, body.routingData),
      previousId: body.previousConversationId ?? undefined,
      key,
      requestHash: requestHash(body),
      fresh: { conversationId: parts.uuid(), participantId: parts.uuid() },
    },
    parts.now(),
  )
  if (answer.type === 'refused') return problem(c, answer.code)
  if (answer.type === 'created') {
    parts.metrics.count('conversations_created')
    const { id, version } = answer.answer
    parts.hub.publish({ conversationId: id, deploymentId: caller.deploymentId, seq: 0, version })
  }
  if (answer.type === 'replayed') c.header('Idempotent-Replayed', 'true')
  return c.json(answer.answer, answer.status)
}

type JoinBody = {
  participantId?: string | undefined
  role: 'agent' | 'bot' | 'system'
  name?: string | undefined
  routingData: Record<string, unknown>
}

async function join(parts: Parts, c: Call, id: string, body: JoinBody): Promise<Response> {
  const caller = c.get('caller')
  if (caller.role !== 'agent') return problem(c, 'agents-only')
  const { participantId = parts.uuid(), role, name = caller.name, routingData } = body
  const isNamed = body.participantId !== undefined
  const request = { participantId, isNamed, role, name, agentId: caller.agentId, routing: routingData }
  const answer = await parts.store.conversations.join(id, caller, request, parts.now())
  if (answer.type !== 'done') return settle(parts, c, answer)
  const participant = conversationWire(answer.conversation).participants.find((one) => one.id === answer.participantId)
  tell(parts, answer, { type: 'joined', participantId: answer.participantId ?? participantId, role, name })
  return c.json(participant, answer.changed ? 201 : 200)
}

type News = {
  type: 'joined' | 'left' | 'closed'
  participantId?: string
  role?: 'customer' | 'agent' | 'bot' | 'system'
  name?: string
}

/** Tells the listeners what changed, then the caller. */
function settle(parts: Parts, c: Call, answer: ChangeAnswer, news?: News): Response {
  switch (answer.type) {
    case 'refused':
      return problem(c, answer.code)
    case 'conflict':
      return problem(c, 'version-conflict', {
        present: conversationWire(answer.present),
        headers: { ETag: conversationTag(answer.present) },
      })
    case 'done':
      tell(parts, answer, news)
      return c.json(conversationWire(answer.conversation), 200, { ETag: conversationTag(answer.conversation) })
  }
}

function tell(parts: Parts, answer: { conversation: Full; changed: boolean }, news?: News): void {
  if (!answer.changed) return
  const frame: LossyFrame | undefined = news && {
    type: 'event',
    event: { ...news, conversationId: answer.conversation.id, at: parts.now() },
  }
  parts.hub.changed(answer.conversation, frame)
}
