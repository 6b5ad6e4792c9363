// A real Redis or Valkey for tests, on loopback, that keeps nothing. A machine without one fails these tests.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findRedis } from '../../scripts/servers.mjs'
import { freePort, ServerProcess } from './process.ts'

export type RedisServer = {
  url: string
  kill(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

export async function startRedis(): Promise<RedisServer> {
  const file = findRedis()
  if (file === undefined) {
    throw new Error('No Redis was found. Run `node scripts/part.mjs unit`, or `apt-get install redis-server`.')
  }
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-redis-'))
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const server = new ServerProcess({ file, args, cwd: folder })
  const start = () => server.start()
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    kill: () => server.stop('SIGKILL'),
    close: async () => {
      await server.stop('SIGKILL')
      await rm(folder, { recursive: true, force: true })
    },
  }
}
