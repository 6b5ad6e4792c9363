// Runs a TypeScript file: `node scripts/run-ts.mjs bench/main.ts --json`. Node 20 cannot strip types.
// The file sees its own arguments in process.argv and the repository root as its working directory.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensureInstalled, ROOT } from './install.mjs'

/** Bundles one file (packages outside) and imports the result. */
export async function runTs(file, args) {
  ensureInstalled()
  if (!existsSync(join(ROOT, file))) {
    console.error(`There is no ${file}.`)
    process.exit(1)
  }
  const { bundleNode } = await import('./bundle.mjs')
  const name = `${basename(file, '.ts')}-${process.pid}`
  const outDir = join(ROOT, '.build/run')
  const out = join(outDir, `${name}.mjs`)
  mkdirSync(outDir, { recursive: true })
  process.on('exit', () => rmSync(out, { force: true }))
  await bundleNode({ entries: { [name]: file }, outDir, extension: 'mjs', singleFile: true })
  process.chdir(ROOT)
  process.argv = [process.argv[0], out, ...args]
  await import(pathToFileURL(out).href)
}

if (process.argv[1] === join(ROOT, 'scripts/run-ts.mjs')) {
  const [file, ...args] = process.argv.slice(2)
  if (file === undefined) {
    console.error('Usage: node scripts/run-ts.mjs FILE.ts [arguments]')
    process.exit(1)
  }
  await runTs(file, args)
}
