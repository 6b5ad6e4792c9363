// What every request passes before its route: how much its address may ask for, and bytes that are text.
import { isUtf8 } from 'node:buffer'
import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { addressOf } from '../limits.ts'
import type { Call, Env, Parts } from '../parts.ts'
import { problem, retryAfterSeconds } from '../problem.ts'

/** Probes must get through whatever else comes from their address. */
const UNLIMITED = /^\/(healthz|readyz|metrics)$/

type Bindings = { incoming?: { socket: { remoteAddress?: string } } }

export function withinAddressLimit(parts: Parts): MiddlewareHandler<Env> {
  const { trustedProxies } = parts.settings.limits
  return async (c, next) => {
    const peer = (c.env as Bindings | undefined)?.incoming?.socket.remoteAddress
    const address = addressOf(trustedProxies, peer, c.req.header('X-Forwarded-For'))
    const waitMs =
      address === undefined || UNLIMITED.test(c.req.path) ? 0 : parts.buckets.addresses.take(address, parts.now())
    return waitMs > 0 ? limited(parts, c, waitMs) : next()
  }
}

export function limited(parts: Parts, c: Call, waitMs: number): Response {
  parts.metrics.count('rate_limited')
  return problem(c, 'rate-limited', { headers: { 'Retry-After': retryAfterSeconds(waitMs) } })
}

/** The one call whose body is no text. */
const isUpload = ({ method, path }: { method: string; path: string }): boolean =>
  method === 'PUT' && /\/attachments\/[^/]+\/content$/.test(path)

/**
 * Refuses bodies that are too large. A length that is announced is enough to judge by, and looking at the body itself
 * would cost every request a second copy of its headers.
 */
export function withinBodyLimit(textBytesMax: number, partBytesMax: number): MiddlewareHandler<Env> {
  const countingTo = (maxSize: number) => bodyLimit({ maxSize, onError: (c) => problem(c, 'body-too-large') })
  const [countingText, countingPart] = [countingTo(textBytesMax), countingTo(partBytesMax)]
  return async (c, next) => {
    const isPart = isUpload(c.req)
    const [bytesMax, counting] = isPart ? [partBytesMax, countingPart] : [textBytesMax, countingText]
    const length = c.req.header('Content-Length')
    if (length === undefined && /^(GET|HEAD|OPTIONS)$/.test(c.req.method)) return next()
    if (length === undefined || c.req.header('Transfer-Encoding') !== undefined) return counting(c, next)
    return Number(length) > bytesMax ? problem(c, 'body-too-large') : next()
  }
}

/** Refuses two keys for one intent, rather than guessing which one the client will come back with. */
export function withOneKey(): MiddlewareHandler<Env> {
  return async (c, next) => {
    const [key, other] = [c.req.header('Idempotency-Key'), c.req.header('X-Idempotency-Key')]
    return key === undefined || other === undefined || key === other ? next() : problem(c, 'idempotency-keys-differ')
  }
}

/**
 * Refuses what is not text, rather than storing something else than was sent. A NUL in an address is refused as well:
 * one of our databases cannot even be asked about it.
 */
export function onlyText(): MiddlewareHandler<Env> {
  return async (c, next) => {
    if (/%00|\0/.test(c.req.path)) return problem(c, 'not-found')
    if (/^(GET|HEAD|DELETE|OPTIONS)$/.test(c.req.method) || isUpload(c.req)) return next()
    const bytes = Buffer.from(await c.req.arrayBuffer())
    if (!isUtf8(bytes)) return problem(c, 'invalid-utf8')
    // The router would decode the bytes once more, by way of a response object. It wants a promise, whatever its types say.
    if (bytes.length > 0) c.req.bodyCache.text = Promise.resolve(bytes.toString()) as unknown as string
    return next()
  }
}
