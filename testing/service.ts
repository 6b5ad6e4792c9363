// The session service as a process of its own, so that it can really be killed and started again on the same data.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ServiceProcess {
  readonly port: number
  readonly url: string
  /** Ends it without a word: nothing it had not committed survives. */
  kill(): Promise<void>
  /** Starts it again, on the same port and data. */
  start(): Promise<void>
  /** Copies its data, and resolves with the way back to the copy: whatever came since is lost. */
  copy(): Promise<() => Promise<void>>
  /** Everything said in a conversation, as the record has it. */
  messages(conversationId: string, deployment?: string): Promise<readonly LoggedMessage[]>
  conversations(): Promise<
    readonly { readonly id: string; readonly state: string; readonly customAttributes: Record<string, unknown> }[]
  >
  /** An agent says something. */
  say(conversationId: string, text: string): Promise<LoggedMessage>
  /** An authorised call as an agent. */
  asAgent(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
    deployment?: string,
  ): Promise<unknown>
  /** A token of an agent, for what `asAgent` cannot do, such as listening to the stream. */
  agentToken(deployment?: string): string
  metric(name: string): Promise<number>
  /** Ends it and removes its data. */
  close(): Promise<void>
}

export interface LoggedMessage {
  readonly at: number
  readonly id: string
  readonly seq: number
  readonly text: string
  readonly role: string
}

export interface ServiceProcessOptions {
  /** The built command line of the service, `dist/server/main.js`. */
  readonly entry: string
  readonly port?: number
  /** What `--config` of the service takes. */
  readonly config?: Record<string, unknown>
}

/** Of a service that is down for a moment: the files are whole then. */
async function copyOf(running: Running, data: string, copy: string): Promise<() => Promise<void>> {
  await running.kill()
  cpSync(data, copy, { recursive: true })
  await running.start()
  return async () => {
    await running.kill()
    rmSync(data, { recursive: true })
    cpSync(copy, data, { recursive: true })
    await running.start()
  }
}

/** Starts a session service on loopback with a data folder of its own. */
export async function startService({ entry, port, config = {} }: ServiceProcessOptions): Promise<ServiceProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-service-'))
  const data = join(folder, 'data')
  const configFile = join(folder, 'config.json')
  writeFileSync(configFile, JSON.stringify(config))
  const bound = port ?? (await freePort())
  const url = `http://127.0.0.1:${bound}`
  const options = ['--data', data, '--config', configFile]
  const running = new Running([entry, 'serve', '--port', `${bound}`, ...options])
  const agent = new Agent(url, [entry, 'agent-token', ...options, '--name', 'Kim'])
  await running.start()
  return {
    port: bound,
    url,
    kill: () => running.kill(),
    start: () => running.start(),
    copy: () => copyOf(running, data, join(folder, 'copy')),
    asAgent: (...call) => agent.call(...call),
    agentToken: (deployment = 'demo') => agent.token(deployment),
    messages: (conversationId, deployment) => agent.messages(conversationId, deployment),
    conversations: async () => {
      const list = (await agent.call('GET', '/api/v2/messaging/conversations')) as { conversations: [] }
      return list.conversations
    },
    say: (conversationId, text) => agent.say(conversationId, text),
    metric: async (name) => {
      const text = await (await fetch(`${url}/metrics`)).text()
      const lines = text.split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'))
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
    close: async () => {
      await running.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The process itself. */
class Running {
  readonly #args: readonly string[]
  #child: ChildProcess | undefined

  constructor(args: readonly string[]) {
    this.#args = args
  }

  /** The first line of its log is written once it listens. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, this.#args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve())
      child.once('exit', (code) => reject(new Error(`The service ended at its start with code ${code}.`)))
    })
    child.stdout?.resume()
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
}

/** Somebody on the other side, with the rights of an agent. */
class Agent {
  readonly #url: string
  readonly #tokenArgs: readonly string[]
  readonly #tokens = new Map<string, string>()
  readonly #seats = new Map<string, string>()

  constructor(url: string, tokenArgs: readonly string[]) {
    this.#url = url
    this.#tokenArgs = tokenArgs
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    deployment = 'demo',
  ): Promise<unknown> {
    const answer = await fetch(this.#url + path, {
      method,
      headers: { authorization: `Bearer ${this.token(deployment)}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}: ${await answer.text()}`)
    return answer.json()
  }

  async messages(conversationId: string, deployment?: string): Promise<LoggedMessage[]> {
    const all: LoggedMessage[] = []
    for (let after = ''; ; ) {
      const query = after === '' ? '?limit=200' : `?limit=200&afterId=${after}`
      const path = `/api/v2/messaging/conversations/${conversationId}/messages${query}`
      const page = (await this.call('GET', path, undefined, {}, deployment)) as { messages: LoggedMessage[] }
      all.push(...page.messages)
      const last = page.messages.at(-1)
      if (last === undefined || page.messages.length < 200) return all
      after = last.id
    }
  }

  async say(conversationId: string, text: string): Promise<LoggedMessage> {
    const body = { participantId: await this.#join(conversationId), text, contentType: 'text/plain' }
    const path = `/api/v2/messaging/conversations/${conversationId}/messages`
    return (await this.call('POST', path, body, { 'idempotency-key': crypto.randomUUID() })) as LoggedMessage
  }

  async #join(conversationId: string): Promise<string> {
    const known = this.#seats.get(conversationId)
    if (known !== undefined) return known
    const participantId = crypto.randomUUID()
    const path = `/api/v2/messaging/conversations/${conversationId}/participants`
    await this.call('POST', path, { participantId, role: 'agent' }, { 'idempotency-key': crypto.randomUUID() })
    this.#seats.set(conversationId, participantId)
    return participantId
  }

  token(deployment: string): string {
    const known = this.#tokens.get(deployment)
    if (known !== undefined) return known
    const args = [...this.#tokenArgs, '--deployment', deployment]
    const token = spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout.trim()
    this.#tokens.set(deployment, token)
    return token
  }
}

/** A port that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
