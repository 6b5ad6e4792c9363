// The agents' side of the emulated service, for the demo's console: conversations, answers and the live connection, in the
// words of the session service's agent API.

import type { GenesysEntity } from './genesys-rules.ts'
import type { GenesysRequest, GenesysService } from './genesys-service.ts'
import type { GenesysSession } from './genesys-session.ts'

interface Said {
  readonly id: string
  readonly seq: number
  readonly conversationId: string
  readonly role: 'customer' | 'agent' | 'bot'
  readonly text: string
  readonly at: number
}

interface Mark {
  readonly delivered: number
  readonly read: number
}

interface Talk {
  readonly id: string
  readonly session: GenesysSession
  readonly createdAt: number
  readonly previousId: string | undefined
  readonly said: Said[]
  state: 'active' | 'closed'
  queue: string
  attributes: { readonly [name: string]: string }
  version: number
  /** What the agents have had before their eyes; of the customer the platform says nothing. */
  marks: { readonly agent: Mark; readonly customer: Mark }
}

interface DeskAnswer {
  readonly status: number
  readonly body: unknown
}

type Tell = (frame: object) => void

const CALL = /^\/api\/v2\/messaging\/conversations(?:\/([^/]+)(?:\/(messages|participants|close)(?:\/[^/]+)?)?)?$/
const NONE: Mark = { delivered: 0, read: 0 }
const AGENT = { id: 'agent', role: 'agent' }
const NOT_FOUND: DeskAnswer = { status: 404, body: { title: 'There is no such conversation.' } }

export class GenesysDesk {
  readonly #service: GenesysService
  readonly #token: string
  readonly #talks = new Map<string, Talk>()
  readonly #present = new Map<GenesysSession, Talk>()
  readonly #listeners = new Set<Tell>()
  readonly #answered = new Map<string, Said>()

  /** @param token what an agent shows */
  constructor(service: GenesysService, token: string) {
    this.#service = service
    this.#token = token
    service.watcher = {
      begun: (session) => this.#begin(session),
      said: (session, entity) => this.#hear(session, entity),
      typed: (session) => {
        const talk = this.#present.get(session)
        if (talk !== undefined) this.#tell({ type: 'typing', conversationId: talk.id, role: 'customer', on: true })
      },
      ended: (session) => this.#end(this.#present.get(session)),
    }
  }

  /** Frames of the live connection, both ways. Returns what hears the agent. */
  listen(tell: Tell): { hear(frame: { readonly [name: string]: unknown }): void; gone(): void } {
    return {
      hear: (frame) => {
        if (frame['type'] === 'auth' && frame['token'] === this.#token) {
          this.#listeners.add(tell)
          tell({ type: 'ready' })
        }
        if (!this.#listeners.has(tell)) return
        if (frame['type'] === 'ping') tell({ type: 'pong', id: frame['id'] })
        const talk = this.#talks.get(String(frame['conversationId']))
        if (frame['type'] === 'typing' && frame['on'] === true && talk !== undefined)
          this.#service.agentTypes(talk.session)
        if (frame['type'] === 'mark' && talk !== undefined) this.#mark(talk, frame)
      },
      gone: () => void this.#listeners.delete(tell),
    }
  }

  /** Nothing where the path is none of its calls. */
  answer({ method, path, query, bearer, body }: GenesysRequest, key?: string): DeskAnswer | undefined {
    const [whole, id, part] = CALL.exec(path) ?? []
    if (whole === undefined) return undefined
    if (bearer !== this.#token) return { status: 401, body: { title: 'Only agents may do this.' } }
    if (id === undefined) return ok({ conversations: [...this.#talks.values()].map(viewOf) })
    const talk = this.#talks.get(id)
    if (talk === undefined) return NOT_FOUND
    switch (`${method} ${part ?? ''}`) {
      case 'GET messages': {
        const from = talk.said.findIndex((one) => one.id === query.get('afterId')) + 1
        return ok({ messages: talk.said.slice(from, from + Number(query.get('limit') ?? 200)) })
      }
      case 'POST participants':
        return ok(AGENT)
      case 'POST messages':
        return this.#reply(talk, String((body as { text?: unknown } | undefined)?.text ?? ''), key)
      case 'POST close':
        if (talk.state === 'active') this.#service.agentCloses(talk.session)
        return ok(viewOf(talk))
      case 'PATCH ': {
        const { queue } = (body as { routingData?: { queue?: string } } | undefined)?.routingData ?? {}
        if (queue !== undefined) this.#change(talk, { queue })
        return ok(viewOf(talk))
      }
      default:
        return ok(viewOf(talk))
    }
  }

  #reply(talk: Talk, text: string, key = ''): DeskAnswer {
    if (talk.state !== 'active') return { status: 409, body: { title: 'The conversation is over.' } }
    const known = this.#answered.get(key)
    if (known !== undefined) return ok(known)
    this.#service.agentSays(talk.session, text)
    const said = talk.said.at(-1) as Said
    if (key !== '') this.#answered.set(key, said)
    return { status: 201, body: said }
  }

  #begin(session: GenesysSession): Talk {
    const former = this.#present.get(session)
    this.#end(former)
    const createdAt = this.#service.deps.now()
    const id = this.#service.deps.uuid()
    const talk: Talk = {
      id,
      session,
      createdAt,
      previousId: former?.id,
      said: [],
      state: 'active',
      queue: 'counter',
      attributes: {},
      version: 1,
      marks: { agent: NONE, customer: NONE },
    }
    this.#talks.set(id, talk)
    this.#present.set(session, talk)
    this.#tell({ type: 'state', conversation: viewOf(talk) })
    return talk
  }

  #hear(session: GenesysSession, entity: GenesysEntity): void {
    const talk = this.#present.get(session) ?? this.#begin(session)
    const { id, type, direction, originatingEntity, text = '', channel } = entity
    if (type === 'Event') return session.isReadOnly ? this.#end(talk) : undefined
    const role = direction === 'Inbound' ? 'customer' : originatingEntity === 'Bot' ? 'bot' : 'agent'
    const at = Date.parse(channel.time ?? '') || this.#service.deps.now()
    const said: Said = { id, seq: talk.said.length + 1, conversationId: talk.id, role, text: wordsOf(text, entity), at }
    talk.said.push(said)
    this.#tell({ type: 'message', message: said })
    this.#change(talk, { attributes: { ...session.attributes } })
  }

  #end(talk: Talk | undefined): void {
    if (talk?.state === 'active') this.#change(talk, { state: 'closed' })
  }

  #change(talk: Talk, change: Partial<Talk>): void {
    Object.assign(talk, change, { version: talk.version + 1 })
    this.#tell({ type: 'state', conversation: viewOf(talk) })
  }

  #mark(talk: Talk, { delivered, read }: { readonly [name: string]: unknown }): void {
    const { agent } = talk.marks
    const higher = (known: number, said: unknown) => Math.max(known, Math.min(Number(said) || 0, talk.said.length))
    const next = { delivered: higher(agent.delivered, delivered), read: higher(agent.read, read) }
    talk.marks = { ...talk.marks, agent: next }
    this.#tell({ type: 'marks', conversationId: talk.id, ...talk.marks })
  }

  #tell(frame: object): void {
    for (const tell of this.#listeners) tell(frame)
  }
}

const ok = (body: unknown): DeskAnswer => ({ status: 200, body })

/** A file that comes without words is told by its name. */
function wordsOf(text: string, { content = [] }: GenesysEntity): string {
  const names = content.map((part) => (part as { attachment?: { filename?: string } }).attachment?.filename)
  const files = names.filter((name) => name !== undefined).map((name) => `File: ${name}`)
  return [text, ...files].filter((word) => word !== '').join('\n')
}

const viewOf = ({ id, state, attributes, queue, version, said, previousId, createdAt, marks }: Talk): object => ({
  id,
  marks,
  state,
  participants: [{ id: 'visitor', role: 'customer' }, AGENT],
  customAttributes: attributes,
  routingData: { queue },
  version,
  lastSeq: said.length,
  ...(previousId !== undefined && { previousId }),
  createdAt,
  updatedAt: said.at(-1)?.at ?? createdAt,
})
