// docs/privacy.md says what is stored where. This holds it against the source: a store that is not listed fails here.

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LIFETIMES } from '../../core/lifetimes.ts'
import { STALE_AFTER_MS } from '../../core/sends.ts'
import { SHARED_GRACE_MS, SHARED_IDLE_MS } from '../../core/shared.ts'
import { channelOf, lifeLockOf, tabLockOf } from '../../core/wire.ts'
import { settingsFrom } from '../../server/settings.ts'
import { parseConfig } from '../../sw/config.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import { graveOf } from '../../sw/store-shred.ts'
import { databaseOf, STORES } from '../../sw/store-schema.ts'
import { MINUTE } from '../core/fixtures.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const TEXT = read('docs/privacy.md')
const DAY = 24 * 60 * MINUTE

/** The names in backticks that a table has in one column, under what another column says. */
const rows = TEXT.split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.split('|').map((cell) => cell.trim()))
const listed = (where: string): string[] =>
  rows.filter((cells) => cells[1] === where).map((cells) => (cells[2] ?? '').replaceAll('`', ''))
const until = (name: string): string => rows.find((cells) => cells.includes(`\`${name}\``))?.at(-2) ?? ''

const blocks = (language: string): string[] =>
  [...TEXT.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code = '']) => code)

/** Files of the browser's side that use this. */
const using = (pattern: RegExp): string[] =>
  ['core', 'sw', 'sw/platforms', 'src']
    .flatMap((folder) => readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`))
    .filter((path) => path.endsWith('.ts'))
    .filter((path) => pattern.test(read(path).replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, '')))

const [deployment, tab, worker] = ['<deployment>', '<tab>', '<worker>']

describe('docs/privacy.md', () => {
  test('[PV1] lists every database and every object store', () => {
    const name = databaseOf(deployment)
    expect(listed('database')).toEqual([name, graveOf(name)])
    expect(listed('object store').sort()).toEqual([...STORES].sort())
  })

  test('[PV1] lists every lock and every channel', () => {
    const pump = `holdfast:pump:${deployment}`
    const wipe = `${databaseOf(deployment)}:wipe`
    expect(listed('lock').sort()).toEqual([lifeLockOf(worker), pump, tabLockOf(tab, deployment), wipe].sort())
    expect(listed('channel').sort()).toEqual([channelOf(deployment), pump].sort())
    expect(read('sw/browser.ts')).toContain(`\`${pump.replace(deployment, '$' + '{deployment}')}\``)
  })

  test('[PV1] lists the cache, the drafts and the cookie by their names', () => {
    expect(listed('cache').map((name) => `const CONFIG_CACHE = '${name}'`)).toEqual([
      expect.stringMatching(read('sw/config-kept.ts').match(/const CONFIG_CACHE = '.*'/)?.[0] ?? 'none'),
    ])
    const [draft = ''] = listed('sessionStorage')
    expect(read('src/draft.ts')).toContain(`\`${draft.replace('<deployment>', '$' + '{desk.deployment}')}\``)
    expect(listed('cookie')).toEqual([settingsFrom({}).cookie.name])
  })

  test.each([
    {
      what: 'databases',
      pattern: /openDB[<(]|deleteDB\(|indexedDB\.open/,
      files: ['sw/store-connection.ts', 'sw/store-shred.ts'],
    },
    { what: 'caches', pattern: /\bcaches\b/, files: ['sw/config-kept.ts'] },
    { what: 'sessionStorage', pattern: /sessionStorage/, files: ['src/browser.ts'] },
    { what: 'localStorage and cookies', pattern: /localStorage|document\.cookie|cookieStore/, files: [] },
    { what: 'files', pattern: /storage\.getDirectory|showSaveFilePicker/, files: [] },
  ])('[PV1] nothing else stores anything: $what', ({ pattern, files }) => {
    expect(using(pattern)).toEqual(files)
  })

  test('[PV2] lists every table of the session service', () => {
    const made = [...read('server/schema.ts').matchAll(/create table (?:if not exists )?(\w+)/g)].map(
      ([, name]) => name,
    )
    const at = TEXT.indexOf('## What is stored at the session service')
    const end = TEXT.indexOf('## Shared terminals')
    const told = [...TEXT.slice(at, end).matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
    expect(told.sort()).toEqual(made.sort())
  })

  test('[PV3] says the intervals that hold', () => {
    const { sessionMs, archiveReferenceMs, conversationIdleMs, conversationArchiveMs } = settingsFrom({})
    const days = (ms: number) => ms / DAY
    expect(until('slots')).toContain(`${days(sessionMs)} days`)
    expect(until('outbox')).toContain(`${STALE_AFTER_MS / 3_600_000} h`)
    expect(until('holdfast_session')).toContain(`${days(sessionMs + archiveReferenceMs)} days`)
    expect(until('holdfast_session')).toContain(`last ${days(archiveReferenceMs)} `)
    expect(until('session')).toContain(
      `${days(sessionMs)} days without use, then as archive for ${days(archiveReferenceMs)}`,
    )
    expect(until('conversation')).toBe(
      `${days(conversationIdleMs)} days without a word, archived after ${days(conversationArchiveMs)} day, removed ${days(archiveReferenceMs)} days later`,
    )
    const { attributes, transcriptMs } = LIFETIMES
    expect(until('transcript')).toContain(`${days(transcriptMs)} days after the service was last heard`)
    expect(transcriptMs).toBe(sessionMs + archiveReferenceMs)
    expect(Object.keys(attributes)).toEqual(['identity_*', 'consent_*'])
    const keptFor = (kind: string) => rows.find((cells) => cells[1]?.startsWith(`\`${kind}\``))?.[2]
    expect(keptFor('identity_*')).toBe(`${days(attributes['identity_*'] ?? 0) * 24} h since it was last set`)
    expect(keptFor('consent_*')).toBe(`${days(attributes['consent_*'] ?? 0)} days since it was last set`)
    expect(TEXT).toContain(`within \`graceMs\` (${SHARED_GRACE_MS / 1_000} s;`)
    expect(TEXT).toContain(`after \`idleMs\` (${SHARED_IDLE_MS / MINUTE} minutes)`)
  })

  test('[PV4] its configurations are taken, and its code is compiled', () => {
    expect(blocks('json').length).toBeGreaterThan(1)
    for (const json of blocks('json'))
      expect(() => parseConfig(JSON.parse(json), { 'session-service': sessionService })).not.toThrow()
    const compiled = read('docs/examples/privacy.ts')
    expect(blocks('ts').length).toBeGreaterThan(1)
    for (const code of blocks('ts')) expect(compiled).toContain(code)
  })
})
