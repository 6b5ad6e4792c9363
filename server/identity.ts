// Proof of who a visitor is: the site's signed JWT, checked against the deployment's key or key set. Nothing of
// the token is kept but its subject, and that as a keyed hash where the deployment asks for it.
import { createHmac } from 'node:crypto'
import { createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { EpochMs } from './session.ts'
import type { DeploymentOptions, IdentityOptions } from './settings.ts'

/** A shared secret shorter than its hash would be guessed sooner than the signature. */
const SECRET_BYTES_MIN = 32
/** No control characters and no halves of characters, which not every database can keep. */
const SUBJECT = /^[^\p{Cc}\p{Cs}]{1,255}$/u
const TOKEN_LENGTH_MAX = 8192
const CLOCK_SKEW_MS = 60_000
const JWKS_TIMEOUT_MS = 5000
/** Two lists that share nothing: a public key can never be taken for a shared secret. */
const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512']
const PUBLIC_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

export type IdentityAnswer =
  | { ok: true; userId: string }
  | { ok: false; code: 'identity-not-configured' | 'identity-refused' | 'identity-expired' | 'identity-unavailable' }

type Verifier = { options: IdentityOptions; key: Uint8Array | JWTVerifyGetKey; algorithms: string[] }

export class Identities {
  readonly #verifiers = new Map<string, Verifier>()
  readonly #now: () => EpochMs

  constructor(deployments: ReadonlyMap<string, DeploymentOptions>, now: () => EpochMs) {
    this.#now = now
    for (const [id, { identity }] of deployments) if (identity) this.#verifiers.set(id, verifierOf(id, identity))
  }

  async read(deploymentId: string, token: string): Promise<IdentityAnswer> {
    const verifier = this.#verifiers.get(deploymentId)
    if (verifier === undefined) return { ok: false, code: 'identity-not-configured' }
    if (token.length > TOKEN_LENGTH_MAX) return { ok: false, code: 'identity-refused' }
    const { options, key, algorithms } = verifier
    try {
      const checks = {
        algorithms,
        issuer: options.issuer,
        audience: options.audience,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: (options.clockSkewMs ?? CLOCK_SKEW_MS) / 1000,
        currentDate: new Date(this.#now()),
      }
      // The two forms of the call differ in their types only.
      const { payload } = await (typeof key === 'function'
        ? jwtVerify(token, key, checks)
        : jwtVerify(token, key, checks))
      // The library does not look at its kind: an object would be the same text for every user.
      const subject: unknown = payload.sub
      if (typeof subject !== 'string' || !SUBJECT.test(subject)) return { ok: false, code: 'identity-refused' }
      return { ok: true, userId: userIdOf(options, subject) }
    } catch (error) {
      return { ok: false, code: codeOf(error) }
    }
  }
}

function verifierOf(id: string, options: IdentityOptions): Verifier {
  const { jwksUrl, key, issuer, audience, subjectHashKey } = options
  if ((jwksUrl === undefined) === (key === undefined)) {
    throw new TypeError(`The identity of deployment ${id} needs either jwksUrl or key.`)
  }
  if (!issuer || !audience) throw new TypeError(`The identity of deployment ${id} needs issuer and audience.`)
  for (const secret of [key, subjectHashKey]) {
    if (secret !== undefined && Buffer.byteLength(secret) < SECRET_BYTES_MIN) {
      throw new TypeError(`The secrets in the identity of deployment ${id} need at least ${SECRET_BYTES_MIN} bytes.`)
    }
  }
  if (key !== undefined) return { options, key: Buffer.from(key), algorithms: SECRET_ALGORITHMS }
  const keys = createRemoteJWKSet(new URL(jwksUrl ?? ''), { timeoutDuration: JWKS_TIMEOUT_MS })
  return { options, key: keys, algorithms: PUBLIC_ALGORITHMS }
}

/** A prefix tells the two forms apart, so that no subject can look like the hash of another. */
function userIdOf({ subjectHashKey }: IdentityOptions, subject: string): string {
  if (subjectHashKey === undefined) return `s:${subject}`
  return `h:${createHmac('sha256', subjectHashKey).update(subject).digest('base64url')}`
}

/** What the library says of a token has a code of its own; the rest is a key set that did not answer. */
function codeOf(error: unknown): 'identity-refused' | 'identity-expired' | 'identity-unavailable' {
  if (error instanceof errors.JWTExpired) return 'identity-expired'
  const isOfKeySet =
    !(error instanceof errors.JOSEError) ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error.code === 'ERR_JOSE_GENERIC'
  return isOfKeySet ? 'identity-unavailable' : 'identity-refused'
}
