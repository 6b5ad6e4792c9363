// Clients that cost as little as possible, so that the service is what is measured: bare TCP, one request at a
// time each, and just enough HTTP to find the end of an answer. Also processes, their memory and their CPU time.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  readonly body: string
}

/** One kept-alive connection. */
export class Client {
  readonly #socket: Socket
  #received = ''
  #settle: ((answer: Answer) => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay()
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => this.#receive(chunk))
  }

  static async open(port: number): Promise<Client> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new Client(socket)
  }

  ask(method: string, path: string, headers: Readonly<Record<string, string>>, body = ''): Promise<Answer> {
    const lines = Object.entries({ ...headers, host: 'bench', 'content-length': `${Buffer.byteLength(body)}` })
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    return new Promise((resolve) => {
      this.#settle = resolve
      this.#socket.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: string): void {
    this.#received += chunk
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#received.slice(0, end)
    const status = Number(head.slice(9, 12))
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
    if (/transfer-encoding: chunked/i.test(head)) {
      if (!this.#received.endsWith('\r\n0\r\n\r\n') && !this.#received.endsWith('\r\n\r\n0\r\n\r\n')) return
    } else if (status !== 304 && this.#received.length < end + 4 + length) return
    const body = this.#received.slice(end + 4)
    this.#received = ''
    this.#settle?.({ status, body })
  }
}

export interface Load {
  readonly perSecond: number
  readonly p99: number
}

/** Asks with some clients at once until the number is reached. */
export async function load(
  port: number,
  clients: number,
  count: number,
  ask: (client: Client, index: number) => Promise<Answer>,
): Promise<Load> {
  const all = await Promise.all(Array.from({ length: clients }, () => Client.open(port)))
  const times: number[] = []
  let next = 0
  const startedAt = performance.now()
  await Promise.all(
    all.map(async (client) => {
      for (let index = next++; index < count; index = next++) {
        const askedAt = performance.now()
        const { status, body } = await ask(client, index)
        if (status >= 400) throw new Error(`A request was answered ${status}: ${body.slice(0, 200)}`)
        times.push(performance.now() - askedAt)
      }
    }),
  )
  const tookMs = performance.now() - startedAt
  for (const client of all) client.close()
  times.sort((a, b) => a - b)
  return { perSecond: (count / tookMs) * 1000, p99: times[Math.floor(times.length * 0.99)] ?? 0 }
}

/** A process that writes a line once it is ready. */
export class Program {
  readonly #child: ChildProcess
  readonly readyMs: number

  private constructor(child: ChildProcess, readyMs: number) {
    this.#child = child
    this.readyMs = readyMs
  }

  static async start(args: readonly string[]): Promise<Program> {
    const startedAt = performance.now()
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    if (child.stdout === null) throw new Error('The process has no output.')
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`It ended at its start with code ${code}.`))),
    ])
    child.stdout.resume()
    return new Program(child, performance.now() - startedAt)
  }

  /** Resident memory in MB. */
  get residentMb(): number {
    const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', `${this.#child.pid}`], { encoding: 'utf8' })
    return Number(stdout) / 1024
  }

  /** CPU time used so far in milliseconds; undefined where the system does not tell. */
  get cpuMs(): number | undefined {
    try {
      const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
      // User and system time in ticks of 10 ms.
      return (Number(fields[11]) + Number(fields[12])) * 10
    } catch {
      return undefined
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
