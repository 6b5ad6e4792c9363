// Gets a Chromium onto a machine that has none: Playwright's download first, else the system's package manager.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { findBrowser } from './browsers.mjs'
import { ROOT } from './install.mjs'

const DOWNLOAD_TIMEOUT_MS = 240_000
const PACKAGE_TIMEOUT_MS = 480_000

/** Each package manager: how to see that it is there, and what to run. */
const MANAGERS = [
  [
    'apt-get',
    [
      ['apt-get', 'update', '-q'],
      ['apt-get', 'install', '-y', '-q', '--no-install-recommends', 'chromium'],
    ],
  ],
  ['dnf', [['dnf', 'install', '-y', 'chromium']]],
  ['apk', [['apk', 'add', '--no-cache', 'chromium']]],
  ['brew', [['brew', 'install', '--cask', 'chromium']]],
]

/** @returns {Promise<boolean>} whether there is a Chromium that starts */
export async function ensureBrowser() {
  if (await findBrowser('chromium')) return true
  console.error('No Chromium found. Trying the download of Playwright …')
  const cli = join(ROOT, 'node_modules/@playwright/test/cli.js')
  run([process.execPath, cli, 'install', 'chromium'], DOWNLOAD_TIMEOUT_MS)
  if (await findBrowser('chromium')) return true

  console.error("That gave no Chromium that starts. Trying the system's package manager …")
  for (const [name, commands] of MANAGERS) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).error) continue
    for (const command of commands) run(asRoot(command), PACKAGE_TIMEOUT_MS)
    if (await findBrowser('chromium')) return true
  }
  console.error(
    'No Chromium could be installed. Install Chromium or Chrome yourself (Debian: `apt-get install chromium`), ' +
      'or set HOLDFAST_CHROMIUM to the path of one, and run this again.',
  )
  return false
}

/** Homebrew refuses to run as root; the others need it. `-n` keeps sudo from waiting for a password. */
function asRoot(command) {
  return process.getuid?.() === 0 || command[0] === 'brew' ? command : ['sudo', '-n', ...command]
}

function run([file, ...args], timeout) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: '15000' }
  const { status, error } = spawnSync(file, args, { stdio: ['ignore', 2, 2], timeout, env })
  if (status !== 0) console.error(`\`${[file, ...args].join(' ')}\` failed${error ? `: ${error.message}` : '.'}`)
}
