// What few pages need, in a file of its own that is loaded when they do: the lock of a tab on a shared device, the sealing of
// a draft, why no service worker can be had, and the engine in its place. Leaves to others: when that is (client.ts, draft.ts,
// registration.ts, connect.ts).

import type { Command } from '../core/wire.ts'
import { tabLockOf } from '../core/wire.ts'
import type { LocalModule } from './api.ts'
import type { Host } from './link.ts'
import type { Registering } from './registration.ts'

/**
 * Takes the lock of a tab, each time it is called, for as long as this page is there. A page in the back/forward cache is
 * not: a visitor who has left must not be kept there.
 */
export function locker(tab: string, deployment: string): () => Promise<void> {
  let taking: Promise<void> | undefined
  let release = () => {}
  addEventListener('pagehide', () => {
    release()
    taking = undefined
  })
  return () => {
    taking ??= new Promise((held) => {
      const locks = navigator.locks as LockManager | undefined
      if (locks === undefined) return held()
      locks
        .request(tabLockOf(tab, deployment), () => {
          held()
          return new Promise<void>((resolve) => {
            release = resolve
          })
        })
        .catch(() => held())
    })
    return taking
  }
}

/** Holds the lock of this tab, and says so. */
export async function hold(
  tab: string,
  deployment: string,
  ask: (command: Command) => Promise<unknown>,
): Promise<void> {
  const take = locker(tab, deployment)
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted) void take().then(() => ask({ type: 'hold' }).catch(() => {}))
  })
  await take()
  await ask({ type: 'hold' })
}

const AES = 'AES-GCM'
const NONCE_BYTES = 12

async function keyOf(secret: string): Promise<CryptoKey> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret))
  return crypto.subtle.importKey('raw', hash, AES, false, ['encrypt', 'decrypt'])
}

/** A nonce, and what it seals: nothing without a secret. A new one each time, so that two boxes tell nothing of each other. */
export async function seal(secret: string, value: unknown): Promise<readonly number[]> {
  if (secret === '') return []
  const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  const bytes = new TextEncoder().encode(JSON.stringify(value))
  return [...iv, ...new Uint8Array(await crypto.subtle.encrypt({ name: AES, iv }, await keyOf(secret), bytes))]
}

/** @throws {DOMException} it was sealed with another secret, or is no box */
export async function unseal(secret: string, box: readonly number[]): Promise<unknown> {
  const bytes = Uint8Array.from(box)
  const way = { name: AES, iv: bytes.slice(0, NONCE_BYTES) }
  const opened = await crypto.subtle.decrypt(way, await keyOf(secret), bytes.slice(NONCE_BYTES))
  return JSON.parse(new TextDecoder().decode(opened))
}

/** So long a script is waited for whose server is suspected to answer nothing. */
const LOOK_MS = 5_000

/** The browser's own errors do not tell these apart, so we look at the script ourselves. */
export async function explain(
  { script: { href }, type }: Registering,
  page: Pick<Navigator, 'serviceWorker'>,
  error: unknown,
): Promise<string> {
  if (!globalThis.isSecureContext) return 'the page needs HTTPS, or localhost.'
  if (globalThis.origin === 'null') return 'a sandboxed frame has none without allow-same-origin.'
  if (!page.serviceWorker) return 'this browser offers none here, as in some private windows.'
  const answer = await fetch(href, { cache: 'no-store', signal: AbortSignal.timeout(LOOK_MS) }).catch(() => undefined)
  if (!answer) return `${href} cannot be loaded: check address and connection.`
  if (!answer.ok) return `${href} answered ${answer.status}: put the worker script there.`
  const mime = answer.headers.get('content-type') ?? 'no type'
  if (!/javascript|ecmascript/.test(mime)) return `${href} came as ${mime}: serve it as text/javascript.`
  // Nothing, where we gave it up ourselves.
  const { name, message = 'it came too late, try again.' } = Object(error) as Partial<Error>
  if (name === 'SecurityError') {
    return `${href} is forbidden: see worker-src in the Content-Security-Policy, and keep the scope in its folder.`
  }
  return `${href} failed as a ${type} script: ${message}`
}

/**
 * The engine in this page: of the site's own module, or ours, where the worker's address names a configuration.
 *
 * Fails where there is none.
 */
export async function pageHost(deployment: string, script: URL, local?: () => Promise<LocalModule>): Promise<Host> {
  const own = async (): Promise<LocalModule> => {
    const { host } = await import('./local-host.ts')
    return { host: () => host(script) }
  }
  if (!local && !script.searchParams.has('config')) throw new Error('There is no engine for this page.')
  const worker = await (await (local ?? own)()).host(deployment)
  return {
    kind: 'page',
    run: async (caller, command) => (await worker.run(caller, command)).value as never,
    ping: (caller) => worker.ping?.(caller),
  }
}
