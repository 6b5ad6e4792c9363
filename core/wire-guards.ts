// Is what came over the boundary what it should be? A guard for each shape of wire.ts that somebody else may have made.

import {
  type AttributeDelta,
  type Caller,
  type Command,
  ENQUEUE_MAX,
  type Notice,
  type OutboundMessage,
} from './wire.ts'

type Shape = Record<string, unknown>
/** Not an array, a Map or a Date: those would travel as something else, or as nothing. */
export const isShape = (value: unknown): value is Shape => ({}).toString.call(value) === '[object Object]'
const isKey = (value: unknown): value is string => typeof value === 'string' && value.length > 0 && value.length <= 128

export function isCaller(value: unknown): value is Caller {
  return (
    isShape(value) &&
    typeof value.protocol === 'number' &&
    typeof value.deployment === 'string' &&
    isKey(value.tab) &&
    typeof value.epoch === 'string' &&
    typeof value.visible === 'boolean'
  )
}

export function isOutboundMessage(value: unknown): value is OutboundMessage {
  return (
    isShape(value) &&
    isKey(value.key) &&
    typeof value.text === 'string' &&
    (value.metadata === undefined || (isShape(value.metadata) && Object.values(value.metadata).every(isScalar))) &&
    (value.attachments === undefined || (Array.isArray(value.attachments) && value.attachments.every(isUpload)))
  )
}

const isUpload = (value: unknown): boolean =>
  isShape(value) &&
  [value.name, value.type].every((one) => typeof one === 'string') &&
  isCount(value.size) &&
  typeof value.content === 'object'

const isScalar = (value: unknown): boolean =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))

export const isDelta = (value: unknown): value is AttributeDelta =>
  isShape(value) &&
  Object.entries(value).every(([name, one]) => name && (one === null || /^(string|boolean)$/.test(typeof one)))

export const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0

const COMMANDS: { readonly [T in Command['type']]: (command: Shape) => boolean } = {
  pull: (c) => Array.isArray(c.keys) && c.keys.every(isKey),
  enqueue: (c) => Array.isArray(c.messages) && c.messages.length <= ENQUEUE_MAX && c.messages.every(isOutboundMessage),
  'set-context': (c) => isKey(c.key) && isDelta(c.delta),
  retry: (c) => isKey(c.key),
  cancel: (c) => isKey(c.key),
  edit: (c) => isKey(c.key) && isOutboundMessage(c.message),
  'list-outbox': () => true,
  history: (c) => isCount(c.limit) && (c.before === undefined || Number.isInteger(c.before)),
  typing: (c) => typeof c.on === 'boolean',
  'mark-read': () => true,
  route: (c) => isDelta(c.routing),
  'start-new': (c) => isKey(c.key) && (c.routing === undefined || isDelta(c.routing)),
  logout: (c) =>
    (c.unsent === 'send' || c.unsent === 'discard' || c.unsent === 'refuse') && (c.key === undefined || isKey(c.key)),
  authenticate: (c) => typeof c.token === 'string' && c.token !== '',
  diagnose: () => true,
  offer: (c) => isKey(c.key) && isKey(c.lease),
  supply: (c) =>
    isKey(c.lease) &&
    isShape(c.claim) &&
    isKey(c.claim.key) &&
    isCount(c.claim.count) &&
    (c.supplied === undefined || isShape(c.supplied)),
  borrow: (c) => isKey(c.lease) && (c.spent === undefined || isCount(c.spent)),
  nudge: (c) => typeof c.wake === 'boolean' && typeof c.online === 'boolean',
  hold: () => true,
  bye: () => true,
}

export function isCommand(value: unknown): value is Command {
  return (
    isShape(value) && Object.hasOwn(COMMANDS, value.type as string) && COMMANDS[value.type as Command['type']](value)
  )
}

export function isNotice(value: unknown): value is Notice {
  return isShape(value) && value.v === 1 && typeof value.type === 'string'
}
