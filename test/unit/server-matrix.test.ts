// Who may what: every operation of the OpenAPI document against every kind of caller. A new operation without a
// row here fails the first test.
import { beforeEach, describe, expect, test } from 'vitest'
import { createSessionService, type SessionService } from '../../server/index.ts'
import { deviationOf, documentOf, flawsOf, operationsOf } from './server-openapi.ts'
import { type Created, freshKey, Visitor } from './server-visitor.ts'

let clock: number
let service: SessionService
let owner: Visitor
let own: Created
let sessionId: string
let picture: string

beforeEach(async () => {
  clock = 1_900_000_000_000
  service = await createSessionService({ now: () => clock, deployments: { demo: {}, other: {} } })
  owner = new Visitor(service)
  sessionId = (await owner.open()).body.persistentSessionId
  own = (await owner.start()).body
  await owner.say(own, 'hello')
  const headers = { 'Idempotency-Key': freshKey() }
  const made = await owner.call<{ id: string }>(one('/attachments'), { body: PICTURE, headers })
  picture = made.body.id
  await owner.call(attached('/content?offset=0'), { method: 'PUT', body: '12345' })
  await owner.call(attached('/confirm'), { method: 'POST' })
  await owner.call(`/api/v2/widget-context/${own.id}/note`, { method: 'PUT', body: { value: 1 } })
  return () => service.close()
})

type Ask = { method: string; path: string; body?: unknown }
/** A stranger gets `theirs`; who is of the wrong role gets `role`. */
type Line = { ask: () => Ask; owner: number; theirs: string; agent: number | string; customer?: string }
const CONVERSATION = '/api/v2/messaging/conversations'
const one = (more = '') => `${CONVERSATION}/${own.id}${more}`
const hidden = { theirs: 'unknown-conversation', agent: 200 } as const

const PICTURE = { name: 'cat.png', type: 'image/png', size: 5 }
const attached = (more = '') => one(`/attachments/${picture}${more}`)

const LINES: Record<string, Line> = {
  postMessage: {
    ask: () => ({ method: 'POST', path: one('/messages'), body: { text: 'hi' } }),
    owner: 201,
    theirs: 'unknown-conversation',
    agent: 'not-your-participant',
  },
  reserveAttachment: {
    ask: () => ({ method: 'POST', path: one('/attachments'), body: PICTURE }),
    owner: 201,
    ...hidden,
    agent: 201,
  },
  uploadPart: { ask: () => ({ method: 'PUT', path: attached('/content?offset=5') }), owner: 200, ...hidden },
  confirmAttachment: { ask: () => ({ method: 'POST', path: attached('/confirm') }), owner: 200, ...hidden },
  readAttachment: { ask: () => ({ method: 'GET', path: attached('/content') }), owner: 200, ...hidden },
  discardAttachment: {
    ask: () => ({ method: 'DELETE', path: attached() }),
    owner: 200,
    ...hidden,
  },
  listMessages: { ask: () => ({ method: 'GET', path: one('/messages') }), owner: 200, ...hidden },
  pollStream: {
    ask: () => ({ method: 'GET', path: `/api/v2/messaging/stream/poll?conversationId=${own.id}&waitMs=0` }),
    owner: 200,
    ...hidden,
  },
  createConversation: {
    ask: () => ({ method: 'POST', path: CONVERSATION, body: {} }),
    owner: 200,
    theirs: '',
    agent: 'customers-only',
  },
  listConversations: { ask: () => ({ method: 'GET', path: CONVERSATION }), owner: 200, theirs: '', agent: 200 },
  getConversation: { ask: () => ({ method: 'GET', path: one() }), owner: 200, ...hidden },
  patchConversation: {
    ask: () => ({ method: 'PATCH', path: one(), body: { customAttributes: { a: 'b' } } }),
    owner: 200,
    ...hidden,
  },
  joinConversation: {
    ask: () => ({ method: 'POST', path: one('/participants'), body: { role: 'agent' } }),
    owner: 403,
    theirs: 'agents-only',
    agent: 201,
    customer: 'agents-only',
  },
  leaveConversation: {
    ask: () => ({ method: 'DELETE', path: one('/participants/nobody') }),
    owner: 403,
    theirs: 'agents-only',
    agent: 'unknown-participant',
    customer: 'agents-only',
  },
  markConversation: { ask: () => ({ method: 'POST', path: one('/marks'), body: { read: 1 } }), owner: 200, ...hidden },
  closeConversation: { ask: () => ({ method: 'POST', path: one('/close') }), owner: 200, ...hidden },
  persistState: {
    ask: () => ({
      method: 'POST',
      path: '/chat-state/persist',
      body: { persistentSessionId: sessionId, conversationId: own.id, timestamp: 1, stateSnapshot: {} },
    }),
    owner: 200,
    theirs: 'not-your-session',
    agent: 'not-your-session',
  },
  authenticate: {
    ask: () => ({ method: 'POST', path: '/api/v2/widget/auth/authenticate', body: { token: 'x' } }),
    owner: 400,
    theirs: 'identity-not-configured',
    agent: 'customers-only',
  },
  getContext: {
    ask: () => ({ method: 'GET', path: `/api/v2/widget-context/${own.id}/note` }),
    owner: 200,
    theirs: 'unknown-context',
    agent: 200,
  },
  putContext: {
    ask: () => ({ method: 'PUT', path: `/api/v2/widget-context/${own.id}/note`, body: { value: 2 } }),
    owner: 200,
    theirs: 'unknown-scope',
    agent: 200,
  },
  deleteContext: {
    ask: () => ({ method: 'DELETE', path: `/api/v2/widget-context/${own.id}/note` }),
    owner: 204,
    theirs: 'unknown-scope',
    agent: 204,
  },
  takeLease: {
    ask: () => ({
      method: 'POST',
      path: '/api/v2/messaging/leases',
      body: { scope: own.id, name: 'note', holder: 'me', ttlMs: 0 },
    }),
    owner: 200,
    theirs: 'unknown-scope',
    agent: 200,
  },
  listDeadLetters: {
    ask: () => ({ method: 'GET', path: '/api/v2/operations/dead-letters' }),
    owner: 403,
    theirs: 'agents-only',
    agent: 200,
  },
  retryDeadLetter: {
    ask: () => ({ method: 'POST', path: '/api/v2/operations/dead-letters/any/retry' }),
    owner: 403,
    theirs: 'agents-only',
    agent: 'unknown-dead-letter',
  },
}
const ROWS = Object.entries(LINES).map(([id, line]) => ({ id, ...line }))

const asked = (visitor: Visitor, { method, path, body }: Ask, headers: Record<string, string> = {}) =>
  visitor.call<{ code?: string }>(path, { method, body, headers: { 'Idempotency-Key': freshKey(), ...headers } })
const agent = async (deploymentId: string) => {
  const visitor = new Visitor(service)
  visitor.token = await service.agentToken({ deploymentId, agentId: 'lee', name: 'Lee' })
  return visitor
}

test('[SV62] the document is sound, and this matrix has every operation that needs a token', async () => {
  const document = await documentOf(service)
  expect(flawsOf(document)).toEqual([])
  const guarded = operationsOf(document).filter(({ isOpen }) => !isOpen)
  expect(guarded.map(({ id }) => id).sort()).toEqual(Object.keys(LINES).sort())
  for (const { id, method, path } of guarded) {
    const pattern = new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}(\\?|$)`)
    expect(LINES[id]?.ask().method).toBe(method)
    expect(LINES[id]?.ask().path).toMatch(pattern)
  }
})

test('[SV62] an answer that is not in the document is found', () => {
  const schema = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] }
  const document = { openapi: '3.1.0', info: {}, paths: {} }
  const described = { responses: { 200: { description: 'Done.', content: { 'application/json': { schema } } } } }
  const of = (status: number, text: string, type = 'application/json') =>
    deviationOf(document, described, { status, type, text })
  expect(of(200, '{"id":"a"}')).toBe('')
  for (const found of [
    of(201, '{}'),
    of(200, '{}'),
    of(200, '{"id":1}'),
    of(200, '{"id":"a","b":1}'),
    of(200, 'x', 'text/html'),
  ])
    expect(found).not.toBe('')
})

test('[SV62] a flaw in a document is found', () => {
  const broken = {
    openapi: '3.1.0',
    info: {},
    paths: { '/a/{id}': { get: { responses: { 400: {} }, parameters: [{ in: 'query', name: 'q' }] } } },
    components: { x: { $ref: '#/components/schemas/none' } },
  }
  expect(flawsOf(broken)).toHaveLength(7)
})

describe.each(ROWS)('[SV27] $id', ({ id, ask, owner: status, theirs, agent: agents }) => {
  test('[SV27] the owner gets its answer, as the document says', async () => {
    const operation = operationsOf(await documentOf(service)).find((one) => one.id === id)
    const answer = await asked(owner, ask())
    expect(answer.status).toBe(status)
    const said = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
    const found = { status: answer.status, type: answer.headers.get('Content-Type') ?? '', text: said }
    expect(deviationOf(await documentOf(service), operation ?? {}, found)).toBe('')
  })

  test('[SV27] without a live token there is no answer', async () => {
    const nobody = new Visitor(service)
    expect(await asked(nobody, ask())).toMatchObject({ status: 401, body: { code: 'missing-token' } })
    for (const Authorization of ['Bearer x', `Bearer ${owner.token}x`, `Bearer ${owner.cookie}`]) {
      expect((await asked(nobody, ask(), { Authorization })).body.code).toBe('invalid-token')
    }
    expect((await asked(nobody, ask(), { Authorization: 'Basic eDp5' })).body.code).toBe('missing-token')
    clock += 16 * 60_000
    expect(await asked(owner, ask())).toMatchObject({ status: 401, body: { code: 'token-expired' } })
  })

  test('[SV27] after a sign-out the token is worth nothing', async () => {
    await owner.call('/api/v2/widget/auth/revoke', { form: {} })
    expect(await asked(owner, ask())).toMatchObject({ status: 401, body: { code: 'session-revoked' } })
  })

  test('[SV27] another session, of this or another deployment, learns nothing', async () => {
    for (const deploymentId of ['demo', 'other']) {
      const stranger = new Visitor(service, deploymentId)
      await stranger.open()
      const answer = await asked(stranger, ask())
      if (theirs === '') expect(JSON.stringify(answer.body)).not.toContain(own.id)
      else expect(answer.body.code).toBe(theirs)
    }
  })

  test('[SV27] an agent does what agents may, and nothing in another deployment', async () => {
    const answer = await asked(await agent('demo'), ask())
    expect(typeof agents === 'number' ? answer.status : answer.body.code).toBe(agents)
    const foreign = await asked(await agent('other'), ask())
    expect(JSON.stringify(foreign.body)).not.toContain('hello')
    expect(JSON.stringify(foreign.body)).not.toContain(sessionId)
    if (theirs.startsWith('unknown')) expect(foreign.body.code).toBe(theirs)
  })
})
