// Ten thousand quiet listeners from one process: the handshake and one frame by hand, because a library's object
// per socket would fill the memory of whoever measures.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Opens sockets that listen to one conversation, some at a time. */
export async function listeners(port: number, count: number, auth: object): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(200, count - sockets.length) }, () => listener(port, auth))
    sockets.push(...(await Promise.all(batch)))
  }
  return sockets
}

async function listener(port: number, auth: object): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    'GET /api/v2/messaging/stream HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n` +
      'Sec-WebSocket-Protocol: holdfast.v2\r\n\r\n',
  )
  await heard(socket, '101 Switching')
  socket.write(masked(JSON.stringify({ type: 'auth', ...auth })))
  await heard(socket, '"ready"')
  return socket
}

/** Waits until something that contains the text has come. */
export function heard(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = ''
    const onData = (chunk: Buffer) => {
      received += chunk.toString('latin1')
      if (!received.includes(text)) return
      socket.off('data', onData)
      resolve()
    }
    socket.on('data', onData)
    socket.once('close', () => reject(new Error(`A listener was closed: ${received.slice(-200)}`)))
  })
}

/** A text frame as a client sends it. */
function masked(text: string): Buffer {
  const payload = Buffer.from(text)
  const mask = randomBytes(4)
  const length =
    payload.length < 126
      ? Buffer.from([0x80 | payload.length])
      : Buffer.from([0xfe, payload.length >> 8, payload.length & 255])
  for (let index = 0; index < payload.length; index++) payload[index] = (payload[index] ?? 0) ^ (mask[index % 4] ?? 0)
  return Buffer.concat([Buffer.from([0x81]), length, mask, payload])
}
