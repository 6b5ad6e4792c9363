// Who the visitor is: the site's signed JWT, one conversation on every device, and what forgers get.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createSessionService, type IdentityOptions, type SessionService } from '../../server/index.ts'
import { agentOf, freshKey, type Opened, type Problem, Visitor } from './server-visitor.ts'

const SECRET = 'a secret that the shop shares with its chat'
const HASH_KEY = 'another secret that turns subjects into hashes'
const DAY_MS = 24 * 3600_000
let clock: number
let service: SessionService
let keySet: { url: string; server: Server; body: string; requests: number }
let privateKey: CryptoKey
let publicJwk: object

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true })
  privateKey = pair.privateKey
  publicJwk = { ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256' }
})

beforeEach(async () => {
  clock = 1_900_000_000_000
  const server = createServer((_request, response) => {
    keySet.requests += 1
    response.setHeader('Content-Type', 'application/json').end(keySet.body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
  keySet = { url, server, body: JSON.stringify({ keys: [publicJwk] }), requests: 0 }
  const site = { issuer: 'https://shop.example', audience: 'chat' }
  service = await createSessionService({
    now: () => clock,
    deployments: {
      demo: { identity: { ...site, key: SECRET } },
      keys: { identity: { ...site, jwksUrl: url, subjectHashKey: HASH_KEY } },
      plain: {},
    },
  })
  return async () => {
    await service.close()
    server.close()
  }
})

type Claims = { sub?: unknown; iss?: string; aud?: string; expiresInMs?: number; email?: string }
const claimed = ({ sub = 'ann', iss = 'https://shop.example', aud = 'chat', expiresInMs = 60_000, email }: Claims) =>
  new SignJWT({ sub: sub as string, iss, aud, exp: Math.floor((clock + expiresInMs) / 1000), ...(email && { email }) })
const signed = (claims: Claims = {}, secret = SECRET, alg = 'HS256') =>
  claimed(claims).setProtectedHeader({ alg }).sign(Buffer.from(secret))

const signIn = async (visitor: Visitor, token: string | Promise<string>) => {
  const answer = await visitor.call<Opened & Problem & { epoch: number; authenticated: boolean }>(
    '/api/v2/widget/auth/authenticate',
    { body: { token: await token } },
  )
  if (answer.status === 200) visitor.token = answer.body.grant.access_token
  return answer
}
const signedIn = async (sub: string) => {
  const visitor = new Visitor(service)
  await visitor.open()
  await signIn(visitor, signed({ sub }))
  return visitor
}
const texts = async (visitor: Visitor, id: string) => (await visitor.list(id)).body.messages.map(({ text }) => text)

describe('what proves an identity', () => {
  test('[SV47] a sign-in that is heard behind the next opening changes nothing: that one has said whose it is', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    const late = visitor.token
    const { body } = await visitor.open()
    const next = visitor.token
    if (late !== undefined) visitor.token = late
    expect(await signIn(visitor, signed())).toMatchObject({ status: 401, body: { code: 'token-expired' } })
    expect(body).toMatchObject({ authenticated: false, epoch: 1 })
    if (next !== undefined) visitor.token = next
    expect((await signIn(visitor, signed())).body).toMatchObject({ authenticated: true, epoch: 2 })
  })

  test('[SV47] a token of the site joins the session to a user, and again changes nothing', async () => {
    const visitor = new Visitor(service)
    const opened = await visitor.open()
    const first = await signIn(visitor, signed())
    expect(first).toMatchObject({ status: 200, body: { authenticated: true, epoch: 2, activeElsewhere: false } })
    expect(first.body.persistentSessionId).toBe(opened.body.persistentSessionId)
    expect((await signIn(visitor, signed())).body).toMatchObject({ authenticated: true, epoch: 2 })
    expect((await visitor.open()).body).toMatchObject({ authenticated: true, epoch: 2 })
  })

  test.each([
    ['another issuer', () => signed({ iss: 'https://evil.example' })],
    ['another audience', () => signed({ aud: 'mail' })],
    ['another secret', () => signed({}, 'not the secret that they share, but as long')],
    ['no subject', () => signed({ sub: '' })],
    ['a number for a subject', () => signed({ sub: 5 })],
    ['a subject that is no text', () => signed({ sub: { id: 'ann' } })],
    ['a subject that no database keeps', () => signed({ sub: 'a\u0000' })],
    [
      'no expiry',
      () =>
        new SignJWT({ sub: 'ann', iss: 'https://shop.example', aud: 'chat' })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(Buffer.from(SECRET)),
    ],
    ['no signature', async () => `${btoa('{"alg":"none"}').replace(/=/g, '')}.${(await signed()).split('.')[1]}.`],
    ['no token at all', async () => 'hello'],
    ['far too much', async () => 'x'.repeat(10_000)],
    ['one of our own access tokens', async () => (await signedIn('bob')).token ?? ''],
  ])('[SV47] a token with %s changes nothing', async (_what, token) => {
    const visitor = new Visitor(service)
    await visitor.open()
    expect(await signIn(visitor, token())).toMatchObject({ status: 403, body: { code: 'identity-refused' } })
    expect((await visitor.open()).body).toMatchObject({ authenticated: false, epoch: 1 })
  })

  test('[SV47] an expired token has a code of its own, and a clock a little behind is forgiven', async () => {
    const visitor = new Visitor(service)
    await visitor.open()
    expect((await signIn(visitor, signed({ expiresInMs: -120_000 }))).body.code).toBe('identity-expired')
    expect((await signIn(visitor, signed({ expiresInMs: -30_000 }))).status).toBe(200)
  })

  test('[SV47] a key set serves public keys only: its own key as a shared secret proves nothing', async () => {
    const visitor = new Visitor(service, 'keys')
    await visitor.open()
    const confused = await signed({}, JSON.stringify(publicJwk))
    expect((await signIn(visitor, confused)).body.code).toBe('identity-refused')
    const genuine = await claimed({}).setProtectedHeader({ alg: 'ES256', kid: 'k1' }).sign(privateKey)
    expect((await signIn(visitor, genuine)).body).toMatchObject({ authenticated: true })
    const unknown = await claimed({}).setProtectedHeader({ alg: 'ES256', kid: 'k2' }).sign(privateKey)
    expect((await signIn(visitor, unknown)).body.code).toBe('identity-refused')
  })

  test('[SV47] a key set that cannot be read is no verdict on the token', async () => {
    keySet.body = '<html>'
    const visitor = new Visitor(service, 'keys')
    await visitor.open()
    const token = claimed({}).setProtectedHeader({ alg: 'ES256', kid: 'k1' }).sign(privateKey)
    expect(await signIn(visitor, token)).toMatchObject({ status: 503, body: { code: 'identity-unavailable' } })
  })

  test('[SV47] a deployment without identity says so, and a wrong set of options does not start', async () => {
    const visitor = new Visitor(service, 'plain')
    await visitor.open()
    expect((await signIn(visitor, signed())).body.code).toBe('identity-not-configured')
    const site = { issuer: 'a', audience: 'b' }
    for (const identity of [site, { ...site, key: 'short' }, { ...site, key: SECRET, jwksUrl: keySet.url }]) {
      await expect(createSessionService({ deployments: { demo: { identity } } })).rejects.toThrow(TypeError)
    }
  })
})

describe('several devices', () => {
  test('[SV48] the second device gets the same conversation, transcript and context', async () => {
    const phone = await signedIn('ann')
    const conversation = (await phone.start({ customAttributes: { cart: '12.00' } })).body
    await phone.say(conversation, 'from the phone')
    await phone.call('/api/v2/widget-context/user/wishes', { method: 'PUT', body: { value: ['boots'] } })

    const laptop = new Visitor(service)
    const before = await laptop.open()
    const answer = await signIn(laptop, signed())
    expect(answer.body).toMatchObject({ conversation: { id: conversation.id }, activeElsewhere: true, epoch: 2 })
    expect(answer.body.persistentSessionId).not.toBe(before.body.persistentSessionId)
    expect(await texts(laptop, conversation.id)).toEqual(['from the phone'])
    expect((await laptop.start()).body).toMatchObject({ id: conversation.id, joined: true })
    expect((await laptop.say(conversation, 'from the laptop')).status).toBe(201)
    expect(await texts(phone, conversation.id)).toEqual(['from the phone', 'from the laptop'])
    expect((await laptop.call('/api/v2/widget-context/user/wishes')).body).toMatchObject({ value: ['boots'] })
  })

  test('[SV48] a token for the session that was left counts as expired, and a refresh brings one for the new', async () => {
    const conversation = await (await signedIn('ann')).start()
    const laptop = new Visitor(service)
    await laptop.open()
    const old = laptop.token
    await signIn(laptop, signed())
    laptop.token = old
    expect((await laptop.start()).body).toMatchObject({ code: 'token-expired' })
    laptop.token = (await laptop.refresh(freshKey())).body.access_token
    expect((await laptop.start()).body.id).toBe(conversation.body.id)
  })

  test('[SV48] two devices that sign in at the same instant share one session', async () => {
    const visitors = Array.from({ length: 20 }, () => new Visitor(service))
    for (const visitor of visitors) await visitor.open()
    const tokens = await Promise.all(visitors.map(() => signed()))
    const answers = await Promise.all(visitors.map((visitor, index) => signIn(visitor, tokens[index] ?? '')))
    expect(new Set(answers.map(({ body }) => body.persistentSessionId)).size).toBe(1)
    const started = await Promise.all(visitors.map((visitor) => visitor.start()))
    expect(new Set(started.map(({ body }) => body.id)).size).toBe(1)
  })

  test('[SV48] another family counts as active elsewhere for a few minutes after its last use', async () => {
    const phone = await signedIn('ann')
    const laptop = await signedIn('ann')
    expect((await laptop.open()).body.activeElsewhere).toBe(true)
    clock += 4 * 60_000
    await phone.start()
    clock += 4 * 60_000
    expect((await laptop.open()).body.activeElsewhere).toBe(true)
    clock += 2 * 60_000
    expect((await laptop.open()).body.activeElsewhere).toBe(false)
  })

  test('[SV49] what was said before the sign-in is closed and linked where the user has an open conversation', async () => {
    const phone = await signedIn('ann')
    const kept = (await phone.start()).body
    const laptop = new Visitor(service)
    const closed = await laptop.begin()
    await laptop.say(closed, 'hello?')
    expect((await signIn(laptop, signed())).body.conversation).toMatchObject({ id: kept.id, state: 'pending' })
    const agent = await agentOf(service)
    const read = (id: string) => agent.call<object>(`/api/v2/messaging/conversations/${id}`)
    expect((await read(closed.id)).body).toMatchObject({
      state: 'closed',
      links: [{ conversationId: kept.id, kind: 'merged-into', at: clock }],
    })
    expect((await read(kept.id)).body).toMatchObject({
      state: 'pending',
      links: [{ conversationId: closed.id, kind: 'merged-from', at: clock }],
    })
    expect(await texts(laptop, closed.id)).toEqual(['hello?'])
    expect(await texts(phone, closed.id)).toEqual(['hello?'])
    expect((await laptop.say(closed, 'more')).body).toMatchObject({ code: 'conversation-closed' })
  })

  test('[SV49] an open conversation comes along where the user has none', async () => {
    await signedIn('ann')
    const laptop = new Visitor(service)
    const conversation = await laptop.begin()
    await laptop.say(conversation, 'hello?')
    expect((await signIn(laptop, signed())).body.conversation).toMatchObject({ id: conversation.id, state: 'active' })
    expect((await laptop.say(conversation, 'still here')).status).toBe(201)
  })

  test('[SV49] after a sign-out the user finds the open conversation again', async () => {
    const phone = await signedIn('ann')
    const conversation = (await phone.start()).body
    await phone.call('/api/v2/widget/auth/revoke', { form: {} })
    expect((await signIn(new Visitor(service), signed())).status).toBe(401)
    const later = new Visitor(service)
    await later.begin()
    expect((await signIn(later, signed())).body.conversation).toMatchObject({ id: conversation.id, state: 'pending' })
  })
})

test('[SV52] nothing of the token is on the disk but the subject, and that as a hash where it is asked for', async () => {
  const data = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const site = { issuer: 'https://shop.example', audience: 'chat', key: SECRET }
  const marked = { sub: 'ann-the-marked-subject', email: 'ann@marked.example' }
  const bytes = async (identity: IdentityOptions) => {
    const own = await createSessionService({ now: () => clock, data, deployments: { demo: { identity } } })
    const visitor = new Visitor(own)
    await visitor.begin()
    expect((await signIn(visitor, signed(marked))).body.authenticated).toBe(true)
    await own.close()
    const files = await readdir(data)
    const contents = (await Promise.all(files.map((file) => readFile(join(data, file), 'latin1')))).join()
    await rm(data, { recursive: true })
    return contents
  }
  const hashed = await bytes({ ...site, subjectHashKey: HASH_KEY })
  expect(hashed).toContain('h:')
  expect(hashed).not.toContain(marked.sub)
  const plain = await bytes(site)
  expect(plain).toContain(`s:${marked.sub}`)
  for (const contents of [hashed, plain]) expect(contents).not.toContain(marked.email)
})

describe('another user', () => {
  test('[SV50] a switch of user leaves everything to the former, and grows the epoch', async () => {
    const visitor = await signedIn('ann')
    const anns = (await visitor.start()).body
    const switched = await signIn(visitor, signed({ sub: 'bob' }))
    expect(switched.body).toMatchObject({ authenticated: true, conversation: null, epoch: 3 })
    expect((await visitor.list(anns.id)).status).toBe(404)
    const back = await signIn(visitor, signed())
    expect(back.body).toMatchObject({ conversation: { id: anns.id }, epoch: 4 })
  })

  test('[SV50] the same subject in another deployment is another user', async () => {
    const anns = (await (await signedIn('ann')).start()).body
    const elsewhere = new Visitor(service, 'keys')
    await elsewhere.open()
    const token = claimed({}).setProtectedHeader({ alg: 'ES256', kid: 'k1' }).sign(privateKey)
    expect((await signIn(elsewhere, token)).body.conversation).toBeNull()
    expect((await elsewhere.list(anns.id)).status).toBe(404)
  })
})

test('[SV92] what had become of the conversation before is said; what is purged, of another or made up is gone', async () => {
  const stranger = await new Visitor(service).begin()
  const visitor = new Visitor(service)
  const first = await visitor.begin()
  const path = '/api/v2/messaging/conversations'
  const seen = async (id: string) => (await (await agentOf(service)).call(`${path}/${id}`)).body
  await visitor.call(`${path}/${first.id}/close`, { method: 'POST' })
  clock += 1
  const second = (await visitor.start({ previousConversationId: first.id })).body
  expect(second).toMatchObject({ previousId: first.id, previousState: 'closed' })
  expect(await seen(second.id)).toMatchObject({ previousId: first.id, previousState: 'closed' })
  clock += 8 * DAY_MS
  await service.sweep()
  clock += 2 * DAY_MS
  await service.sweep()
  await visitor.open()
  const third = (await visitor.start({ previousConversationId: second.id })).body
  expect(third).toMatchObject({ previousId: second.id, resumedFrom: second.id, previousState: 'archived' })
  for (const previousConversationId of [stranger.id, 'made-up']) {
    const newcomer = new Visitor(service)
    await newcomer.open()
    const { body } = await newcomer.start({ previousConversationId })
    expect(body).toMatchObject({ previousState: 'gone' })
    expect(body).not.toHaveProperty('previousId')
    expect(await seen(body.id)).toMatchObject({ previousState: 'gone' })
  }
})

test('[SV50] what a user said before their session ended is nobody else’s, whoever signs in behind it', async () => {
  const browser = await signedIn('ann')
  const first = (await browser.start()).body
  await browser.say(first, 'of ann')
  clock += 8 * DAY_MS
  // As nobody, in her browser, once and again.
  expect((await browser.open()).body).toMatchObject({ authenticated: false, conversation: { id: first.id } })
  const between = (await browser.start({ previousConversationId: first.id })).body
  await browser.say(between, 'still of ann')
  clock += 8 * DAY_MS
  const { persistentSessionId } = (await browser.open()).body
  const switched = await signIn(browser, signed({ sub: 'bob' }))
  expect(switched.body).toMatchObject({ authenticated: true, conversation: null })
  expect(switched.body.persistentSessionId).not.toBe(persistentSessionId)
  for (const { id } of [first, between]) expect((await browser.list(id)).status).toBe(404)
  expect((await browser.start({ previousConversationId: first.id })).body).toMatchObject({ previousState: 'gone' })
})

test('[SV51] a conversation names the one it resumes, to the visitor and to the agent', async () => {
  const visitor = new Visitor(service)
  const first = await visitor.begin()
  await visitor.say(first, 'before')
  clock += 8 * DAY_MS
  expect((await visitor.open()).body.conversation).toMatchObject({ id: first.id, state: 'expired' })
  const second = (await visitor.start()).body
  expect(second).toMatchObject({ previousId: first.id, resumedFrom: first.id })
  expect((await visitor.open()).body.conversation).toMatchObject({ id: second.id, resumedFrom: first.id })
  const agent = await agentOf(service)
  const seen = await agent.call(`/api/v2/messaging/conversations/${second.id}`)
  expect(seen.body).toMatchObject({ resumedFrom: first.id })
  expect(await texts(visitor, first.id)).toEqual(['before'])
})
