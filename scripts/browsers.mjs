// Finds browsers: Playwright's own download when it is there and starts, else one that the system has.
// Used by playwright.config.ts, the bench and the chaos run; test.mjs installs one when none is found.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const SYSTEM = {
  chromium: [
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome-stable',
    '/usr/bin/google-chrome',
    '/opt/homebrew/bin/chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  ],
  firefox: ['/usr/bin/firefox-esr', '/usr/bin/firefox'],
  webkit: [],
}

/** Long enough for a first start on a cold disk, short enough not to stall a run on a broken binary. */
const START_TIMEOUT_MS = 30_000

/**
 * Where a browser is: `own` for Playwright's download (leave `executablePath` alone), `system` for one with a path.
 *
 * The answer is kept in the environment, so that the workers of one run do not look again.
 *
 * @param {'chromium' | 'firefox' | 'webkit'} name
 * @returns {Promise<{ source: 'own' | 'system', path: string } | undefined>}
 */
export async function findBrowser(name) {
  const variable = `HOLDFAST_${name.toUpperCase()}`
  const said = process.env[variable]
  if (said?.startsWith('own:')) return { source: 'own', path: said.slice(4) }
  if (said) return { source: 'system', path: said }

  const found = await search(name)
  if (found !== undefined) process.env[variable] = found.source === 'own' ? `own:${found.path}` : found.path
  return found
}

async function search(name) {
  const playwright = await import('@playwright/test')
  const own = playwright[name].executablePath()
  if (own && existsSync(own) && starts(own)) return { source: 'own', path: own }
  const path = SYSTEM[name].find((candidate) => existsSync(candidate) && starts(candidate))
  return path === undefined ? undefined : { source: 'system', path }
}

/** A download without the system's libraries exists and does not run. Only a start tells. */
function starts(path) {
  // Chrome on Windows opens a window instead of printing its version.
  if (process.platform === 'win32') return true
  return spawnSync(path, ['--version'], { timeout: START_TIMEOUT_MS, stdio: 'ignore' }).status === 0
}
