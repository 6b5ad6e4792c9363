// How far a side of a conversation has come, said over HTTP; a stream takes the same as a frame.
import { Hono } from 'hono'
import type { Env, Parts } from '../parts.ts'
import { problem } from '../problem.ts'
import { MarkRequest, MarksWire } from '../schemas-marks.ts'
import { mayEnter } from '../session.ts'
import { entrance, operation, valid } from './common.ts'

const PATH = '/api/v2/messaging/conversations/:id/marks'

export function markRoutes(parts: Parts) {
  const app = new Hono<Env>()
  app.post(
    PATH,
    operation(
      'markConversation',
      'Say up to which message everything was delivered to this side, or read by it. Marks never go back.',
      { 200: MarksWire },
      { refusals: ['unknown-conversation'] },
    ),
    entrance(parts),
    valid('json', MarkRequest),
    async (c) => {
      const caller = c.get('caller')
      const { conversations } = parts.store
      const present = await conversations.row(c.req.param('id'))
      if (present === undefined || !mayEnter(caller, present)) return problem(c, 'unknown-conversation')
      await parts.marker.note(present.id, caller.role, c.req.valid('json'))
      return c.json(((await conversations.row(present.id)) ?? present).marks, 200)
    },
  )
  return app
}
