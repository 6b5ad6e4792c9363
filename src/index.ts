// The public API of the page, and nothing else.

export { HoldfastError, isHoldfastError } from '../core/errors.ts'
export type { ErrorCode } from '../core/errors.ts'
export type {
  Attributes,
  ConversationState,
  DeliveryStatus,
  Finding,
  Message,
  Metadata,
  Outcome,
  OutboxItem,
  Phase,
  Report,
  Role,
} from '../core/wire.ts'
export type { Chat, ChatEvents, ConnectOptions, Content, LocalModule, LocalWorker, Receipt, State } from './api.ts'
export { connect } from './connect.ts'
