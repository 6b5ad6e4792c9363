// The pure parts of the demo's pages: the cart as attributes, the words of the widget, the timeline, the console's model.
import { describe, expect, test } from 'vitest'
import {
  type Conversation,
  cursorOf,
  EMPTY,
  hasGap,
  inOrder,
  isWaiting,
  type Message,
  type Model,
  unmarked,
  unreadOf,
  withConversation,
  withMarks,
  withMessages,
  withSeen,
  withTyping,
} from '../../public/agent/model.ts'
import { bannerOf, deliveryOf, fileWords, presenceOf, problemOf, quote, steadyPhase } from '../../public/chat/words.ts'
import {
  type Basket,
  centsOf,
  changeQuantity,
  fromAttributes,
  QUANTITY_MAX,
  toAttributes,
} from '../../public/shop/basket.ts'
import { findProducts, PRODUCTS } from '../../public/shop/products.ts'
import { happeningsOf } from '../../public/suffer/happenings.ts'
import { clockOf } from '../../public/suffer/live.ts'
import type { State } from '../../src/index.ts'

const state = (change: Partial<State> = {}): State => ({
  rev: 1,
  epoch: 'e1',
  phase: 'live',
  host: 'service-worker',
  storage: 'durable',
  session: null,
  conversation: null,
  lease: { status: 'held', expiresAt: 1 },
  outbox: { queued: 0, inflight: 0, dead: 0, stale: 0 },
  context: {},
  messages: [],
  unread: 0,
  agentTyping: false,
  tabs: 1,
  online: true,
  ...change,
})

describe('the cart', () => {
  test('[DM1] a cart is read back from its attributes as it was', () => {
    const basket: Basket = new Map([
      ['lantern', 1],
      ['mug', 12],
    ])
    expect(toAttributes(basket)).toEqual({ cart_items: 'lantern:1,mug:12', cart_value: '232.00' })
    const { cart_items } = toAttributes(basket)
    expect([...fromAttributes({ cart_items: cart_items ?? '' })]).toEqual([...basket])
  })

  test('[DM1] an empty cart leaves no attribute behind', () => {
    const emptied = changeQuantity(new Map([['mug', 1]]), 'mug', -1)
    expect(toAttributes(emptied)).toEqual({ cart_items: null, cart_value: null })
  })

  test.each([
    ['an unknown product', 'anchor:1,mug:2', [['mug', 2]]],
    ['a quantity that is none', 'mug:x,tea:0,bell:-1,rope:1.5,lantern:1', [['lantern', 1]]],
    ['too many', `mug:${QUANTITY_MAX + 1}`, []],
    ['something else', '', []],
  ])('[DM1] %s is left out', (_what, cart_items, left) => {
    expect([...fromAttributes({ cart_items })]).toEqual(left)
  })

  test('[DM1] money is counted in cents', () => {
    expect(centsOf(new Map([['tea', 3]]))).toBe(2850)
    expect(changeQuantity(new Map([['tea', QUANTITY_MAX]]), 'tea', 1).get('tea')).toBe(QUANTITY_MAX)
  })

  test('[DM2] a search finds what holds every word, in the part that is shown', () => {
    expect(findProducts('all', '')).toEqual(PRODUCTS)
    expect(findProducts('all', 'BELL ship').map(({ id }) => id)).toEqual(['bell'])
    expect(findProducts('wear', 'bell')).toEqual([])
  })
})

test('[DM3] what a token has left is a countdown, or days', () => {
  expect([0, 59_400, 61_000, 3_600_000, 47 * 3_600_000].map(clockOf)).toEqual([
    '0:00',
    '0:59',
    '1:01',
    '60:00',
    '2820:00',
  ])
  expect([48 * 3_600_000, 400 * 24 * 3_600_000 - 1].map(clockOf)).toEqual(['2 days', '400 days'])
})

describe('the words of the widget', () => {
  test.each([
    { code: 'ATTACHMENT_REFUSED', says: /Choose another one\.$/ },
    { code: 'OUTBOX_FULL', says: /send this again\.$/ },
    { code: 'LINK_TIMEOUT', says: /Try again\.$/ },
    { code: 'PROTOCOL_MISMATCH', says: /Reload it\.$/ },
    { code: 'EPOCH_CHANGED', says: /Reload the page/ },
    { code: 'SERVICE_BAD_RESPONSE', says: /Look there/ },
    { code: 'STORE_FULL', says: /make room/ },
  ])('[DM52] $code is told as what the visitor can do', ({ code, says }) => {
    expect(problemOf(Object.assign(new Error('The worker gave 0 bytes.'), { code }))).toMatch(says)
  })

  test('[DM52] a sentence that names its numbers is shown as it is; what is no error has a sentence, too', () => {
    const long = Object.assign(new Error('The message has 5000 characters.'), { code: 'MESSAGE_TOO_LONG' })
    expect(problemOf(long)).toBe('The message has 5000 characters.')
    expect(problemOf(undefined)).toBe('Something went wrong. Try again.')
    expect(problemOf(Object.assign(new Error('Odd.'), { code: 'toString' }))).toBe('Odd.')
    expect(quote(`a\n b ${'😀'.repeat(30)}`)).toBe(`“a b ${'😀'.repeat(18)}…”`)
  })

  const statuses = ['queued', 'inflight', 'acked', 'delivered', 'read', 'dead', 'stale', 'parked'] as const

  test('[DM3] every delivery state has words of its own', () => {
    const words = statuses.map((status) => deliveryOf({ status }, true).text)
    expect(new Set(words).size).toBe(statuses.length)
    expect(words.filter((text) => /inflight|acked|dead|stale|parked/.test(text))).toEqual([])
  })

  test('[AT11] a file on its way says how far it is and can be cancelled; one that is there says nothing', () => {
    const file = (progress?: number) => ({
      name: 'a.png',
      type: 'image/png',
      size: 100,
      ...(progress !== undefined && { progress }),
    })
    const attachments = [file(0.5), file()]
    expect(deliveryOf({ status: 'queued', attachments }, true)).toMatchObject({
      text: 'Uploading, 75 %',
      actions: ['cancel'],
    })
    expect(deliveryOf({ status: 'inflight', attachments }, false).text).toBe('Waiting for a connection, 75 % uploaded')
    const unsaid = [file(0)]
    expect(deliveryOf({ status: 'inflight', attachments: unsaid }, true)).toMatchObject({
      text: 'Uploading',
      actions: ['cancel'],
    })
    expect(deliveryOf({ status: 'inflight', attachments: unsaid }, false).text).toBe('Waiting for a connection')
    expect(deliveryOf({ status: 'queued', attachments: [file()] }, true)).toMatchObject({
      text: 'Waiting',
      actions: [],
    })
    expect(deliveryOf({ status: 'dead', code: 'ATTACHMENT_REFUSED', attachments }, true)).toMatchObject({
      text: 'Not sent: the shop could not take the file',
      actions: ['retry', 'edit', 'discard'],
    })
    expect([500, 2_048, 3 * 1024 * 1024].map((size) => fileWords({ name: 'a', size }))).toEqual([
      'a, 1 kB',
      'a, 2 kB',
      'a, 3.0 MB',
    ])
  })

  test('[DM3] what did not get out says why and can be tried again or discarded', () => {
    expect(deliveryOf({ status: 'dead', code: 'MESSAGE_TOO_LONG' }, true)).toMatchObject({
      text: 'Not sent: it is too long',
      actions: ['retry', 'edit', 'discard'],
    })
    expect(deliveryOf({ status: 'dead', code: 'SOMETHING_NEW' }, true).text).toBe('Not sent: something went wrong')
    for (const status of ['stale', 'parked'] as const) {
      expect(deliveryOf({ status }, true).actions).toEqual(expect.arrayContaining(['retry', 'discard']))
    }
    expect(deliveryOf({ status: 'parked' }, true, true)).toMatchObject({
      text: expect.stringContaining('in a new one'),
      actions: ['discard'],
    })
    for (const status of ['queued', 'inflight', 'acked', 'delivered', 'read'] as const) {
      expect(deliveryOf({ status }, true).actions).toEqual([])
    }
  })

  test.each([
    ['live', true, null],
    ['starting', true, null],
    ['merging', true, null],
    ['merging', false, 'You are offline.'],
    ['reconnecting', false, 'You are offline.'],
    ['reconnecting', true, 'Reconnecting …'],
    ['ended', true, 'This conversation has ended.'],
    ['auth-required', true, 'Your session has run out.'],
    ['signed-out', true, 'You are signed out.'],
    ['dormant', true, 'The chat is resting.'],
  ] as const)('[DM3] the banner of %s, online %s, begins with %s', (phase, online, beginning) => {
    const banner = bannerOf(state({ phase, online }))
    if (beginning === null) expect(banner).toBeNull()
    else expect(banner?.text.startsWith(beginning)).toBe(true)
    expect(presenceOf({ phase, online })).not.toBe('')
  })

  test('[DM3] the banner counts what is kept, and offers the way out where there is one', () => {
    const outbox = { queued: 1, inflight: 1, dead: 0, stale: 0 }
    expect(bannerOf(state({ phase: 'reconnecting', online: false, outbox }))?.text).toBe(
      'You are offline. 2 messages are kept and go out when you are back.',
    )
    expect(bannerOf(state({ phase: 'ended' }))?.action?.text).toBe('Start a new conversation')
    expect(bannerOf(state({ phase: 'auth-required' }))?.action?.text).toBe('Start again')
  })

  test.each([
    ['reconnecting', 'merging', 'reconnecting'],
    ['reconnecting', 'live', 'live'],
    ['reconnecting', 'ended', 'ended'],
    ['reconnecting', 'auth-required', 'auth-required'],
    ['starting', 'merging', 'merging'],
    ['live', 'reconnecting', 'reconnecting'],
  ] as const)('[DM4] after %s, %s is shown as %s', (shown, phase, expected) => {
    expect(steadyPhase(shown, phase)).toBe(expected)
  })
})

describe('the timeline', () => {
  const own = { key: 'k1', role: 'customer', text: 'Do the boots come in 44, please?', at: 1 } as const

  test('[DM5] it tells each step of a message once', () => {
    const queued = state({ messages: [{ ...own, status: 'queued' }] })
    const inflight = state({ messages: [{ ...own, status: 'inflight' }] })
    const acked = state({ messages: [{ ...own, id: 'm1', seq: 1, status: 'acked' }] })
    const told = [
      happeningsOf(state(), queued),
      happeningsOf(queued, inflight),
      happeningsOf(inflight, acked),
      happeningsOf(acked, acked),
    ]
    expect(told.map((happenings) => happenings.map(({ text }) => text))).toEqual([
      ['“Do the boots come in 4…” is kept and waits'],
      ['“Do the boots come in 4…” is on its way'],
      ['“Do the boots come in 4…” has arrived'],
      [],
    ])
  })

  test('[DM5] it tells phases, leases, conversations, context and tabs', () => {
    const before = state({ lease: { status: 'refreshing', expiresAt: 1 } })
    const after = state({
      phase: 'reconnecting',
      online: false,
      lease: { status: 'held', expiresAt: 2 },
      conversation: { id: 'c2', state: 'pending', previousId: 'c1' },
      context: { cart_value: '1.00' },
      tabs: 2,
    })
    expect(happeningsOf(before, after).map(({ text }) => text)).toEqual([
      'Phase: live → reconnecting',
      'Network is gone',
      'Lease: a new token',
      'A new conversation, which names the old one',
      'Context: cart_value',
      'Tabs: 1 → 2',
    ])
  })
})

describe('the console', () => {
  const conversation = (change: Partial<Conversation> = {}): Conversation => ({
    id: 'c1',
    state: 'active',
    participants: [],
    customAttributes: {},
    routingData: {},
    version: 1,
    lastSeq: 0,
    marks: { agent: { delivered: 0, read: 0 }, customer: { delivered: 0, read: 0 } },
    createdAt: 1,
    updatedAt: 1,
    ...change,
  })
  const message = (seq: number, role: Message['role'] = 'customer', conversationId = 'c1'): Message => ({
    id: `m${seq}`,
    seq,
    conversationId,
    role,
    text: `text ${seq}`,
    at: seq * 10,
  })
  const having = (...messages: Message[]): Model =>
    withMessages(withConversation(EMPTY, conversation()), 'c1', messages)

  test('[DM6] messages are shown once each and in order, however they arrive', () => {
    const model = withMessages(having(message(3), message(1)), 'c1', [message(2), message(3)])
    expect(model.messages.get('c1')?.map(({ seq }) => seq)).toEqual([1, 2, 3])
  })

  test('[DM6] what is missing is known: between messages, and after the last', () => {
    expect(cursorOf(having(message(1), message(3)), 'c1')?.seq).toBe(1)
    expect(hasGap(having(message(1), message(3)), 'c1')).toBe(true)
    expect(hasGap(having(message(1), message(2)), 'c1')).toBe(false)
    const behind = withConversation(having(message(1)), conversation({ version: 2, lastSeq: 2 }))
    expect(hasGap(behind, 'c1')).toBe(true)
  })

  test('[MK10] marks only grow, also those of an older picture, and what is known is not told again', () => {
    const marks = (read: number) => ({ agent: { delivered: 2, read }, customer: { delivered: 0, read: 0 } })
    const model = withMarks(withSeen(having(message(1), message(2)), 'c1'), 'c1', marks(1))
    const known = (one: Model) => one.conversations.get('c1') as Conversation
    expect(unmarked(model, known(model))).toEqual({ delivered: 2, read: 2 })
    const read = withMarks(model, 'c1', marks(2))
    expect(unmarked(read, known(read))).toBeUndefined()
    const older = withConversation(withMarks(read, 'c1', marks(1)), conversation({ version: 2, marks: marks(0) }))
    expect(known(older).marks.agent).toEqual({ delivered: 2, read: 2 })
  })

  test('[DM6] an older version of a conversation changes nothing', () => {
    const model = withConversation(EMPTY, conversation({ version: 5, state: 'closed' }))
    expect(withConversation(model, conversation({ version: 4 }))).toBe(model)
  })

  test('[DM7] a changed attribute is known as changed, each time anew', () => {
    const first = withConversation(
      withConversation(EMPTY, conversation()),
      conversation({ version: 2, customAttributes: { cart_value: '1.00' } }),
    )
    expect(first.changed.get('c1')?.names).toEqual(['cart_value'])
    const second = withConversation(first, conversation({ version: 3, customAttributes: { cart_value: '2.00' } }))
    expect(second.changed.get('c1')?.count).not.toBe(first.changed.get('c1')?.count)
    const same = withConversation(second, conversation({ version: 4, customAttributes: { cart_value: '2.00' } }))
    expect(same.changed.get('c1')).toEqual(second.changed.get('c1'))
  })

  test('[DM7] unread and waiting are marked until read and answered', () => {
    const asked = having(message(1), message(2))
    const present = conversation()
    expect([unreadOf(asked, 'c1'), isWaiting(asked, present)]).toEqual([2, true])
    const read = withSeen(asked, 'c1')
    expect([unreadOf(read, 'c1'), isWaiting(read, present)]).toEqual([0, true])
    const answered = withMessages(read, 'c1', [message(3, 'agent')])
    expect([unreadOf(answered, 'c1'), isWaiting(answered, present)]).toEqual([0, false])
    expect(isWaiting(asked, conversation({ state: 'closed' }))).toBe(false)
  })

  test('[DM7] the conversation with the newest message comes first', () => {
    const other = withConversation(having(message(2)), conversation({ id: 'c2', createdAt: 15 }))
    expect(inOrder(other, 'open').map(({ id }) => id)).toEqual(['c1', 'c2'])
    const newer = withMessages(other, 'c2', [message(9, 'customer', 'c2')])
    expect(inOrder(newer, 'open').map(({ id }) => id)).toEqual(['c2', 'c1'])
    expect(inOrder(newer, 'ended')).toEqual([])
  })

  test('[DM7] typing ends with the message and with the conversation', () => {
    const typing = withTyping(having(message(1)), 'c1', true)
    expect(withMessages(typing, 'c1', [message(2, 'agent')]).typing.has('c1')).toBe(true)
    expect(withMessages(typing, 'c1', [message(2)]).typing.has('c1')).toBe(false)
    expect(withConversation(typing, conversation({ version: 2, state: 'closed' })).typing.has('c1')).toBe(false)
  })
})
