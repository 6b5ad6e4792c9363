// What the guard must find, and what it must leave alone: the corpus on which its recall and precision are measured.
// Numbers are the published test numbers of issuers, examples of standards, or made here by rule; none is anybody's.

/** One text of the corpus; `kind` is what is in it, nothing where it only looks so. */
export interface Sample {
  readonly text: string
  readonly kind?: 'card' | 'ssn' | 'iban' | 'jwt' | 'bearer'
  /** What it looks like, for the table of results. */
  readonly family: string
}

const TEST_CARDS = `
4111111111111111 4012888888881881 4242424242424242 4000056655665556 4222222222222 4917610000000000003
5555555555554444 5105105105105100 5200828282828210 2223003122003222 2223000048400011 5431111111111111
378282246310005 371449635398431 341134113411347 343434343434343
6011111111111117 6011000990139424 6445644564456445 6500000000000002
30569309025904 38520000023237 36227206271667
3530111333300000 3566002020360505 6200000000000005 6205500000000000004 6240008631401148
6759649826438453 6304000000000000 5018000000000009 5020000000000005`
  .trim()
  .split(/\s+/)

/** Examples of the IBAN registry. */
const IBAN_EXAMPLES = `
AD1200012030200359100100 AE070331234567890123456 AL47212110090000000235698741 AT611904300234573201 AZ21NABZ00000000137010001944
BA391290079401028494 BE68539007547034 BG80BNBG96611020345678 BH67BMAG00001299123456 BR1800360305000010009795493C1 BY13NBRB3600900000002Z00AB00
CH9300762011623852957 CR05015202001026284066 CY17002001280000001200527600 CZ6508000000192000145399 DE89370400440532013000
DK5000400440116243 DO28BAGR00000001212453611324 EE382200221020145685 EG380019000500000000263180002 ES9121000418450200051332
FI2112345600000785 FO6264600001631634 FR1420041010050500013M02606 GB29NWBK60161331926819 GE29NB0000000101904917 GI75NWBK000000007099453
GL8964710001000206 GR1601101250000000012300695 GT82TRAJ01020000001210029690 HR1210010051863000160 HU42117730161111101800000000
IE29AIBK93115212345678 IL620108000000099999999 IQ98NBIQ850123456789012 IS140159260076545510730339 IT60X0542811101000000123456
JO94CBJO0010000000000131000302 KW81CBKU0000000000001234560101 KZ86125KZT5004100100 LB62099900000001001901229114 LI21088100002324013AA
LT121000011101001000 LU280019400644750000 LV80BANK0000435195001 MC5811222000010123456789030 MD24AG000225100013104168 ME25505000012345678951
MK07250120000058984 MR1300020001010000123456753 MT84MALT011000012345MTLCAST001S MU17BOMM0101101030300200000MUR NL91ABNA0417164300
NO9386011117947 PK36SCBL0000001123456702 PL61109010140000071219812874 PS92PALS000000000400123456702 PT50000201231234567890154
QA58DOHB00001234567890ABCDEFG RO49AAAA1B31007593840000 RS35260005601001611379 SA0380000000608010167519 SE4550000000058398257466
SI56263300012039086 SK3112000000198742637541 SM86U0322509800000000270100 TL380080012345678910157 TN5910006035183598478831
TR330006100519786457841326 UA213223130000026007233566001 VA59001123000012345678 VG96VPVG0000012345678901 XK051212012345678906`
  .trim()
  .split(/\s+/)

const SSNS = ['078-05-1120', '219-09-9999', '123-45-6789', '457-55-5462', '001-01-0001', '772-99-9999', '536 90 4399']

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const JWTS = [
  { alg: 'HS256', typ: 'JWT' },
  { alg: 'RS256', kid: 'k1' },
  { alg: 'ES256', typ: 'at+jwt', kid: 'a-b_c' },
].map((header) => `${part(header)}.${part({ sub: 'visitor', exp: 1_900_000_000 })}.c2lnbmF0dXJlLW9mLW5vYm9keQ`)

const BEARERS = [
  'mF_9.B5f-4.1JqM',
  'kT93hQ0bZx7Lw2Vn5Rs8',
  'abc123DEF456ghi789JKL==',
  'rt1.fam.12.Q2hhbmdlTWU',
  '0123456789abcdef0123',
]

const grouped = (digits: string, sizes: readonly number[], separator: string): string => {
  let at = 0
  return sizes.map((size) => digits.slice(at, (at += size))).join(separator)
}

const SIZES: { readonly [length: number]: readonly number[] } = {
  14: [4, 6, 4],
  15: [4, 6, 5],
  16: [4, 4, 4, 4],
  19: [4, 4, 4, 4, 3],
}

/** As visitors and sites write them. */
const SETTINGS = [
  (it: string) => it,
  (it: string) => `Please take it from ${it}, thank you.`,
  (it: string) => `value="${it}"`,
  (it: string) => `on 2024-11-21 ${it} was used`,
  (it: string) => `${it}\nExp. 12/27`,
]

function positives(): Sample[] {
  const cards = TEST_CARDS.flatMap((card) => {
    const sizes = SIZES[card.length]
    return sizes === undefined ? [card] : [card, ...[' ', '-', '\u00a0'].map((by) => grouped(card, sizes, by))]
  })
  const ibans = IBAN_EXAMPLES.flatMap((iban) => [iban, (iban.match(/.{1,4}/g) ?? []).join(' '), iban.toLowerCase()])
  const ssns = [...SSNS, 'SSN 457555462', 'social security number: 536904399']
  const all: readonly (readonly [NonNullable<Sample['kind']>, readonly string[]])[] = [
    ['card', cards],
    ['iban', ibans],
    ['ssn', ssns],
    ['jwt', JWTS],
    ['bearer', BEARERS.flatMap((token) => [`Bearer ${token}`, `authorization: bearer ${token}`])],
  ]
  return all.flatMap(([kind, texts]) =>
    texts.flatMap((text) => SETTINGS.map((setting) => ({ kind, family: kind, text: setting(text) }))),
  )
}

/** Park and Miller: the corpus is the same on every machine. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

const roll = dice(20_241_121)
const pad = (number: number, digits: number): string => String(number).padStart(digits, '0')
const digits = (count: number): string => Array.from({ length: count }, () => roll(10)).join('')
const stamp = (): string =>
  `${22 + roll(6)}${pad(1 + roll(12), 2)}${pad(1 + roll(28), 2)}${pad(roll(24), 2)}${pad(roll(60), 2)}${pad(roll(60), 2)}`

/** Each is drawn many times, so that what passes a check sum by chance is among them. */
const LOOKALIKES: { readonly [family: string]: () => string } = {
  'order, counted': () => `Order #${1_000 + roll(9_000_000)}`,
  'order, nine digits': () => pad(roll(999_999_999), 9),
  'order of a market place': () => `1${digits(2)}-${digits(7)}-${digits(7)}`,
  'order, by its time': () => `${stamp()}${digits(4)}`,
  'order, by its day': () => `20${stamp().slice(0, 6)}${digits(8)}`,
  'order with letters': () => `ORD-${digits(4)}-${digits(4)}-${digits(4)}-${digits(4)}`.replace(/-(\d{4})-/, '-A$1-'),
  'telephone, international': () => `+${1 + roll(98)} ${digits(3)} ${digits(4)} ${digits(4)}`,
  'telephone, in one': () => `+4${digits(12)}`,
  'telephone, German without a plus': () => `491${5 + roll(3)}${digits(9)}`,
  'telephone, American': () => `(${200 + roll(700)}) 555-${digits(4)}, 1-800-${digits(3)}-${digits(4)}`,
  'parcel, USPS': () => `9400 1${digits(3)} ${digits(4)} ${digits(4)} ${digits(4)} ${digits(2)}`,
  'parcel, UPS': () => `1Z${digits(3)}AA1${digits(10)}`,
  'parcel, FedEx': () => `${1 + roll(9)}${digits(11)}`,
  'parcel, postal': () => `RR${digits(9)}DE`,
  'article, EAN': () => ean(`4${digits(11)}`),
  'book, ISBN': () => `978-3-${digits(2)}-${digits(6)}-${roll(10)}`,
  'device, IMEI': () => `35${digits(13)}`,
  'card of a telephone, ICCID': () => `8949${digits(15)}`,
  'instant in milliseconds': () => `17${digits(11)}`,
  'instant in microseconds': () => `17${digits(14)}`,
  'date and time': () =>
    `2024-${pad(1 + roll(12), 2)}-${pad(1 + roll(28), 2)} ${pad(roll(24), 2)}:${digits(2)}:${digits(2)}`,
  'half a social security number': () => `***-**-${digits(4)}`,
  'number that looks like one': () => `9${digits(2)}-${digits(2)}-${digits(4)}`,
  uuid: () => `${digits(8)}-${digits(4)}-4${digits(3)}-8${digits(3)}-${digits(12)}`,
  address: () => `${1 + roll(254)}.${1 + roll(254)}.${roll(254)}.${roll(254)}`,
  amounts: () => `${roll(900)}.00 ${roll(900)}.50 ${roll(900)}.25 ${roll(900)}.75 ${roll(90)}.10`,
  coordinates: () => `52.${digits(6)}, 13.${digits(6)}`,
  'hash of a commit': () => [digits(10), 'a', digits(12), 'f', digits(16)].join(''),
  'masked card': () => `**** **** **** ${digits(4)}, 411111******${digits(4)}`,
  'customer number': () => `DE${digits(9)}`,
}

const PHRASES = [
  'The bearer of good news will be rewarded',
  'bearer responsibilities acknowledged',
  'bearer misunderstandings-notwithstanding',
  'Bearer short1',
  'eyJ is how a token begins',
  'keyJumping.overthelazy.dog',
  'GB29 NWBK 6016 1331 9268 18 (a digit short)',
  'DE00 3704 0044 0532 0130 00 (no check digits)',
  '4111 1111 1111 1112 (a wrong sum)',
  'sizes 4 8 15 16 23 42 4 8 15 16 23 42',
  '000-12-3456, 666-12-3456, 123-00-4567, 123-45-0000',
  'version 1.2.3-4.5.6',
  'zip 12345-6789',
]

function ean(twelve: string): string {
  const sum = [...twelve].reduce((all, digit, index) => all + Number(digit) * (index % 2 === 0 ? 1 : 3), 0)
  return `${twelve}${(10 - (sum % 10)) % 10}`
}

const DRAWS = 60

/** About 1 900 texts with something in them and as many without. */
export const GUARD_CORPUS: readonly Sample[] = [
  ...positives(),
  ...Object.entries(LOOKALIKES).flatMap(([family, make]) =>
    Array.from({ length: DRAWS }, (_, index) => {
      const setting = SETTINGS[index % SETTINGS.length] as (it: string) => string
      return { family, text: setting(make()) }
    }),
  ),
  ...PHRASES.map((text) => ({ family: 'phrase', text })),
]

/** Recall and precision over texts: one counts as found when a find of its kind, or of any for look-alikes, is in it. */
export function measureGuard(
  find: (text: string) => readonly { readonly kind: string }[],
  corpus: readonly Sample[] = GUARD_CORPUS,
) {
  const missed = corpus.filter(
    ({ kind, text }) => kind !== undefined && !find(text).some((found) => found.kind === kind),
  )
  const wrong = corpus.filter(({ kind, text }) => kind === undefined && find(text).length > 0)
  const wanted = corpus.filter(({ kind }) => kind !== undefined).length
  const hits = wanted - missed.length
  return { recall: hits / wanted, precision: hits / (hits + wrong.length), missed, wrong, size: corpus.length }
}
