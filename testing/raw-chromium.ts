// Chromium without a debugger on its workers: attached ones keep a worker alive for ever. It talks to pages only, over
// the DevTools protocol, so that natural ends and hidden tabs are what visitors have. Loopback only.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, watch } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'

const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-port=0',
]

const PORT_FILE = 'DevToolsActivePort'

export interface RawTab {
  readonly id: string
  /** Runs an expression in the page and waits for its promise. */
  evaluate<T>(expression: string): Promise<T>
  /** Brings this tab to the front: the others are hidden then. */
  activate(): Promise<void>
  /** Resolves when the page has loaded again. */
  reload(): Promise<void>
  /** Closes it as a visitor does. */
  close(): Promise<void>
  /** Ends its process: the page gets no chance to say anything. */
  crash(): Promise<void>
  /** Ends every service worker of the browser. */
  killWorkers(): Promise<void>
}

export interface RawChromium {
  /** Opens a tab and resolves when the page has loaded. */
  open(url: string): Promise<RawTab>
  /** Ends it with SIGKILL and keeps the profile. */
  kill(): Promise<void>
  /** Ends it and removes the profile. */
  close(): Promise<void>
}

/** @param profile the folder of a former run, to go on there. Default: one of its own */
export async function rawChromium(
  executable: string,
  flags: readonly string[] = [],
  profile = mkdtempSync(join(tmpdir(), 'holdfast-raw-')),
): Promise<RawChromium> {
  // Left by a browser that was killed, it would name a port of nobody.
  rmSync(join(profile, PORT_FILE), { force: true })
  const child = spawn(executable, [...FLAGS, `--user-data-dir=${profile}`, ...flags, 'about:blank'], {
    detached: true,
    stdio: 'ignore',
  })
  const port = await portOf(child, profile)
  const base = `http://127.0.0.1:${port}/json`
  const sockets = new Set<WebSocket>()
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const end = () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL')
  }
  // It has a process group of its own, and would outlive us.
  process.once('exit', end)
  const kill = async () => {
    process.off('exit', end)
    for (const socket of sockets) socket.terminate()
    end()
    await ended
  }
  return {
    async open(url) {
      const answer = await fetch(`${base}/new?about:blank`, { method: 'PUT' })
      const target = (await answer.json()) as { id: string; webSocketDebuggerUrl: string }
      const on = <T>(work: (session: Session) => Promise<T>) => attached(target.webSocketDebuggerUrl, sockets, work)
      await on((session) => navigate(session, 'Page.navigate', { url }))
      return {
        id: target.id,
        evaluate: (expression) => on((session) => evaluate(session, expression)),
        activate: async () => void (await fetch(`${base}/activate/${target.id}`)),
        reload: () => on((session) => navigate(session, 'Page.reload')),
        close: async () => void (await fetch(`${base}/close/${target.id}`)),
        crash: () => on(crash),
        killWorkers: () => on(killWorkers),
      }
    },
    kill,
    async close() {
      try {
        await kill()
      } finally {
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
      }
    },
  }
}

/** The port stands in a file of the profile as soon as it is open. */
function portOf(child: ChildProcess, profile: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const watcher = watch(profile, look)
    function look(): void {
      try {
        const port = Number(readFileSync(join(profile, PORT_FILE), 'utf8').split('\n')[0])
        if (!(port > 0)) return
        watcher.close()
        resolve(port)
      } catch {
        // Not written yet: the watcher tells when something is.
      }
    }
    child.once('exit', (code) => reject(new Error(`Chromium ended at its start with code ${code}.`)))
    look()
  })
}

interface Answer {
  readonly id?: number
  readonly method?: string
  readonly error?: { readonly message: string }
  readonly result?: {
    readonly result?: { readonly value: unknown }
    readonly exceptionDetails?: { readonly exception?: { readonly description?: string }; readonly text: string }
  }
}

/** One attachment to a page: commands with their answers, and the events in between. */
class Session {
  readonly #socket: WebSocket
  readonly #heard = new Set<(answer: Answer) => void>()
  #count = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => {
      const answer = JSON.parse(String(data)) as Answer
      for (const hear of this.#heard) hear(answer)
    })
  }

  /** Resolves with the first answer or event that fits. */
  hear(fits: (answer: Answer) => boolean): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const hear = (answer: Answer) => {
        if (!fits(answer)) return
        this.#heard.delete(hear)
        resolve(answer)
      }
      this.#heard.add(hear)
      this.#socket.once('close', () => reject(new Error('The page went away.')))
    })
  }

  async send(method: string, params: Record<string, unknown> = {}): Promise<Answer> {
    this.#count += 1
    const id = this.#count
    const answered = this.hear((answer) => answer.id === id)
    this.#socket.send(JSON.stringify({ id, method, params }))
    const answer = await answered
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`)
    return answer
  }
}

/** Attaches, works, lets go: a page is watched only while it is asked. */
async function attached<T>(url: string, sockets: Set<WebSocket>, work: (session: Session) => Promise<T>): Promise<T> {
  const socket = new WebSocket(url)
  sockets.add(socket)
  try {
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    return await work(new Session(socket))
  } finally {
    sockets.delete(socket)
    socket.close()
  }
}

async function evaluate<T>(session: Session, expression: string): Promise<T> {
  const { result } = await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
  const failed = result?.exceptionDetails
  if (failed !== undefined) throw new Error(failed.exception?.description ?? failed.text)
  return result?.result?.value as T
}

async function navigate(session: Session, method: string, params: Record<string, unknown> = {}): Promise<void> {
  await session.send('Page.enable')
  const loaded = session.hear((answer) => answer.method === 'Page.loadEventFired')
  // The command itself fails first when the page goes away.
  loaded.catch(() => {})
  await session.send(method, params)
  await loaded
}

/** The command itself is never answered: whoever could is gone. */
async function crash(session: Session): Promise<void> {
  await session.send('Inspector.enable')
  const crashed = session.hear((answer) => answer.method === 'Inspector.targetCrashed')
  crashed.catch(() => {})
  session.send('Page.crash').catch(() => {})
  await crashed
}

async function killWorkers(session: Session): Promise<void> {
  await session.send('ServiceWorker.enable')
  await session.send('ServiceWorker.stopAllWorkers')
}
