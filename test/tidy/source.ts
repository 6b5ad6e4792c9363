// Reads the repository's own source for test/tidy.test.ts: files, syntax trees and imports.
// The rules about it are in rules.ts.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'vite'

export interface SourceFile {
  /** From the root of the repository, with forward slashes. */
  readonly path: string
  readonly text: string
}

/** A node of the syntax tree, as loosely as a walk needs it. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

export interface Comment {
  readonly value: string
  readonly start: number
  readonly end: number
}

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const GENERATED = new Set(['node_modules', 'dist', '.build', '.git', '.data', 'test-results', 'playwright-report'])
const BINARY = /\.(png|jpg|webp|woff2|ico|db|sqlite)$/

/** Every text file of the repository that is written by hand, and the lock file. */
export function readRepository(folder = ''): SourceFile[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    if (GENERATED.has(entry.name) || BINARY.test(entry.name)) return []
    if (entry.isDirectory()) return readRepository(path)
    return entry.isFile() ? [{ path, text: readFileSync(join(ROOT, path), 'utf8') }] : []
  })
}

const trees = new WeakMap<SourceFile, { program: Node; comments: readonly Comment[] }>()

/** Parses once per file; every rule walks the same tree. */
export function parse(file: SourceFile): { program: Node; comments: readonly Comment[] } {
  const known = trees.get(file)
  if (known !== undefined) return known
  const { program, comments, errors } = parseSync(file.path, file.text)
  if (errors.length > 0) throw new Error(`${file.path} does not parse: ${errors[0]?.message}`)
  const tree = { program: program as unknown as Node, comments }
  trees.set(file, tree)
  return tree
}

export function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, visit)
  }
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

export function lineOf(file: SourceFile, position: number): number {
  return file.text.slice(0, position).split('\n').length
}

/** What a file imports, at once or later, types included: paths from the root for our own files, names for packages. */
export function importsOf(file: SourceFile): { ours: string[]; packages: string[] } {
  const found: string[] = []
  walk(parse(file).program, (node) => {
    const source = node['source'] ?? (node.type === 'TSImportType' ? node['argument'] : undefined)
    const literal = isNode(source) && isNode(source['literal']) ? source['literal'] : source
    if (isNode(literal) && typeof literal['value'] === 'string') found.push(literal['value'])
  })
  const isOurs = (name: string): boolean => name.startsWith('.')
  return {
    ours: found.filter(isOurs).map((name) => posix.join(posix.dirname(file.path), name)),
    packages: found.filter((name) => !isOurs(name)),
  }
}

/** `@scope/name/deep` → `@scope/name`; `node:fs` stays as it is. */
export function packageOf(specifier: string): string {
  const parts = specifier.split('/')
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}
