// Makes sure that node_modules is what package-lock.json says, and that Node is new enough.
// Needs Node and npm only: every command of the repository starts here, also in a fresh clone.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/** Lowest Node that runs the tools: Vite 8 asks for it. */
const NODE_MIN = [20, 19]

/** Installs when something is missing or another version than the lock file says. Exits when it cannot. */
export function ensureInstalled() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    fail(`Node ${NODE_MIN.join('.')} or later is needed; this is ${process.versions.node}.`)
  }
  if (isInstalled()) return
  console.error('Installing the packages of package-lock.json …')
  // A mirror that lacks a package of some other system makes `npm ci` refuse; `npm install` then does without it.
  if (!npm('ci') && !npm('install', '--no-save')) fail('npm could not install: is the package registry reachable?')
}

function npm(...command) {
  const args = [...command, '--include=dev', '--include=optional', '--no-audit', '--no-fund']
  const isWindows = process.platform === 'win32'
  const { status } = spawnSync(isWindows ? 'npm.cmd' : 'npm', args, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    shell: isWindows,
  })
  return status === 0
}

/** Compares the lock file with npm's own record of what lies in node_modules. */
function isInstalled() {
  const wanted = packages('package-lock.json')
  const present = packages('node_modules/.package-lock.json')
  if (wanted === undefined) fail('package-lock.json is missing or unreadable.')
  if (present === undefined) return false
  // Optional packages of other systems are in the lock file and rightly absent here.
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    return path === '' || (present[path] === undefined ? optional === true : present[path].version === version)
  })
}

function packages(file) {
  try {
    return JSON.parse(readFileSync(join(ROOT, file), 'utf8')).packages
  } catch {
    return undefined
  }
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
