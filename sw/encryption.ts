// Encryption at rest, for who asks for it: what was said, the attributes and the files are sealed on their way to the disk
// and opened on their way back, inside the transaction of the turn. A worker that does not ask for it does not carry this.
// Numbers, keys, states and times stay readable: by them records are found. SECURITY.md says what it protects from.

import type { Slots } from '../core/state.ts'
import {
  type Box,
  type Boxed,
  decrypt,
  encrypt,
  hasBox,
  isSecret,
  joinSlots,
  Memory,
  type Shape,
  splitRecord,
  splitSlots,
} from './encryption-box.ts'
import type { StoreName, Transaction } from './store-schema.ts'

/** Puts something between a transaction of the store and who uses it. */
export type Around = <T extends object>(transaction: T) => T

const KEY = 'rest'
/** Their records are written once, and lie there as they were. */
const KEPT = ['outbox', 'transcript', 'files'] as const
const isKept = (store: StoreName): boolean => (KEPT as readonly StoreName[]).includes(store)

/**
 * Encrypts transcript, outbox, attributes and files at rest, with AES-GCM under a key that scripts can use and not read.
 * Where there is no WebCrypto nothing is written to the disk at all.
 *
 * @example
 * ```ts
 * import { startWorker } from 'holdfast/sw'
 * import { encryption } from 'holdfast/encryption'
 * startWorker({ deployments: { acme: { platform, encryption } } })
 * ```
 */
export function encryption(): Around {
  const memory = new Memory()
  return <T extends object>(tx: T) => {
    // Told as a disk that may not be had: the session goes on in memory.
    if (!globalThis.crypto?.subtle) throw new DOMException('There is no WebCrypto here.', 'SecurityError')
    return new Sealing(tx as unknown as Transaction<'readwrite'>, memory).around as unknown as T
  }
}

interface Write {
  readonly store: StoreName
  readonly value: unknown
  perform(sealed: unknown): Promise<unknown>
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** One transaction. Writes keep their order, and reads see those before them. */
class Sealing {
  readonly around: Transaction<'readwrite'>
  readonly #tx: Transaction<'readwrite'>
  readonly #memory: Memory
  /** Read in every transaction: another worker, or a wipe, may have changed it. */
  #key: Promise<CryptoKey | undefined>
  /** The attributes change seldom, their record with every turn: what is the same stays in its box. */
  #slots: { readonly text: string; readonly box: Box } | undefined
  #queue: Write[] = []
  #written: Promise<unknown> = Promise.resolve()

  constructor(tx: Transaction<'readwrite'>, memory: Memory) {
    this.#tx = tx
    this.#memory = memory
    this.#key = tx
      .objectStore('vault')
      .get(KEY)
      .then((key) => (key instanceof CryptoKey ? key : undefined))
    this.#key.catch(() => {})
    // It ends when everything is sealed, and not when everything is asked for.
    this.around = over(tx, { objectStore: (name: StoreName) => this.#storeOf(name), commit() {} })
  }

  #storeOf(name: StoreName): unknown {
    const store = this.#tx.objectStore(name)
    const written = (method: 'put' | 'add' | 'delete' | 'clear') => (value?: unknown, key?: IDBValidKey) =>
      new Promise((resolve, reject) => {
        const isStored = method === 'put' || method === 'add'
        const run = store[method] as (...args: unknown[]) => Promise<unknown>
        const perform = (sealed: unknown) => run.apply(store, key === undefined ? [sealed] : [sealed, key])
        this.#write({
          store: name,
          value: isStored ? value : undefined,
          perform: isStored ? perform : () => run.call(store, value),
          resolve,
          reject,
        })
        if (name === 'vault' && method === 'clear') this.#forget()
      })
    const read = (from: object) => ({
      get: async (...args: unknown[]) => {
        await this.#written
        return (await this.#open(name, [await call(from, 'get', args)]))[0]
      },
      getAll: async (...args: unknown[]) => {
        await this.#written
        return this.#open(name, (await call(from, 'getAll', args)) as unknown[])
      },
    })
    return over(store, {
      ...read(store),
      index: (of: never) => over(store.index(of), read(store.index(of))),
      ...{ put: written('put'), add: written('add'), delete: written('delete'), clear: written('clear') },
    })
  }

  #forget(): void {
    this.#memory.forget()
    this.#slots = undefined
    this.#key = Promise.resolve(undefined)
  }

  /**
   * A transaction ends by itself when nothing is asked of it, and only in the answer to a request may more be asked. So
   * it is asked for something small until the work is done: that lasts about as long as one more request.
   */
  async #hold<T>(work: Promise<T>): Promise<T> {
    let isOver = false
    const end = () => {
      isOver = true
    }
    work.then(end, end)
    while (!isOver) await this.#tx.objectStore('vault').count(KEY)
    return work
  }

  async #open(store: StoreName, records: unknown[]): Promise<unknown[]> {
    if (isKept(store) && records.some((record) => isSecret(store, record))) this.#memory.hasPlain = true
    if (!records.some(hasBox)) return records
    const key = await this.#key
    if (key === undefined) this.#memory.forget()
    const opened = records.map((record) => (hasBox(record) ? this.#openOne(store, key, record) : record))
    return opened.some((one) => one instanceof Promise) ? this.#hold(Promise.all(opened)) : opened
  }

  /** What cannot be opened stays as it is: no record of ours, or slots without attributes. */
  #openOne(store: StoreName, key: CryptoKey | undefined, record: Boxed): unknown {
    const { box, ...open } = record
    const closed = store === 'slots' ? open : record
    if (key === undefined) return closed
    const join = (text: string): unknown => {
      if (store !== 'slots') return { ...open, ...JSON.parse(text) }
      this.#slots = { text, box }
      return joinSlots(open as unknown as Slots, JSON.parse(text))
    }
    const opened =
      store === 'files'
        ? decrypt(key, box).then((data) => new Blob([data], { type: String(open['type']) }))
        : (this.#memory.known(box) ?? this.#memory.open(key, box).then(join))
    return typeof opened === 'string' ? join(opened) : opened.catch(() => closed)
  }

  #write(write: Write): void {
    // Whatever is asked for in one breath is sealed at once, and then written in its order.
    if (this.#queue.push(write) === 1) this.#written = this.#written.then(() => this.#flush())
  }

  async #flush(): Promise<void> {
    const writes = this.#queue.splice(0)
    try {
      const toSeal = writes.some(({ store, value }) => isSecret(store, value) && !this.#isSealed(store, value))
      const key = toSeal || this.#memory.hasPlain ? ((await this.#key) ?? (await this.#newKey())) : undefined
      if (key && this.#memory.hasPlain) await this.#sealKept(key, writes)
      const sealing = writes.map(({ store, value }) => this.#seal(key, store, value))
      const sealed = key ? await this.#hold(Promise.all(sealing)) : sealing
      for (const [at, { perform, resolve, reject }] of writes.entries()) perform(sealed[at]).then(resolve, reject)
    } catch (error) {
      for (const { reject } of writes) reject(error)
      this.#tx.abort()
    }
  }

  /** Slots whose secrets are those that were read. */
  #isSealed(store: StoreName, value: unknown): boolean {
    return store === 'slots' && this.#slots?.text === JSON.stringify(splitSlots(value as Slots)?.[0])
  }

  /** Without a key, what is secret is sealed already. */
  #seal(key: CryptoKey | undefined, store: StoreName, value: unknown): unknown {
    if (!isSecret(store, value)) return value
    if (this.#isSealed(store, value)) return { ...splitSlots(value as Slots)?.[1], box: this.#slots?.box }
    return key && this.#boxed(key, store, value)
  }

  async #boxed(key: CryptoKey, store: StoreName, value: unknown): Promise<unknown> {
    if (value instanceof Blob) return { box: await encrypt(key, await value.arrayBuffer()), type: value.type }
    const seal = (secret: unknown): Promise<Box> => this.#memory.seal(key, JSON.stringify(secret))
    if (store === 'quarantine') {
      const { value: broken, ...open } = value as Shape
      return { ...open, value: { box: await seal({ broken }) } }
    }
    const [secret, open] = store === 'slots' ? splitSlots(value as Slots)! : splitRecord(value as Shape)
    return { ...open, box: await seal(secret) }
  }

  async #newKey(): Promise<CryptoKey> {
    const made = await this.#hold(
      crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']),
    )
    this.#key = Promise.resolve(made)
    this.#memory.hasPlain = true
    const keep = () =>
      this.#tx
        .objectStore('vault')
        .put(made, KEY)
        .catch(() => {})
    // Behind a clearing of the vault in the same breath.
    this.#written = this.#written.then(keep)
    return made
  }

  /** What was written without this option, before it was set or while it was not. */
  async #sealKept(key: CryptoKey, writes: readonly Write[]): Promise<void> {
    this.#memory.hasPlain = false
    if (writes.some(({ store, value }) => store === 'vault' && value === undefined)) return
    for (const name of KEPT) {
      const store = this.#tx.objectStore(name)
      const [keys, records] = await Promise.all([store.getAllKeys(), store.getAll()])
      const plain = [...records.entries()].filter(([, record]) => isSecret(name, record))
      const sealed = await this.#hold(Promise.all(plain.map(([, record]) => this.#boxed(key, name, record))))
      for (const [at, record] of sealed.entries()) {
        const place = name === 'files' ? [keys[plain[at]![0]]] : []
        ;(store.put as (...args: unknown[]) => Promise<unknown>)(record, ...place).catch(() => {})
      }
    }
  }
}

const call = (target: object, method: string, args: unknown[]): Promise<unknown> =>
  (Reflect.get(target, method) as (...args: unknown[]) => Promise<unknown>).apply(target, args)

/** The target, with some of its methods in other hands. */
function over<T extends object>(target: T, own: Shape): T {
  return new Proxy(target, {
    get(_, name) {
      if (typeof name === 'string' && Object.hasOwn(own, name)) return own[name]
      const value = Reflect.get(target, name) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
