// Attachments of Genesys Cloud Web Messaging, on one connection: an address is asked for, the bytes are put there, and the
// platform says when it has them. Addresses live shortly and are never stored: where one is gone, another is asked for.

import type { Attachments, Outcome } from '../../core/ports.ts'
import type { Frame } from './genesys-asks.ts'
import type { Ask } from './genesys-calls.ts'
import { judge, shapeOf } from './genesys-wire.ts'

const ADDRESS_TIMEOUT_MS = 12_000
/** The bytes of one file may take so long. */
const PUT_TIMEOUT_MS = 9 * 60_000
/** So long after the last byte the platform has said what it thinks of the file. */
const WORD_TIMEOUT_MS = 30_000

interface Deps {
  readonly fetch: typeof fetch
  uuid(): string
  after(ms: number, run: () => void): () => void
}

type File = Parameters<Attachments['reserve']>[0]['file']
type Address = { readonly url: string; readonly headers: { readonly [name: string]: string } }

export class Uploads implements Attachments {
  readonly #deps: Deps
  readonly #ask: Ask
  readonly #addresses = new Map<string, Address>()
  readonly #waiting = new Map<string, (outcome: Outcome<null>) => void>()

  constructor(deps: Deps, ask: Ask) {
    this.#deps = deps
    this.#ask = ask
  }

  async reserve({ file }: { readonly file: File }): Promise<Outcome<{ id: string; sent: number }>> {
    const id = this.#deps.uuid()
    const rest = { attachmentId: id, fileName: file.name, fileType: file.type, fileSize: file.size, errorsAsJson: true }
    const outcome = await this.#ask('attachment', 'onAttachment', rest, id, ADDRESS_TIMEOUT_MS)
    if (!outcome.ok) return outcome
    const { url, headers } = outcome.value
    if (typeof url !== 'string') return judge('attachment', 0)
    this.#addresses.set(id, { url, headers: shapeOf(headers) as Address['headers'] })
    return { ok: true, value: { id, sent: 0 } }
  }

  /** The file goes in one piece: there is no other way. */
  async upload(request: Parameters<Attachments['upload']>[0]): Promise<Outcome<{ id?: string; sent: number }>> {
    const { file, content } = request
    let { id } = request
    if (!this.#addresses.has(id)) {
      const reserved = await this.reserve({ file })
      if (!reserved.ok) return reserved
      id = reserved.value.id
    }
    const address = this.#addresses.get(id) as Address
    this.#addresses.delete(id)
    const word = new Promise<Outcome<null>>((resolve) => this.#waiting.set(id, resolve))
    const isPut = await this.#put(address, file, content as Blob)
    if (!isPut) this.#settle(id, judge('attachment', 0))
    const cancel = this.#deps.after(WORD_TIMEOUT_MS, () => this.#settle(id, judge('attachment', 0)))
    const outcome = await word
    cancel()
    return outcome.ok ? { ok: true, value: { id, sent: file.size } } : outcome
  }

  /** The platform has said so already. */
  async confirm(): Promise<Outcome<null>> {
    return { ok: true, value: null }
  }

  async discard({ id }: { readonly id: string }): Promise<Outcome<null>> {
    const outcome = await this.#ask('attachment', 'deleteAttachment', { attachmentId: id }, id, ADDRESS_TIMEOUT_MS)
    return outcome.ok ? { ok: true, value: null } : outcome
  }

  /** The platform has a file, or will not have it. */
  hear(name: string, { attachmentId, errorCode, errorMessage }: Frame): void {
    const isThere = name === 'UploadSuccessEvent'
    const failure = judge('attachment', Number(errorCode) || 0, String(errorMessage ?? ''))
    this.#settle(String(attachmentId), isThere ? { ok: true, value: null } : failure)
  }

  /** Nothing comes any more on this connection. */
  end(): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, judge('attachment', 0))
  }

  #settle(id: string, outcome: Outcome<null>): void {
    this.#waiting.get(id)?.(outcome)
    this.#waiting.delete(id)
  }

  async #put({ url, headers }: Address, file: File, body: Blob): Promise<boolean> {
    const all = { ...headers, ...(file.type !== '' && { 'Content-Type': file.type }) }
    const signal = AbortSignal.timeout(PUT_TIMEOUT_MS)
    const init = { method: 'PUT', headers: all, body, credentials: 'omit', redirect: 'error', signal } as const
    try {
      return (await this.#deps.fetch(url, init)).ok
    } catch {
      // The network, or an address that is no longer good: the next try asks for another.
      return false
    }
  }
}
