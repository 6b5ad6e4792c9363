// Where the bytes of attachments rest. The port is what any S3-compatible store can do: put, get and delete whole
// objects by name. An attachment is a row of the database and one object for each of its parts.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export interface ObjectStore {
  /** Writes an object, or the same once more. It is durable when this resolves. */
  put(name: string, bytes: Uint8Array): Promise<void>
  get(name: string): Promise<Uint8Array | undefined>
  /** Removes an object; one that is not there is removed already. */
  remove(name: string): Promise<void>
}

export type AttachmentOptions = {
  /** Of one attachment. Default 10 MiB. */
  bytesMax?: number
  /** Media types that are taken. Default: PNG, JPEG, GIF, WebP, PDF and plain text. */
  types?: readonly string[]
  /** How many a session may have in all its conversations, as long as they are kept. Default 200. */
  sessionCountMax?: number
  /** How many bytes those may have together. Default 256 MiB. */
  sessionBytesMax?: number
  /** Where the bytes rest. Default: the folder `attachments` in `data`, the tables of `database`, else memory. */
  objects?: ObjectStore
}

/** Without `objects` the bytes are in the tables. */
export type AttachmentSettings = Required<Omit<AttachmentOptions, 'objects'>> & { objects?: ObjectStore }

/** A part of an upload has this many bytes, but for the last one. */
export const PART_BYTES = 256 * 1024
/** In one message. */
export const ATTACHMENTS_MAX = 5
/** In the data folder. */
export const ATTACHMENTS_FOLDER = 'attachments'
const BYTES_MAX = 10 * 1024 * 1024
const SESSION_COUNT_MAX = 200
const SESSION_BYTES_MAX = 256 * 1024 * 1024
const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'application/pdf', 'text/plain']

export function attachmentsFrom(
  options: AttachmentOptions = {},
  { data, database }: { data?: string; database?: string },
): AttachmentSettings {
  const { bytesMax = BYTES_MAX, types = TYPES } = options
  const { sessionCountMax = SESSION_COUNT_MAX, sessionBytesMax = SESSION_BYTES_MAX } = options
  if (!(bytesMax >= 1)) throw new TypeError('An attachment has at least one byte.')
  const isKept = data !== undefined && data !== ':memory:'
  const own = () => (isKept ? folderObjects(join(data, ATTACHMENTS_FOLDER)) : memoryObjects())
  const objects = options.objects ?? (database === undefined ? own() : undefined)
  return { bytesMax, types, sessionCountMax, sessionBytesMax, ...(objects && { objects }) }
}

export const partName = (id: string, offset: number): string => `${id}/${offset}`

/** The names of all parts of an attachment of this size. */
export const partNames = (id: string, size: number): string[] =>
  Array.from({ length: Math.ceil(size / PART_BYTES) }, (_, at) => partName(id, at * PART_BYTES))

/** Objects as files. A name is made of ids and numbers of ours, and leads nowhere else. */
export function folderObjects(folder: string): ObjectStore {
  const pathOf = (name: string): string => {
    if (!/^[\w-]+\/\d+$/.test(name)) throw new TypeError('This is not the name of an object.')
    return join(folder, name)
  }
  return {
    async put(name, bytes) {
      const path = pathOf(name)
      await mkdir(dirname(path), { recursive: true })
      // A file that is there is whole.
      await writeFile(`${path}.part`, bytes, { flush: true })
      await rename(`${path}.part`, path)
    },
    get: (name) => readFile(pathOf(name)).catch(() => undefined),
    remove: (name) => rm(pathOf(name), { force: true }),
  }
}

export function memoryObjects(): ObjectStore {
  const objects = new Map<string, Uint8Array>()
  return {
    async put(name, bytes) {
      objects.set(name, bytes)
    },
    get: async (name) => objects.get(name),
    async remove(name) {
      objects.delete(name)
    },
  }
}
