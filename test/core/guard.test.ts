import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createGuard, findKnown, type GuardConfig } from '../../core/guard.ts'
import { GUARD_CORPUS, measureGuard } from '../../testing/guard-corpus.ts'

const found = (text: string, config?: GuardConfig) =>
  createGuard(config)
    .find(text)
    .map(({ kind, start, end }) => [kind, text.slice(start, end)])

describe('the corpus', () => {
  test('[GU1] nothing is missed, and of a hundred finds at least 99 are right', () => {
    const { recall, precision, missed, wrong, size } = measureGuard(findKnown)
    expect(missed).toEqual([])
    expect({ recall, isPrecise: precision >= 0.99, wrong: wrong.length < 5 }).toEqual({
      recall: 1,
      isPrecise: true,
      wrong: true,
    })
    expect(size).toBeGreaterThan(3_000)
  })

  test('[GU1] the measure itself sees a guard that finds nothing, and one that finds everything', () => {
    expect(measureGuard(() => []).recall).toBe(0)
    const all = (['card', 'ssn', 'iban', 'jwt', 'bearer'] as const).map((kind) => ({ kind }))
    expect(measureGuard(() => all).precision).toBeLessThan(0.6)
    expect(new Set(GUARD_CORPUS.map(({ text }) => text)).size).toBeGreaterThan(3_000)
  })
})

describe('what is found', () => {
  test.each([
    {
      text: 'pay 4111 1111 1111 1111 or DE89 3704 0044 0532 0130 00',
      finds: ['4111 1111 1111 1111', 'DE89 3704 0044 0532 0130 00'],
    },
    { text: 'a date first: 2024-11-21 4111 1111 1111 1111', finds: ['4111 1111 1111 1111'] },
    { text: '4111111111111111 4242424242424242', finds: ['4111111111111111', '4242424242424242'] },
    { text: 'SSN: 457555462', finds: ['457555462'] },
    { text: '457555462', finds: [] },
    { text: '+4111 1111 1111 1111', finds: [] },
    { text: 'X4111111111111111', finds: [] },
    { text: '4111 1111 1111 1111 2222', finds: [] },
    { text: '４１１１ １１１１ １１１１ １１１１', finds: ['４１１１ １１１１ １１１１ １１１１'] },
    { text: '٤١١١١١١١١١١١١١١١', finds: ['٤١١١١١١١١١١١١١١١'] },
    { text: 'कार्ड ४१११११११११११११११', finds: ['४१११११११११११११११'] },
    ...['\u00a0', '\u00ad', '\u2007', '\u200b', '\u202f', '\u2060', '\u2212', '\u3000', '\ufeff', '\t'].map((by) => ({
      text: `4111${by}1111${by}1111${by}1111`,
      finds: [`4111${by}1111${by}1111${by}1111`],
    })),
    { text: 'ＤＥ８９３７０４００４４０５３２０１３０００', finds: ['ＤＥ８９３７０４００４４０５３２０１３０００'] },
    {
      text: 'eyJhbGciOiJkaXIifQ..AxY8DCtDaGlsbGlj.KDlTtXchhZTGufMY.U0m_YmjN04DJvceF',
      finds: ['eyJhbGciOiJkaXIifQ..AxY8DCtDaGlsbGlj.KDlTtXchhZTGufMY.U0m_YmjN04DJvceF'],
    },
    { text: '', finds: [] },
  ])('[GU2] "$text" holds $finds', ({ text, finds }) => {
    expect(found(text).map(([, value]) => value)).toEqual(finds)
  })

  test('[GU2] patterns of the site have kinds of their own, and the earlier of two finds stands', () => {
    const config = { patterns: { member: 'M-\\d{4,}', all: /m-\d+/i, nothing: 'x*' } }
    expect(found('M-4711 and m-1', config)).toEqual([
      ['member', 'M-4711'],
      ['all', 'm-1'],
    ])
  })

  test('[GU3] whatever the text: the finds are in it, in order, apart, and the same again', () => {
    const pieces = fc.constantFrom(
      '4111',
      ' ',
      '-',
      '1',
      '457-55-5462',
      'DE89',
      'eyJ',
      '.',
      'Bearer ',
      'a',
      '\ud800',
      '９',
      'é',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 60 }), (parts) => {
        const text = parts.join('')
        let last = 0
        for (const { start, end } of findKnown(text)) {
          expect(start).toBeGreaterThanOrEqual(last)
          expect(end).toBeGreaterThan(start)
          last = end
        }
        expect(last).toBeLessThanOrEqual(text.length)
        expect(findKnown(text)).toEqual(findKnown(text))
      }),
    )
  })

  test('[GU3] a text that is made to be hard costs no more than its length', () => {
    const wanted = 1_000_000
    for (const piece of [
      '4111 ',
      '1',
      'DE89 ',
      'eyJaaaaaaaaa.',
      'Bearer ',
      'bearer a',
      '4 1 ',
      '457-55-',
      '457-55-5462 ',
      '4111111111111111 ',
    ])
      expect(findKnown(piece.repeat(wanted / piece.length)).length).toBeLessThan(wanted)
  })
})

describe('the rules', () => {
  test('[GU4] a name without a rule is refused, one with a rule has its own, and inherited names are none', () => {
    const { ruleOf, textRule } = createGuard({ keys: { card: 'allow' } })
    expect(['card', 'other', 'toString', '__proto__'].map(ruleOf)).toEqual(['allow', 'refuse', 'refuse', 'refuse'])
    expect(textRule).toBe('allow')
    expect(createGuard({ default: 'allow' }).ruleOf('other')).toBe('allow')
  })

  test.each<{ config: unknown; says: RegExp }>([
    { config: { default: 'drop' }, says: /"refuse", "hash" or "allow"/ },
    { config: { keys: { a: 1 } }, says: /"refuse", "hash" or "allow"/ },
    { config: { keys: { a: 'hash' } }, says: /"hashKey" of at least 16/ },
    { config: { text: 'hash', hashKey: 'short' }, says: /"hashKey" of at least 16/ },
    { config: { patterns: { member: '(' } }, says: /"member".*no regular expression/ },
  ])('[GU5] $config is no configuration', ({ config, says }) => {
    expect(() => createGuard(config as GuardConfig)).toThrow(says)
    expect(() => createGuard(config as GuardConfig)).toThrow(TypeError)
  })
})
