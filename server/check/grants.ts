// Checks of what a lease relies on: rotation, lost answers, reuse, and the end of a grant.
import { type Check, must } from './report.ts'
import { type Answer, call, freshKey, Visitor } from './visitor.ts'

const AT_ONCE = 10
const successorOf = (answer: Answer): string => {
  const token = answer.body['refresh_token']
  must(answer.status === 200, `A refresh was answered ${answer.status} ${answer.body['error'] ?? ''}.`)
  must(typeof token === 'string', 'The grant has no refresh token.')
  return token
}

/** Takes the new grant into use, which is what proves that it arrived. */
async function used(visitor: Visitor, answer: Answer): Promise<void> {
  visitor.refreshToken = successorOf(answer)
  visitor.token = String(answer.body['access_token'])
  must(await visitor.isAdmitted(), 'The new access token is not taken.')
}

export const GRANT_CHECKS: readonly Check[] = [
  {
    id: 'refresh-rotates',
    says: 'A refresh brings a new refresh token and an access token that is taken.',
    because: 'a stolen refresh token is good for ever',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      const before = visitor.refreshToken
      await used(visitor, await visitor.refresh(freshKey()))
      must(visitor.refreshToken !== before, 'The refresh token is the same as before.')
    },
  },
  {
    id: 'refresh-answer-lost',
    says: 'The same token with the same key is answered with the same successor.',
    because: 'one lost answer logs the visitor out',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      await used(visitor, await visitor.refresh(freshKey()))
      const key = freshKey()
      const lost = successorOf(await visitor.refresh(key))
      const again = await visitor.refresh(key)
      must(successorOf(again) === lost, 'The second answer has another successor.')
      await used(visitor, again)
      successorOf(await visitor.refresh(freshKey()))
    },
  },
  {
    id: 'refresh-at-once',
    says: `${AT_ONCE} refreshes of one token with one key at the same instant have one successor.`,
    because: 'two tabs that race end the session',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      const key = freshKey()
      const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => visitor.refresh(key)))
      const successors = new Set(answers.map(successorOf))
      must(successors.size === 1, `There are ${successors.size} successors.`)
    },
  },
  {
    id: 'refresh-reuse',
    says: 'A spent token whose successor was used ends the family.',
    because: 'a thief and the visitor go on side by side',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      const spent = visitor.refreshToken
      await used(visitor, await visitor.refresh(freshKey()))
      const thief = await visitor.refresh(freshKey(), spent)
      must(thief.status === 400 || thief.status === 401, `The spent token was answered ${thief.status}.`)
      must(thief.body['error'] === 'invalid_grant', `The error is ${String(thief.body['error'])}.`)
      const owner = await visitor.refresh(freshKey())
      must(owner.status !== 200, 'The family goes on.')
    },
  },
  {
    id: 'refresh-forged',
    says: 'A forged refresh token changes nothing.',
    because: 'anybody can log anybody out',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      const genuine = visitor.refreshToken
      const last = genuine.at(-5)
      const forged = `${genuine.slice(0, -5)}${last === 'A' ? 'B' : 'A'}${genuine.slice(-4)}`
      const answer = await visitor.refresh(freshKey(), forged)
      must(answer.status !== 200, 'The forged token is taken.')
      successorOf(await visitor.refresh(freshKey()))
    },
  },
  {
    id: 'revoke-ends',
    says: 'After a sign-out neither token is taken any more.',
    because: 'the next person at the computer is the last one',
    run: async (lab) => {
      const visitor = await Visitor.open(lab)
      must(await visitor.isAdmitted(), 'The access token is not taken.')
      const { status } = await call(lab, '/api/v2/widget/auth/revoke', { form: { token: visitor.refreshToken } })
      must(status === 200, `The sign-out was answered ${status}.`)
      must(!(await visitor.isAdmitted()), 'The access token is still taken.')
      must((await visitor.refresh(freshKey())).status !== 200, 'The refresh token is still taken.')
    },
  },
]
