// The memory of the service's own process: a probe inside says how large its spaces are after a load.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { bundledMain, NodeProcess } from '../servers/node.ts'
import { times, Visitor } from './server-visitor.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const WRITERS = 8
const POSTS = 100
/** Writes the size of the young generation into a file whenever it changes, with no say in when it is collected. */
const PROBE = `const { getHeapSpaceStatistics } = require('node:v8')
let largest = 0
setInterval(() => {
  const size = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size
  if (size > largest) require('node:fs').writeFileSync(process.env.PROBE_FILE, String(largest = size))
}, 20).unref()`

let bundle: Awaited<ReturnType<typeof bundledMain>>
let folder: string
beforeAll(async () => {
  bundle = await bundledMain('server-memory', false)
  folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  await writeFile(join(folder, 'probe.cjs'), PROBE)
})
afterAll(async () => {
  await bundle.remove()
  await rm(folder, { recursive: true, force: true })
})

/** Posts until much garbage was made, and says how much room the young objects were given at most, in bytes. */
async function youngAfterPosts(name: string, options: string): Promise<number> {
  const file = join(folder, name)
  const env = { NODE_OPTIONS: `--require ${join(folder, 'probe.cjs')} ${options}`, PROBE_FILE: file }
  const node = new NodeProcess(bundle.main, ['--data', ':memory:'], env)
  await node.start()
  try {
    await Promise.all(
      times(WRITERS, async () => {
        const visitor = new Visitor(node.url)
        const conversation = await visitor.begin()
        for (let n = 0; n < POSTS; n++) await visitor.say(conversation, `message ${n}`)
      }),
    )
    return Number(await readFile(file, 'utf8'))
  } finally {
    await node.stop('SIGKILL')
  }
}

test('[SV80] the room for young objects stays as it was at the start, however much is posted', async () => {
  expect(await youngAfterPosts('small', '')).toBeLessThanOrEqual(4 * 1024 * 1024)
})

test('[SV80] an operator who says how the heap grows is listened to', async () => {
  expect(await youngAfterPosts('own', '--max-semi-space-size=8')).toBeGreaterThan(4 * 1024 * 1024)
})
