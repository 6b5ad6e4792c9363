// Real browsers. Chromium is the one every machine gets; Firefox and WebKit are projects where they are found.
// The tests start their own servers on free ports, so each test has an origin, and with it a storage, of its own.
import { defineConfig, type PlaywrightTestConfig } from '@playwright/test'
import { hasWebKitGtk } from './e2e/webkit-gtk.ts'
import { findBrowser } from './scripts/browsers.mjs'

type Project = NonNullable<PlaywrightTestConfig['projects']>[number]

/** Nothing in these files needs what only Chromium can be told. */
const EVERY_ENGINE =
  /(api|attachments|bad-disk|bad-input|hub|insecure|main|odd-text|page|restored|tabs|versions|wipe|guard|lifetimes|resumption)\.spec\.ts$/

/** Not driven by Playwright, which only runs the tests: a project where it is found. */
const OWN_DRIVER = /webkit-gtk\.spec\.ts$/

const CHROMIUM_ARGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A missing Chromium is left to Playwright, whose message says how to get one. */
async function chromium(): Promise<Project> {
  const found = await findBrowser('chromium')
  return {
    name: 'chromium',
    testIgnore: OWN_DRIVER,
    use: {
      browserName: 'chromium',
      launchOptions: { args: CHROMIUM_ARGS, ...(found?.source === 'system' && { executablePath: found.path }) },
    },
  }
}

/** A Firefox of the system is driven over WebDriver BiDi; the argument lets a test end a worker from the parent process. */
async function firefox(): Promise<Project | undefined> {
  const found = await findBrowser('firefox')
  if (found === undefined) return undefined
  const system = {
    channel: 'moz-firefox',
    launchOptions: { executablePath: found.path, args: ['-remote-allow-system-access'] },
  }
  return {
    name: 'firefox',
    testMatch: EVERY_ENGINE,
    use: { browserName: 'firefox', ...(found.source === 'system' && system) },
  }
}

async function webkit(): Promise<Project | undefined> {
  if ((await findBrowser('webkit')) === undefined) return undefined
  return { name: 'webkit', testMatch: EVERY_ENGINE, use: { browserName: 'webkit' } }
}

const gtk = hasWebKitGtk ? [{ name: 'webkit-gtk', testMatch: OWN_DRIVER }] : []
const optional = process.env['HOLDFAST_ENGINES'] === 'all' ? [await firefox(), await webkit()] : []

export default defineConfig({
  testDir: 'e2e',
  testMatch: '**/*.spec.ts',
  outputDir: '.build/test-results',
  workers: 2,
  retries: 0,
  forbidOnly: true,
  timeout: 60_000,
  reporter: 'list',
  projects: [await chromium(), ...gtk, ...optional.filter((project) => project !== undefined)],
})
