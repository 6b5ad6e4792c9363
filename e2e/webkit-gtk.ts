// WebKitGTK, driven by its own WebDriver on a display of its own: Playwright drives only the WebKit that it ships itself.
// One window, one command at a time.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { freePort } from '../testing/service.ts'

const DRIVER = '/usr/bin/WebKitWebDriver'
const BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser'
const SCREEN = '/usr/bin/Xvfb'

/** Debian's packages webkit2gtk-driver and xvfb. */
export const hasWebKitGtk = [DRIVER, BROWSER, SCREEN].every((path) => existsSync(path))

export interface GtkPage {
  goto(url: string): Promise<void>
  /** Runs in the page. What it throws comes back as an error with its message. */
  evaluate<T, A extends readonly unknown[]>(work: (...args: A) => T | Promise<T>, ...args: A): Promise<T>
}

export async function withWebKitGtk(use: (page: GtkPage) => Promise<void>): Promise<void> {
  const screen = spawn(SCREEN, ['-displayfd', '3', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  let driver: ChildProcess | undefined
  try {
    const display = await new Promise<string>((resolve, reject) => {
      screen.stdio[3]?.once('data', (said: Buffer) => resolve(`:${said.toString().trim()}`))
      screen.once('exit', (code) => reject(new Error(`The display ended at its start with code ${code}.`)))
    })
    const port = await freePort()
    driver = spawn(DRIVER, [`--port=${port}`, '--host=127.0.0.1'], {
      env: { ...process.env, DISPLAY: display },
      stdio: 'ignore',
    })
    const call = callsTo(`http://127.0.0.1:${port}`)
    await ready(call)
    const options = { 'webkitgtk:browserOptions': { binary: BROWSER, args: ['--automation'] } }
    const wanted = { capabilities: { alwaysMatch: { browserName: 'MiniBrowser', ...options } } }
    const { sessionId } = (await call('POST', '/session', wanted)) as { sessionId: string }
    try {
      await use(pageOf((method, path, body) => call(method, `/session/${sessionId}${path}`, body)))
    } finally {
      await call('DELETE', `/session/${sessionId}`)
    }
  } finally {
    driver?.kill()
    screen.kill()
  }
}

type Call = (method: string, path: string, body?: object) => Promise<unknown>

/** @see https://www.w3.org/TR/webdriver2/#endpoints */
const callsTo =
  (base: string): Call =>
  async (method, path, body) => {
    const answer = await fetch(base + path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
    const { value } = (await answer.json()) as { value: unknown }
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(value).slice(0, 300)}`)
    return value
  }

/** The driver says nothing when it listens, so it is asked until it answers. */
async function ready(call: Call): Promise<void> {
  for (;;) {
    const isThere = await call('GET', '/status').then(
      () => true,
      () => false,
    )
    if (isThere) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function pageOf(call: Call): GtkPage {
  return {
    goto: async (url) => void (await call('POST', '/url', { url })),
    async evaluate<T, A extends readonly unknown[]>(work: (...args: A) => T | Promise<T>, ...args: A): Promise<T> {
      const script = `const [done, ...args] = [...arguments].reverse()
        Promise.resolve().then(() => (${work})(...args.reverse()))
          .then((value) => done({ value }), (error) => done({ error: String(error && error.message || error) }))`
      const answer = (await call('POST', '/execute/async', { script, args })) as { value: T } | { error: string }
      if ('error' in answer) throw new Error(answer.error)
      return answer.value
    },
  }
}
