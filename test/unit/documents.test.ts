// What the documents say of the repository: links lead somewhere, configurations are taken, commands are there.
// Their code is compiled in test/package/documents.test.ts, as a site would compile it.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { settingsFrom } from '../../server/settings.ts'
import { parseConfig } from '../../sw/config.ts'
import { genesys } from '../../sw/platforms/genesys.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const inFolder = (folder: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
const DOCUMENTS = ['.', 'docs', 'docs/decisions'].flatMap(inFolder)

/** As the places that show Markdown make it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

const withoutCode = (text: string): string => text.replace(/^```.*?^```/gms, '')
const anchorsIn = (path: string): string[] =>
  [...withoutCode(read(path)).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

function isDead(from: string, link: string): boolean {
  if (/^[a-z]+:/.test(link)) return !link.startsWith('https://')
  const [path = '', anchor] = link.split('#')
  const to = path === '' ? from : join(dirname(from), path)
  return !existsSync(join(ROOT, to)) || (anchor !== undefined && !anchorsIn(to).includes(anchor))
}

test.each(DOCUMENTS)('[BD20] every link in %s leads somewhere', (path) => {
  const links = [...withoutCode(read(path)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
  expect(links.filter((link) => isDead(path, link))).toEqual([])
})

test('[BD20] every configuration in the documents is taken by whoever it is for', () => {
  const blocks = DOCUMENTS.flatMap((path) =>
    [...read(path).matchAll(/^```json\n(.*?)^```/gms)].map(([, json = '']) => JSON.parse(json) as object),
  )
  expect(blocks.length).toBeGreaterThan(5)
  for (const block of blocks) {
    if ('deployments' in block)
      expect(() => parseConfig(block, { 'session-service': sessionService, genesys })).not.toThrow()
    else expect(() => settingsFrom(block)).not.toThrow()
  }
})

test('[BD20] every command and every file of the repository that the documents name is there', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const named = DOCUMENTS.flatMap((path) =>
    [...read(path).matchAll(/\bnpm run ([a-z][\w:]*)/g)].map(([, name = '']) => name),
  )
  expect(new Set(named).size).toBeGreaterThan(4)
  expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
  // README.md speaks of the files of a site, too.
  const files = DOCUMENTS.filter((path) => path !== 'README.md').flatMap((path) =>
    [
      ...read(path).matchAll(/`((?:bench|core|docs|e2e|public|scripts|server|src|sw|test|testing)\/[\w./-]+\.\w+)`/g),
    ].map(([, file = '']) => `${path}: ${file}`),
  )
  expect(files.filter((file) => !existsSync(join(ROOT, file.split(': ')[1] as string)))).toEqual([])
})
