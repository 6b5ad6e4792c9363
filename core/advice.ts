// What a site can do about a failure that no call of it was waiting for: a sentence for each code that a platform gives.
// The codes themselves are in errors.ts; what exactly happened is the platform's to say.

import type { ErrorCode } from './errors.ts'
import type { Problem } from './inputs.ts'

const SIGN_IN = 'Have the visitor sign in again, or call startNew(): what is unsent is kept.'

const ADVICE: { readonly [code in ErrorCode]?: string } = {
  SERVICE_UNREACHABLE:
    'The service does not answer. It is tried again by itself and nothing is lost; if that lasts, check its url and that it allows this origin.',
  LEASE_REVOKED: SIGN_IN,
  LEASE_EXPIRED: SIGN_IN,
  LEASE_BAD_TOKEN:
    'What was supplied is no token that can be used: supply one that is new and not expired, or check where the lease gets it from.',
  LEASE_UNANSWERED:
    'The page gave no token. It is asked again by itself and nothing is lost; if that lasts, see why the callback fails.',
  SERVICE_BAD_RESPONSE:
    'Something other than the service answers, such as the login page of a network. It is tried again by itself and nothing is lost; if that lasts, check its url.',
  DEPLOYMENT_UNKNOWN:
    "The service does not know this deployment: check its name in connect(), in the worker's configuration and in the service's, then reload.",
  SERVICE_REFUSED: 'The service refuses this call: check the deployment and its settings, then reload.',
  OUTBOX_REFUSED: 'The service refused a message: retry, edit or discard it.',
  CONTEXT_TOO_LARGE: 'The service does not take this change of the context: set smaller or fewer attributes.',
}

/** What went wrong, and what to do about it. */
export function problemOf({ code, reason }: { readonly code: ErrorCode; readonly reason: string }): Problem {
  const advice = ADVICE[code]
  return { code, message: advice === undefined ? reason : `${advice} (${reason})` }
}

/** Why the visitor has to be known anew, and what to do. */
export const lossOf = (code: ErrorCode): { readonly code: ErrorCode; readonly message: string } => ({
  code,
  message: ADVICE[code] ?? SIGN_IN,
})

/** The connection stands, and nothing that was sent is answered. */
export const SILENT: Problem = {
  code: 'SERVICE_UNREACHABLE',
  message:
    'The service is connected, but acknowledged nothing for a minute: the connection is made anew. Nothing is lost; if that lasts, see what stands between the browser and the service.',
}

export const expiring = (minutes: number): Problem => ({
  code: 'SESSION_EXPIRING',
  message: `The session ends in ${minutes} min: tell the visitor, and whatever waits should be sent before.`,
})

export const corruption = (count: number): Problem => ({
  code: 'STORE_CORRUPT',
  message: `${count} stored records could not be understood. They were put aside, nothing was deleted and nothing need be done; if it happens again, see what else writes to the database.`,
})
