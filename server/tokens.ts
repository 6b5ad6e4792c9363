// Makes and checks tokens: signed access tokens (JWT, published keys) and refresh tokens that are a MAC
// over family and generation, so that the successor can be made again. Whether a family lives is not known here.
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { type CryptoKey, compactVerify, importJWK, type JSONWebKeySet, SignJWT } from 'jose'
import { type KeyRing, SIGNING_ALGORITHM } from './keys.ts'
import type { Caller, EpochMs } from './session.ts'

/** What `access_token` grants: the scope of RFC 6749, by role. */
export const SCOPES = { customer: 'chat', agent: 'agent' } as const
const TOKEN_LENGTH_MAX = 4096
const REFRESH_TOKEN = /^rt1\.([0-9a-f-]{36})\.([1-9]\d{0,14})\.([\w-]{43})$/

export type AccessToken = { caller: Caller; expiresAt: EpochMs }

type Verifier = { alg: string; key: CryptoKey }

/** A ring, ready for use. */
type Ready = {
  jwks: JSONWebKeySet
  signers: readonly { kid: string; key: CryptoKey; from: EpochMs }[]
  verifiers: ReadonlyMap<string, Verifier>
  secrets: readonly { secret: Buffer; from: EpochMs }[]
}

export class Tokens {
  readonly #now: () => EpochMs
  #ready: Ready

  static async from(ring: KeyRing, now: () => EpochMs = Date.now): Promise<Tokens> {
    return new Tokens(await readied(ring), now)
  }

  private constructor(ready: Ready, now: () => EpochMs) {
    this.#ready = ready
    this.#now = now
  }

  get jwks(): JSONWebKeySet {
    return this.#ready.jwks
  }

  /** Goes on with a ring that was read again. */
  async adopt(ring: KeyRing): Promise<void> {
    this.#ready = await readied(ring)
  }

  refreshToken(familyId: string, generation: number): string {
    const content = `rt1.${familyId}.${generation}`
    return `${content}.${mac(content, inUse(this.#ready.secrets, this.#now()).secret).toString('base64url')}`
  }

  /** The content of a genuine refresh token, else null: a guess changes nothing anywhere. */
  readRefreshToken(token: string): { familyId: string; generation: number } | null {
    const match = REFRESH_TOKEN.exec(token)
    if (match === null) return null
    const [, familyId = '', generation = '', code = ''] = match
    const content = `rt1.${familyId}.${generation}`
    const given = Buffer.from(code, 'base64url')
    const isGenuine = this.#ready.secrets.some(({ secret }) => timingSafeEqual(mac(content, secret), given))
    return isGenuine ? { familyId, generation: Number(generation) } : null
  }

  async accessToken(caller: Caller, now: EpochMs, lifetimeMs: number): Promise<{ token: string; expiresAt: EpochMs }> {
    // Whole seconds, as most readers of tokens expect; a shorter life than one second exists in tests only.
    const expiresAt = lifetimeMs < 1000 ? now + lifetimeMs : Math.ceil((now + lifetimeMs) / 1000) * 1000
    const claims =
      caller.role === 'customer'
        ? { sid: caller.sessionId, fam: caller.familyId, gen: caller.generation }
        : { sub: caller.agentId, name: caller.name }
    const signer = inUse(this.#ready.signers, now)
    const token = await new SignJWT({
      ...claims,
      did: caller.deploymentId,
      role: caller.role,
      scope: SCOPES[caller.role],
    })
      .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: 'at+jwt', kid: signer.kid })
      .setIssuer('holdfast')
      .setJti(randomUUID())
      .setIssuedAt(Math.floor(now / 1000))
      .setExpirationTime(expiresAt / 1000)
      .sign(signer.key)
    return { token, expiresAt }
  }

  /** The content of a genuine access token, also an expired one; the caller of this compares the instants. */
  async readAccessToken(token: string): Promise<AccessToken | null> {
    if (token.length > TOKEN_LENGTH_MAX) return null
    try {
      const { payload } = await compactVerify(token, (header) => {
        const verifier = this.#ready.verifiers.get(header.kid ?? '')
        if (verifier === undefined || header.alg !== verifier.alg || header.typ !== 'at+jwt')
          throw new Error('unknown key')
        return verifier.key
      })
      return readClaims(JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>)
    } catch {
      // Whatever is wrong with it, it is not ours; the reason would only help a forger.
      return null
    }
  }
}

async function readied(ring: KeyRing): Promise<Ready> {
  const verifiers = new Map<string, Verifier>()
  const jwks: JSONWebKeySet = { keys: [] }
  const signers: { kid: string; key: CryptoKey; from: EpochMs }[] = []
  for (const { kid, privateJwk, from = 0 } of ring.signing) {
    const { d: _secret, ...publicJwk } = privateJwk
    const key = (await importJWK(publicJwk, SIGNING_ALGORITHM)) as CryptoKey
    verifiers.set(kid, { alg: SIGNING_ALGORITHM, key })
    jwks.keys.push({ ...publicJwk, kid, alg: SIGNING_ALGORITHM, use: 'sig' })
    signers.push({ kid, key: (await importJWK(privateJwk, SIGNING_ALGORITHM)) as CryptoKey, from })
  }
  if (signers.length === 0) throw new TypeError('A key ring needs at least one signing key.')
  const secrets = [...(ring.refreshSecrets ?? []), { secret: ring.refreshSecret, from: 0 }]
  return {
    jwks,
    signers,
    verifiers,
    secrets: secrets.map(({ secret, from }) => ({ secret: Buffer.from(secret, 'base64url'), from })),
  }
}

/** The newest whose time has come; a ring with none of that kind uses its oldest. */
function inUse<T extends { from: EpochMs }>(keys: readonly T[], now: EpochMs): T {
  return keys.find(({ from }) => from <= now) ?? (keys.at(-1) as T)
}

function mac(content: string, secret: Buffer): Buffer {
  return createHmac('sha256', secret).update(content).digest()
}

function readClaims(claims: Record<string, unknown>): AccessToken | null {
  const { exp, did, role, sid, fam, gen, sub, name } = claims
  if (typeof exp !== 'number' || typeof did !== 'string') return null
  const expiresAt = Math.round(exp * 1000)
  if (role === 'customer' && typeof sid === 'string' && typeof fam === 'string' && typeof gen === 'number') {
    return { caller: { role, deploymentId: did, sessionId: sid, familyId: fam, generation: gen }, expiresAt }
  }
  if (role === 'agent' && typeof sub === 'string' && typeof name === 'string') {
    return { caller: { role, deploymentId: did, agentId: sub, name }, expiresAt }
  }
  return null
}
