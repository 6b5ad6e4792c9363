// A server of another project as a child process of the tests: started on a free port of loopback, killed and
// started again on the same one, stopped at the end with its data folder.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

export type Command = { file: string; args: readonly string[]; uid?: number; gid?: number; cwd: string }

/** Ends the server when the test run ends, however that ends: then its side of the pipe is closed. */
const LIFELINE =
  'exec 3<&0; "$@" & server=$!; echo "pid $server"; (cat <&3; kill -QUIT $server; kill -TERM $server) >/dev/null 2>&1 & wait $server'

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

export class ServerProcess {
  readonly #command: Command
  #child: ChildProcess | undefined
  #pid: number | undefined
  #said = ''

  constructor(command: Command) {
    this.#command = command
  }

  /** Starts, and resolves once the server says that it takes connections. */
  async start(): Promise<void> {
    const { file, args, uid, gid, cwd } = this.#command
    this.#said = ''
    const child = spawn('sh', ['-c', LIFELINE, 'sh', file, ...args], {
      cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
    })
    this.#child = child
    this.#pid = undefined
    child.once('exit', () => child.stdin.destroy())
    await new Promise<void>((resolve, reject) => {
      for (const output of [child.stdout, child.stderr]) {
        output?.on('data', (chunk) => {
          this.#said = `${this.#said}${chunk}`.slice(-4000)
          this.#pid ??= Number(/^pid (\d+)$/m.exec(this.#said)?.[1]) || undefined
          if (/ready to accept connections/i.test(this.#said)) resolve()
        })
      }
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`${file} ended before it was ready:\n${this.#said}`)))
    })
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    if (this.#pid !== undefined) process.kill(this.#pid, signal)
    await gone
  }
}

export async function run(command: Command): Promise<void> {
  const { file, args, uid, gid, cwd } = command
  const child = spawn(file, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  })
  let said = ''
  for (const output of [child.stdout, child.stderr]) {
    output?.on('data', (chunk) => {
      said += chunk
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${file} failed:\n${said}`)
}
