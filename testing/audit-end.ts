// The judgement at the end of a simulated run, when the world has healed: everything that was accepted is where it
// belongs, and every tab shows the same, which is what the service has.

import { statusOf } from '../core/marks.ts'
import type { Message as ShownMessage } from '../core/wire.ts'
import { isOpen } from '../server/session.ts'
import type { Auditor, Sent } from './audit.ts'
import { REFUSED_TEXT } from './sim-http.ts'
import type { Conversation, Message } from './sim-service.ts'
import type { SimBrowser } from './sim-browser.ts'

const SNAPSHOT_ROWS = 50

export function judgeEnd(audit: Auditor, browser: SimBrowser): void {
  judgeMessages(audit)
  for (const conversation of audit.service.conversations.values()) judgeOrder(audit, conversation)
  judgeSessions(audit)
  audit.judgeServed()
  judgeTabs(audit, browser)
  judgeContext(audit, browser)
}

/** Exactly once, or for a reason that somebody was told. */
function judgeMessages(audit: Auditor): void {
  const served = new Map<string, { message: Message; conversation: Conversation }[]>()
  for (const conversation of audit.service.conversations.values()) {
    for (const message of conversation.log) {
      if (message.role !== 'customer') continue
      const sent = audit.sent.get(message.key ?? '')
      if (sent === undefined || sent.text !== message.text)
        audit.finding(`unknown: the service has ${message.text} under a key that nobody gave it`)
      served.set(message.text, [...(served.get(message.text) ?? []), { message, conversation }])
    }
  }
  for (const sent of audit.sent.values()) {
    const places = served.get(sent.text) ?? []
    // What was parked with its outcome unknown, and is sent again in a new conversation by the visitor's own wish, can
    // stand in both.
    const isAgain = sent.isRetried && new Set(places.map(({ conversation }) => conversation.id)).size === places.length
    if (places.length > 1 && !isAgain) audit.finding(`twice: the service has ${sent.text} ${places.length} times`)
    const place = places[0]
    if (place === undefined) {
      if (isOwed(audit, sent))
        audit.finding(`lost: ${sent.text} (${sent.key}) was accepted, and the service does not have it`)
      continue
    }
    if (sent.isRefused) audit.finding(`refused: ${sent.text} was not accepted, and the service has it`)
    judgeFiles(audit, sent, place.message)
    const { conversationId } = sent
    if (conversationId !== undefined && place.conversation.id !== conversationId && !sent.isRetried) {
      audit.finding(`elsewhere: ${sent.text} was written in ${conversationId} and sent to ${place.conversation.id}`)
    }
  }
}

/** What it brought along is there, whole, and nothing else. */
function judgeFiles(audit: Auditor, { text, files }: Sent, { attachments = [] }: Message): void {
  const whole = attachments.filter(({ id }) => {
    const { isGenuine, isConfirmed } = audit.service.files.get(id) ?? {}
    return isGenuine && isConfirmed
  })
  const names = whole.map(({ name }) => name)
  if (names.join() !== files.join())
    audit.finding(`files: ${text} was sent with ${files.length}, and has ${names.length} whole`)
}

/** All that was said in the present conversation can be read back, whatever the disk has let go. */
export function judgeHistory(audit: Auditor, conversationId: string | undefined, all: readonly ShownMessage[]): void {
  const log = audit.service.conversations.get(conversationId ?? '')?.log ?? []
  const read = all.filter((message) => message.conversationId === conversationId)
  if (read.map(({ id }) => id).join() !== log.map(({ id }) => id).join())
    audit.finding(`history: ${read.length} messages can be read back, the service has ${log.length}`)
  audit.history(all)
}

/** Nobody took it back, and no logout took it along. */
function isOwed(audit: Auditor, sent: Sent): boolean {
  if (sent.acceptedAt === undefined || sent.isCancelling) return false
  const isRefusable = sent.text.includes(REFUSED_TEXT)
  return (
    !audit.logouts.some(
      ({ epoch, unsent }) => epoch === sent.epoch && (unsent === 'discard' || (unsent === 'send' && isRefusable)),
    ) && !isRefusable
  )
}

/** What was accepted before another was even asked for comes before it; so does what has the lower place in the outbox. */
function judgeOrder(audit: Auditor, { log, id }: Conversation): void {
  const least = new Map<string, { acceptedAt: number; seq: number }>()
  for (const message of [...log].reverse()) {
    const sent = audit.sent.get(message.key ?? '')
    if (sent === undefined || sent.isRetried || sent.isCancelling) continue
    const later = least.get(sent.epoch) ?? { acceptedAt: Number.POSITIVE_INFINITY, seq: Number.POSITIVE_INFINITY }
    const { acceptedAt = later.acceptedAt, seq = later.seq } = sent
    if (sent.calledAt > later.acceptedAt)
      audit.finding(`order: in ${id} ${sent.text} stands before one accepted earlier`)
    if (seq > later.seq) audit.finding(`order: in ${id} ${sent.text} overtook another`)
    least.set(sent.epoch, { acceptedAt: Math.min(acceptedAt, later.acceptedAt), seq: Math.min(seq, later.seq) })
  }
}

function judgeSessions(audit: Auditor): void {
  const { service, logouts } = audit
  for (const { id } of service.sessions.values()) {
    const open = service.own(id).filter(({ state }) => isOpen(state))
    if (open.length > 1) audit.finding(`ghost: session ${id} has ${open.length} open conversations`)
  }
  // A late copy of the first request may begin one that nobody ever uses.
  const reasons = 1 + logouts.length + audit.excusedSessions
  if (audit.usedSessions.size > reasons)
    audit.finding(`sessions: ${audit.usedSessions.size} were used, and there were ${reasons} reasons`)
}

function judgeTabs(audit: Auditor, { tabs, disk }: SimBrowser): void {
  const [first] = tabs
  const shown = JSON.stringify(first?.snapshot)
  for (const { id, snapshot, unsettled } of tabs) {
    if (snapshot?.phase !== 'live')
      audit.finding(`stuck: tab ${id} is ${snapshot?.phase ?? 'without a state'} at the end`)
    if (JSON.stringify(snapshot) !== shown)
      audit.finding(`differs: tab ${id} shows another state than tab ${first?.id}`)
    if (unsettled.size > 0) audit.finding(`unsettled: tab ${id} never heard what became of ${unsettled.size} messages`)
    const { queued = 0, inflight = 0, dead = 0, stale = 0 } = snapshot?.outbox ?? {}
    if (queued + inflight + dead + stale > 0)
      audit.finding(`outbox: ${queued} queued, ${inflight} in flight, ${dead} dead, ${stale} stale at the end`)
  }
  if (disk.entries.size > 0) audit.finding(`outbox: ${disk.entries.size} entries on the disk at the end`)
  if (disk.files.size > 0) audit.finding(`files: those of ${disk.files.size} messages are left on the disk at the end`)
  const snapshot = first?.snapshot
  const conversation = audit.service.conversations.get(snapshot?.conversation?.id ?? '')
  if (snapshot === undefined || conversation === undefined) return
  if (conversation.state !== snapshot.conversation?.state) {
    audit.finding(`state: shown as ${snapshot.conversation?.state}, the service says ${conversation.state}`)
  }
  const served = conversation.log.slice(-SNAPSHOT_ROWS).map(({ id }) => id)
  const rows = snapshot.messages.filter(({ seq }) => seq !== undefined).map(({ id }) => id)
  if (served.join() !== rows.join())
    audit.finding(`transcript: ${rows.length} rows are shown, the service has ${conversation.log.length}`)
  judgeMarks(audit, snapshot.messages, conversation)
}

/** What is shown of the visitor's messages is what the agents have marked. */
function judgeMarks(audit: Auditor, shown: readonly ShownMessage[], { marks: { agent }, id }: Conversation): void {
  const isWrong = ({ role, seq, status }: ShownMessage) =>
    role === 'customer' && seq !== undefined && status !== statusOf({ role, seq }, agent)
  const wrong = shown.filter(isWrong)
  if (wrong.length > 0) audit.finding(`marks: ${wrong.length} messages of ${id} are shown as ${wrong[0]?.status}`)
}

/** The service holds the last word of each name; of words said at the same moment, one of them. */
function judgeContext(audit: Auditor, { tabs }: SimBrowser): void {
  const snapshot = tabs[0]?.snapshot
  const conversation = audit.service.conversations.get(snapshot?.conversation?.id ?? '')
  if (snapshot === undefined || conversation === undefined) return
  const own = audit.wishes.filter(({ epoch }) => epoch === snapshot.epoch)
  for (const name of new Set(own.map((wish) => wish.name))) {
    const wishes = own.filter((wish) => wish.name === name)
    const isAnswered = wishes.some(({ answeredAt }) => answeredAt !== undefined)
    const last = wishes.filter(({ answeredAt = Number.POSITIVE_INFINITY }) =>
      wishes.every(({ calledAt, answeredAt: at }) => at === undefined || calledAt <= answeredAt),
    )
    const allowed = new Set<unknown>(last.map(({ value }) => value))
    if (!isAnswered) allowed.add(null)
    const held = conversation.attributes[name] ?? null
    if (!allowed.has(held))
      audit.finding(`context: the service holds ${name}=${held}, and the last word was ${[...allowed].join(' or ')}`)
    const shown = snapshot.context[name] ?? null
    if (shown !== held) audit.finding(`context: ${name} is shown as ${shown}, and the service holds ${held}`)
  }
}
