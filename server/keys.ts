// The service's own keys: one ring of signing keys and of secrets behind the refresh tokens, and how both are
// renewed. Kept beside the embedded store in a file of their own, so that tools need no open store; nodes that
// share a database keep them in it.
import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import type { EpochMs } from './session.ts'
import type { SharedStore } from './store-shared.ts'

export const SIGNING_ALGORITHM = 'ES256'
export const KEYS_FILE = 'keys.json'

/** A renewed key is known to every node and reader this long before it is used, in milliseconds. */
export const KEY_LEAD_MS = 15 * 60_000

/** Everything secret that the service keeps. Nothing in it may be logged. */
export type KeyRing = {
  /** Private keys, newest first: the first whose time has come signs, all verify. */
  signing: { kid: string; privateJwk: JWK; from?: EpochMs }[]
  /** base64url; the first MAC key of the refresh tokens. */
  refreshSecret: string
  /** Later MAC keys, newest first: the first whose time has come makes tokens, all are taken. */
  refreshSecrets?: { secret: string; from: EpochMs }[]
}

/** Where a ring is kept: read again from time to time, replaced only as it was read. */
export interface KeySource {
  read(): Promise<KeyRing>
  replace(former: KeyRing, next: KeyRing): Promise<boolean>
}

export async function makeKeyRing(): Promise<KeyRing> {
  const { privateKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true })
  const privateJwk = await exportJWK(privateKey)
  return {
    signing: [{ kid: await calculateJwkThumbprint(privateJwk), privateJwk }],
    refreshSecret: randomBytes(32).toString('base64url'),
  }
}

/**
 * A ring with new keys that begin after the lead. Keys that nothing can need any more are left out: a signing key
 * lives on for as long as its tokens, a secret for as long as a cookie leads anywhere.
 */
export async function renewed(
  ring: KeyRing,
  now: EpochMs,
  lives: { accessMs: number; refreshMs: number },
): Promise<KeyRing> {
  const fresh = await makeKeyRing()
  const from = now + KEY_LEAD_MS
  const signing = fresh.signing.map((key) => ({ ...key, from }))
  const secrets = [...(ring.refreshSecrets ?? []), { secret: ring.refreshSecret, from: 0 }]
  const kept = stillNeeded(secrets, now - lives.refreshMs)
  const first = kept.pop()
  return {
    signing: [...signing, ...stillNeeded(ring.signing, now - lives.accessMs)],
    refreshSecret: first?.secret ?? ring.refreshSecret,
    refreshSecrets: [{ secret: fresh.refreshSecret, from }, ...kept],
  }
}

/** Newest first: all up to and with the one that was in use at the instant. */
function stillNeeded<T extends { from?: EpochMs }>(keys: readonly T[], at: EpochMs): T[] {
  const oldest = keys.findIndex(({ from = 0 }) => from <= at)
  return keys.slice(0, oldest === -1 ? keys.length : oldest + 1)
}

/** The ring of a data folder. */
export function folderKeys(folder: string): KeySource {
  return {
    read: () => loadKeyRing(folder),
    replace: async (_former, next) => {
      const draft = await drafted(folder, next)
      await rename(draft, join(folder, KEYS_FILE))
      return true
    },
  }
}

/** The ring of nodes that share a database: the first start makes it, and the others find it. */
export function sharedKeys(store: SharedStore, now: () => EpochMs): KeySource {
  return {
    read: async () => {
      const present = await store.ring()
      if (present !== undefined) return JSON.parse(present) as KeyRing
      await store.putRing(undefined, JSON.stringify(await makeKeyRing()), now())
      const ring = await store.ring()
      if (ring === undefined) throw new Error('The key ring vanished while it was being made.')
      return JSON.parse(ring) as KeyRing
    },
    replace: (former, next) => store.putRing(JSON.stringify(former), JSON.stringify(next), now()),
  }
}

/** A ring that was given, and stays. */
export function givenKeys(ring: KeyRing): KeySource {
  return { read: async () => ring, replace: async () => false }
}

/** Reads the ring of a data folder, and makes it on the first start. Two first starts agree on one ring. */
export async function loadKeyRing(folder: string): Promise<KeyRing> {
  const path = join(folder, KEYS_FILE)
  const present = await readRing(path)
  if (present !== undefined) return present

  await mkdir(folder, { recursive: true })
  const draft = await drafted(folder, await makeKeyRing())
  try {
    // A link appears whole or not at all, and fails where another start was faster.
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(draft)
  }
  const ring = await readRing(path)
  if (ring === undefined) throw new Error(`${path} vanished while it was being made.`)
  return ring
}

/** A ring in a file of another name, on the disk and readable by the owner only. */
async function drafted(folder: string, ring: KeyRing): Promise<string> {
  const draft = join(folder, `.keys-${randomUUID()}`)
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(JSON.stringify(ring))
    await file.sync()
  } finally {
    await file.close()
  }
  return draft
}

async function readRing(path: string): Promise<KeyRing | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as KeyRing
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    // The parser's own message would quote the file.
    if (error instanceof SyntaxError) throw new Error(`${path} is not valid JSON.`)
    throw error
  }
}
