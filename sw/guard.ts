// The guard at the worker's door: what a tab wants stored is looked at before any of it reaches the disk or the wire.
// What is personal is found in core/guard.ts; this applies the rules to each command and makes the keyed hashes.

import { HoldfastError, toWire, type WireError } from '../core/errors.ts'
import { createGuard, type Find, type Guard, type GuardConfig, toAscii } from '../core/guard.ts'
import type { Change } from '../core/inputs.ts'
import type { OutboundMessage } from '../core/wire.ts'
import type { Screen, Screened } from './engine-screen.ts'

type Scalar = string | number | boolean | null
type Values = { readonly [name: string]: Scalar }

const NONE: ReadonlyMap<number, WireError> = new Map()

/** @throws {HoldfastError} `CONFIG_INVALID` */
export function screenOf(config: GuardConfig | false | undefined): Screen | undefined {
  if (config === false) return undefined
  let guard: Guard
  try {
    guard = createGuard(config)
  } catch (error) {
    throw new HoldfastError('CONFIG_INVALID', (error as Error).message)
  }
  const hasher = hasherOf(guard)
  const clean = <T extends Values>(values: T) => cleanValues(guard, hasher, values)
  const message = async (one: OutboundMessage): Promise<OutboundMessage> => {
    const { metadata, attachments } = one
    const text = await cleanText(guard, hasher, one.text)
    const files = await Promise.all(
      (attachments ?? []).map(async (file) => ({
        ...file,
        name: await cleanText(guard, hasher, file.name, 'name of an attachment'),
      })),
    )
    return {
      ...one,
      text,
      ...(metadata && { metadata: await clean(metadata) }),
      ...(attachments && { attachments: files }),
    }
  }
  return (command) => {
    if (!isTouched(guard, command)) return { command, refused: NONE }
    if (command.type === 'enqueue') return screenAll(command, message)
    const cleaned =
      command.type === 'edit'
        ? message(command.message).then((one) => ({ message: one }))
        : clean(valuesIn(command)).then((values) => ({
            [command.type === 'set-context' ? 'delta' : 'routing']: values,
          }))
    return cleaned.then((part) => ({ command: { ...command, ...part } as Change, refused: NONE }))
  }
}

const valuesIn = (command: Change): Values =>
  (command.type === 'set-context'
    ? command.delta
    : command.type === 'route' || command.type === 'start-new'
      ? command.routing
      : undefined) ?? {}

const messagesIn = (command: Change): readonly OutboundMessage[] =>
  command.type === 'enqueue' ? command.messages : command.type === 'edit' ? [command.message] : []

/** Each message has an outcome of its own: one that is refused keeps nothing from the others. */
async function screenAll(
  command: Change & { type: 'enqueue' },
  clean: (message: OutboundMessage) => Promise<OutboundMessage>,
): Promise<Screened> {
  const refused = new Map<number, WireError>()
  const looks = command.messages.map((message, index) =>
    clean(message).catch((error: unknown) => {
      refused.set(index, toWire(error))
      return []
    }),
  )
  return { command: { ...command, messages: (await Promise.all(looks)).flat() }, refused }
}

/** Is there anything in it that a rule is about? Most commands hold nothing, and pass at once. */
function isTouched(guard: Guard, command: Change): boolean {
  const holds = (values: Values): boolean =>
    Object.entries(values).some(
      ([name, value]) =>
        guard.find(name).length > 0 || (guard.ruleOf(name) !== 'allow' && guard.find(`${value}`).length > 0),
    )
  const says = ({ text, metadata = {}, attachments = [] }: OutboundMessage): boolean =>
    holds(metadata) ||
    (guard.textRule !== 'allow' &&
      [text, ...attachments.map(({ name }) => name)].some((it) => guard.find(it).length > 0))
  return holds(valuesIn(command)) || messagesIn(command).some(says)
}

const refusal = (what: string, kind: string): HoldfastError =>
  new HoldfastError(
    'GUARD_REFUSED',
    `${what} holds personal data of the kind "${kind}": nothing of it was stored or sent. Leave it out, or give the name another rule in the worker's configuration.`,
  )

async function cleanValues<T extends Values>(guard: Guard, hasher: Hasher, values: T): Promise<T> {
  const cleaned: [name: string, value: Scalar][] = []
  for (const [name, value] of Object.entries(values)) {
    const [named] = guard.find(name)
    // The name is the secret here, so it is not said.
    if (named !== undefined) throw refusal('The name of an attribute', named.kind)
    const finds = typeof value === 'boolean' || value === null ? [] : guard.find(`${value}`)
    const rule = guard.ruleOf(name)
    if (finds[0] === undefined || rule === 'allow') cleaned.push([name, value])
    else if (rule === 'refuse') throw refusal(`The attribute "${name}"`, finds[0].kind)
    else cleaned.push([name, await hasher(`${value}`, finds)])
  }
  return Object.fromEntries(cleaned) as T
}

async function cleanText(guard: Guard, hasher: Hasher, text: string, what = 'text of the message'): Promise<string> {
  const finds = guard.textRule === 'allow' ? [] : guard.find(text)
  if (finds[0] === undefined) return text
  if (guard.textRule === 'refuse') throw refusal(`The ${what}`, finds[0].kind)
  return hasher(text, finds)
}

type Hasher = (text: string, finds: readonly Find[]) => Promise<string>

/** Half of a SHA-256, as letters: no digit of it can look like a number to this guard or to another. */
const HASH_BYTES = 16

function hasherOf({ hashKey }: Guard): Hasher {
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined
  let key: Promise<CryptoKey> | undefined
  return async (text, finds) => {
    const [first] = finds
    // Without HTTPS a browser has no keyed hash: then the value stays out.
    if (subtle === undefined) throw refusal('A value that is to be hashed, in a page without HTTPS,', first?.kind ?? '')
    key ??= subtle.importKey('raw', bytesOf(hashKey), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    let [hashed, at] = ['', 0]
    for (const { kind, start, end } of finds) {
      // However it is written, the same number has the same hash.
      const found = text.slice(start, end)
      const plain = /^(card|ssn|iban)$/.test(kind)
        ? toAscii(found)
            .replace(/[^\da-z]/gi, '')
            .toUpperCase()
        : found
      const mac = new Uint8Array(await subtle.sign('HMAC', await key, bytesOf(`${kind}:${plain}`)))
      hashed += `${text.slice(at, start)}${kind}:${lettersOf(mac.subarray(0, HASH_BYTES))}`
      at = end
    }
    return hashed + text.slice(at)
  }
}

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

const lettersOf = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => String.fromCharCode(97 + (byte >> 4), 97 + (byte & 15))).join('')
