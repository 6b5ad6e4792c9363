// What a site hands over, checked before anything happens. Limits that a platform sets are the worker's to check.

import { HoldfastError } from '../core/errors.ts'
import type { AttributeDelta, Attributes, OutboundMessage } from '../core/wire.ts'
import { isDelta, isOutboundMessage, isShape } from '../core/wire-guards.ts'
import type { Content } from './api.ts'

export const MESSAGE_CHARS_MAX = 4_096

/** Wrong arguments are the site's bugs, and no state of the world. */
export function demand(isRight: boolean, sentence: string): asserts isRight {
  if (!isRight) throw new TypeError(sentence)
}

/** A string that says something. */
export const isName = (value: unknown): boolean => typeof value === 'string' && value !== ''

const isBlob = (value: unknown): value is Blob => value instanceof Blob

/** @throws what `Chat.send` documents */
export function messageOf(content: string | Content, key: string): OutboundMessage {
  const { text, metadata, attachments } = typeof content === 'string' ? { text: content } : (Object(content) as Content)
  demand(typeof text === 'string' && text.trim() !== '', 'The text of a message must be a string and not blank.')
  const areFiles = attachments === undefined || (Array.isArray(attachments) && attachments.every(isBlob))
  demand(areFiles, 'Attachments must be an array of files or blobs.')
  const files = attachments?.map((file) => ({
    name: (file as File).name ?? 'file',
    type: file.type,
    size: file.size,
    content: file,
  }))
  const message = {
    key,
    text,
    ...(metadata !== undefined && { metadata }),
    ...(files?.length && { attachments: files }),
  }
  demand(isOutboundMessage(message), 'Metadata must be an object of strings, finite numbers and booleans.')
  if (text.length > MESSAGE_CHARS_MAX) {
    const fact = `The message has ${text.length} characters, the limit is ${MESSAGE_CHARS_MAX}: send it in parts.`
    throw new HoldfastError('MESSAGE_TOO_LONG', fact)
  }
  return message
}

/** What changes, one after the other, come to. */
export function attributesOf(deltas: readonly AttributeDelta[]): Attributes {
  const values = new Map(deltas.flatMap((delta) => Object.entries(delta)))
  // Not by assignment: to set `__proto__` is not to have it.
  return Object.fromEntries([...values].filter((pair): pair is [string, string | boolean] => pair[1] !== null))
}

export function checkAttributes(values: unknown): asserts values is Attributes {
  const isRight = isDelta(values) && !Object.values(values).includes(null)
  demand(isRight, 'Attributes must be an object of named strings and booleans.')
}

export function checkKey(key: unknown): void {
  demand(isName(key), 'A message is named by its `key`, a string.')
}

export function checkOptions(options: unknown): void {
  demand(isShape(options), 'Options must be an object.')
}
