// The context store over HTTP: versioned values of a session, a user or a conversation.
import { Hono } from 'hono'
import type { Call, Env, Parts } from '../parts.ts'
import { problem } from '../problem.ts'
import { ContextParam, ContextWire, PutContextRequest } from '../schemas.ts'
import { mayEnter } from '../session.ts'
import type { ContextAnswer, ContextCondition, ContextValue } from '../store-context.ts'
import { fenceFrom, isKnown, versionFrom } from '../wire.ts'
import { entrance, operation, valid } from './common.ts'

const PATH = '/api/v2/widget-context/:scope/:name'
/** Why a caller has nothing of a scope. */
export const NO_PLACE = ['sign-in-required', 'customers-only', 'unknown-scope'] as const

export function contextRoutes(parts: Parts) {
  const app = new Hono<Env>()
  const enter = entrance(parts)
  const { contexts } = parts.store

  app.get(
    PATH,
    operation(
      'getContext',
      'Read a value; scope is `session`, `user` or a conversation id.',
      { 200: ContextWire, 304: null },
      { refusals: ['unknown-context'] },
    ),
    enter,
    valid('param', ContextParam),
    async (c) => {
      const place = await placeOf(parts, c)
      // To a reader, a scope that is not theirs holds nothing.
      const present = typeof place === 'string' ? undefined : await contexts.get(place.scope, place.name)
      if (!present) return problem(c, 'unknown-context')
      const headers = { ETag: tag(present), 'Cache-Control': 'private, no-cache', Vary: 'Authorization' }
      if (isKnown(c.req.header('If-None-Match'), headers.ETag)) return c.body(null, 304, headers)
      return c.json({ ...c.req.valid('param'), ...present }, 200, headers)
    },
  )

  app.put(
    PATH,
    operation(
      'putContext',
      'Write a value, if the version is still the one named.',
      { 200: ContextWire, 201: ContextWire },
      {
        refusals: [...NO_PLACE, 'version-conflict', 'context-too-large', 'too-many-context-values', 'stale-fence'],
        headers: ['If-Match', 'Holdfast-Fence'],
      },
    ),
    enter,
    valid('param', ContextParam),
    valid('json', PutContextRequest),
    (c) =>
      write(parts, c, ({ scope, name }, condition) =>
        contexts.put(scope, name, c.req.valid('json').value, condition, parts.now()),
      ),
  )

  removal(parts, app, enter)
  return app
}

function removal(parts: Parts, app: Hono<Env>, enter: ReturnType<typeof entrance>): void {
  app.delete(
    PATH,
    operation(
      'deleteContext',
      'Remove a value, if the version is still the one named.',
      { 204: null },
      {
        refusals: ['unknown-context', ...NO_PLACE, 'version-conflict', 'stale-fence'],
        headers: ['If-Match', 'Holdfast-Fence'],
      },
    ),
    enter,
    valid('param', ContextParam),
    (c) =>
      write(parts, c, ({ scope, name }, condition) => parts.store.contexts.remove(scope, name, condition, parts.now())),
  )
}

async function write(
  parts: Parts,
  c: Call,
  change: (place: { scope: string; name: string }, condition: ContextCondition) => Promise<ContextAnswer>,
): Promise<Response> {
  const ifVersion = c.req.header('If-None-Match') === '*' ? 0 : versionFrom(c.req.header('If-Match'))
  if (ifVersion === 'unreadable') return problem(c, 'invalid-request', { detail: 'If-Match is not a version.' })
  const fence = fenceFrom(c.req.header('Holdfast-Fence'))
  if (fence === 'unreadable') return problem(c, 'invalid-request', { detail: 'Holdfast-Fence is not a number.' })
  const place = await placeOf(parts, c)
  return typeof place === 'string' ? problem(c, place) : settle(c, await change(place, { ifVersion, fence }))
}

export type Place = { scope: string; name: string }

/** The place in the table, or why the caller has nothing of that scope. */
export async function placeOf(
  parts: Parts,
  c: Call,
  { scope = '', name = '' } = c.req.param() as { scope?: string; name?: string },
): Promise<Place | (typeof NO_PLACE)[number]> {
  const caller = c.get('caller')
  if (scope === 'session' || scope === 'user') {
    if (caller.role !== 'customer') return 'customers-only'
    if (scope === 'session') return { scope: `session:${caller.sessionId}`, name }
    const userId = (await parts.store.sessions.session(caller.sessionId))?.userId
    return userId ? { scope: `user:${caller.deploymentId}:${userId}`, name } : 'sign-in-required'
  }
  const conversation = await parts.store.conversations.row(scope)
  if (conversation === undefined || !mayEnter(caller, conversation)) return 'unknown-scope'
  return { scope: `conversation:${conversation.id}`, name }
}

function settle(c: Call, answer: ContextAnswer): Response {
  switch (answer.type) {
    case 'refused':
      return problem(c, answer.code)
    case 'conflict': {
      const { present } = answer
      return problem(c, 'version-conflict', { present, ...(present && { headers: { ETag: tag(present) } }) })
    }
    case 'removed':
      return c.body(null, 204)
    case 'done': {
      const { scope = '', name = '' } = c.req.param() as { scope?: string; name?: string }
      return c.json({ scope, name, ...answer.present }, answer.created ? 201 : 200, { ETag: tag(answer.present) })
    }
  }
}

function tag(value: ContextValue): string {
  return `"${value.version}"`
}
