// The command line of holdfast: `serve` runs the session service, the others are an operator's tools.
// It reads options and environment; everything else is done by service.ts, commands.ts and upkeep.ts.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { withKeys } from './backing.ts'
import { checkGenesys, linesOfProbes } from './check/genesys.ts'
import { CHECKS, checkService, linesOf } from './check/index.ts'
import { deadLetters } from './commands.ts'
import { StoreBusyError, StoreUnavailableError } from './drivers/driver.ts'
import { errorFields } from './log.ts'
import { createSessionService, mintAgentToken, type SessionService } from './service.ts'
import { type ServiceOptions, settingsFrom } from './settings.ts'
import { Tokens } from './tokens.ts'
import { backUp, copyStore, NothingThereError, renewKeys } from './upkeep.ts'

const DEFAULT_PORT = 8787
const DEFAULT_DATA = '.data'
const USAGE = `holdfast: the session service

  holdfast serve [--port ${DEFAULT_PORT}] [--host 127.0.0.1] [STORE] [--durability full|fast] [--backups FOLDER]
  holdfast agent-token [STORE] --deployment demo --name Kim [--agent ID]
  holdfast check [--deployment demo] [--json] [--quick] URL
  holdfast check genesys --deployment ID --domain mypurecloud.ie [--origin https://shop.example] [--json]
  holdfast dead-letters [STORE] [--deployment demo] [--retry] URL
  holdfast renew-keys [STORE]
  holdfast backup [--data ${DEFAULT_DATA}] FILE

STORE is [--config FILE] and one of
  --data ${DEFAULT_DATA}                          embedded, for one node; :memory: keeps nothing
  --database postgres://… [--fanout redis://…]  for several nodes; also HOLDFAST_DATABASE and HOLDFAST_FANOUT
A running service with --backups copies its store and keys into that folder at each SIGUSR2. The configuration is JSON: { "deployments": { "demo": { "origins": [] } }, "cookie": {} }.
`

class UsageError extends Error {}

const OPTIONS = {
  port: { type: 'string' },
  host: { type: 'string' },
  data: { type: 'string' },
  config: { type: 'string' },
  durability: { type: 'string' },
  database: { type: 'string' },
  fanout: { type: 'string' },
  deployment: { type: 'string' },
  name: { type: 'string' },
  agent: { type: 'string' },
  json: { type: 'boolean' },
  quick: { type: 'boolean' },
  domain: { type: 'string' },
  origin: { type: 'string' },
  retry: { type: 'boolean' },
  backups: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

type Values = { [K in keyof typeof OPTIONS]?: string | boolean | undefined }

const STORE = ['config', 'data', 'database', 'fanout'] as const
/** What each command reads. Another option is a mistake: it would be left out in silence. */
const OPTIONS_OF: Record<string, readonly (keyof typeof OPTIONS)[]> = {
  serve: [...STORE, 'port', 'host', 'durability', 'backups'],
  'agent-token': [...STORE, 'deployment', 'name', 'agent'],
  check: ['deployment', 'json', 'quick'],
  'check genesys': ['deployment', 'domain', 'origin', 'json'],
  'dead-letters': [...STORE, 'deployment', 'retry'],
  'renew-keys': STORE,
  backup: ['config', 'data'],
}

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parse(args)
  const command = positionals[0]
  if (values.help === true || command === undefined) {
    console.log(USAGE)
    return
  }
  const name = command === 'check' && positionals[1] === 'genesys' ? 'check genesys' : command
  const strange = Object.keys(values).find((option) => OPTIONS_OF[name]?.includes(option as keyof Values) === false)
  if (strange !== undefined) throw new UsageError(`${name} has no option --${strange}.`)
  if (command === 'check') return check(values, positionals)
  if (command === 'dead-letters') return listDeadLetters(values, positionals)
  if (command === 'backup') return backup(values, positionals)
  if (positionals.length > 1) throw new UsageError(`What is ${positionals[1]}?`)
  if (command === 'serve') return serve(values)
  if (command === 'agent-token') return agentToken(values)
  if (command === 'renew-keys') return renew(values)
  throw new UsageError(`There is no command ${command}.`)
}

function parse(args: string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function serve(values: Values): Promise<void> {
  const port = Number(values.port ?? DEFAULT_PORT)
  if (!/^\d{1,5}$/.test(String(values.port ?? port)) || port > 65_535)
    throw new UsageError('--port is a number from 0 to 65535.')
  const options = configured(values)
  const durability = values.durability ?? options.durability ?? 'full'
  if (durability !== 'full' && durability !== 'fast') throw new UsageError('--durability is full or fast.')
  const log: ServiceOptions['log'] = (entry) => console.log(JSON.stringify(entry))
  const service = await createSessionService({ ...options, durability, log })
  const stop = () => {
    service.close().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  if (values.backups !== undefined) backUpOnSignal(service, options.data, String(values.backups))
  await service.listen(port, values.host === undefined ? undefined : String(values.host))
}

function backUpOnSignal(service: SessionService, data: string | undefined, folder: string): void {
  if (data === undefined || data === ':memory:') throw new UsageError('--backups is for --data; see pg_dump otherwise.')
  process.on('SIGUSR2', () => {
    backUp(service, data, folder, Date.now()).then(
      (target) => console.log(JSON.stringify({ at: Date.now(), level: 'info', event: 'backed-up', target })),
      (error: unknown) =>
        console.log(JSON.stringify({ at: Date.now(), level: 'error', event: 'backup-failed', ...errorFields(error) })),
    )
  })
}

async function renew(values: Values): Promise<void> {
  const options = configured(values)
  console.log(await renewKeys(settingsFrom(options), options.keys, Date.now()))
}

async function backup(values: Values, [, file = '', ...more]: string[]): Promise<void> {
  const options = configured(values)
  if (file === '' || more.length > 0) throw new UsageError('backup needs the name of one new file.')
  if (options.database !== undefined) throw new UsageError('backup is for --data; use pg_dump for a PostgreSQL.')
  await copyStore(settingsFrom(options), file)
}

async function agentToken(values: Values): Promise<void> {
  const options = configured(values)
  const settings = settingsFrom(options)
  const deploymentId = String(values.deployment ?? 'demo')
  if (!settings.deployments.has(deploymentId)) throw new UsageError(`There is no deployment ${deploymentId}.`)
  const name = String(values.name ?? 'Agent')
  const agentId = String(values.agent ?? name.toLowerCase())
  const tokens = await withKeys(settings, options.keys, async (keys) => Tokens.from(await keys.read()))
  console.log(await mintAgentToken(tokens, settings, { deploymentId, agentId, name }, Date.now()))
}

/** Sees a service from outside: does it keep what a persistence layer relies on? */
async function check(values: Values, [, url = '', ...more]: string[]): Promise<void> {
  if (url === 'genesys' && more.length === 0) return probe(values)
  if (!URL.canParse(url) || more.length > 0) throw new UsageError('check needs the address of one service.')
  // The quick way leaves out what waits for a protocol ping, most of a minute with some proxies.
  const checks = values.quick === true ? CHECKS.filter(({ id }) => id !== 'ping-protocol') : CHECKS
  const report = await checkService({ url, deployment: String(values.deployment ?? 'demo') }, checks)
  console.log(values.json === true ? JSON.stringify(report, null, 2) : linesOf(report).join('\n'))
  if (report.failed > 0) process.exitCode = 1
}

/** Asks a real Genesys deployment what no document says for certain. */
async function probe({ deployment, domain, origin = 'http://localhost', json }: Values): Promise<void> {
  if (deployment === undefined || domain === undefined)
    throw new UsageError(
      'check genesys needs --deployment and --domain, and --origin where not every site may connect.',
    )
  const lab = { deploymentId: String(deployment), domain: String(domain), origin: String(origin) }
  const probes = await checkGenesys(lab)
  console.log(json === true ? JSON.stringify({ ...lab, probes }, null, 2) : linesOfProbes(probes).join('\n'))
  if (probes.some(({ holds }) => holds === false)) process.exitCode = 1
}

async function listDeadLetters(values: Values, [, url = '', ...more]: string[]): Promise<void> {
  if (!URL.canParse(url) || more.length > 0) throw new UsageError('dead-letters needs the address of one service.')
  const options = configured(values)
  const settings = settingsFrom(options)
  const tokens = await withKeys(settings, options.keys, async (keys) => Tokens.from(await keys.read()))
  const call = { url, tokens, deploymentId: String(values.deployment ?? 'demo'), retry: values.retry === true }
  await deadLetters(call, settings, (line) => console.log(line))
}

/** The configuration, with what the command line and the environment say above it. */
function configured(values: Values): ServiceOptions {
  const { data, database, fanout, ...options } = fromFile(values.config)
  if (values.data !== undefined && values.database !== undefined) {
    throw new UsageError('A service has --data or --database, not both.')
  }
  const text = (value: string | boolean | undefined) => (value === undefined ? undefined : String(value))
  const { HOLDFAST_DATABASE, HOLDFAST_FANOUT } = process.env
  const postgres = values.data === undefined ? (text(values.database) ?? HOLDFAST_DATABASE ?? database) : undefined
  const broker = text(values.fanout) ?? (postgres === undefined ? undefined : (HOLDFAST_FANOUT ?? fanout))
  const store = postgres === undefined ? { data: text(values.data) ?? data ?? DEFAULT_DATA } : { database: postgres }
  const all: ServiceOptions = { ...options, ...store, ...(broker !== undefined && { fanout: broker }) }
  try {
    settingsFrom(all)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  return all
}

function fromFile(file: string | boolean | undefined): ServiceOptions {
  if (typeof file !== 'string') return {}
  const read = (): unknown => {
    try {
      return JSON.parse(readFileSync(file, 'utf8'))
    } catch {
      return undefined
    }
  }
  const options = read()
  if (options === undefined) throw new UsageError(`${file} cannot be read as JSON.`)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new UsageError(`${file} holds no object.`)
  }
  return options
}

/** Does what the arguments say. Says itself what went wrong, and ends the process then. */
export async function main(args: string[]): Promise<void> {
  try {
    await run(args)
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${USAGE}`)
      process.exit(2)
    }
    if (error instanceof StoreBusyError) console.error(`${error.message} Only one service can use a data folder.`)
    else if (error instanceof StoreUnavailableError) console.error(`${error.message} Is the database up and reachable?`)
    else if (error instanceof NothingThereError) console.error(`${error.message} See --data and --config.`)
    else console.error(ofTheSystem(error) ?? error)
    process.exit(1)
  }
}

/** What the machine refuses is told in its own short words: a stack says nothing to an operator. */
function ofTheSystem(error: unknown): string | undefined {
  const { code, syscall, address, port, path } = Object(error) as Partial<NodeJS.ErrnoException> & {
    address?: string
    port?: number
  }
  if (syscall === 'listen') return `${address}:${port} cannot be listened on (${code}). See --port and --host.`
  return path !== undefined && code !== undefined ? `${path} cannot be used (${code}).` : undefined
}
