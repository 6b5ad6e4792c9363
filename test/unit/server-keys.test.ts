// The renewal of the service's keys: when a new one begins, how long an old one is taken, and that nobody is
// signed out by it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openSqlite } from '../../server/drivers/sqlite.ts'
import {
  folderKeys,
  givenKeys,
  KEY_LEAD_MS,
  type KeySource,
  makeKeyRing,
  renewed,
  sharedKeys,
} from '../../server/keys.ts'
import type { Caller } from '../../server/session.ts'
import { SqlStore } from '../../server/store.ts'
import { Tokens } from '../../server/tokens.ts'
import { times } from './server-visitor.ts'

const HOUR_MS = 3600_000
const LIVES = { accessMs: 12 * HOUR_MS, refreshMs: 1000 * HOUR_MS }
const START = 1_900_000_000_000
const CALLER: Caller = {
  role: 'customer',
  deploymentId: 'demo',
  sessionId: '00000000-0000-4000-8000-000000000001',
  familyId: '00000000-0000-4000-8000-000000000002',
  generation: 1,
}

const kidOf = (token: string) =>
  (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string }).kid

test('[SV68] a new key is published at once and signs after the lead; the old one goes on verifying', async () => {
  let now = START
  const ring = await makeKeyRing()
  const tokens = await Tokens.from(ring, () => now)
  const sign = async () => (await tokens.accessToken(CALLER, now, HOUR_MS)).token
  const [before, refreshBefore] = [await sign(), tokens.refreshToken(CALLER.familyId, 1)]
  await tokens.adopt(await renewed(ring, now, LIVES))
  expect(tokens.jwks.keys).toHaveLength(2)
  expect(kidOf(await sign())).toBe(kidOf(before))
  expect(tokens.refreshToken(CALLER.familyId, 1)).toBe(refreshBefore)

  now += KEY_LEAD_MS
  const after = await sign()
  expect(kidOf(after)).not.toBe(kidOf(before))
  expect(tokens.refreshToken(CALLER.familyId, 1)).not.toBe(refreshBefore)
  for (const token of [before, after]) expect((await tokens.readAccessToken(token))?.caller).toEqual(CALLER)
  const both = [refreshBefore, tokens.refreshToken(CALLER.familyId, 1)]
  for (const token of both) expect(tokens.readRefreshToken(token)).toEqual({ familyId: CALLER.familyId, generation: 1 })
})

test('[SV68] a node that has not read the new ring yet takes what the others make during the lead', async () => {
  const now = START + KEY_LEAD_MS - 1
  const ring = await makeKeyRing()
  const late = await Tokens.from(ring, () => now)
  const early = await Tokens.from(await renewed(ring, START, LIVES), () => now)
  const { token } = await early.accessToken(CALLER, now, HOUR_MS)
  expect(await late.readAccessToken(token)).not.toBeNull()
  expect(late.readRefreshToken(early.refreshToken(CALLER.familyId, 1))).not.toBeNull()
})

test('[SV68] keys go when nothing made with them can be alive, and not before', async () => {
  const first = await makeKeyRing()
  const second = await renewed(first, START, LIVES)
  const inUseUntil = START + KEY_LEAD_MS
  const early = await renewed(second, inUseUntil + LIVES.accessMs - 1, LIVES)
  expect(early.signing).toHaveLength(3)
  const later = await renewed(second, inUseUntil + LIVES.accessMs, LIVES)
  expect(later.signing).toHaveLength(2)
  expect(later.refreshSecret).toBe(first.refreshSecret)
  const muchLater = await renewed(second, inUseUntil + LIVES.refreshMs, LIVES)
  const secrets = [muchLater.refreshSecret, ...(muchLater.refreshSecrets ?? []).map(({ secret }) => secret)]
  expect(secrets).not.toContain(first.refreshSecret)
  expect(secrets).toContain(second.refreshSecrets?.[0]?.secret)
})

async function replacedOnce(keys: KeySource): Promise<void> {
  const all = await Promise.all(times(5, () => keys.read()))
  expect(new Set(all.map((ring) => JSON.stringify(ring))).size).toBe(1)
  const present = all[0] ?? (await keys.read())
  const next = await renewed(present, START, LIVES)
  expect(await keys.replace(present, next)).toBe(true)
  expect(await keys.read()).toEqual(next)
}

test('[SV68] the ring of a folder is made once, and replaced whole', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  try {
    await replacedOnce(folderKeys(folder))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('[SV68] the ring of a database is made once, and of two renewals at once one counts', async () => {
  const driver = await openSqlite({ path: ':memory:', durability: 'fast' })
  const store = await SqlStore.open(driver, { sessionMs: 1, idleMs: 1, archiveMs: 1 })
  const keys = sharedKeys(store.shared, () => START)
  await replacedOnce(keys)
  const present = await keys.read()
  const rings = await Promise.all(times(2, () => renewed(present, START, LIVES)))
  const answers = await Promise.all(rings.map((ring) => keys.replace(present, ring)))
  expect(answers.sort()).toEqual([false, true])
  await store.close()
})

test('[SV68] a ring from the configuration is renewed there, and nowhere else', async () => {
  const ring = await makeKeyRing()
  expect(await givenKeys(ring).replace(ring, ring)).toBe(false)
})
