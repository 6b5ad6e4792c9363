// Where secrets rest: sealed under a key that scripts can use but not read, or in the memory of this worker.
// What is a secret, and when it is thrown away, is the business of the lease. SECURITY.md says what this protects.

import type { Sealed, Vault } from '../core/ports.ts'
import { random } from './browser.ts'

/** Where the keys of a deployment are kept: its own has no name. */
export interface KeyStore {
  get<K extends Kept = CryptoKey>(name?: string): Promise<K | undefined>
  /** Answers the key that is kept afterwards: two incarnations that make one at once end with the same. */
  putIfAbsent<K extends Kept>(key: K, name?: string): Promise<K>
  clear(): Promise<void>
}

/** The key of a vault, or a pair that a lease proves itself with. */
export type Kept = CryptoKey | CryptoKeyPair

/** The tokens of a few generations: older ones are of no use to anybody. */
const KEPT_MAX = 16

type Box = { readonly iv: Uint8Array<ArrayBuffer>; readonly box: ArrayBuffer; readonly key?: CryptoKey }

/** Without WebCrypto, in a page that is not a secure context, every mode seals as `memory` does. */
export function createVault(mode: Vault['mode'], keys: KeyStore): Vault {
  const subtle = mode === 'memory' ? undefined : crypto.subtle
  /** Secrets by reference, and opened ones by their iv, which no two boxes share. */
  const kept = new Map<string, string>()
  /** What a memory bequeaths to itself: for as long as it lives the service can be told. */
  const wills = new Map<string, string>()
  const keep = (name: string, secret: string): void => {
    kept.set(name, secret)
    for (const oldest of kept.keys()) if (kept.size > KEPT_MAX) kept.delete(oldest)
  }
  return {
    mode,
    async seal(secret) {
      if (subtle === undefined) {
        const ref = random.key()
        keep(ref, secret)
        return { sealed: { ref } }
      }
      const key = (await keys.get()) ?? (await keys.putIfAbsent(await newKey(subtle)))
      const { iv, box } = await boxed(subtle, key, secret)
      keep(String(iv), secret)
      return { sealed: { iv, box } satisfies Box }
    },
    async open({ sealed }: Sealed) {
      const { ref, iv, box, key: own } = Object(sealed) as Partial<Box & { ref: string }>
      const secret = kept.get(ref ?? String(iv)) ?? wills.get(ref ?? '')
      if (secret !== undefined || subtle === undefined || iv === undefined || box === undefined) return secret
      const key = own ?? (await keys.get())
      if (key === undefined) return undefined
      const plain = await subtle.decrypt({ name: 'AES-GCM', iv }, key, box).catch(() => undefined)
      if (plain === undefined) return undefined
      const opened = new TextDecoder().decode(plain)
      if (own === undefined) keep(String(iv), opened)
      return opened
    },
    async forget() {
      kept.clear()
      await keys.clear()
    },
    async bequeath(secret) {
      if (subtle === undefined) {
        const ref = random.key()
        wills.set(ref, secret)
        return { sealed: { ref } }
      }
      const key = await newKey(subtle)
      return { sealed: { ...(await boxed(subtle, key, secret)), key } satisfies Box }
    },
  }
}

const newKey = (subtle: SubtleCrypto): Promise<CryptoKey> =>
  subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])

async function boxed(subtle: SubtleCrypto, key: CryptoKey, secret: string): Promise<Box> {
  const iv = crypto.getRandomValues(new Uint8Array(12))
  return { iv, box: await subtle.encrypt({ name: 'AES-GCM', iv }, key, new TextEncoder().encode(secret)) }
}
