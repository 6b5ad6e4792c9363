// The proxy's own faults: each does what it says and nothing else, or no test behind it means anything.

import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { type FaultProxy, startProxy } from '../../testing/proxy.ts'

/** A service that answers with what it got, and says back what it hears. */
async function startEcho() {
  const seen: string[] = []
  const server = createServer(async (request, response) => {
    const body = await text(request)
    seen.push(`${request.method} ${request.url} ${body}`)
    response.writeHead(request.url === '/missing' ? 404 : 201, { 'content-type': 'text/plain', 'x-echo': 'yes' })
    response.end(`echo ${body}`)
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  }
  return { seen, port: (server.address() as AddressInfo).port, close }
}

async function text(request: IncomingMessage): Promise<string> {
  let all = ''
  for await (const chunk of request) all += chunk
  return all
}

let echo: Awaited<ReturnType<typeof startEcho>>
let proxy: FaultProxy
const sockets: WebSocket[] = []

beforeEach(async () => {
  echo = await startEcho()
  proxy = await startProxy(echo.port)
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate()
  await proxy.close()
  await echo.close()
})

const post = (path: string, body = 'body', headers: Record<string, string> = {}) =>
  fetch(proxy.url + path, { method: 'POST', body, headers })

const said = async (answer: Promise<Response>) => {
  const { status, headers } = await answer
  return [status, headers.get('x-echo'), await (await answer).text()]
}

/** A socket through the proxy with everything it has heard. */
async function dial() {
  const socket = new WebSocket(proxy.url.replace('http', 'ws'))
  sockets.push(socket)
  const heard: string[] = []
  const waiting = new Set<() => void>()
  let isClosed = false
  const look = () => {
    for (const one of [...waiting]) one()
  }
  socket.on('message', (data) => {
    heard.push(String(data))
    look()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    isClosed = true
    look()
  })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const until = (test: () => boolean) =>
    new Promise<void>((resolve) => {
      const one = () => {
        if (!test()) return
        waiting.delete(one)
        resolve()
      }
      waiting.add(one)
      one()
    })
  return {
    heard,
    send: (data: string) => socket.send(data),
    hears: (count: number) => until(() => heard.length >= count),
    closed: () => until(() => isClosed),
    isOpen: () => !isClosed,
  }
}

describe('what it passes on', () => {
  test('[HN2] a request arrives as it is, and so does its answer', async () => {
    expect(await said(post('/a?b=c', 'words'))).toEqual([201, 'yes', 'echo words'])
    expect(await said(post('/missing'))).toEqual([404, 'yes', 'echo body'])
    expect(echo.seen).toEqual(['POST /a?b=c words', 'POST /missing body'])
  })

  test('[HN2] the record has every request, its key and what was answered', async () => {
    await post('/a', '', { 'idempotency-key': 'k1' })
    await post('/b', '', { 'x-idempotency-key': 'k2' })
    expect(proxy.exchanges).toEqual([
      { method: 'POST', path: '/a', key: 'k1', status: 201 },
      { method: 'POST', path: '/b', key: 'k2', status: 201 },
    ])
    expect([proxy.count(/^POST/), proxy.count(/^GET/)]).toEqual([2, 0])
  })

  test('[HN2] who waits for requests is told when they are there, or answered', async () => {
    let release = () => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    proxy.rule({ match: /./, action: { type: 'hold', until } })
    const answer = post('/a')
    await proxy.seen(/^POST \/a$/)
    let isAnswered = false
    const answered = proxy.seen(/^POST \/a$/, 1, true).then(() => {
      isAnswered = true
    })
    expect([isAnswered, echo.seen]).toEqual([false, []])
    release()
    await Promise.all([answered, answer])
    expect(echo.seen).toEqual(['POST /a body'])
  })

  test('[HN2] a socket is passed on in both directions, and its end, too', async () => {
    const socket = await dial()
    socket.send('one')
    await socket.hears(1)
    expect(socket.heard).toEqual(['echo one'])
    expect(proxy.exchanges).toEqual([{ method: 'GET', path: '/', key: undefined, status: 101 }])
    proxy.reset()
    await socket.closed()
  })

  test('[HN2] requests go to another port when the service is elsewhere', async () => {
    const other = await startEcho()
    proxy.target(other.port)
    await post('/a')
    expect([echo.seen, other.seen]).toEqual([[], ['POST /a body']])
    await other.close()
  })

  test('[HN2] where nobody listens the connection is reset', async () => {
    const other = await startEcho()
    await other.close()
    proxy.target(other.port)
    await expect(post('/a')).rejects.toThrow()
    await expect(dial()).rejects.toThrow()
  })
})

describe('rules', () => {
  test('[HN3] refuse: the service sees nothing', async () => {
    proxy.rule({ match: /\/a$/, action: { type: 'refuse' } })
    await expect(post('/a')).rejects.toThrow()
    expect(await said(post('/b'))).toEqual([201, 'yes', 'echo body'])
    expect(echo.seen).toEqual(['POST /b body'])
  })

  test('[HN3] cut-answer: the service has done its work, and the answer breaks off', async () => {
    proxy.rule({ match: /./, action: { type: 'cut-answer' } })
    await expect(post('/a')).rejects.toThrow()
    expect(echo.seen).toEqual(['POST /a body'])
    expect(proxy.exchanges[0]?.status).toBe(201)
  })

  test('[HN3] swallow-answer: the service has done its work, and nothing comes until the connection is reset', async () => {
    proxy.rule({ match: /./, action: { type: 'swallow-answer' } })
    let isSettled = false
    const answer = post('/a')
      .catch(() => {})
      .then(() => {
        isSettled = true
      })
    await proxy.seen(/./, 1, true)
    expect([isSettled, echo.seen]).toEqual([false, ['POST /a body']])
    proxy.reset()
    await answer
  })

  test('[HN3] answer: in the place of the service, readable for the page that asked', async () => {
    const headers = { 'content-type': 'text/html' }
    proxy.rule({ match: /./, action: { type: 'answer', status: 200, headers, body: '<html>' } })
    const answer = await post('/a', '', { origin: 'http://site.example' })
    expect([answer.status, await answer.text()]).toEqual([200, '<html>'])
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/html',
      'access-control-allow-origin': 'http://site.example',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': expect.stringContaining('Retry-After'),
    })
    expect(echo.seen).toEqual([])
  })

  test('[HN3] duplicate: the service sees it twice, the asker one answer', async () => {
    proxy.rule({ match: /./, action: { type: 'duplicate' } })
    expect(await said(post('/a'))).toEqual([201, 'yes', 'echo body'])
    await expect.poll(() => echo.seen).toEqual(['POST /a body', 'POST /a body'])
  })

  test('[HN3] a rule ends after so many times, or when it is removed, and the first that fits counts', async () => {
    proxy.rule({ match: /\/a/, times: 2, action: { type: 'answer', status: 500 } })
    const remove = proxy.rule({ match: /./, action: { type: 'answer', status: 418 } })
    const statuses: number[] = []
    for (const path of ['/a', '/b', '/a', '/a']) statuses.push((await post(path)).status)
    remove()
    statuses.push((await post('/a')).status)
    expect(statuses).toEqual([500, 418, 500, 418, 201])
  })

  test('[HN3] a rule that fits an upgrade refuses the socket', async () => {
    const remove = proxy.rule({ match: /^GET/, action: { type: 'refuse' } })
    await expect(dial()).rejects.toThrow()
    remove()
    await dial()
  })
})

describe('the network', () => {
  test('[HN4] offline: what is open is reset, what is new is refused, and it comes back', async () => {
    const socket = await dial()
    proxy.offline(true)
    await socket.closed()
    await expect(post('/a')).rejects.toThrow()
    await expect(dial()).rejects.toThrow()
    expect(echo.seen).toEqual([])
    proxy.offline(false)
    expect(await said(post('/a'))).toEqual([201, 'yes', 'echo body'])
    await dial()
  })

  test('[HN4] half-open: sockets stay open and silent, requests pass, and what was held comes in order', async () => {
    const old = await dial()
    old.send('one')
    await old.hears(1)
    proxy.halfOpen(true)
    for (const word of ['two', 'three']) old.send(word)
    // A request takes the same way and overtakes them: they have been held, not just not come yet.
    expect(await said(post('/a'))).toEqual([201, 'yes', 'echo body'])
    expect([old.heard, old.isOpen()]).toEqual([['echo one'], true])
    proxy.halfOpen(false)
    await old.hears(3)
    expect(old.heard).toEqual(['echo one', 'echo two', 'echo three'])
  })

  test('[HN5] tokens that have passed are expired, those that come later are not', async () => {
    const as = (token: string) => post('/a', '', { authorization: `Bearer ${token}`, origin: 'http://site.example' })
    expect((await as('old')).status).toBe(201)
    proxy.expireTokens()
    const refused = await as('old')
    expect([refused.status, await refused.json()]).toEqual([401, expect.objectContaining({ code: 'token-expired' })])
    expect(refused.headers.get('access-control-allow-origin')).toBe('http://site.example')
    expect((await as('new')).status).toBe(201)
    expect((await post('/a')).status).toBe(201)
    expect(proxy.exchanges.map(({ status }) => status)).toEqual([201, 401, 201, 201])
  })
})
