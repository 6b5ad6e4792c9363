// Attachments of the emulated service: an address for each, the bytes, and what becomes of them. Three steps, as the real
// one has them: an address is asked for, the bytes are put there, a message names what is there.

import type { GenesysConnection } from './genesys-connection.ts'
import type { GenesysSession } from './genesys-session.ts'
import { type Shape, shapeOf } from './genesys-rules.ts'

/** An error of the service, by the code that a public client has a name for. */
export interface GenesysRefusal {
  readonly code: number
  readonly text: string
}

interface Held {
  readonly session: GenesysSession
  readonly connection: GenesysConnection
  readonly fileName: string
  readonly fileType: string
  readonly fileSize: number
  state: 'reserved' | 'there' | 'expired'
}

export const MEDIA = {
  allowedMedia: { inbound: { fileTypes: [{ type: '*/*' }], maxFileSizeKB: 10_240 } },
  blockedExtensions: ['.exe'],
}
const BYTES_MAX = MEDIA.allowedMedia.inbound.maxFileSizeKB * 1_024
const NAME_CHARS_MAX = 1_023

const refusal = (code: number, text: string): GenesysRefusal => ({ code, text })

export class GenesysAttachments {
  readonly #held = new Map<string, Held>()
  /** Where bytes are put: the address of the server, once there is one. */
  base = 'https://uploads.example'

  /** Says what is wrong with what is to be attached, or where to put it. */
  reserve(frame: Shape, session: GenesysSession, connection: GenesysConnection): GenesysRefusal | object {
    const { attachmentId, fileName, fileType, fileSize } = frame
    const name = String(fileName ?? '')
    const size = Number(fileSize)
    if (name === '') return refusal(4_004, 'The name of the file is not valid')
    if (name.length > NAME_CHARS_MAX) return refusal(4_005, 'The name of the file is too long')
    if (MEDIA.blockedExtensions.some((end) => name.toLowerCase().endsWith(end)))
      return refusal(4_001, 'The type of the file is not allowed')
    if (size === 0) return refusal(4_102, 'The file is empty')
    if (!(size <= BYTES_MAX)) return refusal(4_002, 'The file is too large')
    const id = String(attachmentId)
    const held = { session, connection, fileName: name, fileType: String(fileType ?? ''), fileSize: size }
    this.#held.set(id, { ...held, state: 'reserved' })
    const headers = { 'x-amz-tagging': 'organizationId=demo' }
    return { attachmentId, url: `${this.base}/upload/${id}`, headers, fileName, fileSize, fileType }
  }

  /** The bytes came. An address that nobody was given takes none. */
  put(id: string, bytes: number, hasTag: boolean): boolean {
    const held = this.#held.get(id)
    if (held?.state !== 'reserved' || !hasTag) return false
    if (held.fileSize === bytes) held.state = 'there'
    held.connection.uploaded(id, held.state === 'there' ? `${this.base}/download/${id}` : undefined)
    return true
  }

  /** Its time has passed, or everybody's. */
  expire(id?: string): void {
    for (const [name, held] of this.#held) if (id === undefined || id === name) held.state = 'expired'
  }

  /** An address to read it from; those that were given before live shortly. */
  addressOf(id: unknown): object | undefined {
    const held = this.#held.get(String(id))
    if (held?.state !== 'there') return undefined
    const { fileName, fileType, fileSize } = held
    return { attachmentId: id, url: `${this.base}/download/${id}`, headers: {}, fileName, fileSize, fileType }
  }

  drop(id: unknown): void {
    this.#held.delete(String(id))
  }

  /** The content of a message as the service keeps it, or what is wrong with what it names. */
  contentOf(content: unknown, session: GenesysSession): readonly unknown[] | GenesysRefusal {
    const parts: unknown[] = []
    for (const part of Array.isArray(content) ? content : []) {
      const { contentType, attachment } = shapeOf(part)
      const kept = contentType === 'Attachment' ? this.#partOf(shapeOf(attachment)['id'], session) : part
      if (Object.hasOwn(Object(kept), 'code')) return kept as GenesysRefusal
      parts.push(kept)
    }
    return parts
  }

  #partOf(id: unknown, session: GenesysSession): object {
    const held = this.#held.get(String(id))
    if (held === undefined || held.session !== session) return refusal(4_009, 'The attachment is not known')
    if (held.state === 'expired') return refusal(4_008, 'The attachment has expired')
    if (held.state === 'reserved') return refusal(4_010, 'The attachment was not uploaded')
    const { fileName: filename, fileType: mime, fileSize } = held
    const mediaType = mime.startsWith('image/') ? 'Image' : 'File'
    const url = `${this.base}/download/${id}`
    return { contentType: 'Attachment', attachment: { id, filename, mediaType, fileSize, mime, url } }
  }
}

export const isRefusal = (value: object): value is GenesysRefusal => Object.hasOwn(value, 'code')
