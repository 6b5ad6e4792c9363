// The service as a process of its own: killed without warning and started again on the same file and port,
// refused where it cannot work, and its command line. It is bundled first, as in a release.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { createSessionService } from '../../server/index.ts'
import { type Created, freshKey, times, Visitor } from './server-visitor.ts'

// Each test starts processes, and the machine may be busy with others.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

const ROOT = resolve(import.meta.dirname, '../..')
const OUT = join(ROOT, '.build/server-process')
let main: string
let folder: string
const children = new Set<ChildProcess>()

beforeAll(async () => {
  const { bundleNode } = (await import('../../scripts/bundle.mjs' as string)) as {
    bundleNode: (options: object) => Promise<unknown>
  }
  const name = `main-${process.pid}`
  await bundleNode({ entries: { [name]: 'server/main.ts' }, outDir: OUT, extension: 'mjs', singleFile: true })
  main = join(OUT, `${name}.mjs`)
})
afterAll(() => rm(main, { force: true }))
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
  await rm(folder, { recursive: true, force: true })
})

function run(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  return child
}

/** Runs to the end. */
async function ended(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = run(...args)
  let [out, err] = ['', '']
  child.stdout?.on('data', (chunk) => {
    out += String(chunk)
  })
  child.stderr?.on('data', (chunk) => {
    err += String(chunk)
  })
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}

/** Starts to listen, and says where. */
async function served(port = 0, ...more: string[]): Promise<{ child: ChildProcess; url: string }> {
  const child = run('serve', '--port', String(port), '--data', join(folder, 'data'), ...more)
  if (child.stdout === null) throw new Error('no output')
  for await (const line of createInterface(child.stdout)) {
    const entry = JSON.parse(line) as { event: string; url?: string }
    if (entry.event === 'listening' && entry.url !== undefined) return { child, url: entry.url }
  }
  throw new Error('The service ended before it listened.')
}

async function killed(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

test('[SV26] killed in mid-write, again and again: nothing acknowledged is lost, nothing doubled, no gap', async () => {
  let { child, url } = await served()
  const port = Number(new URL(url).port)
  let visitor = new Visitor(url)
  const conversation: Created = await visitor.begin()
  const acknowledged = new Map<string, number>()
  const unknown = new Set<string>()

  const post = async (key: string) => {
    try {
      const { status, body } = await visitor.say(conversation, `text of ${key}`, key)
      if (status !== 201 && status !== 200) throw new Error(`status ${status}`)
      acknowledged.set(key, body.seq)
      unknown.delete(key)
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('status')) throw error
      unknown.add(key)
    }
  }
  for (const round of times(4, (n) => n)) {
    const enough = acknowledged.size + 40
    const writers = times(8, async (writer) => {
      for (let n = 0; !child.killed; n++) {
        await post(`key-${round}-${writer}-${n}`)
        if (acknowledged.size >= enough && !child.killed) child.kill('SIGKILL')
      }
    })
    await Promise.all(writers)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    ;({ child, url } = await served(port))
    const { cookie, token } = visitor
    visitor = Object.assign(new Visitor(url), { cookie, token })
    // What has no answer yet is sent again with its key, as an outbox would.
    for (const key of [...unknown]) await post(key)
  }
  expect(unknown.size).toBe(0)

  const stored: { seq: number; key?: string }[] = []
  for (let query = '?limit=200'; ; ) {
    const { body } = await visitor.list(conversation.id, query)
    stored.push(...body.messages)
    if (stored.length === body.lastSeq) break
    query = `?limit=200&afterId=${body.nextAfterId}`
  }
  expect(stored.map(({ seq }) => seq)).toEqual(times(stored.length, (index) => index + 1))
  expect(new Map(stored.map(({ key, seq }) => [key, seq]))).toEqual(acknowledged)
  // The session lives on as well: its cookie, its access token and its keys are those from before the kills.
  expect((await visitor.refresh(freshKey())).status).toBe(200)
})

test('[SV26] closed in good order and made again in the same process, the service goes on where it was', async () => {
  const data = join(folder, 'data')
  const before = await createSessionService({ data })
  const visitor = new Visitor(before)
  const conversation = await visitor.begin()
  await visitor.say(conversation, 'hello', 'key-of-hello')
  await before.close()

  const after = await createSessionService({ data })
  const same = Object.assign(new Visitor(after), { cookie: visitor.cookie, token: visitor.token })
  expect((await same.say(conversation, 'hello', 'key-of-hello')).status).toBe(200)
  expect((await same.refresh(freshKey())).status).toBe(200)
  await after.close()
})

test('[SV44] a second service on the same data is refused with a clear message, the first goes on', async () => {
  const { child, url } = await served()
  const second = await ended('serve', '--port', '0', '--data', join(folder, 'data'))
  expect(second.code).toBe(1)
  expect(second.err).toContain('Only one service can use a data folder')
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
  await killed(child)
  const again = await served()
  expect((await fetch(`${again.url}/readyz`)).status).toBe(200)
})

test('[SV46] SIGTERM stops in good order', async () => {
  const { child, url } = await served()
  await new Visitor(url).begin()
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

test("[SV46] an agent's token is minted while the service runs, and works", async () => {
  const { url } = await served()
  const { code, out } = await ended(
    'agent-token',
    '--data',
    join(folder, 'data'),
    '--deployment',
    'demo',
    '--name',
    'Kim',
  )
  expect(code).toBe(0)
  const agent = new Visitor(url)
  agent.token = out.trim()
  expect((await agent.call('/api/v2/messaging/conversations')).body).toEqual({ conversations: [] })
  const keys = join(folder, 'data/keys.json')
  expect((await stat(keys)).mode & 0o777).toBe(0o600)
  expect(await readFile(keys, 'utf8')).toContain('refreshSecret')
})

test('[SV69] a copy of the running service has everything, and a service goes on from it', async () => {
  const backups = join(folder, 'backups')
  const { child, url } = await served(0, '--backups', backups)
  const visitor = new Visitor(url)
  const conversation = await visitor.begin()
  await visitor.say(conversation, 'kept', 'key-of-kept')
  const busy = await ended('backup', '--data', join(folder, 'data'), join(folder, 'copy.db'))
  expect([busy.code, busy.err]).toEqual([1, expect.stringContaining('Only one service')])
  const done = once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  child.kill('SIGUSR2')
  const entry = JSON.parse(String((await done)[0])) as { event: string; target: string }
  expect(entry.event).toBe('backed-up')
  await killed(child)

  await rm(join(folder, 'data'), { recursive: true })
  await rename(entry.target, join(folder, 'data'))
  const again = Object.assign(new Visitor((await served()).url), { cookie: visitor.cookie, token: visitor.token })
  expect((await again.say(conversation, 'kept', 'key-of-kept')).status).toBe(200)
  expect((await again.refresh(freshKey())).status).toBe(200)
})

test('[AT13] a copy of the running service has the bytes of attachments', async () => {
  const { child, url } = await served(0, '--backups', join(folder, 'backups'))
  const visitor = new Visitor(url)
  const { id } = await visitor.begin()
  const path = `/api/v2/messaging/conversations/${id}/attachments`
  const file = { name: 'a.txt', type: 'text/plain', size: 2 }
  const made = await visitor.call<{ id: string }>(path, { body: file, headers: { 'Idempotency-Key': freshKey() } })
  const headers = { Authorization: `Bearer ${visitor.token}` }
  await fetch(`${url}${path}/${made.body.id}/content?offset=0`, { method: 'PUT', headers, body: 'ok' })
  const done = once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  child.kill('SIGUSR2')
  const { target } = JSON.parse(String((await done)[0])) as { target: string }
  expect(await readFile(join(target, 'attachments', made.body.id, '0'), 'utf8')).toBe('ok')
})

test('[SV68] the command line renews the keys beside a running service, and copies one that is stopped', async () => {
  const { child, url } = await served()
  await new Visitor(url).begin()
  const renewal = await ended('renew-keys', '--data', join(folder, 'data'))
  expect([renewal.code, renewal.out]).toEqual([0, expect.stringContaining('2 signing keys')])
  await killed(child)
  const copy = join(folder, 'copy.db')
  expect((await ended('backup', '--data', join(folder, 'data'), copy)).code).toBe(0)
  expect((await stat(copy)).size).toBeGreaterThan(0)
})

test.each([
  { is: 'another database', args: ['serve', '--database', 'mysql://x'], says: 'begins with postgres://' },
  { is: 'a broken address', args: ['serve', '--database', 'postgres://u:secret@h:x/y'], says: 'a valid address' },
  { is: 'another fan-out', args: ['serve', '--database', 'postgres://x', '--fanout', 'amqp://x'], says: 'redis://' },
  { is: 'a fan-out for one node', args: ['serve', '--fanout', 'redis://x'], says: 'fanout needs database' },
  { is: 'two stores', args: ['serve', '--database', 'postgres://x', '--data', 'y'], says: 'not both' },
  { is: 'a backup without a file', args: ['backup'], says: 'one new file' },
  { is: 'an odd port', args: ['serve', '--port', 'x'], says: '--port is a number' },
  { is: 'an unknown option', args: ['serve', '--prot', '1'], says: '--prot' },
  { is: 'an empty port', args: ['serve', '--port', ''], says: '--port is a number' },
  { is: "another command's option", args: ['serve', '--retry'], says: 'serve has no option --retry' },
  { is: 'an unknown command', args: ['sreve'], says: 'no command sreve' },
  { is: 'a missing configuration', args: ['serve', '--config', '/nowhere.json'], says: 'cannot be read' },
  {
    is: 'an unknown deployment',
    args: ['agent-token', '--deployment', 'x', '--data', ':never:'],
    says: 'no deployment x',
  },
])('[SV46] $is is refused with a sentence and exit code 2', async ({ args, says }) => {
  const { code, err } = await ended(...args)
  expect(code).toBe(2)
  expect(err).toContain(says)
  expect(err).not.toContain('secret')
})

test.each([
  { is: 'a list', text: '[]', says: 'holds no object' },
  { is: 'nothing', text: 'null', says: 'holds no object' },
  {
    is: 'an unknown name',
    text: '{"limits":{"sessionRequestPerSecond":3}}',
    says: 'sessionRequestPerSecond is not known',
  },
  { is: 'origins that are no list', text: '{"deployments":{"demo":{"origins":"https://a.example"}}}', says: 'origins' },
  { is: 'a secret that is short', text: '{"deployments":{"demo":{"identity":{"key":"s3cret"}}}}', says: 'identity.' },
])('[SV87] a configuration of $is is refused before anything is opened', async ({ text, says }) => {
  const file = join(folder, 'config.json')
  await writeFile(file, text)
  const { code, err } = await ended('serve', '--port', '0', '--data', join(folder, 'data'), '--config', file)
  expect(code).toBe(2)
  expect(err).toContain(says)
  expect(err).not.toContain('s3cret')
  await expect(stat(join(folder, 'data'))).rejects.toThrow('ENOENT')
})

test('[SV46] what the machine refuses is told in one line', async () => {
  const { url } = await served()
  const taken = await ended('serve', '--port', new URL(url).port, '--data', ':memory:')
  expect(taken).toMatchObject({ code: 1, err: expect.stringMatching(/^127\.0\.0\.1:\d+ cannot be listened on.*\n$/) })
  const file = join(folder, 'file')
  await writeFile(file, '')
  const unusable = await ended('serve', '--port', '0', '--data', file)
  expect(unusable).toMatchObject({ code: 1, err: `${file} cannot be used (EEXIST).\n` })
})

test('[SV46] an operator who misspells the folder is told so, and nothing is made there', async () => {
  const nowhere = join(folder, 'dta')
  const renewal = await ended('renew-keys', '--data', nowhere)
  expect(renewal).toMatchObject({ code: 1, err: expect.stringContaining('There are no keys in') })
  const copied = await ended('backup', '--data', nowhere, join(folder, 'copy.db'))
  expect(copied).toMatchObject({ code: 1, err: expect.stringContaining('There is no store in') })
  await expect(stat(nowhere)).rejects.toThrow('ENOENT')
})

test('[SV55] the command line lists the dead letters of a running service', async () => {
  const { url } = await served()
  const listed = await ended('dead-letters', '--data', join(folder, 'data'), url)
  expect(listed).toMatchObject({ code: 0, out: 'There are no dead letters.\n' })
  expect((await ended('dead-letters', 'nowhere')).code).toBe(2)
})

test('[SV70] the command line checks a service, for people and for programs', async () => {
  const { url } = await served()
  const report = await ended('check', '--json', '--quick', url)
  expect(report.code).toBe(0)
  expect(JSON.parse(report.out)).toMatchObject({ url, deployment: 'demo', failed: 0 })
  const nobody = await ended('check', '--quick', 'http://127.0.0.1:9')
  expect(nobody.code).toBe(1)
  expect(nobody.out).toMatch(/^FAIL {2}key-repeats: /)
  expect((await ended('check')).code).toBe(2)
})
