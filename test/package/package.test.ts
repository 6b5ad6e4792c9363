// What a site gets from the registry: the packed files, what they export, and that it loads and type-checks elsewhere.
// Needs a build in dist/; `npm test` and `node scripts/part.mjs package` make one first.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const DOCUMENTS = ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'SPEC.md', 'package.json']
/** What stands in dist/ for the repository only. */
const KEPT_BACK = /^dist\/(demo|demo-server)\/|\.tsbuildinfo$/

interface Manifest {
  readonly exports: Record<string, string | { types: string; default: string }>
  readonly dependencies: Record<string, string>
  readonly bin: Record<string, string>
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
const doors = Object.entries(manifest.exports).filter(
  (entry): entry is [string, { types: string; default: string }] => {
    return typeof entry[1] === 'object'
  },
)
const moduleNames = doors.map(([door]) => door.replace('.', 'holdfast'))

let packed: string[] = []
let site = ''

/** A site beside the repository, with the packed files and our dependencies, and nothing that we bundle. */
beforeAll(() => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const report = execFileSync(npm, ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  packed = filesIn(JSON.parse(report))

  site = mkdtempSync(join(tmpdir(), 'holdfast-site-'))
  for (const path of packed) cpSync(join(ROOT, path), join(site, 'node_modules/holdfast', path), { recursive: true })
  mkdirSync(join(site, 'node_modules/@types'), { recursive: true })
  for (const name of [
    ...Object.keys(manifest.dependencies),
    'libsql',
    '@playwright/test',
    '@types/node',
    '@types/ws',
  ]) {
    const target = join(site, 'node_modules', name)
    mkdirSync(join(target, '..'), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), target)
  }
  writeFileSync(join(site, 'package.json'), '{ "type": "module" }')
})

afterAll(() => rmSync(site, { recursive: true, force: true }))

/** npm reports a list up to version 11, and an object by package name in some. */
function filesIn(report: unknown): string[] {
  const [first] = Object.values(report as Record<string, { files: { path: string }[] }>)
  return (first?.files ?? []).map(({ path }) => path).sort()
}

test('[BD10] the packed files are the documents and the build', () => {
  expect(packed.filter((path) => !path.startsWith('dist/'))).toEqual(DOCUMENTS)
  expect(packed.filter((path) => KEPT_BACK.test(path))).toEqual([])
  expect(packed.filter((path) => path.startsWith('dist/') && !/\.(js|d\.ts|css|html)$/.test(path))).toEqual([])
})

test('[BD10] every exported file and every program is packed', () => {
  const targets = doors.flatMap(([, { types, default: code }]) => [types, code])
  const wanted = [
    ...targets,
    ...Object.values(manifest.bin),
    './dist/holdfast-sw.js',
    './dist/holdfast-sw-genesys.js',
    './dist/holdfast-encryption.js',
    './dist/holdfast-hub.js',
    './dist/hub.html',
  ].map((path) => path.slice(2))
  expect(wanted.filter((path) => !packed.includes(path))).toEqual([])
})

test.each(moduleNames)('[BD10] %s loads on a site that has only our dependencies', (name) => {
  const code = `const names = Object.keys(await import('${name}')); console.log(names.length)`
  const count = execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: site, encoding: 'utf8' })
  expect(Number(count)).toBeGreaterThan(0)
})

test('[BD10] the declarations compile on a site, without skipLibCheck', () => {
  const lines = moduleNames.map(
    (name, index) => `import * as m${index} from '${name}'\nexport const n${index} = m${index}`,
  )
  writeFileSync(join(site, 'site.ts'), lines.join('\n'))
  const options = { strict: true, noEmit: true, skipLibCheck: false, target: 'ES2022', module: 'ESNext' }
  const compilerOptions = {
    ...options,
    moduleResolution: 'bundler',
    lib: ['ES2022', 'DOM', 'DOM.Iterable'],
    types: ['node'],
  }
  writeFileSync(join(site, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['site.ts'] }))
  expect(compile(site)).toEqual([])
})

/** What the compiler says of holdfast; how well our dependencies type-check is theirs. */
function compile(cwd: string): string[] {
  try {
    execFileSync(process.execPath, [TSC, '-p', '.'], { cwd, encoding: 'utf8' })
    return []
  } catch (error) {
    const { stdout } = error as { stdout: string }
    return stdout.split('\n').filter((line) => /error TS/.test(line) && /holdfast|^site\.ts/.test(line))
  }
}

test('[BD13] the lock file has an entry for each package that another entry names, on whatever system', () => {
  interface Entry {
    readonly dependencies?: Record<string, string>
    readonly optionalDependencies?: Record<string, string>
  }
  const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  const { packages } = JSON.parse(text) as { packages: Record<string, Entry> }
  const missing = Object.entries(packages).flatMap(([path, { dependencies, optionalDependencies }]) => {
    const names = Object.keys({ ...dependencies, ...optionalDependencies })
    return names.filter(
      (name) => !(`${path}/node_modules/${name}` in packages) && !(`node_modules/${name}` in packages),
    )
  })
  expect(missing).toEqual([])
})

test('[BD11] the prebuilt worker is a classic script that leaves no global name', () => {
  const code = readFileSync(join(ROOT, 'dist/holdfast-sw.js'), 'utf8')
  expect(() => new Script(code)).not.toThrow()
  expect(code).not.toMatch(/\bimport\.meta\b|^(?:var|let|const|function)\b/m)
})

test('[BD11] the page module and the worker modules carry their packages with them', () => {
  for (const path of packed.filter((name) => /^dist\/([^/]+|platforms\/[^/]+|chunks\/[^/]+)\.js$/.test(name))) {
    const code = readFileSync(join(ROOT, path), 'utf8')
    expect(code, path).not.toMatch(/(?:\bfrom|\bimport)\s*\(?\s*["'`](?![./])/)
  }
})
