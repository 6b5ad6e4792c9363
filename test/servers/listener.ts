// A client that stays connected: listens to one conversation on any of several nodes, and after every loss comes
// back to the next one above the last message it has seen. It keeps the record by which nodes are judged.
import { WebSocket } from 'ws'

type Frame = { type: string; code?: string; message?: { seq: number; key?: string; text: string } }
export type Heard = { seq: number; text: string; at: number }

export class Listener {
  readonly heard: Heard[] = []
  readonly frames: Frame[] = []
  connects = 0
  readonly #urls: () => readonly string[]
  readonly #token: () => string
  readonly #conversationId: string | null
  #turn: number
  #socket: WebSocket | undefined
  #retry: NodeJS.Timeout | undefined
  #isEnded = false
  #waiting = new Set<() => void>()

  /** @param turn which of the nodes comes first */
  constructor(urls: () => readonly string[], token: () => string, conversationId: string | null, turn = 0) {
    this.#urls = urls
    this.#token = token
    this.#conversationId = conversationId
    this.#turn = turn
    this.#connect()
  }

  /** Resolves once the record satisfies a condition. */
  async until(holds: (listener: this) => boolean): Promise<void> {
    while (!holds(this)) await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  ready(): Promise<void> {
    return this.until(({ frames }) => frames.some(({ type }) => type === 'ready'))
  }

  send(frame: unknown): void {
    this.#socket?.send(JSON.stringify(frame))
  }

  end(): void {
    this.#isEnded = true
    clearTimeout(this.#retry)
    this.#socket?.terminate()
  }

  #connect(): void {
    const urls = this.#urls()
    const url = urls[this.#turn++ % urls.length] ?? ''
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v2/messaging/stream`, ['holdfast.v2'])
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('open', () => {
      this.connects++
      const afterSeq = this.heard.at(-1)?.seq ?? 0
      this.send({ type: 'auth', token: this.#token(), conversationId: this.#conversationId, afterSeq })
    })
    socket.on('message', (data) => this.#take(JSON.parse(String(data)) as Frame))
    socket.on('close', () => {
      if (this.#isEnded) return
      this.#retry = setTimeout(() => this.#connect(), 20)
    })
  }

  #take(frame: Frame): void {
    if (frame.message !== undefined)
      this.heard.push({ seq: frame.message.seq, text: frame.message.text, at: performance.now() })
    this.frames.push(frame)
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const resolve of waiting) resolve()
  }
}
