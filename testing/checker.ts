// Judges a history: what was said and accepted, what the service has, what the tabs have shown. It knows nothing of how
// the history came about, so it serves the chaos run, the browser tests and a site's own tests alike.

/** One call of `send`, as whoever made it saw it. Each text is said once in a history: it names the message. */
export interface Said {
  readonly text: string
  readonly tab: string
  /** Whose browser. Default: there is one visitor. */
  readonly visitor?: string
  /** Its place among the calls of its tab. */
  readonly order: number
  readonly calledAt: number
  /** When `send` resolved; absent if it did not, and then the message may or may not arrive. */
  readonly acceptedAt?: number
  /** Why it need not arrive though it was accepted: refused for good, cancelled, discarded. */
  readonly excuse?: string
  readonly key?: string
}

/** One message of the service's own record. */
export interface Recorded {
  readonly conversationId: string
  readonly seq: number
  readonly text: string
  readonly role: string
}

/** What one tab showed at one moment, from the top. */
export interface Shown {
  readonly tab: string
  readonly visitor?: string
  readonly messages: readonly { readonly text: string; readonly seq?: number; readonly role: string }[]
}

export interface History {
  readonly said: readonly Said[]
  readonly record: readonly Recorded[]
  readonly shown?: readonly Shown[]
}

/** What is wrong, a sentence with the evidence for each. */
export interface Verdict {
  /** Accepted, not excused, and not in the record. Or missing in the record's own numbers. */
  readonly lost: readonly string[]
  /** In the record, or on one screen, more than once. */
  readonly duplicated: readonly string[]
  /** In the record, or on one screen, in another order than it was said. */
  readonly reordered: readonly string[]
  /** In a conversation, or on a screen, of another visitor; or said by nobody. */
  readonly leaked: readonly string[]
}

type Findings = { -readonly [kind in keyof Verdict]: string[] }

export const isClean = (verdict: Verdict): boolean => Object.values(verdict).every((found) => found.length === 0)

/** @throws {TypeError} two messages have the same text: then nobody can tell them apart */
export function check({ said, record, shown = [] }: History): Verdict {
  const byText = new Map(said.map((one) => [one.text, one]))
  if (byText.size !== said.length) throw new TypeError('Two messages of the history have the same text.')
  const findings: Findings = { lost: [], duplicated: [], reordered: [], leaked: [] }
  const conversations = groupBy(record, ({ conversationId }) => conversationId)
  const found = new Map<string, Recorded>()
  for (const [id, messages] of conversations) checkRecord(id, messages, byText, found, findings)
  for (const one of said) {
    if (one.acceptedAt === undefined || one.excuse !== undefined || found.has(one.text)) continue
    findings.lost.push(`${nameOf(one)} was accepted at ${one.acceptedAt}, and the service has not got it.`)
  }
  for (const picture of shown) checkShown(picture, byText, findings)
  return findings
}

const nameOf = ({ text, tab, order }: Said): string => `"${text}" (call ${order} of ${tab})`
const visitorOf = ({ visitor = '' }: { readonly visitor?: string }): string => visitor

function checkRecord(
  id: string,
  messages: readonly Recorded[],
  byText: ReadonlyMap<string, Said>,
  found: Map<string, Recorded>,
  findings: Findings,
): void {
  const inOrder = [...messages].sort((a, b) => a.seq - b.seq)
  const mine: Said[] = []
  for (const [index, { seq, text, role }] of inOrder.entries()) {
    const before = inOrder[index - 1]?.seq ?? 0
    if (seq === before) findings.duplicated.push(`Conversation ${id} has two messages with seq ${seq}.`)
    else if (seq !== before + 1) findings.lost.push(`Conversation ${id} goes from seq ${before} to ${seq}.`)
    if (role !== 'customer') continue
    const one = byText.get(text)
    if (one === undefined) {
      findings.leaked.push(`"${text}" is seq ${seq} of ${id}, and nobody said it.`)
      continue
    }
    const first = found.get(text)
    if (first === undefined) {
      found.set(text, inOrder[index] as Recorded)
      mine.push(one)
    } else {
      findings.duplicated.push(`${nameOf(one)} is seq ${first.seq} of ${first.conversationId} and seq ${seq} of ${id}.`)
    }
  }
  const [first, ...others] = new Set(mine.map(visitorOf))
  for (const other of others) findings.leaked.push(`Conversation ${id} is of ${first}, and ${other} speaks in it, too.`)
  checkOrder(`Conversation ${id}`, mine, findings)
}

/**
 * What was accepted before something else was said comes before it, in whichever tabs that was; and of one tab, what
 * was called first, if both were accepted. One look from the end: what follows must not be older.
 */
function checkOrder(where: string, inOrder: readonly Said[], findings: Findings): void {
  let earliest: Said | undefined
  const lowest = new Map<string, Said>()
  for (const one of [...inOrder].reverse()) {
    if (one.excuse !== undefined) continue
    const ofTab = lowest.get(one.tab)
    const late = [
      earliest !== undefined && (earliest.acceptedAt as number) < one.calledAt ? earliest : undefined,
      one.acceptedAt !== undefined && ofTab !== undefined && ofTab.order < one.order ? ofTab : undefined,
    ].find((other) => other !== undefined)
    if (late !== undefined) {
      findings.reordered.push(
        `${where} has ${nameOf(one)}, called at ${one.calledAt}, before ${nameOf(late)}, called at ${late.calledAt} and accepted at ${late.acceptedAt}.`,
      )
    }
    if (one.acceptedAt === undefined) continue
    if (earliest?.acceptedAt === undefined || one.acceptedAt < earliest.acceptedAt) earliest = one
    if (ofTab === undefined || one.order < ofTab.order) lowest.set(one.tab, one)
  }
}

function checkShown(picture: Shown, byText: ReadonlyMap<string, Said>, findings: Findings): void {
  const where = `The screen of ${picture.tab}`
  const seen = new Set<string>()
  let last = 0
  const own: Said[] = []
  for (const { text, seq, role } of picture.messages) {
    if (seq !== undefined && seq <= last) findings.reordered.push(`${where} shows seq ${seq} after ${last}.`)
    last = Math.max(last, seq ?? 0)
    if (role !== 'customer') continue
    if (seen.has(text)) findings.duplicated.push(`${where} shows "${text}" twice.`)
    seen.add(text)
    const one = byText.get(text)
    if (one === undefined) findings.leaked.push(`${where} shows "${text}", which nobody said.`)
    else if (visitorOf(one) !== visitorOf(picture))
      findings.leaked.push(`${where} shows ${nameOf(one)} of another visitor.`)
    else own.push(one)
  }
  checkOrder(where, own, findings)
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const value of values) {
    const group = groups.get(keyOf(value))
    if (group === undefined) groups.set(keyOf(value), [value])
    else group.push(value)
  }
  return groups
}
