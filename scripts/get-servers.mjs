// Gets a PostgreSQL and a Redis onto a machine that has none, by the system's package manager. The tests start
// them on loopback with data folders of their own; nothing else of the machine is touched.
import { spawnSync } from 'node:child_process'
import { findPostgres, findRedis } from './servers.mjs'

const TIMEOUT_MS = 300_000
/** Each package manager: what to run first, how to install, and its names of the two packages. */
const MANAGERS = [
  ['apt-get', [['update', '-q']], ['install', '-y', '-q', '--no-install-recommends'], ['postgresql', 'redis-server']],
  ['dnf', [], ['install', '-y'], ['postgresql-server', 'valkey']],
  ['apk', [], ['add', '--no-cache'], ['postgresql', 'redis']],
  ['brew', [], ['install'], ['postgresql@17', 'redis']],
]

/** @returns {Promise<boolean>} whether both are there */
export async function ensureServers() {
  if (missing().length === 0) return true
  console.error(`Not found: ${missing().join(', ')}. Trying the system's package manager …`)
  for (const [name, before, install, [postgres, redis]] of MANAGERS) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).error) continue
    const wanted = [...(findPostgres() ? [] : [postgres]), ...(findRedis() ? [] : [redis])]
    for (const command of [...before, [...install, ...wanted]]) run(asRoot([name, ...command]))
    if (missing().length === 0) return true
  }
  console.error(
    `Not found and not installed: ${missing().join(', ')}. The tests that need them will fail. Install them yourself ` +
      '(Debian: `apt-get install postgresql redis-server`), or name them: HOLDFAST_POSTGRES=/folder/of/postgres/bin ' +
      'HOLDFAST_REDIS=/path/of/redis-server',
  )
  return false
}

function missing() {
  return [...(findPostgres() ? [] : ['PostgreSQL']), ...(findRedis() ? [] : ['Redis'])]
}

/** Homebrew refuses to run as root; the others need it. `-n` keeps sudo from waiting for a password. */
function asRoot(command) {
  return process.getuid?.() === 0 || command[0] === 'brew' ? command : ['sudo', '-n', ...command]
}

function run([file, ...args]) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const { status, error } = spawnSync(file, args, { stdio: ['ignore', 2, 2], timeout: TIMEOUT_MS, env })
  if (status !== 0) console.error(`\`${[file, ...args].join(' ')}\` failed${error ? `: ${error.message}` : '.'}`)
}
