// Checks of what an outbox and a transcript rely on: keys, sequence, cursors, unchanged pages.
import { type Check, type Lab, must } from './report.ts'
import { type Answer, type Conversation, call, freshKey, type Listed, MESSAGES, Visitor } from './visitor.ts'

const AT_ONCE = 20
const times = <T>(n: number, make: (index: number) => T): T[] => Array.from({ length: n }, (_, index) => make(index))
const idsOf = (answers: readonly Answer[]) => new Set(answers.map(({ body }) => body['id']))
const codeOf = ({ status, body }: Answer) => `${status} ${body['code'] ?? ''}`.trim()

async function said(lab: Lab, count: number): Promise<{ visitor: Visitor; conversation: Conversation; ids: string[] }> {
  const { visitor, conversation } = await Visitor.begin(lab)
  const ids: string[] = []
  for (let index = 1; index <= count; index++) {
    const answer = await visitor.say(conversation, `message ${index}`)
    must(answer.status === 201, `A new message was answered ${codeOf(answer)}.`)
    ids.push(String(answer.body['id']))
  }
  return { visitor, conversation, ids }
}

export const MESSAGE_CHECKS: readonly Check[] = [
  {
    id: 'key-repeats',
    says: 'The same key again is answered as at first, and nothing is stored twice.',
    because: 'a message whose answer was lost appears twice',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const key = freshKey()
      const answers = [await visitor.say(conversation, 'once', key), await visitor.say(conversation, 'once', key)]
      for (const answer of answers) must(answer.status === 201 || answer.status === 200, `Answered ${codeOf(answer)}.`)
      must(idsOf(answers).size === 1, 'The two answers name different messages.')
      const { messages } = await visitor.list(conversation.id)
      must(messages.length === 1, `${messages.length} messages are stored.`)
    },
  },
  {
    id: 'key-at-once',
    says: `${AT_ONCE} requests with one key at the same instant make one message.`,
    because: 'two tabs or a fast retry double a message',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const key = freshKey()
      const answers = await Promise.all(times(AT_ONCE, () => visitor.say(conversation, 'once', key)))
      // "Still running" is a good answer if it says when to come back.
      const settled = answers.filter(({ status, headers }) => !(status === 409 && headers.has('Retry-After')))
      const odd = settled.find(({ status }) => status !== 200 && status !== 201)
      must(odd === undefined, `One was answered ${odd && codeOf(odd)}.`)
      must(idsOf(settled).size === 1, `The answers name ${idsOf(settled).size} messages.`)
      const { messages } = await visitor.list(conversation.id)
      must(messages.length === 1, `${messages.length} messages are stored.`)
    },
  },
  {
    id: 'key-other-body',
    says: 'The same key with another body is refused with 422 and stores nothing.',
    because: 'a mistake in a client loses a message in silence',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const key = freshKey()
      await visitor.say(conversation, 'one', key)
      const answer = await visitor.say(conversation, 'two', key)
      must(answer.status === 422, `Answered ${codeOf(answer)}.`)
      must((await visitor.list(conversation.id)).messages.length === 1, 'The second body is stored.')
    },
  },
  {
    id: 'key-after-close',
    says: 'After the close a known key still gets its first answer, and a new one a 409.',
    because: 'a message that arrived is shown as failed, or one is said into a closed conversation',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const key = freshKey()
      const first = await visitor.say(conversation, 'before', key)
      await visitor.close(conversation.id)
      const again = await visitor.say(conversation, 'before', key)
      must(again.status < 300 && again.body['id'] === first.body['id'], `The known key was answered ${codeOf(again)}.`)
      const late = await visitor.say(conversation, 'after')
      must(late.status === 409, `A new message was answered ${codeOf(late)}.`)
    },
  },
  {
    id: 'sequence-dense',
    says: 'Messages sent at the same instant are numbered 1, 2, 3 … without gap or double.',
    because: 'a client cannot tell a gap from a message that is still to come',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const answers = await Promise.all(times(AT_ONCE, (index) => visitor.say(conversation, `m${index}`)))
      const told = answers.map(({ body }) => Number(body['seq'])).sort((a, b) => a - b)
      const wanted = times(AT_ONCE, (index) => index + 1).join()
      must(told.join() === wanted, `The answers say ${told.join()}.`)
      const { messages } = await visitor.list(conversation.id, '?limit=100')
      must(messages.map(({ seq }) => seq).join() === wanted, `Reading says ${messages.map(({ seq }) => seq).join()}.`)
    },
  },
  {
    id: 'one-conversation',
    says: 'Ten creations at the same instant make one conversation.',
    because: 'two tabs opened together split the visitor in two',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      const started = await Promise.all(times(10, () => visitor.start()))
      const ids = new Set(started.map(({ id }) => id))
      must(ids.size === 1, `${ids.size} conversations were made.`)
    },
  },
  {
    id: 'cursor-pages',
    says: 'Pages above a cursor bring every message once and in order.',
    because: 'the transcript has holes or doubles after a reconnect',
    run: async (lab) => {
      const { visitor, conversation, ids } = await said(lab, 7)
      const read: string[] = []
      let page: Listed = { messages: [], nextAfterId: null, lastSeq: 0 }
      for (let pages = 0; pages < 10; pages++) {
        page = await visitor.list(
          conversation.id,
          `?limit=3${page.nextAfterId === null ? '' : `&afterId=${page.nextAfterId}`}`,
        )
        if (page.messages.length === 0) break
        read.push(...page.messages.map(({ id }) => id))
      }
      must(read.join() === ids.join(), `${read.length} messages were read of ${ids.length}, or in another order.`)
    },
  },
  {
    id: 'cursor-strict',
    says: 'A cursor that is unknown, or of another conversation, is a 410.',
    because: 'a client that must read anew is told that there is nothing new',
    run: async (lab) => {
      const [one, other] = [await said(lab, 1), await said(lab, 1)]
      for (const cursor of ['nobody-knows-this', other.ids[0]]) {
        const answer = await one.visitor.call(`${MESSAGES(one.conversation.id)}?afterId=${cursor}`)
        must(answer.status === 410, `Answered ${codeOf(answer)}.`)
      }
    },
  },
  {
    id: 'etag-304',
    says: 'An unchanged page is a 304 without a body, and a changed one is not.',
    because: 'every poll costs a full page, or a change is not seen',
    run: async (lab) => {
      const { visitor, conversation } = await said(lab, 2)
      const path = MESSAGES(conversation.id)
      const etag = (await visitor.call(path)).headers.get('ETag')
      must(etag !== null, 'There is no ETag.')
      const headers = { 'If-None-Match': etag }
      const same = await visitor.call(path, { headers })
      must(same.status === 304 && same.text === '', `The unchanged page was answered ${same.status}.`)
      await visitor.say(conversation, 'one more')
      const changed = await visitor.call(path, { headers })
      must(changed.status === 200, `The changed page was answered ${changed.status}.`)
    },
  },
  {
    id: 'sessions-apart',
    says: "Another session's conversation is answered as if it did not exist.",
    because: 'visitors read each other',
    run: async (lab) => {
      const { conversation } = await said(lab, 1)
      const stranger = await Visitor.open(lab)
      for (const token of [stranger.token, '']) {
        const answer = await call(lab, MESSAGES(conversation.id), token === '' ? {} : { token })
        const wanted = token === '' ? 401 : 404
        must(answer.status === wanted, `${token === '' ? 'Nobody' : 'A stranger'} was answered ${codeOf(answer)}.`)
      }
    },
  },
  {
    id: 'refusals-typed',
    says: 'A refusal is application/problem+json with a code.',
    because: 'a client cannot tell what to do from what to give up',
    run: async (lab) => {
      const { visitor, conversation } = await Visitor.begin(lab)
      const answer = await visitor.call(MESSAGES(conversation.id), { body: { text: 'no key' } })
      const isTyped = (answer.headers.get('Content-Type') ?? '').startsWith('application/problem+json')
      must(answer.status === 400 && isTyped && typeof answer.body['code'] === 'string', `Answered ${codeOf(answer)}.`)
    },
  },
]
