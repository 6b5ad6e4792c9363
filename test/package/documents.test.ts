// What a newcomer copies out of the documents: the code compiles against the package, and the way to bundle a worker that
// README.md shows gives one script that every browser starts. Needs a build in dist/.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { build, type InlineConfig } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** What the documents leave to the site. */
const SITE = `
import type { Chat, State, connect as connectTo } from 'holdfast'
import type { encryption as seal } from 'holdfast/encryption'
import type { bindMessenger as bind } from 'holdfast/genesys-messenger'
import type { startWorker as start } from 'holdfast/sw'
import type { sessionService } from 'holdfast/platforms/session-service'
declare global {
  const chat: Chat
  const connect: typeof connectTo
  const bindMessenger: typeof bind
  const startWorker: typeof start
  const encryption: typeof seal
  const platform: ReturnType<typeof sessionService>
  const importScripts: (...files: string[]) => void
  const render: (messages: State['messages'], phase: State['phase']) => void
  const show: (phase: State['phase']) => void
  const signIn: () => Promise<{ authCode: string; redirectUri: string }>
  const authCode: string, redirectUri: string, codeVerifier: string, nonce: string
  const email: string, tokenOfTheSite: string
}
`
const DOCUMENTS = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter((path) =>
  path.endsWith('.md'),
)

interface Block {
  readonly name: string
  readonly language: string
  readonly code: string
}

const blocksOf = (path: string): Block[] =>
  [...read(path).matchAll(/^```(ts|js)\b.*?\n(.*?)^```/gms)].map(([, language = '', code = ''], index) => ({
    name: `${path.replaceAll(/\W/g, '-')}-${index}.${language}`,
    language,
    code,
  }))

let site = ''

beforeAll(() => {
  site = mkdtempSync(join(tmpdir(), 'holdfast-documents-'))
  mkdirSync(join(site, 'node_modules'))
  symlinkSync(ROOT, join(site, 'node_modules/holdfast'))
  // As `npm init` makes it.
  writeFileSync(join(site, 'package.json'), '{ "type": "commonjs" }')
})

afterAll(() => rmSync(site, { recursive: true, force: true }))

test('[BD20] every block of code in the documents compiles as a part of a site', () => {
  const blocks = DOCUMENTS.flatMap(blocksOf)
  expect(blocks.length).toBeGreaterThan(12)
  mkdirSync(join(site, 'blocks'))
  writeFileSync(join(site, 'blocks/site.d.ts'), SITE)
  for (const { name, code } of blocks) writeFileSync(join(site, 'blocks', name), `${code}\nexport {}\n`)
  const compilerOptions = {
    ...{ strict: true, noEmit: true, allowJs: true, checkJs: true, noImplicitAny: false, skipLibCheck: true },
    ...{ target: 'ES2022', module: 'ESNext', moduleResolution: 'bundler', types: [] },
    lib: ['ES2022', 'DOM', 'DOM.Iterable'],
  }
  writeFileSync(join(site, 'blocks/tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*'] }))
  expect(linesOf(() => execFileSync(process.execPath, [TSC, '-p', 'blocks'], { cwd: site, encoding: 'utf8' }))).toEqual(
    [],
  )
})

function linesOf(run: () => string): string[] {
  try {
    return run().split('\n').filter(Boolean)
  } catch (error) {
    return (error as { stdout: string }).stdout.split('\n').filter(Boolean)
  }
}

test('[BD14] the worker that README.md has Vite build is one classic script, whatever the page shares with it', async () => {
  const [, , config] = blocksOf('README.md')
  const [worker] = blocksOf('README.md')
  mkdirSync(join(site, 'src'))
  writeFileSync(join(site, 'src/shared.ts'), `export const NAME: string = 'acme'`)
  writeFileSync(join(site, 'src/sw.ts'), `${worker?.code}\nimport { NAME } from './shared.ts'\nconsole.log(NAME)`)
  writeFileSync(join(site, 'src/main.ts'), `import { NAME } from './shared.ts'\ndocument.title = NAME`)
  writeFileSync(join(site, 'index.html'), '<script type="module" src="/src/main.ts"></script>')
  writeFileSync(join(site, 'vite.worker.config.mjs'), config?.code ?? '')
  const from: InlineConfig = { root: site, logLevel: 'silent' }
  await build({ ...from, configFile: false })
  await build({ ...from, configFile: join(site, 'vite.worker.config.mjs') })
  const code = readFileSync(join(site, 'dist/holdfast/sw.js'), 'utf8')
  expect(() => new Script(code)).not.toThrow()
  expect(code).toContain('https://chat.example.com')
  expect(readdirSync(join(site, 'dist')).sort()).toEqual(['assets', 'holdfast', 'index.html'])
})
