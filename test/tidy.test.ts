// The repository's rules about its own source. Each rule also meets an offender, to show that it bites.
import { describe, expect, test } from 'vitest'
import * as rules from './tidy/rules.ts'
import { readRepository, type SourceFile } from './tidy/source.ts'

const repository = readRepository()
const file = (path: string, text: string): SourceFile => ({ path, text })
const long = (lines: number): string => 'export const a = 1\n'.repeat(lines)

type Check = (files: readonly SourceFile[]) => string[]
interface Row {
  readonly says: string
  readonly check: Check
  readonly offenders: readonly (readonly SourceFile[])[]
}

const SPEC = file('SPEC.md', '## OB: outbox\n\n- **OB1** one\n')

const TABLE: readonly Row[] = [
  {
    says: '[BD1] imports follow the arrows between the folders',
    check: rules.wrongArrows,
    offenders: [
      [file('src/client.ts', "import { turn } from '../sw/engine.ts'")],
      [file('src/client.ts', "export const later = () => import('../sw/engine.ts')")],
      [file('src/client.ts', "import { turn } from '../sw/engine'")],
      [file('core/lease.ts', "import type { Engine } from '../sw/engine.ts'")],
      [file('core/lease.ts', "export type Engine = import('../sw/engine.ts').Engine")],
      [file('server/http.ts', "export { plan } from '../core/lease.ts'")],
    ],
  },
  {
    says: '[BD2] the pure files have no clock and no dice',
    check: rules.clocksAndDice,
    offenders: [
      [file('core/lease.ts', 'export const now = () => Date.now()')],
      [file('core/lease.ts', 'export const now = () => new Date()')],
      [file('core/lease.ts', 'export const now = () => performance.now()')],
      [file('sw/engine-turn.ts', 'export const draw = () => Math.random()')],
      [file('server/session.ts', 'export const draw = Math.random')],
    ],
  },
  {
    says: '[BD3] each package is imported at its door only',
    check: rules.wrongDoors,
    offenders: [
      [file('src/client.ts', "import { openDB } from 'idb'")],
      [file('sw/engine.ts', "import { openDB } from 'idb'")],
      [file('sw/store.ts', "import leftPad from 'left-pad'")],
      [file('server/http.ts', "import { DatabaseSync } from 'node:sqlite'")],
    ],
  },
  {
    says: '[BD4] no shipped file is over 300 lines and no function over 60',
    check: rules.tooLong,
    offenders: [
      [file('sw/store.ts', long(301))],
      [file('sw/store.ts', `export function f() {\n${'  f()\n'.repeat(60)}}`)],
      [file('sw/store.ts', `export const f = () => {\n${'  f()\n'.repeat(60)}}`)],
    ],
  },
  {
    says: '[BD5] nothing is exported by default',
    check: rules.defaultExports,
    offenders: [[file('src/client.ts', 'export default class Chat {}')]],
  },
  {
    says: '[BD6] everything exported from src/index.ts has TSDoc',
    check: rules.undocumented,
    offenders: [
      [file('src/index.ts', 'export const connect = 1')],
      [
        file('src/index.ts', "export { connect } from './client.ts'"),
        file('src/client.ts', 'export const connect = 1'),
      ],
      [file('src/index.ts', "export * from './client.ts'"), file('src/client.ts', '// no\nexport interface Chat {}')],
      [
        file('src/index.ts', "import { a } from './client.ts'\nexport { a as connect }"),
        file('src/client.ts', 'export function a() {}'),
      ],
    ],
  },
  {
    says: '[BD7] every rule is cited by a test, and every citation is of a rule',
    check: rules.uncited,
    offenders: [
      [SPEC],
      [SPEC, file('test/core/a.test.ts', `test('[${'OB1'}] a', f)\ntest('[${'OB2'}] b', f)`)],
      [file('SPEC.md', `${SPEC.text}- **OB1** again\n`), file('test/a.test.ts', `test('[${'OB1'}] a', f)`)],
    ],
  },
  {
    says: "[BD8] no file names a machine's path or a package registry",
    check: rules.strayPlaces,
    offenders: [
      [file('docs/a.md', `see ${'/home'}/ann/project`)],
      [file('scripts/a.mjs', `const a = '${'/root'}/x'`)],
      [file('package-lock.json', '"resolved": "https://example.com/a.tgz"')],
      [file('.npmrc', `${'registry'}=https://${'registry'}.example.com/`)],
    ],
  },
  {
    says: '[BD9] tests neither sleep nor skip',
    check: rules.looseTests,
    offenders: [
      [file('e2e/a.spec.ts', 'await page.waitForTimeout(5)')],
      [file('test/a.test.ts', "test.skip('a', f)")],
      [file('test/a.test.ts', "describe.only('a', f)")],
      [file('test/a.test.ts', "test.todo('a')")],
      [file('test/a.test.ts', 'await new Promise((done) => setTimeout(done, 5))')],
      [file('test/a.test.ts', 'await new Promise<void>((done) => { setTimeout(() => done(), 5) })')],
      [file('test/a.test.ts', "import { setTimeout as sleep } from 'node:timers/promises'")],
    ],
  },
]

describe('the repository', () => {
  for (const { says, check } of TABLE) test(says, () => expect(check(repository)).toEqual([]))
})

describe('an offender is found', () => {
  for (const { says, check, offenders } of TABLE) {
    for (const files of offenders) {
      const last = files[files.length - 1]?.text.slice(0, 70)
      test(`${says}: ${last}`, () => expect(check(files)).not.toEqual([]))
    }
  }

  test('[BD6] a name with TSDoc is not found', () => {
    const documented = '/** Connects. */\nexport const connect = 1'
    expect(rules.undocumented([file('src/index.ts', documented)])).toEqual([])
    const through = file('src/index.ts', "export { connect as c } from './client.ts'")
    expect(rules.undocumented([through, file('src/client.ts', documented)])).toEqual([])
  })

  test('[BD9] a deadline that rejects is not a sleep', () => {
    const deadline = file(
      'test/a.test.ts',
      'new Promise((_, reject) => setTimeout(() => reject(new Error("late")), 5))',
    )
    expect(rules.looseTests([deadline])).toEqual([])
  })
})
