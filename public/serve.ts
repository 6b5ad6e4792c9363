// `npm start`: the demo's command line. Reads the options, starts the demo, prints the two addresses, stops gracefully.
// What is served and what can be broken is in serve-demo.ts and its neighbours.
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Demo, startDemo } from './serve-demo.ts'

const PORT_DEFAULT = 8787
/** How many ports above the wanted one are tried when it is busy. */
const PORTS_TRIED_MAX = 20
/** Two signals within this time are one. */
const SAME_ASK_MS = 500
const PLATFORMS = ['session-service', 'genesys'] as const
const USAGE = `Usage: npm start -- [--port ${PORT_DEFAULT}] [--data .data/demo] [--platform ${PLATFORMS.join('|')}]`

type Wanted = (typeof PLATFORMS)[number]
const TEXTS = { port: { type: 'string' }, data: { type: 'string' }, platform: { type: 'string' } } as const
const GENESYS_NOTE = 'Platform         an emulated Genesys Cloud deployment, in memory'

async function main(): Promise<void> {
  const { port, data, platform } = options()
  // This file is built to dist/demo-server/.
  const dist = dirname(dirname(fileURLToPath(import.meta.url)))
  const demo = await startOnFreePort(port, { dist, data: resolve(data), platform })
  console.log(`
  Leeward is open.

    Shop             ${demo.url}/
    Agent console    ${demo.url}/agent
    ${platform === 'genesys' ? GENESYS_NOTE : `Data             ${data}  (remove the folder to begin anew)`}

  Open the shop, open the console beside it, then make it suffer. Ctrl-C closes.
`)
  stopOnSignal(demo)
}

function options(): { port: number; data: string; platform: Wanted } {
  try {
    const { values } = parseArgs({ options: TEXTS })
    const port = Number(values.port ?? PORT_DEFAULT)
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new TypeError(`${values.port} is no port.`)
    const wanted = values.platform ?? PLATFORMS[0]
    const platform = PLATFORMS.find((one) => one === wanted)
    if (platform === undefined) throw new TypeError(`${wanted} is no platform of the demo: ${PLATFORMS.join(', ')}.`)
    return { port, data: values.data ?? '.data/demo', platform }
  } catch (error) {
    return fail(`${messageOf(error)}\n${USAGE}`)
  }
}

async function startOnFreePort(wanted: number, rest: { dist: string; data: string; platform: Wanted }): Promise<Demo> {
  for (let port = wanted; port < wanted + PORTS_TRIED_MAX; port++) {
    try {
      const demo = await startDemo({ ...rest, port })
      if (port !== wanted) console.log(`Port ${wanted} is busy, so this is port ${port}.`)
      return demo
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE' || wanted === 0) return fail(explain(error, rest.data))
    }
  }
  return fail(`Ports ${wanted} to ${wanted + PORTS_TRIED_MAX - 1} are busy: choose another with --port.`)
}

function stopOnSignal(demo: Demo): void {
  let askedAt: number | undefined
  const stop = (): void => {
    // Whoever asks twice does not want to wait. One Ctrl-C comes twice: from the terminal, and once more through npm.
    if (askedAt !== undefined && performance.now() - askedAt > SAME_ASK_MS) process.exit(1)
    if (askedAt !== undefined) return
    askedAt = performance.now()
    console.log('Closing: finishing what is under way …')
    demo.close().then(
      () => process.exit(0),
      (error: unknown) => fail(messageOf(error)),
    )
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
}

function explain(error: unknown, data: string): string {
  if (/is open in another process/.test(messageOf(error))) {
    return `${data} is used by another demo that is running. Stop that one, or give this one a folder with --data DIR.`
  }
  return messageOf(error)
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const codeOf = (error: unknown): unknown => (Object(error) as { code?: unknown }).code

await main()
