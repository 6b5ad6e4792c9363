// Attachments of the simulated session service: reserved under a key, filled part by part, confirmed, named by a message.
// It answers as server/routes/attachments.ts does. Bytes are not moved: a part says of which file it is, and from where.

import type { Upload } from '../core/wire.ts'
import type { Answer, Request } from './sim-http.ts'
import type { Conversation, SimService } from './sim-service.ts'

/** One file as the service has it. */
export interface SimFile {
  readonly id: string
  readonly conversationId: string
  readonly key: string
  readonly name: string
  readonly type: string
  readonly size: number
  received: number
  isConfirmed: boolean
  /** Every part that was kept was of the file of this name. */
  isGenuine: boolean
}

/** What a message shows of a file. */
export type FileWire = Pick<SimFile, 'id' | 'name' | 'type' | 'size'>

/** As long as the adapter has it. */
const PART_BYTES = 256 * 1024

interface Part {
  readonly of: string
  readonly from: number
  readonly to: number
}

/** A file of the visitor's: as much of a Blob as the adapter reads. */
export const simUpload = (name: string, size: number): Upload => ({
  name,
  type: 'image/png',
  size,
  content: { slice: (from: number, to: number): Part => ({ of: name, from, to: Math.min(to, size) }) },
})

const stateOf = ({ id, name, type, size, received, isConfirmed }: SimFile) => ({
  ...{ id, name, type, size, received },
  confirmed: isConfirmed,
})
const problem = (status: number, code: string): Answer => ({ status, body: { code, status } })

/** `path` is what follows the conversation. */
export function handleFile(service: SimService, conversation: Conversation, request: Request, path: string): Answer {
  const { files } = service
  const [, , id, step] = path.split('/')
  if (id === undefined) return reserve(service, conversation, request)
  const file = files.get(id)
  if (file?.conversationId !== conversation.id) return problem(404, 'unknown-attachment')
  if (request.method === 'DELETE') {
    if (service.isUsed(id)) return problem(404, 'unknown-attachment')
    files.delete(id)
    return { status: 200, body: { id } }
  }
  if (step === 'content') return upload(file, request)
  if (file.received < file.size) return problem(409, 'attachment-incomplete')
  file.isConfirmed = true
  return { status: 200, body: stateOf(file) }
}

function reserve(service: SimService, { id: conversationId, state }: Conversation, { key, body }: Request): Answer {
  if (key === undefined) return problem(400, 'idempotency-key-required')
  if (state !== 'pending' && state !== 'active') return problem(409, 'conversation-closed')
  const known = [...service.files.values()].find((file) => file.key === key && file.conversationId === conversationId)
  if (known !== undefined) return { status: 200, body: stateOf(known) }
  const { name, type, size } = body as unknown as Upload
  const file = { id: service.id('file'), conversationId, key, name, type, size, ...FRESH }
  service.files.set(file.id, file)
  return { status: 201, body: stateOf(file) }
}

const FRESH = { received: 0, isConfirmed: false, isGenuine: true }

function upload(file: SimFile, { query, body }: Request): Answer {
  const offset = Number(query.get('offset'))
  if (offset !== file.received || file.received === file.size) return { status: 200, body: stateOf(file) }
  const { of, from, to } = body as unknown as Part
  if (to - from !== Math.min(PART_BYTES, file.size - offset)) return problem(400, 'attachment-part')
  file.isGenuine &&= of === file.name && from === offset
  file.received = to
  return { status: 200, body: stateOf(file) }
}

/** What a message is to name, or why it may not. */
export function namedFiles(service: SimService, conversationId: string, ids: unknown): FileWire[] | Answer {
  const found: FileWire[] = []
  for (const id of Array.isArray(ids) ? ids : []) {
    const file = service.files.get(id)
    if (file?.conversationId !== conversationId) return problem(404, 'unknown-attachment')
    if (!file.isConfirmed) return problem(409, 'attachment-incomplete')
    const { name, type, size } = file
    found.push({ id, name, type, size })
  }
  return found
}
