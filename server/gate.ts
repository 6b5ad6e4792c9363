// Who is calling: from an access token to a caller. Signatures are checked once per token and remembered;
// whether the family still lives is asked of the store at first and then every few seconds.
import type { EpochMs } from './session.ts'
import type { SqlStore } from './store.ts'
import type { AccessToken, Tokens } from './tokens.ts'

/** How long another node may take to notice that a family was revoked here. */
const RECHECK_MS = 5000
const TOKENS_MAX = 10_000

type Known = AccessToken & { checkedAt: EpochMs }
export type Admission =
  | ({ ok: true } & AccessToken)
  | { ok: false; code: 'missing-token' | 'invalid-token' | 'token-expired' | 'session-revoked' }

export class Gate {
  readonly #tokens: Tokens
  readonly #store: SqlStore
  readonly #now: () => EpochMs
  readonly #known = new Map<string, Known>()
  /** Tokens that expire up to here were called back, whatever they say themselves. */
  #expiredUpTo = 0
  #revocations = 0

  constructor(tokens: Tokens, store: SqlStore, now: () => EpochMs) {
    this.#tokens = tokens
    this.#store = store
    this.#now = now
  }

  /** Admits by an `Authorization` header. */
  async admitHeader(header: string | undefined): Promise<Admission> {
    const match = header === undefined ? null : /^Bearer +(\S+)$/i.exec(header)
    return match === null ? { ok: false, code: 'missing-token' } : this.admit(match[1] ?? '')
  }

  async admit(token: string): Promise<Admission> {
    const now = this.#now()
    const known = this.#known.get(token)
    if (known !== undefined && !this.#isExpired(known, now) && now - known.checkedAt < RECHECK_MS) {
      return { ok: true, caller: known.caller, expiresAt: known.expiresAt }
    }
    const read = known ?? (await this.#tokens.readAccessToken(token))
    if (read === null) return { ok: false, code: 'invalid-token' }
    if (this.#isExpired(read, now)) {
      this.#known.delete(token)
      return { ok: false, code: 'token-expired' }
    }
    const revocations = this.#revocations
    const { caller, expiresAt } = read
    if (caller.role === 'customer') {
      const standing = await this.#store.sessions.confirm(caller, now)
      if (standing !== 'live') {
        this.#known.delete(token)
        // A family that moved has a grant for its new session waiting: one refresh away, as after an expiry.
        return { ok: false, code: standing === 'moved' ? 'token-expired' : 'session-revoked' }
      }
    }
    // A revocation that came while we asked may be newer than our answer: then the next call asks again.
    if (revocations === this.#revocations) this.#remember(token, { caller, expiresAt, checkedAt: now })
    return { ok: true, caller, expiresAt }
  }

  /** The family has ended on this node: its tokens are asked about again at once. */
  forget(familyId: string): void {
    this.#revocations++
    for (const [token, { caller }] of this.#known) {
      if (caller.role === 'customer' && caller.familyId === familyId) this.#known.delete(token)
    }
  }

  /** Calls back every customer token that expires up to an instant. */
  expireUpTo(instant: EpochMs): void {
    this.#expiredUpTo = instant
  }

  get expiredUpTo(): EpochMs {
    return this.#expiredUpTo
  }

  #isExpired({ caller, expiresAt }: AccessToken, now: EpochMs): boolean {
    return expiresAt <= now || (caller.role === 'customer' && expiresAt <= this.#expiredUpTo)
  }

  #remember(token: string, known: Known): void {
    this.#known.delete(token)
    if (this.#known.size >= TOKENS_MAX) {
      const oldest = this.#known.keys().next().value
      if (oldest !== undefined) this.#known.delete(oldest)
    }
    this.#known.set(token, known)
  }
}
