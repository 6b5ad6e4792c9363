// The few things about HTTP that the demo's own endpoints share: JSON in and out, and who may call.
import type { IncomingMessage, ServerResponse } from 'node:http'

const BODY_BYTES_MAX = 1024
const LOCAL_HOSTS = ['localhost', '127.0.0.1']

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Cache-Control': 'no-store' })
  response.end(JSON.stringify(value))
}

/** The body as JSON, or undefined where it is none or too large. */
export async function readJson<T>(request: IncomingMessage): Promise<T | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > BODY_BYTES_MAX) return undefined
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as T
  } catch {
    // What is not JSON is not an order; the caller says so.
    return undefined
  }
}

/** Another name for this machine in the Host header is how a foreign site reaches into it (DNS rebinding). */
export function isLocal(request: IncomingMessage): boolean {
  return LOCAL_HOSTS.includes((request.headers.host ?? '').replace(/:\d+$/, ''))
}

/** Browsers say where a call comes from; a page of another site cannot claim to be ours. */
export function isSameOrigin(request: IncomingMessage): boolean {
  return request.headers['sec-fetch-site'] === 'same-origin'
}
