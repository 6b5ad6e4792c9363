// Finds the PostgreSQL and Redis (or Valkey) servers of this machine, for the tests that need real ones.
// It installs nothing; that is get-servers.mjs.
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Folders where packages put what is not in the PATH, newest version first. */
function postgresFolders() {
  const roots = ['/usr/lib/postgresql', '/usr/local/opt', '/opt/homebrew/opt']
  const versions = roots.flatMap((root) => {
    if (!existsSync(root)) return []
    const names = readdirSync(root).filter((name) => /^(postgresql@)?\d+$/.test(name))
    names.sort((a, b) => Number(b.replace(/\D/g, '')) - Number(a.replace(/\D/g, '')))
    return names.map((name) => join(root, name, 'bin'))
  })
  return [...versions, '/usr/pgsql/bin', '/usr/libexec/postgresql']
}

const pathFolders = () => (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')

/** @returns {string | undefined} the folder that holds `postgres` and `initdb` */
export function findPostgres() {
  const own = process.env.HOLDFAST_POSTGRES
  if (own) return own
  return [...postgresFolders(), ...pathFolders()].find((folder) =>
    ['postgres', 'initdb'].every((name) => existsSync(join(folder, name))),
  )
}

/** @returns {string | undefined} the server's program */
export function findRedis() {
  const own = process.env.HOLDFAST_REDIS
  if (own) return own
  return [...pathFolders(), '/usr/sbin', '/usr/local/bin']
    .flatMap((folder) => [join(folder, 'redis-server'), join(folder, 'valkey-server')])
    .find((file) => existsSync(file))
}
