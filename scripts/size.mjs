// Weighs what visitors load, gzipped, against the limits, and holds the numbers of README.md to what it finds.
// `--write` puts the numbers into README.md, between `<!-- size:page -->` and `<!-- /size -->`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { ROOT } from './install.mjs'

const KB = 1024
/** README.md may say more than it weighs, by this much, and never less. */
const README_SLACK_KB = 0.3

/** `reachedKb`: what it weighs today, where that is over the limit. It may shrink and never grow (decision 5). */
const LIMITS = [
  { name: 'page', file: 'holdfast.js', limitKb: 7 },
  { name: 'genesys', file: 'holdfast-sw-genesys.js', limitKb: 13, reachedKb: 53.3 },
  { name: 'worker', file: 'holdfast-sw.js', limitKb: 12, reachedKb: 47.1 },
]
/** `npm test` holds what has been reached; `npm run size` alone holds the limit. */
const isRatchet = !process.argv.includes('--limit')

const problems = []
const rows = LIMITS.map(weigh)
console.log('what     file                      gzip      limit')
for (const { name, file, bytes, limitKb } of rows) {
  const columns = [
    name.padEnd(9),
    file.padEnd(24),
    `${(bytes / KB).toFixed(2)} kB`.padStart(8),
    `${limitKb} kB`.padStart(9),
  ]
  console.log(columns.join(''))
}
process.argv.includes('--write') ? writeReadme() : checkReadme()
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

function weigh({ name, file, limitKb, reachedKb = limitKb }) {
  const path = join(ROOT, 'dist', file)
  if (!existsSync(path)) {
    problems.push(`dist/${file} is missing: run \`npm run build\`.`)
    return { name, file, limitKb, bytes: 0 }
  }
  const bytes = staticFiles(path).reduce((sum, part) => sum + gzipSync(readFileSync(part), { level: 9 }).length, 0)
  const allowedKb = isRatchet ? reachedKb : limitKb
  if (bytes > allowedKb * KB) problems.push(`${file} is ${bytes} bytes, over its limit of ${allowedKb * KB}.`)
  return { name, file, limitKb, bytes }
}

/** The file and all it imports at once. What it imports later (`import(…)`) is not loaded by most visitors. */
function staticFiles(path, seen = new Set()) {
  if (seen.has(path)) return []
  seen.add(path)
  const code = readFileSync(path, 'utf8')
  const imports = [...code.matchAll(/(?:\bfrom|\bimport)\s*["'`](\.[^"'`]+)["'`]/g)]
  return [path, ...imports.flatMap(([, to]) => staticFiles(join(dirname(path), to), seen))]
}

function marked(name) {
  return new RegExp(`(<!-- size:${name} -->)(.*?)(<!-- /size -->)`, 'g')
}

function writeReadme() {
  const file = join(ROOT, 'README.md')
  let text = readFileSync(file, 'utf8')
  for (const { name, bytes } of rows) text = text.replace(marked(name), `$1${ceilKb(bytes)} kB$3`)
  writeFileSync(file, text)
}

function checkReadme() {
  const file = join(ROOT, 'README.md')
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  for (const { name, bytes } of rows) {
    const said = [...text.matchAll(marked(name))].map(([, , words]) => Number.parseFloat(words))
    if (said.length === 0) problems.push(`README.md has no number between <!-- size:${name} --> and <!-- /size -->.`)
    const isHonest = (kb) => kb * KB >= bytes && kb <= bytes / KB + README_SLACK_KB
    if (!said.every(isHonest)) {
      problems.push(
        `README.md says ${said.join(', ')} kB for the ${name}; it is ${ceilKb(bytes)}: \`npm run size -- --write\`.`,
      )
    }
  }
}

function ceilKb(bytes) {
  return (Math.ceil((bytes / KB) * 10) / 10).toFixed(1)
}
