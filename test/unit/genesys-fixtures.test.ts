// The emulator under contract: each frame as public clients of the real service send it is taken, and answered in the shape
// that they expect. Where two clients differ, both are taken.
import { describe, expect, test } from 'vitest'
import { call, emulator } from './genesys-client.ts'

const UUID = '7d0c3a52-1111-4222-8333-944445555666'
const ECHO = 'SGVhbHRoQ2hlY2tNZXNzYWdlSWQ='
const JOURNEY = {
  customer: { id: UUID, idType: 'cookie' },
  customerSession: { id: '', type: 'web' },
  triggeringAction: { id: 'a', actionMap: { id: 'm', version: 1.0 } },
}
const SESSION = {
  connected: true,
  newSession: true,
  readOnly: false,
  clearedExistingSession: false,
  autoStarted: false,
  allowedMedia: { inbound: { fileTypes: [{ type: '*/*' }], maxFileSizeKB: expect.any(Number) } },
  blockedExtensions: expect.any(Array),
  maxCustomDataBytes: 2_048,
  durationSeconds: expect.any(Number),
  expirationDate: expect.any(Number),
}

function joined(settings = {}) {
  const at = emulator(settings)
  const client = at.client(UUID)
  client.configure({ startNew: false, journeyContext: JOURNEY })
  return { ...at, client, say: client.say }
}

const said = (content: object[], type = 'Text', text = '') => ({ message: { type, text, content } })

describe('frames', () => {
  test('[GE10] configure, as a guest, again, and with a sign-in', () => {
    const { client, service } = emulator()
    const guest = client(UUID)
    expect(guest.configure({ startNew: false, journeyContext: JOURNEY })).toEqual([
      { type: 'response', class: 'SessionResponse', code: 200, tracingId: expect.any(String), body: SESSION },
    ])
    expect(guest.configure({ startNew: false })).toMatchObject([{ body: { newSession: false, connected: true } }])
    const { deploymentId } = service.settings
    const oauth = { code: service.authorize('ada'), redirectUri: 'https://shop.example', codeVerifier: 'v'.repeat(43) }
    const exchange = 'POST /api/v2/webdeployments/token/oauthcodegrantjwtexchange'
    const { jwt } = call(service, exchange, { body: { deploymentId, oauth } }).body
    const data = { code: jwt }
    const rest = { deploymentId, startNew: false, journeyContext: JOURNEY, data }
    expect(client('other').say('configureAuthenticatedSession', rest)).toMatchObject([{ body: SESSION }])
  })

  test.each([
    [
      'the inner place of attributes',
      { message: { text: 'x', channel: { metadata: { customAttributes: { a: 'b' } } } } },
    ],
    ['the outer one', { message: { text: 'x' }, channel: { metadata: { customAttributes: { a: 'b' } } } }],
  ])('[GE10] a text, with %s, comes back inbound with its tracing id', (_, frame) => {
    const { say, client } = joined()
    const body = { ...frame, message: { type: 'Text', ...frame.message } }
    const [answer] = say('onMessage', { ...body, time: '2026-01-05T09:00:00Z' })
    expect(answer).toMatchObject({
      type: 'message',
      class: 'StructuredMessage',
      code: 200,
      tracingId: expect.any(String),
    })
    const { channel, ...rest } = (answer as unknown as { body: { channel: object } }).body
    expect(rest).toEqual({ id: expect.stringMatching(/^[0-9a-f]{32}$/), type: 'Text', direction: 'Inbound', text: 'x' })
    expect(channel).toMatchObject({ time: expect.stringMatching(/^\d{4}-.*Z$/), messageId: expect.any(String) })
    expect(client.session().attributes).toEqual({ a: 'b' })
  })

  test('[GE10] answers to buttons and cards, with an empty text or without', () => {
    const { say } = joined()
    const buttonResponse = { text: 'Yes', payload: 'yes', type: 'QuickReply' }
    const quick = said([{ contentType: 'ButtonResponse', buttonResponse }])
    expect(say('onMessage', quick)).toMatchObject([{ body: { type: 'Text', content: [{ buttonResponse }] } }])
    const card = said(
      [{ contentType: 'ButtonResponse', buttonResponse: { ...buttonResponse, type: 'Button' } }],
      'Structured',
      'Yes',
    )
    expect(say('onMessage', card)).toMatchObject([{ body: { type: 'Structured', text: 'Yes' } }])
  })

  test('[GE10] typing, Join and Clear', () => {
    const { say, service } = joined()
    const event = (one: object) => say('onMessage', { message: { type: 'Event', events: [one] } })
    expect(event({ eventType: 'Typing', typing: { type: 'On' } })).toEqual([])
    expect(event({ eventType: 'Presence', presence: { type: 'Join' } })).toMatchObject([
      { body: { type: 'Event', direction: 'Inbound', events: [{ presence: { type: 'Join' } }] } },
    ])
    const cleared = event({ eventType: 'Presence', presence: { type: 'Clear' } })
    expect(cleared.map((frame) => frame['class'])).toEqual(['SessionClearedEvent', 'ConnectionClosedEvent'])
    expect(service.sessions.size).toBe(0)
    expect(
      joined({ conversationClear: false }).say('onMessage', {
        message: { type: 'Event', events: [{ eventType: 'Presence', presence: { type: 'Clear' } }] },
      }),
    ).toMatchObject([{ class: 'string', code: 403, body: expect.stringContaining('Conversation Clear') }])
  })

  test('[GE10] echo, credential, configuration and close', () => {
    const { client, service } = joined()
    const before = client.frames.length
    const echo = { action: 'echo', token: UUID, tracingId: ECHO, message: { type: 'Text', text: 'ping' } }
    client.connection.receive(echo)
    expect(client.frames[before]).toMatchObject({
      type: 'response',
      class: 'StructuredMessage',
      tracingId: ECHO,
      body: { metadata: { durationSeconds: expect.any(String), expirationDate: expect.any(String) } },
    })
    expect(client.say('getJwt')).toMatchObject([
      { class: 'JwtResponse', body: { jwt: expect.any(String), exp: expect.any(Number) } },
    ])
    expect(client.say('getConfiguration', { deploymentId: service.settings.deploymentId })).toMatchObject([
      { class: 'GetConfigurationResponse', body: { maxCustomDataBytes: 2_048, messageRoutingEnabled: true } },
    ])
    expect(client.say('closeSession', { closeAllConnections: true })).toMatchObject([
      { class: 'SessionResponse', body: { connected: false, readOnly: true } },
    ])
    expect(client.configure({ startNew: true })).toMatchObject([{ body: { newSession: true, readOnly: false } }])
  })

  test('[GE10] an attachment: address, bytes, word, message, a fresh address, and taken back', () => {
    const { say, service, client } = joined()
    const file = { attachmentId: 'a1', fileName: 'a.png', fileType: 'image/png', fileSize: 4, errorsAsJson: true }
    const [placed] = say('onAttachment', file)
    expect(placed).toMatchObject({
      class: 'PresignedUrlResponse',
      body: {
        attachmentId: 'a1',
        url: expect.stringContaining('a1'),
        headers: { 'x-amz-tagging': expect.any(String) },
      },
    })
    expect(say('onMessage', said([{ contentType: 'Attachment', attachment: { id: 'a1' } }]))).toMatchObject([
      { code: 4_010 },
    ])
    expect(service.attachments.put('a1', 4, true)).toBe(true)
    expect(client.frames.at(-1)).toMatchObject({
      type: 'message',
      class: 'UploadSuccessEvent',
      body: { attachmentId: 'a1', downloadUrl: expect.any(String), timestamp: expect.any(String) },
    })
    const attachment = {
      id: 'a1',
      filename: 'a.png',
      mediaType: 'Image',
      fileSize: 4,
      mime: 'image/png',
      url: expect.any(String),
    }
    expect(say('onMessage', said([{ contentType: 'Attachment', attachment: { id: 'a1' } }]))).toMatchObject([
      { body: { content: [{ contentType: 'Attachment', attachment }] } },
    ])
    expect(say('getAttachment', { attachmentId: 'a1' })).toMatchObject([
      { class: 'PresignedUrlResponse', body: { headers: {}, fileSize: 4 } },
    ])
    expect(say('deleteAttachment', { attachmentId: 'a1' })).toMatchObject([
      { type: 'message', class: 'AttachmentDeletedResponse', body: { attachmentId: 'a1' } },
    ])
    expect(say('onAttachment', { ...file, fileName: 'a.exe' })).toMatchObject([
      {
        type: 'message',
        class: 'GenerateUrlError',
        body: { attachmentId: 'a1', errorCode: 4_001, errorMessage: expect.any(String) },
      },
    ])
  })

  test('[GE10] errors are a text with a code; what is no action, or has no token, is one', () => {
    const { say, client } = joined()
    expect(say('onMessage', { message: { type: 'Text', text: 'x'.repeat(4_097) } })).toMatchObject([
      { class: 'string', code: 4_011, body: expect.any(String), tracingId: expect.any(String) },
    ])
    expect(say('joinExistingSession')).toMatchObject([{ class: 'string', code: 400 }])
    client.connection.receive({ action: 'getJwt' })
    client.connection.receive(null)
    expect(client.frames.slice(-2)).toMatchObject([{ code: 4_020 }, { code: 4_020 }])
  })
})

describe('requests', () => {
  test('[GE10] a page of the history has its numbers, and its entities the shape of live messages', () => {
    const { client, say } = joined()
    say('onMessage', { message: { type: 'Text', text: 'one' } })
    const { status, body } = client.history('pageNumber=1&pageSize=25')
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { pageSize: 25, pageNumber: 1, total: 1, pageCount: 1 },
    })
    expect(body.entities).toMatchObject([{ type: 'Text', text: 'one', direction: 'Inbound' }])
    expect(body.entities[0]).not.toHaveProperty('tracingId')
  })

  test('[GE10] the configuration of the deployment says what clients read of it', () => {
    const { service } = emulator()
    const line = `GET /webdeployments/v1/deployments/${service.settings.deploymentId}/config.json`
    expect(call(service, line).body).toMatchObject({
      id: service.settings.deploymentId,
      version: expect.any(String),
      languages: expect.any(Array),
      defaultLanguage: expect.any(String),
      apiEndpoint: expect.any(String),
      status: 'Active',
      headlessMode: { enabled: true },
      auth: { enabled: true, allowSessionUpgrade: true },
      journeyEvents: { enabled: false },
      messenger: {
        enabled: true,
        apps: {
          conversations: {
            messagingEndpoint: expect.any(String),
            showAgentTypingIndicator: true,
            showUserTypingIndicator: true,
            autoStart: { enabled: false },
            conversationDisconnect: { enabled: true, type: 'ReadOnly' },
            conversationClear: { enabled: true },
            notifications: { enabled: false },
            markdown: { enabled: false },
            sessionDurationSeconds: expect.any(Number),
          },
        },
        fileUpload: { enableAttachments: true, modes: [{ fileTypes: ['*/*'], maxFileSizeKB: 10_240 }] },
        styles: { primaryColor: expect.any(String) },
        launcherButton: { visibility: 'On' },
      },
    })
  })

  test('[GE10] sign-in by code or by id token, refresh and revoke', () => {
    const { service } = emulator()
    const { deploymentId } = service.settings
    const token = '/api/v2/webdeployments/token/'
    const oauth = { idToken: 'ada', nonce: 'n' }
    const implicit = call(service, `POST ${token}oauthcodegrantjwtexchange`, { body: { deploymentId, oauth } })
    expect(implicit).toEqual({ status: 200, body: { jwt: expect.any(String) } })
    const code = { code: service.authorize('ada'), redirectUri: 'https://shop.example' }
    const granted = call(service, `POST ${token}oauthcodegrantjwtexchange`, { body: { deploymentId, oauth: code } })
    expect(granted).toMatchObject({ status: 200, body: { jwt: expect.any(String), refreshToken: expect.any(String) } })
    const { refreshToken, jwt } = granted.body
    expect(call(service, `POST ${token}refresh`, { body: { refreshToken } }).body).toEqual({ jwt: expect.any(String) })
    expect(call(service, `DELETE ${token}revoke`, { bearer: jwt }).status).toBe(204)
    expect(call(service, `POST ${token}refresh`, { body: { refreshToken } }).status).toBe(401)
  })
})
