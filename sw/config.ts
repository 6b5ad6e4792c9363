// The configuration as JSON, for sites without a build step: fetched once, kept on disk, fetched again in the background.
// A cold start of the worker needs no network.

import { HoldfastError } from '../core/errors.ts'
import type { GuardConfig } from '../core/guard.ts'
import type { Timings, Vault } from '../core/ports.ts'
import { keep, keptAt } from './config-kept.ts'
import type { DeploymentConfig, PlatformFactory, WorkerConfig } from './host.ts'

/** What `?config=` points to. `platform.type` names an adapter that the prebuilt worker holds; the rest is its options. */
export interface JsonConfig {
  readonly deployments: {
    readonly [name: string]: {
      readonly platform: JsonPlatform & { readonly type: string }
      readonly vault?: Vault['mode']
      readonly timings?: Partial<Timings>
      readonly guard?: GuardConfig | false
      readonly sharedDevice?: DeploymentConfig['sharedDevice']
      readonly lifetimes?: DeploymentConfig['lifetimes']
      /** What is stored of the conversation is sealed. Default: `false`. */
      readonly encryption?: boolean
    }
  }
}

/** Options of an adapter as JSON. Where the platform is, it says by `url` or by `domain`; each adapter takes its own. */
export interface JsonPlatform {
  readonly url: string
  readonly domain: string
  readonly deployment?: string
  readonly deploymentId?: string
  readonly isBeside?: boolean
  readonly auth?: 'optional' | 'required'
  readonly endpoints?: { readonly messaging: string; readonly api: string; readonly cdn: string }
}

export type PlatformMaker = (options: JsonPlatform) => PlatformFactory

/** A site that accepts the connection and never answers must not hold up every later call. */
const FETCH_TIMEOUT_MS = 10_000
/** So long after a start with a kept configuration it is fetched again. */
const REFETCH_AFTER_MS = 2_000
const VAULTS: readonly unknown[] = ['broker', 'persistent', 'memory']
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** A misspelt name must not leave a shared device unprotected. */
const isSharing = (value: unknown): boolean =>
  typeof value === 'boolean' ||
  (isObject(value) && Object.entries(value).every(([name, ms]) => /^(grace|idle)Ms$/.test(name) && isTime(ms)))

const isTime = (ms: unknown): boolean => Number.isFinite(ms) && Number(ms) > 0

/** A misspelt name must not keep longer what was to be kept for a day. */
const isLifetimes = (value: unknown): boolean =>
  isObject(value) &&
  Object.entries(value).every(([name, one]) =>
    name === 'attributes' ? isObject(one) && Object.values(one).every(isTime) : name === 'transcriptMs' && isTime(one),
  )

/** What a deployment may say beside its platform: what is right, and what is said of what is not. */
const FIELDS: readonly [
  name: 'vault' | 'guard' | 'sharedDevice' | 'lifetimes',
  isRight: (value: unknown) => boolean,
  what: string,
][] = [
  ['vault', (value) => VAULTS.includes(value), `a "vault" that is none of: ${VAULTS.join(', ')}`],
  ['guard', (value) => value === false || isObject(value), 'a "guard" that is neither an object nor false'],
  ['sharedDevice', isSharing, 'a "sharedDevice" that is neither true nor false nor intervals above 0'],
  ['lifetimes', isLifetimes, '"lifetimes" that are no "attributes" or "transcriptMs" above 0'],
]

const invalid = (reason: string): HoldfastError =>
  new HoldfastError('CONFIG_INVALID', `The configuration cannot be used: ${reason}`)

/** @param encryption where a deployment may ask for it */
export function parseConfig(
  json: unknown,
  makers: { readonly [type: string]: PlatformMaker },
  encryption?: DeploymentConfig['encryption'],
): WorkerConfig {
  if (!isObject(json) || !isObject(json.deployments)) throw invalid('it has no "deployments".')
  const deployments: { [name: string]: DeploymentConfig } = {}
  for (const [name, entry] of Object.entries(json.deployments as JsonConfig['deployments'])) {
    const platform = isObject(entry) && isObject(entry.platform) ? entry.platform : undefined
    const maker = platform !== undefined && Object.hasOwn(makers, platform.type) ? makers[platform.type] : undefined
    if (platform === undefined || maker === undefined || typeof (platform.url ?? platform.domain) !== 'string') {
      throw invalid(
        `deployment "${name}" needs a "platform" with "url" (or "domain") and a "type" of: ${Object.keys(makers).join(', ')}.`,
      )
    }
    const { timings, encryption: isEncrypted = false } = entry
    const said = FIELDS.filter(([field]) => entry[field] !== undefined)
    for (const [field, isRight, what] of said)
      if (!isRight(entry[field])) throw invalid(`deployment "${name}" has ${what}.`)
    if (typeof isEncrypted !== 'boolean' || (isEncrypted && !encryption))
      throw invalid(
        `deployment "${name}" may have "encryption": true only where holdfast-encryption.js is imported first.`,
      )
    deployments[name] = {
      platform: maker(platform),
      ...Object.fromEntries(said.map(([field]) => [field, entry[field]])),
      ...(isObject(timings) ? { timings } : {}),
      ...(isEncrypted && encryption ? { encryption } : {}),
    }
  }
  return { deployments }
}

/**
 * Loads it, from the disk when it is there.
 *
 * @param kept the look at the disk, where somebody has begun it already
 * @throws {HoldfastError} `SERVICE_UNREACHABLE` at the first start without a network, `CONFIG_INVALID`: missing or wrong
 */
export async function loadConfig(
  url: string,
  makers: { readonly [type: string]: PlatformMaker },
  kept: Promise<Response | undefined> | undefined = keptAt(url),
  encryption?: DeploymentConfig['encryption'],
): Promise<WorkerConfig> {
  const config = await (await kept)
    ?.json()
    .then((json: unknown) => parseConfig(json, makers, encryption))
    // Kept by another version, or changed by somebody: what the site says now is all there is.
    .catch(() => undefined)
  if (config === undefined) return fetchConfig(url, makers, encryption)
  // The visitor who has just come waits for other things.
  setTimeout(() => fetchConfig(url, makers, encryption).catch(() => {}), REFETCH_AFTER_MS)
  return config
}

async function fetchConfig(
  url: string,
  makers: { readonly [type: string]: PlatformMaker },
  encryption: DeploymentConfig['encryption'],
): Promise<WorkerConfig> {
  const answer = await fetch(url, { cache: 'no-cache', signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) }).catch(
    () => undefined,
  )
  if (answer === undefined || !answer.ok) {
    const what = answer === undefined ? 'could not be reached' : `answered ${answer.status}`
    throw new HoldfastError(
      // A file that is not there is a mistake of the site; one that cannot be had just now is none.
      /^4(?!08|29)/.test(`${answer?.status}`) ? 'CONFIG_INVALID' : 'SERVICE_UNREACHABLE',
      `The configuration at ${url} ${what}: check the "config" parameter of the worker's address.`,
    )
  }
  const copy = answer.clone()
  const json: unknown = await answer.json().catch(() => {
    throw invalid(`${url} is not JSON.`)
  })
  const config = parseConfig(json, makers, encryption)
  // Only what could be used is kept.
  await keep(url, copy)
  return config
}
