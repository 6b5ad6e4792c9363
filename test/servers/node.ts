// The session service as processes of their own, bundled as in a release: started on a port, killed without
// warning, and started again on the same one.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = resolve(import.meta.dirname, '../..')

/**
 * Bundles the command line. Returns its path and the way to remove it.
 *
 * @param singleFile false where it matters what is loaded first: then the bundle is split as in a release
 */
export async function bundledMain(
  folder: string,
  singleFile = true,
): Promise<{ main: string; remove: () => Promise<void> }> {
  const { bundleNode } = (await import('../../scripts/bundle.mjs' as string)) as {
    bundleNode: (options: object) => Promise<unknown>
  }
  const outDir = join(ROOT, '.build', folder, String(process.pid))
  await bundleNode({ entries: { main: 'server/main.ts' }, outDir, extension: 'mjs', singleFile })
  return { main: join(outDir, 'main.mjs'), remove: () => rm(outDir, { recursive: true, force: true }) }
}

export class NodeProcess {
  readonly #main: string
  readonly #args: readonly string[]
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined
  #port = 0
  url = ''

  constructor(main: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#main = main
    this.#args = args
    this.#env = env
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Starts, on the same port as before, and resolves once it listens. */
  async start(): Promise<void> {
    const args = [this.#main, 'serve', '--port', String(this.#port), ...this.#args]
    const env = { ...process.env, ...this.#env }
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
    this.#child = child
    const url = await new Promise<string>((listening, failed) => {
      const lines = createInterface(child.stdout as NonNullable<typeof child.stdout>)
      lines.on('line', (line) => {
        const entry = JSON.parse(line) as { event: string; url?: string }
        if (entry.event === 'listening') listening(entry.url ?? '')
      })
      lines.on('close', () => failed(new Error('The service ended before it listened.')))
    })
    this.url = url
    this.#port = Number(new URL(url).port)
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
}
