// The demo's files: pages and their assets from the build, and the worker's file with its build number.
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname, join, normalize, sep } from 'node:path'
import { sendJson } from './serve-http.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const PAGES: Readonly<Record<string, string>> = { '/': '/index.html', '/agent': '/agent.html' }
/** As they are typed: each page has one address, and only from that does it work. */
const ALIASES: Readonly<Record<string, string>> = { '/agent/': '/agent', '/agent.html': '/agent', '/index.html': '/' }
const HEADERS = {
  'Content-Security-Policy': "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'same-origin',
}

export async function servePage(
  request: IncomingMessage,
  response: ServerResponse,
  folder: string,
  path: string,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return sendJson(response, 405, { title: 'Pages are only read.' })
  const address = ALIASES[path]
  if (address !== undefined) return void response.writeHead(308, { Location: address }).end()
  const file = fileOf(folder, PAGES[path] ?? path)
  const content = file === undefined ? undefined : await contentOf(file)
  if (file === undefined || content === undefined) return sendJson(response, 404, { title: 'There is no such page.' })
  response.writeHead(200, {
    ...HEADERS,
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Content-Length': content.length,
    // The names of built assets change with their content; everything else is asked for again.
    'Cache-Control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
  })
  response.end(request.method === 'HEAD' ? undefined : content)
}

/** Another build number is another file, and another file is another worker: this is how the demo kills it. */
export async function serveWorker(response: ServerResponse, file: string, build: number): Promise<void> {
  const content = await contentOf(file)
  if (content === undefined) return sendJson(response, 404, { title: 'The worker is not built: run `npm run build`.' })
  response.writeHead(200, { ...HEADERS, 'Content-Type': TYPES['.js'], 'Cache-Control': 'no-store' })
  response.end(`${content.toString('utf8')}\n// build ${build}\n`)
}

/** A path never leads out of its folder. */
function fileOf(folder: string, path: string): string | undefined {
  try {
    const file = normalize(join(folder, decodeURIComponent(path)))
    return file.startsWith(folder + sep) && !file.includes('\0') ? file : undefined
  } catch {
    // A broken escape names no file.
    return undefined
  }
}

async function contentOf(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return undefined
    throw error
  }
}
