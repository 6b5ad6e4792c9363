// The one error class that a host meets, its closed list of codes, and their form on the link.
// Which code is raised where belongs to the parts; what each means is documented in the README table.

/** `PART_REASON`. The list only grows; the README says what each means and what a site can do. */
export type ErrorCode =
  | 'LEASE_REVOKED'
  | 'LEASE_EXPIRED'
  | 'LEASE_BAD_TOKEN'
  | 'LEASE_UNANSWERED'
  | 'OUTBOX_FULL'
  | 'OUTBOX_REFUSED'
  | 'OUTBOX_UNKNOWN'
  | 'OUTBOX_INFLIGHT'
  | 'OUTBOX_UNSENT'
  | 'MESSAGE_TOO_LONG'
  | 'ATTACHMENT_REFUSED'
  | 'METADATA_TOO_LARGE'
  | 'CONTEXT_TOO_LARGE'
  | 'GUARD_REFUSED'
  | 'IDENTITY_REFUSED'
  | 'CONVERSATION_OVER'
  | 'SESSION_EXPIRING'
  | 'LINK_TIMEOUT'
  | 'LINK_CLOSED'
  | 'EPOCH_CHANGED'
  | 'PROTOCOL_MISMATCH'
  | 'DEPLOYMENT_UNKNOWN'
  | 'WORKER_UNAVAILABLE'
  | 'HUB_REFUSED'
  | 'CONFIG_INVALID'
  | 'STORE_FULL'
  | 'STORE_FAILED'
  | 'STORE_CORRUPT'
  | 'SERVICE_UNREACHABLE'
  | 'SERVICE_BAD_RESPONSE'
  | 'SERVICE_REFUSED'

/** Every failure a host can meet. Branch on `code`; the message is for people. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** Works across bundles, frames and the link, where `instanceof` does not. */
export function isHoldfastError(error: unknown, code?: ErrorCode): error is HoldfastError {
  const { name, code: actual } = Object(error) as { name?: unknown; code?: unknown }
  return name === 'HoldfastError' && (code === undefined || actual === code)
}

/** What travels over the link instead of an error: never a stack, a cause or a body. */
export interface WireError {
  name: string
  message: string
  code?: ErrorCode
}

export function toWire(error: unknown): WireError {
  if (isHoldfastError(error)) return { name: error.name, message: error.message, code: error.code }
  if (error instanceof TypeError) return { name: 'TypeError', message: error.message }
  return { name: 'Error', message: 'The worker failed in a way that has no code.' }
}

export function fromWire(wire: WireError): Error {
  if (wire.code !== undefined) return new HoldfastError(wire.code, wire.message)
  return wire.name === 'TypeError' ? new TypeError(wire.message) : new Error(wire.message)
}
