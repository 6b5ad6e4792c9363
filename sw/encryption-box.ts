// What of a record is sealed, and the box it goes into. Leaves to others: when, and in which transaction (encryption.ts).

import type { Slots } from '../core/state.ts'
import type { StoreName } from './store-schema.ts'

export type Shape = Record<string, unknown>
export interface Box {
  readonly iv: Uint8Array<ArrayBuffer>
  readonly data: ArrayBuffer
}
export type Boxed = Shape & { readonly box: Box }

/** What has been opened or sealed lately is not opened again: a snapshot shows the same rows over and over. */
const OPENED_MAX = 2_000

export const isShape = (value: unknown): value is Shape => ({}).toString.call(value) === '[object Object]'
export const hasBox = (value: unknown): value is Boxed => isShape(value) && isShape(value['box'])

/** Is there something in it that must not lie readable on the disk? */
export function isSecret(store: StoreName, value: unknown): boolean {
  if (store === 'files') return value instanceof Blob
  if (store === 'vault' || !isShape(value)) return false
  if (store === 'slots') return splitSlots(value as unknown as Slots) !== undefined
  return !hasBox(store === 'quarantine' ? value['value'] : value)
}

/** An entry, or a row. */
export function splitRecord({ text, metadata, attachments, ...open }: Shape): [secret: Shape, open: Shape] {
  return [{ text, metadata, attachments }, open]
}

/** What stays open reads as slots in which there are no attributes. Nothing, where there are none anyway. */
export function splitSlots(slots: Slots): [secret: Shape, open: Slots] | undefined {
  const { context, session } = slots
  const { values, dirty, sending, ends } = context
  const { routing, asked } = session
  const all = { ...values, ...dirty, ...sending, ...routing, ...asked?.routing, ...asked?.attributes }
  if (Object.keys(all).length === 0) return undefined
  const open = {
    ...slots,
    context: { ...context, values: {}, dirty: {}, sending: null, ends: {} },
    session: { ...session, routing: {}, asked: asked && { ...asked, routing: {}, attributes: {} } },
  }
  return [{ values, dirty, sending, ends, routing, asked }, open]
}

export function joinSlots(slots: Slots, { values, dirty, sending, ends, routing, asked }: Shape): unknown {
  const { context, session } = slots
  return { ...slots, context: { ...context, values, dirty, sending, ends }, session: { ...session, routing, asked } }
}

export async function encrypt(key: CryptoKey, plain: BufferSource): Promise<Box> {
  const iv = crypto.getRandomValues(new Uint8Array(12))
  return { iv, data: await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, plain) }
}

export const decrypt = (key: CryptoKey, { iv, data }: Box): Promise<ArrayBuffer> =>
  crypto.subtle.decrypt({ name: 'AES-GCM', iv }, key, data)

/** What one worker has opened or sealed lately, as text: what is made of it is a copy. */
export class Memory {
  /** Something was found that is not sealed. */
  hasPlain = false
  readonly #texts = new Map<string, string>()

  async seal(key: CryptoKey, text: string): Promise<Box> {
    const box = await encrypt(key, new TextEncoder().encode(text))
    this.#keep(box, text)
    return box
  }

  async open(key: CryptoKey, box: Box): Promise<string> {
    const text = new TextDecoder().decode(await decrypt(key, box))
    this.#keep(box, text)
    return text
  }

  /** Nothing, where it has to be opened first. No two boxes share an iv. */
  known({ iv }: Box): string | undefined {
    return this.#texts.get(String(iv))
  }

  forget(): void {
    this.#texts.clear()
  }

  #keep({ iv }: Box, text: string): void {
    this.#texts.set(String(iv), text)
    for (const oldest of this.#texts.keys()) {
      if (this.#texts.size <= OPENED_MAX) break
      this.#texts.delete(oldest)
    }
  }
}
