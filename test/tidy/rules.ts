// The rules about the source itself, each a function from files to findings; no finding means tidy.
// tidy.test.ts runs them over the repository, and over small offenders that each must catch.
import { ARROWS, DOORS } from './doors.ts'
import { importsOf, isNode, lineOf, type Node, packageOf, parse, type SourceFile, walk } from './source.ts'

const FILE_LINES_MAX = 300
const FUNCTION_LINES_MAX = 60

const SHIPPED = /^(core|sw|src|server|testing|public)\/.*\.ts$/
const PURE = /^(core\/.*|sw\/(engine|stream)[^/]*|server\/session[^/]*)\.ts$/
const TYPESCRIPT = /^(core|sw|src|server|testing|public|test|e2e|bench)\/.*\.ts$/

const isCode = (file: SourceFile): boolean => TYPESCRIPT.test(file.path) && !file.path.endsWith('.d.ts')

/** Arrows between folders: what the compiler cannot see (src/ and sw/), and the rest once more. */
export function wrongArrows(files: readonly SourceFile[]): string[] {
  return files.filter(isCode).flatMap((file) => {
    const arrow = ARROWS.find(({ from }) => from.test(file.path))
    if (arrow === undefined) return []
    return importsOf(file)
      .ours.filter((target) => !arrow.to.test(target))
      .map((target) => `${file.path} imports ${target}`)
  })
}

/** A clock or a die in code that must be given both. */
export function clocksAndDice(files: readonly SourceFile[]): string[] {
  const inPure = files.filter((file) => PURE.test(file.path))
  return inPure.flatMap((file) => {
    const found: string[] = []
    walk(parse(file).program, (node) => {
      const name = node.type === 'MemberExpression' ? file.text.slice(node.start, node.end) : ''
      const isCall = /^(Date\.now|Math\.random|performance\.now|crypto\.(randomUUID|getRandomValues))$/.test(name)
      const args = node['arguments']
      const isNow =
        /^(New|Call)Expression$/.test(node.type) &&
        named(node['callee'], 'Date') &&
        Array.isArray(args) &&
        args.length === 0
      if (isCall || isNow)
        found.push(`${file.path}:${lineOf(file, node.start)} ${file.text.slice(node.start, node.end)}`)
    })
    return found
  })
}

/** A package imported anywhere but at its door. */
export function wrongDoors(files: readonly SourceFile[]): string[] {
  return files.filter(isCode).flatMap((file) => {
    return importsOf(file).packages.flatMap((target) => {
      if (target.startsWith('node:') && !DOORS.has(target)) return []
      const doors = DOORS.get(packageOf(target))
      if (doors === undefined) return [`${file.path} imports ${target}, which has no door in test/tidy/doors.ts`]
      return doors.some((door) => door.test(file.path)) ? [] : [`${file.path} imports ${target} outside its door`]
    })
  })
}

export function tooLong(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => SHIPPED.test(file.path) || /^scripts\/.*\.mjs$/.test(file.path))
    .flatMap((file) => {
      const lines = file.text.trimEnd().split('\n').length
      const found = lines > FILE_LINES_MAX ? [`${file.path} has ${lines} lines`] : []
      walk(parse(file).program, (node) => {
        if (!/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) return
        const first = lineOf(file, node.start)
        const length = lineOf(file, node.end) - first + 1
        if (length > FUNCTION_LINES_MAX) found.push(`${file.path}:${first} is a function of ${length} lines`)
      })
      return found
    })
}

export function defaultExports(files: readonly SourceFile[]): string[] {
  return files.filter(isCode).flatMap((file) => {
    const isDefault = (node: Node): boolean => node.type === 'ExportDefaultDeclaration'
    return (parse(file).program['body'] as Node[]).filter(isDefault).map(() => `${file.path} has a default export`)
  })
}

/** Names exported from the public door whose declaration has no TSDoc, wherever it is. */
export function undocumented(files: readonly SourceFile[], entry = 'src/index.ts'): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  return exportsOf(entry, byPath).flatMap(({ name, at, local }) => {
    const file = byPath.get(at)
    return file !== undefined && hasDoc(file, local) ? [] : [`${name} (${at}) has no TSDoc`]
  })
}

interface Export {
  readonly name: string
  /** The file of the declaration, and the name it has there. */
  readonly at: string
  readonly local: string
}

function exportsOf(path: string, files: ReadonlyMap<string, SourceFile>): Export[] {
  const file = files.get(path)
  if (file === undefined) return []
  return (parse(file).program['body'] as Node[]).flatMap((node) => {
    const source = isNode(node['source']) ? sourceOf(file, node) : undefined
    if (node.type === 'ExportAllDeclaration' && source !== undefined) return exportsOf(source, files)
    if (node.type !== 'ExportNamedDeclaration') return []
    const specifiers = (node['specifiers'] as Node[]).flatMap((specifier): Export[] => {
      const name = text(specifier['exported'])
      const local = text(specifier['local'])
      return [{ name, ...origin(source ?? importedFrom(file, local) ?? path, local, path, files) }]
    })
    return [...specifiers, ...declared(node['declaration']).map((name) => ({ name, at: path, local: name }))]
  })
}

/** Follows re-exports to the file that declares the name. */
function origin(at: string, local: string, from: string, files: ReadonlyMap<string, SourceFile>): Omit<Export, 'name'> {
  if (at === from) return { at, local }
  const found = exportsOf(at, files).find(({ name }) => name === local)
  return found === undefined ? { at, local } : { at: found.at, local: found.local }
}

/** The file that an import or a re-export names. */
function sourceOf(file: SourceFile, node: Node): string | undefined {
  return importsOf({ path: file.path, text: `import ${JSON.stringify((node['source'] as Node)['value'])}` }).ours[0]
}

function importedFrom(file: SourceFile, local: string): string | undefined {
  const imports = (parse(file).program['body'] as Node[]).filter((node) => node.type === 'ImportDeclaration')
  const node = imports.find(({ specifiers }) => (specifiers as Node[]).some((one) => text(one['local']) === local))
  return node === undefined ? undefined : sourceOf(file, node)
}

function declared(declaration: unknown): string[] {
  if (!isNode(declaration)) return []
  if (Array.isArray(declaration['declarations'])) return declaration['declarations'].map((one: Node) => text(one['id']))
  return [text(declaration['id'])]
}

function hasDoc(file: SourceFile, local: string): boolean {
  const { program, comments } = parse(file)
  return (program['body'] as Node[]).some((node) => {
    const inner = node.type === 'ExportNamedDeclaration' ? node['declaration'] : node
    if (!declared(inner).includes(local)) return false
    return comments.some(({ value, end }) => value.startsWith('*') && /^\s*$/.test(file.text.slice(end, node.start)))
  })
}

function text(node: unknown): string {
  return isNode(node) ? String(node['name'] ?? node['value']) : ''
}

function named(node: unknown, name: string): boolean {
  return isNode(node) && node['name'] === name
}

/** Rules nobody proves, proofs of no rule, and rule numbers given twice. */
export function uncited(files: readonly SourceFile[]): string[] {
  const spec = files.find(({ path }) => path === 'SPEC.md')?.text ?? ''
  const rules = [...spec.matchAll(/^- \*\*([A-Z]+\d+)\*\*/gm)].map(([, id]) => id as string)
  const prefixes = [...spec.matchAll(/^## ([A-Z]+):/gm)].map(([, prefix]) => prefix).join('|')
  const citation = new RegExp(`\\[((?:${prefixes})\\d+(?:, ?(?:${prefixes})\\d+)*)\\]`, 'g')
  const tests = files.filter(({ path }) => /^(test|e2e|testing)\/.*\.ts$/.test(path) && !path.startsWith('test/tidy'))
  const tidy = files.filter(({ path }) => path === 'test/tidy.test.ts')
  const cited = new Map<string, string>()
  for (const file of [...tests, ...tidy]) {
    for (const [, ids = ''] of file.text.matchAll(citation)) for (const id of ids.split(/, ?/)) cited.set(id, file.path)
  }
  const twice = rules.filter((id, index) => rules.indexOf(id) !== index)
  return [
    ...rules.filter((id) => !cited.has(id)).map((id) => `${id} is cited by no test`),
    ...[...cited].filter(([id]) => !rules.includes(id)).map(([id, path]) => `${path} cites ${id}, which is no rule`),
    ...twice.map((id) => `${id} is given twice`),
  ]
}

/** Paths of one person's machine and hosts of package registries: nobody else has them. */
export function strayPlaces(files: readonly SourceFile[]): string[] {
  const patterns = [
    /(?:^|[\s"'`(=:])(?:file:\/\/)?\/(?:home|work|root|Users)\/[\w.-]+/m,
    /[A-Z]:\\Users\\/,
    /https?:\/\/[^\s"'`]*(?:registry|artifactory|nexus|verdaccio)[^\s"'`]*/,
    /"resolved": "/,
  ]
  return files
    .filter(({ path }) => !path.startsWith('test/tidy'))
    .flatMap(({ path, text }) =>
      patterns.flatMap((one) => (one.exec(text) ? [`${path}: ${one.exec(text)?.[0].trim()}`] : [])),
    )
}

/** Tests that wait for time, that do not run, or that keep others from running. */
export function looseTests(files: readonly SourceFile[]): string[] {
  const tests = files.filter(({ path }) => /^(test|e2e)\/.*\.ts$/.test(path) && !path.startsWith('test/tidy'))
  return tests.flatMap((file) => {
    const found = [
      ...file.text.matchAll(
        /\b(?:test|it|describe|suite)(?:\.\w+)*\.(?:skip|skipIf|runIf|only|todo|fixme|fails|fail)\b/g,
      ),
      ...file.text.matchAll(/\bwaitForTimeout\b|['"](?:node:)?timers\/promises['"]/g),
    ].map((match) => `${file.path}:${lineOf(file, match.index)} ${match[0]}`)
    walk(parse(file).program, (node) => {
      if (isSleep(node)) found.push(`${file.path}:${lineOf(file, node.start)} sleeps`)
    })
    return found
  })
}

/** `new Promise((done) => setTimeout(done, …))`, also with an arrow around `done`. A deadline that rejects is none. */
function isSleep(node: Node): boolean {
  if (node.type !== 'NewExpression' || !named(node['callee'], 'Promise')) return false
  const executor = (node['arguments'] as Node[])[0]
  const resolve = text((executor?.['params'] as Node[] | undefined)?.[0])
  if (executor === undefined || resolve === '') return false
  let sleeps = false
  walk(executor, (inner) => {
    if (inner.type !== 'CallExpression' || !named(inner['callee'], 'setTimeout')) return
    const callback = (inner['arguments'] as Node[])[0]
    const body = callback?.['body']
    sleeps ||= named(callback, resolve) || (isNode(body) && named(body['callee'], resolve))
  })
  return sleeps
}
