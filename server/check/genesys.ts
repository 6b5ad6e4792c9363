// The probes for a real Genesys Cloud deployment: what no document says for certain, asked of the deployment itself. It says
// three messages into a conversation of its own, and reports what it saw beside what the adapter relies on.
import { once } from 'node:events'
import { WebSocket } from 'ws'

export type GenesysLab = {
  readonly deploymentId: string
  /** A region's domain, or the whole address of an emulator. */
  readonly domain: string
  /** The site, as its deployment knows it. */
  readonly origin: string
  readonly waitMs?: number
}

/** `holds` is absent where nothing depends on the answer. */
export type Probe = { readonly id: string; readonly found: string; readonly holds?: boolean }

type Shape = { readonly [name: string]: unknown }
const shapeOf = (value: unknown): Shape => Object(value) as Shape
const WAIT_MS = 10_000
/** Below the five a second that the platform allows. */
const PACE_MS = 400
/** An instant of the platform is a whole second: in this time one that moves has moved. */
const ECHO_PACE_MS = 1_100
/** More configures at once than any limit that was seen. */
const CONFIGURES_MAX = 10

class Line {
  readonly frames: Shape[] = []
  readonly #socket: WebSocket
  readonly #waitMs: number
  readonly #token = crypto.randomUUID()
  #look: () => void = () => {}

  constructor(socket: WebSocket, waitMs: number) {
    this.#socket = socket
    this.#waitMs = waitMs
    socket.on('message', (data) => {
      this.frames.push(shapeOf(JSON.parse(String(data))))
      this.#look()
    })
    socket.on('close', () => this.#look())
  }

  say(action: string, rest: object, tracingId: string = crypto.randomUUID()): string {
    this.#socket.send(JSON.stringify({ action, token: this.#token, tracingId, ...rest }))
    return tracingId
  }

  /** The first frame that fits, or nothing when none comes in time. */
  until(fits: (frame: Shape) => boolean): Promise<Shape | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), this.#waitMs)
      this.#look = () => {
        const found = this.frames.find(fits)
        if (found === undefined && this.#socket.readyState < WebSocket.CLOSING) return
        clearTimeout(timer)
        resolve(found)
      }
      this.#look()
    })
  }

  answer(action: string, rest: object): Promise<Shape | undefined> {
    const id = this.say(action, rest)
    return this.until((frame) => frame['tracingId'] === id)
  }

  close(): void {
    this.#socket.close()
  }
}

function endpointsOf(domain: string): { messaging: string; api: string; cdn: string } {
  if (/^https?:/.test(domain)) return { messaging: domain.replace('http', 'ws'), api: domain, cdn: domain }
  return { messaging: `wss://webmessaging.${domain}`, api: `https://api.${domain}`, cdn: `https://api-cdn.${domain}` }
}

export async function checkGenesys({ deploymentId, domain, origin, waitMs = WAIT_MS }: GenesysLab): Promise<Probe[]> {
  const { messaging, api, cdn } = endpointsOf(domain)
  const probes: Probe[] = []
  const say = (id: string, found: string, holds?: boolean) =>
    probes.push({ id, found, ...(holds !== undefined && { holds }) })
  const signal = () => AbortSignal.timeout(waitMs)

  const config = await fetch(`${cdn}/webdeployments/v1/deployments/${deploymentId}/config.json`, { signal: signal() })
    .then(async (answer) => (answer.ok ? shapeOf(await answer.json()) : { status: `HTTP ${answer.status}` }))
    .catch(() => ({ status: 'no answer' }))
  say('config', `the deployment is ${String(config['status'])}`, config['status'] === 'Active')
  const apps = shapeOf(shapeOf(shapeOf(shapeOf(config as Shape)['messenger'])['apps'])['conversations'])
  for (const name of ['autoStart', 'conversationClear', 'conversationDisconnect'])
    say(`config-${name}`, JSON.stringify(apps[name] ?? null))
  say('config-auth', JSON.stringify((config as Shape)['auth'] ?? null))

  const socket = new WebSocket(`${messaging}/v1?deploymentId=${deploymentId}&application=holdfast`, { origin })
  socket.on('error', () => {})
  const isOpen = await Promise.race([
    once(socket, 'open').then(() => true),
    once(socket, 'close').then(() => false),
  ]).catch(() => false)
  say('origin', isOpen ? `${origin} may connect` : `${origin} may not connect: is it an allowed domain?`, isOpen)
  if (!isOpen) return probes
  const line = new Line(socket, waitMs)
  try {
    await converse(line, { deploymentId, api, origin, waitMs }, say)
  } finally {
    line.close()
  }
  return probes
}

type Say = (id: string, found: string, holds?: boolean) => void

async function converse(
  line: Line,
  { deploymentId, api, origin, waitMs }: { deploymentId: string; api: string; origin: string; waitMs: number },
  say: Say,
): Promise<void> {
  const configured = await line.answer('configureSession', { deploymentId, startNew: false })
  const session = shapeOf(configured?.['body'])
  say('configure', String(configured?.['class'] ?? 'no answer'), configured?.['class'] === 'SessionResponse')
  say('limits', `${session['maxCustomDataBytes']} bytes of attributes, ${session['durationSeconds']} s of session`)
  await askEcho(line, session, say)

  const messageId = crypto.randomUUID()
  const marker = crypto.randomUUID()
  const acks: (Shape | undefined)[] = []
  for (const text of ['holdfast check 1', 'holdfast check 2', 'holdfast check 2']) {
    const channel = text.endsWith('2') && { channel: { messageId } }
    acks.push(await line.answer('onMessage', { message: { type: 'Text', text, metadata: { id: marker }, ...channel } }))
    await after(PACE_MS)
  }
  const isAcked = acks.every((ack) => shapeOf(ack?.['body'])['direction'] === 'Inbound')
  say('ack', isAcked ? 'each message comes back by its tracingId' : 'a message did not come back', isAcked)

  const { jwt } = shapeOf((await line.answer('getJwt', {}))?.['body'])
  const url = `${api}/api/v2/webmessaging/messages?pageNumber=1&pageSize=25`
  const headers = { authorization: `bearer ${String(jwt)}`, origin }
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(waitMs) }).catch(() => undefined)
  say('history', `HTTP ${answer?.status ?? 'no answer'}`, answer?.status === 200)
  if (answer?.status === 200) {
    say('cors', `history ${allowedBy(answer)}`, isAllowed(answer, origin))
    const { entities } = shapeOf(await answer.json())
    judgeHistory(Array.isArray(entities) ? entities.map(shapeOf) : [], { acks, marker, messageId }, say)
  }
  await askRefresh({ api, origin, waitMs }, say)
  await askLast(line, deploymentId, say)
}

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const allowedBy = (answer: Response) => `allows ${answer.headers.get('access-control-allow-origin') ?? 'no origin'}`
const isAllowed = (answer: Response, origin: string) =>
  ['*', origin].includes(answer.headers.get('access-control-allow-origin') ?? '')

/** Two looks without a message between them: does looking move the end of the session? */
async function askEcho(line: Line, session: Shape, say: Say): Promise<void> {
  const ends = [Number(session['expirationDate'])]
  for (let look = 0; look < 2; look++) {
    await after(ECHO_PACE_MS)
    const echo = await line.answer('echo', { message: { type: 'Text', text: 'ping' } })
    ends.push(Number(shapeOf(shapeOf(echo?.['body'])['metadata'])['expirationDate']))
  }
  const [began = Number.NaN, first = Number.NaN, second = Number.NaN] = ends
  const is = Number.isNaN(second) ? 'no word of' : second > first && first > began ? 'moves' : 'does not move'
  say('echo', `${is} the end of the session`)
}

/**
 * Whether a refresh token is replaced shows only when somebody has signed in (the adapter copes with either); whether a site
 * may ask at all shows here. Nothing depends on it where nobody signs in.
 */
async function askRefresh({ api, origin, waitMs }: { api: string; origin: string; waitMs: number }, say: Say) {
  const headers = { 'content-type': 'application/json', origin }
  const body = JSON.stringify({ refreshToken: crypto.randomUUID() })
  const init = { method: 'POST', headers, body, signal: AbortSignal.timeout(waitMs) }
  const answer = await fetch(`${api}/api/v2/webdeployments/token/refresh`, init).catch(() => undefined)
  say('refresh', `HTTP ${answer?.status ?? 'no answer'} to a token that nobody has`)
  if (answer !== undefined) say('cors-refresh', `refresh ${allowedBy(answer)}`)
}

/** What may disturb the conversation comes at its end, and then it is closed. */
async function askLast(line: Line, deploymentId: string, say: Say): Promise<void> {
  for (const action of ['resumeToken', 'disconnectCustomer']) {
    const answer = await line.answer(action, { deploymentId })
    say(action, answer === undefined ? 'no answer' : `${String(answer['class'])} ${String(answer['code'])}`)
  }
  let taken = 0
  let wish = 'none refused'
  for (; taken < CONFIGURES_MAX; taken++) {
    const answer = await line.answer('configureSession', { deploymentId, startNew: false })
    if (answer?.['class'] === 'SessionResponse') continue
    wish = `then ${String(answer?.['code'] ?? 'no answer')}, wait ${String(shapeOf(answer?.['body'])['retryAfter'])} s`
    break
  }
  say('configure-burst', `${taken} at once, ${wish}`)
  const closed = await line.answer('closeSession', { closeAllConnections: true })
  const isClosed = shapeOf(closed?.['body'])['connected'] === false
  say('close', isClosed ? 'the conversation was closed' : 'it could not be closed', isClosed)
}

/** The same message, live and in the history: by which names can it be known again? */
function judgeHistory(
  entities: readonly Shape[],
  { acks, marker, messageId }: { acks: readonly (Shape | undefined)[]; marker: string; messageId: string },
  say: Say,
): void {
  const idOf = (body: Shape) => String(shapeOf(body['channel'])['messageId'] ?? body['id'])
  const live = acks.map((ack) => idOf(shapeOf(ack?.['body'])))
  const kept = entities.map(idOf)
  const isSame = live.every((id) => kept.includes(id))
  say('ids', isSame ? 'an id is the same live and in the history' : 'ids differ live and in the history', isSame)
  const texts = entities.map(({ text }) => text)
  const isNewestFirst = texts.lastIndexOf('holdfast check 1') > texts.indexOf('holdfast check 2')
  say('order', isNewestFirst ? 'a page is newest first' : 'a page is oldest first', isNewestFirst)
  const hasMetadata = entities.some(({ metadata }) => shapeOf(metadata)['id'] === marker)
  say('metadata', hasMetadata ? 'comes back in the history' : 'does not come back: messages are matched by their words')
  const copies = texts.filter((text) => text === 'holdfast check 2').length
  say('dedupe', `one channel.messageId sent twice makes ${copies} messages`)
  const isTaken = entities.some(({ channel }) => shapeOf(channel)['messageId'] === messageId)
  say('message-id', isTaken ? 'channel.messageId of ours is kept' : 'channel.messageId of ours is replaced')
}

export function linesOfProbes(probes: readonly Probe[]): string[] {
  const word = ({ holds }: Probe) => (holds === undefined ? 'info ' : holds ? 'ok   ' : 'FAIL ')
  const failed = probes.filter(({ holds }) => holds === false).length
  const lines = probes.map((probe) => `${word(probe)} ${probe.id}: ${probe.found}`)
  return [
    ...lines,
    '',
    failed === 0 ? 'holdfast can rely on this deployment.' : `${failed} things it relies on do not hold.`,
  ]
}
