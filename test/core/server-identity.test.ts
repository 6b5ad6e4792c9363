// Which session a visitor has after a sign-in: every case of the pure rule.
import { expect, test } from 'vitest'
import { identify } from '../../server/session-identity.ts'

const OWN = { id: 'own', userId: null, formerUserId: null }
const ANNS = { ...OWN, userId: 'ann' }
const BOBS = { ...OWN, userId: 'bob' }
const after = (formerUserId: string) => ({ ...OWN, formerUserId })
const live = (id: string) => ({ id, isLive: true })
const ended = (id: string) => ({ id, isLive: false })

test.each([
  { rule: 'SV47', is: 'the first sign-in', own: OWN, users: null, gets: { type: 'adopt', archiveFrom: null } },
  { rule: 'SV47', is: 'the same once more', own: ANNS, users: live('own'), gets: { type: 'same' } },
  {
    rule: 'SV48',
    is: 'a second device',
    own: OWN,
    users: live('a'),
    gets: { type: 'move', sessionId: 'a', brings: true },
  },
  {
    rule: 'SV48',
    is: 'a return after the end',
    own: OWN,
    users: ended('a'),
    gets: { type: 'adopt', archiveFrom: 'a' },
  },
  {
    rule: 'SV48',
    is: 'an old session of hers',
    own: ANNS,
    users: live('a'),
    gets: { type: 'move', sessionId: 'a', brings: true },
  },
  {
    rule: 'SV50',
    is: 'a switch',
    own: BOBS,
    users: null,
    gets: { type: 'begin', archiveFrom: null },
  },
  {
    rule: 'SV50',
    is: 'a switch after the end',
    own: BOBS,
    users: ended('a'),
    gets: { type: 'begin', archiveFrom: 'a' },
  },
  {
    rule: 'SV50',
    is: 'a switch back',
    own: BOBS,
    users: live('a'),
    gets: { type: 'move', sessionId: 'a', brings: false },
  },
  {
    rule: 'SV50',
    is: 'behind the end of another user',
    own: after('bob'),
    users: null,
    gets: { type: 'begin', archiveFrom: null },
  },
  {
    rule: 'SV50',
    is: 'behind the end of another user, and she is elsewhere',
    own: after('bob'),
    users: live('a'),
    gets: { type: 'move', sessionId: 'a', brings: false },
  },
  {
    rule: 'SV48',
    is: 'behind her own end',
    own: after('ann'),
    users: ended('a'),
    gets: { type: 'adopt', archiveFrom: 'a' },
  },
] as const)('[$rule] ann signs in when it is $is', ({ own, users, gets }) => {
  expect(identify(own, users, 'ann')).toEqual(gets)
})
