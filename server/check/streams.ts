// Checks of the live stream through whatever proxy is in between: the first frame, resumption, and both kinds of
// ping, which keep a proxy from closing it and find a peer that is gone.
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { type Check, type Lab, must } from './report.ts'
import { type Conversation, Visitor } from './visitor.ts'

/** A poll that has nothing to say has to be held at least as long. */
const HELD_MS = 1000

type Frame = { type: string; id?: unknown; message?: { seq: number }; code?: string }

/** A socket whose frames are kept until somebody asks for them. */
class Line {
  readonly socket: WebSocket
  readonly frames: Frame[] = []
  protocolPings = 0
  #look: () => void = () => {}

  readonly #waitMs: number

  private constructor(lab: Lab, socket: WebSocket) {
    this.socket = socket
    this.#waitMs = lab.frameWaitMs
    socket.on('ping', () => {
      this.protocolPings += 1
      this.#look()
    })
    socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)) as Frame)
      this.#look()
    })
    socket.on('close', () => this.#look())
    socket.on('error', () => this.#look())
  }

  static async open(lab: Lab): Promise<Line> {
    const url = new URL('/api/v2/messaging/stream', lab.url)
    url.protocol = url.protocol.replace('http', 'ws')
    const line = new Line(lab, new WebSocket(url, 'holdfast.v2', { handshakeTimeout: 2 * lab.frameWaitMs }))
    await once(line.socket, 'open')
    must(line.socket.protocol === 'holdfast.v2', `The subprotocol is "${line.socket.protocol}".`)
    return line
  }

  static async joined(lab: Lab, visitor: Visitor, conversation: Conversation, afterSeq = 0): Promise<Line> {
    const line = await Line.open(lab)
    line.send({ type: 'auth', token: visitor.token, conversationId: conversation.id, afterSeq })
    return line
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame))
  }

  get isClosed(): boolean {
    return this.socket.readyState >= WebSocket.CLOSING
  }

  /** Waits until something holds, or the time is over. */
  until(holds: () => boolean, waitMs = this.#waitMs): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (outcome: boolean) => {
        clearTimeout(timer)
        this.#look = () => {}
        resolve(outcome)
      }
      const timer = setTimeout(() => settle(false), waitMs)
      this.#look = () => {
        if (holds()) settle(true)
      }
      this.#look()
    })
  }

  get seqs(): number[] {
    return this.frames.flatMap(({ type, message }) => (type === 'message' && message ? [message.seq] : []))
  }
}

async function withLine(opening: Promise<Line>, use: (line: Line) => Promise<void>): Promise<void> {
  const line = await opening
  try {
    await use(line)
  } finally {
    line.socket.terminate()
  }
}

export const STREAM_CHECKS: readonly Check[] = [
  {
    id: 'stream-resumes',
    says: 'A stream brings what lies above its cursor and then what comes, each once and in order.',
    because: 'messages are missed or doubled at every reconnect',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      for (const text of ['one', 'two', 'three']) await visitor.say(conversation, text)
      await withLine(Line.joined(lab, visitor, conversation, 1), async (line) => {
        await line.until(() => line.seqs.length >= 2)
        for (const text of ['four', 'five']) await visitor.say(conversation, text)
        await line.until(() => line.seqs.length >= 4)
        must(line.seqs.join() === '2,3,4,5', `Above 1 the stream brought ${line.seqs.join() || 'nothing'}.`)
      })
    },
  },
  {
    id: 'stream-first-frame',
    says: 'A stream without a good first frame is closed.',
    because: 'anybody can hold connections or listen',
    run: async (lab) => {
      await withLine(Line.open(lab), async (line) => {
        must(await line.until(() => line.isClosed, 2 * lab.frameWaitMs), 'A silent one is still open.')
      })
      await withLine(Line.open(lab), async (line) => {
        line.send({ type: 'auth', token: 'nonsense', conversationId: 'none' })
        must(await line.until(() => line.isClosed), 'One with a wrong token is still open.')
        must(!line.frames.some(({ type }) => type === 'ready'), 'One with a wrong token is served.')
      })
    },
  },
  {
    id: 'ping-application',
    says: 'A ping with an id is answered by a pong with that id.',
    because: 'a browser cannot tell a dead connection from a quiet one',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      await withLine(Line.joined(lab, visitor, conversation), async (line) => {
        for (const id of ['first', 'second']) line.send({ type: 'ping', id })
        const ids = () => line.frames.flatMap((frame) => (frame.type === 'pong' ? [frame.id] : []))
        await line.until(() => ids().length >= 2)
        must(ids().join() === 'first,second', `The pongs are: ${ids().join() || 'none'}.`)
      })
    },
  },
  {
    id: 'ping-protocol',
    says: 'A quiet stream stays open and hears protocol pings.',
    because: 'a proxy closes it, or the server keeps the dead for ever',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      await withLine(Line.joined(lab, visitor, conversation), async (line) => {
        await line.until(() => line.isClosed || line.protocolPings > 0, lab.pingWaitMs)
        must(!line.isClosed, 'It was closed while it was quiet.')
        must(line.protocolPings > 0, `There was no protocol ping within ${lab.pingWaitMs / 1000} s.`)
      })
    },
  },
  {
    id: 'poll-holds',
    says: 'A long poll is held until a message comes, and brings it.',
    because: 'where sockets are blocked, messages come late or never',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const path = `/api/v2/messaging/stream/poll?conversationId=${conversation.id}&afterSeq=0&waitMs=10000`
      const held = visitor.call(path)
      const isEarly = await Promise.race([
        held.then(() => true),
        new Promise((resolve) => setTimeout(resolve, HELD_MS, false)),
      ])
      must(!isEarly, 'It was answered before there was anything.')
      await visitor.say(conversation, 'hello')
      // What the poll heard first may be the change of state that a first message makes.
      const frames = [
        ...((await held).body['frames'] as Frame[]),
        ...((await visitor.call(path)).body['frames'] as Frame[]),
      ]
      must(
        frames.some(({ message }) => message?.seq === 1),
        'It did not bring the message.',
      )
    },
  },
]
