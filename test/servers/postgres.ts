// A real PostgreSQL for tests: made from the machine's own packages, in a data folder of its own, on loopback.
// A machine without one fails these tests; it does not skip them.
import { readFileSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { findPostgres } from '../../scripts/servers.mjs'
import { freePort, run, ServerProcess } from './process.ts'

export type PostgresServer = {
  /** A new, empty database. */
  database(): Promise<string>
  /** Ends at once, as in a crash; what was committed is recovered by the next start. */
  crash(): Promise<void>
  start(): Promise<void>
  /** Stops it and removes its data. */
  close(): Promise<void>
}

/** @param isDurable whether commits wait for the disk; tests that kill processes only do not need it */
export async function startPostgres({ isDurable = false } = {}): Promise<PostgresServer> {
  const bin = findPostgres()
  if (bin === undefined) {
    throw new Error('No PostgreSQL was found. Run `node scripts/part.mjs unit`, or `apt-get install postgresql`.')
  }
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-postgres-'))
  const user = await ownerOf(folder)
  const data = join(folder, 'data')
  const initial = ['-D', data, '-U', 'holdfast', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
  await run({ file: join(bin, 'initdb'), args: initial, cwd: folder, ...user })
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: String(port),
    max_connections: '100',
    fsync: isDurable ? 'on' : 'off',
  }
  const args = ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  const server = new ServerProcess({ file: join(bin, 'postgres'), args, cwd: folder, ...user })
  const urlOf = (database: string) => `postgres://holdfast@127.0.0.1:${port}/${database}`
  const start = () => server.start()
  await start()
  let databases = 0
  return {
    start,
    crash: () => server.stop('SIGQUIT'),
    database: async () => {
      const name = `test_${++databases}`
      await statement(urlOf('postgres'), `create database ${name}`)
      return urlOf(name)
    },
    close: async () => {
      await server.stop('SIGQUIT')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function statement(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

/** PostgreSQL refuses to run as root: then the folder and the process belong to another user of the machine. */
async function ownerOf(folder: string): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {}
  const users = readFileSync('/etc/passwd', 'utf8').split('\n')
  const line = users.find((one) => one.startsWith('postgres:')) ?? users.find((one) => one.startsWith('nobody:'))
  if (line === undefined) throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody.')
  const [, , uid, gid] = line.split(':').map(Number)
  await chown(folder, uid as number, gid as number)
  await chmod(folder, 0o700)
  return { uid: uid as number, gid: gid as number }
}
