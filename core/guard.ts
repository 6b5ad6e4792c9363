// The guard: finds personal data in a value before it is stored or sent. Pure, and one pass over the text: what it costs is
// bounded by the length. What is done about a find is the site's word for each name: refuse, hash or allow.
// Leaves to others: the hash itself (it needs the browser's WebCrypto) and where values come from (sw/engine-guard.ts).

/** What a name may carry: `refuse` it, replace it by a keyed `hash`, or `allow` it. */
export type GuardRule = 'refuse' | 'hash' | 'allow'

/** How a deployment is guarded. All of it is JSON, but that a pattern may be a RegExp where the worker is code. */
export interface GuardConfig {
  /** For names without a rule of their own. Default `refuse`. */
  readonly default?: GuardRule
  /** By name of the attribute. */
  readonly keys?: { readonly [name: string]: GuardRule }
  /** For the text of messages. Default `allow`: what visitors write is theirs. */
  readonly text?: GuardRule
  /** Patterns of the site's own, by the kind that errors name. Write them so that they cannot run wild. */
  readonly patterns?: { readonly [kind: string]: string | RegExp }
  /** The site's key of the hashes, at least 16 characters: the same value has the same hash for as long as it is kept. */
  readonly hashKey?: string
}

/** One find: what it is, and where. */
export interface Find {
  readonly kind: string
  readonly start: number
  readonly end: number
}

export interface Guard {
  readonly hashKey: string
  readonly textRule: GuardRule
  ruleOf(name: string): GuardRule
  /** Everything personal in the text, in order, without overlaps. */
  find(text: string): readonly Find[]
}

const HASH_KEY_CHARS_MIN = 16
const RULES: readonly unknown[] = ['refuse', 'hash', 'allow']

/** @throws {TypeError} what is wrong with the configuration; the sentence holds no key */
export function createGuard(config: GuardConfig = {}): Guard {
  const { keys = {}, text = 'allow', patterns = {}, hashKey = '' } = config
  const fallback = config.default ?? 'refuse'
  const rules = [fallback, text, ...Object.values(keys)]
  if (!rules.every((rule) => RULES.includes(rule)))
    throw new TypeError('A rule of the guard must be "refuse", "hash" or "allow".')
  if (rules.includes('hash') && hashKey.length < HASH_KEY_CHARS_MIN)
    throw new TypeError(`The guard cannot hash without a "hashKey" of at least ${HASH_KEY_CHARS_MIN} characters.`)
  const own = Object.entries(patterns).map(([kind, pattern]) => ({ kind, pattern: patternOf(kind, pattern) }))
  return {
    hashKey,
    textRule: text,
    ruleOf: (name) => (Object.hasOwn(keys, name) ? (keys[name] as GuardRule) : fallback),
    find: (value) => apart([...findKnown(value), ...own.flatMap(({ kind, pattern }) => matches(value, kind, pattern))]),
  }
}

function patternOf(kind: string, pattern: string | RegExp): RegExp {
  try {
    const { source, flags } = pattern instanceof RegExp ? pattern : new RegExp(pattern)
    return new RegExp(source, flags.includes('g') ? flags : `${flags}g`)
  } catch {
    throw new TypeError(`The pattern "${kind}" of the guard is no regular expression.`)
  }
}

/** The earlier one wins, and of two that begin together the longer. */
function apart(finds: Find[]): Find[] {
  let end = 0
  return finds
    .sort((a, b) => a.start - b.start || b.end - a.end)
    .filter((find) => {
      if (find.start < end) return false
      end = find.end
      return true
    })
}

/** Where an IBAN or a number of nine digits and more may begin: in most texts nowhere, and this is all that they cost. */
const LIKELY = /(?<!\w)[A-Za-z]{2}\d\d|\d(?:[\t .\-\u00a0\u00ad\u2000-\u2014\u202f]?\d){8}/g

/** Beside Latin: digits of other scripts and widths, wide letters, and what else may stand between groups. */
const FOREIGN = /[\p{Nd}\uff21-\uff3a\uff41-\uff5a\u2060\u2212\u3000\ufeff]/gu

/** The same in ASCII, each character in its place. */
export const toAscii = (text: string): string => (/[^\0-\u02ff]/.test(text) ? text.replace(FOREIGN, asciiOf) : text)

function asciiOf(char: string): string {
  const code = char.charCodeAt(0)
  if (char.length > 1 || code < 128) return char
  if (/[\uff21-\uff5a]/.test(char)) return String.fromCharCode(code - 0xfee0)
  if (!/\p{Nd}/u.test(char)) return ' '
  // The ten of a script begin at a code that ends in 0 or in 6.
  return `${(code & 15) - (/\p{Nd}/u.test(String.fromCharCode(code & ~15)) ? 0 : 6)}`
}

/** Cards, social security numbers, IBANs, JWTs and bearer strings. */
export function findKnown(value: string): Find[] {
  const text = toAscii(value)
  const finds: Find[] = []
  LIKELY.lastIndex = 0
  for (let likely = LIKELY.exec(text); likely !== null; likely = LIKELY.exec(text)) {
    const { index } = likely
    const read = isDigit(text.charCodeAt(index)) ? numbersAt : ibanAt
    LIKELY.lastIndex = read(text, index, finds)
  }
  // Most texts hold neither word, and looking for it is all that they cost.
  if (text.includes('eyJ')) finds.push(...matches(text, 'jwt', JWT))
  if (text.includes('earer') || text.includes('EARER')) finds.push(...matches(text, 'bearer', BEARER))
  return finds.length > 1 ? apart(finds) : finds
}

const JWT = /(?<![\w-])eyJ[\w-]{8,}\.\.?[\w-]{8,}\.[\w-]*(?:\.[\w-]*)*/g
/** A word of the language has neither a digit nor a capital inside. */
const BEARER = /\b(?:[Bb]earer|BEARER)[ \t:="']+(?=[\w.~+/-]{0,64}(?:\d|[a-z][A-Z]))[\w.~+/-]{12,}=*/g

const matches = (text: string, kind: string, pattern: RegExp): Find[] =>
  [...text.matchAll(pattern)]
    .map(({ index, 0: match }) => ({ kind, start: index, end: index + match.length }))
    .filter(({ start, end }) => end > start)

const isDigit = (code: number): boolean => code >= 48 && code <= 57
const isLetter = (code: number): boolean => (code | 32) >= 97 && (code | 32) <= 122
const isWord = (code: number): boolean => isDigit(code) || isLetter(code) || code === 95
/** Blanks of any width, hyphens, dashes, dot. */
const isSeparator = (code: number): boolean =>
  code < 128
    ? code === 32 || code === 45 || code === 46 || code === 9
    : code === 0xa0 || code === 0xad || (code >= 0x2000 && code <= 0x2014) || code === 0x202f

/** Digits that stand together, and what separates them from the group before: 0 at the beginning. */
interface Group {
  readonly start: number
  readonly end: number
  readonly separator: number
}

const sizeOf = ({ start, end }: Group): number => end - start

/**
 * Reads the number that begins here: groups of digits with single separators between them. Says where the search goes on.
 * A date may stand before a card, so each group may begin one.
 */
function numbersAt(text: string, start: number, finds: Find[]): number {
  let [end, digits] = [start, 0]
  for (let code = text.charCodeAt(end); ; code = text.charCodeAt(end)) {
    if (isDigit(code)) digits++
    else if (!isSeparator(code) || !isDigit(text.charCodeAt(end + 1))) break
    end++
  }
  const before = text.charCodeAt(start - 1)
  // Less than nine digits are nothing. Behind a letter or a plus it is the end of a code, or a telephone.
  if (digits < 9 || isWord(before) || before === 43 || isWord(text.charCodeAt(end))) return end
  const groups = groupsOf(text, start, end)
  for (let index = 0; index < groups.length; index++) {
    const found = ssnAt(text, groups, index) ?? cardAt(text, groups, index)
    if (found === undefined) continue
    finds.push(found)
    // What comes behind begins anew, without reading the run again: a list of cards costs its length.
    while (index + 1 < groups.length && (groups[index + 1] as Group).start < found.end) index++
    const next = groups[index + 1]
    if (next !== undefined) groups[index + 1] = { ...next, separator: 0 }
  }
  return end
}

function groupsOf(text: string, from: number, to: number): Group[] {
  const groups: Group[] = []
  for (let at = from, start = from; at <= to; at++) {
    if (at < to && isDigit(text.charCodeAt(at))) continue
    groups.push({ start, end: at, separator: start === from ? 0 : text.charCodeAt(start - 1) })
    start = at + 1
  }
  return groups
}

/** Does the number stand by itself? What goes on in the same manner is something longer. */
function isApart(groups: readonly Group[], from: number, to: number, separator: number, sizeMin: number): boolean {
  const [before, first, after] = [groups[from - 1], groups[from], groups[to]]
  const isBehind = before !== undefined && first?.separator === separator && sizeOf(before) >= sizeMin
  return !isBehind && !(after?.separator === separator && sizeOf(after) >= sizeMin)
}

/** Written as nine digits in a row it needs a word before it: most numbers of nine digits are something else. */
function ssnAt(text: string, groups: readonly Group[], from: number): Find | undefined {
  const [first, second, third] = groups.slice(from, from + 3)
  if (first === undefined) return undefined
  const { start } = first
  if (sizeOf(first) === 9) {
    const isNamed = /\b(?:ssn|social security)\b\D{0,16}$/i.test(text.slice(Math.max(0, start - 40), start))
    return isNamed && isIssued(text.slice(start, first.end)) ? { kind: 'ssn', start, end: first.end } : undefined
  }
  if (third === undefined || sizeOf(first) !== 3 || second === undefined || sizeOf(second) !== 2 || sizeOf(third) !== 4)
    return undefined
  const { separator, end } = third
  if (second.separator !== separator || !isApart(groups, from, from + 3, separator, 3)) return undefined
  return isIssued(text.slice(start, end).replace(/\D/g, '')) ? { kind: 'ssn', start, end } : undefined
}

const isIssued = (ssn: string): boolean => !/^(?:000|666|9)|^...00|0000$/.test(ssn)

/** First digits and lengths that are issued: what else passes the sum is an order number or a tracking code. */
const CARDS =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|65\d\d|64[4-9]\d|62\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|(?:5018|50(?:2[08]|38)|5893|6304|6759|676[1-3])\d{8,15})$/

/** In one group, as cards are printed, or, if there is nothing else in the number, in any groups of three and more. */
const PRINTED = /^(?:4 4 4 [1-4]|4 4 4 4 [1-3]|4 6 [45])$/
const CARD_DIGITS_MAX = 19

function cardAt(text: string, groups: readonly Group[], from: number): Find | undefined {
  const first = groups[from] as Group
  const { start } = first
  if (sizeOf(first) < 12 && (first.separator === 0 ? sizeOf(first) < 3 : sizeOf(first) !== 4)) return undefined
  const separator = groups[from + 1]?.separator ?? 0
  let [digits, shape, isEven, isCoarse] = [0, '', true, first.separator === 0]
  for (let to = from + 1; to <= groups.length && digits < CARD_DIGITS_MAX; to++) {
    const last = groups[to - 1] as Group
    const size = sizeOf(last)
    const isSingle = to === from + 1
    digits += size
    shape += isSingle ? size : ` ${size}`
    isEven &&= isSingle || last.separator === separator
    const isLikely =
      isSingle ||
      (isCoarse && to === groups.length) ||
      (digits >= 13 && isEven && PRINTED.test(shape) && isApart(groups, from, to, separator, 4))
    if (digits >= 12 && isLikely && isCard(text.slice(start, last.end))) return { kind: 'card', start, end: last.end }
    isCoarse &&= size >= 3
  }
  return undefined
}

/** Order numbers are often the time, and then a count: 22 to 27 begin a card, too. */
const TIMED = /^2[2-7](?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d{5}$/

function isCard(written: string): boolean {
  if (TIMED.test(written)) return false
  const digits = written.replace(/\D/g, '')
  if (!CARDS.test(digits) || weigh(digits, 2) % 10 !== 0) return false
  // Cards of thirteen digits are hardly there any more; articles (EAN) and telephones (43, 49) of thirteen are many.
  return digits.length !== 13 || (!/^4[39]/.test(digits) && weigh(digits, 3) % 10 !== 0)
}

/** The weighted sum from the right: by two with the digits added is Luhn's, by three that of article numbers. */
function weigh(digits: string, weight: 2 | 3): number {
  let sum = 0
  for (let index = 0; index < digits.length; index++) {
    const digit = digits.charCodeAt(digits.length - 1 - index) - 48
    const weighed = index % 2 === 0 ? digit : digit * weight
    sum += weight === 2 && weighed > 9 ? weighed - 9 : weighed
  }
  return sum
}

/** Every length of an IBAN, and the countries that have it. @see https://www.swift.com/standards/data-standards/iban-international-bank-account-number */
const IBANS =
  '15NO16BE18DKFIFKFOGLNLSD19MKSI20ATBAEEKZLTLUMNXK21CHHRLILV22BGBHCRDEGBGEIEMERSVA23AEGIILIQOMSOTL24ADCZESMDPKROSASESKTNVG25LYPTST26ISTR27BIDJFRGRITMCMRSM28ALAZBYCYDOGTHNHULBNIPLSV29BREGPSQAUA30JOKWMUYE31MTSC32LC33RU'
const IBAN_LENGTHS = new Map(
  [...IBANS.matchAll(/(\d\d)(\D+)/g)].flatMap(([, length, countries = '']) =>
    [...countries.matchAll(/../g)].map(([country]) => [country, Number(length)]),
  ),
)

/** Two letters and the check digits begin here: as many characters as the country has make an IBAN. */
function ibanAt(text: string, start: number, finds: Find[]): number {
  const nothing = start + 2
  const wanted = IBAN_LENGTHS.get(text.slice(start, start + 2).toUpperCase()) ?? 0
  let letters = ''
  let end = start
  for (; letters.length < wanted && end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (isDigit(code) || isLetter(code)) letters += text[end]
    else if (!isSeparator(code) || isSeparator(text.charCodeAt(end - 1))) return nothing
  }
  if (wanted === 0 || letters.length < wanted || isWord(text.charCodeAt(end)) || remainderOf(letters) !== 1)
    return nothing
  finds.push({ kind: 'iban', start, end })
  return end
}

/** ISO 7064, MOD 97-10: the first four go to the end, letters count from 10. */
function remainderOf(iban: string): number {
  let rest = 0
  for (const letter of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(letter, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest
}
