// Seeds of the simulation: those that once failed, and those that a text is good for.

import { createHash } from 'node:crypto'

/** Each has failed once; what it caught then is fixed and must stay so. */
export const REGRESSIONS: readonly { readonly seed: number; readonly caught: string }[] = [
  { seed: 45, caught: 'a logout that met nobody left the former transcript to the next visitor' },
  { seed: 53, caught: 'opening dropped a refresh under way, which was asked for again under another key' },
  { seed: 144, caught: 'a clock set back made a Retry-After last an hour' },
  { seed: 153, caught: 'a conversation was asked for under one key in two ways, and refused for ever' },
  { seed: 209, caught: 'a claim whose turn failed was waited for until its deadline' },
  { seed: 1922, caught: 'a removed attribute came back in a conversation whose making was answered to nobody' },
  { seed: 2422, caught: 'a lost refresh and the opening after it looked like theft' },
  { seed: 3932, caught: 'an opening that was given up and the refresh after it looked like theft' },
  { seed: 900555, caught: 'a wipe that failed once was never tried again, and kept the next visitor out' },
  { seed: 31, caught: 'what had made way on the disk could not be read back' },
  {
    seed: 1003149,
    caught: 'a try on the wire was forgotten when an earlier one succeeded, and its cookie used under another key',
  },
  { seed: 100230, caught: 'older messages were asked for before the Retry-After' },
]

/** The same, of worlds that have what came later: a frozen worker, tokens in memory. */
export const LATER: readonly { readonly seed: number; readonly caught: string }[] = [
  { seed: 7002506, caught: 'a wish how long to wait, heard behind a sign-in, was not heard by the opening after it' },
  { seed: 7100185, caught: 'a tab that came while another user took over began as a guest, and its words were lost' },
  { seed: 7001853, caught: 'an opening that was held up until a refresh had gone by was taken for theft' },
  { seed: 8000511, caught: 'a lost refresh was asked for under another key when another user had signed in' },
  { seed: 8002650, caught: 'a disk that failed once kept a former conversation from being read for ever' },
  {
    seed: 8031871,
    caught: 'a connection opened for a try that another had taken the place of, and its end was not heard',
  },
  { seed: 8050289, caught: 'a message was committed across a sleep, and sent by two claims within a Retry-After' },
  { seed: 12184, caught: 'a worker froze before it sent, and sent by two claims within a Retry-After' },
  { seed: 8011373, caught: 'a repeated send was news when its row had made way and the conversation had changed' },
  {
    seed: 8030535,
    caught: 'an opening held up until its token had run out went without one, and began a second session',
  },
  {
    seed: 11962,
    caught: 'two tries of a refresh left side by side when a frozen worker woke, one within a Retry-After',
  },
  { seed: 4904, caught: 'a refresh of a worker that had died came behind two others, and was taken for theft' },
  { seed: 221, caught: 'three workers that stopped in a row ended a session whose tokens were in their memory' },
  { seed: 70006999, caught: 'the answer to a sign-in came behind a word of the stream, and set the conversation back' },
  { seed: 21017951, caught: 'a session that succeeded that of a user was given to the next user, with what they said' },
]

/** The same, of worlds without a service worker. */
export const PAGES: readonly { readonly seed: number; readonly caught: string }[] = [
  { seed: 8011180, caught: 'a connection that was held up took the place of the one that stood, and nobody knew' },
  { seed: 8011202, caught: 'a late page settled a message and was not kept: it was reported as cancelled' },
  { seed: 9400471, caught: 'a lost refresh was asked for under another key when a guest had signed in by cookie' },
  { seed: 9236453, caught: 'two changes of attributes left side by side when a page woke, and the older one stayed' },
  {
    seed: 21001605,
    caught: 'a refresh left just before its time was over, and its wish was heard behind the next try',
  },
  { seed: 15582, caught: 'a sign-in of a page that was closed came behind the question whose the session is' },
  { seed: 22002679, caught: 'a removal that removed nothing left the door open to an older change that came late' },
  { seed: 9615154, caught: 'a conversation stood behind itself, and a message was read back twice' },
  {
    seed: 9113913,
    caught: 'two pages signed in at the same time, and the answer that came last was of nobody any more',
  },
]

/** So many seeds from any text, such as the name of a commit: other texts give other seeds. */
export function seedsFrom(text: string, count: number): number[] {
  return Array.from({ length: count }, (_, index) =>
    createHash('sha256').update(`${text} ${index}`).digest().readUInt32LE(0),
  )
}
