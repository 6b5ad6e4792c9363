// Answers to what never became a request: half of one that stops, a head that is none. Node tells of them by error
// code, outside of the application; the answers have the same form as all others.
import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Metrics } from './metrics.ts'
import { PROBLEMS, type ProblemCode, problemText } from './problem.ts'

const CODES: Readonly<Record<string, ProblemCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
}

/** For a server's `clientError`: says what was wrong, where that can still be said, and closes. */
export function answerBroken(metrics: Metrics): (error: Error & { code?: string }, socket: Duplex) => void {
  return (error, socket) => {
    // Node's own note of the answer that is on its way: a second one would end up in the middle of it.
    const { _httpMessage: under } = socket as { _httpMessage?: ServerResponse | null }
    if (error.code === 'ECONNRESET' || !socket.writable || under?.headersSent === true) return void socket.destroy()
    metrics.count('http_4xx')
    const code = CODES[error.code ?? ''] ?? 'malformed-request'
    const body = problemText(code)
    const head = [
      `HTTP/1.1 ${PROBLEMS[code][0]} ${code}`,
      'Content-Type: application/problem+json',
      'Cache-Control: no-store',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ]
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
  }
}
