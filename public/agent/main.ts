// The agent console: a plain client of the session service, without holdfast. Frames and answers change the model,
// and one drawing pass per frame of the screen shows it.

import { byId, h, keepFocus, setText } from '../dom.ts'
import { close, fileOf, handOver, identify, join, listConversations, messagesAfter, reply } from './api.ts'
import { makeCustomer } from './customer.ts'
import { makeDesk } from './desk.ts'
import { makeInbox } from './inbox.ts'
import { makeMarker } from './marks.ts'
import {
  cursorOf,
  EMPTY,
  hasGap,
  type Model,
  withConversation,
  withMarks,
  withMessages,
  withSeen,
  withTyping,
} from './model.ts'
import { type Frame, openStream } from './stream.ts'

/** Typing of a customer whose connection broke is not believed for longer. */
const TYPING_MAX_MS = 8000
/** So long at most a browser takes to begin saving a file. */
const SAVING_MS = 60_000
const SEEN_KEY = 'leeward:agent-seen'

let model: Model = { ...EMPTY, seen: recallSeen() }
let selected: string | undefined
let isDrawing = false
const filling = new Set<string>()
const joined = new Set<string>()
const typingTimers = new Map<string, ReturnType<typeof setTimeout>>()

const inbox = makeInbox(choose)
const customer = makeCustomer()
const desk = makeDesk({
  onReply: async (id, key, text) => {
    await reply(id, key, text)
    await fill(id)
  },
  onTyping: (id, on) => void tellTyping(id, on),
  onClose: async (id) => {
    const closed = await close(id)
    change(withConversation(model, closed))
  },
  onHandOver: async (id, queue) => {
    joined.delete(id)
    const handed = await handOver(id, queue)
    change(withConversation(model, handed))
  },
  onChoose: choose,
  onFile: async (id, { id: fileId, name }) => {
    const address = URL.createObjectURL(await fileOf(id, fileId))
    h('a', { href: address, download: name }).click()
    setTimeout(() => URL.revokeObjectURL(address), SAVING_MS)
  },
  onBack: () => {
    document.body.dataset['view'] = 'list'
    selected = undefined
    change(model)
    desk.shown()
  },
})
const stream = openStream(hear, (isUp) => {
  setText(byId('link-state'), isUp ? 'Connected' : 'Reconnecting …')
  byId('link-state').classList.toggle('up', isUp)
})
// On a phone the list gives way to the desk.
const leaveList = keepFocus(byId('inbox'), () => [
  byId('desk').querySelector('.back'),
  byId('desk').querySelector('textarea'),
])
const marker = makeMarker(stream.send)
document.addEventListener('visibilitychange', () => change(model))
identify().then(
  ({ name }) => setText(byId('agent-name'), name),
  () => undefined,
)

function change(next: Model): void {
  model = next
  const isLookedAt = selected !== undefined && document.visibilityState === 'visible'
  if (isLookedAt && selected !== undefined) {
    model = withSeen(model, selected)
    keepSeen(model)
  }
  marker.follow(model)
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    const conversation = selected === undefined ? undefined : model.conversations.get(selected)
    inbox.render(model, selected)
    desk.render(model, conversation)
    customer.render(model, conversation)
  })
}

function choose(id: string): void {
  selected = id
  document.body.dataset['view'] = 'desk'
  change(model)
  void fill(id)
  requestAnimationFrame(leaveList)
}

function hear(frame: Frame): void {
  switch (frame.type) {
    case 'ready':
      marker.again()
      return void catchUp()
    case 'state':
      change(withConversation(model, frame.conversation))
      return void fill(frame.conversation.id)
    case 'message':
      change(withMessages(model, frame.message.conversationId, [frame.message]))
      return void fill(frame.message.conversationId)
    case 'marks':
      return change(withMarks(model, frame.conversationId, frame))
    case 'typing':
      if (frame.role === 'customer') showTyping(frame.conversationId, frame.on)
  }
}

/** After a start or a reconnect: everything that was missed meanwhile. */
async function catchUp(): Promise<void> {
  try {
    for (const conversation of await listConversations()) model = withConversation(model, conversation)
    change(model)
    await Promise.all([...model.conversations.keys()].map(fill))
  } catch {
    // The connection broke again; the next `ready` starts over.
  }
}

/** Fetches what is missing in a transcript, one fetch at a time for each conversation. */
async function fill(id: string): Promise<void> {
  if (filling.has(id) || !hasGap(model, id)) return
  filling.add(id)
  try {
    const more = await messagesAfter(id, cursorOf(model, id)?.id)
    // Only now: others have changed the model while we waited.
    change(withMessages(model, id, more))
  } catch {
    // See catchUp.
  } finally {
    filling.delete(id)
  }
}

async function tellTyping(id: string, on: boolean): Promise<void> {
  try {
    if (!joined.has(id)) await join(id)
    joined.add(id)
    stream.send({ type: 'typing', conversationId: id, on })
  } catch {
    // Nobody misses a typing mark.
  }
}

function showTyping(id: string, isOn: boolean): void {
  clearTimeout(typingTimers.get(id))
  if (isOn)
    typingTimers.set(
      id,
      setTimeout(() => showTyping(id, false), TYPING_MAX_MS),
    )
  change(withTyping(model, id, isOn))
}

function recallSeen(): ReadonlyMap<string, number> {
  try {
    return new Map(JSON.parse(localStorage.getItem(SEEN_KEY) ?? '[]') as [string, number][])
  } catch {
    return new Map()
  }
}

function keepSeen({ seen }: Model): void {
  try {
    localStorage.setItem(SEEN_KEY, JSON.stringify([...seen].slice(-200)))
  } catch {
    // Then marks come back after a reload, and nothing worse.
  }
}
