// The demo on the Genesys platform, over real sockets: the worker it serves, the agent's side, and its faults.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type Demo, startDemo } from '../../public/serve-demo.ts'

const OWN = { 'Sec-Fetch-Site': 'same-origin' }
const TALKS = '/agent/api/v2/messaging/conversations'

let folder: string
let demo: Demo
const sockets: WebSocket[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
  mkdirSync(join(folder, 'demo'))
  writeFileSync(join(folder, 'holdfast-sw-genesys.js'), 'self.genesys = true')
  demo = await startDemo({ port: 0, data: '', dist: folder, platform: 'genesys' })
})

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate()
  await demo.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Frame {
  readonly [name: string]: unknown
  readonly type?: string
  readonly class?: string
}

/** A socket of the demo, and what it has heard so far. */
async function dial(path: string, first: object, protocols: string[] = []) {
  const socket = new WebSocket(demo.url.replace('http', 'ws') + path, protocols)
  sockets.push(socket)
  const frames: Frame[] = []
  let wake = () => {}
  socket.on('message', (data) => {
    frames.push(JSON.parse(String(data)) as Frame)
    wake()
  })
  socket.on('close', () => {
    frames.push({ type: 'closed' })
    wake()
  })
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('open', resolve))
  const say = (frame: object) => socket.send(JSON.stringify(frame))
  say(first)
  async function until(is: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = frames.find(is)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { say, until }
}

const NONE = { delivered: 0, read: 0 }

async function visitor() {
  const config = (await (await fetch(`${demo.url}/holdfast/config.json`)).json()) as {
    deployments: { demo: { platform: { deploymentId: string } } }
  }
  const { deploymentId } = config.deployments.demo.platform
  const configure = { action: 'configureSession', token: 'token-1', tracingId: 'c', deploymentId }
  const line = await dial(`/v1?deploymentId=${deploymentId}`, configure)
  await line.until((frame) => frame.class === 'SessionResponse')
  const send = (text: string, attributes: object = {}) => {
    const message = { type: 'Text', text, channel: { metadata: { customAttributes: attributes } } }
    line.say({ action: 'onMessage', token: 'token-1', tracingId: `t-${text}`, message })
  }
  return { ...line, send }
}

async function agent() {
  const { port } = new URL(demo.url)
  const referer = `http://localhost:${port}/agent`
  const answer = await fetch(`${demo.url}/agent/token`, { headers: { ...OWN, referer } })
  const { token } = (await answer.json()) as { token: string }
  const call = async (method: string, path: string, body?: object, key = '') => {
    const headers = { authorization: `Bearer ${token}`, 'idempotency-key': key }
    const sent = body && { body: JSON.stringify(body) }
    return (await fetch(demo.url + TALKS + path, { method, headers, ...sent })).json() as Promise<Frame>
  }
  const stream = () => dial('/agent/api/v2/messaging/stream', { type: 'auth', token }, ['holdfast.v2'])
  return { call, stream, token }
}

const fault = (name: string) =>
  fetch(`${demo.url}/demo/faults`, {
    method: 'POST',
    headers: { ...OWN, 'content-type': 'application/json' },
    body: JSON.stringify({ fault: name, on: true }),
  })

test('[DM40] on Genesys the demo serves that worker, and tells it where the emulated platform is', async () => {
  expect(await (await fetch(`${demo.url}/holdfast/sw.js`)).text()).toContain('self.genesys')
  const config = await (await fetch(`${demo.url}/holdfast/config.json`)).json()
  const endpoints = { messaging: demo.url.replace('http', 'ws'), api: demo.url, cdn: demo.url }
  expect(config).toMatchObject({ deployments: { demo: { platform: { type: 'genesys', endpoints } } } })
})

test('[DM41] the agent reads what a visitor writes, with what is known of him, answers once, and closes', async () => {
  const { call, stream } = await agent()
  const desk = await stream()
  await desk.until((frame) => frame.type === 'ready')
  const guest = await visitor()
  guest.send('where is my order', { cart: '12' })
  await desk.until((frame) => Object(frame['message']).text === 'where is my order')
  const state = (wanted: object) => (frame: Frame) =>
    Object.entries(wanted).every(([name, value]) => {
      const conversation = Object(frame['conversation']) as Frame
      return JSON.stringify(conversation[name]) === JSON.stringify(value)
    })
  await desk.until(state({ customAttributes: { cart: '12' }, lastSeq: 1 }))
  const { conversations } = (await call('GET', '?state=all')) as { conversations?: { id: string }[] }
  const id = conversations?.[0]?.id ?? ''
  for (let n = 0; n < 2; n++) await call('POST', `/${id}/messages`, { participantId: 'agent', text: 'soon' }, 'k1')
  const { messages } = (await call('GET', `/${id}/messages`)) as { messages?: unknown[] }
  expect(messages).toMatchObject([{ role: 'customer' }, { role: 'agent', text: 'soon', seq: 2 }])
  await guest.until((frame) => Object(frame['body']).text === 'soon')
  desk.say({ type: 'mark', conversationId: id, delivered: 9, read: 1 })
  await desk.until((frame) => frame.type === 'marks' && JSON.stringify(frame['agent']) === '{"delivered":2,"read":1}')
  await call('POST', `/${id}/close`)
  await desk.until(state({ state: 'closed', marks: { agent: { delivered: 2, read: 1 }, customer: NONE } }))
  await guest.until((frame) => Object(Object(frame['body']).metadata).readOnly === 'true')
})

test('[DM41] without the agent’s token nobody reads or answers', async () => {
  const answer = await fetch(demo.url + TALKS, { headers: { authorization: 'Bearer guess' } })
  expect(answer.status).toBe(401)
  expect((await fetch(`${demo.url}/api/v2/messaging/conversations`)).status).toBe(401)
  const desk = await dial('/agent/api/v2/messaging/stream', { type: 'auth', token: 'guess' })
  const { call, stream } = await agent()
  const known = await stream()
  await known.until((frame) => frame.type === 'ready')
  await visitor()
  await known.until((frame) => frame.type === 'state')
  desk.say({ type: 'ping', id: 'p' })
  known.say({ type: 'ping', id: 'p' })
  await known.until((frame) => frame.type === 'pong')
  expect(await call('GET', '/nobody')).toMatchObject({ title: expect.any(String) })
})

test('[DM42] a lost answer and a restart are felt by the visitor, and leave what was said', async () => {
  const first = await visitor()
  await fault('cut-answer')
  first.send('heard')
  await first.until((frame) => frame.type === 'closed')
  const second = await visitor()
  await fault('restart')
  await second.until((frame) => frame.type === 'closed')
  const { call } = await agent()
  const all = () =>
    call('GET', '?state=all').then(
      ({ conversations }) => conversations,
      () => 'away',
    )
  await expect.poll(all, { timeout: 10_000 }).toMatchObject([{ lastSeq: 1 }])
})
