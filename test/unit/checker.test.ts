// The judge of histories: it finds what is planted, and nothing in a history that is right.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { check, type History, isClean, type Recorded, type Said, type Shown } from '../../testing/checker.ts'

const say = (text: string, calledAt: number, part: Partial<Said> = {}): Said => ({
  text,
  tab: 't1',
  order: calledAt,
  calledAt,
  acceptedAt: calledAt + 0.5,
  ...part,
})
const unanswered = (text: string, calledAt: number): Said => {
  const { acceptedAt: _, ...rest } = say(text, calledAt)
  return rest
}
const recorded = (texts: readonly string[], conversationId = 'c1'): Recorded[] =>
  texts.map((text, index) => ({
    conversationId,
    seq: index + 1,
    text,
    role: text.startsWith('agent') ? 'agent' : 'customer',
  }))
const screen = (texts: readonly string[], part: Partial<Shown> = {}): Shown => ({
  tab: 't1',
  messages: recorded(texts).map(({ text, seq, role }) => ({ text, seq, role })),
  ...part,
})

describe('a history that is right', () => {
  const rows: readonly { what: string; history: History }[] = [
    { what: 'of nothing', history: { said: [], record: [] } },
    {
      what: 'of some messages',
      history: { said: [say('a', 1), say('b', 2)], record: recorded(['a', 'agent x', 'b']) },
    },
    { what: 'where an unanswered call has arrived', history: { said: [unanswered('a', 1)], record: recorded(['a']) } },
    { what: 'where an unanswered call has not arrived', history: { said: [unanswered('a', 1)], record: [] } },
    {
      what: 'where an unanswered call has arrived late',
      history: { said: [unanswered('a', 1), say('b', 2)], record: recorded(['b', 'a']) },
    },
    { what: 'where what was refused is missing', history: { said: [say('a', 1, { excuse: 'dead' })], record: [] } },
    {
      what: 'where tabs spoke at the same time',
      history: {
        said: [say('a', 1, { acceptedAt: 5 }), say('b', 2, { tab: 't2', acceptedAt: 4 })],
        record: recorded(['b', 'a']),
      },
    },
    {
      what: 'with screens',
      history: {
        said: [say('a', 1), say('b', 2)],
        record: recorded(['a', 'b']),
        shown: [screen(['a']), screen(['a', 'b'])],
      },
    },
    {
      what: 'of two visitors',
      history: {
        said: [say('a', 1, { visitor: 'v1' }), say('b', 2, { visitor: 'v2' })],
        record: [...recorded(['a']), ...recorded(['b'], 'c2')],
        shown: [screen(['a'], { visitor: 'v1' }), screen(['b'], { visitor: 'v2' })],
      },
    },
  ]
  test.each(rows)('[HN1] $what is clean', ({ history }) => {
    expect(check(history)).toEqual({ lost: [], duplicated: [], reordered: [], leaked: [] })
    expect(isClean(check(history))).toBe(true)
  })
})

describe('a history that is wrong', () => {
  const two = [say('a', 1), say('b', 2)]
  const rows: readonly { what: string; kind: keyof ReturnType<typeof check>; history: History; evidence: RegExp }[] = [
    {
      what: 'an accepted message that is not there',
      kind: 'lost',
      history: { said: two, record: recorded(['a']) },
      evidence: /"b" \(call 2 of t1\) was accepted at 2.5/,
    },
    {
      what: 'a hole in the numbers',
      kind: 'lost',
      history: { said: [], record: recorded(['agent x', 'agent y', 'agent z']).filter(({ seq }) => seq !== 2) },
      evidence: /from seq 1 to 3/,
    },
    {
      what: 'a message that is there twice',
      kind: 'duplicated',
      history: { said: two, record: recorded(['a', 'b', 'a']) },
      evidence: /"a".* is seq 1 of c1 and seq 3 of c1/,
    },
    {
      what: 'a message in two conversations',
      kind: 'duplicated',
      history: { said: two, record: [...recorded(['a', 'b']), ...recorded(['a'], 'c2')] },
      evidence: /seq 1 of c1 and seq 1 of c2/,
    },
    {
      what: 'an unanswered message that is there twice',
      kind: 'duplicated',
      history: { said: [unanswered('a', 1)], record: recorded(['a', 'a']) },
      evidence: /seq 2/,
    },
    {
      what: 'a number given twice',
      kind: 'duplicated',
      history: { said: two, record: recorded(['a', 'b']).map((one) => ({ ...one, seq: 1 })) },
      evidence: /two messages with seq 1/,
    },
    {
      what: 'messages of a tab in another order',
      kind: 'reordered',
      history: { said: two, record: recorded(['b', 'a']) },
      evidence: /"b".*, called at 2, before "a"/,
    },
    {
      what: 'messages of one burst in another order',
      kind: 'reordered',
      history: { said: [say('a', 1, { acceptedAt: 9 }), say('b', 2, { acceptedAt: 9 })], record: recorded(['b', 'a']) },
      evidence: /before "a"/,
    },
    {
      what: 'a message before one that another tab had said',
      kind: 'reordered',
      history: { said: [say('a', 1), say('b', 2, { tab: 't2' })], record: recorded(['b', 'a']) },
      evidence: /"b" \(call 2 of t2\)/,
    },
    {
      what: 'words that nobody said',
      kind: 'leaked',
      history: { said: two, record: recorded(['a', 'b', 'c']) },
      evidence: /"c" is seq 3 of c1, and nobody said it/,
    },
    {
      what: 'two visitors in one conversation',
      kind: 'leaked',
      history: { said: [say('a', 1, { visitor: 'v1' }), say('b', 2, { visitor: 'v2' })], record: recorded(['a', 'b']) },
      evidence: /is of v1, and v2 speaks/,
    },
    {
      what: 'a screen with the words of another visitor',
      kind: 'leaked',
      history: {
        said: [say('a', 1, { visitor: 'v1' })],
        record: recorded(['a']),
        shown: [screen(['a'], { visitor: 'v2' })],
      },
      evidence: /of another visitor/,
    },
    {
      what: 'a screen with words that nobody said',
      kind: 'leaked',
      history: { said: two, record: recorded(['a', 'b']), shown: [screen(['z'])] },
      evidence: /shows "z", which nobody said/,
    },
    {
      what: 'a screen with a message twice',
      kind: 'duplicated',
      history: { said: two, record: recorded(['a', 'b']), shown: [screen(['a', 'a'])] },
      evidence: /shows "a" twice/,
    },
    {
      what: 'a screen in another order',
      kind: 'reordered',
      history: { said: two, record: recorded(['a', 'b']), shown: [screen(['b', 'a'])] },
      evidence: /screen of t1 has "b"/,
    },
    {
      what: 'a screen whose numbers fall',
      kind: 'reordered',
      history: {
        said: two,
        record: recorded(['a', 'b']),
        shown: [
          {
            tab: 't1',
            messages: [
              { text: 'agent x', seq: 2, role: 'agent' },
              { text: 'agent y', seq: 1, role: 'agent' },
            ],
          },
        ],
      },
      evidence: /shows seq 1 after 2/,
    },
  ]
  test.each(rows)('[HN1] $what is found as $kind, with the evidence', ({ history, kind, evidence }) => {
    const verdict = check(history)
    expect(verdict[kind].join('\n')).toMatch(evidence)
    const others = Object.entries(verdict).filter(([name]) => name !== kind)
    expect(others.flatMap(([, findings]) => findings)).toEqual([])
    expect(isClean(verdict)).toBe(false)
  })

  test('[HN1] a history in which a text says nothing about who said it is refused', () => {
    expect(() => check({ said: [say('a', 1), say('a', 2)], record: [] })).toThrow(TypeError)
  })
})

describe('any history', () => {
  /** Some tabs that speak one after the other, each message accepted after a while or never; arrival in order of commit. */
  const histories = fc
    .array(fc.record({ tab: fc.nat(3), gap: fc.nat(3), wait: fc.nat(9), isAnswered: fc.boolean() }), { maxLength: 60 })
    .map((steps) => {
      const free = [0, 0, 0, 0]
      let now = 0
      const said: Said[] = []
      const commits: [at: number, text: string][] = []
      for (const [index, { tab, gap, wait, isAnswered }] of steps.entries()) {
        now = Math.max(now + gap, free[tab] as number)
        const part = { tab: `t${tab}`, order: index, acceptedAt: now + wait + 1 }
        said.push(
          isAnswered
            ? say(`m${index}`, now, part)
            : { ...unanswered(`m${index}`, now), ...part, acceptedAt: undefined as never },
        )
        if (!isAnswered) delete (said.at(-1) as { acceptedAt?: number }).acceptedAt
        free[tab] = now + wait + 1
        commits.push([now + wait / 2, `m${index}`])
      }
      const texts = commits.sort(([a], [b]) => a - b).map(([, text]) => text)
      return { said, texts }
    })

  test('[HN1] in which every message is committed while its call runs is clean', () => {
    fc.assert(fc.property(histories, ({ said, texts }) => isClean(check({ said, record: recorded(texts) }))))
  })

  test('[HN1] from which an accepted message is taken, or in which one is repeated, is found out', () => {
    fc.assert(
      fc.property(histories, fc.nat(), ({ said, texts }, at) => {
        const accepted = said.filter(({ acceptedAt }) => acceptedAt !== undefined)
        const victim = accepted[at % accepted.length]?.text
        if (victim === undefined) return
        const without = check({ said, record: recorded(texts.filter((text) => text !== victim)) })
        expect(without.lost).toHaveLength(1)
        expect(check({ said, record: recorded([...texts, victim]) }).duplicated).toHaveLength(1)
      }),
    )
  })
})
